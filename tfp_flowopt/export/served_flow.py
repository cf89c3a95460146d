"""The signatures of exported flows."""

import tensorflow as tf

from tfp_flowopt import diagnostics
from tfp_flowopt import flows
from tfp_flowopt import optimum
from tfp_flowopt.internal import request_checks

__all__ = ['ServedFlow', 'ServedImages']

# Of the dequantisation noise of the signature `log_prob`.
_NOISE_SEED = (0, 0)


class ServedFlow:
  """The signatures of an exported flow of vectors.

  Not a `tf.Module`: what is only needed for training is not to be saved.

  Attributes:
    inputs: For each signature its inputs, a list of `tf.TensorSpec`s.
    functions: For each signature its function.
  """

  # What events are called in requests.
  _name = 'x'

  def __init__(self, distribution, certified=False):
    self._distribution = distribution
    self._certified = None
    if certified:
      self._certified = diagnostics.CertifiedLogProb(distribution)
    base = distribution.distribution
    specs = [
        self._event_spec(),
        tf.TensorSpec(
            [None, *base.event_shape], distribution.dtype, name='latents'
        ),
        tf.TensorSpec([], tf.int32, name='num_samples'),
        tf.TensorSpec([2], tf.int32, name='seed'),
        tf.TensorSpec([], tf.float32, name='temperature'),
    ]
    conditioning = getattr(distribution.bijector, 'conditioning', None)
    conditions = [] if conditioning is None else ['conditioning']
    if conditions:
      specs.append(conditioning.spec)
    self._specs = {spec.name: spec for spec in specs}
    names = {
        'log_prob': [self._name, *conditions],
        'encode': [self._name, *conditions],
        'decode': ['latents', *conditions],
        'sample': ['num_samples', 'seed', 'temperature'],
    }
    if certified:
      radius = tf.TensorSpec([], tf.float32, name='radius')
      self._specs['radius'] = radius
      names['certified_log_prob'] = [self._name, 'radius', *conditions]
    self.functions = {name: getattr(self, name) for name in names}
    if conditions:
      names['sample'] = ['seed', 'temperature', *conditions]
      self.functions['sample'] = self.sample_given
    self.inputs = {
        name: [self._specs[argument] for argument in own]
        for name, own in names.items()
    }

  def _event_spec(self):
    return tf.TensorSpec(
        [None, *self._distribution.event_shape],
        self._distribution.dtype,
        name=self._name,
    )

  def _read(self, events):
    """Events of a request, as the flow takes them."""
    return events

  def _read_noisy(self, events):
    """The same for likelihoods, and the log-determinant of their noise."""
    return events, 0.0

  def _write(self, x):
    """Events of the flow, as they are served."""
    return x

  def _of_log_prob(self, log_prob):
    return {'log_prob': log_prob}

  def log_prob(self, events, conditioning=None):
    """Log-density `[N]` in nats."""
    events, kwargs = self._checked(conditioning, **{self._name: events})
    x, log_det = self._read_noisy(events)
    log_prob = self._distribution.log_prob(x, bijector_kwargs=kwargs)
    return self._of_log_prob(log_prob + log_det)

  def certified_log_prob(self, events, radius, conditioning=None):
    """Bounds `[N]` of the log-density within a radius of events."""
    events, radius, kwargs = self._checked(
        conditioning, **{self._name: events}, radius=radius
    )
    x, log_det = self._read_noisy(events)
    bounds = self._certified(
        x, tf.cast(radius, self._distribution.dtype), **kwargs
    )
    return {name: value + log_det for name, value in bounds._asdict().items()}

  def encode(self, events, conditioning=None):
    """Latents of events."""
    events, kwargs = self._checked(conditioning, **{self._name: events})
    x = self._read(events)
    return {'latents': self._distribution.bijector.inverse(x, **kwargs)}

  def decode(self, latents, conditioning=None):
    """Events of latents; undoes `encode`."""
    latents, kwargs = self._checked(conditioning, latents=latents)
    x = self._distribution.bijector.forward(latents, **kwargs)
    return self._events(x, 'latents')

  def sample(self, num_samples, seed, temperature):
    """Samples; the same seed gives the same ones."""
    *tensors, _ = self._checked(
        num_samples=num_samples, seed=seed, temperature=temperature
    )
    return self._sample(*tensors)

  def sample_given(self, seed, temperature, conditioning):
    """A sample for each condition."""
    *tensors, kwargs = self._checked(
        conditioning, seed=seed, temperature=temperature
    )
    num_samples = tf.shape(kwargs['conditioning'])[0]
    return self._sample(num_samples, *tensors, kwargs)

  def _sample(self, num_samples, seed, temperature, kwargs=None):
    x = flows.sample_at_temperature(
        self._distribution, num_samples, seed, temperature, kwargs
    )
    return self._events(x, 'temperature')

  def _events(self, x, argument):
    """What is served of what the flow made of an argument."""
    x = request_checks.finite(
        x,
        f'Argument `{argument}` is too large: {self._name} would not be '
        'finite.',
    )
    return {self._name: self._write(x)}

  def _checked(self, conditioning=None, **tensors):
    """The tensors, checked, and keyword arguments of methods of a bijector."""
    if conditioning is not None:
      tensors['conditioning'] = conditioning
    checked = request_checks.checked(
        self._specs, tensors, ('num_samples', 'temperature', 'radius')
    )
    if conditioning is None:
      return *checked, {}
    return *checked[:-1], {'conditioning': checked[-1]}


class ServedImages(ServedFlow):
  """The same of a flow of images, which are uint8 in requests.

  All get the same dequantisation noise: the result of `log_prob` is a function
  of the image alone, whatever else is in the batch. `encode` takes the middle
  of each bin. Likelihoods have the noise of `dequantization`, if there is one.
  """

  _name = 'images'

  def __init__(self, distribution, certified, bits, dequantization=None):
    self._bits = bits
    self._dequantization = dequantization
    super().__init__(distribution, certified)

  def _event_spec(self):
    return tf.TensorSpec(
        [None, *self._distribution.event_shape], tf.uint8, name=self._name
    )

  def _read(self, events):
    return flows.dequantize(events, self._bits)

  def _read_noisy(self, events):
    noise = flows.dequantization_noise(tf.shape(events)[1:], _NOISE_SEED)
    x = flows.dequantize(events, self._bits, noise)
    return (x, 0.0) if self._dequantization is None else self._dequantization(x)

  def _write(self, x):
    return flows.quantize(x, self._bits)

  def _of_log_prob(self, log_prob):
    size = self._distribution.event_shape.num_elements()
    return {
        'log_prob': log_prob,
        'bits_per_dim': optimum.bits_per_dim(log_prob, size, self._bits),
    }

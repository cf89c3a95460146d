"""SavedModel export of image flows."""

import itertools
import os

import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import flows
from tfp_flowopt import lipschitz
from tfp_flowopt import optimum
from tfp_flowopt.bijectors.repeated import repeated_steps
from tfp_flowopt.export import warmup_requests
from tfp_flowopt.flows import flow_of
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import new_folder
from tfp_flowopt.internal import request_checks

__all__ = ['save']

# Of the dequantisation noise of the signature `log_prob`.
_NOISE_SEED = (0, 0)


class _ServedFlow:
  """The signatures of an exported flow.

  Not a `tf.Module`: what is only needed for training is not to be saved.

  Attributes:
    inputs: For each signature its inputs, a list of `tf.TensorSpec`s.
    functions: For each signature its function.
  """

  def __init__(self, distribution, bits):
    self._distribution = distribution
    self._bits = bits
    event_shape = distribution.event_shape
    specs = [
        tf.TensorSpec([None, *event_shape], tf.uint8, name='images'),
        tf.TensorSpec(
            [None, event_shape.num_elements()], tf.float32, name='latents'
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
        'log_prob': ['images', *conditions],
        'encode': ['images', *conditions],
        'decode': ['latents', *conditions],
        'sample': ['num_samples', 'seed', 'temperature'],
    }
    self.functions = {name: getattr(self, name) for name in names}
    if conditions:
      names['sample'] = ['seed', 'temperature', *conditions]
      self.functions['sample'] = self.sample_given
    self.inputs = {
        name: [self._specs[argument] for argument in own]
        for name, own in names.items()
    }

  def log_prob(self, images, conditioning=None):
    """Log-density `[N]` and bits/dim `[N]` of uint8 images.

    All get the same dequantisation noise: the result is a function of the image
    alone, whatever else is in the batch.
    """
    images, kwargs = self._checked(images=images, conditioning=conditioning)
    noise = flows.dequantization_noise(tf.shape(images)[1:], _NOISE_SEED)
    log_prob = self._distribution.log_prob(
        flows.dequantize(images, self._bits, noise), bijector_kwargs=kwargs
    )
    event_size = self._distribution.event_shape.num_elements()
    return {
        'log_prob': log_prob,
        'bits_per_dim': optimum.bits_per_dim(log_prob, event_size, self._bits),
    }

  def encode(self, images, conditioning=None):
    """Latents `[N, H W C]` of uint8 images (the middle of each bin)."""
    images, kwargs = self._checked(images=images, conditioning=conditioning)
    x = flows.dequantize(images, self._bits)
    return {'latents': self._distribution.bijector.inverse(x, **kwargs)}

  def decode(self, latents, conditioning=None):
    """uint8 images of latents `[N, H W C]`; undoes `encode`."""
    latents, kwargs = self._checked(latents=latents, conditioning=conditioning)
    x = self._distribution.bijector.forward(latents, **kwargs)
    return self._images(x, 'latents')

  def sample(self, num_samples, seed, temperature):
    """uint8 samples; the same seed gives the same images."""
    *tensors, _ = self._checked(
        num_samples=num_samples, seed=seed, temperature=temperature
    )
    return self._sample(*tensors)

  def sample_given(self, seed, temperature, conditioning):
    """A sample for each condition."""
    *tensors, kwargs = self._checked(
        seed=seed, temperature=temperature, conditioning=conditioning
    )
    num_samples = tf.shape(kwargs['conditioning'])[0]
    return self._sample(num_samples, *tensors, kwargs)

  def _sample(self, num_samples, seed, temperature, kwargs=None):
    x = flows.sample_at_temperature(
        self._distribution, num_samples, seed, temperature, kwargs
    )
    return self._images(x, 'temperature')

  def _images(self, x, argument):
    """uint8 images of what the flow made of an argument."""
    x = request_checks.finite(
        x, f'Argument `{argument}` is too large: the images are not finite.'
    )
    return {'images': flows.quantize(x, self._bits)}

  def _checked(self, conditioning=None, **tensors):
    """The tensors, checked, and keyword arguments of methods of a bijector."""
    if conditioning is not None:
      tensors['conditioning'] = conditioning
    checked = request_checks.checked(
        self._specs, tensors, ('num_samples', 'temperature')
    )
    if conditioning is None:
      return *checked, {}
    return *checked[:-1], {'conditioning': checked[-1]}


def _check(distribution, bits):
  """Raises a `ValueError` for what cannot be exported."""
  arguments.check_int('bits', bits, least=1, most=8)
  flow_of.check_transformed(distribution)
  shape = distribution.event_shape
  if shape.rank != 3 or not shape.is_fully_defined():
    raise ValueError(
        'Argument `distribution` must be a TransformedDistribution of images '
        f'[H, W, C], got {distribution}.'
    )
  flow_of.check_base(distribution)
  for module in distribution.submodules:
    # The flow may be inside a Chain or another wrapper.
    if isinstance(module, bijectors.ImageFlow) and not module.initialized:
      raise ValueError(
          'Argument `distribution` is not initialised: call '
          '`initialize_at_optimum` and train it, or load a checkpoint, first.'
      )
  if distribution.dtype != tf.float32:
    raise ValueError(
        'Argument `distribution` must be of type float32, got '
        f'{distribution.dtype.name}.'
    )
  for variable in distribution.variables:
    # Counts of replicas are no weights, and to read one is a sum over all.
    if variable.synchronization == tf.VariableSynchronization.ON_READ:
      continue
    if variable.dtype.is_floating and not tf.reduce_all(
        tf.math.is_finite(variable)
    ):
      raise ValueError(
          'Argument `distribution` has weights that are not finite, in '
          f'{variable.name}.'
      )


def save(distribution, path, bits=8):
  """Exports an image flow as a SavedModel that needs only TensorFlow.

  It holds what serving needs: the rescaled kernels of Lipschitz layers, and
  neither the trained ones nor the rescaling. The distribution is not changed.
  TensorFlow Serving takes `path` for a version of a model if its name is a
  number, and warms it up with the requests that are in it.

  Its signatures take named tensors and return dictionaries, with any number
  of images `N`:

  * `log_prob(images)`: uint8 `[N, H, W, C]` to `log_prob` `[N]` (nats per
    image, of the data scaled by `2^-bits`) and `bits_per_dim` `[N]`. The
    dequantisation noise is the same at each call.
  * `encode(images)`: to `latents`, float32 `[N, H W C]`.
  * `decode(latents)`: to `images`, uint8 `[N, H, W, C]`; undoes `encode`.
  * `sample(num_samples, seed, temperature)`: int32 `[]`, int32 `[2]`, float32
    `[]` to `images`.

  Those of a flow with `conditioning` have one more input of that name, int64
  labels `[N]` or float32 features; `sample` has it instead of `num_samples`.

  Each fails with an `InvalidArgumentError` that names the input for shapes
  other than these, another `N` of `conditioning`, labels out of range, numbers
  that are not finite, and a negative `temperature` or `num_samples`. (XLA
  leaves out all checks but those of shapes.)

  #### Example

  ```python
  fo.export.save(distribution, 'my_flow/1')
  served = tf.saved_model.load('my_flow/1')  # no tfp_flowopt needed
  served.signatures['log_prob'](images=images)['bits_per_dim']
  ```

  Args:
    distribution: `tfd.TransformedDistribution` of float32 images, as
      `image_flow` makes it, initialised.
    path: Directory to write, which must not exist or be empty; may be a link to
      such a one. Missing parents are made. Nothing is left after an error.
    bits: Number of bits of an image value that the flow was trained on.

  Returns:
    The absolute `path`, as a string.

  Raises:
    TypeError: If `path` is no path.
    ValueError: If `distribution` is of another kind, type or base, not
      initialised or not finite, if `bits` is out of range, or if `path` holds
      something already.
    OSError: If `path` cannot be written.
  """
  _check(distribution, bits)
  # Gradients that a server takes are not with respect to weights.
  distribution = distribution.copy(
      bijector=repeated_steps.with_memory(distribution.bijector, 'stored')
  )
  served = _ServedFlow(distribution, int(bits))
  root = tf.Module(name='served_flow')
  with new_folder.new_folder(path, last='saved_model.pb') as unfinished:
    with lipschitz.frozen(distribution):
      signatures = {
          name: tf.function(
              served.functions[name], autograph=False
          ).get_concrete_function(*specs)
          for name, specs in served.inputs.items()
      }
      # Functions do not keep variables; the frozen kernels have no other owner.
      variables = itertools.chain.from_iterable(
          function.graph.variables for function in signatures.values()
      )
      root.weights = list({id(v): v for v in variables}.values())
    tf.saved_model.save(root, str(unfinished), signatures=signatures)
    warmup_requests.write_requests(unfinished, served.inputs)
  return os.path.abspath(path)

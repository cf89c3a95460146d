"""SavedModel export of image flows."""

import pathlib
import shutil

import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import flows
from tfp_flowopt import lipschitz
from tfp_flowopt import optimum
from tfp_flowopt import warmup
from tfp_flowopt.flows import flow_of

__all__ = ['save']

# Of the dequantisation noise of the signature `log_prob`.
_NOISE_SEED = (0, 0)


class _ServedFlow:
  """The signatures of an exported flow.

  Not a `tf.Module`: what is only needed for training is not to be saved.
  """

  def __init__(self, distribution, bits):
    self._distribution = distribution
    self._bits = bits

  def log_prob(self, images, conditioning=None):
    """Log-density and bits/dim of images.

    All images get the same dequantisation noise: the result is a function of
    the image alone, whatever else is in the batch.

    Args:
      images: uint8 `[N, H, W, C]`.
      conditioning: What the images are conditioned on.

    Returns:
      `log_prob` `[N]`, nats per image of the data scaled by `2^-bits`;
      `bits_per_dim` `[N]`.
    """
    noise = flows.dequantization_noise(tf.shape(images)[1:], _NOISE_SEED)
    log_prob = self._distribution.log_prob(
        flows.dequantize(images, self._bits, noise),
        bijector_kwargs=_kwargs(conditioning),
    )
    event_size = self._distribution.event_shape.num_elements()
    return {
        'log_prob': log_prob,
        'bits_per_dim': optimum.bits_per_dim(log_prob, event_size, self._bits),
    }

  def encode(self, images, conditioning=None):
    """Latents `[N, H W C]` of uint8 images (the middle of each bin)."""
    x = flows.dequantize(images, self._bits)
    z = self._distribution.bijector.inverse(x, **_kwargs(conditioning))
    return {'latents': z}

  def decode(self, latents, conditioning=None):
    """uint8 images of latents `[N, H W C]`; undoes `encode`."""
    x = self._distribution.bijector.forward(latents, **_kwargs(conditioning))
    return {'images': flows.quantize(x, self._bits)}

  def sample(self, num_samples, seed, temperature, conditioning=None):
    """uint8 samples; the same seed gives the same images."""
    x = flows.sample_at_temperature(
        self._distribution,
        num_samples,
        seed,
        temperature,
        _kwargs(conditioning),
    )
    return {'images': flows.quantize(x, self._bits)}

  def sample_given(self, seed, temperature, conditioning):
    """A sample for each condition."""
    num_samples = tf.shape(conditioning)[0]
    return self.sample(num_samples, seed, temperature, conditioning)


def _kwargs(conditioning):
  """Keyword arguments of the methods of a bijector."""
  return {} if conditioning is None else {'conditioning': conditioning}


def _check(distribution, bits):
  """Raises a `ValueError` for what cannot be exported."""
  if type(bits) is not int or bits not in range(1, 9):
    raise ValueError(f'Argument `bits` must be an int in 1..8, got {bits!r}.')
  if (
      # TFP makes instances of a private base class, too.
      getattr(distribution, 'bijector', None) is None
      or distribution.event_shape.rank != 3
      or not distribution.event_shape.is_fully_defined()
  ):
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


def _variables_read_by(functions):
  """The variables that concrete functions read, each once."""
  variables = {
      id(variable): variable
      for function in functions
      for variable in function.graph.variables
  }
  return list(variables.values())


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

  #### Example

  ```python
  fo.export.save(distribution, 'my_flow/1')
  served = tf.saved_model.load('my_flow/1')  # no tfp_flowopt needed
  served.signatures['log_prob'](images=images)['bits_per_dim']
  ```

  Args:
    distribution: `tfd.TransformedDistribution` of float32 images, as
      `image_flow` makes it, initialised.
    path: Directory to write, which must not exist or be empty.
    bits: Number of bits of an image value that the flow was trained on.

  Returns:
    `path`, as a string.

  Raises:
    ValueError: If `distribution` is of another kind, not initialised, not
      float32 or on another base than a standard normal, if `bits` is out of
      range, or if `path` holds something already.
  """
  path = pathlib.Path(path).absolute()
  if path.exists() and (not path.is_dir() or any(path.iterdir())):
    raise ValueError(f'Argument `path`: {path} exists and is not empty.')
  _check(distribution, bits)
  served = _ServedFlow(distribution, bits)
  images = tf.TensorSpec(
      [None, *distribution.event_shape], tf.uint8, name='images'
  )
  latents = tf.TensorSpec(
      [None, distribution.event_shape.num_elements()],
      tf.float32,
      name='latents',
  )
  num_samples = tf.TensorSpec([], tf.int32, name='num_samples')
  seed = tf.TensorSpec([2], tf.int32, name='seed')
  temperature = tf.TensorSpec([], tf.float32, name='temperature')
  conditioning = getattr(distribution.bijector, 'conditioning', None)
  conditions = [] if conditioning is None else [conditioning.spec]
  inputs = {
      'log_prob': [images, *conditions],
      'encode': [images, *conditions],
      'decode': [latents, *conditions],
      'sample': [num_samples, seed, temperature],
  }
  functions = {name: getattr(served, name) for name in inputs}
  if conditions:
    inputs['sample'] = [seed, temperature, *conditions]
    functions['sample'] = served.sample_given
  root = tf.Module(name='served_flow')
  with lipschitz.frozen(distribution):
    signatures = {
        name: tf.function(functions[name]).get_concrete_function(*specs)
        for name, specs in inputs.items()
    }
    # Functions do not keep variables; the frozen kernels have no other owner.
    root.weights = _variables_read_by(signatures.values())
  # A reader never sees a half-written model.
  unfinished = path.with_name(f'.tmp-{path.name}')
  shutil.rmtree(unfinished, ignore_errors=True)
  tf.saved_model.save(root, str(unfinished), signatures=signatures)
  warmup.write_requests(unfinished, inputs)
  unfinished.rename(path)
  return str(path)

"""The convolutional network inside a coupling."""

import functools
import math

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import activations
from tfp_flowopt.lipschitz import layers
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.networks import soft_limit

__all__ = ['ConvConditioner', 'inflation']


class ConvConditioner(tf.Module):
  """Three convolutions (3x3, 1x1, 3x3) with a certified Lipschitz constant.

  ```none
  y = L (K3 * act(K2 * act(K1 * x + b1) + b2) + b3)
  ```

  The kernels are rescaled to operator norm 1 and the activation has constant 1,
  so `L` is a Lipschitz constant for all weights and every image size. The last
  kernel starts at zero, so a coupling starts as the identity. `L = inf` takes
  the kernels as they are, for comparisons.

  With conditioning `c` the first layer adds `E c`, a 1x1 convolution: `L` is
  the constant in `x`, for any `c`. It has none in `c`. What is beyond 10 in
  size counts by its logarithm (`10 + asinh(c - 10)`).

  With `compute_dtype=tf.bfloat16` all but the variables, the input and the
  output is of that type. `L` is the constant before the kernels are rounded to
  it; `lipschitz` allows for that.
  """

  def __init__(
      self,
      in_channels: int,
      hidden_channels: int,
      out_channels: int,
      lipschitz: float = 4.0,
      activation: types.Activation = 'max_min',
      conditioning_channels: int = 0,
      dtype: types.DType = tf.float32,
      compute_dtype: types.DType | None = None,
      seed: int = 0,
      name: str = 'conv_conditioner',
  ) -> None:
    """Creates the network.

    Args:
      in_channels: Number of channels of the input.
      hidden_channels: Number of channels between; even for MaxMin.
      out_channels: Number of channels of the output.
      lipschitz: Positive Python `float`, the `L` above; `inf` for no bound.
      activation: `'max_min'`, `'smooth_max_min'` or `'relu'`.
      conditioning_channels: Number of channels of `c`; 0 for none.
      dtype: Type of the variables, the input and the output.
      compute_dtype: Type of the convolutions and activations; by default
        `dtype`.
      seed: Python `int`, of the initial kernels.
      name: Python `str`.

    Raises:
      ValueError: If `hidden_channels` is odd with MaxMin, `lipschitz` is not
        positive, or `activation` unknown.
    """
    super().__init__(name=name)
    self._activation = activations.activation_function(
        activation, hidden_channels, 'hidden_channels'
    )
    self._lipschitz = lipschitz = arguments.check_positive(
        'lipschitz', lipschitz, or_infinite=True
    )
    seed = arguments.check_int('seed', seed, least=0)
    conditioning_channels = arguments.check_int(
        'conditioning_channels', conditioning_channels, least=0
    )
    build = functools.partial(
        layers.LipschitzConv2D,
        normalization=None if math.isinf(lipschitz) else 'aol',
        dtype=dtype,
        compute_dtype=compute_dtype,
    )
    self._first = build(in_channels, hidden_channels, 3, seed=seed)
    self._middle = build(hidden_channels, hidden_channels, 1, seed=seed + 1)
    # Its kernel has the factor `L`, its bias has none.
    self._last = build(
        hidden_channels, out_channels, 3, zero_initial=True, lipschitz=lipschitz
    )
    self._dtype = tf.as_dtype(dtype)
    self._conditioning_channels = conditioning_channels
    self._embedding = None
    if conditioning_channels:
      self._embedding = build(
          conditioning_channels,
          hidden_channels,
          1,
          normalization=None,
          use_bias=False,
          seed=seed + 2,
      )
    sizes = in_channels, hidden_channels, out_channels
    self._inflation = inflation(sizes, lipschitz, dtype, compute_dtype)

  # Those of its inputs and outputs, for a coupling.
  event_ndims = 3

  @property
  def dtype(self) -> tf.DType:
    """Type of the variables, the input and the output."""
    return self._dtype

  @property
  def lipschitz(self) -> float:
    """Certified Lipschitz constant of the whole network, or infinite."""
    return self._lipschitz * self._inflation

  @property
  def conditioning_channels(self) -> int:
    """Number of channels of conditioning; 0 if it takes none."""
    return self._conditioning_channels

  def __call__(
      self, x: types.TensorLike, conditioning: types.TensorLike | None = None
  ) -> tf.Tensor:
    """Maps `[..., H, W, in_channels]` to `[..., H, W, out_channels]`.

    `conditioning` is `[..., H, W, conditioning_channels]`, with 1 for `H` and
    `W` for all positions alike, or `None` for zeros.

    Raises:
      ValueError: If channels do not fit.
    """
    x = tf.convert_to_tensor(x)
    if conditioning is not None:
      if self._embedding is None:
        raise ValueError(
            'Argument `conditioning`: the network was made with '
            '`conditioning_channels=0`.'
        )
      conditioning = tf.convert_to_tensor(conditioning)
    if x.shape.rank != 4 or x.shape[0]:
      return self._apply(x, conditioning)
    # On CPUs, TensorFlow gives empty batches the channels of the input; and
    # Grappler drops a `tf.reshape` to those that static shapes tell already.
    number = tf.shape(x)[0]
    return self._apply(_not_empty(x), _not_empty(conditioning))[:number]

  def _apply(self, x, conditioning):
    x = self._first(x)
    if conditioning is not None:
      x += self._embedding(soft_limit.soft_limit(conditioning))
    x = self._activation(x)
    x = self._activation(self._middle(x))
    return tf.cast(self._last(x), self._dtype)


def _not_empty(x):
  """`x`, with a row of zeros in the place of none."""
  if x is None or x.shape.rank != 4 or x.shape[0]:
    return x
  missing = tf.cast(tf.equal(tf.shape(x)[0], 0), tf.int32)
  padded = tf.pad(x, [[0, missing], [0, 0], [0, 0], [0, 0]])
  return tf.ensure_shape(padded, [None, *x.shape[1:]])


def inflation(sizes, lipschitz, dtype, compute_dtype):
  """Safety factor of the constant that a `ConvConditioner` states.

  `sizes` are the channels of its input, between, and of its output.
  """
  if compute_dtype in (None, dtype):
    return rounding.inflation(dtype)
  inputs, hidden, outputs = sizes
  return math.prod(
      rounding.kernel_inflation(shape, constant, dtype, compute_dtype)
      for shape, constant in (
          ([3, 3, inputs, hidden], 1.0),
          ([hidden, hidden], 1.0),
          ([3, 3, hidden, outputs], lipschitz),
      )
  )

"""The convolutional network inside a coupling."""

import tensorflow as tf

from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import layers

__all__ = ['ConvConditioner']


class ConvConditioner(tf.Module):
  """Three convolutions (3x3, 1x1, 3x3) with a certified Lipschitz constant.

  ```none
  y = L K3 * act(K2 * act(K1 * x + b1) + b2) + b3
  ```

  The kernels are rescaled to operator norm 1, the activation is MaxMin, so `L`
  is a Lipschitz constant for all weights and every image size. The last kernel
  starts at zero: the output is zero, and a coupling starts as the identity.
  """

  def __init__(
      self,
      in_channels,
      hidden_channels,
      out_channels,
      lipschitz=4.0,
      dtype=tf.float32,
      seed=0,
      name='conv_conditioner',
  ):
    """Creates the network.

    Args:
      in_channels: Number of channels of the input.
      hidden_channels: Number of channels between; even.
      out_channels: Number of channels of the output.
      lipschitz: Positive Python `float`, the `L` above.
      dtype: Type of the variables.
      seed: Python `int`, of the initial kernels.
      name: Python `str`.

    Raises:
      ValueError: If `hidden_channels` is odd or `lipschitz` not positive.
    """
    super().__init__(name=name)
    if hidden_channels < 2 or hidden_channels % 2:
      raise ValueError(
          'Argument `hidden_channels` must be even (MaxMin pairs channels) '
          f'and positive, got {hidden_channels}.'
      )
    if not lipschitz > 0:
      raise ValueError(
          f'Argument `lipschitz` must be positive, got {lipschitz}.'
      )
    self._lipschitz = lipschitz
    self._first = layers.LipschitzConv2D(
        in_channels, hidden_channels, 3, dtype=dtype, seed=seed
    )
    self._middle = layers.LipschitzConv2D(
        hidden_channels, hidden_channels, 1, dtype=dtype, seed=seed + 1
    )
    self._last = layers.LipschitzConv2D(
        hidden_channels, out_channels, 3, zero_initial=True, dtype=dtype
    )
    self._inflation = bounds.inflation(dtype)

  @property
  def lipschitz(self):
    """Certified Lipschitz constant of the whole network."""
    return self._lipschitz * self._inflation

  def __call__(self, x):
    """Maps `[..., H, W, in_channels]` to `[..., H, W, out_channels]`."""
    x = layers.max_min(self._first(x))
    x = layers.max_min(self._middle(x))
    return self._lipschitz * self._last(x)

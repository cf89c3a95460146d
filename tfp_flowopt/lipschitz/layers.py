"""Linear layers with a certified Lipschitz constant."""

from collections.abc import Sequence
import math
from typing import Literal

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import convolution
from tfp_flowopt.internal import image_batch
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import operator_norm
from tfp_flowopt.lipschitz import rescaled_kernel
from tfp_flowopt.lipschitz import rounding

__all__ = ['LipschitzConv2D', 'LipschitzDense', 'LipschitzLinear']


def _initial_kernel(shape, dtype, seed):
  """Orthonormal on the central tap, so nearly an isometry after rescaling."""
  kernel = np.zeros(shape)
  rows, columns = shape[-2:]
  gaussian = np.random.default_rng(seed).normal(
      size=(max(rows, columns), min(rows, columns))
  )
  orthonormal, _ = np.linalg.qr(gaussian)
  centre = tuple(size // 2 for size in shape[:-2])
  kernel[centre] = orthonormal.T if rows < columns else orthonormal
  return tf.cast(kernel, dtype)


def _checked_mask(mask, shape):
  """A mask as an array of 0 and 1, of the shape of the kernel."""
  mask = np.asarray(mask)
  if mask.shape != tuple(shape) or not np.isin(mask, (0, 1)).all():
    raise ValueError(
        f'Argument `mask` must have shape {list(shape)} and hold zeros and '
        f'ones, got shape {list(mask.shape)}.'
    )
  return mask.astype(np.float64)


class LipschitzLinear(tf.Module):
  """A kernel that is rescaled to a bounded operator norm, and a bias.

  Subclasses implement `__call__`, and state the constants again.
  """

  def __init__(
      self,
      kernel_shape: Sequence[tuple[str, int]],
      lipschitz: float | None,
      normalization: Literal['aol', 'gram'] | None,
      use_bias: bool,
      zero_initial: bool,
      dtype: types.DType,
      seed: int,
      name: str,
      compute_dtype: types.DType | None = None,
      rate: float = 1.0,
      mask: types.TensorLike | None = None,
  ) -> None:
    """Creates the variables.

    `kernel_shape` pairs the names of arguments and sizes, axis by axis; all
    else is as in `LipschitzConv2D`.
    """
    super().__init__(name=name)
    shape = [
        arguments.check_int(name, size, least=int(name != 'in_features'))
        for name, size in kernel_shape
    ]
    # The constant is certified in no other type.
    dtype = arguments.check_dtype('dtype', dtype, (tf.float32, tf.float64))
    seed = arguments.check_int('seed', seed, least=0)
    rate = arguments.check_positive('rate', rate)
    if normalization is None:
      if rate != 1.0:
        raise ValueError(
            'Argument `rate` must be 1 with `normalization=None`, which uses '
            f'the kernel as it is, got {rate}.'
        )
      if lipschitz not in (None, math.inf):
        raise ValueError(
            'Argument `lipschitz` must be inf (or None) with '
            f'`normalization=None`, which bounds nothing, got {lipschitz}.'
        )
      self._lipschitz = math.inf
    else:
      arguments.check_choice(
          'normalization', normalization, rescaled_kernel.NORMALIZATIONS
      )
      self._lipschitz = arguments.check_number(
          'lipschitz',
          1.0 if lipschitz is None else lipschitz,
          lambda v: 0 < v < math.inf,
          'a positive number (for no bound, give `normalization=None`)',
      )
    self._normalization = normalization
    self._dtype = dtype
    self._compute_dtype = arguments.check_dtype(
        'compute_dtype', dtype if compute_dtype is None else compute_dtype
    )
    self._inflation = rounding.kernel_inflation(
        shape, self._lipschitz, dtype, self._compute_dtype
    )
    self._in_channels = shape[-2]
    if zero_initial:
      kernel = tf.zeros(shape, dtype)
    else:
      kernel = _initial_kernel(shape, dtype, seed)
    self._mask = None
    if mask is not None:
      self._mask = mask = _checked_mask(mask, shape)
    if normalization is None:
      self._kernel = tf.Variable(kernel, name='kernel')
    else:
      self._kernel = rescaled_kernel.RescaledKernel(
          kernel, normalization, self._lipschitz, rate, mask
      )
    self._bias = None
    if use_bias:
      self._bias = tf.Variable(tf.zeros(shape[-1:], dtype), name='bias')

  @property
  def lipschitz(self) -> float:
    """The certified Lipschitz constant, whatever the weights are.

    With the safety factor of the types; infinite without normalisation.
    """
    return self._lipschitz * self._inflation

  @property
  def current_lipschitz(self) -> float:
    """A constant of the layer with its kernel as it is."""
    if not self._in_channels:
      return 0.0  # the bias alone
    kernel = tf.cast(self.effective_kernel(), self._compute_dtype)
    norm = operator_norm.operator_norm_bound(tf.cast(kernel, tf.float64))
    return float(norm) * rounding.inflation(self._dtype)

  @property
  def normalization(self) -> Literal['aol', 'gram'] | None:
    """How the kernel is rescaled: `'aol'`, `'gram'` or `None`."""
    return self._normalization

  @property
  def compute_dtype(self) -> tf.DType:
    """Type that the layer computes in."""
    return self._compute_dtype

  def effective_kernel(self) -> tf.Tensor:
    """The rescaled kernel: in `cached` computed once, in `frozen` frozen."""
    if self._normalization is None:
      kernel = tf.convert_to_tensor(self._kernel)
      if self._mask is not None:
        kernel *= tf.constant(self._mask, kernel.dtype)
      return kernel
    return self._kernel()

  def assign(
      self, kernel: types.TensorLike, bias: types.TensorLike | None = None
  ) -> None:
    """Sets the weights.

    Args:
      kernel: What is trained, before it is rescaled; of the kernel's shape.
      bias: Vector of the outputs, or `None`: it stays as it is.

    Raises:
      ValueError: If there is no bias, or a shape does not fit.
    """
    if bias is not None:
      if self._bias is None:
        raise ValueError('Argument `bias`: the layer has none.')
      self._bias.assign(tf.cast(bias, self._dtype))
    self._kernel.assign(tf.cast(kernel, self._dtype))

  def _check_input(self, x):
    """`x` as a `Tensor`; raises a `ValueError` if its channels do not fit."""
    dtype = self._dtype
    if tf.is_tensor(x) and x.dtype == self._compute_dtype:
      dtype = x.dtype
    x = tf.convert_to_tensor(x, dtype, name='x')
    channels = self._in_channels
    # conv2d takes a multiple of the channels for a grouped convolution.
    if x.shape.rank is not None and (
        x.shape.rank < 1 or x.shape[-1] not in (None, channels)
    ):
      raise ValueError(
          f'Argument `x` must have {channels} channels, its last axis, got '
          f'shape {x.shape}.'
      )
    return x

  def _add_bias(self, y):
    return y if self._bias is None else y + tf.cast(self._bias, y.dtype)


class LipschitzDense(LipschitzLinear):
  """Dense layer with a certified Lipschitz constant.

  `y = x L K + b`, where `K` is the kernel rescaled to operator norm 1, by
  default by `almost_orthogonal`.
  """

  # A subclass may compute something else, so it states them again.
  lipschitz = LipschitzLinear.lipschitz
  current_lipschitz = LipschitzLinear.current_lipschitz

  def __init__(
      self,
      in_features: int,
      out_features: int,
      zero_initial: bool = False,
      lipschitz: float | None = None,
      normalization: Literal['aol', 'gram'] | None = 'aol',
      use_bias: bool = True,
      dtype: types.DType = tf.float32,
      seed: int = 0,
      mask: types.TensorLike | None = None,
      name: str = 'lipschitz_dense',
  ) -> None:
    """Creates the layer.

    Args:
      in_features: Size of the last axis of the input; 0 for the bias alone.
      out_features: Size of the last axis of the output.
      zero_initial: Whether the kernel starts at zero instead of orthonormal.
      lipschitz: Positive Python `float`, the `L` above. By default 1, or `inf`
        without normalisation.
      normalization: `'aol'`: a scale for each channel (`almost_orthogonal`);
        `'gram'`: one scale, 1 over the certified `operator_norm_bound`; `None`:
        the kernel is used as it is, and has no constant.
      use_bias: Whether there is a bias `b`.
      dtype: Type of the variables, float32 or float64.
      seed: Python `int`, of the initial kernel.
      mask: Array `[in_features, out_features]` of zeros and ones, or `None`:
        the kernel stays 0 where it is 0.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    super().__init__(
        [('in_features', in_features), ('out_features', out_features)],
        lipschitz,
        normalization,
        use_bias,
        zero_initial,
        dtype,
        seed,
        name,
        mask=mask,
    )

  def __call__(self, x: types.TensorLike) -> tf.Tensor:
    """Maps `[..., in_features]` to `[..., out_features]`."""
    x = self._check_input(x)
    kernel = self.effective_kernel()
    if not kernel.shape[0]:
      # Graphs fuse a product of no numbers with the bias, and oneDNN ends the
      # whole process over that.
      shape = tf.concat([tf.shape(x)[:-1], [kernel.shape[1]]], axis=0)
      zero = tf.reduce_sum(tf.cast(kernel, x.dtype))
      return self._add_bias(tf.zeros(shape, x.dtype) + zero)
    return self._add_bias(tf.tensordot(x, kernel, axes=1))


class LipschitzConv2D(LipschitzLinear):
  """Convolution, stride 1, zero padding, with a certified Lipschitz constant.

  `y = L K * x + b`, where `K` is the kernel rescaled to operator norm 1, by
  default by `almost_orthogonal`. The constant holds for every image size.
  """

  # A subclass may compute something else, so it states them again.
  lipschitz = LipschitzLinear.lipschitz
  current_lipschitz = LipschitzLinear.current_lipschitz

  def __init__(
      self,
      in_channels: int,
      out_channels: int,
      kernel_size: int = 3,
      zero_initial: bool = False,
      lipschitz: float | None = None,
      normalization: Literal['aol', 'gram'] | None = 'aol',
      use_bias: bool = True,
      dtype: types.DType = tf.float32,
      compute_dtype: types.DType | None = None,
      rate: float = 1.0,
      seed: int = 0,
      name: str = 'lipschitz_conv2d',
  ) -> None:
    """Creates the layer.

    Args:
      in_channels: Size of the last axis of the input.
      out_channels: Size of the last axis of the output.
      kernel_size: Side of the square kernel.
      zero_initial: As for `LipschitzDense`.
      lipschitz: As for `LipschitzDense`.
      normalization: As for `LipschitzDense`.
      use_bias: As for `LipschitzDense`.
      dtype: As for `LipschitzDense`.
      compute_dtype: Type of the convolution and its result, such as
        `tf.bfloat16`; by default `dtype`. `lipschitz` allows for the rounding
        of the kernel.
      rate: Positive Python `float`, a factor of the trained kernel before it is
        normalised: how far it moves for a step of the weights. Not without
        normalisation.
      seed: Python `int`, of the initial kernel.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    super().__init__(
        [
            ('kernel_size', kernel_size),
            ('kernel_size', kernel_size),
            ('in_channels', in_channels),
            ('out_channels', out_channels),
        ],
        lipschitz,
        normalization,
        use_bias,
        zero_initial,
        dtype,
        seed,
        name,
        compute_dtype,
        rate,
    )

  def __call__(self, x: types.TensorLike) -> tf.Tensor:
    """Maps `[..., H, W, in_channels]` to `[..., H, W, out_channels]`."""
    x = tf.cast(self._check_input(x), self._compute_dtype)
    kernel = tf.cast(self.effective_kernel(), self._compute_dtype)
    return self._add_bias(
        image_batch.on_image_batch(
            lambda x: convolution.convolution(x, kernel), x
        )
    )

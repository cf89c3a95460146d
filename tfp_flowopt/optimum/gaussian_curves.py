"""Curves that make each column of data normal."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types

__all__ = ['gaussian_curves']

# Part of the distribution beyond the outer knots, on each side, at least.
_TAIL = 1e-3
# As many values are beyond them, if that is more.
_FEWEST = 5
# What the knots are chosen from are this many times the cube root of the number
# of values: as the bins of a histogram.
_RESOLUTION = 4.0


def gaussian_curves(
    x: types.TensorLike,
    num_knots: int = 321,
    min_slope: float = 0.02,
    max_slope: float = 50.0,
) -> tuple[np.ndarray, np.ndarray]:
  """Knots of increasing curves that make each column of vectors normal.

  The optimum of the likelihood over functions of one value is
  `g = Phi^-1 o F`, with the distribution function `F` of the column and the
  normal one `Phi` (Chen & Gopinath 2000). Here its inverse is tabulated: the
  quantiles `q_k` at equidistant normal quantiles `z_k`. They are moved until
  all slopes are within bounds,

  ```none
  m / s <= (z_(k+1) - z_k) / (q_(k+1) - q_k) <= M / s,
  ```

  with the standard deviation `s` of the column: to the nearest ones, in
  squares, for which `q - s z / M` increases, then from there to the nearest for
  which `q - s z / m` decreases. Each is an isotonic regression, in closed form,
  and the second makes no piece steeper than `M / s` again. A value that is
  there many times becomes a piece of that slope around it, so its density is
  finite. A constant column is shifted to 0, with slope 1; so is one whose
  values differ by rounding alone.

  Args:
    x: Data `[N, D]`, `N >= 2`.
    num_knots: Number of knots of each curve, at least 2.
    min_slope: The `m` above, in `(0, 1)`.
    max_slope: The `M` above, more than 1. It is less where float32 could not
      tell knots apart, in columns whose mean is large beside `s`.

  Returns:
    inputs: float64 array `[D, num_knots]`, increasing: values of the data.
    outputs: float64 array `[D, num_knots]`, increasing: what they become.

  Raises:
    ValueError: If an argument has a wrong value, or `x` is not finite.
  """
  x = np.asarray(arguments.check_tensor('x', x), np.float64)
  if x.ndim != 2 or x.shape[0] < 2 or not x.shape[1]:
    raise ValueError(
        'Argument `x` must have shape [N, D], with N of at least 2, got '
        f'{x.shape}.'
    )
  if not np.all(np.isfinite(x)):
    raise ValueError('Argument `x` must be finite.')
  num_knots = arguments.check_int('num_knots', num_knots, 2)
  low = arguments.check_number(
      'min_slope', min_slope, lambda v: 0 < v < 1, 'in (0, 1)'
  )
  high = arguments.check_number(
      'max_slope', max_slope, lambda v: 1 < v < np.inf, 'more than 1'
  )
  num = x.shape[0]
  tail = min(max(_TAIL, _FEWEST / num), 0.25)
  largest = -float(tf.math.ndtri(tf.constant(tail, tf.float64)))
  outputs = np.linspace(-largest, largest, num_knots)
  size = min(max(int(_RESOLUTION * num ** (1 / 3)), 2), num_knots)
  # Of the few the many are taken: slopes are means of theirs.
  few = np.linspace(-largest, largest, size)
  probabilities = 0.5 * tf.math.erfc(-few / np.sqrt(2.0)).numpy()
  step = outputs[1] - outputs[0]
  inputs = []
  for column in x.T:
    # The least difference of inputs, for one of outputs.
    least = 2 * np.finfo(np.float32).eps * np.max(np.abs(column)) / step
    scale = np.std(column)
    if scale / low <= least or not np.ptp(column):
      inputs.append(np.mean(column) + outputs * max(1.0, least))
      continue
    knots = np.quantile(column, probabilities)
    steepest = few * max(scale / high, least)
    knots = steepest + _increasing(knots - steepest)
    flattest = few * scale / low
    knots = flattest - _increasing(flattest - knots)
    inputs.append(np.interp(outputs, few, knots))
  return np.stack(inputs), np.tile(outputs, [x.shape[1], 1])


def _increasing(values):
  """The nearest values that do not decrease (isotonic regression)."""
  means, counts = [], []
  for value in values:
    mean, count = value, 1
    while means and means[-1] > mean:
      other = counts.pop()
      mean = (mean * count + means.pop() * other) / (count + other)
      count += other
    means.append(mean)
    counts.append(count)
  return np.repeat(means, counts)

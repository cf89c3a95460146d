"""Rounding errors of going back through bijectors."""

from collections.abc import Sequence
import math

import numpy as np
import tensorflow_probability as tfp

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import bounds as bounds_lib
from tfp_flowopt.lipschitz import rounding as rounding_lib

__all__ = ['reconstruction_error_bound']


def reconstruction_error_bound(
    layers: Sequence[types.Bijector | bounds_lib.LipschitzBounds],
    norms: types.TensorLike,
    dtype: types.DType,
    rounding: float = 16.0,
) -> float | np.ndarray:
  """Bounds the error of recomputing the input of layers from their output.

  Layers `1..n` map a value `x_0` to `x_n`, each by its `inverse`, `x_k =
  f_k(x_(k-1))`; then each `forward`, `g_k`, in turn maps back, to `y_0`, which
  is `x_0` in exact arithmetic. In floating point with unit round-off `u`,
  **if** each layer is mixed stable with constant `c` in both directions (its
  computed value is the exact value at an input that is off by at most `c u`,
  itself off by at most `c u`, relative and in the Euclidean norm of an event):

  ```none
  |computed f(x) - f(x)| <= c u (Lip(f) |x| + |f(x)|),   the same for g,
  ```

  then, with `F_k, G_k` the Lipschitz constants of `f_k` and `g_k`, and `x_k`
  the values as they were computed, the errors `e_k = |y_k - x_k|` satisfy

  ```none
  d_k     = c u (F_k |x_(k-1)| + |x_k|) / (1 - c u)      error of f_k
  a_k     = G_k (e_k + d_k)                              amplified by g_k
  e_(k-1) <= a_k + c u (G_k (|x_k| + e_k) + |x_(k-1)| + a_k),    e_n = 0.
  ```

  The constants of the layers are certificates; **`c` is an assumption** about
  arithmetic. Summing `m` products in any order has `c <= m` in the worst case,
  and about `sqrt(m)` as a rule (Higham 2002, ch. 3). The default covers this
  library's layers on CPU up to 64 channels or so. Numbers inside a layer that
  are much larger than its input and output need a larger one.

  Args:
    layers: List of bijectors or `LipschitzBounds`, in the order of direction
      `inverse` (`FlowLevel.parts`, say).
    norms: Euclidean norms of the values as computed, `x_0` to `x_n`: `[n + 1]`,
      or `[n + 1, N]` for a batch of events.
    dtype: Floating-point type of the arithmetic. Where a GPU may use
      TensorFloat-32, give `tf.float16`: it has the same unit round-off.
    rounding: The `c` above, a positive number.

  Returns:
    Python `float`, or array `[N]`: bound of `|y_0 - x_0|`; infinite if a layer
    has no finite constants.

  Raises:
    ValueError: If an argument has a wrong value.
    TypeError: If the bounds of a layer are not known (`lipschitz_bounds`).
  """
  unit = rounding_lib.properties(arguments.check_dtype('dtype', dtype)).unit
  error = unit * arguments.check_number(
      'rounding',
      rounding,
      lambda v: 0 < v * unit < 0.5,
      f'positive and less than half of 1/u = {1 / unit:g}',
  )
  kinds = (bounds.LipschitzBounds, tfp.bijectors.Bijector)
  if not isinstance(layers, (list, tuple)) or not all(
      isinstance(layer, kinds) for layer in layers
  ):
    raise ValueError(
        'Argument `layers` must be a list of bijectors or LipschitzBounds, got '
        f'{layers!r}.'
    )
  try:
    norms = np.asarray(norms, np.float64)
  except (TypeError, ValueError) as e:
    raise ValueError(f'Argument `norms` must be numbers, got {norms!r}.') from e
  if norms.ndim not in (1, 2) or len(norms) != len(layers) + 1:
    raise ValueError(
        f'Argument `norms` must have shape [n + 1] or [n + 1, N] for n = '
        f'{len(layers)} layers, got {list(norms.shape)}.'
    )
  if not np.all((norms >= 0) & np.isfinite(norms)):
    raise ValueError(
        'Argument `norms` must be finite and not negative, got '
        f'{norms.min()} to {norms.max()}.'
    )
  constants = [
      layer
      if isinstance(layer, bounds.LipschitzBounds)
      else bounds.lipschitz_bounds(layer)
      for layer in layers
  ]
  total = np.zeros(norms.shape[1:])
  # What overflows is infinite, and so is 0 times that.
  with np.errstate(over='ignore', invalid='ignore'):
    for k in reversed(range(len(layers))):
      forward, inverse = constants[k]
      before, after = norms[k], norms[k + 1]
      rounded = error * (inverse * before + after) / (1.0 - error)
      amplified = forward * (total + rounded)
      total = amplified + error * (
          forward * (after + total) + before + amplified
      )
  if not np.all(np.isfinite(constants)):
    total += math.inf
  total = np.where(np.isnan(total), math.inf, total)
  return total if total.ndim else float(total)

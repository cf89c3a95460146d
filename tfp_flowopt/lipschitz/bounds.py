"""Certified Lipschitz constants of bijectors, and their algebra."""

import functools
import math
from typing import Any
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import registered
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import regions
from tfp_flowopt.lipschitz import rounding

__all__ = [
    'ISOMETRY',
    'LipschitzBounds',
    'bounds_of_log_scales',
    'bounds_of_parts',
    'check_registered',
    'coupling_norm',
    'known_bounds',
    'largest_singular_value',
    'lipschitz_bounds',
    'log_constant',
    'with_neighbours',
]

# Of a matrix whose singular values take long.
_MANY_ROWS = 256


class LipschitzBounds(NamedTuple):
  """Upper bounds of the Lipschitz constants of a bijector, in both directions.

  Attributes:
    forward: Bound of `|forward(x) - forward(x')| / |x - x'|`, Euclidean norms
      over events; `inf` if there is no global constant.
    inverse: The same for `inverse`.
  """

  forward: float
  inverse: float

  def inverted(self) -> 'LipschitzBounds':
    """Bounds of the bijector with its directions swapped."""
    return LipschitzBounds(self.inverse, self.forward)

  def then(self, other: 'LipschitzBounds') -> 'LipschitzBounds':
    """Bounds of a composition with `other`, in either order."""
    return LipschitzBounds(
        rounding.product(self.forward, other.forward),
        rounding.product(self.inverse, other.inverse),
    )

  def beside(self, other: 'LipschitzBounds') -> 'LipschitzBounds':
    """Bounds of two bijectors that act on separate parts of an event."""
    # NumPy's maximum: NaN stays NaN, whichever comes first.
    return LipschitzBounds(*np.maximum(self, other).tolist())

  def inflated(
      self, dtype: types.DType, operations: int = 0
  ) -> 'LipschitzBounds':
    """Bounds of weights of a type, with what rounding may add.

    Args:
      dtype: Floating-point type, real or complex.
      operations: Number of roundings in a row, where it may be large.

    Returns:
      `LipschitzBounds`: times 1 + 1e-4 for float32 (1 + 2e-3 where a GPU may
      use TensorFloat-32), 1 + 2e-13 for float64, 1.004 for float16 and 1.03 for
      bfloat16, or more for more operations; infinite beyond the type's range.
    """
    return LipschitzBounds(
        *(rounding.rounded_up(bound, dtype, operations) for bound in self)
    )

  def log_det_range(self, event_size: int) -> tuple[float, float]:
    """Range of `inverse_log_det_jacobian` that the bounds leave, in nats.

    Every singular value of the Jacobian of `inverse` lies in
    `[1 / forward, inverse]`, and the determinant is the product of `D` of them,
    `D` the `event_size` (`H W C` for images):

    ```none
    -D log forward <= log|det d inverse / dy| <= D log inverse
    ```

    A log-determinant that float32 computes has a rounding error on top.

    Returns:
      Pair of Python `float`s; infinite where a bound is.

    Raises:
      ValueError: If `event_size` is not positive, or a bound negative or NaN.
    """
    size = arguments.check_int('event_size', event_size)
    forward, inverse = map(log_constant, self)
    return -size * forward, size * inverse

  def max_log_likelihood(self, event_size: int) -> float:
    """The largest log-density that any event can have, standard normal base.

    ```none
    log p(x) = -|z|^2 / 2 - D/2 log(2 pi) + log|det d inverse / dx|
             <= D (log inverse - 1/2 log(2 pi)),   z = inverse(x)
    ```

    with `D` the `event_size`, in nats; infinite if `inverse` is. So a flow with
    a finite bound cannot collapse to infinite likelihood, on whatever data.

    Raises:
      ValueError: As `log_det_range`.
    """
    _, largest = self.log_det_range(event_size)
    return largest - 0.5 * event_size * math.log(2.0 * math.pi)


def log_constant(bound):
  """Logarithm of a bound; a `ValueError` if it is negative or NaN.

  Of 0, which collapses space, it is minus infinity.
  """
  if not bound >= 0:
    raise ValueError(
        f'A Lipschitz bound must not be negative or NaN, got {bound}.'
    )
  return math.log(bound) if bound > 0 else -math.inf


ISOMETRY = LipschitzBounds(1.0, 1.0)


def bounds_of_log_scales(log_scales, dtype=None):
  """`LipschitzBounds` of a linear `inverse` with these singular values.

  Args:
    log_scales: `Tensor`, the logarithms of the singular values.
    dtype: Type that their exponentials are computed in; by default theirs.
  """
  values = np.asarray(tf.cast(log_scales, tf.float64))
  return LipschitzBounds(
      rounding.exponential(-float(np.min(values))),
      rounding.exponential(float(np.max(values))),
  ).inflated(dtype or log_scales.dtype)


def largest_singular_value(matrix):
  """The spectral norm of a real matrix, from above; infinite on overflow."""
  matrix = np.asarray(tf.cast(matrix, tf.float64))
  if not np.all(np.isfinite(matrix)):
    return math.inf
  size = max(matrix.shape)
  largest = np.max(np.abs(matrix), initial=0.0)
  if not largest:  # all zeros, or empty: older NumPy has no norm of that
    return 0.0
  if min(matrix.shape) < _MANY_ROWS:
    return float(np.linalg.norm(matrix, ord=2)) * (1.0 + size * 2.0**-52)
  # Eigenvalues of the Gram matrix take a fifth of the time of singular values;
  # each of its numbers has `size` roundings of up to the norm's square.
  scaled = matrix / largest
  square = np.linalg.eigvalsh(scaled @ scaled.T)[-1]
  return float(largest * np.sqrt(square) * (1.0 + size**2 * 2.0**-52))


def coupling_norm(c, d):
  """Spectral norm of `[[1, 0], [c, d]]`, which bounds a coupling's Jacobian.

  ```none
  N(c, d) = (sqrt(c^2 + (1 + d)^2) + sqrt(c^2 + (1 - d)^2)) / 2
  ```

  half of the sum and the difference of the two singular values.
  """
  if c == 0:
    return max(1.0, d)
  # Without squares, which overflow, and without a difference that cancels.
  norm = 0.5 * math.hypot(c, 1.0 + d) + 0.5 * math.hypot(c, 1.0 - d)
  return norm * (1.0 + 2.0**-50)


@functools.singledispatch
def _rules(bijector):
  """The registered functions; each is used for its exact class only."""


# Set by what knows of layers, which is built on this.
_local_bounds: Any = None


def set_local_bounds(function):
  """Says what `lipschitz_bounds` with a region is."""
  global _local_bounds
  _local_bounds = function


@registered.with_register_of(_rules)
def lipschitz_bounds(
    bijector: types.Bijector,
    region: regions.Ball | regions.Box | None = None,
    conditioning: types.TensorLike | None = None,
) -> LipschitzBounds:
  """Certified Lipschitz constants of a bijector and of its inverse.

  They are theorems about the weights as they are at the call (run it eagerly):
  no input of any size does worse in exact arithmetic, in Euclidean norms over
  events, real ones for maps that are not linear. A safety factor covers the
  rounding of what is computed from weights alone, and in float16 and bfloat16
  of a value beside an exact one; `reconstruction_error_bound` says how far
  other values are off. A class joins by registering a function:

  ```python
  @fo.lipschitz.lipschitz_bounds.register
  def _(bijector: MyBijector):
    return fo.lipschitz.LipschitzBounds(forward=2., inverse=.5)
  ```

  A subclass registers again: it may compute something else.

  Within a region constants are often much smaller: parameters of couplings
  hardly change there, nor do energies. Those of `inverse` hold between any two
  events of the ball, those of `forward` between any two latents of the ball
  around the image of its centre that holds the image of the region. They are
  never worse than the global ones.

  ```python
  ball = fo.lipschitz.Ball(images, radius=0.1)
  fo.lipschitz.lipschitz_bounds(flow, region=ball).inverse  # [N]
  ```

  Args:
    bijector: A bijector whose class is registered: all of this library, and of
      TFP those with constants, and compositions (`Chain`, `Invert`,
      `Blockwise`, `JointMap`).
    region: `Ball` or `Box` of events on the side of `inverse`'s input (data),
      `[...]` of them; `None` for all events.
    conditioning: What a conditional bijector depends on, with a region; without
      one, constants are those for any condition.

  Returns:
    `LipschitzBounds(forward, inverse)`, `inf` where there is no global
    constant. Within regions both are `Tensor`s `[...]`, of the bijector's type;
    an allowance for rounding is in them, but for that of centres.

  Raises:
    TypeError: If the class is not registered.
    ValueError: If a weight is not finite, in a `tf.function`, or if centres
      lack dimensions of the batch of parameters.
  """
  arguments.check_eager(
      'bijector',
      'this reads weights. For regions in a graph, make a `CertifiedLogProb` '
      'before, and call that.'
  )
  if region is not None:
    return _local_bounds(bijector, region, conditioning)
  if conditioning is not None:
    raise ValueError('Argument `conditioning` is for constants in a `region`.')
  check_registered(bijector)
  for variable in bijector.variables:
    # What replicas count is not a weight, and is a sum over all when read.
    if variable.synchronization == tf.VariableSynchronization.ON_READ:
      continue
    is_number = variable.dtype.is_floating or variable.dtype.is_complex
    if is_number and not np.all(np.isfinite(variable)):
      raise ValueError(
          f'Argument `bijector`: its weight {variable.name} is not finite.'
      )
  result = _rules.registry[type(bijector)](bijector)
  if math.isnan(result.forward) or math.isnan(result.inverse):
    raise ValueError(f'Argument `bijector`: {bijector} is not finite.')
  if bijector.dtype in rounding.HALF_PRECISION and result != ISOMETRY:
    return result.inflated(bijector.dtype)
  return result


def bounds_of_parts(bijectors):
  """`LipschitzBounds` of bijectors in turn, in the order of `inverse`."""
  return functools.reduce(
      LipschitzBounds.then,
      (
          lipschitz_bounds(part) if together is None else together
          for part, together in with_neighbours(bijectors)
      ),
      ISOMETRY,
  )


def with_neighbours(bijectors):
  """Yields each part, and the bounds of it and the next one together.

  The latter is `None` but for parts whose method `bounds_with` knows the next
  one, which then is not a part of its own. The order is that of `inverse`.
  """
  parts = list(bijectors)
  while parts:
    part, together = parts.pop(0), None
    if parts and hasattr(part, 'bounds_with'):
      together = part.bounds_with(parts[0])
    if together is not None:
      parts.pop(0)
    yield part, together


def check_registered(bijector):
  """Raises a `TypeError` unless the very class of a bijector has joined."""
  if type(bijector) not in _rules.registry:
    raise TypeError(
        'Argument `bijector`: no Lipschitz bounds are known for '
        f'{type(bijector).__name__}. '
        'Register them with `@fo.lipschitz.lipschitz_bounds.register` on a '
        'function of one argument annotated with the class, which returns '
        '`LipschitzBounds(forward, inverse)`.'
    )


def known_bounds(bijector):
  """`lipschitz_bounds`, infinite where the class has not joined."""
  try:
    return lipschitz_bounds(bijector)
  except TypeError:
    return LipschitzBounds(math.inf, math.inf)

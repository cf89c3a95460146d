"""Certified Lipschitz constants of bijectors, and their algebra."""

import functools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

__all__ = [
    'ISOMETRY',
    'LipschitzBounds',
    'bounds_of_log_scales',
    'coupling_norm',
    'inflation',
    'lipschitz_bounds',
]

class LipschitzBounds(NamedTuple):
  """Upper bounds of the Lipschitz constants of a bijector, in both directions.

  Attributes:
    forward: Bound of `|forward(x) - forward(x')| / |x - x'|`, Euclidean norms
      over events; `inf` if there is no global constant.
    inverse: The same for `inverse`.
  """

  forward: float
  inverse: float

  def inverted(self):
    """Bounds of the bijector with its directions swapped."""
    return LipschitzBounds(self.inverse, self.forward)

  def then(self, other):
    """Bounds of a composition with `other`, in either order."""
    return LipschitzBounds(
        _product(self.forward, other.forward),
        _product(self.inverse, other.inverse),
    )

  def beside(self, other):
    """Bounds of two bijectors that act on separate parts of an event."""
    # NumPy's maximum: NaN stays NaN, whichever comes first.
    return LipschitzBounds(*np.maximum(self, other).tolist())

  def inflated(self, dtype):
    """Bounds with the safety factor of weights of a type (`inflation`)."""
    factor = inflation(dtype)
    return LipschitzBounds(self.forward * factor, self.inverse * factor)

  def log_det_range(self, event_size):
    """Range of `inverse_log_det_jacobian` that the bounds leave.

    Every singular value of the Jacobian of `inverse`, at every input, lies in
    `[1 / forward, inverse]`, and the determinant is the product of `D` of them:

    ```none
    -D log forward <= log|det d inverse / dy| <= D log inverse
    ```

    It holds for the function as such; a log-determinant that float32 computes
    has a rounding error on top.

    Args:
      event_size: Number of dimensions `D` of an event, `H W C` for images.

    Returns:
      Pair of Python `float`s, in nats per event; infinite where a bound is.

    Raises:
      ValueError: If `event_size` is not a positive integer, or a bound is
        negative or NaN.
    """
    size = _checked_size(event_size)
    return -size * _log(self.forward), size * _log(self.inverse)

  def max_log_likelihood(self, event_size):
    """The largest log-density that any event can have, standard normal base.

    ```none
    log p(x) = -|z|^2 / 2 - D/2 log(2 pi) + log|det d inverse / dx|
             <= D (log inverse - 1/2 log(2 pi)),   z = inverse(x)
    ```

    So a flow with a finite bound cannot collapse to infinite likelihood, on
    whatever data: the negative log-likelihood is at least minus this.

    Args:
      event_size: Number of dimensions `D` of an event, `H W C` for images.

    Returns:
      Python `float`, nats per event; infinite if `inverse` is.

    Raises:
      ValueError: If `event_size` is not a positive integer, or a bound is
        negative or NaN.
    """
    _, largest = self.log_det_range(event_size)
    return largest - 0.5 * event_size * math.log(2.0 * math.pi)


def _product(a, b):
  """The product; infinite if a factor is, also times 0."""
  return math.inf if math.inf in (a, b) else a * b


def _log(bound):
  """Logarithm of a bound; of 0, which collapses space, minus infinity."""
  if not bound >= 0:
    raise ValueError(
        f'A Lipschitz bound must not be negative or NaN, got {bound}.'
    )
  return math.log(bound) if bound > 0 else -math.inf


def _checked_size(event_size):
  """A positive integer, or a `ValueError`."""
  if not isinstance(event_size, (int, np.integer)) or event_size < 1:
    raise ValueError(
        'Argument `event_size` must be a positive integer, got '
        f'{event_size!r}.'
    )
  return int(event_size)


ISOMETRY = LipschitzBounds(1.0, 1.0)


def bounds_of_log_scales(log_scales):
  """Bounds of a linear bijector whose `inverse` has these singular values.

  Args:
    log_scales: `Tensor`, the logarithms of the singular values.

  Returns:
    `LipschitzBounds`, with the safety factor of the type.
  """
  smallest, largest = (
      float(tf.cast(reduce(log_scales), tf.float64))
      for reduce in (tf.reduce_min, tf.reduce_max)
  )
  return LipschitzBounds(math.exp(-smallest), math.exp(largest)).inflated(
      log_scales.dtype
  )


def inflation(dtype):
  """Safety factor for constants that rest on weights of a type.

  A float32 orthogonal matrix or rescaled kernel is only exact up to rounding.

  Args:
    dtype: Type of the weights.

  Returns:
    Python `float`: 1 for float64, whose rounding (1e-15) is left out; else more
    than the relative rounding error, which is larger where a GPU may use
    TensorFloat-32.
  """
  if tf.as_dtype(dtype) == tf.float64:
    return 1.0
  if tf.config.experimental.tensor_float_32_execution_enabled() and (
      tf.config.list_physical_devices('GPU')
  ):
    return 1.0 + 2e-3
  return 1.0 + 1e-4


def coupling_norm(c, d):
  """Spectral norm of `[[1, 0], [c, d]]`, which bounds a coupling's Jacobian.

  ```none
  N(c, d) = sqrt((1 + c^2 + d^2 + sqrt((1 + c^2 + d^2)^2 - 4 d^2)) / 2)
  ```

  Args:
    c: Bound of the spectral norm of the lower left block.
    d: Bound of the (diagonal) lower right block.

  Returns:
    Python `float`.
  """
  if math.isinf(c) or math.isinf(d):
    return math.inf
  total = 1.0 + c**2 + d**2
  # The radicand as a product: no cancellation, never negative.
  root = math.sqrt((c**2 + (1.0 - d) ** 2) * (c**2 + (1.0 + d) ** 2))
  return math.sqrt(0.5 * (total + root))


@functools.singledispatch
def _rules(bijector):
  """The registered functions; each is used for its exact class only."""


def lipschitz_bounds(bijector):
  """Certified Lipschitz constants of a bijector and of its inverse.

  They are theorems about the weights as they are at the call (run it eagerly):
  no input of any size does worse. Euclidean norms over events. A class joins by
  registering a function:

  ```python
  @fo.lipschitz.lipschitz_bounds.register
  def _(bijector: MyBijector):
    return fo.lipschitz.LipschitzBounds(forward=2., inverse=.5)
  ```

  A subclass registers again: it may compute something else.

  Args:
    bijector: A bijector whose class is registered: all of this library, and of
      TFP those with constants, and compositions (`Chain`, `Invert`,
      `Blockwise`, `JointMap`).

  Returns:
    `LipschitzBounds(forward, inverse)`, `inf` where there is no global
    constant.

  Raises:
    TypeError: If the class is not registered.
    ValueError: If a weight is not finite.
  """
  rule = _rules.registry.get(type(bijector))
  if rule is None:
    raise TypeError(
        f'No Lipschitz bounds are known for {type(bijector).__name__}. '
        'Register them with `@fo.lipschitz.lipschitz_bounds.register` on a '
        'function of one argument annotated with the class, which returns '
        '`LipschitzBounds(forward, inverse)`.'
    )
  for variable in bijector.variables:
    # Accounts of replicas are no weights, and to read one is a sum over all.
    if variable.synchronization == tf.VariableSynchronization.ON_READ:
      continue
    if variable.dtype.is_floating and not np.all(np.isfinite(variable)):
      raise ValueError(
          f'Argument `bijector`: its weight {variable.name} is not finite.'
      )
  result = rule(bijector)
  if math.isnan(result.forward) or math.isnan(result.inverse):
    raise ValueError(f'Argument `bijector`: {bijector} is not finite.')
  return result


lipschitz_bounds.register = _rules.register

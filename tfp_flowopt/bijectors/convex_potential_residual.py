"""ConvexPotentialResidual bijector."""

import functools
import math
from typing import Literal

import numpy as np
import tensorflow as tf

from tfp_flowopt.bijectors import convex_jacobian
from tfp_flowopt.bijectors import coupling
from tfp_flowopt.bijectors import implicit
from tfp_flowopt.bijectors import opposite_units
from tfp_flowopt.bijectors import potential_layer
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import convolution
from tfp_flowopt.internal import dense_log_det
from tfp_flowopt.internal import image_batch
from tfp_flowopt.internal import lanczos
from tfp_flowopt.internal import linearization
from tfp_flowopt.internal import newton
from tfp_flowopt.internal import stochastic_log_det
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import layers
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.parameters import anchored_log_scale

__all__ = ['ConvexPotentialResidual']


class ConvexPotentialResidual(implicit.ImplicitBijector):
  """The gradient of a convex potential of one hidden layer.

  ```none
  inverse(y; c) = m y + (M - m) A act(A^T y) + s(c),   |A| <= 1
  act(z) = (softplus(k z + b + b(c)) - softplus(b + b(c))) / k
  act'(z) = sigmoid(k z + b + b(c)),   in [0, 1]
  ```

  (Meunier et al. 2022 bound such layers; Huang et al. 2021 make flows of
  gradients of convex potentials.) `A` is the rescaled kernel of a
  `LipschitzDense` or `LipschitzConv2D` and its true transpose, `k` a trained
  gain of each hidden unit. The Jacobian is symmetric by construction,

  ```none
  m I <= J = m I + (M - m) A diag(act') A^T <= M I,
  ```

  with no limit of 1 on `M - m` as a residual layer has. So the Lipschitz
  constants are `M` inverse and `1 / m` forward, and `forward` is the minimum of
  a strongly convex function: the gradient step of size `2 / (M + m)` contracts
  by `(M - m) / (M + m)` and is accelerated, to the certified error
  `|f(y_hat) - x| / m`.

  **Conditions** cost nothing: a network of `c` alone adds what it likes to `b`
  and to the output; the constants are those for any `c`.

  **Log-determinant**, in nats: `'exact'` is a Cholesky factorisation of `J`, or
  of the smaller `I + (M-m)/m S^(1/2) A^T A S^(1/2)`, `S = diag(act')`, where
  a dense layer has fewer units than dimensions (Sylvester). `'lanczos'` is a
  quadrature with random probes, for events too large for that (images).

  A new one with orthonormal `A` is near the identity if `m < 1 < M`: `b` gives
  the slopes `(1 - m) / (M - m)` at 0. `initialize_identity` makes it exact.

  ```python
  layer = fo.lipschitz.LipschitzDense(2, 32)
  bijector = fo.bijectors.ConvexPotentialResidual(layer)
  bijector.initialize_identity()
  x = bijector.inverse(tf.ones([5, 2]))
  bijector.forward_with_error(x)
  ```
  """

  def __init__(
      self,
      layer: layers.LipschitzLinear,
      smallest: float = 0.5,
      largest: float = 2.0,
      log_det: Literal['exact', 'lanczos'] = 'exact',
      num_terms: int = 8,
      num_probes: int = 1,
      seed: int | types.Seed = 0,
      tolerance: float | None = None,
      max_iterations: int = 5000,
      conditioner: types.Network | None = None,
      validate_args: bool = False,
      name: str = 'convex_potential_residual',
  ) -> None:
    """Creates the bijector.

    Args:
      layer: `LipschitzDense` for vectors or `LipschitzConv2D` for images: maps
        the event to the hidden units, with a certified constant of at most 1.
      smallest: Positive Python `float`, the `m` above.
      largest: Python `float` above `smallest`, the `M` above.
      log_det: `'exact'` or `'lanczos'`.
      num_terms: Steps of Lanczos.
      num_probes: Random probes whose mean is taken.
      seed: As for `LipschitzResidual`.
      tolerance: As for `LipschitzResidual`.
      max_iterations: As for `LipschitzResidual`.
      conditioner: Callable, the network of a condition alone, such as
        `DenseConditioner(0, width, units + D, conditioning_features=F)`, or
        `None`. It maps `[..., 0]` and `c` to `b(c)` and `s(c)`.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    self._configure_by(parameters)
    kernel = potential_layer.checked_kernel(layer)
    if conditioner is not None:
      if not callable(conditioner) or getattr(conditioner, 'in_features', None):
        raise ValueError(
            'Argument `conditioner` must be a network of the conditioning '
            f'alone, with `in_features=0`, got {conditioner!r}.'
        )
      coupling.warn_of_network(conditioner, 'conditioner')
    with tf.name_scope(name) as name:
      self._layer = layer
      self._conditioner = conditioner
      self._log_gain = anchored_log_scale.AnchoredLogScale(
          kernel.shape[-1], 3.0, kernel.dtype, name='log_gain'
      )
      event_ndims = 1 if kernel.shape.rank == 2 else 3
      super().__init__(event_ndims, kernel.dtype, parameters, name)

  def _configure(
      self,
      smallest,
      largest,
      log_det,
      num_terms,
      num_probes,
      seed,
      tolerance,
      max_iterations,
  ):
    super()._configure(
        log_det, num_terms, num_probes, seed, tolerance, max_iterations
    )
    self._smallest = smallest = arguments.check_positive('smallest', smallest)
    self._largest = largest = arguments.check_positive('largest', largest)
    if not smallest < largest:
      raise ValueError(
          'Argument `smallest` must be below argument `largest`, got '
          f'{smallest} and {largest}.'
      )
    # Half-way if the identity is out of reach.
    slope = (1.0 - smallest) / (largest - smallest)
    slope = slope if 0.01 < slope < 0.99 else 0.5
    self._offset = math.log(slope / (1.0 - slope))

  @property
  def layer(self) -> layers.LipschitzLinear:
    """The layer `A^T y + b`."""
    return self._layer

  @property
  def conditioner(self) -> types.Network | None:
    """The network of the condition, or `None`."""
    return self._conditioner

  @property
  def _is_conditional(self):
    return coupling.takes_conditioning(self._conditioner)

  @property
  def smallest(self) -> float:
    """Lower bound `m` of the eigenvalues of the Jacobian of `inverse`."""
    return self._smallest

  @property
  def largest(self) -> float:
    """Upper bound `M` of them."""
    return self._largest

  def initialize_identity(self, seed: int = 0) -> None:
    """Sets the weights such that the map is the identity, for now.

    Units come in pairs of opposite `A` and `b`, whose slopes sum to 1, with
    directions and kinks of their own: training has something to start with. A
    condition that adds nothing yet changes nothing.

    Args:
      seed: Python `int`, of the directions and kinks.

    Raises:
      ValueError: If the layer is a convolution, or has an odd number of units
        or fewer than two for each component; or if 1 is not above `m`, or above
        the mean of `m` and `M`.
    """
    seed = arguments.check_int('seed', seed, least=0)
    kernel, gain, bias = opposite_units.opposite_units(
        self._layer.effective_kernel().shape,
        self._smallest,
        self._largest,
        seed,
    )
    # What is added to the bias of the layer and multiplied by the gain.
    self._layer.assign(kernel, (bias - self._offset) / gain)
    self._log_gain.assign(np.full(len(bias), math.log(gain)))

  @property
  def _range(self):
    return self._smallest, self._largest

  @property
  def _certified_largest(self):
    # The rescaled kernel has norm 1 up to rounding.
    return self._largest * rounding.inflation(self.dtype)

  @property
  def _step(self):
    return 2.0 / (self._certified_largest + self._smallest)

  @property
  def _contraction(self):
    largest = self._certified_largest
    return (largest - self._smallest) / (largest + self._smallest)

  @property
  def _forward_lipschitz(self):
    return 1.0 / self._smallest

  def _start(self, x, **kwargs):
    start = self._step * x
    if self._log_det != 'exact' or self.forward_min_event_ndims != 1:
      return start
    # Little is left to do for the iteration, which may be slow.
    function = functools.partial(self._residual_and_jacobian, x=x, **kwargs)
    return linearization.without_gradient(
        functools.partial(newton.solve, function), start
    )

  def _residual_and_jacobian(self, y, x, **kwargs):
    value, argument, *_, kernel = self._apply(y, **kwargs)
    jacobian = convex_jacobian.jacobian(argument, kernel, *self._range)
    one = y.shape.rank == 1
    return (value[0] - x, jacobian[0]) if one else (value - x, jacobian)

  def _solve(self, x, conditioning=None):
    # The network once, not in each step.
    return super()._solve(x, added=self._of_condition(x, conditioning))

  def _of_condition(self, y, conditioning):
    """What a condition adds to the slopes' arguments and to the output."""
    if self._conditioner is None and conditioning is None:
      return 0.0, 0.0
    # An empty event: what it makes of it depends on the condition alone.
    params = coupling.given(self._conditioner, y[..., :0], conditioning)
    size, units = self._layer.effective_kernel().shape[-2:]
    wanted = y.shape[:-1].concatenate(units + size)
    if not params.shape.is_compatible_with(wanted):
      raise ValueError(
          f'Argument `conditioner` must have {units} + {size} outputs, got '
          f'shape {params.shape} for inputs of shape {y.shape}.'
      )
    return tf.split(params, [units, size], axis=-1)

  def _apply(self, y, conditioning=None, added=None):
    """Returns `inverse(y)`, the arguments of the slopes, and more, of rows.

    Namely the arguments at 0, the gain, the shift and the kernel.
    """
    bias, shift = added or self._of_condition(y, conditioning)
    kernel = self._layer.effective_kernel()
    # A matrix product needs rows.
    rows = y[tf.newaxis] if y.shape.rank == 1 else y
    bias += self._offset
    gain = tf.exp(self._log_gain())
    ndims = self.forward_min_event_ndims
    zero = tf.zeros([*[1] * (ndims - 1), kernel.shape[-2]], rows.dtype)
    argument = gain * self._layer(rows) + bias
    origin = gain * self._layer(zero) + bias
    hidden = tf.math.softplus(argument) - tf.math.softplus(origin)
    hidden /= gain
    if ndims == 1:
      back = tf.linalg.matmul(hidden, kernel, transpose_b=True)
    else:
      back = image_batch.on_image_batch(
          lambda h: convolution.transposed_convolution(h, kernel), hidden
      )
    value = self._smallest * rows + (self._largest - self._smallest) * back
    return value + shift, argument, origin, gain, shift, kernel

  def _map(self, y, **kwargs):
    value = self._apply(y, **kwargs)[0]
    return value[0] if y.shape.rank == 1 else value

  def _magnitude(self, y, conditioning=None):
    # Of each hidden unit: in `act` these cancel for small `y`. Some four
    # roundings by half the resolution each.
    _, argument, origin, gain, shift, _ = self._apply(y, conditioning)
    units = tf.abs(argument) + tf.abs(origin) + 2.0 * math.log(2.0)
    result = 0.5 * (self._largest - self._smallest) * self._norm(units / gain)
    if self._conditioner is not None:
      result += self._norm(shift)
    return result[0] if y.shape.rank == 1 else result

  def _map_and_log_det(self, y, seed, conditioning=None):
    function = functools.partial(self._map, conditioning=conditioning)
    if self._log_det == 'lanczos':
      return stochastic_log_det.value_and_log_det(
          function,
          y,
          self.forward_min_event_ndims,
          stochastic_log_det.rademacher(self._num_probes, y, seed),
          self._lanczos,
      )
    if self.forward_min_event_ndims == 1:
      value, argument, *_, kernel = self._apply(y, conditioning)
      log_det = convex_jacobian.log_det(argument, kernel, *self._range)
      return (value[0], log_det[0]) if y.shape.rank == 1 else (value, log_det)
    value, jacobian = linearization.value_and_jacobian(function, y, 3)
    # Symmetric but for rounding; this way its gradient is, too.
    jacobian = 0.5 * (jacobian + tf.linalg.matrix_transpose(jacobian))
    return value, dense_log_det.log_det_spd(jacobian)

  def _lanczos(self, linear, probes):
    """The estimator of `'lanczos'`; the Jacobian is its own transpose."""
    return lanczos.log_quadrature(
        linear.vjp,
        probes,
        self.forward_min_event_ndims,
        self._num_terms,
        self._smallest,
        self._certified_largest,
    )


@bounds.lipschitz_bounds.register
def _(bijector: ConvexPotentialResidual):
  return bounds.LipschitzBounds(
      rounding.reciprocal(bijector.smallest), bijector.largest
  ).inflated(bijector.dtype)

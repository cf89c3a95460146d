"""ConvexPotentialResidual bijector."""

import math

import tensorflow as tf

from tfp_flowopt.bijectors import implicit
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import dense_log_det
from tfp_flowopt.internal import image_batch
from tfp_flowopt.internal import lanczos
from tfp_flowopt.internal import linearization
from tfp_flowopt.internal import stochastic_log_det
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import layers
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.parameters import anchored_log_scale

__all__ = ['ConvexPotentialResidual']


class ConvexPotentialResidual(implicit.ImplicitBijector):
  """The gradient of a convex potential of one hidden layer.

  ```none
  inverse(y) = m y + (M - m) A act(A^T y + b),   |A| <= 1,  0 <= act' <= 1
  act(z) = (softplus(k z + c) - softplus(c)) / k,   act'(z) = sigmoid(k z + c)
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

  **Log-determinant**, in nats: `'exact'` is a Cholesky factorisation of `J`, or
  of the smaller `I + (M-m)/m S^(1/2) A^T A S^(1/2)`, `S = diag(act')`, where
  a dense layer has fewer units than dimensions (Sylvester). `'lanczos'` is a
  quadrature with random probes, for events too large for that (images).

  A new one with orthonormal `A` is near the identity if `m < 1 < M`: `c` gives
  the slopes `(1 - m) / (M - m)` at 0.

  ```python
  layer = fo.lipschitz.LipschitzDense(2, 32)
  bijector = fo.bijectors.ConvexPotentialResidual(layer)
  x = bijector.inverse(tf.ones([5, 2]))
  bijector.forward_with_error(x)
  ```
  """

  def __init__(
      self,
      layer,
      smallest=0.5,
      largest=2.0,
      log_det='exact',
      num_terms=8,
      num_probes=1,
      seed=0,
      tolerance=None,
      max_iterations=5000,
      validate_args=False,
      name='convex_potential_residual',
  ):
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
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    self._configure_by(parameters)
    # Exactly: the transposed layer is not that of what a subclass computes.
    if type(layer) not in (layers.LipschitzDense, layers.LipschitzConv2D):
      raise ValueError(
          'Argument `layer` must be a LipschitzDense or a LipschitzConv2D, and '
          f'no subclass, got {layer!r} ({type(layer).__name__}).'
      )
    kernel = layer.effective_kernel()
    if layer.compute_dtype != kernel.dtype:
      raise ValueError(
          'Argument `layer` must compute in the type of its variables, '
          f'{kernel.dtype.name}, got {layer.compute_dtype.name}.'
      )
    if not layer.lipschitz <= rounding.inflation(kernel.dtype):
      raise ValueError(
          'Argument `layer` must certify a constant of at most 1, got '
          f'{layer.lipschitz}.'
      )
    with tf.name_scope(name) as name:
      self._layer = layer
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
  def layer(self):
    """The layer `A^T y + b`."""
    return self._layer

  @property
  def smallest(self):
    """Lower bound `m` of the eigenvalues of the Jacobian of `inverse`."""
    return self._smallest

  @property
  def largest(self):
    """Upper bound `M` of them."""
    return self._largest

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

  def _start(self, x):
    return self._step * x

  def _apply(self, y):
    """Returns `inverse(y)`, the arguments of the slopes, and the kernel."""
    kernel = self._layer.effective_kernel()
    # A matrix product needs rows.
    rows = y[tf.newaxis] if y.shape.rank == 1 else y
    gain = tf.exp(self._log_gain())
    argument = gain * self._layer(rows) + self._offset
    shift = math.log1p(math.exp(self._offset))
    hidden = (tf.math.softplus(argument) - shift) / gain
    if self.forward_min_event_ndims == 1:
      back = tf.linalg.matmul(hidden, kernel, transpose_b=True)
    else:
      back = image_batch.on_image_batch(
          lambda h: _transposed_convolution(h, kernel), hidden
      )
    value = self._smallest * rows + (self._largest - self._smallest) * back
    if y.shape.rank == 1:
      return value[0], argument[0], kernel
    return value, argument, kernel

  def _map(self, y):
    return self._apply(y)[0]

  def _magnitude(self, y):
    # Of each hidden unit: in `act` these cancel for small `y`. Some four
    # roundings by half the resolution each.
    _, argument, _ = self._apply(y)
    argument = tf.abs(argument) + abs(self._offset)
    units = (argument + 2.0 * math.log(2.0)) / tf.exp(self._log_gain())
    return 0.5 * (self._largest - self._smallest) * self._norm(units)

  def _map_and_log_det(self, y, seed):
    if self._log_det == 'lanczos':
      return stochastic_log_det.value_and_log_det(
          self._map,
          y,
          self.forward_min_event_ndims,
          stochastic_log_det.rademacher(self._num_probes, y, seed),
          self._lanczos,
      )
    if self.forward_min_event_ndims == 1:
      value, argument, kernel = self._apply(y)
      return value, self._dense_log_det(argument, kernel)
    value, jacobian = linearization.value_and_jacobian(self._map, y, 3)
    # Symmetric but for rounding; this way its gradient is, too.
    jacobian = 0.5 * (jacobian + tf.linalg.matrix_transpose(jacobian))
    return value, dense_log_det.log_det_spd(jacobian)

  def _dense_log_det(self, argument, kernel):
    """The log-determinant for slopes `sigmoid(argument)`, `[..., units]`."""
    size, units = kernel.shape
    span = self._largest - self._smallest
    if units < size:
      # Not the root of the slope, whose gradient at slope 0 is infinite.
      root = tf.exp(0.5 * tf.math.log_sigmoid(argument))
      gram = tf.linalg.matmul(kernel, kernel, transpose_a=True)
      inner = root[..., tf.newaxis] * gram * root[..., tf.newaxis, :]
      inner = tf.eye(units, dtype=kernel.dtype) + span / self._smallest * inner
      return size * math.log(self._smallest) + dense_log_det.log_det_spd(inner)
    slope = tf.math.sigmoid(argument)
    jacobian = span * tf.linalg.matmul(
        kernel * slope[..., tf.newaxis, :],
        kernel + tf.zeros_like(slope)[..., tf.newaxis, :],
        transpose_b=True,
    )
    jacobian += self._smallest * tf.eye(size, dtype=kernel.dtype)
    return dense_log_det.log_det_spd(jacobian)

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


def _transposed_convolution(hidden, kernel):
  """The transpose of the convolution with zero padding, on `[N, H, W, C]`."""
  shape = tf.concat([tf.shape(hidden)[:3], [kernel.shape[2]]], axis=0)
  return tf.nn.conv2d_transpose(
      hidden, kernel, shape, strides=1, padding='SAME'
  )


@bounds.lipschitz_bounds.register
def _(bijector: ConvexPotentialResidual):
  return bounds.LipschitzBounds(
      rounding.reciprocal(bijector.smallest), bijector.largest
  ).inflated(bijector.dtype)

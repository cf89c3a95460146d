"""MarginalGaussianization bijector."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['MarginalGaussianization']


class MarginalGaussianization(base.JointBijector):
  """One increasing curve for each channel, piecewise linear.

  ```none
  inverse(y)_c = g_c(y_c),   log|det| = sum over positions and c of log g_c'
  ```

  with `g_c` through the knots `(inputs[c, k], outputs[c, k])`, and beyond them
  as steep as from the first one to the last. With `g_c = Phi^-1 o F_c`, `Phi`
  the normal distribution function and `F_c` that of the channel, each value has
  a standard normal distribution: the optimum of the likelihood over all flows
  that act on each value alone (Chen & Gopinath 2000). Uniform dequantisation
  noise makes `F_c` piecewise linear.

  For vectors `optimum.gaussian_curves` makes the knots of data; `initialize`
  takes them:

  ```python
  curves = fo.bijectors.MarginalGaussianization(3, event_ndims=1)
  x = tf.random.stateless_normal([500, 3], seed=[0, 1]) ** 3
  curves.initialize(*fo.optimum.gaussian_curves(x, num_knots=321))
  ```

  Among images it is for those with values of their own, such as a background of
  zeros. Where neighbouring values predict each other linearly, as in
  photographs, the curve bends that relation, and does more harm than good.

  Nothing is trained; the Lipschitz constants are the steepest and the flattest
  piece. A new one is the identity.
  """

  def __init__(
      self,
      num_channels: int,
      num_knots: int = 321,
      dtype: types.DType = tf.float32,
      event_ndims: int = 3,
      validate_args: bool = False,
      name: str = 'marginal_gaussianization',
  ) -> None:
    """Creates the bijector, as the identity.

    Args:
      num_channels: Size of the last axis.
      num_knots: Number of knots of each curve.
      dtype: Type of the variables.
      event_ndims: As for `ActNorm`.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    num_channels = arguments.check_int('num_channels', num_channels)
    num_knots = arguments.check_int('num_knots', num_knots, least=2)
    dtype = arguments.check_dtype('dtype', dtype)
    event_ndims = arguments.check_int('event_ndims', event_ndims)
    with tf.name_scope(name) as name:
      line = np.tile(np.linspace(-0.5, 0.5, num_knots), [num_channels, 1])
      self._inputs, self._outputs = (
          tf.Variable(tf.cast(line, dtype), trainable=False, name=key)
          for key in ('inputs', 'outputs')
      )
      super().__init__(event_ndims, dtype, parameters, name)

  @property
  def inputs(self) -> tf.Variable:
    """Values of the data at the knots, `[num_channels, num_knots]`."""
    return self._inputs

  @property
  def outputs(self) -> tf.Variable:
    """What they become, `[num_channels, num_knots]`."""
    return self._outputs

  def initialize(
      self, inputs: types.TensorLike, outputs: types.TensorLike
  ) -> None:
    """Sets the knots, two arrays `[num_channels, num_knots]`.

    Raises:
      ValueError: If a row does not increase everywhere in the type of the
        variables, or is not finite; nothing is changed then.
    """
    for name, values in (('inputs', inputs), ('outputs', outputs)):
      values = np.asarray(values, self.dtype.as_numpy_dtype)
      if values.shape != tuple(self._inputs.shape):
        raise ValueError(
            f'Argument `{name}` must have shape {self._inputs.shape}, got '
            f'{values.shape}.'
        )
      if not np.all(np.isfinite(values)) or not np.all(np.diff(values) > 0):
        raise ValueError(
            f'Argument `{name}` must be finite and increase in each row, by '
            f'more than rounding, got {values}.'
        )
    self._inputs.assign(tf.cast(inputs, self.dtype))
    self._outputs.assign(tf.cast(outputs, self.dtype))

  def _forward_and_log_det(self, x):
    return self._interpolated(x, self._outputs, self._inputs)

  def _inverse_and_log_det(self, y):
    return self._interpolated(y, self._inputs, self._outputs)

  def _interpolated(self, x, inputs, outputs):
    """The curves through `(inputs, outputs)` at `x`, and their log-slopes."""
    num_channels = self._inputs.shape[0]
    x = self._checked(x, num_channels, any_rank=True)
    inputs = tf.convert_to_tensor(inputs)
    outputs = tf.convert_to_tensor(outputs)

    # Beyond the knots not as in the outer pieces: those may be very steep, and
    # large latents of few values would leave no digits to the others.
    def differences(knots):
      whole = knots[:, -1:] - knots[:, :1]
      return tf.concat([whole, knots[:, 1:] - knots[:, :-1], whole], 1)

    def starts(knots):
      return tf.concat([knots[:, :1], knots], 1)

    slopes = differences(outputs) / differences(inputs)
    # One row for each channel, as the search wants it.
    rows = tf.transpose(tf.reshape(x, [-1, num_channels]))
    piece = tf.searchsorted(inputs, tf.stop_gradient(rows), side='right')

    def of_piece(values):
      return tf.gather(values, piece, axis=1, batch_dims=1)

    slope = of_piece(slopes)
    y = of_piece(starts(outputs))
    y += (rows - of_piece(starts(inputs))) * slope
    shape = base.shape_of(x)
    axes = list(range(-self.forward_min_event_ndims, 0))
    log_slope = tf.reshape(tf.transpose(tf.math.log(slope)), shape)
    return (
        tf.reshape(tf.transpose(y), shape),
        tf.reduce_sum(log_slope, axis=axes),
    )


@bounds.lipschitz_bounds.register
def _(bijector: MarginalGaussianization):
  inputs, outputs = (
      np.asarray(tf.convert_to_tensor(knots), np.float64)
      for knots in (bijector.inputs, bijector.outputs)
  )
  inputs, outputs = np.diff(inputs), np.diff(outputs)
  with np.errstate(over='ignore', divide='ignore'):
    forward, inverse = (inputs / outputs).max(), (outputs / inputs).max()
  return bounds.LipschitzBounds(float(forward), float(inverse)).inflated(
      bijector.dtype
  )


# Counted as linear: the data alone choose the curves.
flow_bounds.bounds_by_part.register(MarginalGaussianization, flow_bounds.linear)

"""ConditionalShift bijector."""


import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import conditions
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['ConditionalShift']


class ConditionalShift(base.JointBijector):
  """Adds what a condition says of an event, and touches nothing else.

  ```none
  forward(x; c) = x + B c + b        inverse(y; c) = y - B c - b
  ```

  For given `c` an isometry: the log-determinant is 0 and both Lipschitz
  constants are 1, whatever `B` is. So a condition costs a flow none of its
  `lipschitz_budget`. The best `B` and `b` are known: those of least squares
  (`likelihood_optimum`, `conditioning`); for class labels, `B c + b` is the
  mean of the class.

  #### Example

  ```python
  matrix = tf.random.normal([3, 10])
  shift = fo.bijectors.ConditionalShift(matrix, num_classes=10)
  shift.inverse(tf.ones([2, 3]), conditioning=[7, 1])
  ```
  """

  _is_conditional = True

  def __init__(
      self,
      matrix: types.TensorLike,
      shift: types.TensorLike | None = None,
      num_classes: int | None = None,
      validate_args: bool = False,
      name: str = 'conditional_shift',
  ) -> None:
    """Creates the bijector.

    Args:
      matrix: Floating-point `Tensor` or `tf.Variable`, `B`: the shape of an
        event, and then `F`, which is known. Sizes of 1 broadcast: `[1, 1, C,
        F]` shifts the channels of images.
      shift: The same without the last axis, `b`. Zeros by default.
      num_classes: `None` if `conditioning` is vectors `[..., F]`; `F` if it is
        integer labels `[...]`, each standing for a column of `B`.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong type or shape.
    """
    parameters = dict(locals())
    with tf.name_scope(name) as name:
      self._matrix = _weight('matrix', matrix)
      shape = self._matrix.shape
      if not shape.rank or shape.rank < 2 or not shape[-1]:
        raise ValueError(
            'Argument `matrix` must have the shape of an event and then F, '
            f'which is known, got {shape}.'
        )
      self._condition = conditions.Condition([shape[-1]])
      if num_classes is not None:
        num_classes = arguments.check_int(
            'num_classes', num_classes, shape[-1], shape[-1]
        )
        self._condition = conditions.Condition(num_classes)
      own = shift if shift is None else _weight('shift', shift)
      if own is not None and (
          own.dtype != self._matrix.dtype
          or not own.shape.is_compatible_with(shape[:-1])
      ):
        got = own.dtype.name, own.shape
        raise ValueError(
            f'Argument `shift` must be {self._matrix.dtype.name} of shape '
            f'{shape[:-1]}, got {got[0]} of {got[1]}.'
        )
      self._shift = own
      super().__init__(
          shape.rank - 1,
          self._matrix.dtype,
          parameters,
          name,
          is_constant_jacobian=True,
      )

  @property
  def matrix(self) -> tf.Tensor | tf.Variable:
    """The matrix `B`, the shape of an event and then `F`."""
    return self._matrix

  @property
  def shift(self) -> tf.Tensor | tf.Variable | None:
    """The shift `b`, or `None` for zeros."""
    return self._shift

  @property
  def condition(self) -> conditions.Condition:
    """What `conditioning` holds, a `Condition`."""
    return self._condition

  @property
  def _conditioning_ndims(self):
    return self.condition.event_ndims

  def shift_of(self, conditioning: types.TensorLike) -> tf.Tensor:
    """What is added under conditions: `B c + b`, a `Tensor`.

    Args:
      conditioning: Vectors `[..., F]`, or labels `[...]`.

    Returns:
      `[...]` and then the shape of an event.

    Raises:
      ValueError: If `conditioning` has a wrong type or shape.
      InvalidArgumentError: If a label is out of range.
    """
    matrix = tf.convert_to_tensor(self._matrix)
    features = self.condition.features(
        conditioning, matrix.dtype, conditions.WITH_DISTRIBUTION
    )
    result = tf.tensordot(features, matrix, [[-1], [-1]])
    return result if self._shift is None else result + self._shift

  def _shift_for(self, x, conditioning):
    ndims = self.forward_min_event_ndims
    sizes = [None if n == 1 else n for n in self._matrix.shape[:-1]]
    x = base.check_event(x, sizes, self.name)
    shift = self.shift_of(conditioning)
    self.condition.check_batch(shift.shape[:-ndims], x.shape[:-ndims])
    return x, shift

  def _forward_and_log_det(self, x, conditioning=None):
    x, shift = self._shift_for(x, conditioning)
    return x + shift, tf.zeros([], x.dtype)

  def _inverse_and_log_det(self, y, conditioning=None):
    y, shift = self._shift_for(y, conditioning)
    return y - shift, tf.zeros([], y.dtype)


def _weight(name, value):
  """A variable as it is; anything else as a floating-point `Tensor`."""
  tensor = arguments.check_tensor(name, value)
  return value if isinstance(value, tf.Variable) else tensor


@bounds.lipschitz_bounds.register
def _(bijector: ConditionalShift):
  del bijector
  return bounds.ISOMETRY


flow_bounds.bounds_by_part.register(ConditionalShift, flow_bounds.linear)

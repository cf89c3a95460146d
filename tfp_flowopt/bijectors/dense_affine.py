"""DenseAffine bijector."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import conditions
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['MOST_NUMBERS', 'DenseAffine']

# Of the matrices of a flow.
MOST_NUMBERS = 2**25
# With more classes than this, not all products are computed. A product of 784
# numbers takes 1.2e6 operations, a copy of its matrix 2.5 MB.
_MOST_PRODUCTS = 64


class DenseAffine(base.JointBijector):
  """One affine map of vectors, or one for each class, set from data.

  ```none
  inverse(y; k) = A_k (y - b_k)        log|det| = log|det A_k|
  forward(x; k) = A_k^-1 x + b_k
  ```

  Both matrices are kept, so both directions are a product. Nothing is trained:
  the best maps are known (`initialize_at_optimum`). What depends on the class
  alone costs no Lipschitz constant; those of the bijector are the largest over
  the classes. A new one is the identity.

  #### Example

  ```python
  whiten = fo.bijectors.DenseAffine(2, num_classes=3)
  whiten.initialize(5. * tf.eye(2, batch_shape=[3]), tf.zeros([3, 2]))
  whiten.inverse(tf.ones([4, 2]), conditioning=[0, 2, 2, 1])
  ```
  """

  def __init__(
      self,
      event_size: int,
      num_classes: int | None = None,
      dtype: types.DType = tf.float32,
      validate_args: bool = False,
      name: str = 'dense_affine',
  ) -> None:
    """Creates the bijector, as the identity.

    Args:
      event_size: Size of the vectors, `D`.
      num_classes: Number of classes, `K`, whose labels `inverse` and `forward`
        take as `conditioning`: integers `[...]`, or one-hot `[..., K]`. `None`
        for one map of all vectors.
      dtype: Type of the variables.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    event_size = arguments.check_int('event_size', event_size)
    dtype = arguments.check_dtype('dtype', dtype)
    self._condition = None
    if num_classes is not None:
      num_classes = arguments.check_int('num_classes', num_classes)
      self._condition = conditions.Condition(num_classes)
    count = num_classes or 1
    with tf.name_scope(name) as name:
      identity = tf.eye(event_size, batch_shape=[count], dtype=dtype)
      self._matrices, self._inverses, self._shifts, self._log_dets = (
          tf.Variable(value, trainable=False, name=key)
          for key, value in (
              ('matrices', identity),
              ('inverses', identity),
              ('shifts', tf.zeros([count, event_size], dtype)),
              ('log_dets', tf.zeros([count], dtype)),
          )
      )
      super().__init__(1, dtype, parameters, name, is_constant_jacobian=True)

  @property
  def _is_conditional(self):
    return self._condition is not None

  @property
  def _conditioning_ndims(self):
    return 0

  @property
  def event_size(self) -> int:
    """Size of the vectors."""
    return self._shifts.shape[-1]

  @property
  def num_classes(self) -> int | None:
    """Number of classes, or `None`."""
    return None if self._condition is None else self._condition.num_classes

  @property
  def matrices(self) -> tf.Variable:
    """The `A_k`, `[K, D, D]`; `K = 1` without classes."""
    return self._matrices

  @property
  def inverses(self) -> tf.Variable:
    """The `A_k^-1`, `[K, D, D]`."""
    return self._inverses

  @property
  def shifts(self) -> tf.Variable:
    """The `b_k`, `[K, D]`."""
    return self._shifts

  def initialize(
      self, matrices: types.TensorLike, shifts: types.TensorLike
  ) -> None:
    """Sets the maps.

    Args:
      matrices: The `A_k`, `[K, D, D]`, best as float64: they are inverted so.
      shifts: The `b_k`, `[K, D]`.

    Raises:
      ValueError: If a shape is wrong, a value not finite, or a matrix singular;
        nothing is changed then.
    """
    for variable, value in self.weights_of(matrices, shifts):
      variable.assign(tf.cast(value, variable.dtype))

  def weights_of(
      self, matrices: types.TensorLike, shifts: types.TensorLike
  ) -> list[tuple[tf.Variable, np.ndarray]]:
    """Pairs of a variable and what `initialize` assigns to it, float64."""
    matrices, shifts = (np.asarray(v, np.float64) for v in (matrices, shifts))
    for name, value, variable in (
        ('matrices', matrices, self._matrices),
        ('shifts', shifts, self._shifts),
    ):
      if value.shape != tuple(variable.shape) or not np.isfinite(value).all():
        raise ValueError(
            f'Argument `{name}` must be finite and have shape '
            f'{variable.shape}, got shape {list(value.shape)}.'
        )
    signs, log_dets = np.linalg.slogdet(matrices)
    if not signs.all():
      raise ValueError('Argument `matrices` must hold no singular matrix.')
    return [
        (self._matrices, matrices),
        (self._inverses, np.linalg.inv(matrices)),
        (self._shifts, shifts),
        (self._log_dets, log_dets),
    ]

  def _with_labels(self, x, conditioning):
    """`x` `[..., D]` and its labels; 0 without classes."""
    x = base.check_event(x, [self.event_size], self.name)
    if not self._is_conditional:
      return x, tf.constant(0)
    labels = self._labels(conditioning)
    self._condition.check_batch(labels.shape, x.shape[:-1])
    return x, labels

  def _labels(self, conditioning):
    """Integers `[...]`, also of one-hot vectors."""
    dtype = getattr(conditioning, 'dtype', None)
    if dtype is None or not tf.as_dtype(dtype).is_floating:
      conditioning = self._condition.features(
          conditioning, self.dtype, conditions.WITH_DISTRIBUTION
      )
    elif conditioning.shape[-1:] != [self.num_classes]:
      raise ValueError(
          f'Argument `conditioning` must be {self._condition}, or one-hot, got '
          f'shape {conditioning.shape}.'
      )
    return tf.argmax(conditioning, axis=-1)

  def _forward_and_log_det(self, x, conditioning=None):
    x, labels = self._with_labels(x, conditioning)
    y = _product(self._inverses, labels, x) + tf.gather(self._shifts, labels)
    return y, -tf.gather(self._log_dets, labels)

  def _inverse_and_log_det(self, y, conditioning=None):
    y, labels = self._with_labels(y, conditioning)
    x = _product(self._matrices, labels, y - tf.gather(self._shifts, labels))
    return x, tf.gather(self._log_dets, labels)


def _product(matrices, labels, x):
  """`A_k x`, of the class `k` of each of `x`."""
  num_classes = matrices.shape[0]
  if labels.shape.rank == 0 or num_classes > _MOST_PRODUCTS:
    matrix = tf.gather(matrices, labels)
    if matrix.shape.rank == 2:
      return tf.tensordot(x, matrix, [[-1], [-1]])
    return tf.linalg.matvec(matrix, x)
  # The products of all classes take less time than a copy of a matrix for each
  # vector.
  products = tf.tensordot(x, matrices, [[-1], [-1]])
  labels = tf.broadcast_to(labels, base.shape_of(x)[:-1])
  rank = labels.shape.rank
  # Not axis -2, which is the same: tf2onnx 1.17 does not read it.
  return tf.gather(products, labels, axis=rank, batch_dims=rank)


@bounds.lipschitz_bounds.register
def _(bijector: DenseAffine):
  forward, inverse = (
      max(bounds.largest_singular_value(matrix) for matrix in matrices.numpy())
      for matrices in (bijector.inverses, bijector.matrices)
  )
  return bounds.LipschitzBounds(forward, inverse).inflated(bijector.dtype)


flow_bounds.bounds_by_part.register(DenseAffine, flow_bounds.linear)

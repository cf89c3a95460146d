"""What something is conditioned on: class labels, or features."""

import numbers

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import arguments

__all__ = ['WITH_DISTRIBUTION', 'Condition', 'check']

# Advice to who has given none.
WITH_DISTRIBUTION = (
    '; with a distribution, give `bijector_kwargs={"conditioning": ...}`'
)


class Condition:
  """Class labels, or features of a shape, as numbers `[..., F]`.

  Labels become one-hot vectors. Features are vectors `[F]`, or what a subclass
  allows.

  Attributes:
    shape: Tuple: `(F,)`, for labels of `F` classes, too.
  """

  _wanted = 'a number of classes, or a shape [F]'

  def __init__(self, spec, dtype=tf.float32):
    """Takes a number of classes or a shape, or is a `ValueError`.

    Features are of type `dtype` where a type has to be said.
    """
    self._dtype = dtype
    self._is_labels = isinstance(spec, numbers.Integral)
    try:
      shape = arguments.check_ints(
          'conditioning', [spec] if self._is_labels else spec
      )
    except ValueError:
      shape = ()
    if not self._accepts(shape):
      raise ValueError(
          f'Argument `conditioning` must be {self._wanted}, got {spec!r}.'
      )
    self.shape = shape

  def _accepts(self, shape):
    return len(shape) == 1

  def __eq__(self, other):
    return type(other) is type(self) and other.argument == self.argument

  def __hash__(self):
    return hash(self.argument)

  @property
  def is_labels(self):
    """Whether it is class labels."""
    return self._is_labels

  @property
  def num_classes(self):
    """Number of classes, or `None` for features."""
    return self.shape[0] if self._is_labels else None

  @property
  def argument(self):
    """What the constructor takes."""
    return self.num_classes or self.shape

  @property
  def num_channels(self):
    """The `F` above."""
    return self.shape[-1]

  @property
  def event_ndims(self):
    """Number of dimensions of a single one: 0 for labels."""
    return 0 if self._is_labels else len(self.shape)

  @property
  def spec(self):
    """`tf.TensorSpec` of a batch: int64 labels, or features."""
    shape = [] if self._is_labels else self.shape
    dtype = tf.int64 if self._is_labels else self._dtype
    return tf.TensorSpec([None, *shape], dtype, name='conditioning')

  def features(self, value, dtype, advice=''):
    """Numbers `[..., F]` of a type, of labels or features.

    A `ValueError` if `value` is `None`, which `advice` follows, or has a wrong
    type or shape; an `InvalidArgumentError` if a label is out of range.
    """
    if value is None:
      raise ValueError(
          f'Argument `conditioning` must be {self}{advice}, got None.'
      )
    try:
      value = tf.convert_to_tensor(value, name='conditioning')
    except (TypeError, ValueError) as e:
      raise ValueError(
          f'Argument `conditioning` must be {self}, got {value!r}.'
      ) from e
    convert = self._one_hot if self._is_labels else self._vectors
    return convert(value, dtype)

  def _one_hot(self, value, dtype):
    if not value.dtype.is_integer:
      raise ValueError(
          'Argument `conditioning` must be integer labels, got '
          f'{value.dtype.name}.'
      )
    # Narrow types hold no number of classes.
    value = tf.cast(value, tf.int64)
    num_classes = tf.constant(self.num_channels, tf.int64)
    message = f'Argument `conditioning` must be {self}.'
    with tf.control_dependencies([
        tf.debugging.assert_non_negative(value, message),
        tf.debugging.assert_less(value, num_classes, message),
    ]):
      return tf.one_hot(value, self.num_channels, dtype=dtype)

  def _vectors(self, value, dtype):
    rank, shape = len(self.shape), value.shape
    is_number = value.dtype.is_floating or value.dtype.is_integer
    if not is_number or shape.rank is None or shape.rank < rank or not shape[
        shape.rank - rank :
    ].is_compatible_with(list(self.shape)):
      raise ValueError(
          f'Argument `conditioning` must be {self}, got shape {shape} of '
          f'{value.dtype.name}.'
      )
    return tf.cast(value, dtype)

  def check_values(self, name, value):
    """Raises a `ValueError` about an argument unless all values fit."""
    value = np.asarray(value)
    shape = () if self._is_labels else tuple(self.shape)
    own = value.shape[value.ndim - len(shape) :]
    kinds = 'iu' if self._is_labels else 'iuf'
    if value.dtype.kind not in kinds or own != shape:
      got = f'shape {value.shape} of {value.dtype.name}'
    else:
      fits = np.isfinite(value)
      if self._is_labels:
        fits = (value >= 0) & (value < self.num_channels)
      if np.all(fits):
        return
      got = value[~fits][0]
    raise ValueError(
        f'Argument `{name}`: conditioning must be {self}, got {got}.'
    )

  def check_batch(self, own, batch_shape):
    """Raises a `ValueError` unless a shape broadcasts to that of the events."""
    if not arguments.broadcasts(own, batch_shape):
      raise ValueError(
          f'Argument `conditioning` must be {self}, one for each event or for '
          f'all, got {own} of them for events of batch shape {batch_shape}.'
      )

  def __str__(self):
    if self._is_labels:
      return f'labels from 0 to {self.num_channels - 1}'
    sizes = ', '.join(map(str, self.shape))
    return f'features of shape [..., {sizes}]'


def check(bijector, name, value):
  """Refuses values that a bijector cannot be conditioned on.

  A `ValueError` about the argument `name`. What others than those of this
  library take is not known.
  """
  if not hasattr(bijector, '_is_conditional'):
    return
  wanted = getattr(bijector, 'conditioning', bijector)
  if wanted is None or not bijector._is_conditional:  # pylint: disable=protected-access
    raise ValueError(
        f'Argument `{name}`: {bijector.name} is conditioned on nothing.'
    )
  if isinstance(wanted, Condition):
    wanted.check_values(name, value)

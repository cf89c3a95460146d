"""Structure: which matrices a linear flow may have."""

import dataclasses
import math

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.optimum import regression
from tfp_flowopt.optimum import result
from tfp_flowopt.optimum import spectrum
from tfp_flowopt.optimum import vector_moments

__all__ = ['Structure']


class Structure:
  """What the matrix `A` of a linear flow `z = A (x - b)` acts on.

  As it stands: one matrix for all vectors, as many of which as
  `num_vectors(event_shape)` make an event. Subclasses are frozen dataclasses,
  whose fields are arguments of `likelihood_optimum`.

  Attributes:
    name: The name that users give.
    axes: Axes of an event.
    batch_axes: Axes before them.
    has_flow: Whether the optimum of some data is a flow for others; if not,
      the constraint belongs to the constructor of `AutoCorrelation`.
    takes_condition: Whether the shift may depend on a condition.
  """

  name = ''
  axes: tuple[str, ...] = ('H', 'W', 'C')
  batch_axes: tuple[str, ...] = ('N',)
  has_flow = True
  takes_condition = True
  block_size = 1
  frequency_pool: int | None = None

  def __str__(self):
    """The name of the structure in tables."""
    return self.name

  # Events.

  def check_event(self, event_shape):
    """Raises a `ValueError` if events of a `TensorShape` do not suit."""
    if event_shape.rank != len(self.axes):
      advice = '; flatten images first' if len(self.axes) == 1 else ''
      raise ValueError(
          f'Structure "{self.name}" needs events of shape '
          f'[{", ".join(self.axes)}], got {event_shape.as_list()}{advice}.'
      )

  def as_events(self, x):
    """An array of events of any shape as this structure takes them."""
    return x.reshape(len(x), -1) if len(self.axes) == 1 else x

  def checked(self, x, event_shape=None):
    """The data as a `Tensor`, behind checks of their type, shape and values.

    `event_shape` is the `TensorShape` that each event must have, checked
    already; then `x` has one batch axis. `None`: any.
    """
    x = arguments.check_tensor('x', x, (tf.float32, tf.float64))
    wanted = None
    if event_shape is not None:
      wanted = tf.TensorShape([None]).concatenate(event_shape)
      if not x.shape.is_compatible_with(wanted):
        raise ValueError(
            f'Argument `x` must have shape [N] + {event_shape}, got {x.shape}.'
        )
    ndims = len(self.axes)
    rank = x.shape.rank
    if rank is None or rank <= ndims or (
        '...' not in self.batch_axes and rank > ndims + 1
    ):
      raise ValueError(
          'Argument `x` must have shape '
          f'[{", ".join(self.batch_axes + self.axes)}] for structure '
          f'"{self.name}", got {x.shape}.'
      )
    if wanted is None:
      self.check_event(x.shape[rank - ndims :])
    with tf.control_dependencies([
        tf.debugging.assert_positive(
            # Many large images are more numbers than an int32 counts.
            tf.size(x, out_type=tf.int64),
            message=f'Argument `x` is empty, its shape is {x.shape}.'
        )
    ]):
      x = tf.debugging.check_numerics(x, 'Argument `x` has non-finite entries')
    # What is not known before is checked as it runs.
    return x if wanted is None else tf.ensure_shape(x, wanted)

  def num_vectors(self, shape):
    """How many vectors make an event; its shape is the end of `shape`."""
    del shape
    return 1

  def vectors(self, x):
    """Events as vectors `[..., N, D]`, those of an event in one row."""
    return x

  def events(self, vectors, shape):
    """Events of a shape, a `Tensor`, from their vectors."""
    return tf.reshape(vectors, shape)

  # Conditions: one for all vectors of an event.

  def check_condition(self):
    """Raises a `ValueError` if the shift cannot depend on a condition."""
    if not self.takes_condition:
      raise ValueError(
          f'Argument `conditioning`: structure "{self.name}" takes none; '
          '"dense" and "pointwise" do.'
      )

  def features(self, condition, conditioning, x):
    """Features of each vector of `x`, `[..., N, F]` float64, checked."""
    features = condition.features(conditioning, tf.float64)
    batch = x.shape[: x.shape.rank - len(self.axes)]
    condition.check_batch(features.shape[:-1], batch)
    if features.shape.rank < 2:  # labels of no batch
      raise ValueError(
          f'Argument `conditioning` must be {condition}, one for each event, '
          'got a single one.'
      )
    # Else one condition would do for all events.
    rows, shape = tf.shape(features)[-2:-1], tf.shape(x)[: batch.rank]
    with tf.control_dependencies([
        tf.debugging.assert_equal(
            rows,
            shape[-1:],
            'Argument `conditioning` must be one for each event.',
        ),
        tf.debugging.assert_less(
            tf.abs(features),
            tf.constant(1e145, tf.float64),
            'Argument `conditioning` has non-finite entries, or such whose '
            'squares overflow.',
            summarize=3,
        ),
    ]):
      features = tf.broadcast_to(
          features, tf.concat([shape, [condition.num_channels]], 0)
      )
    count = self.num_vectors(tf.unstack(tf.shape(x)))
    return tf.repeat(features, count, axis=-2)

  # Data all at once.

  def moments_at_once(self, x, centered, constraint, conditions=None):
    """The `Moments` of checked data for the optimum under a `Constraint`.

    They need not be added to. With `conditions`, the pair of a `Condition` and
    its values, those of the residuals.
    """
    vectors, explained, lost = self.vectors(x), None, 0
    if conditions is not None:
      condition, values = conditions
      explained, vectors, offset = regression.of_vectors(
          vectors,
          self.features(condition, values, x),
          centered,
          condition.is_labels,
      )
      lost = explained.rank
    moments = self._moments_of_vectors(vectors, centered, constraint, lost)
    if explained is None:
      return moments
    return dataclasses.replace(
        moments, mean=moments.mean - offset, regression=explained
    )

  def _moments_of_vectors(self, vectors, centered, constraint, lost):
    size, dimension = vectors.shape[-2:]
    if None not in (size, dimension) and size - bool(centered) < dimension:
      return vector_moments.GramMoments.of(vectors, centered)
    # Before there is a matrix, which may be large.
    count, size = tf.unstack(tf.cast(tf.shape(vectors)[-2:], tf.float64))
    with tf.control_dependencies(
        constraint.enough_vectors(count - lost, size, centered)
    ):
      vectors = tf.identity(vectors)
    return vector_moments.VectorMoments.of(vectors, centered)

  def pooled(self, moments):
    """The `Moments` that the optimum is of: all, unless some share a matrix."""
    return moments

  def optimum(self, moments, shape, constraint, dtype):
    """The `LikelihoodOptimum` of `Moments` under a `Constraint`.

    The shape of an event is the end of `shape`; `dtype` is the type of log_*. A
    `ValueError` if the constraint does not suit the dimension, an
    `InvalidArgumentError` if the optimum is infinite.
    """
    moments = self.pooled(moments)
    # Before eigenvalues, which take long.
    checks = constraint.enough_vectors(
        *moments.fewest_vectors(), moments.centered
    )
    eigenvalues, rounding = moments.spectrum()
    dimension = eigenvalues.shape[-1]
    rank = constraint.free_rank(dimension)
    noise = constraint.checked_noise()
    if constraint.bias_correction:
      constraint.check_correctable(dimension)
    eigenvalues, regular = constraint.well_posed(
        eigenvalues, rounding, moments, noise
    )
    with tf.control_dependencies([*checks, *regular]):
      if constraint.is_free(dimension):
        log_det = -0.5 * moments.log_det(noise)
        if constraint.bias_correction:
          log_det += 0.5 * moments.log_det_bias()
        size = tf.cast(tf.shape(eigenvalues)[-1], tf.float64)
        log_likelihood = log_det - 0.5 * size * math.log(2.0 * math.pi * math.e)
      else:
        log_likelihood, log_det = spectrum.spectral_optimum(
            tf.identity(eigenvalues), rank=rank, lipschitz=constraint.lipschitz
        )
      eigenvalues = tf.identity(eigenvalues)
    num_vectors = tf.cast(self.num_vectors(shape), tf.float64)
    return result.LikelihoodOptimum(
        tf.cast(num_vectors * log_likelihood, dtype),
        tf.cast(num_vectors * log_det, dtype),
        eigenvalues,
    )

  # A stream of data.

  def empty_moments(self, event_shape, centered, num_features=0):
    """`SummedMoments` of no data, with `None` for tensors, and their shapes.

    Those of `mean`, `within` and `between`, for events of a shape, a list, and
    the features of a condition beside them.
    """
    size = self.dimension(event_shape) + num_features
    empty = vector_moments.VectorMoments(None, None, None, centered, None)
    return empty, ([size], [size, size], [size, size])

  def dimension(self, event_shape):
    """Dimension of the vectors."""
    return event_shape[-1]

  def moments(self, x, centered, constraint):
    """The `SummedMoments` of checked data, to be added to others."""
    del constraint
    return vector_moments.VectorMoments.of(self.vectors(x), centered)

  def joint_moments(self, x, centered, condition, conditioning):
    """Those of vectors and their features, side by side."""
    features = self.features(condition, conditioning, x)
    vectors = tf.cast(self.vectors(x), tf.float64)
    return vector_moments.VectorMoments.of(
        tf.concat([vectors, features], axis=-1), centered
    )

  def num_events(self, count, event_shape):
    """How many events the moments of `count` vectors are of."""
    return count / self.num_vectors(event_shape)

  def optimum_of_stream(self, moments, event_shape, constraint, dtype):
    """The `LikelihoodOptimum` of `SummedMoments`."""
    return self.optimum(moments, event_shape, constraint, dtype)

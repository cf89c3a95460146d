"""Second moments of data that arrive in batches."""

import tensorflow as tf

from tfp_flowopt.optimum import closed_form
from tfp_flowopt.optimum import moments

__all__ = ['AutoCorrelation']


class AutoCorrelation(tf.Module):
  """Accumulates the auto-correlation matrix of a stream, in constant memory.

  After any number of `update` calls, `optimum()` equals `likelihood_optimum` of
  all the batches together. The state is three float64 variables, saved by
  `tf.train.Checkpoint`; batches are merged pairwise, so a mean far from zero
  costs no accuracy.

  #### Examples

  ```python
  moments = fo.AutoCorrelation('pointwise', (32, 32, 3), block_size=2)
  for batch in dataset:          # [N, 32, 32, 3]
    moments.update(batch)
  moments.optimum(noise_variance=1 / (12 * 256**2)).log_likelihood
  ```
  """

  def __init__(
      self,
      structure,
      event_shape,
      centered=True,
      block_size=1,
      name='auto_correlation',
  ):
    """Creates an empty accumulator.

    Args:
      structure: `'dense'` or `'pointwise'`, see `likelihood_optimum`.
      event_shape: Shape of one event, `[D]` or `[H, W, C]`, fully known.
      centered: Whether the mean is removed.
      block_size: Side of the blocks that make a vector (images only).
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    super().__init__(name=name)
    if structure == 'individual':
      raise ValueError(
          'Argument `structure`: each image has its own matrix in structure '
          '"individual", there is nothing to accumulate; average '
          '`likelihood_optimum(batch, "individual")` instead.'
      )
    self._event_shape = tf.TensorShape(
        [event_shape] if isinstance(event_shape, int) else event_shape
    )
    if not self._event_shape.is_fully_defined():
      raise ValueError(
          'Argument `event_shape` must be fully known, got '
          f'{self._event_shape}.'
      )
    self._num_positions, dimension = moments.vector_shape(
        structure, self._event_shape, block_size
    )
    self._structure = structure
    self._centered = centered
    self._block_size = block_size
    self._count = tf.Variable(
        tf.zeros([], tf.float64), trainable=False, name='count'
    )
    self._mean = tf.Variable(
        tf.zeros([dimension], tf.float64), trainable=False, name='mean'
    )
    self._matrix = tf.Variable(
        tf.zeros([dimension, dimension], tf.float64),
        trainable=False,
        name='matrix',
    )

  def update(self, x):
    """Adds a batch of events.

    Args:
      x: float32 or float64 `Tensor`, `[N] + event_shape`.

    Raises:
      ValueError: If `x` has the wrong type or shape.
      InvalidArgumentError: If `x` is empty, NaN or infinite; the accumulated
        moments are unchanged then.
    """
    x = tf.convert_to_tensor(x, name='x')
    if not x.shape[1:].is_compatible_with(self._event_shape):
      raise ValueError(
          f'Argument `x` must have shape [N] + {self._event_shape}, got '
          f'{x.shape}.'
      )
    batch = moments.Moments.of(
        moments.as_vectors(x, self._structure, self._block_size),
        self._centered,
    )
    merged = self._moments().merge(batch)
    # In a graph the count may not depend on the values, and would be assigned
    # although they are refused.
    with tf.control_dependencies([merged.matrix]):
      self._count.assign(merged.count)
      self._mean.assign(merged.mean)
      self._matrix.assign(merged.matrix)

  def _moments(self):
    return moments.Moments(
        tf.identity(self._count),
        tf.identity(self._mean),
        tf.identity(self._matrix),
    )

  def moments(self):
    """The `Moments` of the vectors seen so far.

    Returns:
      An object with `count`, `mean` `[D]`, `matrix` `[D, D]` and the method
      `eigh()`, in float64.

    Raises:
      InvalidArgumentError: Before the first `update`.
    """
    with tf.control_dependencies([
        tf.debugging.assert_positive(
            self._count,
            message='No data: call `AutoCorrelation.update` first.',
        )
    ]):
      return self._moments()

  def optimum(
      self, rank=None, lipschitz=None, noise_variance=0.0, dtype=tf.float64
  ):
    """The optimum of the likelihood for the data seen so far.

    Args:
      rank: See `likelihood_optimum`.
      lipschitz: See `likelihood_optimum`.
      noise_variance: See `likelihood_optimum`.
      dtype: Type of the result.

    Returns:
      `LikelihoodOptimum`, log_* in nats per event.

    Raises:
      ValueError: If an argument is out of range.
      InvalidArgumentError: Before the first `update`, or if the optimum is
        infinite, as for `likelihood_optimum`.
    """
    return closed_form.optimum_of_moments(
        self.moments(),
        self._num_positions,
        rank=rank,
        lipschitz=lipschitz,
        noise_variance=noise_variance,
        dtype=dtype,
    )

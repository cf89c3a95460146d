"""Second moments of data that arrive in batches."""

import dataclasses

import tensorflow as tf

from tfp_flowopt.optimum import circulant
from tfp_flowopt.optimum import closed_form
from tfp_flowopt.optimum import individual
from tfp_flowopt.optimum import linear_flow
from tfp_flowopt.optimum import moments
from tfp_flowopt.optimum import replicated_moments
from tfp_flowopt.optimum import structures

__all__ = ['AutoCorrelation']


class AutoCorrelation(tf.Module):
  """Accumulates the second moments of a stream, in constant memory.

  After any number of `update` calls, `optimum()` equals `likelihood_optimum` of
  all the batches together (for `'individual'`: its mean over the images). The
  state is four float64 variables, saved by `tf.train.Checkpoint`; batches are
  merged pairwise, so a mean far from zero costs no accuracy. A copy
  (`copy.deepcopy`, `pickle`) has seen what this has, and goes on by itself.

  #### Examples

  ```python
  moments = fo.AutoCorrelation('pointwise', (32, 32, 3), block_size=2)
  for batch in dataset:          # [N, 32, 32, 3]
    moments.update(batch)
  moments.optimum(noise_variance=1 / (12 * 256**2)).log_likelihood
  ```

  #### Many replicas

  Created in the scope of a `tf.distribute.Strategy`, each replica adds its
  batches to moments of its own; `all_reduce` adds those of all replicas to what
  they have in common. Only that is read and saved, so call `all_reduce` first.

  ```python
  # Batches that replicas can share: an empty share is an error.
  dataset = dataset.batch(64, drop_remainder=True)
  iterator = iter(strategy.experimental_distribute_dataset(dataset))
  with strategy.scope():
    moments = fo.AutoCorrelation('dense', 784)

  @tf.function
  def read(iterator, num_batches):
    for _ in tf.range(num_batches):
      strategy.run(moments.update, args=(next(iterator),))
    strategy.run(moments.all_reduce)
  ```
  """

  def __init__(
      self,
      structure,
      event_shape,
      centered=True,
      block_size=1,
      rank=None,
      lipschitz=None,
      noise_variance=0.0,
      bias_correction=False,
      name='auto_correlation',
  ):
    """Creates an empty accumulator.

    Args:
      structure: See `likelihood_optimum`.
      event_shape: Shape of one event, `[D]` or `[H, W, C]`, fully known.
      centered: Whether the mean is removed.
      block_size: Side of the blocks that make a vector, see
        `likelihood_optimum`.
      rank: For `'individual'` only, where each image's optimum is found as it
        arrives; for other structures it is an argument of `optimum`.
      lipschitz: As `rank`.
      noise_variance: As `rank`.
      bias_correction: As `rank`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value, or the moments are larger
        than the memory of this machine.
    """
    super().__init__(name=name)
    self._event_shape = tf.TensorShape(
        [event_shape] if isinstance(event_shape, int) else event_shape
    )
    if not self._event_shape.is_fully_defined():
      raise ValueError(
          'Argument `event_shape` must be fully known, got '
          f'{self._event_shape}.'
      )
    self._num_positions, dimension = structures.vector_shape(
        structure, self._event_shape, block_size
    )
    self._structure = structure
    self._centered = centered
    self._block_size = block_size
    self._constraint = {
        'rank': rank,
        'lipschitz': lipschitz,
        'noise_variance': noise_variance,
        'bias_correction': bias_correction,
    }
    if structure != 'individual':
      _check_default(self._constraint, f'structure "{structure}"', 'optimum')
    template = moments.Moments(None, None, None, None)
    if structure == 'individual':
      dimension += 2  # the two log_* of the optimum
    shapes = [dimension], *(2 * [[dimension, dimension]])
    if structure == 'circulant':
      width = self._event_shape[1]
      self._num_positions = 1
      template = circulant.CirculantMoments(*(4 * [None]), width)
      shapes = circulant.CirculantMoments.shapes(self._event_shape)
    self._state = replicated_moments.ReplicatedMoments(
        template, shapes, self.name
    )
    # What a checkpoint holds.
    self._variables = self._state.variables

  def __reduce__(self):
    arguments = {
        'structure': self._structure,
        'event_shape': self._event_shape.as_list(),
        'centered': self._centered,
        'block_size': self._block_size,
        **self._constraint,
        'name': self.name,
    }
    return _restored, (type(self), arguments, self._state.read())

  # As with `likelihood_optimum`.
  @tf.autograph.experimental.do_not_convert
  def update(self, x):
    """Adds a batch of events.

    Args:
      x: float32 or float64 `Tensor`, `[N] + event_shape`.

    Raises:
      ValueError: If `x` has the wrong type or shape, or on one of many
        replicas if this object was not created in the strategy's scope.
      InvalidArgumentError: If `x` is empty, NaN or infinite, or its squares
        are, or of another shape that was not known before; the accumulated
        moments are unchanged then. Under XLA, which drops such checks, they
        become NaN or infinite.
    """
    x = structures.checked_data(
        x, self._structure, self._block_size, self._event_shape
    )
    if self._structure == 'individual':
      batch = individual.individual_statistics(
          x, self._centered, self._block_size, **self._constraint
      )
    elif self._structure == 'circulant':
      batch = circulant.CirculantMoments.of(x, self._centered)
    else:
      vectors, _ = closed_form.vectors_and_positions(
          x, self._structure, self._block_size
      )
      batch = moments.Moments.of(vectors, self._centered)
    self._state.add(batch.checked())

  def merge(self, other):
    """Adds what another accumulator has seen, and leaves that as it is.

    Args:
      other: `AutoCorrelation` made with the same arguments.

    Raises:
      ValueError: If `other` was made with other arguments.
    """
    for name in (
        '_structure',
        '_event_shape',
        '_centered',
        '_block_size',
        '_constraint',
    ):
      mine, its = getattr(self, name), getattr(other, name, None)
      if mine != its:
        raise ValueError(
            f'Argument `other` must have the same {name[1:]}, {mine}, got '
            f'{its}.'
        )
    self._state.add(other._state.read())

  def all_reduce(self):
    """Adds what each replica has seen to the moments that all share.

    In replica context (`strategy.run(moments.all_reduce)`); called outside,
    it does that itself. On one replica there is nothing to do. May be called
    again after more updates.

    Raises:
      ValueError: On one of many replicas if this object was not created in
        the strategy's scope.
    """
    self._state.all_reduce()

  @property
  def event_shape(self):
    """Shape of one event, a `TensorShape`."""
    return self._event_shape

  @property
  def count(self):
    """Number of events seen (and shared), a float64 scalar."""
    events = self._state.read().count
    if self._structure == 'pointwise':
      events /= self._num_positions
    return events

  def moments(self):
    """The moments of the data seen so far.

    Returns:
      An object with `count` (vectors), `mean` `[D]`, `matrix` `[D, D]` and the
      methods `eigh()` and `condition(noise_variance=0.0)`, the condition number
      of the correlations, in float64. For `'circulant'` the cross-spectral
      matrices, see `CirculantMoments`, without `eigh`; for `'individual'` mean
      and covariance of the optima.

    Raises:
      InvalidArgumentError: Before the first `update`, or if `all_reduce` is
        due.
    """
    result = self._state.read()
    with tf.control_dependencies([
        tf.debugging.assert_positive(
            result.count,
            message='No data: call `AutoCorrelation.update` first.',
        )
    ]):
      return dataclasses.replace(result, count=tf.identity(result.count))

  @tf.autograph.experimental.do_not_convert
  def optimum(
      self,
      rank=None,
      lipschitz=None,
      noise_variance=0.0,
      frequency_pool=None,
      bias_correction=False,
      dtype=tf.float64,
  ):
    """The optimum of the likelihood for the data seen so far.

    Args:
      rank: See `likelihood_optimum`.
      lipschitz: See `likelihood_optimum`.
      noise_variance: See `likelihood_optimum`.
      frequency_pool: See `likelihood_optimum`.
      bias_correction: See `likelihood_optimum`.
      dtype: Type of log_*; eigenvalues are float64.

    Returns:
      `LikelihoodOptimum`, log_* in nats per event, scalars. For `'individual'`
      their means over the images, and geometric means of the eigenvalues.

    Raises:
      ValueError: If an argument is out of range, or for `'individual'`, where
        the constructor has them, not the default.
      InvalidArgumentError: Before the first `update`, or if the optimum is
        infinite, as for `likelihood_optimum`.
    """
    circulant.check_frequency_pool(frequency_pool, self._structure)
    constraint = {
        'rank': rank,
        'lipschitz': lipschitz,
        'noise_variance': noise_variance,
        'bias_correction': bias_correction,
    }
    data_moments = self.moments()
    if self._structure == 'individual':
      _check_default(constraint, 'structure "individual"', 'the constructor')
      return individual.mean_individual_optimum(data_moments, dtype)
    return closed_form.optimum_of_moments(
        _with_pool(data_moments, frequency_pool),
        self._num_positions,
        self._centered,
        **constraint,
        dtype=dtype,
    )

  def linear_flow(
      self, lipschitz=None, noise_variance=0.0, frequency_pool=None
  ):
    """The flow that reaches the optimum, to evaluate on other data.

    Args:
      lipschitz: See `likelihood_optimum`.
      noise_variance: See `likelihood_optimum`.
      frequency_pool: See `likelihood_optimum`.

    Returns:
      `LinearFlow`.

    Raises:
      ValueError: If an argument is out of range, or for `'individual'`, which
        has no flow for new data.
      InvalidArgumentError: As `optimum`.
    """
    circulant.check_frequency_pool(frequency_pool, self._structure)
    if self._structure == 'individual':
      raise ValueError(
          'Structure "individual" has a matrix for each image, and no flow for '
          'other images.'
      )
    return linear_flow.optimal_linear_flow(
        _with_pool(self.moments(), frequency_pool),
        self._num_positions,
        self._structure,
        self._event_shape,
        self._centered,
        self._block_size,
        lipschitz,
        noise_variance,
    )


def _restored(cls, arguments, data_moments):
  """An accumulator that has seen what `data_moments` are of."""
  stream = cls(**arguments)
  stream._state.add(data_moments)  # pylint: disable=protected-access
  return stream


def _with_pool(data_moments, frequency_pool):
  if frequency_pool is None:
    return data_moments
  return data_moments.with_pool(frequency_pool)


def _check_default(constraint, where, place):
  """Raises a `ValueError` unless each part of a constraint is the default."""
  for name, value in constraint.items():
    is_default = value is None or value is False or (
        name == 'noise_variance' and not tf.is_tensor(value) and value == 0
    )
    if not is_default:
      raise ValueError(
          f'Argument `{name}` is to be given to {place} for {where}, got '
          f'{value!r}.'
      )

"""Second moments of data that arrive in batches."""

import dataclasses
import functools

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import conditions
from tfp_flowopt.internal import types
from tfp_flowopt.optimum import constraint as constraint_lib
from tfp_flowopt.optimum import linear_flow
from tfp_flowopt.optimum import moment_variables
from tfp_flowopt.optimum import moments as moments_lib
from tfp_flowopt.optimum import regression
from tfp_flowopt.optimum import result as result_lib
from tfp_flowopt.optimum import structures

__all__ = ['AutoCorrelation']


class AutoCorrelation(tf.Module):
  """Accumulates the second moments of a stream, in constant memory.

  After any number of `update` calls, `optimum()` equals `likelihood_optimum` of
  all the batches together (for `'individual'`: its mean over the images). The
  state is four float64 variables, saved by `tf.train.Checkpoint`; batches are
  merged pairwise, so a mean far from zero costs no accuracy. A copy
  (`copy.deepcopy`, `pickle`) has seen what this has, and goes on by itself.

  ```python
  moments = fo.AutoCorrelation('pointwise', (32, 32, 3), block_size=2)
  for batch in dataset:          # [N, 32, 32, 3]
    moments.update(batch)
  moments.optimum(noise_variance=1 / (12 * 256**2)).log_likelihood
  ```

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

  Attributes:
    event_shape: Shape of one event, a `TensorShape`.
  """

  def __init__(
      self,
      structure: str | structures.Structure,
      event_shape: types.Shape | int,
      centered: bool = True,
      block_size: int = 1,
      rank: int | None = None,
      lipschitz: tuple[float, float] | None = None,
      noise_variance: float = 0.0,
      bias_correction: bool = False,
      conditioning: types.ConditioningSpec | None = None,
      name: str = 'auto_correlation',
  ) -> None:
    """Creates an empty accumulator.

    Args:
      structure: See `likelihood_optimum`, also for `centered`, `block_size`.
      event_shape: Shape of one event, `[D]` or `[H, W, C]`, fully known.
      centered: Whether the mean is removed.
      block_size: Side of the blocks that make a vector.
      rank: For `'individual'` only, where each image's optimum is found as it
        arrives, as are `lipschitz`, `noise_variance` and `bias_correction`; for
        other structures they are arguments of `optimum`.
      lipschitz: See `rank`.
      noise_variance: See `rank`.
      bias_correction: See `rank`.
      conditioning: `None`, or for `'dense'` and `'pointwise'` what the shift
        depends on, which `update` is then given: a number of classes, or the
        shape `[F]` of vectors.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value, or the moments are larger
        than the memory of this machine.
    """
    super().__init__(name=name)
    self.event_shape = tf.TensorShape(
        [event_shape] if isinstance(event_shape, int) else event_shape
    )
    if not self.event_shape.is_fully_defined():
      raise ValueError(
          f'Argument `event_shape` must be fully known, got {event_shape}.'
      )
    self._structure = structures.structure_of(structure, block_size)
    self._structure.check_event(self.event_shape)
    arguments.check_choice('centered', centered, (False, True))
    self._centered = centered
    self._constraint = constraint_lib.Constraint(
        rank, lipschitz, noise_variance, bias_correction
    )
    if self._structure.has_flow:
      self._constraint.check_default(self._structure.name, 'optimum')
    self._condition, given = None, {}
    if conditioning is not None:
      self._structure.check_condition()
      self._condition = conditions.Condition(conditioning)
      given['num_features'] = self._condition.num_channels
    template, shapes = self._structure.empty_moments(
        self.event_shape.as_list(), centered, **given
    )
    self._state = moment_variables.MomentVariables(template, shapes, self.name)
    # What a checkpoint holds.
    self._variables = self._state.variables

  def __reduce__(self):
    arguments = {
        'structure': self._structure,
        'event_shape': self.event_shape.as_list(),
        'centered': self._centered,
        **vars(self._constraint),
        'conditioning': self._condition and self._condition.argument,
        'name': self.name,
    }
    empty = functools.partial(type(self), **arguments)
    return empty, (), self._state.read()

  def __setstate__(self, data_moments):
    self._state.add(data_moments)

  # As with `likelihood_optimum`.
  @tf.autograph.experimental.do_not_convert
  def update(
      self, x: types.TensorLike, conditioning: types.TensorLike | None = None
  ) -> None:
    """Adds a batch of events.

    Args:
      x: float32 or float64 `Tensor`, `[N] + event_shape`.
      conditioning: Integer labels `[N]` or vectors `[N, F]`, as the constructor
        was told; `None` without.

    Raises:
      ValueError: If an argument has the wrong type or shape, or on one of many
        replicas if this object was not created in the strategy's scope.
      InvalidArgumentError: If `x` is empty, NaN or infinite, or its squares
        are, or of another shape that was not known before, or likewise
        `conditioning`; the accumulated moments are unchanged then. Under XLA,
        which drops such checks, they become NaN or infinite.
    """
    x = self._structure.checked(x, self.event_shape)
    if self._condition is not None:
      batch = self._structure.joint_moments(
          x, self._centered, self._condition, conditioning
      )
    elif conditioning is not None:
      raise ValueError(
          'Argument `conditioning`: "AutoCorrelation" was made without it.'
      )
    else:
      batch = self._structure.moments(x, self._centered, self._constraint)
    self._state.add(batch.checked())

  def merge(self, other: 'AutoCorrelation') -> None:
    """Adds what another `AutoCorrelation` has seen, and leaves that as it is.

    A `ValueError` if `other` was made with other arguments.
    """
    for name in (
        '_structure',
        'event_shape',
        '_centered',
        '_constraint',
        '_condition',
    ):
      mine, its = (getattr(x, name, None) for x in (self, other))
      if mine != its:
        raise ValueError(
            f'Argument `other` must have the same {name.strip("_")}, {mine}, '
            f'got {its}.'
        )
    self._state.add(other._state.read())

  def all_reduce(self) -> None:
    """Adds what each replica has seen to the moments that all share.

    In replica context (`strategy.run(moments.all_reduce)`); called outside,
    it does that itself. On one replica there is nothing to do. May be called
    again after more updates. Errors are those of `update` on many replicas.
    """
    self._state.all_reduce()

  @property
  def count(self) -> tf.Tensor:
    """Number of events seen (and shared), a float64 scalar."""
    count = self._state.read().count
    return self._structure.num_events(count, self.event_shape.as_list())

  def moments(self) -> moments_lib.Moments:
    """The moments of the data seen so far.

    Returns:
      An object with `count` (vectors), `mean` `[D]`, `matrix` `[D, D]` and the
      methods `eigh()` and `condition(noise_variance=0.0)`, the condition number
      of the correlations, in float64. For `'circulant'` the cross-spectral
      matrices, see `CirculantMoments`, without `eigh`; for `'individual'` mean
      and covariance of the optima; with a condition those of the residuals,
      `b` for their mean.

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
      result = dataclasses.replace(result, count=tf.identity(result.count))
    if self._condition is None:
      return result
    return regression.of_joint(
        result, self._condition.num_channels, self._condition.is_labels
    )

  @tf.autograph.experimental.do_not_convert
  def optimum(
      self,
      rank: int | None = None,
      lipschitz: tuple[float, float] | None = None,
      noise_variance: float = 0.0,
      frequency_pool: int | None = None,
      bias_correction: bool = False,
      dtype: types.DType = tf.float64,
  ) -> result_lib.LikelihoodOptimum:
    """The optimum of the likelihood for the data seen so far.

    Arguments are those of `likelihood_optimum`; `dtype` is the type of log_*.

    Returns:
      `LikelihoodOptimum`, log_* in nats per event, scalars. For `'individual'`
      their means over the images, and geometric means of the eigenvalues.

    Raises:
      ValueError: If an argument is out of range, or for `'individual'`, where
        the constructor has them, not the default.
      InvalidArgumentError: Before the first `update`, or if the optimum is
        infinite, as for `likelihood_optimum`.
    """
    structure = structures.structure_of(
        self._structure, frequency_pool=frequency_pool
    )
    constraint = constraint_lib.Constraint(
        rank, lipschitz, noise_variance, bias_correction
    )
    if not structure.has_flow:
      constraint.check_default(structure.name, 'the constructor')
    moments = self.moments()
    result = structure.optimum_of_stream(
        moments, self.event_shape.as_list(), constraint, dtype
    )
    if not structure.has_flow:
      return result
    return result._of(
        structure, moments, self.event_shape, constraint, self._condition
    )

  def linear_flow(
      self,
      lipschitz: tuple[float, float] | None = None,
      noise_variance: float = 0.0,
      frequency_pool: int | None = None,
  ) -> linear_flow.LinearFlow:
    """The `LinearFlow` that reaches the optimum, to evaluate on other data.

    Arguments and errors are those of `optimum`; for `'individual'`, which has
    no flow for new data, a `ValueError`.
    """
    return linear_flow.LinearFlow(
        structures.structure_of(self._structure, frequency_pool=frequency_pool),
        self.moments(),
        self.event_shape,
        constraint_lib.Constraint(
            lipschitz=lipschitz, noise_variance=noise_variance
        ),
        self._condition,
    )

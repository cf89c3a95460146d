"""LikelihoodOptimum: what the best linear flow reaches."""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from tfp_flowopt.internal import types
from tfp_flowopt.optimum import linear_flow
from tfp_flowopt.optimum import regression

__all__ = ['LikelihoodOptimum']


class _Values(NamedTuple):
  log_likelihood: tf.Tensor
  log_det: tf.Tensor
  eigenvalues: tf.Tensor


class LikelihoodOptimum(_Values):
  """What the best linear flow of a structure reaches.

  A tuple of the first three attributes. What else there is follows from the
  moments that it was computed from, when it is asked for, and is lost where a
  `tf.function` returns the tuple: ask inside, or there is a `ValueError`.

  ```python
  x = tf.random.stateless_normal([500, 3], seed=[0, 1])
  labels = tf.range(500) % 2
  best = fo.likelihood_optimum(x, conditioning=labels, num_classes=2)
  best.mutual_information                   # nats; about F D / (2 N) by chance
  best.shift_matrix                         # [3, 2], what each class adds
  distribution = best.distribution()        # a tfd.TransformedDistribution
  kwargs = {'bijector_kwargs': {'conditioning': labels}}
  distribution.log_prob(x, **kwargs)        # its mean is best.log_likelihood
  fo.lipschitz.lipschitz_bounds(distribution.bijector)
  ```

  Attributes:
    log_likelihood: `[B...]`, the mean log-likelihood at the optimum, in nats
      per event (an image: all its positions together).
    log_det: `[B...]`, log|det A| of the optimal normalising map, in nats per
      event.
    eigenvalues: `[B..., D]` float64, those of the auto-correlation matrix
      (noise floor included), descending; for `'circulant'` `[H W C]`, those of
      all frequencies. They are right to rounding of the largest one at least;
      log_* of the free optimum do not need them. Under a condition those of
      the residual covariance.
    shift: `[B..., D]` float64, `b` of `z = A (x - B c - b)`, for the vectors
      of the structure; `[C]` for `'circulant'`.
    shift_matrix: `[B..., D, F]` float64, `B`; `None` without a condition. For
      labels, what the mean of each class differs from that of all by if
      centred, 0 for a class without data.
    mutual_information: `[B...]` float64, `L*(x|c) - L*(x)` in nats per event:
      what the condition is worth to linear flows, of Gaussian `x` and `c` their
      mutual information. Not negative (unless bias-corrected). By chance alone
      it is about `rank(R_cc) D / (2 N)`. `None` without a condition.
  """

  def _of(self, structure, moments, event_shape, constraint, condition):
    """The same, which knows what it was computed from."""
    self._source = structure, moments, event_shape, constraint, condition
    return self

  def _known(self):
    if not hasattr(self, '_source'):
      raise ValueError(
          'This `LikelihoodOptimum` has lost the moments that it is of, as it '
          'was returned by a `tf.function`, or is a mean over images. Ask '
          'inside of the function, or use `AutoCorrelation`.'
      )
    return self._source

  @property
  def shift(self) -> tf.Tensor:
    """See the attributes of the class."""
    return self._known()[1].mean

  @property
  def shift_matrix(self) -> tf.Tensor | None:
    """See the attributes of the class."""
    explained = self._known()[1].regression
    return None if explained is None else explained.matrix

  @property
  def mutual_information(self) -> tf.Tensor | None:
    """See the attributes of the class."""
    structure, moments, event_shape, constraint, _ = self._known()
    if moments.regression is None:
      return None
    given, alone = (
        structure.optimum(
            each, event_shape.as_list(), constraint, tf.float64
        ).log_likelihood
        for each in (moments, regression.marginal(moments))
    )
    gain = given - alone
    # Rounding may make a gain of 0 negative.
    return gain if constraint.bias_correction else tf.maximum(gain, 0.0)

  def distribution(
      self, dtype: types.DType | None = None
  ) -> types.TransformedDistribution:
    """The flow that reaches the optimum, as a `tfd.Distribution`.

    See `LinearFlow.distribution`; `dtype` is that of `log_likelihood` by
    default.

    Raises:
      ValueError: If there is no such flow: for `'individual'`, for several
        data sets `[B..., N, D]`, or if the shape of an event is not known.
    """
    structure, moments, event_shape, constraint, condition = self._known()
    if self.log_det.shape.rank and structure.has_flow:
      raise ValueError(
          'A distribution is of one data set, and these are '
          f'{self.log_det.shape}: call `likelihood_optimum` for each.'
      )
    if not event_shape.is_fully_defined():
      raise ValueError(
          'Argument `x` must have events of a known shape for a distribution, '
          f'got {event_shape}.'
      )
    # Which is a property of the estimate, and not of a flow.
    constraint = dataclasses.replace(constraint, bias_correction=False)
    flow = linear_flow.LinearFlow(
        structure, moments, event_shape, constraint, condition
    )
    return flow.distribution(dtype or self.log_likelihood.dtype)

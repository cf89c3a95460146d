"""Losses of examples: bits/dim of images, nats of vectors."""

import itertools

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import lipschitz
from tfp_flowopt.bijectors.multiscale import conditioning as conditioning_lib
from tfp_flowopt.data import labelled
from tfp_flowopt.diagnostics import mean_error
from tfp_flowopt.internal import graphs
from tfp_flowopt.training import interruption

__all__ = ['FlowEvaluator']


class FlowEvaluator:
  """Evaluates a distribution on sets of examples, on all replicas.

  The kernels of Lipschitz layers are rescaled once an evaluation, not once a
  batch, and kept beside the trained ones. `kind` is that of the run;
  `log_prob` gives the log-likelihoods of preprocessed events, by default those
  of the distribution. Made in the scope of the strategy.
  """

  def __init__(self, distribution, kind, replicas, log_prob=None):
    self._kind = kind
    log_likelihood = log_prob or distribution.log_prob
    self._bijector = distribution.bijector
    self._replicas = replicas
    self._kernels = lipschitz.FrozenKernels(distribution)

    def log_prob(batch):
      x, kwargs = labelled.split(batch)
      with self._kernels.in_use():
        return log_likelihood(x, **kwargs)

    spec = tf.TensorSpec([None, *distribution.event_shape], tf.float32)
    conditioning = getattr(distribution.bijector, 'conditioning', None)
    if conditioning is not None:
      spec = spec, conditioning.spec

    # One graph, whatever is evaluated first: a graph traced for another batch
    # size rounds differently, and a resumed run would differ in the last bit.
    # Flows of TFP's need not know batches of any size (`tfb.Glow`, 0.25).
    any_batch = isinstance(
        distribution.bijector, (bijectors.ImageFlow, bijectors.VectorFlow)
    )
    self._log_prob = graphs.own_graph(
        log_prob, input_signature=[spec] if any_batch else None
    )
    self._on_replicas = self._log_prob
    if replicas.count > 1:
      self._on_replicas = graphs.own_graph(
          lambda batch: replicas.strategy.run(log_prob, args=(batch,))
      )

  def log_prob(self, x, bijector_kwargs=None):
    """Log-likelihoods `[N]` in nats of preprocessed events.

    With the kernels of the last `update`; computed in this process alone.
    """
    if bijector_kwargs:
      kwargs = conditioning_lib.of_each_event(
          self._bijector, bijector_kwargs, len(x)
      )
      return self._log_prob((x, kwargs['conditioning']))
    return self._log_prob(x)

  def update(self):
    """Rescales the kernels of the weights as they are."""
    self._kernels.update()

  def loss(self, examples):
    """Mean loss of `ExampleBatches`; the same number in all processes."""
    return self.mean_and_error(examples)[0]

  def mean_and_error(self, examples):
    """Mean loss, and its standard error over independent images.

    The same in all processes; the error of a single image is NaN.
    """
    return self._mean_and_error(self._log_likelihoods(examples), examples)

  def of_draws(self, draws):
    """The same for draws of noise, and for the mean of their densities.

    Args:
      draws: List of `ExampleBatches`, the same examples with other noise.

    Returns:
      List of pairs, one a draw; and a pair.
    """
    values = [self._log_likelihoods(examples) for examples in draws]
    together = tf.reduce_logsumexp(values, axis=0) - np.log(len(values))
    pairs = [
        self._mean_and_error(*each) for each in zip(values, draws, strict=True)
    ]
    return pairs, self._mean_and_error(together.numpy(), draws[0])

  def _log_likelihoods(self, examples):
    """Those of the examples of this process, float64, in their order."""
    self.update()
    replicas = self._replicas
    log_likelihoods = []
    iterator = iter(examples)
    while batches := list(itertools.islice(iterator, replicas.count)):
      interruption.check()
      # In the last round a replica may be out of work: it repeats the first.
      missing = replicas.count - len(batches)
      round_ = batches + [batches[0]] * missing
      results = self._on_replicas(
          replicas.distributed(
              lambda number, round_=round_: self._prepared(
                  *round_[number], examples
              )
          )
      )
      for number, x in zip(replicas.own, replicas.local(results), strict=True):
        if number < len(batches):
          count = len(labelled.split(batches[number][1])[0])
          log_likelihoods.append(x.numpy()[:count])
    # The empty list is of float64.
    return np.concatenate([*log_likelihoods, []])

  def _mean_and_error(self, log_likelihoods, examples):
    values = self._kind.losses(log_likelihoods)
    (total,) = self._replicas.host_sum([np.sum(values)])
    mean = total / examples.num
    (squares,) = self._replicas.host_sum([np.sum((values - mean) ** 2)])
    return float(mean), mean_error.error_of_mean(
        squares, examples.num, examples.num_independent
    )

  def _prepared(self, start, images, examples):
    """Preprocessed; on many replicas filled up, for one graph to do."""
    x = examples.preprocessed(start, images, self._kind.bits)
    if self._replicas.count == 1:
      return x
    missing = examples.batch_size - len(labelled.split(images)[0])
    return tf.nest.map_structure(
        lambda t: tf.pad(t, [[0, missing]] + [[0, 0]] * (t.shape.rank - 1)), x
    )

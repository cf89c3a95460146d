"""The replicas that train together, seen from one process."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import graphs

__all__ = ['Replicas']


class Replicas:
  """What a `tf.distribute.Strategy` means to the trainer.

  Every process runs the same program on the host and makes the same decisions,
  from numbers that are the same everywhere; only the chief writes files.

  Attributes:
    strategy: By default that in whose scope this is made.
    count: Number of replicas, those of other processes included.
    own: Their numbers in this process, ascending.
    num_processes: Number of processes.
    is_chief: Whether this process writes the files.
  """

  def __init__(self, strategy=None):
    self.strategy = strategy or tf.distribute.get_strategy()
    self.count = self.strategy.num_replicas_in_sync
    self.own = []
    self.distributed(lambda number: self.own.append(number) or 0)
    self.num_processes = self.count // len(self.own)
    self.is_chief = 0 in self.own

  def distributed(self, function):
    """What `strategy.run` takes: the function's values at replica numbers."""
    if self.count == 1:
      return function(0)
    return self.strategy.experimental_distribute_values_from_function(
        lambda context: function(context.replica_id_in_sync_group)
    )

  def local(self, values):
    """The values of the replicas of this process, a tuple in their order."""
    return self.strategy.experimental_local_results(values)

  def all_sum(self, tensors):
    """Sums of each `Tensor` of a list over replicas, in replica context."""
    if self.count == 1:
      return tensors
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)

  def host_sum(self, values):
    """Sums over processes of numbers that each has computed, in float64."""
    values = np.asarray(values, np.float64)
    if self.num_processes == 1:
      return values
    # Few different sizes, for each is a graph of its own.
    size = max(128, 2 ** (values.size - 1).bit_length())
    padded = np.zeros(size)
    padded[: values.size] = values.ravel()
    contributions = self.distributed(
        lambda number: tf.constant(
            padded if number == self.own[0] else np.zeros_like(padded)
        )
    )
    total = self.local(self._summed(contributions))[0].numpy()
    return total[: values.size].reshape(values.shape)

  def broadcast(self, values):
    """The chief's numbers, in all processes; see `host_sum`."""
    values = np.asarray(values, np.float64)
    return self.host_sum(values if self.is_chief else np.zeros_like(values))

  def broadcast_variables(self, variables):
    """Gives floating-point variables the chief's values, to the last bit.

    What each has computed for itself may differ: processors have kernels, and
    eigenvectors signs, of their own. Variables that each replica has for itself
    are left alone.
    """
    if self.num_processes == 1:
      return
    chosen = [
        v
        for v in variables
        if v.dtype.is_floating
        and v.synchronization != tf.VariableSynchronization.ON_READ
    ]
    # float64 holds float32 exactly.
    values = [np.asarray(v.numpy(), np.float64) for v in chosen]
    flat = self.broadcast(np.concatenate([v.ravel() for v in values]))
    ends = np.cumsum([v.size for v in values])[:-1]
    for variable, part in zip(chosen, np.split(flat, ends), strict=True):
      variable.assign(
          tf.cast(part.reshape(variable.shape.as_list()), variable.dtype)
      )

  def check_identical(self, variables):
    """Raises a `RuntimeError` unless all hold the same bits (float32)."""
    if self.count == 1:
      return
    checksums = [
        checksum(copies)
        for copies in zip(*(self.local(v) for v in variables), strict=True)
    ]
    # Halves, which float64 holds exactly.
    mine = np.zeros([self.count, 2])
    for number, value in zip(self.own, checksums, strict=True):
      mine[number] = divmod(value, 2**32)
    everyone = self.host_sum(mine)
    different = np.flatnonzero(np.any(everyone != everyone[0], axis=1)).tolist()
    if different:
      raise RuntimeError(
          f'The weights of replicas {different} are not those of '
          'replica 0: the replicas have diverged. Start again from the '
          'latest checkpoint.'
      )

  @graphs.own_graph_method
  def _summed(self, values):
    # A copy, for an argument is on no device, and the sum must be.
    return self.strategy.run(
        lambda x: self.all_sum([tf.identity(x)])[0], args=(values,)
    )


def checksum(tensors):
  """A number below 2^64 of all bits of float32 tensors, in their order."""
  total = 0
  for tensor in tensors:
    bits = np.ascontiguousarray(tensor, np.float32).view(np.uint32).ravel()
    # Odd weights: a changed value, and two swapped ones, change the sum.
    weights = 2 * np.arange(bits.size, dtype=np.uint64) + np.uint64(1)
    total = (31 * total + int(np.sum(bits * weights))) % 2**64
  return total

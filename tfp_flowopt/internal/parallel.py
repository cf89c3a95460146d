"""Threads that work on numbered items, in order and in bounded memory."""

import collections
from concurrent import futures
import os

import tensorflow as tf

__all__ = ['THREADS', 'map_in_threads', 'ordered_map', 'untuned']

# Images decoded at once: each may take a hundred megabytes.
THREADS = min(os.cpu_count() or 1, 16)


def map_in_threads(dataset, function, num_threads=THREADS):
  """Maps a `tf.data.Dataset` in parallel, in its order."""
  # Fused with the making of batches, it would read 16 batches ahead.
  options = tf.data.Options()
  options.experimental_optimization.map_and_batch_fusion = False
  # A fixed number: to choose it by speed would fill the memory.
  return untuned(dataset.with_options(options)).map(
      # To translate it takes longer than to trace it.
      tf.autograph.experimental.do_not_convert(function),
      num_parallel_calls=num_threads,
      deterministic=True,
  )


def untuned(dataset):
  """A `tf.data.Dataset` whose iterators end at once.

  Those that are tuned wait for the thread that tunes them when they are
  deleted, now and then for long: short runs ended 17 and 20 s late.
  """
  options = tf.data.Options()
  options.autotune.enabled = False
  return dataset.with_options(options)


def ordered_map(function, indices, num_threads):
  """Yields `function(index)` in order, computed in threads, some ahead."""
  waiting = collections.deque()
  with futures.ThreadPoolExecutor(num_threads) as pool:
    try:
      for index in indices:
        waiting.append(pool.submit(function, index))
        if len(waiting) >= 2 * num_threads:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      for task in waiting:
        task.cancel()

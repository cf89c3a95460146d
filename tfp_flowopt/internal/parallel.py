"""Threads that work on numbered items, in order and in bounded memory."""

import collections
from concurrent import futures

__all__ = ['ordered_map']


def ordered_map(function, indices, num_threads):
  """Applies a function in threads.

  Args:
    function: Takes an index.
    indices: Iterable of them.
    num_threads: Number of threads. Twice as many results at most are ahead of
      those that were taken.

  Yields:
    The results, in the order of the indices.
  """
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

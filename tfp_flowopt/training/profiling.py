"""Traces of some steps, for TensorFlow's profiler."""

import tensorflow as tf

__all__ = ['StepProfiler']

# The first steps trace graphs and fill caches.
_FIRST = 5


class StepProfiler:
  """Writes a trace of some steps, not the first ones of the process."""

  def __init__(self, directory, num_steps):
    """Plans the trace.

    Args:
      directory: For TensorBoard to look into.
      num_steps: Number of steps; 0 for none.
    """
    self._directory = str(directory)
    self._num_steps = num_steps
    self._seen = 0

  def step(self):
    """To be called before each step, and after the last one."""
    if self._seen == _FIRST and self._num_steps:
      tf.profiler.experimental.start(self._directory)
    elif self._seen == _FIRST + self._num_steps and self._num_steps:
      self.close()
    self._seen += 1

  def close(self):
    """Writes what there is, if a trace is going on."""
    if _FIRST < self._seen <= _FIRST + self._num_steps:
      tf.profiler.experimental.stop()
      self._num_steps = 0

"""Reads event files as TensorBoard does."""

import tensorflow as tf


def read(directory):
  """What TensorBoard shows of a run.

  Args:
    directory: `pathlib.Path` of the run.

  Returns:
    Dictionary from names to lists of pairs (step, `Summary.Value`).
  """
  started, shown = False, {}
  for path in sorted(directory.glob('*tfevents*')):
    events = list(tf.compat.v1.train.summary_iterator(str(path)))
    # Below this, restarts are ignored.
    assert events[0].file_version == 'brain.Event:2'
    for event in events[1:]:
      if event.session_log.status == tf.compat.v1.SessionLog.START:
        # The first one is the beginning.
        if started:
          for name, pairs in shown.items():
            shown[name] = [pair for pair in pairs if pair[0] < event.step]
        started = True
      for value in event.summary.value:
        shown.setdefault(value.tag, []).append((event.step, value))
  return shown


def scalars(directory):
  """The scalars of a run: dictionary from names to lists of (step, value)."""
  return {
      name: [(step, value.simple_value) for step, value in pairs]
      for name, pairs in read(directory).items()
  }

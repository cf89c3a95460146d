"""How TFP calls a log-density with a structure."""

from tensorflow_probability.python.internal import nest_util

__all__ = ['call_target']


def call_target(target_log_prob_fn, x):
  """Calls it as `tfp.vi` does: parts of a list or dict are its arguments."""
  return nest_util.call_fn(target_log_prob_fn, x)

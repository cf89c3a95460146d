"""Gradient tapes that record a tensor, as far as TensorFlow tells."""

import tensorflow as tf
from tensorflow.python.ops import gradients_util

__all__ = ['recorded_alike']

_NONE, _ONE = 0, 1


def recorded_alike(variables, value):
  """Whether each open tape that records `variables` has recorded `value` too.

  `value` was computed from these trainable variables before, perhaps when other
  tapes were open. `False` also if it cannot be known.
  """
  # There is no public way to ask. 0: no tape records the tensor; 1: one does;
  # 2: several, or one whose gradient may be recorded itself. All tapes that
  # watch a variable record a new reading of it. A tape that records the value
  # also records the variables that it was computed from, so if one tape records
  # each of them it is the same.
  recording = _recording([tf.convert_to_tensor(v) for v in variables])
  return recording == _NONE or (
      recording == _ONE and _recording([value]) == _ONE
  )


def _recording(tensors):
  return gradients_util.PossibleTapeGradientTypes(tensors)

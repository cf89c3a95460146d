"""What TensorFlow's private `PossibleTapeGradientTypes` says of tapes."""

import tensorflow as tf

from tfp_flowopt.internal import tapes


def test_recorded_alike():
  variable = tf.Variable([1.0, 2.0])
  before = tf.exp(variable)
  assert tapes.recorded_alike([variable], before)
  with tf.GradientTape() as tape:
    assert not tapes.recorded_alike([variable], before)
    value = tf.exp(variable)
    assert tapes.recorded_alike([variable], value)
    with tf.GradientTape():
      assert not tapes.recorded_alike([variable], value)
    with tape.stop_recording():
      assert tapes.recorded_alike([variable], before)
  assert tapes.recorded_alike([variable], value)


def test_what_several_tapes_record_is_not_known():
  variable = tf.Variable([1.0])
  with tf.GradientTape(), tf.GradientTape():
    assert not tapes.recorded_alike([variable], tf.exp(variable))
  with tf.GradientTape(persistent=True):
    assert not tapes.recorded_alike([variable], tf.exp(variable))

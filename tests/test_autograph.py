"""What users call in a `tf.function` is not translated by AutoGraph."""

import sys

import pytest
import tensorflow as tf

import tfp_flowopt as fo


def translated(function, x):
  """Names of functions that are run in translation while one is traced."""
  names = set()

  def note(frame, event, _):
    # `tf__f` is the translation of `f`.
    if event == 'call' and frame.f_code.co_name.startswith('tf__'):
      names.add(frame.f_code.co_name.removeprefix('tf__'))

  before = sys.getprofile()
  sys.setprofile(note)
  try:
    tf.function(function).get_concrete_function(x)
  finally:
    sys.setprofile(before)
  return names


def test_others_are():
  def own(x):
    return x + 1.0

  def user(x):
    return own(x)

  assert translated(user, tf.zeros([2])) == {'user', 'own'}


BIJECTOR = fo.bijectors.DepthToSpace(2)


def inverse(x):
  return BIJECTOR.inverse(x)


def both_inverse(x):
  return fo.bijectors.inverse_and_log_det(BIJECTOR, x)


def both_forward(x):
  return fo.bijectors.forward_and_log_det(BIJECTOR, x)


MOMENTS = fo.AutoCorrelation('dense', 3)


def accumulated(x):
  MOMENTS.update(x)
  return MOMENTS.optimum()


@pytest.mark.parametrize(
    ['evaluate', 'shape'],
    [
        (fo.likelihood_optimum, [20, 3]),
        (accumulated, [20, 3]),
        (fo.lipschitz.operator_norm_bound, [3, 3, 2, 2]),
        (inverse, [2, 2, 2, 4]),
        (both_inverse, [2, 2, 2, 4]),
        (both_forward, [2, 2, 2, 4]),
    ],
)
def test_ours_are_not(evaluate, shape):
  def user(x):
    return tf.nest.flatten(evaluate(x))[0]

  # `evaluate` itself only where it is not ours.
  own = {evaluate.__name__} if evaluate.__module__ == __name__ else set()
  assert translated(user, tf.ones(shape)) == {'user', *own}

"""Stacked steps: to look at, to change, and what cannot be stacked."""

import numpy as np
import pytest
from support import step_chains
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.bijectors.repeated import repeated_steps

fob, tfb = fo.bijectors, tfp.bijectors


def test_steps_to_look_at_and_to_change(steps, x):
  bijector = fob.RepeatedSteps(steps, memory='reversible')
  assert [len(step) for step in bijector.steps] == [4] * 3
  np.testing.assert_array_equal(
      bijector.steps[1][0].shift, steps[1][0].shift
  )
  before = tf.identity(bijector.inverse(tf.identity(x)))
  np.testing.assert_allclose(
      tfb.Chain(bijector.parts).inverse(tf.identity(x)), before, atol=1e-13
  )
  step = bijector.trainable_step(1)
  step[0].initialize(np.zeros(4), np.full(4, 0.25))
  np.testing.assert_array_equal(bijector.inverse(tf.identity(x)), before)
  bijector.assign(1, step)
  changed = step_chains.chained([steps[0], step, steps[2]])
  np.testing.assert_allclose(
      bijector.inverse(x), changed.inverse(x), atol=1e-13
  )
  with pytest.raises(ValueError, match='another structure'):
    bijector.assign(1, step[:2])


def test_steps_that_were_used_have_the_same_structure(x):
  used, new = step_chains.make_step(0), step_chains.make_step(1)
  for part in used:  # TFP keeps what it found out in the bijector
    part.inverse(x)
    repr(part)
  assert fob.RepeatedSteps([used, new], memory='reversible').num_steps == 2


class Doubling(fob.JointBijector):
  """Changes the shape of its input."""

  def __init__(self):
    super().__init__(forward_min_event_ndims=1, parameters={}, name='doubling')

  def _forward_and_log_det(self, x):
    return tf.concat([x, x], -1), tf.zeros(x.shape[:-1])

  _inverse_and_log_det = _forward_and_log_det


@pytest.mark.parametrize(
    ('arguments', 'error', 'match'),
    [
        ({'step': fob.ActNorm(4)}, ValueError, 'num_steps.*None'),
        ({'step': fob.ActNorm(4), 'num_steps': 0}, ValueError, 'num_steps.*0'),
        ({'step': []}, ValueError, 'not be empty'),
        (
            {'step': [fob.ActNorm(4)] * 2, 'num_steps': 3},
            ValueError,
            'num_steps.*3 and 2',
        ),
        (
            {'step': fob.ActNorm(4), 'num_steps': 2, 'memory': 'none'},
            ValueError,
            "memory.*'none'",
        ),
        ({'step': tfb.Tanh(), 'num_steps': 2}, TypeError, 'step.*Tanh'),
        (
            {'step': [fob.ActNorm(4), fob.ActNorm(6)]},
            ValueError,
            r'step 1.*\(4,\).*\(6,\)',
        ),
        (
            {'step': [fob.ActNorm(4), fob.ActNorm(4, log_range=2.0)]},
            ValueError,
            'log_range is 1.0 in one and 2.0',
        ),
        (
            {'step': [fob.ActNorm(4), fob.InvertibleConv1x1(4)]},
            ValueError,
            'ActNorm in one, InvertibleConv1x1',
        ),
    ],
)
def test_bad_arguments(arguments, error, match):
  with pytest.raises(error, match=match):
    fob.RepeatedSteps(**arguments)


def test_bad_steps():
  with pytest.raises(ValueError, match='must keep the shape'):
    fob.RepeatedSteps(Doubling(), num_steps=2).inverse(tf.ones([2, 3]))
  # Variables that nobody tracks would be left out of the gradient.
  hidden = tf.Variable(tf.ones([2]))
  coupling = fob.AdditiveCoupling(lambda x: hidden * x, event_ndims=1)
  bijector = fob.RepeatedSteps(coupling, num_steps=2, memory='reversible')
  with pytest.raises(TypeError, match='variables'):
    with tf.GradientTape():
      bijector.inverse(tf.ones([3, 4]))


def test_copies_share_weights(steps, x):
  bijector = fob.RepeatedSteps(steps, memory='reversible')
  copy = bijector.copy(memory='stored')
  assert copy.memory == 'stored'
  assert copy.monitor is bijector.monitor
  for a, b in zip(
      copy.trainable_variables, bijector.trainable_variables, strict=True
  ):
    assert a is b
  with pytest.raises(ValueError, match='num_steps'):
    bijector.copy(num_steps=2)


def test_the_memory_of_all_steps_of_a_bijector_changes(steps, x):
  bijector = fob.RepeatedSteps(steps, memory='reversible')
  chain = tfb.Chain([tfb.Shift(tf.constant(1.0, x.dtype)), bijector])
  assert repeated_steps.with_memory(chain, 'reversible') is chain
  stored = repeated_steps.with_memory(chain, 'stored')
  assert type(stored) is type(chain)
  assert stored.bijectors[1].memory == 'stored'
  assert stored.parameters['bijectors'][1] is stored.bijectors[1]
  assert bijector.memory == 'reversible'
  assert {v.ref() for v in stored.variables} == {
      v.ref() for v in chain.variables
  }
  np.testing.assert_array_equal(
      stored.inverse(x), chain.inverse(tf.identity(x))
  )
  with pytest.raises(ValueError, match='memory'):
    repeated_steps.with_memory(chain, 'other')


def test_frozen_kernels_do_not_change_how_gradients_are_computed(steps, x):
  bijector = fob.RepeatedSteps(steps, memory='reversible')
  for one, walks_back in (
      (bijector.copy(memory='stored'), False),
      (bijector, True),
  ):
    with fo.lipschitz.frozen(one), tf.GradientTape() as tape:
      tape.watch(x)
      y = one.inverse(x)
    tape.gradient(y, x)
    assert bool(one.monitor.error > 0) == walks_back


def test_a_flow_and_all_its_levels_change_memory():
  flow = fob.ImageFlow([8, 8, 1], 2, 1, 4)
  stored = flow.copy(memory='stored')
  assert all(level.repeated_steps.memory == 'stored' for level in stored.levels)
  assert flow.levels[1].repeated_steps.memory == 'auto'
  assert stored.monitor is flow.monitor
  x = tf.random.stateless_normal([2, 8, 8, 1], [0, 1])
  np.testing.assert_array_equal(stored.inverse(x), flow.inverse(tf.identity(x)))

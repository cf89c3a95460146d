"""Programs of many models: no warning that their graphs are traced anew."""

import gc
import logging
import weakref

import numpy as np
import pytest
from support import runs
import tensorflow as tf
from tensorflow.python.eager.polymorphic_function import polymorphic_function
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.internal import graphs

tfb, tfd = tfp.bijectors, tfp.distributions
NUM_MODELS = 3


@pytest.fixture
def warnings_of_tensorflow(monkeypatch):
  """Messages of its logger, which warns of the third trace, not the fifth."""
  monkeypatch.setattr(
      polymorphic_function, 'FREQUENT_TRACING_WARNING_THRESHOLD', NUM_MODELS
  )
  messages = []

  class Handler(logging.Handler):

    def emit(self, record):
      messages.append(record.getMessage())

  logger, handler = tf.get_logger(), Handler(logging.WARNING)
  level = logger.level
  logger.addHandler(handler)
  logger.setLevel(logging.WARNING)
  yield messages
  logger.setLevel(level)
  logger.removeHandler(handler)


class Scaled:

  def __init__(self, scale):
    self.scale = scale
    self.traces = 0

  @graphs.own_graph_method
  def times(self, x, offset=0.0):
    """The product."""
    self.traces += 1
    return self.scale * x + offset


def test_each_instance_has_its_graph():
  two, three = Scaled(2.0), Scaled(3.0)
  for x in (1.0, 5.0):
    assert two.times(tf.constant(x)) == 2.0 * x
    assert three.times(tf.constant(x), offset=tf.constant(1.0)) == 3.0 * x + 1.0
  assert two.traces == three.traces == 1
  assert Scaled.times.__doc__ == 'The product.'


def test_a_graph_keeps_no_instance():
  scaled = Scaled(2.0)
  scaled.times(tf.constant(1.0))
  weak = weakref.ref(scaled)
  gc.disable()
  try:
    del scaled
    assert weak() is None
  finally:
    gc.enable()


def test_of_many_instances_there_is_no_warning(warnings_of_tensorflow):
  def once(x):
    return tf.function(lambda x: x + 1.0)(x)

  for scale in range(NUM_MODELS):
    scaled = Scaled(float(scale))
    scaled.times(tf.constant(1.0))
    graphs.own_graph(lambda x, scale=scale: scale * x)(tf.constant(1.0))
  assert not warnings_of_tensorflow
  # What TensorFlow would say.
  for _ in range(NUM_MODELS):
    once(tf.constant(1.0))
  assert 'retracing' in warnings_of_tensorflow[0]


def test_many_fits(warnings_of_tensorflow, rng):
  x = rng.normal(size=[40, 2]).astype(np.float32)
  for _ in range(NUM_MODELS):
    shift = tfb.Shift(tf.Variable([0.0, 0.0]))
    base = tfd.Sample(tfd.Normal(0.0, 1.0), [2])
    fo.training.fit(
        tfd.TransformedDistribution(base, shift), x,
        train_steps=2, batch_size=10, quiet=True,
    )
    fo.diagnostics.local_lipschitz(shift, x[:1], num_steps=2)
  assert not warnings_of_tensorflow


def test_many_runs_of_the_trainer(warnings_of_tensorflow, tmp_path):
  with runs.no_pictures():
    for number in range(NUM_MODELS):
      trainer, _ = runs.make_simple_trainer(
          # Batches of one size: each run has a graph for each.
          tmp_path / str(number),
          train_steps=1,
          init_images=128,
          eval_images=128,
      )
      trainer.train()
  assert not warnings_of_tensorflow


def test_many_surrogates(warnings_of_tensorflow):
  for _ in range(NUM_MODELS):
    surrogate = fo.flows.surrogate_posterior(2, num_steps=1, hidden_units=4)
    fo.flows.initialize_surrogate(
        surrogate, lambda x: -tf.reduce_sum(x**2, axis=-1)
    )
  assert not warnings_of_tensorflow

"""What a flow is not initialised from, and that it stays as it was."""

import math

import numpy as np
import pytest
from support import images
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.flows import level_start


def make_flow():
  return fo.image_flow([8, 8, 3], 2, 2, 8, tile_sizes=(2,))


@pytest.mark.parametrize(
    'data, error, match',
    [
        (np.zeros([5, 8, 8]), ValueError, r'`data` must have shape \[N\]'),
        (np.zeros([0, 8, 8, 3]), ValueError, 'N > 0'),
        (np.zeros([5, 8, 8, 1]), ValueError, '`data`.*shape'),
        (np.zeros([5, 8, 8, 3], np.uint8), ValueError, 'preprocessed'),
        (
            tf.data.Dataset.from_tensors(np.zeros([5, 8, 8, 3], np.uint8)),
            ValueError,
            '`data` must be preprocessed',
        ),
        (
            tf.data.Dataset.from_tensors((np.zeros([5, 8, 8, 3]), [0] * 5)),
            ValueError,
            '`data` must hold batches',
        ),
        (
            tf.data.Dataset.from_tensors(np.zeros([5, 8, 8, 3])).take(0),
            ValueError,
            '`data` is an empty dataset',
        ),
        (
            np.full([5, 8, 8, 3], np.nan),
            tf.errors.InvalidArgumentError,
            'must be finite',
        ),
        (
            tf.data.Dataset.from_tensors(np.zeros([5, 8, 8, 3])).repeat(),
            ValueError,
            'infinite',
        ),
    ],
)
def test_bad_data_is_named_and_leaves_the_flow(data, error, match):
  distribution = make_flow()
  before = [v.numpy() for v in distribution.variables]
  with pytest.raises(error, match=match):
    fo.initialize_at_optimum(distribution, data)
  for value, variable in zip(before, distribution.variables, strict=True):
    np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize('bits', [0, 8.0, True])
def test_bad_bits_are_named(bits):
  distribution = make_flow()
  for initialize in (
      fo.initialize_at_optimum, fo.flows.initialize_act_norm
  ):
    with pytest.raises(ValueError, match='`bits`'):
      initialize(distribution, images.preprocessed(300), bits=bits)


def test_data_that_fail_at_the_second_pass_leave_the_flow(monkeypatch):
  # Nothing is kept, as of large data.
  monkeypatch.setattr(level_start, '_KEPT', 0)
  passes = []

  def generate():
    passes.append(0)
    if len(passes) > 1:
      raise OSError('disk gone')
    yield images.preprocessed(50)

  data = tf.data.Dataset.from_generator(
      generate, output_signature=tf.TensorSpec([None, 8, 8, 3])
  )
  distribution = make_flow()
  before = [v.numpy() for v in distribution.variables]
  with pytest.raises(tf.errors.OpError, match='disk gone'):
    fo.initialize_at_optimum(distribution, data)
  for value, variable in zip(before, distribution.variables, strict=True):
    np.testing.assert_array_equal(variable, value)


def test_a_flow_with_other_weights_is_refused():
  distribution = registry.randomize(make_flow(), 0.05)
  with pytest.raises(ValueError, match='weights that were changed'):
    fo.initialize_at_optimum(distribution, images.preprocessed(50))


def test_without_a_bound_constant_data_are_refused():
  distribution = make_flow()
  before = [v.numpy() for v in distribution.variables]
  x = images.preprocessed(50).numpy()
  x[..., 1] = x[..., 0]
  with pytest.raises(ValueError, match='`lipschitz` must bound it'):
    fo.initialize_at_optimum(distribution, x, lipschitz=(0.0, math.inf))
  for value, variable in zip(before, distribution.variables, strict=True):
    np.testing.assert_array_equal(variable, value)
  assert np.isfinite(fo.initialize_at_optimum(distribution, x))


def test_act_norm_needs_channels_that_vary():
  for data, match in (
      (np.zeros([20, 8, 8, 3], np.float32), 'no channel constant'),
      (np.zeros([20, 8, 8], np.float32), '`images`'),
  ):
    distribution = make_flow()
    with pytest.raises(ValueError, match=match):
      fo.flows.initialize_act_norm(distribution, data)
    # It is as it was, and can be initialised still.
    fo.initialize_at_optimum(distribution, images.preprocessed(50))


def test_only_an_image_flow_can_be_initialised():
  normal = tfp.distributions.Normal(0.0, 1.0)
  with pytest.raises(ValueError, match='ImageFlow'):
    fo.initialize_at_optimum(normal, np.zeros([5, 8, 8, 3]))


@pytest.mark.parametrize('loc, scale', [(0.0, 1.1), (0.1, 1.0)])
def test_another_base_is_refused(loc, scale):
  """The closed form and temperatures are about a standard normal."""
  normal = tfp.distributions.Normal(loc, scale)
  distribution = tfp.distributions.TransformedDistribution(
      tfp.distributions.Sample(normal, [192]),
      make_flow().bijector,
  )
  with pytest.raises(ValueError, match='standard normal'):
    fo.initialize_at_optimum(distribution, images.preprocessed(300))
  assert not distribution.bijector.initialized
  distribution.bijector.mark_initialized()
  with pytest.raises(ValueError, match='standard normal'):
    fo.flows.sample_at_temperature(distribution, 2, [0, 0])

"""Scalings that start at their optimum, within a budget."""

import numpy as np
import pytest
from support import images
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.flows import cascade_start
from tfp_flowopt.flows import level_start


def _uneven(num, rng, size=8, channels=3):
  """Tiles of 4x4 positions with energies of their own."""
  scales = np.exp(rng.normal(size=[num, size // 4, 1, size // 4, 1, 1]))
  x = scales * rng.normal(size=[num, size // 4, 4, size // 4, 4, channels])
  return x.reshape([num, size, size, channels])


def _bits(distribution, x):
  return float(np.mean(fo.bits_per_dim(distribution.log_prob(x), x[0].size)))


def test_of_a_mixture_of_scales_most_is_known_at_the_start(rng):
  """Against the best normal, and against scales that are known."""
  x = _uneven(400, rng)
  tiles = x.reshape([400, 2, 4, 2, 4, 3])
  cascade = fo.bijectors.ScalingCascade(3, tile_sizes=(4,), dtype=tf.float64)
  start = cascade_start.cascade_start(cascade, x)
  cascade.initialize(*start)
  y = tf.constant(_uneven(400, rng))
  z, log_det = fo.bijectors.inverse_and_log_det(cascade, y)
  found = np.mean(log_det - 0.5 * np.sum(z**2, axis=(1, 2, 3))) / 192
  normal = -0.5 * np.log(np.var(x)) - 0.5
  energy = np.mean(tiles**2, axis=(2, 4, 5))
  known = np.mean(-0.5 * np.log(energy)) - 0.5
  assert found > normal + 0.8 * (known - normal)
  # What `fo.lipschitz` certifies is what the slopes say.
  parts = cascade.parts_with(start)
  for part, own in zip(parts, cascade.parts, strict=True):
    np.testing.assert_allclose(
        *map(fo.lipschitz.lipschitz_bounds, (part, own)), rtol=1e-6
    )


def test_each_scaling_has_the_latents_of_a_standard_normal(rng):
  x = _uneven(300, rng)
  cascade = fo.bijectors.ScalingCascade(3, (4, 1), dtype=tf.float64)
  cascade.initialize(*cascade_start.cascade_start(cascade, x))
  z = cascade.inverse(tf.constant(x))
  assert np.mean(np.square(z)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize('budget', [0.5, 3.0, None])
def test_it_stays_within_the_budget_and_gains(budget, rng):
  x = (_uneven(200, rng) / 60.0).astype(np.float32)
  bits = {}
  for tile_sizes in ((), (4, 1)):
    flow = fo.image_flow(
        [8, 8, 3], 2, 1, 4, lipschitz_budget=budget, tile_sizes=tile_sizes
    )
    predicted = fo.initialize_at_optimum(flow, x)
    bits[tile_sizes] = _bits(flow, x)
    assert bits[tile_sizes] == pytest.approx(predicted, abs=1e-3)
    if budget and tile_sizes:
      bounds = flow.bijector.bounds_by_part().nonlinear
      # Something is left to train.
      assert 0.5 * budget < max(np.log(bounds)) < budget
  # Both levels see the energies of what was one tile.
  assert bits[4, 1] < bits[()] - (0.3 if budget != 0.5 else 0.03)


def test_large_data_are_read_again_and_give_the_same(monkeypatch):
  x = images.preprocessed(100)
  predicted = []
  for kept in (2**26, 0):
    monkeypatch.setattr(level_start, '_KEPT', kept)
    flow = fo.image_flow([8, 8, 3], 2, 1, 4, tile_sizes=(2,))
    data = tf.data.Dataset.from_tensor_slices(x).batch(30)
    predicted.append(fo.initialize_at_optimum(flow, data))
  assert predicted[0] == pytest.approx(predicted[1], abs=1e-6)


def test_curves_are_fitted_to_images_of_all_parts(monkeypatch):
  monkeypatch.setattr(level_start, '_FITTED', 32)
  batches = [tf.reshape(tf.range(i, i + 10.0), [10, 1, 1, 1])
             for i in range(0, 1000, 10)]
  found = np.ravel(level_start._some(batches))
  assert 32 <= len(found) <= 64
  assert found[0] == 0 and found[-1] > 950
  assert len(set(np.diff(found))) == 1

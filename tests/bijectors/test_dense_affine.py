"""Affine maps of classes, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo

RNG = np.random.default_rng(3)
MATRICES = RNG.normal(size=[3, 4, 4]) + 2.0 * np.eye(4)
SHIFTS = RNG.normal(size=[3, 4])


@pytest.fixture
def bijector():
  result = fo.bijectors.DenseAffine(4, num_classes=3, dtype=tf.float64)
  result.initialize(MATRICES, SHIFTS)
  return result


def test_each_class_has_its_map(bijector):
  y = RNG.normal(size=[2, 5, 4])
  labels = np.array([[0, 2, 1, 1, 0], [2, 2, 0, 1, 0]])
  expected = np.einsum('nkij,nkj->nki', MATRICES[labels], y - SHIFTS[labels])
  x, log_det = fo.bijectors.inverse_and_log_det(
      bijector, tf.constant(y), tf.constant(labels)
  )
  np.testing.assert_allclose(x, expected, rtol=1e-12)
  expected = np.log(np.abs(np.linalg.det(MATRICES)))[labels]
  np.testing.assert_allclose(log_det, expected, rtol=1e-12)
  back = bijector.forward(tf.identity(x), conditioning=labels)
  np.testing.assert_allclose(back, y, rtol=1e-12)
  one_hot = tf.one_hot(labels, 3, dtype=tf.float64)
  np.testing.assert_array_equal(bijector.inverse(y, conditioning=one_hot), x)


def test_constants_are_the_largest_over_the_classes(bijector):
  values = np.linalg.svd(MATRICES, compute_uv=False)
  bounds = fo.lipschitz.lipschitz_bounds(bijector)
  np.testing.assert_allclose(bounds.inverse, values.max(), rtol=1e-9)
  np.testing.assert_allclose(bounds.forward, 1 / values.min(), rtol=1e-9)
  assert bounds.inverse >= values.max()
  assert bounds.forward >= 1 / values.min()


def test_refusals(bijector):
  before = bijector.matrices.numpy()
  for name, matrices, shifts in (
      ('matrices', MATRICES[:2], SHIFTS),
      ('shifts', MATRICES, SHIFTS.T),
      ('matrices', MATRICES * np.inf, SHIFTS),
      ('singular', np.ones([3, 4, 4]), SHIFTS),
  ):
    with pytest.raises(ValueError, match=name):
      bijector.initialize(matrices, shifts)
  np.testing.assert_array_equal(bijector.matrices, before)
  x = tf.ones([2, 4], tf.float64)
  for conditioning, message in (
      (None, 'labels from 0 to 2'),
      ([[0.5, 1.0]], 'one-hot'),
      ([0, 1, 2], 'one for each event'),
  ):
    if conditioning is not None:
      conditioning = tf.constant(conditioning)
    with pytest.raises(ValueError, match=message):
      bijector.inverse(x, conditioning=conditioning)
  with pytest.raises(tf.errors.InvalidArgumentError, match='labels from 0'):
    bijector.inverse(x, conditioning=[0, 3])

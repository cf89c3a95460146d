"""Learned noise keeps each image in its bins, and its bound is one."""

import numpy as np
import pytest
from scipy import stats
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfd = tfp.distributions
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, [5, 6, 4, 3]).astype(np.uint8)


def learned(event_shape=(6, 4, 3), scale=3.0, **kwargs):
  """As after training: slopes of some `scale`."""
  model = fo.flows.VariationalDequantization(
      event_shape, hidden_channels=8, **kwargs
  )
  rng = np.random.default_rng(1)
  for variable in model.trainable_variables:
    if not np.any(variable):  # of the last layer, and biases
      variable.assign(scale * rng.normal(size=variable.shape))
  return model


def noisy(images=IMAGES, seed=0, bits=8):
  noise = fo.flows.dequantization_noise(images.shape, [seed, 1])
  return fo.flows.dequantize(images, bits, noise)


def test_it_starts_as_uniform_noise():
  x = noisy()
  y, log_det = fo.flows.VariationalDequantization([6, 4, 3])(x)
  np.testing.assert_allclose(y, x, atol=1e-6)
  np.testing.assert_allclose(log_det, tf.zeros([5]), atol=1e-3)


@pytest.mark.parametrize('bits', [1, 5, 8])
@pytest.mark.parametrize('scale', [3.0, 1e3, 1e15, 1e30])
def test_images_stay_in_their_bins(scale, bits):
  images = IMAGES.copy()
  images[0], images[1] = 0, 255
  want = fo.flows.quantize(noisy(images, bits=bits), bits)
  model = learned(scale=scale, bits=bits)
  for value in (0.0, 0.5, 1.0 - 2.0**-15):
    x = fo.flows.dequantize(images, bits, value)
    y, log_det = model(x)
    np.testing.assert_array_equal(fo.flows.quantize(y, bits), want)
    # Densities of noise are bounded, so that float32 has enough numbers.
    assert np.all(np.abs(log_det) <= 72 * 33.0)


def test_log_det_is_that_of_the_jacobian():
  x = noisy(IMAGES[:2])
  model = learned()
  with tf.GradientTape() as tape:
    tape.watch(x)
    y, log_det = model(x)
  # Values do not see each other's noise: the Jacobian is diagonal.
  slopes = tape.gradient(y, x)
  assert np.all(slopes > 0.0) and np.ptp(slopes) > 1.0
  want = np.log(slopes.numpy().astype(np.float64)).sum(axis=(1, 2, 3))
  np.testing.assert_allclose(log_det, want, rtol=1e-4)


@pytest.mark.parametrize('scale', [1e-3, 0.02, 0.2, 0.5, 30.0])
def test_the_mass_of_a_bin_stays(scale):
  """`E p(x') dx'/dx` over uniform noise is the mean of `p` over the bin."""
  model = learned([1, 1, 1], scale=scale, seed=3)
  grid = ((np.arange(20_000) + 0.5) / 20_000).astype(np.float32)
  images = np.full([len(grid), 1, 1, 1], 77, np.uint8)
  x = fo.flows.dequantize(images, noise=grid[:, None, None, None])
  y, log_det = model(x)
  assert np.all(np.diff(np.ravel(y)) >= 0.0)

  def density(x):
    return np.exp(-0.5 * ((np.ravel(x) + 0.198) * 500.0) ** 2)

  got = np.mean(density(y) * np.exp(log_det.numpy().astype(np.float64)))
  want = np.mean(density(x))
  assert got < want * 1.002
  # Of the steepest slopes the grid does not see all: some mass is missed.
  assert got > want * (0.998 if scale < 1.0 else 0.3)


@pytest.mark.parametrize(
    'slopes', [(9e-3, 7e-3), (0.5, -2.0), (-3.0, 0.01), (-6.0, 8.0)]
)
def test_the_log_density_is_two_lines_that_meet(slopes):
  model = fo.flows.VariationalDequantization([1, 1, 1], hidden_channels=8)
  (bias,) = (v for v in model.trainable_variables if v.shape == [2])
  bias.assign(32.0 * np.arctanh(np.divide(slopes, 32.0)))  # at most 32
  t = np.linspace(0.001, 0.999, 2001, dtype=np.float32)
  images = np.full([len(t), 1, 1, 1], 90, np.uint8)
  y, log_det = model(fo.flows.dequantize(images, noise=t.reshape(-1, 1, 1, 1)))
  u = (np.ravel(y).astype(np.float64) + 0.5) * 256.0 - 90.5
  # What is above the two lines is the same everywhere, and makes the mass 1.
  above = -log_det - np.where(u < 0.0, *slopes) * u
  np.testing.assert_allclose(above, above[0] + 0.0 * u, atol=2e-4)
  grid = (np.arange(4000) + 0.5) / 4000 - 0.5
  density = np.exp(above[0] + np.where(grid < 0.0, *slopes) * grid)
  assert np.mean(density) == pytest.approx(1.0, abs=2e-3)


def test_training_closes_the_gap_to_the_likelihood():
  """Of a density whose bins have known masses (SciPy, float64)."""
  scale = 0.4
  rng = np.random.default_rng(5)
  levels = rng.normal(120.0, 1.5, [256, 4, 4, 1]).round()
  images = levels.astype(np.uint8)
  # In bins: a neighbour in each row tells the mean of the next value.
  mean = (levels[:, :, :1] + levels[:, :, 1:2]) / 2.0
  upper, lower = ((levels + k - mean) / scale for k in (1.0, 0.0))
  # By the tail that is not rounded to 1.
  flip = lower > 0.0
  upper, lower = np.where(flip, [-lower, -upper], [upper, lower])
  mass = stats.norm.cdf(upper) - stats.norm.cdf(lower)
  truth = np.log(mass).sum(axis=(1, 2, 3)) + np.log(256.0) * 16
  normal = tfd.Normal(mean.astype(np.float32) / 256.0 - 0.5, scale / 256.0)

  def bound(model, seed):
    x, log_det = model(noisy(images, seed))
    return tf.reduce_sum(normal.log_prob(x), axis=[1, 2, 3]) + log_det

  model = fo.flows.VariationalDequantization([4, 4, 1], seed=2)
  optimizer = tf.optimizers.Adam(1e-2)
  uniform = np.mean([bound(model, seed) for seed in range(20)])

  @tf.function(autograph=False)
  def step(seed):
    with tf.GradientTape() as tape:
      loss = -tf.reduce_mean(bound(model, seed))
    variables = model.trainable_variables
    optimizer.apply_gradients(
        zip(tape.gradient(loss, variables), variables, strict=True)
    )

  for seed in range(400):
    step(tf.constant(seed))
  found = np.mean([bound(model, 1000 + seed) for seed in range(50)])
  gap, left = truth.mean() - uniform, truth.mean() - found
  assert gap > 5.0
  assert 0.0 < left < 0.05 * gap


def test_any_batch_and_odd_sizes():
  model = learned([3, 5, 2])
  images = RNG.integers(0, 256, [2, 3, 3, 5, 2]).astype(np.uint8)
  x = noisy(images)
  y, log_det = model(x)
  assert y.shape == x.shape and log_det.shape == [2, 3]
  one, log_det_of_one = model(x[1, 2])
  np.testing.assert_allclose(one, y[1, 2], atol=1e-6)
  np.testing.assert_allclose(log_det_of_one, log_det[1, 2], rtol=1e-4)
  none, empty = model(x[:0])
  assert none.shape == [0, 3, 3, 5, 2] and empty.shape == [0, 3]


def test_it_compiles():
  model, x = learned(), noisy()
  compiled = tf.function(model.__call__, autograph=False, jit_compile=True)
  for got, want in zip(compiled(x), model(x), strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('shape', [[5, 6, 4, 1], [6, 4], [6, 4, 3]])
def test_other_images_are_named(shape):
  x = tf.zeros(shape, 'double' if len(shape) == 3 else 'float')
  with pytest.raises(ValueError, match=r'Argument `x`.*float32.*\(6, 4, 3\)'):
    learned()(x)

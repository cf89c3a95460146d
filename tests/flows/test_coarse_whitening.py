"""Images of the coarsest level, whitened as a whole."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.diagnostics import block_artefacts
from tfp_flowopt.flows import level_start
from tfp_flowopt.optimum import class_whitening

SMALL = {
    'num_levels': 2, 'num_steps': 1, 'hidden_channels': 4, 'tile_sizes': ()
}


def _smooth(num, rng, size=16):
  """Images in which what is far apart goes together; of 8 bits, with noise."""
  waves = np.exp(2j * np.pi * np.fft.fftfreq(2 * size))
  power = 1.0 / (np.abs(waves[:, np.newaxis] - 1.0) ** 2
                 + np.abs(waves - 1.0) ** 2 + 0.02)
  noise = rng.normal(size=[num, 2 * size, 2 * size])
  x = np.fft.ifft2(power * np.fft.fft2(noise)).real[:, :size, :size, np.newaxis]
  x = np.floor(np.clip(128 + 25 * x / x.std(), 0, 255))
  return ((x + rng.uniform(size=x.shape)) / 256 - 0.5).astype(np.float32)


def _bits(flow, x):
  return float(np.mean(fo.bits_per_dim(flow.log_prob(x), x[0].size)))


@pytest.mark.parametrize('least', [0.0, 0.3])
def test_the_map_is_the_shrunk_root_of_what_arrives(least, rng, monkeypatch):
  """Of the covariance, with the share of the diagonal that was chosen."""
  monkeypatch.setattr(level_start, '_LEAST_TO_DIAGONAL', least)
  x = _smooth(2000, rng)
  flow = fo.image_flow([16, 16, 1], dtype=tf.float64, **SMALL)
  fo.initialize_at_optimum(flow, x)
  first, coarsest = flow.bijector.levels
  assert first.whiten_whole is None
  y = first.whiten.inverse(first.squeeze.inverse(tf.cast(x, tf.float64)))
  y = first.factor_out.split(y)[0].numpy().reshape([len(x), -1])
  covariance = np.cov(y.T, bias=True)
  affine = coarsest.whiten_whole.bijector
  matrix, shift = affine.matrices[0].numpy(), affine.shifts[0].numpy()
  np.testing.assert_allclose(shift, y.mean(axis=0), atol=1e-9)
  # W ((1 - a) R' + a diag R') W^T = I, solved for `a` for each `v` of the grid.
  deviations, found = np.sqrt(np.diag(covariance)), []
  for to_mean in class_whitening._TO_MEAN:
    variances = (1.0 - to_mean) * deviations**2
    scales = np.sqrt(variances + to_mean * np.mean(deviations**2)) / deviations
    own = matrix @ (covariance * np.outer(scales, scales)) @ matrix.T
    other = matrix @ np.diag((deviations * scales) ** 2) @ matrix.T - own
    share = np.sum((np.eye(len(own)) - own) * other) / np.sum(other**2)
    error = np.max(np.abs(own + share * other - np.eye(len(own))))
    found.append((error, share))
  error, share = min(found)
  assert error < 1e-8
  assert least - 1e-9 <= share < 1.0


def test_what_is_far_apart_goes_together(rng):
  x, test = _smooth(2000, rng), _smooth(500, rng)
  bits, contrast = {}, {}
  for whitening in ('pointwise', 'coarse'):
    flow = fo.image_flow([16, 16, 1], whitening=whitening, **SMALL)
    predicted = fo.initialize_at_optimum(flow, x)
    assert _bits(flow, x) == pytest.approx(predicted, abs=1e-3)
    bits[whitening] = _bits(flow, test)
    contrast[whitening] = block_artefacts.border_contrast(
        flow.sample(300, seed=[0, 1]).numpy(), 4
    )
  assert block_artefacts.border_contrast(test, 4) == pytest.approx(1, abs=0.02)
  assert bits['coarse'] < bits['pointwise'] - 0.02
  # The rest are the finer levels, and what is left of the diagonal.
  assert contrast['coarse'] - 1.0 < 0.6 * (contrast['pointwise'] - 1.0)


def test_singular_values_stay_within_their_bounds(rng):
  flow = fo.image_flow([16, 16, 1], **SMALL)
  fo.initialize_at_optimum(flow, _smooth(500, rng), lipschitz=(0.8, 1.25))
  matrix = flow.bijector.levels[-1].whiten_whole.bijector.matrices[0]
  values = np.linalg.svd(matrix, compute_uv=False)
  assert values[-1] == pytest.approx(0.8, abs=1e-4)
  assert values[0] == pytest.approx(1.25, abs=1e-4)


def test_where_images_are_too_large_levels_whiten_alone():
  for size, num_levels, has_one in ((32, 1, False), (64, 2, False), (64, 3, 1)):
    flow = fo.bijectors.ImageFlow(
        [size, size, 3], num_levels, 1, 2, tile_sizes=()
    )
    assert (flow.levels[-1].whiten_whole is not None) == has_one


def test_each_class_has_a_map_of_its_own(rng):
  """Two classes that differ in what goes together, far apart."""
  def draw(num):
    labels = rng.integers(2, size=num)
    x = rng.normal(size=[num, 4, 4, 2])
    # Left and right halves are alike or opposite, by the class.
    sign = np.where(labels, 1.0, -1.0)[:, np.newaxis, np.newaxis, np.newaxis]
    x[:, :, 2:] = sign * (x[:, :, :2] + 0.5 * x[:, :, 2:])
    x = np.repeat(np.repeat(x, 2, axis=1), 2, axis=2)
    x = 0.05 * x + 0.01 * rng.normal(size=x.shape)
    return x.astype(np.float32), labels

  (x, labels), (test, test_labels) = draw(3000), draw(500)
  bits = {}
  for whitening in ('pointwise', 'coarse'):
    flow = fo.image_flow(
        [8, 8, 2], conditioning=2, whitening=whitening, squeeze='blocks',
        **SMALL
    )
    predicted = fo.initialize_at_optimum(flow, x, conditioning=labels)
    found = [
        float(np.mean(fo.bits_per_dim(
            flow.log_prob(images, bijector_kwargs={'conditioning': c}), 128
        )))
        for images, c in ((x, labels), (test, test_labels))
    ]
    assert found[0] == pytest.approx(predicted, abs=1e-3)
    bits[whitening] = found[1]
  maps = flow.bijector.levels[-1].whiten_whole.bijector
  assert maps.num_classes == 2
  # Common second moments know nothing of either class. What there is to know is
  # log(1.25 / 0.25) / 2 of each of 16 numbers, but for the share of a diagonal.
  known = 16 * 0.5 * np.log(5.0) / np.log(2.0) / 128
  assert 0.5 * known < bits['pointwise'] - bits['coarse'] < 1.02 * known
  reports = fo.diagnostics.layer_report(
      flow, test[:4], 0, bijector_kwargs={'conditioning': test_labels[:4]}
  )
  total = sum(layer.log_det for layer in reports)
  log_det = flow.bijector.inverse_log_det_jacobian(
      test[:4], conditioning=test_labels[:4]
  )
  assert total == pytest.approx(float(np.mean(log_det)), rel=1e-4)


@pytest.mark.parametrize(
    ('conditioning', 'num_levels', 'shifted'),
    [(3, 2, False), (3, 1, True), ([2], 2, True)],
)
def test_only_what_no_map_of_classes_has_is_subtracted(
    conditioning, num_levels, shifted
):
  flow = fo.bijectors.ImageFlow(
      [8, 8, 1], num_levels, 1, 4, conditioning=conditioning
  )
  assert ('shift' in flow.before_levels) == shifted

import json

import numpy as np
import pytest
import restoration
from support import images
from support import programs
import tensorflow as tf

import tfp_flowopt as fo

BINARY = programs.ROOT / 'examples' / 'denoising.py'


@pytest.mark.slow
def test_at_the_optimum_it_is_the_wiener_filter_of_the_flow():
  """The prior is a Gaussian then, whose posterior has a closed form."""
  prior = fo.image_flow(
      [4, 4, 3], 1, 1, hidden_channels=8, tile_sizes=(), memory='stored'
  )
  fo.initialize_at_optimum(prior, images.preprocessed(300, 4))
  flow, noise = prior.bijector, 0.05
  matrix = flow.forward(np.eye(48, dtype=np.float32)) - flow.forward(
      np.zeros([48, 48], np.float32)
  )
  matrix = np.reshape(matrix, [48, 48]).T.astype(np.float64)
  mean = np.ravel(flow.forward(np.zeros([1, 48], np.float32)))
  truth = images.preprocessed(3, 4, seed=1)
  observed = truth + noise * tf.random.stateless_normal(truth.shape, [0, 1])
  y = np.reshape(observed, [3, -1]) - mean
  covariance = matrix @ matrix.T
  expected = mean + y @ np.linalg.solve(
      covariance + noise**2 * np.eye(48), covariance
  )
  posterior = restoration.make_model(prior, noise).experimental_pin(
      observed=observed
  )
  objective = restoration.make_objective(posterior, flow)
  restored, _ = restoration.most_probable(objective, flow, observed, 200)
  np.testing.assert_allclose(
      np.reshape(restored, [3, -1]), expected, atol=2e-3
  )
  # So is the mean of what Hamiltonian Monte Carlo draws, up to its noise.
  mean, deviation, accepted = restoration.posterior_mean(
      posterior, flow, flow.inverse(restored), 30, 0
  )
  assert 0.5 < accepted < 1.0
  variance = np.diag(
      covariance
      - covariance
      @ np.linalg.solve(covariance + noise**2 * np.eye(48), covariance)
  )
  error = (np.reshape(mean, [3, -1]) - expected) / np.sqrt(variance)
  assert np.sqrt(np.mean(np.square(error))) < 0.8
  ratio = np.mean(np.square(deviation)) / np.mean(variance)
  assert 0.6 < ratio < 1.3


def test_wiener_filter():
  rng = np.random.default_rng(0)
  matrix = rng.normal(size=[4, 4])
  x = rng.normal(size=[20_000, 4]) @ matrix + 1.0
  y = x + 0.5 * rng.normal(size=x.shape)
  shape = [-1, 2, 2, 1]
  filtered = restoration.wiener(np.reshape(x, shape), np.reshape(y, shape), 0.5)
  # The best linear filter: regression of the truth on what is observed.
  design = np.concatenate([y, np.ones([len(y), 1])], axis=1)
  weights, *_ = np.linalg.lstsq(design, x, rcond=None)
  np.testing.assert_allclose(
      np.reshape(filtered, [-1, 4]), design @ weights, atol=0.1
  )


@pytest.mark.slow
def test_it_restores(tmp_path):
  picture, results = tmp_path / 'd.png', tmp_path / 'd.json'
  run = programs.run(
      BINARY,
      '--image_size=4',
      '--num_steps=1',
      '--train_steps=20',
      '--num_images=8',
      '--map_steps=30',
      '--samples=0',
      f'--picture={picture}',
      f'--results={results}',
  )
  assert run.returncode == 0, run.stderr
  result = json.loads(results.read_text())
  values = result['psnr']
  assert abs(values['observed'] - 26.0) < 0.3  # -20 log10(0.05)
  for name in (
      'Wiener filter', 'flow at the optimum', 'trained, most probable'
  ):
    # After 20 steps of training, rounding moves it: 1.75 on one processor.
    assert values[name] > values['observed'] + 1.5, values
    assert f'{values[name]:.2f}' in run.stdout
  assert tf.io.decode_png(picture.read_bytes()).numpy().std() > 10

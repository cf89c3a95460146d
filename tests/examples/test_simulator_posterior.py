import json

import numpy as np
from support import programs
import tensorflow as tf

BINARY = programs.ROOT / 'examples' / 'simulator_posterior.py'


def test_a_posterior_is_learned_from_simulations(tmp_path):
  picture, results = tmp_path / 'p.png', tmp_path / 'p.json'
  run = programs.run(
      BINARY,
      '--simulations=2000',
      '--train_steps=300',
      '--num_steps=3',
      '--hidden=32',
      f'--picture={picture}',
      f'--results={results}',
  )
  assert run.returncode == 0, run.stderr
  found = json.loads(results.read_text())
  assert found['validation'] > found['predicted'] + 0.5
  for posterior in found['posteriors']:
    # Two exact samples hardly differ; a guess of the prior is off by 0.5.
    assert posterior['of_exact_draws'] < 0.05
    assert posterior['distance'] < 0.3, posterior
  image = tf.io.decode_png(picture.read_bytes()).numpy()
  assert image.std() > 10
  assert 'closed-form optimum' in run.stdout


def test_wrong_flags():
  run = programs.run(BINARY, '--hidden=3')
  assert run.returncode != 0
  assert '--hidden must be even' in run.stdout + run.stderr


def test_exact_draws_explain_the_observation(monkeypatch):
  monkeypatch.syspath_prepend(BINARY.parent)
  import two_moons as example

  rng = np.random.default_rng(0)
  x = np.array([-0.5, 0.3])
  theta = example.exact_posterior(x, 500, rng)
  assert np.all(np.abs(theta) < 1)
  total, difference = theta[:, 0] + theta[:, 1], theta[:, 1] - theta[:, 0]
  mean = np.stack([-np.abs(total), difference], axis=1) / np.sqrt(2)
  radius = np.linalg.norm(x - mean - [0.25, 0.0], axis=1)
  np.testing.assert_allclose(radius, 0.1, atol=0.06)
  assert 0.4 < np.mean(total > 0) < 0.6
  np.testing.assert_allclose(
      np.mean(example.simulate(theta, rng), axis=0), x, atol=0.05
  )

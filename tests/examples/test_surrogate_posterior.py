import json

import numpy as np
import pytest
from support import programs
import tensorflow as tf

BINARY = programs.ROOT / 'examples' / 'surrogate_posterior.py'
EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def integrate_over_tau():
  """Log evidence and moments, with the mean integrated out in closed form."""
  # Angles: tau = 5 tan(angle) has the half-Cauchy prior if they are uniform.
  nodes, weights = np.polynomial.legendre.leggauss(400)
  angles, weights = np.pi / 4 * (nodes + 1.0), weights / 2.0
  tau = 5.0 * np.tan(angles)
  log_likelihood, centre, variance = [], [], []
  for t in tau:
    covariance = 25.0 + np.diag(ERRORS**2 + t**2)
    log_likelihood.append(
        -0.5 * EFFECTS @ np.linalg.solve(covariance, EFFECTS)
        - 0.5 * np.linalg.slogdet(2.0 * np.pi * covariance)[1]
    )
    gain = np.linalg.solve(covariance, np.full(8, 25.0))
    centre.append(gain @ EFFECTS)
    variance.append(25.0 - gain.sum() * 25.0)
  terms = weights * np.exp(log_likelihood)
  terms, evidence = terms / terms.sum(), terms.sum()
  centre = np.array(centre)
  mean, tau_mean = terms @ centre, terms @ tau
  return np.log(evidence), {
      'mean_mean': mean,
      'mean_sd': np.sqrt(terms @ (variance + (centre - mean) ** 2)),
      'tau_mean': tau_mean,
      'tau_sd': np.sqrt(terms @ (tau - tau_mean) ** 2),
  }


@pytest.mark.slow
def test_flows_come_closest_to_the_exact_posterior(tmp_path):
  picture, results = tmp_path / 's.png', tmp_path / 's.json'
  run = programs.run(
      BINARY,
      '--train_steps=700',
      '--sample_size=32',
      '--num_layers=4',
      '--hidden=16',
      '--num_samples=20000',
      f'--picture={picture}',
      f'--results={results}',
  )
  assert run.returncode == 0, run.stderr
  written = json.loads(results.read_text())
  log_evidence, moments = integrate_over_tau()
  np.testing.assert_allclose(written['log_evidence'], log_evidence, rtol=1e-7)
  for key, value in moments.items():
    np.testing.assert_allclose(
        written['posterior'][key], value, rtol=1e-4, err_msg=key
    )
  surrogates = {s['surrogate']: s for s in written['surrogates']}
  assert list(surrogates) == ['mean-field normal', 'normal', 'flow']
  for name, surrogate in surrogates.items():
    assert name in run.stdout
    error = surrogate['elbo_standard_error']
    assert 0 < error < 0.1, surrogate
    assert surrogate['elbo'] < log_evidence + 3 * error, surrogate
    np.testing.assert_allclose(
        surrogate['kl'], log_evidence - surrogate['elbo'], atol=1e-4
    )
    certified, found = (
        surrogate['lipschitz'][key] for key in ('certified', 'at_latents')
    )
    for direction in ('to_parameters', 'to_latents'):
      # Certified for exact arithmetic; float32 rounds.
      most = 1.0001 * certified[direction]
      assert 0 < found[direction] <= most < np.inf, surrogate
  # Of a linear map, what is certified is what is found.
  for name in ('mean-field normal', 'normal'):
    constants = surrogates[name]['lipschitz']
    np.testing.assert_allclose(
        list(constants['at_latents'].values()),
        list(constants['certified'].values()),
        rtol=1e-3,
    )
  flow = surrogates['flow']
  assert flow['elbo'] > surrogates['mean-field normal']['elbo'] + 0.3
  assert flow['elbo'] > surrogates['normal']['elbo'] + 0.1
  # Another way to the same evidence, through TFP's own log-density; a flow that
  # was trained for so short a time leaves out some of the neck.
  assert flow['importance_efficiency'] > 0.01  # a few draws decide it
  difference = flow['importance_log_evidence'] - log_evidence
  assert abs(difference) < 0.25
  image = tf.io.decode_png(picture.read_bytes(), channels=3).numpy()
  assert image.shape == (340, 1000, 3)
  # A cloud in each of the four panels.
  for panel in np.split(image[60:280], 4, axis=1):
    assert panel.std() > 10

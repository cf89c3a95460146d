import json

import numpy as np
import pytest
from support import programs
import tensorflow as tf

BINARY = programs.ROOT / 'examples' / 'preconditioned_hmc.py'


@pytest.mark.slow
def test_a_flow_makes_the_funnel_easy_to_sample(tmp_path):
  picture, results = tmp_path / 'p.png', tmp_path / 'p.json'
  run = programs.run(
      BINARY,
      '--train_steps=500',
      '--num_layers=4',
      '--hidden=16',
      '--num_steps=200',
      '--num_chains=8',
      '--max_tree_depth=7',
      f'--picture={picture}',
      f'--results={results}',
  )
  assert run.returncode == 0, run.stderr
  arms = json.loads(results.read_text())
  assert [a['preconditioner'] for a in arms] == ['none', 'linear', 'flow']
  none, linear, flow = arms
  for arm in arms:
    assert arm['preconditioner'] in run.stdout
    assert 0 < arm['ess_smallest'] <= arm['ess_v']
    assert arm['gradients'] >= 8 * 200
    np.testing.assert_allclose(
        arm['ess_v_per_1000_gradients'],
        1000 * arm['ess_v'] / arm['gradients'],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        arm['ess_v_per_second'], arm['ess_v'] / arm['seconds'], rtol=1e-6
    )
  for arm in (linear, flow):
    constants = arm['lipschitz']
    for direction in ('to_parameters', 'to_latents'):
      # Certified for exact arithmetic; float32 rounds.
      most = 1.0001 * constants['certified'][direction]
      assert 0 < constants['at_latents'][direction] <= most < np.inf
    # The funnel is normalised.
    error = arm['fit']['elbo_standard_error']
    assert arm['fit']['elbo'] < 3 * error
  assert flow['fit']['elbo'] > linear['fit']['elbo'] + 0.5
  # Both samplers are exact; the one in the flow's latents gets around. How well
  # depends on what 500 steps of training come to, as processors round: 77 to
  # 180 draws are worth 1,600 of them, and 19 to 60 of those without.
  assert flow['r_hat_largest'] < none['r_hat_largest']
  assert flow['ess_smallest'] > none['ess_smallest']
  assert abs(flow['v_mean']) < 5 * flow['v_mean_standard_error']
  # 1,600 draws are few in the narrow end: 2.5 to 3.
  assert abs(flow['v_sd'] - 3.0) < 1.0

  def spread(arm):
    low, _, high = arm['curvature_quantiles']
    return high / low

  assert spread(flow) < 0.5 * spread(none)
  image = tf.io.decode_png(picture.read_bytes(), channels=3).numpy()
  assert image.shape == (640, 1000, 3)
  for row in np.split(image, 2, axis=0):
    for panel in np.split(row[60:260, :999], 3, axis=1):
      assert panel.std() > 10

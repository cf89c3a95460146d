import json

import numpy as np
import pytest
from support import programs
import tensorflow as tf

# Runs the binary, then measures its flows again, by autodiff alone: in one
# process, for TensorFlow takes seconds to start, and in another one than this,
# where the flags of another binary may be defined.
SCRIPT = """
import json
import sys

from absl import app
import exact_flows
import numpy as np
import tensorflow as tf
import uniqueness


def measure(flow, x):
  # Identities keep what the bijectors' caches remember out of it: a normal
  # distribution draws its sample by a bijector, too.
  x = tf.identity(x)
  with tf.GradientTape(persistent=True) as tape:
    tape.watch(x)
    z = flow.inverse(x)
  # Two rows: to vectorise them takes longer.
  jacobian = tape.batch_jacobian(z, x, experimental_use_pfor=False)
  return {'z': z.numpy().tolist(), 'jacobian': jacobian.numpy().tolist()}


def main(argv):
  uniqueness.main(argv[:1])
  pairs = []
  for i, pair in enumerate(exact_flows.make_pairs()):
    x = pair.data.sample(30, seed=[7, i])
    pairs.append({
        'x': x.numpy().tolist(),
        'log_prob': pair.data.log_prob(x).numpy().tolist(),
        'flows': [measure(flow, x) for flow in (pair.first, pair.second)],
        'claimed': [
            uniqueness.evaluate(flow, x).log_det.tolist()
            for flow in (pair.first, pair.second)
        ],
    })
  g = exact_flows.normal_shear(0.3)
  z = tf.random.stateless_normal([4000, 2], [1, 2], dtype=tf.float64)
  sheared = tf.identity(g.forward(z))
  error = tf.abs(g.inverse(sheared) - z)
  with open(argv[1], 'w') as f:
    json.dump(
        {
            'pairs': pairs,
            'round_trip': float(tf.reduce_max(error)),
            'sheared': sheared.numpy().tolist(),
        },
        f,
    )


if __name__ == '__main__':
  app.run(main)
"""
NAMES = [
    'Cholesky, symmetric root',
    'triangular, by quadrature',
    'triangular, other order',
    'a shear of the latents',
]


@pytest.fixture(scope='module')
def outputs(tmp_path_factory):
  folder = tmp_path_factory.mktemp('uniqueness')
  run = programs.run(
      '-c',
      SCRIPT,
      folder / 'measured.json',
      '--num_points=500',
      f'--picture={folder / "u.png"}',
      f'--results={folder / "u.json"}',
  )
  assert run.returncode == 0, run.stderr
  results = json.loads((folder / 'u.json').read_text())
  measured = json.loads((folder / 'measured.json').read_text())
  return results, measured, run.stdout, (folder / 'u.png').read_bytes()


def test_likelihoods_agree_at_every_point_and_log_dets_as_claimed(outputs):
  results, _, text, picture = outputs
  assert [r['pair'] for r in results] == NAMES
  affine, built, order, shear = results
  for result in results:
    assert result['pair'] in text
    assert result['log_likelihood_difference'] < 1e-8, result
    assert result['log_likelihood_error'] < 1e-8, result
    assert abs(result['mean_difference']) < max(
        4 * result['standard_error'], 1e-8
    ), result
  # Only the maps differ; nothing; all but the mean.
  assert affine['map_difference'] > 0.5
  assert affine['log_det_difference'] < 1e-12
  np.testing.assert_allclose(
      affine['mean_log_det'], -0.5 * np.log(2.0 - 1.2**2), rtol=1e-12
  )
  assert built['map_difference'] < 1e-8
  assert built['log_det_difference'] < 1e-7
  for result in (order, shear):
    assert result['map_difference'] > 1.0
    assert result['log_det_difference'] > 1.0
    assert result['standard_error'] > 0.01
  image = tf.io.decode_png(picture).numpy()
  assert image.shape[1] == 1000
  assert image.std() > 10


def test_autodiff_finds_the_same_log_dets(outputs):
  _, measured, _, _ = outputs
  for name, pair in zip(NAMES, measured['pairs'], strict=True):
    log_dets = []
    for flow, claimed in zip(pair['flows'], pair['claimed'], strict=True):
      _, log_det = np.linalg.slogdet(flow['jacobian'])
      np.testing.assert_allclose(log_det, claimed, atol=1e-8, err_msg=name)
      # The likelihood of this map with this Jacobian is the data's density.
      squares = np.sum(np.square(flow['z']), axis=-1)
      np.testing.assert_allclose(
          -0.5 * squares - np.log(2 * np.pi) + log_det,
          pair['log_prob'],
          atol=1e-8,
          err_msg=name,
      )
      log_dets.append(log_det)
    spread = np.ptp(log_dets[0])
    assert spread < 1e-12 if name == NAMES[0] else spread > 0.5


def test_triangular_flows_are_increasing_and_triangular(outputs):
  _, measured, _, _ = outputs
  for pair, flow, above in ((1, 0, (0, 1)), (1, 1, (0, 1)), (2, 1, (1, 0))):
    jacobian = np.array(measured['pairs'][pair]['flows'][flow]['jacobian'])
    assert np.all(jacobian[:, *above] == 0.0)
    assert np.all(np.abs(jacobian[:, *above[::-1]]) > 1e-6)
    assert np.all(np.diagonal(jacobian, axis1=1, axis2=2) > 0.0)


def test_shear_is_inverted_and_leaves_the_normal_as_it_is(outputs):
  _, measured, _, _ = outputs
  assert measured['round_trip'] < 1e-8
  z = np.array(measured['sheared'])
  # 4000 points: moments of a standard normal within five standard errors.
  for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
    error = np.abs(np.mean(z**power, axis=0) - moment)
    assert np.all(error < 5 * np.sqrt(variance / len(z))), power
  assert abs(np.mean(z[:, 0] * z[:, 1])) < 5 / np.sqrt(len(z))
  assert abs(np.mean(np.sin(z[:, 0]) * z[:, 1] ** 2)) < 0.1

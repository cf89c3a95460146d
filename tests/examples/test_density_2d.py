import json

import numpy as np
from support import programs
import tensorflow as tf

BINARY = programs.ROOT / 'examples' / 'density_2d.py'


def test_all_models_learn_and_their_densities_integrate_to_one(tmp_path):
  picture, results = tmp_path / 'd.png', tmp_path / 'd.json'
  run = programs.run(
      BINARY,
      '--dataset=eight_gaussians',
      *(f'--model={model}' for model in ('affine', 'residual', 'convex')),
      '--train_steps=60',
      '--num_blocks=2',
      '--hidden=16',
      '--grid=120',
      f'--picture={picture}',
      f'--results={results}',
  )
  assert run.returncode == 0, run.stderr
  runs = json.loads(results.read_text())
  assert [r['model'] for r in runs] == ['affine', 'residual', 'convex']
  for result in runs:
    assert result['trained'] > result['start'] + 0.05, result
    assert abs(result['integral'] - 1.0) < 0.01, result
    assert all(np.isfinite(v) for v in result['lipschitz'].values())
    assert result['model'] in run.stdout
  image = tf.io.decode_png(picture.read_bytes())
  assert image.shape == [154, 4 * 154, 3]
  # Each panel is a picture, not one colour.
  for panel in np.split(image.numpy(), 4, axis=1):
    assert panel[10:-10, 10:-10].std() > 10

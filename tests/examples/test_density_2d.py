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
      *(f'--model={model}' for model in ('spline', 'affine', 'residual')),
      '--train_steps=60',
      '--num_train=2000',
      '--num_steps=2',
      '--hidden=16',
      '--num_bins=8',
      '--grid=200',
      f'--picture={picture}',
      f'--results={results}',
  )
  assert run.returncode == 0, run.stderr
  runs = json.loads(results.read_text())
  assert [r['model'] for r in runs] == ['spline', 'affine', 'residual']
  for result in runs:
    assert result['trained'] < result['start'] - 0.05, result
    # No density is nearer than the density itself.
    assert result['trained'] > -5.0 * result['error'], result
    assert abs(result['integral'] - 1.0) < 0.02, result
    assert all(np.isfinite(v) for v in result['lipschitz'].values())
    assert result['model'] in run.stdout
  image = tf.io.decode_png(picture.read_bytes(), channels=3).numpy()
  # Each panel is a picture, not one colour.
  for panel in np.array_split(image, 4, axis=0):
    assert panel[50:-10, 20:-20].std() > 10

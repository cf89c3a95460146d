import json

import keras_model
import numpy as np
import pytest
from support import programs
import tensorflow as tf

import tfp_flowopt as fo

BINARY = programs.ROOT / 'examples' / 'keras_fit.py'


@pytest.mark.parametrize('conditional', [False, True])
def test_keras_trains_all_weights(conditional, tmp_path):
  picture, results = tmp_path / 'k.png', tmp_path / 'k.json'
  run = programs.run(
      BINARY,
      '--epochs=2',
      f'--conditional={conditional}',
      f'--picture={picture}',
      f'--results={results}',
  )
  assert run.returncode == 0, run.stderr
  result = json.loads(results.read_text())
  assert result['weights'] == result['weights_of_the_flow'] > 10
  assert len(result['history']) == 2
  assert result['held_out'] == pytest.approx(min(result['history']), abs=1e-3)
  # The prediction is of the training images, the start of others.
  assert result['start'] == pytest.approx(result['predicted'], abs=0.2)
  assert result['held_out'] < result['start'] - 0.1
  assert np.std(tf.io.decode_png(picture.read_bytes())) > 10


def test_the_file_of_weights_has_all_of_them(tmp_path):
  flow = fo.image_flow([4, 4, 1], 1, 1, hidden_channels=4, tile_sizes=())
  model = keras_model.FlowModel(flow, bits=4)
  model({'images': tf.zeros([2, 4, 4, 1])})
  variables = flow.trainable_variables
  before = [v.numpy() for v in variables]
  model.save_weights(tmp_path / keras_model.WEIGHTS_FILE)
  for v in variables:
    v.assign(v + 1.0)
  model.load_weights(tmp_path / keras_model.WEIGHTS_FILE)
  for v, value in zip(variables, before, strict=True):
    np.testing.assert_array_equal(v, value)

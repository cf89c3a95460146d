import gzip
import json
import struct

import anomaly_scores
import idx_files
import numpy as np
import pytest
from sklearn import metrics
from support import programs
import tensorflow as tf

BINARY = programs.ROOT / 'examples' / 'anomaly.py'


def test_area_under_the_curve(rng):
  for _ in range(5):
    # Few values, so that there are ties.
    normal, anomalous = rng.integers(0, 8, 40), rng.integers(2, 10, 30)
    expected = metrics.roc_auc_score(
        [0] * 40 + [1] * 30, np.concatenate([normal, anomalous])
    )
    area = anomaly_scores.area_under_roc(normal, anomalous)
    assert area == pytest.approx(expected)


def test_unseen_digits_are_found(tmp_path):
  picture, results = tmp_path / 'a.png', tmp_path / 'a.json'
  run = programs.run(
      BINARY,
      '--normal=0,1',
      '--num_steps=2',
      '--train_steps=150',
      f'--picture={picture}',
      f'--results={results}',
  )
  assert run.returncode == 0, run.stderr
  areas = json.loads(results.read_text())['areas']
  assert set(areas) == {'likelihood', 'linear', 'typicality'}
  for values in areas.values():
    assert set(values) == {'all', *map(str, range(2, 10))}
  # What the second moments alone tell is not little.
  assert areas['linear']['all'] > 0.8, areas
  assert areas['likelihood']['all'] > 0.55, areas
  assert np.std(tf.io.decode_png(picture.read_bytes())) > 10


def test_idx_files(tmp_path, rng):
  for part, count in (('train', 5), ('t10k', 3)):
    images = rng.integers(0, 256, [count, 4, 4], np.uint8)
    with gzip.open(tmp_path / f'{part}-images-idx3-ubyte.gz', 'wb') as f:
      f.write(struct.pack('>4I', 0x803, count, 4, 4) + images.tobytes())
    labels = bytes(range(count))
    with gzip.open(tmp_path / f'{part}-labels-idx1-ubyte.gz', 'wb') as f:
      f.write(struct.pack('>2I', 0x801, count) + labels)
  _, (test_images, test_labels) = idx_files.load(tmp_path)
  np.testing.assert_array_equal(test_images[..., 0], images)
  np.testing.assert_array_equal(test_labels, [0, 1, 2])
  (tmp_path / 't10k-labels-idx1-ubyte.gz').unlink()
  with pytest.raises(SystemExit, match=r'one file t10k-labels.*, and has 0'):
    idx_files.load(tmp_path)

import json

import numpy as np
import pytest
from support import programs
import tensorflow as tf

EXAMPLES = programs.ROOT / 'examples'
TABULAR = EXAMPLES / 'tabular_density.py'
CONDITIONAL = EXAMPLES / 'conditional_density.py'


def run(binary, tmp_path, *flags):
  picture, results = tmp_path / 'p.png', tmp_path / 'p.json'
  done = programs.run(
      binary, *flags, f'--picture={picture}', f'--results={results}'
  )
  assert done.returncode == 0, done.stderr
  assert tf.io.decode_png(picture.read_bytes()).numpy().std() > 10
  return json.loads(results.read_text()), done.stdout


def write_table(path, num=1500):
  rng = np.random.default_rng(0)
  angle = rng.uniform(0.0, 2.0 * np.pi, num)
  x, y = 3.0 * np.cos(angle), 40.0 * np.sin(angle)
  rows = np.stack([x, y], axis=1) + rng.normal(size=[num, 2]) * [0.3, 4.0]
  np.savetxt(path, rows, delimiter=',', header='east, north', comments='')


def test_a_table_of_ones_own(tmp_path):
  write_table(tmp_path / 'ring.csv')
  found, printed = run(
      TABULAR,
      tmp_path,
      f'--data={tmp_path / "ring.csv"}',
      '--train_steps=300',
      '--learning_rate=1e-2',
  )
  # Of a ring: its columns do not correlate, and are no normals.
  nats = {name: row['nats'] for name, row in found.items()}
  assert nats['Gaussian'] == pytest.approx(-np.log(2 * np.pi * np.e), abs=0.1)
  assert nats['Gaussian copula'] > nats['Gaussian'] + 0.1
  assert nats['flow'] > max(nats['Gaussian copula'], nats['start']) + 0.1
  assert 'Gaussian copula' in printed


def test_intervals_hold_what_they_say(tmp_path):
  found, printed = run(
      CONDITIONAL, tmp_path, '--rows=2000', '--train_steps=500'
  )
  assert found['start'] + 0.2 < found['nats'] < found['truth'] + 0.1
  for level in (0.5, 0.9):
    # Of 500: three standard errors are 0.067 and 0.04.
    assert found[f'coverage_{level}'] == pytest.approx(level, abs=0.09)
  assert 'The truth' in printed


def test_a_table_with_a_target(tmp_path):
  pytest.importorskip('sklearn')
  found, _ = run(
      CONDITIONAL, tmp_path, '--data=diabetes', '--train_steps=1'
  )
  assert 'truth' not in found
  assert found['coverage_0.9'] == pytest.approx(0.9, abs=0.1)


@pytest.mark.parametrize('binary', [TABULAR, CONDITIONAL])
def test_no_table(binary, tmp_path):
  path = tmp_path / 'words.csv'
  path.write_text('a,b\n1,two\n')
  for data in ('nothing', path):
    done = programs.run(binary, f'--data={data}')
    assert done.returncode != 0
    assert 'no CSV file of numbers' in done.stdout + done.stderr

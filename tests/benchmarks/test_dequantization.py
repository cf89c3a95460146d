"""The benchmark of learned noise: what it asks of runs, and how it tells."""

import json
import pathlib

from harness import example_runs
from measures import dequantization
import pytest
from report import training

SUMMARY = {
    'held_out_bits_per_dim': 2.5,
    'samples': {
        'blocks': {'8': {'samples': 1.25}},
        'distances': {'sliced_wasserstein_patches_1': {'samples': 0.3}},
    },
}
EVALUATED = (
    '1024 held-out images, 8 draws of noise: 2.5341 bits/dim; standard error\n'
    'Importance-weighted over the draws, a tighter bound: 2.5012 bits/dim +- 1'
)


@pytest.fixture(name='asked')
def _asked(monkeypatch):
  calls = []

  def run(workdir, **flags):
    calls.append(flags)
    path = pathlib.Path(workdir) / 'summary.json'
    path.write_text(json.dumps(SUMMARY), encoding='utf-8')
    return EVALUATED

  monkeypatch.setattr(example_runs, 'run', run)
  return calls


def test_a_run_and_its_bounds(asked):
  settings = {'dequantization': 'variational', 'train_steps': 7, 'draws': 8}
  values = dequantization.measure(settings, 3, None)
  train, evaluate = asked
  assert train['dequantization'] == 'variational'
  assert (train['train_steps'], train['seed']) == (7, 3)
  assert evaluate == {'mode': 'evaluate', 'eval_draws': 8}
  assert values['bits_per_dim'] == 2.5341
  assert values['importance_weighted'] == 2.5012
  assert values['block_steps'] == 1.25 and values['seconds'] > 0.0


def test_the_table_has_the_last_run_of_each(asked):
  del asked
  records = []
  for noise, seed, offset in (
      ('variational', 1, 0.0), ('uniform', 0, 1.0), ('uniform', 0, 0.5)
  ):
    settings = {'dequantization': noise, 'train_steps': 800, 'draws': 8}
    values = dequantization.measure(settings, seed, None)
    values['bits_per_dim'] += offset
    records.append({'settings': settings, 'seed': seed, 'values': values})
  header, _, *rows = training.dequantization(lambda _: records).splitlines()
  assert 'mean of 8 draws' in header
  assert rows == [
      '| uniform | 0 | 3.034 | 2.501 | 1.25 | 0 |',
      '| variational | 1 | 2.534 | 2.501 | 1.25 | 0 |',
  ]

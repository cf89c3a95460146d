"""Benchmarks by the example program: what they ask of it, and how they tell."""

import json
import pathlib

from harness import example_runs
from measures import example_run
import pytest
from report import training
import run

SUMMARY = {
    'held_out_bits_per_dim': 2.5,
    'samples': {
        'blocks': {'8': {'samples': 1.25, 'real': 1.0}},
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

  def program(workdir, **flags):
    calls.append(flags)
    path = pathlib.Path(workdir) / 'summary.json'
    path.write_text(json.dumps(SUMMARY), encoding='utf-8')
    path.with_name('training_log.csv').write_text(
        'step,held_out_bits_per_dim\n0,3.25\n1,\n', encoding='utf-8'
    )
    return EVALUATED

  monkeypatch.setattr(example_runs, 'run', program)
  return calls


def test_a_run_and_its_bounds(asked):
  settings = {'dequantization': 'variational', 'train_steps': 7, 'draws': 8}
  values = example_run.measure(settings, 3, None)
  train, evaluate = asked
  assert train['dequantization'] == 'variational'
  assert (train['train_steps'], train['seed']) == (7, 3)
  assert evaluate == {'mode': 'evaluate', 'eval_draws': 8}
  assert values['bits_per_dim'] == 2.5341
  assert values['importance_weighted'] == 2.5012
  assert values['block_steps'] == 1.25 and values['seconds'] > 0.0
  assert values['start'] == 3.25


def test_the_table_of_noise_has_the_last_run_of_each(asked):
  del asked
  records = []
  for noise, seed, offset in (
      ('variational', 1, 0.0), ('uniform', 0, 1.0), ('uniform', 0, 0.5)
  ):
    settings = {'dequantization': noise, 'train_steps': 800, 'draws': 8}
    values = example_run.measure(settings, seed, None)
    values['bits_per_dim'] += offset
    records.append({'settings': settings, 'seed': seed, 'values': values})
  header, _, *rows = training.dequantization(lambda _: records).splitlines()
  assert 'mean of 8 draws' in header
  assert rows == [
      '| uniform | 0 | 3.034 | 2.501 | 1.25 | 0 |',
      '| variational | 1 | 2.534 | 2.501 | 1.25 | 0 |',
  ]


def test_the_table_of_wavelets(asked):
  settings = {'squeeze': 'wavelet', 'train_steps': 7, 'draws': 2}
  settings |= {'data': 'photos', 'image_size': 64}
  photos = run.Context(photos='some')
  values = example_run.measure(settings, 0, photos)
  assert str(asked[0]['data']) == 'some' and asked[0]['squeeze'] == 'wavelet'
  record = {'settings': settings, 'seed': 0, 'values': values}
  _, _, row = training.squeeze(lambda _: [record]).splitlines()
  assert row == (
      '| photographs, 64x64 | 0 | wavelet | 3.250 | 2.534 | 1.25 (1.00) |'
  )

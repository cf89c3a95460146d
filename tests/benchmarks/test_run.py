"""Suites, records, and the program that makes these of those."""

from concurrent import futures
import importlib
import pathlib
import re
import sys

from harness import records
import numpy as np
import pytest
import run
import suites

BENCHMARKS = pathlib.Path(suites.__file__).parent


def test_every_measure_is_there_and_used():
  used = {g.measure for suite in suites.SUITES.values() for g in suite.groups}
  there = {path.stem for path in (BENCHMARKS / 'measures').glob('*.py')}
  assert used == there - {'__init__'}
  for name in used:
    module = importlib.import_module(f'measures.{name}')
    assert hasattr(module, 'measure') or hasattr(module, 'measure_cases')


def test_cases_are_all_combinations():
  found = suites.cases('depth')
  assert len(found) == 6
  shapes = [(c['settings']['arm'], c['settings']['num_steps']) for c in found]
  assert len(set(shapes)) == 6 and ('ours stored', 48) in shapes
  assert {c['seed'] for c in suites.cases('budget_frontier')} == {0, 1}


def test_settings_are_changed():
  (case,) = suites.cases(
      'depth', ['arm=ours stored', 'num_steps=[2]', 'batch_size=7', 'seed=3']
  )
  assert case['settings']['batch_size'] == 7 and case['seed'] == 3
  pairs = suites.cases('wall_clock', ['arm,learning_rate=ours,1;tfb.Glow,2'])
  assert [c['settings']['learning_rate'] for c in pairs] == [1, 2]
  assert pairs[1]['settings']['arm'] == 'tfb.Glow'
  found = suites.cases('budget_frontier', ['lipschitz_budget=3,none', 'seed=0'])
  assert [c['settings']['lipschitz_budget'] for c in found] == [3, None]
  (case,) = suites.cases('fault_injection', ['kinds=SIGTERM,disk full'])
  assert case['settings']['kinds'] == ['SIGTERM', 'disk full']
  # Of two groups, and the same with these settings.
  (case,) = suites.cases('sbibm', [
      'simulations=7', 'task=sir', 'arm,rate,train_steps=ours,1e-3,5'
  ])
  assert case['settings']['train_steps'] == 5
  with pytest.raises(ValueError, match=r"no setting 'widht', .*'hidden_c"):
    suites.cases('depth', ['widht=3'])


def test_results_have_one_schema():
  names = {'suite', 'measure', 'settings', 'seed', 'commit', 'machine',
           'versions', 'values'}
  paths = sorted((BENCHMARKS / 'results').iterdir())
  assert paths and {path.suffix for path in paths} == {'.jsonl'}
  for path in paths:
    measures = {g.measure for g in suites.SUITES[path.stem].groups}
    for record in records.read(path):
      assert set(record) - {'note'} == names
      assert record['suite'] == path.stem and record['measure'] in measures
      assert record['values'] == records.finite(record['values'])


def test_a_record_says_where_it_is_from(tmp_path):
  (case, *_) = suites.cases('depth')
  records.Records(tmp_path / 'x').add(case, {'a': np.float32(np.nan), 1: (2,)})
  (record,) = records.read(tmp_path / 'x')
  assert record['values'] == {'a': None, '1': [2]}
  assert record['machine']['cores'] > 0 and 'tensorflow' in record['versions']
  assert {name: record[name] for name in case} == case
  found = records.Records(tmp_path / 'x')
  assert case in found and {**case, 'seed': 1} not in found


def test_what_is_there_is_not_measured_again(tmp_path, monkeypatch, capsys):
  measured = []

  class Measure:
    """Fails for odd seeds."""

    @staticmethod
    def measure(settings, seed, context):
      measured.append(seed)
      return {'double': 2 * seed}

    @staticmethod
    def failures(values):
      return ['odd'] if values['double'] % 4 else []

  monkeypatch.setitem(
      suites.SUITES, 'toy', suites.Suite('', [suites.Cases('toy', {'a': 1})])
  )
  real = importlib.import_module
  monkeypatch.setattr(
      importlib,
      'import_module',
      lambda name: Measure if name == 'measures.toy' else real(name),
  )
  arguments = tmp_path, run.Context()
  path, failed = run.run_suite('toy', ['seed=0,1'], *arguments)
  assert measured == [0, 1] and failed == ['toy: odd']
  assert 'seed 1' in capsys.readouterr().out
  run.run_suite('toy', ['seed=0,1,2'], *arguments)
  run.run_suite('toy', ['seed=0', 'a=2'], *arguments)
  assert measured == [0, 1, 2, 0]
  assert [r['values']['double'] for r in records.read(path)] == [0, 2, 4, 0]


def test_the_program(tmp_path, monkeypatch, capsys):
  arguments = [
      '--suites=lipschitz_tightness',
      f'--output={tmp_path}',
      '--peers=',
      '--set=shapes=[[3,3,2,3]]',
      '--set=families=gaussian',
  ]
  monkeypatch.setattr(sys, 'argv', ['run.py', *arguments])
  assert run.main() == 0
  (record,) = records.read(tmp_path / 'lipschitz_tightness.jsonl')
  (row,) = record['values']['kernels']
  assert 1.0 <= row['claim_over_truth']['certified'] < 1.05
  assert f'Written: {tmp_path}' in capsys.readouterr().out


class Pool:
  """In which a suite misses a folder."""

  def __init__(self, *args, **kwargs):
    pass

  def __enter__(self):
    return self

  def __exit__(self, *args):
    pass

  def submit(self, *args):
    future = futures.Future()
    future.set_exception(run.FlagError('--photos is needed: a folder.'))
    return future


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--suites=what'], "--suites: there is no 'what'"),
        (['--suites=depth', '--set=widht=3'], "no setting 'widht'"),
        (['--suites=depth', '--photos=/no'], "must be a folder .* '/no'"),
        (['--suites=high_resolution_256'], '--photos is needed'),
    ],
)
def test_a_wrong_flag_is_an_error_of_two_lines(
    arguments, words, monkeypatch, capsys
):
  monkeypatch.setattr(run.futures, 'ProcessPoolExecutor', Pool)
  monkeypatch.setattr(sys, 'argv', ['run.py', *arguments])
  with pytest.raises(SystemExit):
    run.main()
  usage, error = capsys.readouterr().err.splitlines()
  assert usage.startswith('usage:') and re.search(words, error)


def test_data_must_be_named():
  with pytest.raises(ValueError, match='--photos is needed'):
    run.Context().folder('photos')


def test_what_varies_is_shown():
  # Cases of one measure, some of other settings.
  found = suites.cases('optimum')
  assert run._what_varies(found[0], found).endswith('shape 60000x784')
  assert run._what_varies(found[0], found[:1]) == 'optimum'

"""A run whose checkpoints are whole goes on without its other files."""

import itertools
import json
import shutil
import warnings

import pytest
from support import toy_runs

import tfp_flowopt as fo
from tfp_flowopt.internal import atomic_files
from tfp_flowopt.training import training_log

STEPS, STOPPED = toy_runs.STEPS, 10


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory):
  run = toy_runs.ToyRun(tmp_path_factory.mktemp('unbroken'))
  run.train()
  return run


@pytest.fixture(scope='module')
def stopped(tmp_path_factory):
  """The directory of a run that has been back, and is not at its end."""
  workdir = tmp_path_factory.mktemp('stopped')
  toy_runs.ToyRun(workdir).train(STOPPED)
  return workdir


DAMAGES = {
    'missing': lambda content: None,
    'empty': lambda content: b'',
    'half': lambda content: content[: len(content) // 2],
    'zeros': lambda content: bytes(len(content)),
    'garbage': lambda content: b'\xff\xfe\x00{[,"\n' * 5,
    'another value': lambda content: b'[1.5, {"a": null}]\n',
}


def damage(path, name):
  content = DAMAGES[name](path.read_bytes())
  if content is None:
    path.unlink()
  else:
    path.write_bytes(content)


def quietly(function):
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    result = function()
  return result, ' '.join(str(w.message) for w in caught)


NAMES = (
    'training_log.csv',
    'start.json',
    'rollbacks.json',
    'best/best.json',
    'best/checkpoint',
    'checkpoints/checkpoint',
)
COPIES = 'checkpoints/start.json', 'checkpoints/rollbacks.json'


def contents(workdir):
  return {p: p.read_bytes() for p in workdir.rglob('*') if p.is_file()}


@pytest.mark.parametrize(
    ('name', 'how'),
    [*itertools.product(NAMES, DAMAGES), *((name, 'half') for name in COPIES)],
)
def test_a_damaged_file_changes_no_number(
    unbroken, stopped, tmp_path, name, how
):
  workdir = tmp_path / 'run'
  shutil.copytree(stopped, workdir)
  damage(workdir / name, how)
  before = contents(workdir)
  run, said = quietly(lambda: toy_runs.ToyRun(workdir))
  assert run.start == toy_runs.START
  assert int(run.step) == STOPPED
  # To look at a run touches nothing.
  assert contents(workdir) == before
  _, also_said = quietly(run.train)
  said += also_said
  assert float(run.weight) == float(unbroken.weight)
  assert int(run.step) == STEPS
  rows = run.rows()
  if name != 'training_log.csv':
    assert rows == unbroken.rows()
  else:
    assert all(row in unbroken.rows() for row in rows)
    lost = STEPS - len(rows)
    assert f'lost {lost} rows' in said
    assert {row['step'] for row in rows} >= {'10', '11'}
  # All is whole again, and the best one still the best.
  mended, said = quietly(lambda: toy_runs.ToyRun(workdir))
  assert not said
  mended.files.restore_best()
  assert int(mended.step) == 3
  for path in ('rollbacks.json', 'start.json', 'best/best.json'):
    ours, theirs = (
        json.loads((folder / path).read_text())
        for folder in (workdir, unbroken.files.workdir)
    )
    assert ours == theirs, path


def test_without_any_start_the_rest_is_kept(unbroken, stopped, tmp_path):
  """As in runs from before there was a copy."""
  workdir = tmp_path / 'run'
  shutil.copytree(stopped, workdir)
  damage(workdir / 'start.json', 'half')
  damage(workdir / 'checkpoints' / 'start.json', 'missing')
  run, said = quietly(lambda: toy_runs.ToyRun(workdir))
  assert 'start.json' in said and 'goes on from its checkpoints' in said
  assert run.start == {
      'settings': toy_runs.SETTINGS, 'predicted': None, 'measured': None
  }
  run.train()
  assert float(run.weight) == float(unbroken.weight)
  # From now on it knows its settings again.
  with pytest.raises(fo.training.OtherRunError, match=r'was 0\.1, is 0\.2'):
    toy_runs.ToyRun(workdir, settings={'rate': 0.2})


def test_settings_are_compared_with_the_copy(stopped, tmp_path):
  workdir = tmp_path / 'run'
  shutil.copytree(stopped, workdir)
  damage(workdir / 'start.json', 'missing')
  with (
      pytest.warns(UserWarning, match='its copy'),
      pytest.raises(fo.training.OtherRunError, match=r'was 0\.1, is 0\.2'),
  ):
    toy_runs.ToyRun(workdir, settings={'rate': 0.2})


def test_only_the_best_checkpoint_is_left(stopped, tmp_path):
  """It is not overwritten by a run that would begin anew there."""
  workdir = tmp_path / 'run'
  shutil.copytree(stopped, workdir)
  shutil.rmtree(workdir / 'checkpoints')
  with pytest.raises(ValueError, match='none to resume from'):
    toy_runs.ToyRun(workdir)
  # Without that one, nothing of the old run is left in the new one.
  shutil.rmtree(workdir / 'best')
  run = toy_runs.ToyRun(workdir)
  assert float(run.state.schedule.scale) == 1.0
  run.train()
  assert [int(row['step']) for row in run.rows()] == list(range(STEPS))


def test_a_log_that_two_have_written(tmp_path):
  """As without a lock: each row twice, one of them cut off."""
  path = tmp_path / 'log.csv'
  log = training_log.TrainingLog(path, ('step', 'value'))
  path.write_text(
      'step,value\n0,0.5\n0,0.25\n2,\n1,7\n1,0.\n3,1,2\n,5\n-1,2\n1e3,2\n4,x\n5'
  )
  log.append(step=3, value=2.5)
  log.flush()
  assert [(row['step'], row['value']) for row in log.rows()] == [
      ('0', '0.25'), ('1', '0.'), ('2', ''), ('3', '2.5')
  ]
  log.truncate(3)
  assert path.read_text() == 'step,value\n0,0.25\n1,0.\n2,\n'
  # One that is begun in the middle says what its columns are.
  path.unlink()
  log.append(step=3, value=1.5)
  log.flush()
  assert path.read_text() == 'step,value\n3,1.5\n'


def test_a_file_of_an_older_version_with_fewer_columns(tmp_path):
  path = tmp_path / 'log.csv'
  path.write_text('step,old\n0,0.5\n')
  log = training_log.TrainingLog(path, ('step', 'new', 'old'))
  log.truncate(1)
  log.append(step=1, new=2)
  log.flush()
  assert path.read_text() == 'step,new,old\n0,,0.5\n1,2,\n'


@pytest.mark.parametrize('how', DAMAGES)
def test_damaged_json_is_as_if_it_was_not_there(tmp_path, how):
  path = tmp_path / 'a.json'
  atomic_files.write_json(path, {'a': 1})
  assert atomic_files.read_json(path) == {'a': 1}
  damage(path, how)
  value, said = quietly(lambda: atomic_files.read_json(path))
  assert value is None
  assert (str(path) in said) == (how != 'missing')

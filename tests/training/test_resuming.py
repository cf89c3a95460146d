import os
import resource
import shutil

import pytest
from support import events
from support import images
from support import runs

import tfp_flowopt as fo
from tfp_flowopt.training import run_lock
from tfp_flowopt.training import run_start


def test_a_crashed_run_goes_on_bit_for_bit(
    simple, tmp_path, without_pictures
):
  class Crash(Exception):
    pass

  trainer, _ = runs.make_simple_trainer(tmp_path)
  step_function = trainer._loop.train_step

  def crashing(batch, stop):
    # Some steps behind a checkpoint.
    if trainer.step == 7:
      raise Crash
    return step_function(batch, stop)

  trainer._loop.train_step = crashing
  with pytest.raises(Crash):
    trainer.train()
  assert trainer.step == 7
  trainer, distribution = runs.make_simple_trainer(tmp_path)
  assert trainer.step == 4
  summary = trainer.train()
  workdir, want, want_weights = simple
  assert runs.rows(tmp_path) == runs.rows(workdir)
  assert summary['held_out_bits_per_dim'] == want['held_out_bits_per_dim']
  runs.assert_equal(runs.weights(distribution), want_weights)
  # Neither twice nor left out in TensorBoard.
  shown, original = (
      events.scalars(path / 'tensorboard' / 'train')['bits_per_dim']
      for path in (tmp_path, workdir)
  )
  assert shown == original


@pytest.mark.filterwarnings('ignore:Skipped checkpoint:UserWarning')
@pytest.mark.parametrize('damage', ['flipped', 'cut short', 'missing'])
@pytest.mark.parametrize('suffix', ['data-00000-of-00001', 'index'])
def test_a_damaged_checkpoint_is_passed_over(
    simple, tmp_path, without_pictures, damage, suffix
):
  workdir, _, want = simple
  shutil.copytree(workdir, tmp_path / 'copy')
  (path,) = (tmp_path / 'copy' / 'checkpoints').glob(f'*-12.{suffix}')
  content = bytearray(path.read_bytes())
  if damage == 'flipped':
    content[len(content) // 2] ^= 1
  else:
    del content[len(content) // 3 :]
  path.write_bytes(content)
  if damage == 'missing':
    path.unlink()
  with pytest.warns(UserWarning, match='checkpoint.*-12'):
    trainer, distribution = runs.make_simple_trainer(tmp_path / 'copy')
  assert trainer.step == 8
  if damage != 'missing':
    return  # What follows is the same for all.
  trainer.train()
  assert runs.rows(tmp_path / 'copy') == runs.rows(workdir)
  runs.assert_equal(runs.weights(distribution), want)
  # Whole again.
  assert runs.make_simple_trainer(tmp_path / 'copy')[0].step == 12


def test_without_a_readable_checkpoint(simple, tmp_path):
  shutil.copytree(simple[0], tmp_path / 'copy')
  for path in (tmp_path / 'copy' / 'checkpoints').glob('*.index'):
    path.write_bytes(b'')
  with (
      pytest.warns(UserWarning, match='Skipped'),
      pytest.raises(ValueError, match='no checkpoint'),
  ):
    runs.make_simple_trainer(tmp_path / 'copy')


def test_a_workdir_that_looks_like_a_pattern_is_refused(tmp_path):
  with pytest.raises(ValueError, match='workdir'):
    runs.make_trainer(tmp_path / 'run[1]')
  assert not (tmp_path / 'run[1]').exists()


def test_another_run_in_the_same_place_is_refused(straight):
  workdir, _, _ = straight
  before = (workdir / 'training_log.csv').read_bytes()
  with pytest.raises(
      fo.training.OtherRunError, match=r'(?s)batch_size: was 8, is 9.*seed'
  ):
    runs.make_trainer(workdir, batch_size=9, seed=1)
  distribution = runs.make_flow()
  with pytest.raises(fo.training.OtherRunError, match='held_out_images'):
    fo.training.Trainer(
        distribution,
        images.crops(seed=0),
        images.crops(seed=2),
        workdir,
        fo.training.TrainConfig(**runs.CONFIG),
    ).start_or_resume()
  assert (workdir / 'training_log.csv').read_bytes() == before


def test_the_log_neither_repeats_nor_loses_a_step(
    tmp_path, without_pictures, monkeypatch
):
  def check_lock():
    # Nobody else can write, until this run ends, however it does.
    with pytest.raises(
        fo.training.WorkdirInUseError, match=f'process {os.getpid()} on '
    ):
      run_lock.RunLock(tmp_path).acquire()

  def started(*args):
    check_lock()
    return start(*args)

  start = run_start.start
  monkeypatch.setattr(run_start, 'start', started)

  def interrupted(**row):
    check_lock()
    if row['step'] == 1:
      raise KeyboardInterrupt
    append(**row)

  trainer, _ = runs.make_simple_trainer(tmp_path, train_steps=3)
  append, trainer._files.append = trainer._files.append, interrupted
  with pytest.raises(KeyboardInterrupt):
    trainer.train()
  assert not (tmp_path / 'lock.json').exists()
  with pytest.raises(RuntimeError, match='new `Trainer`'):
    trainer.train()
  trainer, _ = runs.make_simple_trainer(tmp_path, train_steps=3)
  trainer.train()
  trainer.train()
  log = runs.rows(tmp_path)
  assert [row['step'] for row in log] == list('0123')
  # No step was taken twice.
  assert len({row['train_bits_per_dim'] for row in log[:3]}) == 3


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_checkpoints_alone_are_enough(straight, tmp_path, without_pictures):
  """All other files are lost, in a run that has two steps left."""
  workdir, summary, want = straight
  (tmp_path / 'checkpoints').mkdir()
  for path in (workdir / 'checkpoints').glob('ckpt-8.*'):
    shutil.copy(path, tmp_path / 'checkpoints')
  trainer, distribution = runs.make_trainer(tmp_path)
  assert trainer.step == 8
  assert distribution.bijector.initialized
  # What depends on images alone is known again.
  assert trainer.start['measured'] is None
  for name in ('settings', 'train_optimum', 'held_out_optimum'):
    assert trainer.start[name] == summary[name]
  trainer.train()
  assert runs.rows(tmp_path) == runs.rows(workdir)[8:]
  runs.assert_equal(runs.weights(distribution), want)


def test_a_finished_run_changes_nothing(simple, tmp_path, without_pictures):
  original, summary, want = simple
  workdir = tmp_path / 'copy'
  shutil.copytree(original, workdir)
  checkpoints = sorted((workdir / 'checkpoints').iterdir())
  written = [path.stat().st_mtime_ns for path in checkpoints]
  files = {p: p.stat().st_mtime_ns for p in workdir.rglob('*') if p.is_file()}
  trainer, distribution = runs.make_simple_trainer(workdir)
  with pytest.MonkeyPatch.context() as patch:
    for name in ('_evaluate', 'report'):
      patch.setattr(fo.training.Trainer, name, None)  # nothing is measured
    assert trainer.train() == trainer.results == summary
  assert files == {
      p: p.stat().st_mtime_ns for p in workdir.rglob('*') if p.is_file()
  }
  # Without its last file it is not complete.
  (workdir / 'summary.json').unlink()
  assert trainer.results is None
  assert trainer.train() == summary
  assert [path.stat().st_mtime_ns for path in checkpoints] == written
  runs.assert_equal(runs.weights(distribution), want)
  longer, _ = runs.make_simple_trainer(workdir, train_steps=14)
  assert longer.step == 12
  longer.train()
  assert [int(row['step']) for row in runs.rows(workdir)] == list(range(15))


def test_the_best_checkpoint_is_kept(tmp_path, without_pictures, monkeypatch):
  values = iter([3.0, 2.0, 2.5, 2.2])
  monkeypatch.setattr(
      fo.training.Trainer, '_evaluate', lambda self: next(values)
  )
  trainer, distribution = runs.make_simple_trainer(tmp_path)
  at_best = []

  def watched(bits_per_dim):
    if bits_per_dim == 2.0:
      at_best.append(runs.weights(distribution))
    keep_best(bits_per_dim)

  keep_best, trainer._files.keep_best = trainer._files.keep_best, watched
  trainer.train()
  assert [path.stem for path in (tmp_path / 'best').glob('*.index')] == [
      'ckpt-5'
  ]
  again, restored = runs.make_simple_trainer(tmp_path)
  again.restore_best()
  assert again.step == 5
  runs.assert_equal(runs.weights(restored), at_best[0])
  # A later, worse one does not take its place; one that is better does.
  later, _ = runs.make_simple_trainer(tmp_path)
  with later.lock():
    later._files.prepare()
    for value, best in ((2.1, 5), (1.9, 12)):
      later._files.keep_best(value)
      assert [path.stem for path in (tmp_path / 'best').glob('*.index')] == [
          f'ckpt-{best}'
      ]


def test_when_the_disk_is_full(simple, tmp_path, without_pictures):
  trainer, _ = runs.make_simple_trainer(tmp_path)
  step_function = trainer._loop.train_step
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)

  def full(batch, stop):
    if trainer.step == 6:
      # No file can grow beyond it: the log can, a checkpoint cannot.
      resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    return step_function(batch, stop)

  trainer._loop.train_step = full
  try:
    with pytest.raises(
        fo.training.WorkdirError, match=r'(?s)Cannot write to.*step 4 is'
    ):
      trainer.train()
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert not list((tmp_path / 'checkpoints').glob('*-8*'))
  trainer, distribution = runs.make_simple_trainer(tmp_path)
  assert trainer.step == 4
  trainer.train()
  workdir, _, want = simple
  assert runs.rows(tmp_path) == runs.rows(workdir)
  runs.assert_equal(runs.weights(distribution), want)


def test_a_workdir_that_cannot_be_made(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(fo.training.WorkdirError, match='Nothing is saved'):
    runs.make_simple_trainer(tmp_path / 'file' / 'run')


@pytest.mark.parametrize('changed', ['restore_best', 'use_averaged_weights'])
def test_weights_to_look_at_are_not_trained(
    changed, tmp_path, without_pictures
):
  trainer, _ = runs.make_simple_trainer(tmp_path, eval_every=4)
  trainer.train()
  # As if something were missing.
  (tmp_path / 'summary.json').unlink()
  before = {
      path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()
  }
  again, _ = runs.make_simple_trainer(tmp_path, eval_every=4)
  getattr(again, changed)()
  with pytest.raises(RuntimeError, match=r'The weights are .* a new `Trainer`'):
    again.train()
  assert before == {
      path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()
  }

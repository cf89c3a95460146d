"""The weights of a run, without its data."""

import shutil

import numpy as np
import pytest
from support import runs

import tfp_flowopt as fo

restore = fo.training.restore


def test_weights_are_the_averages_of_the_run(straight):
  workdir, _, _ = straight
  files = {p: p.stat().st_mtime_ns for p in workdir.rglob('*')}
  flow = runs.make_flow()
  assert restore(flow, workdir) == 12
  trainer, distribution = runs.make_trainer(workdir)
  for checkpoint in ('latest', 'best'):
    step = restore(flow, str(workdir), checkpoint)
    if checkpoint == 'best':
      trainer, distribution = runs.make_trainer(workdir)
      trainer.restore_best()
    trainer.use_averaged_weights()
    assert step == trainer.step
    runs.assert_equal(runs.weights(flow), runs.weights(distribution))
  assert files == {p: p.stat().st_mtime_ns for p in workdir.rglob('*')}


def test_what_is_refused(straight, tmp_path):
  workdir, _, _ = straight
  other = fo.image_flow([8, 8, 3], 1, 2, 8, tile_sizes=(2,))
  before = runs.weights(other)
  with pytest.raises(
      fo.training.OtherRunError, match='num_steps: was 1, is 2'
  ):
    restore(other, workdir)
  with pytest.raises(ValueError, match=r'`checkpoint`.*first'):
    restore(runs.make_flow(), workdir, 'first')
  with pytest.raises(ValueError, match='`distribution`'):
    restore('flow', workdir)
  # Settings that are lost cannot be compared.
  shutil.copytree(workdir / 'checkpoints', tmp_path / 'checkpoints')
  (tmp_path / 'checkpoints' / 'start.json').unlink()
  assert restore(runs.make_flow(), tmp_path) == 12
  for checkpoint in ('latest', 'best'):
    with pytest.raises(ValueError, match=r'`workdir`: no .*checkpoint'):
      restore(runs.make_flow(), tmp_path / 'none', checkpoint)
  assert not (tmp_path / 'none').exists()
  np.testing.assert_equal(runs.weights(other), before)

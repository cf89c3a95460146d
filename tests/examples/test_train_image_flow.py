import csv
import json
import re
import signal
import time

from harness import cluster
import numpy as np
import pytest
from support import images
from support import programs
from support import runs
import tensorflow as tf

from tfp_flowopt.training import run_results

BINARY = programs.ROOT / 'examples' / 'train_image_flow.py'
SMALL = [
    '--image_size=4',
    '--num_levels=1',
    '--num_steps=1',
    '--hidden_channels=8',
    '--batch_size=8',
    '--eval_every=20',
    '--checkpoint_every=5',
    '--local_constants=false',
    '--eval_images=50',
    '--init_images=200',
]


def start(workdir, *arguments, **environment):
  return programs.Program(
      BINARY, f'--workdir={workdir}', *SMALL, *arguments, **environment
  )


def rows(workdir):
  path = workdir / 'training_log.csv'
  if not path.exists():
    return []
  with path.open() as f:
    return [
        {k: v for k, v in row.items() if k != 'seconds'}
        for row in csv.DictReader(f)
    ]


def run_main(binary, parse, *arguments):
  binary.main(parse(*arguments))


def test_other_modes(binary, parse, folder, tmp_path, monkeypatch):
  """What can be done with a run, whose flags are known."""
  workdir = tmp_path / 'run'
  arguments = [f'--workdir={workdir}', f'--data={folder}', *SMALL]
  # Of a run whose checkpoints are gone.
  stale = workdir / 'saved_model' / '2' / 'stale'
  stale.parent.mkdir(parents=True)
  stale.touch()
  with runs.no_pictures():
    run_main(binary, parse, *arguments, '--train_steps=2')
  assert not stale.exists()
  assert (stale.parent / 'saved_model.pb').exists()
  before = {
      path: path.stat().st_mtime_ns
      for path in workdir.rglob('*')
      if path.is_file()
  }
  summary = json.loads((workdir / 'summary.json').read_text())

  def run(mode, *arguments):
    with pytest.MonkeyPatch.context() as patch:
      printed = []
      patch.setattr(
          'builtins.print',
          lambda *a, **_: printed.append(' '.join(map(str, a))),
      )
      run_main(
          binary, parse, f'--workdir={workdir}', f'--mode={mode}', *arguments
      )
    return '\n'.join(printed)

  text = run('evaluate', '--num_images=50', '--eval_draws=2')
  assert re.search(r'error [\d.e-]+ \(other images\) and [\d.e-]+ \(', text)
  (value,) = re.findall(r'50 held-out images, 2 draws.* ([\d.]+) bits', text)
  assert float(value) == pytest.approx(
      summary['held_out_bits_per_dim'], abs=0.5
  )
  (bound,) = re.findall(r'Importance-weighted.*: ([\d.]+) bits/dim', text)
  assert float(value) - 0.1 < float(bound) < float(value)
  new = workdir.parent
  # These look at no data.
  monkeypatch.setattr(binary.image_flow_data, 'load', None)
  run('sample', '--num_images=11', f'--output={new / "s.png"}')
  assert (new / 's.png').read_bytes().startswith(b'\x89PNG')
  samples = np.load(new / 's.npy')
  assert samples.shape == (11, 4, 4, 3) and samples.dtype == np.uint8
  run('export', '--checkpoint=best', f'--output={new / "model"}')
  assert (new / 'model' / 'saved_model.pb').exists()
  monkeypatch.undo()
  run('interpolate', f'--output={new / "i.png"}')
  assert (new / 'i.png').stat().st_size > 8_000
  text = run('report', f'--output={new / "r.txt"}')
  assert 'best linear, circulant' in text
  with pytest.raises(SystemExit, match='exists already'):
    run('export', f'--output={new / "model"}')
  assert 'sliced Wasserstein' in text
  # `no_pictures` left samples out.
  report, _, _ = (new / 'r.txt').read_text().partition('\n\nDistance to')
  assert report in (workdir / 'report.txt').read_text()
  # A complete run is not trained or evaluated again, nor exported.
  monkeypatch.setattr(binary.fo.training.Trainer, '_finish', None)
  monkeypatch.setattr(binary.fo.export, 'save', None)
  text = run('train')
  assert 'is complete, 2 steps' in text and 'After 2 steps' in text
  before.pop(workdir / 'config.json')  # the same, written again
  # None of it touches the run.
  assert before == {
      path: path.stat().st_mtime_ns
      for path in workdir.rglob('*')
      if path.is_file() and path.name != 'config.json'
  }
  with pytest.raises(SystemExit, match='needs a run'):
    run_main(
        binary, parse, f'--workdir={workdir / "none"}', '--mode=sample'
    )
  assert not (workdir / 'none').exists()


def test_help_shows_all_flags(tmp_path):
  text, _ = start(tmp_path, '--help').communicate()
  for name in ('workdir', 'image_size', 'learning_rate', 'strategy'):
    assert f'--{name}:' in text


@pytest.mark.slow
def test_killed_in_the_middle_it_resumes(binary, parse, folder, tmp_path):
  """That the end is the same is in `test_fault_injection`."""
  workdir = tmp_path / 'run'
  arguments = [
      f'--data={folder}', '--train_steps=24', '--gaussianize_marginals'
  ]
  victim = start(workdir, *arguments)
  deadline = time.monotonic() + programs.PATIENCE
  while len(rows(workdir)) < 7 and time.monotonic() < deadline:
    time.sleep(0.01)
    assert victim.poll() is None, victim.communicate()
  victim.send_signal(signal.SIGKILL)
  text, _ = victim.communicate()
  assert 'The right-hand quarter of each image is held out.' in text
  before = rows(workdir)
  assert 7 <= len(before) < 24
  assert not (workdir / 'summary.json').exists()

  resumed = start(workdir, *arguments)
  text, _ = resumed.communicate()
  assert resumed.returncode == 0, text
  (step,) = re.findall(r'Resumed at step (\d+)', text)
  assert 5 <= int(step) <= len(before)
  for name in ('curve.png', 'samples.png', 'training_log.csv', 'saved_model'):
    assert f'{workdir / name}' in text
  assert 'best linear, circulant' in text and '* ' in text
  after = rows(workdir)
  assert [int(row['step']) for row in after] == list(range(25))
  # Steps that were taken twice are the same, too.
  assert after[: len(before)] == before
  served = tf.saved_model.load(str(workdir / 'saved_model' / '24'))
  assert set(served.signatures) == {'log_prob', 'encode', 'decode', 'sample'}
  layers = json.loads((workdir / 'summary.json').read_text())['layers']
  assert layers[0]['name'] == 'marginals'
  # --local_constants=false.
  assert {layer['local_forward'] for layer in layers} == {None}

  # The same workdir for something else.
  with pytest.raises(
      SystemExit, match=r'(?s)num_steps: was 1, is 2.*seed: was 0, is 3'
  ):
    run_main(
        binary,
        parse,
        f'--workdir={workdir}',
        *SMALL,
        *arguments,
        '--seed=3',
        '--num_steps=2',
    )
  assert rows(workdir) == after


@pytest.mark.slow
def test_a_run_with_labels(binary, parse, tmp_path, capsys, monkeypatch):
  # Layers with labels: tests/bijectors/test_conditioning.py.
  monkeypatch.setattr(
      run_results.diagnostics, 'layer_report', lambda *_, **__: []
  )
  data, workdir = tmp_path / 'data', tmp_path / 'run'
  for i in range(24):
    path = data / 'ab'[i % 2] / f'{i}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = tf.io.encode_png(images.smooth_noise(i, 5, 6))
    path.write_bytes(encoded.numpy())
  arguments = [f'--workdir={workdir}', f'--data={data}', *SMALL]
  run_main(binary, parse, *arguments, '--labels=folders', '--train_steps=3')
  assert '24 images in' in (text := capsys.readouterr().out)
  assert '2 classes' in text
  # Two are few, and that is said.
  assert '2 of 24 images are held out, every tenth.' in text
  settings = json.loads((workdir / 'start.json').read_text())['settings']
  assert settings['model.conditioning'] == 2
  assert settings['held_out_images.class_names'] == ['a', 'b']
  run = [f'--workdir={workdir}']
  for more in (['--label=1'], []):
    output = tmp_path / f's{len(more)}.png'
    run_main(
        binary,
        parse,
        *run,
        '--mode=sample',
        f'--output={output}',
        '--num_images=4',
        *more,
    )
  one, all_ = (np.load(tmp_path / f's{n}.npy') for n in (1, 0))
  # Image 0 is of class 0 there, and of class 1 here; image 1 of class 1.
  np.testing.assert_array_equal(one[1], all_[1])
  output = f'--output={tmp_path / "i.png"}'
  run_main(binary, parse, *run, '--mode=interpolate', output)
  assert (tmp_path / 'i.png').stat().st_size > 8_000
  with pytest.raises(SystemExit, match='none of the classes: a, b'):
    run_main(binary, parse, *run, '--mode=sample', '--label=2')
  # Under other names the labels mean something else, whatever is done with
  # the run.
  (data / 'b').rename(data / 'c')
  for mode in ('train', 'evaluate'):
    with pytest.raises(
        SystemExit, match=r"class_names: was \['a', 'b'\], is \['a', 'c'\]"
    ):
      run_main(binary, parse, *run, f'--mode={mode}')
  served = tf.saved_model.load(str(workdir / 'saved_model' / '3'))
  x = tf.zeros([2, 4, 4, 3], tf.uint8)
  labels = tf.constant([0, 1], tf.int64)
  served.signatures['log_prob'](images=x, conditioning=labels)


def check_trained_on_several(workdir, text):
  assert 'whole flow' in text and 'SavedModel' in text
  served = tf.saved_model.load(str(workdir / 'saved_model' / '2'))
  images = tf.zeros([1, 4, 4, 3], tf.uint8)
  values = served.signatures['log_prob'](images=images)
  assert np.all(np.isfinite(values['log_prob']))


@pytest.mark.slow
def test_on_several_devices(binary, parse, tmp_path, capsys):
  arguments = ['--strategy=mirrored', '--cpu_devices=2', '--train_steps=2']
  with runs.no_pictures():
    run_main(binary, parse, f'--workdir={tmp_path}', *SMALL, *arguments)
  check_trained_on_several(tmp_path, capsys.readouterr().out)


@pytest.mark.slow
def test_on_several_workers(tmp_path):
  arguments = ['--strategy=multi_worker', '--train_steps=2']
  workers = [
      start(tmp_path, *arguments, **environment)
      for environment in cluster.environments(2)
  ]
  texts = [w.communicate()[0] for w in workers]
  for worker, text in zip(workers, texts, strict=True):
    assert worker.returncode == 0, text
  check_trained_on_several(tmp_path, texts[0])
  assert 'held' not in texts[1]


def test_a_bad_image_is_named(
    binary, parse, folder, tmp_path, capsys, monkeypatch
):
  bad = tmp_path / 'images'
  bad.mkdir()
  for path in folder.iterdir():
    (bad / path.name).write_bytes(path.read_bytes())
  (bad / 'notes.txt').write_text('no image')
  workdir = tmp_path / 'w'
  with pytest.raises(SystemExit, match=r'notes\.txt'):
    run_main(
        binary, parse, f'--workdir={workdir}', f'--data={bad}', *SMALL
    )
  assert not workdir.exists()
  # Skipped, it is counted and named, and the run goes on.
  monkeypatch.setattr(binary, '_export', lambda *_: None)
  with runs.no_pictures():
    run_main(
        binary,
        parse,
        f'--workdir={workdir}',
        f'--data={bad}',
        *SMALL,
        '--bad_images=skip',
        '--train_steps=1',
    )
  text = capsys.readouterr().out
  assert 'After 1 steps' in text
  assert '3 images in' in text
  assert '1 bad images skipped' in text and 'notes.txt' in text


def test_impossible_data(binary, parse, tmp_path):
  empty = tmp_path / 'empty'
  empty.mkdir()
  with pytest.raises(SystemExit, match='No images'):
    run_main(
        binary, parse, f'--workdir={tmp_path / "w"}', f'--data={empty}'
    )
  image = images.smooth_noise(0, 10, 10)
  np.save(tmp_path / 'few.npy', np.stack([image] * 9))
  with pytest.raises(SystemExit, match='9 images, too few to hold out every'):
    run_main(
        binary,
        parse,
        f'--workdir={tmp_path / "w"}',
        f'--data={tmp_path / "few.npy"}',
        *SMALL,
    )
  (empty / 'a.png').write_bytes(tf.io.encode_png(image).numpy())
  with pytest.raises(SystemExit, match='leaves nothing to hold out'):
    run_main(
        binary,
        parse,
        f'--workdir={tmp_path / "w"}',
        f'--data={empty}',
        *SMALL,
    )
  assert not (tmp_path / 'w').exists()


def test_crops_too_large_for_the_photographs(binary, parse, tmp_path):
  workdir = tmp_path / 'w'
  with pytest.raises(SystemExit, match='leaves nothing to hold out'):
    run_main(binary, parse, f'--workdir={workdir}', '--image_size=256')
  assert not workdir.exists()

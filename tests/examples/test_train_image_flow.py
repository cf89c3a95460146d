import csv
import importlib.util
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from absl import app
from absl import flags
import cluster
import numpy as np
import pytest
from support import images
import tensorflow as tf

BINARY = (
    pathlib.Path(__file__).parents[2] / 'examples' / 'train_image_flow.py'
)
SMALL = [
    '--image_size=4',
    '--num_levels=1',
    '--num_steps=1',
    '--hidden_channels=8',
    '--batch_size=8',
    '--eval_every=20',
    '--checkpoint_every=5',
    '--local_constants=false',
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('images')
  for i in range(3):
    image = images.smooth_noise(i, 40 + i, 50)
    (path / f'{i}.png').write_bytes(tf.io.encode_png(image).numpy())
  return path


def start(workdir, *arguments, **environment):
  return subprocess.Popen(
      [sys.executable, BINARY, f'--workdir={workdir}', *SMALL, *arguments],
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3', **environment},
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


@pytest.fixture(scope='session')
def binary():
  """The binary as a module: once a process, for its flags stay defined."""
  sys.path.insert(0, str(BINARY.parent))
  spec = importlib.util.spec_from_file_location('train_image_flow', BINARY)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.fixture
def parse(binary):
  saved = {name: flags.FLAGS[name].value for name in flags.FLAGS}

  def parse_flags(*arguments):
    return binary.image_flow_flags.parse(['train_image_flow', *arguments])

  yield parse_flags
  flags.FLAGS.unparse_flags()
  for name, value in saved.items():
    flags.FLAGS[name].value = value


def run_main(binary, parse, *arguments):
  binary.main(parse(*arguments))


def check_other_modes(binary, parse, workdir):
  """What can be done with a run, whose flags are known."""
  before = {
      path: path.stat().st_mtime_ns
      for path in workdir.rglob('*')
      if path.is_file()
  }
  summary = json.loads((workdir / 'summary.json').read_text())

  def run(mode, *arguments):
    with pytest.MonkeyPatch.context() as patch:
      printed = []
      patch.setattr('builtins.print', lambda *a, **_: printed.append(a[0]))
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
  new = workdir.parent
  run('sample', '--num_images=11', f'--output={new / "s.png"}')
  assert (new / 's.png').read_bytes().startswith(b'\x89PNG')
  samples = np.load(new / 's.npy')
  assert samples.shape == (11, 4, 4, 3) and samples.dtype == np.uint8
  run('interpolate', f'--output={new / "i.png"}')
  assert (new / 'i.png').stat().st_size > 8_000
  run('export', '--checkpoint=best', f'--output={new / "model"}')
  assert (new / 'model' / 'saved_model.pb').exists()
  text = run('report', f'--output={new / "r.txt"}')
  assert 'best linear, circulant' in text
  with pytest.raises(SystemExit, match='exists already'):
    run('export', f'--output={new / "model"}')
  assert (new / 'r.txt').read_text() in (workdir / 'report.txt').read_text()
  # None of it touches the run.
  assert before == {
      path: path.stat().st_mtime_ns
      for path in workdir.rglob('*')
      if path.is_file()
  }
  with pytest.raises(SystemExit, match='needs a run'):
    run_main(
        binary, parse, f'--workdir={workdir / "none"}', '--mode=sample'
    )
  assert not (workdir / 'none').exists()


def test_help_shows_all_flags(tmp_path):
  text, _ = start(tmp_path, '--help').communicate(timeout=60)
  for name in ('workdir', 'image_size', 'learning_rate', 'strategy'):
    assert f'--{name}:' in text


def test_killed_in_the_middle_it_resumes(binary, parse, folder, tmp_path):
  """That the end is the same is in `test_fault_injection`."""
  workdir = tmp_path / 'run'
  arguments = [
      f'--data={folder}', '--train_steps=40', '--gaussianize_marginals'
  ]
  victim = start(workdir, *arguments)
  deadline = time.monotonic() + 300
  while len(rows(workdir)) < 15 and time.monotonic() < deadline:
    time.sleep(0.01)
    assert victim.poll() is None, victim.communicate()
  victim.send_signal(signal.SIGKILL)
  text, _ = victim.communicate()
  assert 'The right-hand quarter of each image is held out.' in text
  before = rows(workdir)
  assert 15 <= len(before) < 40
  assert not (workdir / 'summary.json').exists()

  resumed = start(workdir, *arguments)
  text, _ = resumed.communicate(timeout=300)
  assert resumed.returncode == 0, text
  (step,) = re.findall(r'Resumed at step (\d+)', text)
  assert 10 <= int(step) <= len(before)
  for name in ('curve.png', 'samples.png', 'training_log.csv', 'saved_model'):
    assert f'{workdir / name}' in text
  assert 'best linear, circulant' in text and '* ' in text
  after = rows(workdir)
  assert [int(row['step']) for row in after] == list(range(41))
  # Steps that were taken twice are the same, too.
  assert after[: len(before)] == before
  served = tf.saved_model.load(str(workdir / 'saved_model' / '40'))
  assert set(served.signatures) == {'log_prob', 'encode', 'decode', 'sample'}
  layers = json.loads((workdir / 'summary.json').read_text())['layers']
  assert layers[0]['name'] == 'marginals'
  # --local_constants=false.
  assert {layer['local_forward'] for layer in layers} == {None}

  check_other_modes(binary, parse, workdir)

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


def test_a_run_with_labels(binary, parse, tmp_path, capsys):
  data, workdir = tmp_path / 'data', tmp_path / 'run'
  for i in range(24):
    path = data / 'ab'[i % 2] / f'{i}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = tf.io.encode_png(images.smooth_noise(i, 5, 6))
    path.write_bytes(encoded.numpy())
  arguments = [f'--workdir={workdir}', f'--data={data}', *SMALL]
  run_main(
      binary, parse, *arguments, '--labels=folders', '--train_steps=3'
  )
  assert '24 images in' in (text := capsys.readouterr().out)
  assert '2 classes' in text
  settings = json.loads((workdir / 'start.json').read_text())['settings']
  assert settings['conditioning'] == 2
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
  served = tf.saved_model.load(str(workdir / 'saved_model' / '3'))
  x = tf.zeros([2, 4, 4, 3], tf.uint8)
  labels = tf.constant([0, 1], tf.int64)
  served.signatures['log_prob'](images=x, conditioning=labels)


@pytest.mark.parametrize(
    'arguments, match',
    [
        (['--image_size=0'], 'image_size'),
        (['--image_size=12'], 'divisible'),
        (['--accumulation=0'], 'accumulation'),
        (['--batch_size=9', '--accumulation=2'], 'multiple of'),
        (['--bits=0'], 'bits'),
        (['--bits=9'], 'bits'),
        (['--channels=2'], 'channels'),
        (['--checkpoint=first'], 'checkpoint'),
        (['--checkpoints_to_keep=0'], 'checkpoints_to_keep'),
        (['--clip_norm=0'], 'clip_norm'),
        (['--clip_norm=inf'], 'clip_norm'),
        (['--compute_dtype=int8'], 'compute_dtype'),
        (['--config=/no/such/file'], '/no/such/file must hold flags'),
        (['--cpu_devices=0', '--strategy=mirrored'], 'cpu_devices'),
        (['--cpu_devices=2'], 'needs --strategy=mirrored'),
        (['--crop=left'], 'crop'),
        (['--deterministic=maybe'], 'deterministic'),
        (['--ema_decay=1'], 'ema_decay'),
        (['--ema_decay=-0.1'], 'ema_decay'),
        (['--ema_decay=nan'], 'ema_decay'),
        (['--eval_draws=0'], 'eval_draws'),
        (['--eval_images=1'], 'eval_images'),
        (['--flip=left'], 'flip'),
        (['--held_out=/no/such/folder', '--data=.'], 'held_out'),
        (['--held_out=.'], '--held_out needs --data'),
        (['--held_out_labels=folders'], 'held_out_labels belongs to'),
        (['--init_images=1'], 'init_images'),
        (['--label=-1'], 'label'),
        (['--label=1'], 'needs --labels'),
        (['--labels=folders'], 'needs --data'),
        (['--labels=/no/such/file', '--data=.'], 'labels must be a file'),
        (['--jit_compile=2'], 'jit_compile'),
        (['--local_constants=2'], 'local_constants'),
        (['--lipschitz_budget=-1'], 'lipschitz_budget'),
        (['--memory=none'], 'memory'),
        (['--mode=test'], 'mode'),
        (['--num_images=0'], 'num_images'),
        (['--profile=-1'], 'profile'),
        (['--schedule=linear'], 'schedule'),
        (['--strategy=tpu'], 'strategy'),
        (['--strategy=multi_worker'], 'TF_CONFIG'),
        (['--temperature=-1'], 'temperature'),
        (['--temperature=nan'], 'temperature'),
        (['--warmup_steps=-1'], 'warmup_steps'),
        (['--gaussianize_marginals=2'], 'gaussianize_marginals'),
        (['--num_levels=0'], 'num_levels'),
        (['--num_levels=6'], 'divisible'),
        (['--num_steps=0'], 'num_steps'),
        (['--hidden_channels=7'], 'even'),
        (['--hidden_channels=-2'], 'hidden_channels'),
        (['--batch_size=0'], 'batch_size'),
        (['--batch_size=many'], 'batch_size'),
        (['--learning_rate=0'], 'learning_rate'),
        (['--learning_rate=nan'], 'learning_rate'),
        (['--learning_rate=inf'], 'learning_rate'),
        (['--train_steps=0'], 'train_steps'),
        (['--eval_every=0'], 'eval_every'),
        (['--checkpoint_every=0'], 'checkpoint_every'),
        (['--seed=-1'], 'seed'),
        (['--bad_images=ignore'], 'bad_images'),
        (['--data=/no/such/folder'], 'data'),
        (['--nu_steps=3'], 'nu_steps'),
        (['--workdir='], 'workdir'),
    ],
)
def test_bad_flags_stop_before_any_work(parse, tmp_path, arguments, match):
  with pytest.raises(flags.Error, match=match):
    parse(f'--workdir={tmp_path}', *arguments)
  assert not list(tmp_path.iterdir())


def test_every_flag_has_a_bad_value(binary):
  """Of the table above; those of which any value will do are named."""
  marks = test_bad_flags_stop_before_any_work.pytestmark
  (mark,) = (m for m in marks if m.name == 'parametrize')
  tried = {
      argument.lstrip('-').split('=')[0]
      for arguments, _ in mark.args[1]
      for argument in arguments
  }
  module_flags = flags.FLAGS.flags_by_module_dict()['image_flow_flags']
  assert {flag.name for flag in module_flags} - tried == {'output'}


@pytest.mark.parametrize(
    'content, match',
    [
        ('{', 'must hold flags as JSON'),
        ('[1]', 'JSON object'),
        ('{"num_stepz": 3}', 'no flag num_stepz'),
        ('{"workdir": "x"}', 'no flag workdir'),
        ('{"batch_size": 0}', 'batch_size'),
    ],
)
def test_a_bad_configuration(parse, tmp_path, content, match):
  path = tmp_path / 'config.json'
  path.write_text(content)
  for arguments in (
      (f'--workdir={tmp_path}',),
      (f'--workdir={tmp_path / "w"}', f'--config={path}'),
  ):
    with pytest.raises(flags.Error, match=match):
      parse(*arguments)


def test_given_flags_come_before_files(parse, tmp_path):
  workdir = tmp_path / 'w'
  workdir.mkdir()
  (workdir / 'config.json').write_text(
      '{"num_steps": 1, "num_levels": 1, "batch_size": 1, "flip": true}'
  )
  path = tmp_path / 'c.json'
  path.write_text('{"num_steps": 2, "num_levels": 2, "eval_images": null}')
  parse(f'--workdir={workdir}', f'--config={path}', '--num_steps=3')
  values = flags.FLAGS
  assert (values.num_steps, values.num_levels, values.batch_size) == (3, 2, 1)
  assert values.flip is True and values.eval_images is None


def test_without_a_workdir(parse):
  with pytest.raises(flags.Error, match='workdir'):
    parse()


def test_on_several_devices(tmp_path):
  arguments = ['--train_steps=2', '--eval_images=20', '--init_images=20']
  runs = [
      start(
          tmp_path / 'mirrored',
          *arguments,
          '--strategy=mirrored',
          '--cpu_devices=2',
      )
  ]
  runs += [
      start(
          tmp_path / 'workers',
          *arguments,
          '--strategy=multi_worker',
          **environment,
      )
      for environment in cluster.environments(2)
  ]
  texts = [run.communicate(timeout=300)[0] for run in runs]
  for run, text in zip(runs, texts, strict=True):
    assert run.returncode == 0, text
  for text in texts[:2]:
    assert 'whole flow' in text and 'SavedModel' in text
  assert 'held' not in texts[2]
  for name in ('mirrored', 'workers'):
    served = tf.saved_model.load(str(tmp_path / name / 'saved_model' / '2'))
    images = tf.zeros([1, 4, 4, 3], tf.uint8)
    values = served.signatures['log_prob'](images=images)
    assert np.all(np.isfinite(values['log_prob']))


def test_a_bad_image_is_named(binary, parse, folder, tmp_path, capsys):
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
  run = start(
      workdir, f'--data={bad}', '--bad_images=skip', '--train_steps=1'
  )
  text, _ = run.communicate(timeout=300)
  assert run.returncode == 0, text
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
  (empty / 'a.png').write_bytes(tf.io.encode_png(image).numpy())
  with pytest.raises(SystemExit, match='leaves nothing to hold out'):
    run_main(
        binary,
        parse,
        f'--workdir={tmp_path / "w"}',
        f'--data={empty}',
        *SMALL,
    )
  with pytest.raises(app.UsageError, match='Unknown arguments'):
    run_main(binary, parse, f'--workdir={tmp_path / "w"}', 'what')
  assert not (tmp_path / 'w').exists()


def test_crops_too_large_for_the_photographs(binary, parse, tmp_path):
  workdir = tmp_path / 'w'
  with pytest.raises(SystemExit, match='leaves nothing to hold out'):
    run_main(binary, parse, f'--workdir={workdir}', '--image_size=256')
  assert not workdir.exists()


def test_a_workdir_inside_the_data_is_refused(parse, folder):
  for workdir in (folder, folder / 'runs' / 'a'):
    with pytest.raises(flags.Error, match='inside --data'):
      parse(f'--workdir={workdir}', f'--data={folder}')
  parse(f'--workdir={folder}-run', f'--data={folder}')


def test_a_workdir_that_is_a_file_is_refused(parse, folder):
  with pytest.raises(flags.Error, match='workdir'):
    parse(f'--workdir={folder / "0.png"}')

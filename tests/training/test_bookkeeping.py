import dataclasses
import io
import json
import math
import re
import time

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.internal import atomic_files
from tfp_flowopt.internal import progress
from tfp_flowopt.training import train_state
from tfp_flowopt.training import training_log


def test_log_survives_a_crash(tmp_path):
  path = tmp_path / 'log.csv'
  log = training_log.TrainingLog(path, ('step', 'value'))
  log.truncate(0)
  for step in range(5):
    log.append(step=step, value=step / 3)
  log.append(step=5)
  log.flush()
  log.append(step=6, value=1.0)  # never written
  with path.open('a') as f:
    f.write('7,0.1234')  # cut off
  again = training_log.TrainingLog(path, ('step', 'value'))
  assert [row['step'] for row in again.rows()] == list('012345')
  again.truncate(3)
  again.append(step=3, value=9.0)
  again.flush()
  rows = again.rows()
  assert [row['step'] for row in rows] == list('0123')
  assert float(rows[2]['value']) == 2 / 3  # every digit is kept
  assert path.read_text().startswith('step,value\n')


def test_a_failed_write_keeps_the_old_file(tmp_path):
  path = tmp_path / 'a.json'
  atomic_files.write_json(path, {'a': 1})
  with pytest.raises(RuntimeError), atomic_files.atomic_path(path) as temporary:
    temporary.write_text('half')
    raise RuntimeError
  assert atomic_files.read_json(path) == {'a': 1}
  assert list(tmp_path.iterdir()) == [path]
  assert atomic_files.read_json(tmp_path / 'none.json') is None


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_progress_on_a_terminal_and_in_a_file():
  screen = Terminal()
  bar = progress.Progress(200, images_per_step=8, stream=screen)
  bar.update(100, loss=2.5)
  bar.update(200, loss=1.5)
  bar.print('a line')
  bar.close()
  text = screen.getvalue()
  assert '200/200 [####################]  loss 1.500' in text
  assert 'images/s  ETA 0:00' in text
  assert 'a line\n' in text and text.endswith('\n')
  log = io.StringIO()
  bar = progress.Progress(200, images_per_step=8, stream=log)
  for step in range(1, 200):
    bar.update(step, loss=math.nan)  # too soon for another line
  assert log.getvalue() == ''
  bar.update(200)
  assert log.getvalue().count('\n') == 1 and '\r' not in log.getvalue()


class Clock:
  """Seconds that pass when a test says so."""

  now = 1000.0

  def __call__(self):
    return self.now


def test_the_time_left_is_that_of_steps_and_pauses():
  log, clock = io.StringIO(), Clock()
  bar = progress.Progress(
      1000, 8, stream=log, pause_every=100, clock=clock
  )

  def pause(seconds):
    with bar.paused('Evaluating'):
      clock.now += seconds

  pause(100.0)
  clock.now += 3600.0  # the first step is compiled
  bar.update(1)
  pause(50.0)  # and the first pictures
  for step in range(2, 22):
    clock.now += 0.5
    bar.update(step)
  lines = log.getvalue().splitlines()
  assert lines[0].endswith('16 images/s  ETA 15:49')
  # As soon as it is known; neither compilation nor pauses are steps.
  assert lines[1] == (
      'About 15:48 to go: 995 steps of 0.5 s, and 9 pauses (evaluating) of up '
      'to 50 s'
  )
  assert len(lines) == 2
  # The shortest pause is what others will take.
  pause(2.0)
  clock.now += 10.0
  bar.update(41)
  *_, line = log.getvalue().splitlines()
  assert line.endswith('16 images/s  ETA 8:18')


def test_little_time_is_not_foretold():
  log, clock = io.StringIO(), Clock()
  bar = progress.Progress(20, 8, stream=log, clock=clock)
  for step in range(1, 21):
    clock.now += 1.0
    bar.update(step)
  assert 'About' not in log.getvalue()


def test_no_speed_is_known_where_all_was_done_before_the_first_call():
  log = io.StringIO()
  bar = progress.Progress(20, 8, stream=log)
  bar.update(20, train=1.5)
  assert log.getvalue() == '20/20 [####################]  train 1.500\n'


def test_what_is_under_way_is_said_until_it_is_done():
  log = io.StringIO()
  with progress.under_way('Writing', stream=log, wait=0.0, interval=1e-3):
    while log.getvalue().count('\n') < 2:
      time.sleep(1e-3)
  text = log.getvalue()
  assert re.fullmatch(r'(Writing \.\.\. \d+:\d\d\n)+', text)
  time.sleep(0.01)
  assert log.getvalue() == text
  with progress.under_way('Writing', quiet=True, stream=log, wait=0.0):
    time.sleep(0.01)
  with progress.under_way('Writing', stream=log):
    pass  # done before it is worth a word
  assert log.getvalue() == text


def test_averages_follow_the_formula():
  variable = tf.Variable([1.0, 2.0])
  n = tf.Variable(0, dtype=tf.int64)
  average = train_state.AveragedWeights([variable], 0.9, n)
  want = variable.numpy().astype(np.float64)
  for step in range(1, 120):
    n.assign(step)
    variable.assign([math.sin(step), float(step)])
    average.update()
    decay = min(0.9, (1 + step) / (10 + step))
    want = decay * want + (1 - decay) * np.array([math.sin(step), step])
  trained = variable.numpy()
  with average.swapped_in():
    np.testing.assert_allclose(variable, want, rtol=1e-5)
  np.testing.assert_array_equal(variable, trained)
  with pytest.raises(RuntimeError), average.swapped_in():
    raise RuntimeError
  np.testing.assert_array_equal(variable, trained)
  average.assign_to_variables()
  np.testing.assert_allclose(variable, want, rtol=1e-5)


@pytest.mark.parametrize(
    'name, value',
    [
        ('train_steps', -1),
        ('batch_size', 0),
        ('learning_rate', 0.0),
        ('learning_rate', math.nan),
        ('learning_rate', math.inf),
        ('warmup_steps', -1),
        ('clip_norm', 0.0),
        ('ema_decay', 1.0),
        ('ema_decay', -0.1),
        ('eval_every', 0),
        ('bits', 9),
        ('bits', 0),
        ('bits', 7.5),
        ('train_steps', 3.0),
        ('seed', -1),
        ('jit_compile', 'yes'),
        ('eval_images', 1),
        ('init_images', 1),
        ('accumulation', 0),
        ('max_skipped', 0),
        ('schedule', 'linear'),
    ],
)
def test_bad_configuration_is_named(name, value):
  with pytest.raises(ValueError, match=name):
    fo.training.TrainConfig(**{name: value})


def test_numbers_of_numpy_are_taken():
  config = fo.training.TrainConfig(
      train_steps=np.int64(7),
      learning_rate=np.float32(0.5),
      jit_compile=np.bool_(False),
  )
  assert config == fo.training.TrainConfig(train_steps=7, learning_rate=0.5)
  # As the settings of a run are kept.
  json.dumps(dataclasses.asdict(config))
  with pytest.raises(ValueError, match='train_steps'):
    fo.training.TrainConfig(train_steps=np.float64(7.0))

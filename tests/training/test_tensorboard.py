import math
import threading
import time

import numpy as np
import pytest
from support import events
from support import programs
import tensorflow as tf

import tfp_flowopt as fo

TensorBoardWriter = fo.training.TensorBoardWriter


def loss(step):
  return 4.0 - step / 8


def write_steps(writer, first, last, factor=1.0):
  for step in range(first, last):
    writer.scalars(step, bits_per_dim=factor * loss(step), norm=step)
    if step % 5 == 0:
      writer.scalars(step, run='held_out', bits_per_dim=factor * loss(step))


def test_runs_with_one_name_share_a_chart(tmp_path):
  with TensorBoardWriter(tmp_path / 'a' / 'b') as writer:
    write_steps(writer, 0, 11)
    for step in (0, 5, 10):
      writer.optimum(step, bits_per_dim=3.5)
      writer.optimum(step, run='optimum_held_out', bits_per_dim=3.25)
    writer.scalars(11, bits_per_dim=None, norm=tf.constant(0.1), seconds=3)
    writer.scalars(12, bits_per_dim=math.nan)
  tmp_path = tmp_path / 'a' / 'b'
  train = events.scalars(tmp_path / 'train')
  assert train['bits_per_dim'][:-1] == [(i, loss(i)) for i in range(11)]
  assert train['bits_per_dim'][-1][0] == 12
  assert math.isnan(train['bits_per_dim'][-1][1])
  assert train['norm'][-1] == (11, np.float32(0.1))
  assert train['seconds'] == [(11, 3.0)]
  assert events.scalars(tmp_path / 'held_out') == {
      'bits_per_dim': [(i, loss(i)) for i in (0, 5, 10)]
  }
  assert events.scalars(tmp_path / 'optimum') == {
      'bits_per_dim': [(i, 3.5) for i in (0, 5, 10)]
  }
  assert events.scalars(tmp_path / 'optimum_held_out') == {
      'bits_per_dim': [(i, 3.25) for i in (0, 5, 10)]
  }


def test_a_resumed_run_neither_repeats_nor_loses_steps(tmp_path):
  writer = TensorBoardWriter(tmp_path)
  write_steps(writer, 0, 8)
  writer.optimum(0, bits_per_dim=3.5)
  writer.optimum(7, bits_per_dim=3.5)
  writer.flush()  # a checkpoint
  write_steps(writer, 8, 14)
  writer.flush()
  writer.scalars(14, bits_per_dim=0.0)  # never written: the run is killed
  for _ in range(2):  # resumed, and at once killed again
    TensorBoardWriter(tmp_path, resume_step=8)
  # Those steps are gone at once, in runs that are not written again, too.
  assert [i for i, _ in events.scalars(tmp_path / 'held_out')['bits_per_dim']
          ] == [0, 5]
  again = TensorBoardWriter(tmp_path, resume_step=8)
  write_steps(again, 8, 20, factor=2.0)
  again.close()
  want = [(i, (2 if i >= 8 else 1) * loss(i)) for i in range(20)]
  train = events.scalars(tmp_path / 'train')
  assert train['bits_per_dim'] == want
  assert train['norm'] == [(i, i) for i in range(20)]
  assert events.scalars(tmp_path / 'held_out')['bits_per_dim'] == want[::5]
  assert len(events.scalars(tmp_path / 'optimum')['bits_per_dim']) == 2
  # Files are read in the order of their names, not of the time.
  assert len(list((tmp_path / 'train').iterdir())) == 4
  # A new run in the directory replaces all.
  with TensorBoardWriter(tmp_path) as new:
    new.scalars(0, bits_per_dim=1.0)
  assert events.scalars(tmp_path / 'train')['bits_per_dim'] == [(0, 1.0)]
  assert events.scalars(tmp_path / 'held_out')['bits_per_dim'] == []


def test_files_of_a_clock_that_is_ahead_come_first(tmp_path):
  with TensorBoardWriter(tmp_path) as writer:
    write_steps(writer, 0, 3)
  (path,) = (tmp_path / 'train').iterdir()
  number = str(int(time.time()) + 10**6)
  path.rename(path.with_name(f'events.out.tfevents.{number}.a.1'))
  with TensorBoardWriter(tmp_path, resume_step=1) as writer:
    write_steps(writer, 1, 2)
  steps = [i for i, _ in events.scalars(tmp_path / 'train')['bits_per_dim']]
  assert steps == [0, 1]


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_samples_are_rows_of_images(tmp_path, rng, channels):
  images = rng.integers(0, 256, [2, 3, 4, 5, channels]).astype(np.uint8)
  rows = [('T = 0.7', images[0]), ('T = 1.0', tf.constant(images[1]))]
  with TensorBoardWriter(tmp_path) as writer:
    writer.samples(3, rows)
    writer.samples(4, rows[:1], name='other')
  shown = events.read(tmp_path / 'pictures')
  assert list(shown) == [
      'samples/T = 0.7', 'samples/T = 1.0', 'other/T = 0.7'
  ]
  for name, want in zip(shown, [*images, images[0]], strict=True):
    ((step, value),) = shown[name]
    assert step == (4 if name.startswith('other') else 3)
    image = value.image
    assert [image.height, image.width, image.colorspace] == [4, 15, channels]
    got = tf.io.decode_png(image.encoded_image_string).numpy()
    np.testing.assert_array_equal(got, np.concatenate(want, axis=1))


def test_pictures_are_the_bytes_of_their_files(tmp_path):
  path = tmp_path / 'curve.png'
  # A matplotlib picture has an alpha channel.
  data = tf.io.encode_png(np.zeros([5, 7, 4], np.uint8)).numpy()
  path.write_bytes(data)
  with TensorBoardWriter(tmp_path / 'out') as writer:
    writer.picture(20, 'layers', path)
  ((step, value),) = events.read(tmp_path / 'out' / 'pictures')['layers']
  image = value.image
  assert step == 20 and image.encoded_image_string == data
  assert [image.height, image.width, image.colorspace] == [5, 7, 4]


def test_bad_arguments_are_named(tmp_path):
  with pytest.raises(ValueError, match='resume_step'):
    TensorBoardWriter(tmp_path, resume_step=-1)
  writer = TensorBoardWriter(tmp_path)
  for run in ('', 'a/b', '..', '.'):
    with pytest.raises(ValueError, match='`run`'):
      writer.scalars(0, run=run, loss=1.0)
  for shape, dtype in (
      ([2, 3, 3, 2], np.uint8),
      ([3, 3, 3], np.uint8),
      ([0, 3, 3, 3], np.uint8),
      ([2, 3, 3, 3], np.float32),
  ):
    with pytest.raises(ValueError, match='`rows`'):
      writer.samples(0, [('data', np.zeros(shape, dtype))])
  (tmp_path / 'a.png').write_bytes(b'GIF89a' + bytes(100))
  with pytest.raises(ValueError, match='PNG'):
    writer.picture(0, 'a', tmp_path / 'a.png')
  writer.close()
  writer.close()
  with pytest.raises(ValueError, match='closed'):
    writer.scalars(0, loss=1.0)


def test_writing_is_light_and_shown_in_time(tmp_path, monkeypatch):
  threads = threading.active_count()
  writer = TensorBoardWriter(tmp_path)
  writer.scalars(0, a=0)
  # Of this thread: another program may have the processor.
  began = time.thread_time()
  for step in range(1, 1001):
    writer.scalars(step, a=1.0, b=2.0, c=3.0, d=4.0, e=5.0)
  # 8 ms if nothing else runs.
  assert time.thread_time() - began < 1.0
  assert threading.active_count() == threads
  # Without `flush`, what is written is on show after a while.
  now = time.monotonic()
  monkeypatch.setattr(time, 'monotonic', lambda: now + 31)
  writer.scalars(1001, a=1.0)
  assert len(events.scalars(tmp_path / 'train')['a']) == 1002


def test_without_the_tensorboard_package(tmp_path):
  program = f"""
import sys
sys.modules['tensorboard'] = None
import tfp_flowopt as fo
with fo.training.TensorBoardWriter({str(tmp_path)!r}) as writer:
  writer.scalars(1, loss=2.0)
"""
  programs.run('-c', program).check_returncode()
  assert events.scalars(tmp_path / 'train') == {'loss': [(1, 2.0)]}

"""Bad images: named, or left out; and what a scan found is kept."""

import os

import numpy as np
import pytest
from support import images
from support import records
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.data import decoding

training = fo.training


def test_bad_images_are_named_or_left_out(tmp_path):
  folder = tmp_path / 'pictures'
  for i in range(6):
    images.write_png(folder / f'{i}.png', np.full([20, 20, 3], i, np.uint8))
  noise = images.smooth_noise(0, 40, 40)
  jpeg, png = tf.io.encode_jpeg(noise).numpy(), tf.io.encode_png(noise).numpy()
  bad = {
      'a.jpg': jpeg[: len(jpeg) // 2],
      'b.jpg': jpeg[:-2],
      'c.png': png[:-30],
      'd.png': b'',
      'e.txt': b'no image',
  }
  for name, content in bad.items():
    (folder / name).write_bytes(content)
  images.write_png(folder / 'sub' / 'f.png', noise[:19])
  with pytest.raises(ValueError, match='6 bad images of 12') as e:
    training.ImageDataset(folder, 20)
  assert all(name in str(e.value) for name in bad)
  assert 'f.png' not in str(e.value) and 'and 1 more' in str(e.value)
  data = training.ImageDataset(folder, 20, bad_images='skip', channels=1)
  assert len(data) == 6
  assert len(data.bad) == 6 and all(
      name in line
      for name, line in zip([*bad, 'f.png'], data.bad, strict=True)
  )
  assert '40 x 19 pixels, need at least 20 x 20' in data.bad[-1]
  seen = [int(x[0, 0, 0]) for x in data.batches(6, seed=1).take(2).unbatch()]
  assert sorted(seen[:6]) == sorted(seen[6:]) == list(range(6))
  with pytest.raises(ValueError, match='only bad ones'):
    training.ImageDataset(folder, 64, bad_images='skip')


def test_a_bad_record_is_named(tmp_path):
  good = tf.io.encode_png(np.zeros([4, 4, 1], np.uint8)).numpy()
  records.write(tmp_path / 'x.tfrecord', [good, good[:-5], good])
  with pytest.raises(ValueError, match=r'x\.tfrecord, record 1'):
    training.ImageDataset(tmp_path / 'x.tfrecord', 4)
  data = training.ImageDataset(
      tmp_path / 'x.tfrecord', 4, bad_images='skip'
  )
  assert len(data) == 2
  whole = (tmp_path / 'x.tfrecord').read_bytes()
  (tmp_path / 'cut.tfrecord').write_bytes(whole[:-3])
  (tmp_path / 'sum.tfrecord').write_bytes(whole[:-1] + b'x')
  for name in ('cut.tfrecord', 'sum.tfrecord'):
    with pytest.raises(ValueError, match=f'truncated: .*{name}'):
      training.ImageDataset(tmp_path / name, 4, bad_images='skip')


@pytest.fixture
def decoded(monkeypatch):
  """Counts what is decoded."""
  calls = []
  decode = decoding.decode_checked
  monkeypatch.setattr(
      decoding,
      'decode_checked',
      lambda *x: (calls.append(1), decode(*x))[1],
  )
  return calls


def test_what_a_scan_found_is_kept(decoded, tmp_path):
  folder, cache = tmp_path / 'pictures', tmp_path / 'kept' / 'scan.json'
  for i in range(3):
    images.write_png(folder / f'{i}.png', np.full([9, 9, 3], i, np.uint8))
  (folder / 'bad.png').write_bytes(b'no image')
  options = {'bad_images': 'skip', 'cache': cache}
  first = training.ImageDataset(folder, 8, **options)
  assert len(decoded) == 4 and len(first.bad) == 1
  second = training.ImageDataset(folder, 8, **options)
  assert len(decoded) == 4
  assert second.fingerprint == first.fingerprint and second.bad == first.bad
  assert len(training.ImageDataset(folder, 9, **options)) == 3
  assert len(decoded) == 4
  # Of the same length, at another time.
  (folder / 'bad.png').write_bytes(b'no image')
  os.utime(folder / 'bad.png', ns=(1, 1))
  training.ImageDataset(folder, 8, **options)
  assert len(decoded) == 8
  images.write_png(folder / 'new.png', np.zeros([9, 9, 3], np.uint8))
  third = training.ImageDataset(folder, 8, **options)
  assert len(third) == 4 and third.fingerprint != first.fingerprint
  cache.write_text('{"version": 0}')
  assert len(training.ImageDataset(folder, 8, **options)) == 4
  with pytest.raises(ValueError, match=r'`cache`.*scan\.json'):
    training.ImageDataset(folder, 8, cache=folder / 'scan.json')

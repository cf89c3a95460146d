"""Images of any source, written to TFRecord files."""

import contextlib
import hashlib
import json
from typing import Literal

import tensorflow as tf

from tfp_flowopt.data import decoding
from tfp_flowopt.data import orientation as orientation_lib
from tfp_flowopt.data.sources import base
from tfp_flowopt.data.sources import open_source
from tfp_flowopt.data.sources import records
from tfp_flowopt.data.sources import tfds
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import atomic_files
from tfp_flowopt.internal import parallel
from tfp_flowopt.internal import progress
from tfp_flowopt.internal import types

__all__ = ['OtherConversionError', 'convert_images']

_SETTINGS = 'conversion.json'
# Of files that need not be encoded again.
_SIGNATURES = {'png': b'\x89PNG\r\n\x1a\n', 'jpeg': b'\xff\xd8\xff'}


class OtherConversionError(ValueError):
  """The folder holds the records of other images or settings."""


class _BadImages(Exception):
  """Some images of a file are bad."""


def convert_images(
    path: types.Path | base.ImageStore,
    output: types.Path,
    image_size: int = 0,
    num_shards: int = 16,
    image_format: Literal['png', 'jpeg'] = 'png',
    jpeg_quality: int = 95,
    bad_images: Literal['strict', 'skip'] = 'strict',
    num_workers: int = parallel.THREADS,
) -> tuple[int, int, list[str]]:
  """Writes images to TFRecord files, and goes on where it was interrupted.

  A file has its name when it is complete, and is not written again. Beside
  them `conversion.json` keeps the settings. The records are
  `tf.train.Example`s: `image/encoded` (bytes), `image/format`, `image/height`,
  `image/width`, `image/channels` and `image/name`.

  Args:
    path: What to convert, see `open_images`.
    output: Folder of the files.
    image_size: Side of the images: of each the largest square in its centre
      is resized with antialiasing, and smaller ones are bad. 0: images stay as
      they are, and those of the right format are copied byte by byte.
    num_shards: Number of files, at most one for each image.
    image_format: `'png'` or `'jpeg'`.
    jpeg_quality: From 1 to 100.
    bad_images: `'strict'`: a bad image is an error; `'skip'`: it is left out.
    num_workers: Number of threads.

  Returns:
    Numbers of records in all files, and of images that are in none; and a list
    of strings, a line for each image that this call left out.

  Raises:
    OtherConversionError: If the folder holds another conversion; the message
      names what differs.
    ValueError: If an argument is none of those above, there is nothing to
      convert, the output lies in the input, or, if strict, an image is bad; the
      message names the first ones. Files without one of them are complete.
  """
  arguments.check_choice('image_format', image_format, _SIGNATURES)
  arguments.check_choice('bad_images', bad_images, ('strict', 'skip'))
  image_size = arguments.check_int('image_size', image_size, least=0)
  num_shards = arguments.check_int('num_shards', num_shards)
  jpeg_quality = arguments.check_int('jpeg_quality', jpeg_quality, 1, 100)
  num_workers = arguments.check_int('num_workers', num_workers)
  output = arguments.check_path('output', output)
  source = None
  if not isinstance(path, base.ImageStore):
    source = arguments.check_path('path', path)
  if output.exists() and not output.is_dir():
    raise ValueError(f'Argument `output` must be a folder, got {output}.')
  if (
      source
      and source.is_dir()
      and output.resolve().is_relative_to(source.resolve())
  ):
    raise ValueError(
        f'Argument `output` must lie outside the images {path}, got {output}.'
    )
  store = open_source.open_images(path)
  store.verify()
  num_shards = min(num_shards, len(store))
  given = str(path)
  if source is not None and not given.startswith(tfds.PREFIX):
    given = str(source.resolve())
  stamps = json.dumps(store.stamps()).encode()
  _check_settings(output, {
      'input': given,
      'input_files': hashlib.sha256(stamps).hexdigest()[:16],
      'image_size': image_size,
      'num_shards': num_shards,
      'format': image_format,
      'jpeg_quality': jpeg_quality,
  })

  def convert(index):
    try:
      image = _encode(store, index, image_size, image_format, jpeg_quality)
      name = store.name(index).removeprefix(f'{path}/')
      return _record(*image, image_format, name), None
    except decoding.ERRORS as e:
      return None, f'{store.name(index)}: {decoding.describe(e)}'

  bad: list[str] = []
  written = 0
  with contextlib.closing(progress.Progress(len(store), 1)) as bar:
    for shard in range(num_shards):
      file = output / f'images-{shard:05}-of-{num_shards:05}.tfrecord'
      first, last = (len(store) * i // num_shards for i in (shard, shard + 1))
      if not file.exists():
        results = parallel.ordered_map(convert, range(first, last), num_workers)
        before = len(bad)
        with (
            contextlib.suppress(_BadImages),
            atomic_files.atomic_path(file) as temporary,
        ):
          with tf.io.TFRecordWriter(str(temporary)) as writer:
            for done, (record, problem) in enumerate(results, first + 1):
              bar.update(done)
              if problem is None:
                writer.write(record)
              else:
                bad.append(problem)
          if bad_images == 'strict' and len(bad) > before:
            raise _BadImages  # without the file
      if file.exists():
        written += records.count_records(file)
  if bad and bad_images == 'strict':
    raise decoding.bad_images(bad, len(store))
  return written, len(store) - written, bad


def _check_settings(output, settings):
  output.mkdir(parents=True, exist_ok=True)
  before = atomic_files.read_json(output / _SETTINGS)
  if before is None:
    if any(output.glob('*.tfrecord')):
      raise OtherConversionError(
          f'{output} holds TFRecord files, but no {_SETTINGS}.'
      )
    atomic_files.write_json(output / _SETTINGS, settings)
    return
  different = [
      f'{key}: was {before.get(key)}, is {settings.get(key)}'
      for key in sorted(set(before) | set(settings))
      if before.get(key) != settings.get(key)
  ]
  if different:
    raise OtherConversionError(
        f'{output} holds another conversion; use another folder, or these as '
        'they were:\n  ' + '\n  '.join(different)
    )


def _encode(store, index, image_size, image_format, jpeg_quality):
  """Encoded image, and its shape."""
  value, image, orientation = store.decoded(index, keep_grey=True)
  if (
      store.encoded
      and not image_size
      and value.startswith(_SIGNATURES[image_format])
  ):
    return value, image.shape  # with its orientation
  image = orientation_lib.turn(image, orientation)
  if image_size:
    if problem := decoding.too_small(image.shape, image_size):
      raise ValueError(problem)
    image = _resize(image, image_size)
  if image_format == 'png':
    return tf.io.encode_png(image).numpy(), image.shape
  # All colours, for nothing is to be lost but what the quality says.
  return tf.io.encode_jpeg(
      image, quality=jpeg_quality, chroma_downsampling=False
  ).numpy(), image.shape


def _resize(image, size):
  height, width = image.shape[:2]
  side = min(height, width)
  image = tf.image.crop_to_bounding_box(
      image, (height - side) // 2, (width - side) // 2, side, side
  )
  if side == size:
    return image
  image = tf.image.resize(image, [size, size], 'lanczos3', antialias=True)
  return tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)


def _record(encoded, shape, image_format, name):
  height, width, channels = map(int, shape)
  example = tf.train.Example()
  for key, value in {
      'encoded': encoded,
      'format': image_format.encode(),
      'height': height,
      'width': width,
      'channels': channels,
      'name': name.encode(),
  }.items():
    feature = example.features.feature[f'image/{key}']
    kind = 'bytes_list' if isinstance(value, bytes) else 'int64_list'
    getattr(feature, kind).value.append(value)
  return example.SerializeToString()

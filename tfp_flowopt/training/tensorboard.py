"""A run, as TensorBoard shows it."""

import os
import pathlib
import re
import socket
import struct
import time
from typing import Any
from typing import Self

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import not_copied
from tfp_flowopt.internal import types

__all__ = ['TensorBoardWriter']

# Runs: TensorBoard draws what has one name in several runs in one chart.
_TRAIN, _OPTIMUM, _PICTURES = 'train', 'optimum', 'pictures'
# How old what TensorBoard shows may be.
_FLUSH_SECONDS = 30.0
# Channels of a PNG file by its colour type.
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
# Of the layout of event files, with which TensorBoard obeys `SessionLog`s.
_VERSION = 'brain.Event:2'


class TensorBoardWriter(not_copied.NotCopied):
  """Writes scalars and pictures of a run for TensorBoard.

  Only to look at them takes the tensorboard package. Each subdirectory is what
  TensorBoard calls a run: `train` and others that the caller names, `optimum`,
  and `pictures`. A name that several of them share is one chart with a line for
  each, so the optimum is a line beside the loss.

  A resumed run goes on in new files, which say from which step on the older
  ones are superseded, so each step is shown once. None is lost if `flush` is
  called before each checkpoint. Only one process writes: the chief.

  #### Example

  ```python
  with fo.training.TensorBoardWriter('my_run/tensorboard') as writer:
    for step in range(100):
      writer.scalars(step, bits_per_dim=4.0 - step / 100)
      if step % 10 == 0:
        writer.scalars(step, run='held_out', bits_per_dim=4.1 - step / 100)
        writer.optimum(step, bits_per_dim=4.2)
  ```
  """

  _instead = 'it holds open files; make a new one, with its `resume_step`'

  def __init__(self, directory: types.Path, resume_step: int = 0) -> None:
    """Opens the directory.

    Args:
      directory: For `tensorboard --logdir`; made if it is missing.
      resume_step: Python `int`, the first step that will be written (again): 0
        for a new run, the step of the checkpoint for one that goes on.
        TensorBoard forgets what is there of this and later steps.

    Raises:
      ValueError: If `resume_step` is no int, or negative.
    """
    resume_step = arguments.check_int('resume_step', resume_step, least=0)
    self._directory = pathlib.Path(directory)
    self._directory.mkdir(parents=True, exist_ok=True)
    self._resume_step = resume_step
    self._files: dict[str, Any] = {}
    self._closed = False
    self._flushed = time.monotonic()
    # At once: what a run will not write again is superseded, too.
    for path in sorted(self._directory.iterdir()):
      if path.is_dir() and _file_numbers(path):
        self._file(path.name)

  def scalars(
      self, step: int, run: str = _TRAIN, **values: float | None
  ) -> None:
    """Writes numbers of a step.

    Args:
      step: Python `int`.
      run: Name of the run, a line of its own in the charts.
      **values: A number for each name; kept as float32. `None` is left out.

    Raises:
      ValueError: If `run` is no name of a directory, or the writer is closed.
    """
    values = {k: float(v) for k, v in values.items() if v is not None}
    self._write(
        step, run, [{'tag': k, 'simple_value': v} for k, v in values.items()]
    )

  def optimum(
      self, step: int, run: str = _OPTIMUM, **values: float | None
  ) -> None:
    """Writes the closed-form optimum, a line from the first step to the last.

    A line takes two points: call it at step 0, and then now and then.

    Arguments and errors are those of `scalars`. Each optimum of one name, such
    as that on held-out images, has a `run` of its own.
    """
    self.scalars(step, run, **values)

  def picture(self, step: int, name: str, path: types.Path) -> None:
    """Writes the picture in a PNG file.

    Raises:
      ValueError: If it is no PNG file, or the writer is closed.
    """
    data = pathlib.Path(path).read_bytes()
    if data[:8] != b'\x89PNG\r\n\x1a\n' or len(data) < 33:
      raise ValueError(f'Argument `path` must be a PNG file, got {path}.')
    self._image(step, name, data)

  def samples(
      self, step: int, rows: types.NamedImages, name: str = 'samples'
  ) -> None:
    """Writes rows of images, each a picture of its own.

    Args:
      step: Python `int`.
      rows: Pairs (name of the row, uint8 images `[N, H, W, C]`), such as a
        temperature and samples at it; `C` is 1, 3 or 4.
      name: Of the group that the rows are shown in.

    Raises:
      ValueError: If images are of another type or shape, or the writer is
        closed.
    """
    for row, images in rows:
      images = np.asarray(images)
      if (
          images.dtype != np.uint8
          or images.ndim != 4
          or not images.size
          or images.shape[-1] not in (1, 3, 4)
      ):
        raise ValueError(
            'Argument `rows` must have uint8 images [N, H, W, C] with 1, 3 or '
            f'4 channels, got {images.dtype} {list(images.shape)} for {row}.'
        )
      with tf.device('CPU'):
        data = tf.io.encode_png(np.concatenate(images, axis=1)).numpy()
      self._image(step, f'{name}/{row}', data)

  def _image(self, step, tag, data):
    width, height, _, colour_type = struct.unpack('>IIBB', data[16:26])
    image = tf.compat.v1.Summary.Image(
        width=width,
        height=height,
        colorspace=_PNG_CHANNELS[colour_type],
        encoded_image_string=data,
    )
    self._write(step, _PICTURES, [{'tag': tag, 'image': image}])

  def _write(self, step, run, values):
    summary = tf.compat.v1.Summary
    summary = summary(value=[summary.Value(**value) for value in values])
    self._file(run).write(step=int(step), summary=summary)
    if time.monotonic() - self._flushed > _FLUSH_SECONDS:
      self._flushed = time.monotonic()
      for file in self._files.values():
        file.flush()

  def _file(self, run):
    """The file of a run, which the first use makes."""
    if self._closed:
      raise ValueError('The writer is closed.')
    if run not in self._files:
      if not run or pathlib.Path(run).name != run or run.startswith('.'):
        raise ValueError(
            f'Argument `run` must be a name of a directory, got {run!r}.'
        )
      self._files[run] = _EventFile(self._directory / run, self._resume_step)
    return self._files[run]

  def flush(self) -> None:
    """Writes everything down to the disk: it belongs before a checkpoint."""
    self._flushed = time.monotonic()
    for file in self._files.values():
      file.sync()

  def close(self) -> None:
    """Writes everything, and closes the files; a second time does nothing."""
    for file in self._files.values():
      file.close()
    self._files = {}
    self._closed = True

  def __enter__(self) -> Self:
    return self

  def __exit__(
      self, exception_type: Any, exception: Any, traceback: Any
  ) -> None:
    self.close()


class _EventFile:
  """A new event file of one run (a directory), behind those it has.

  Events of `first_step` and later ones in older files are superseded.

  Written directly, a record for each event: `tf.summary.scalar` and `image`
  need the tensorboard package, `tf.summary.write` takes forty times as long,
  and neither can say where a resumed run takes over.
  """

  def __init__(self, directory, first_step):
    directory.mkdir(parents=True, exist_ok=True)
    # Files are read in the order of their names: whatever the clock says, this
    # one comes last.
    number = max(int(time.time()), 1 + max(_file_numbers(directory), default=0))
    self._path = directory / (
        f'events.out.tfevents.{number:010d}.{socket.gethostname()}.{os.getpid()}'
    )
    self._writer = tf.io.TFRecordWriter(str(self._path))
    self.write(file_version=_VERSION)
    # TensorBoard takes the first START of a run for its beginning, and each
    # later one for a restart at its step.
    log = tf.compat.v1.SessionLog
    self.write(step=first_step, session_log=log(status=log.START))
    self.flush()

  def write(self, **fields):
    event = tf.compat.v1.Event(wall_time=time.time(), **fields)
    self._writer.write(event.SerializeToString())

  def flush(self):
    self._writer.flush()

  def sync(self):
    """Flushes, down to the disk."""
    self.flush()
    with self._path.open('rb') as f:
      os.fsync(f.fileno())

  def close(self):
    self.sync()
    self._writer.close()


def _file_numbers(directory):
  """The numbers in the names of the event files of a directory."""
  names = (path.name for path in directory.iterdir())
  found = (re.match(r'events\.out\.tfevents\.(\d+)\.', name) for name in names)
  return [int(match[1]) for match in found if match]

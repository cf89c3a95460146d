"""Random crops of images that are held in memory."""

from collections.abc import Sequence
import hashlib

import numpy as np
import tensorflow as tf

from tfp_flowopt.data import decoding
from tfp_flowopt.data import examples
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import parallel
from tfp_flowopt.internal import types

__all__ = ['ImageCrops', 'split_columns']


class ImageCrops(examples.Examples):
  """Draws square crops, uniformly over all positions in all images.

  A crop depends on the seed and the step alone, so that a run resumed at a
  step sees what it would have seen; there is no iterator state to save.

  Attributes:
    event_shape: Shape of a crop, `[S, S, C]`.
    fingerprint: Short hash of the images and the crop size.
    settings: Dictionary of what a fingerprint does not tell.
    num_disjoint: Number of crops that fit side by side into the images.
    num_independent: The same: crops are what varies.
  """

  def __init__(self, images: Sequence[np.ndarray], crop_size: int) -> None:
    """Creates the sampler.

    Args:
      images: Non-empty list of uint8 arrays `[H, W, C]`, `C` the same for all,
        `H` and `W` at least `crop_size`.
      crop_size: Side of the crops.

    Raises:
      ValueError: If there is no image, or one has the wrong type or number of
        channels or is smaller than the crop.
    """
    crop_size = arguments.check_int('crop_size', crop_size, least=1)
    images = _arrays(images)
    if not images:
      raise ValueError('Argument `images` is empty.')
    for i, image in enumerate(images):
      if image.shape[-1] != images[0].shape[-1]:
        raise ValueError(
            'Argument `images` must hold arrays [H, W, C] of one C; number '
            f'{i} has shape {image.shape}, the first {images[0].shape}.'
        )
      if image.dtype != np.uint8:
        raise ValueError(
            f'Argument `images` must be uint8, number {i} is {image.dtype}.'
        )
      if problem := decoding.too_small(image.shape, crop_size):
        raise ValueError(f'Argument `images`: number {i} has {problem}.')
    channels = images[0].shape[-1]
    self.event_shape = [crop_size, crop_size, channels]
    self.settings = {
        'image_size': crop_size,
        'crop': 'random',
        'flip': False,
        'channels': channels,
        'number': len(images),
        'classes': 0,
    }
    shapes = np.array([image.shape[:2] for image in images], np.int64)
    choices = np.prod(shapes - crop_size + 1, axis=1)
    pixels = np.concatenate([x.reshape(-1, channels) for x in images])
    digest = hashlib.sha256(np.ascontiguousarray(pixels).data)
    digest.update(shapes.data)
    digest.update(np.array([crop_size, channels], np.int64).data)
    self.fingerprint = digest.hexdigest()[:16]
    self._pixels = tf.constant(pixels)
    self._widths = tf.constant(shapes[:, 1])
    self._first_pixel = tf.constant(_starts(np.prod(shapes, axis=1)))
    self._first_choice = tf.constant(_starts(choices))
    self._num_choices = int(choices.sum())
    self.num_disjoint = int(np.prod(shapes // crop_size, axis=1).sum())
    self.num_independent = self.num_disjoint

  def draw(self, num: int, seed: types.Seed) -> tf.Tensor:
    """Draws `num` crops, uint8 `[num, S, S, C]`.

    `seed` is a `[2]` integer `Tensor`; the same one gives the same crops. A
    `ValueError` if an argument is no such thing.
    """
    num = arguments.check_count('num', num)
    seed = arguments.check_seed('seed', seed)
    return self._gather(self._choose(num, seed))

  def _choose(self, num, seed):
    return tf.random.stateless_uniform(
        [num], seed, 0, self._num_choices, tf.int64
    )

  def _gather(self, choice):
    """The crops of some choices, int64 `[num]`."""
    size = tf.constant(self.event_shape[0], tf.int64)
    image = tf.searchsorted(self._first_choice, choice, side='right') - 1
    choice -= tf.gather(self._first_choice, image)
    width = tf.gather(self._widths, image)
    top, left = choice // (width - size + 1), choice % (width - size + 1)
    rows = top[:, tf.newaxis] + tf.range(size)
    columns = left[:, tf.newaxis] + tf.range(size)
    index = (
        tf.gather(self._first_pixel, image)[:, tf.newaxis, tf.newaxis]
        + (rows * width[:, tf.newaxis])[:, :, tf.newaxis]
        + columns[:, tf.newaxis, :]
    )
    return tf.gather(self._pixels, index)

  def examples(self, num: int, seed: types.Seed) -> tf.data.Dataset:
    """The crops of `draw(num, seed)`, one by one; see `Examples`."""
    choices = tf.data.Dataset.from_tensor_slices(self._choose(num, seed))
    return parallel.map_in_threads(
        choices, lambda choice: self._gather(choice[tf.newaxis])[0], 1
    ).prefetch(2)

  def batches(
      self,
      batch_size: int,
      seed: int | types.Seed,
      first_step: int = 0,
      num_parts: int = 1,
      parts: Sequence[int] = (0,),
  ) -> tf.data.Dataset:
    """See `Examples.batches`; `seed` is a Python `int`."""
    part_size, dataset = examples.parts_of_batches(
        batch_size, first_step, num_parts, parts
    )

    def draw_part(step, start):
      # All choices, as one depends on their number; pixels of the part only.
      choices = self._choose(batch_size, [seed, step])
      return self._gather(
          tf.ensure_shape(choices[start : start + part_size], [part_size])
      )

    return parallel.map_in_threads(dataset, draw_part, 1).prefetch(2)


def _starts(sizes):
  return np.concatenate([[0], np.cumsum(sizes)[:-1]])


def split_columns(
    images: Sequence[np.ndarray], fraction: float = 0.25
) -> tuple[list[np.ndarray], list[np.ndarray]]:
  """Splits each image into its left part and its right-hand `fraction`.

  Args:
    images: List of arrays `[H, W, C]`.
    fraction: Part of the width that is held out.

  Returns:
    Two lists of arrays, to train on and held out.

  Raises:
    ValueError: If a part of an image would be empty, or one has another shape.
  """
  left, right = [], []
  for i, image in enumerate(_arrays(images)):
    width = image.shape[1]
    column = round(width * (1.0 - fraction))
    if not 0 < column < width:
      raise ValueError(
          f'Argument `fraction`: {fraction} of the {width} columns of image '
          f'{i} leaves nothing on one side.'
      )
    left.append(image[:, :column])
    right.append(image[:, column:])
  return left, right


def _arrays(images):
  """Images as a list of arrays of three dimensions."""
  try:
    images = [np.asarray(image) for image in images]
  except TypeError as e:
    raise ValueError(
        'Argument `images` must be a list of arrays [H, W, C], got '
        f'{images!r}.'
    ) from e
  for i, image in enumerate(images):
    if image.ndim != 3:
      raise ValueError(
          'Argument `images` must hold arrays [H, W, C] of one C; number '
          f'{i} has shape {image.shape}.'
      )
  return images

"""Images for models that run in processes of their own, and for trainers."""

import numpy as np
from sklearn import datasets

import tfp_flowopt as fo

__all__ = ['sample_crops', 'write']

# Of a folder of photographs.
_HELD_OUT_PHOTOS = 3


def sample_crops(size, folder=None):
  """Left and right-hand parts of photographs, `ImageCrops` of a side `size`.

  Of those in a folder, or of scikit-learn's: crops to train on, and those that
  are held out.
  """
  if folder:
    images, _ = fo.training.load_images(folder, smallest_side=4 * size)
  else:
    images = datasets.load_sample_images().images
  return [
      fo.training.ImageCrops(part, size)
      for part in fo.training.split_columns(images)
  ]


def write(path, settings, context):
  """Writes images to train on and others that are held out.

  Args:
    path: .npz file to write: uint8 `train` and `held_out`, `[N, S, S, C]`.
    settings: `data` ('sample photographs', whose right-hand quarters are held
      out; 'whole sample photographs', for steps that are only timed; 'photos',
      of a folder, whose last ones are held out; or 'fashion_mnist'),
      `image_size`, `num_train`, `num_held_out`.
    context: Of `run.py`, for the folders.

  Returns:
    Number of channels.
  """
  size = settings['image_size']
  counts = settings['num_train'], settings['num_held_out']
  if settings['data'] == 'fashion_mnist':
    train, held_out = (
        _fashion_mnist(context.folder('fashion_mnist'), part, size, count)
        for part, count in zip(('train', 't10k'), counts, strict=True)
    )
  else:
    rng = np.random.default_rng(0)
    train, held_out = (
        _random_crops(photographs, size, count, rng)
        for photographs, count in zip(
            _photographs(settings, context), counts, strict=True
        )
    )
  np.savez(path, train=train, held_out=held_out)
  return train.shape[-1]


def _fashion_mnist(folder, part, size, count):
  """Images of a part, all of them by default."""
  (file,) = folder.glob(f'{part}-images*ubyte*')
  images = fo.training.ImageDataset(str(file), size, channels=1)
  count = count or len(images)
  examples = images.examples(count, [0, 0]).batch(count)
  return examples.get_single_element().numpy()


def _photographs(settings, context):
  """Photographs to train on, and those that are held out."""
  if settings['data'] == 'photos':
    photographs, _ = fo.training.load_images(
        str(context.folder('photos')), settings['image_size'], True
    )
    if len(photographs) <= _HELD_OUT_PHOTOS:
      raise ValueError(
          f'--photos: {len(photographs)} photographs are large enough; '
          f'{_HELD_OUT_PHOTOS} are to be held out.'
      )
    return photographs[:-_HELD_OUT_PHOTOS], photographs[-_HELD_OUT_PHOTOS:]
  photographs = datasets.load_sample_images().images
  if settings['data'] == 'whole sample photographs':
    return photographs, photographs
  return fo.training.split_columns(photographs)


def _random_crops(photographs, size, count, rng):
  """Random crops, from each photograph in turn, `[count, size, size, C]`."""
  crops = []
  for i in range(count):
    photograph = photographs[i % len(photographs)]
    row, column = (rng.integers(n - size + 1) for n in photograph.shape[:2])
    crops.append(photograph[row : row + size, column : column + size])
  return np.stack(crops)

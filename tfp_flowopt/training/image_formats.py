"""Which source of images a path is."""

import glob
import pathlib

from tfp_flowopt.training import image_arrays
from tfp_flowopt.training import image_folder
from tfp_flowopt.training import image_records

__all__ = ['open_images']


def open_images(path, image_key='image/encoded'):
  """Finds images, to be read by index.

  Args:
    path: A folder, of image files (PNG, JPEG, BMP, GIF, WebP) in it and in its
      subfolders, where names that begin with a dot are passed over, or of
      TFRecord files `*.tfrecord`; TFRecord files of `tf.train.Example`s, a name
      or a pattern with `*`; a `.npy` file, uint8 `[N, H, W]` or
      `[N, H, W, C]`, which is mapped, not loaded; or an idx file of the MNIST
      family, uint8 `[N, H, W]`, plain or `.gz`, which is loaded.
    image_key: Of the feature that holds an encoded image (TFRecord).

  Returns:
    An `ImageStore`: it has a length, `name(index)`, `read(index)` and
    `image(index)`.

  Raises:
    ValueError: If there is nothing to read at `path`, or an array of a wrong
      type or shape, or a file is damaged; the message names it.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    # Not those with a dot in front, which are being written.
    shards = sorted(glob.glob(f'{glob.escape(str(path))}/*.tfrecord'))
    store = (
        image_records.Records(shards, image_key)
        if shards
        else image_folder.Folder(path)
    )
  elif path.suffix == '.npy' and path.is_file():
    store = image_arrays.open_npy(path)
  elif path.is_file() and image_arrays.is_idx(path):
    store = image_arrays.open_idx(path)
  else:
    # A name may hold characters of patterns.
    names = [str(path)] if path.is_file() else glob.glob(str(path))
    files = sorted(name for name in names if pathlib.Path(name).is_file())
    if not files:
      raise ValueError(f'No folder or file of images: {path}')
    store = image_records.Records(files, image_key)
  if not len(store):
    raise ValueError(f'No images in {path}')
  return store

"""Images and labels of the MNIST family, whole."""

import pathlib

import numpy as np
import onednn  # noqa: F401

import tfp_flowopt as fo

__all__ = ['load']


def _file(folder, pattern):
  """The file, or a `ValueError`."""
  found = sorted(pathlib.Path(folder).glob(pattern))
  if len(found) != 1:
    raise ValueError(f'needs one file {pattern}, and has {len(found)}')
  return found[0]


def load(folder):
  """Images and labels of the MNIST family.

  Args:
    folder: Of `train-` and `t10k-` files of images and labels.

  Returns:
    Two pairs of images, uint8 `[N, H, W, 1]`, and labels `[N]`.

  Raises:
    SystemExit: If a file is missing or wrong.
  """
  pairs = []
  for part in ('train', 't10k'):
    try:
      images, labels = (
          fo.data.read_array(_file(folder, f'{part}-{kind}*ubyte*'))
          for kind in ('images', 'labels')
      )
      if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(
            f'images {list(images.shape)} and labels {list(labels.shape)}'
        )
    except ValueError as e:
      raise SystemExit(f'--data={folder}: {e}') from e
    pairs.append((images[..., np.newaxis], labels.astype(np.int64)))
  return pairs

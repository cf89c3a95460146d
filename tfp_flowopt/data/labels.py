"""Classes of images: by the folders they lie in, or from a file."""

import numpy as np

from tfp_flowopt.data.sources import arrays
from tfp_flowopt.data.sources import folder as folder_lib
from tfp_flowopt.data.sources import tfds
from tfp_flowopt.internal import arguments

__all__ = ['NO_CLASS', 'of_good_images', 'read_labels']

FOLDERS, TFDS = 'folders', 'tfds'
# The label of a file that lies in no folder of a class.
NO_CLASS = -1


def read_labels(labels, store, path, class_names=None):
  """The class of each image, int64 `[N]`, and the names of all classes.

  `labels` and `class_names` are those of `ImageDataset`; the images of `store`
  were found at `path`. With `'folders'`, a file in none has the label
  `NO_CLASS`, and folders not among `class_names` are added at the end.
  A `ValueError` if the labels do not fit the images or the names.
  """
  if class_names is not None:
    class_names = _names(class_names)
  kind = labels if isinstance(labels, str) else None
  if kind == FOLDERS:
    return _of_folders(store, path, class_names or [])
  if kind == TFDS:
    if not isinstance(store, tfds.Tfds):
      raise ValueError(
          "Argument `labels`: 'tfds' is for paths that begin with tfds:, got "
          f'{path}.'
      )
    values = store.labels()
    class_names = class_names or store.class_names
  else:
    values = _of_file(arguments.check_path('labels', labels))
  if len(values) != len(store):
    raise ValueError(
        f'Argument `labels`: {labels} has {len(values)} labels for '
        f'{len(store)} images.'
    )
  if values.min() < 0:
    raise ValueError(
        f'Argument `labels`: {labels} must count classes from 0, got '
        f'{values.min()}.'
    )
  if class_names is None:
    class_names = [str(i) for i in range(values.max() + 1)]
  if values.max() >= len(class_names):
    raise ValueError(
        f'Argument `class_names` has {len(class_names)} names, and {labels} '
        f'has label {values.max()}.'
    )
  return values, class_names


def of_good_images(labels, names, good, class_names=None):
  """Those of `read_labels` for folders, without classes of no good image.

  If the user gave `class_names`, these stay, and folders with images that are
  not among them are a `ValueError`. `good` are indices of images.
  """
  occurring = np.unique(labels[good])
  if class_names is not None:
    others = [names[i] for i in occurring if i >= len(class_names)]
    if others:
      raise ValueError(
          f'Argument `class_names` lacks the folders {others}, got '
          f'{list(class_names)}.'
      )
    return labels, names[: len(class_names)]
  numbers = np.full([len(names) + 1], NO_CLASS)  # the last one stays
  numbers[occurring] = np.arange(len(occurring))
  return numbers[labels], [names[i] for i in occurring]


def _names(class_names):
  names = [] if isinstance(class_names, str) else list(class_names)
  if (
      not names
      or not all(isinstance(name, str) for name in names)
      or len(set(names)) < len(names)
  ):
    raise ValueError(
        'Argument `class_names` must hold the names of the classes, each once, '
        f'got {class_names!r}.'
    )
  return names


def _of_folders(store, path, names):
  if not isinstance(store, folder_lib.Folder):
    raise ValueError(
        "Argument `labels`: 'folders' is for image files in subfolders, got "
        f'{path}.'
    )
  parts = [file.relative_to(store.path).parts for file in store.files()]
  folders = {p[0] for p in parts if len(p) > 1}
  if not folders:
    raise ValueError(
        f"Argument `labels`: 'folders' is for images in subfolders of {path}, "
        'which has none.'
    )
  names = [*names, *sorted(folders - set(names))]
  numbers = {name: i for i, name in enumerate(names)}
  labels = [numbers[p[0]] if len(p) > 1 else NO_CLASS for p in parts]
  return np.array(labels, np.int64), names


def _of_file(path):
  """Whole numbers `[N]` of a file."""
  try:
    values = arrays.read_array(path)
  except (OSError, ValueError) as e:
    raise ValueError(f'Argument `labels`: no labels in {path} ({e})') from e
  if values.ndim != 1 or values.dtype.kind not in 'iu' or not len(values):
    raise ValueError(
        f'Argument `labels`: {path} must hold whole numbers [N], got '
        f'{values.dtype} {list(values.shape)}.'
    )
  return values.astype(np.int64)

"""Images read one after the other, bad ones named or passed over."""

from tfp_flowopt.data import decoding
from tfp_flowopt.data.sources import open_source
from tfp_flowopt.internal import arguments

__all__ = ['ImageSource', 'load_images']


class ImageSource:
  """Reads uint8 images `[H, W, C]` one at a time, as often as asked.

  Attributes:
    bad: List of strings, a line for each image that the latest pass skipped.
  """

  def __init__(
      self, path, smallest_side=1, skip_bad=False, image_key='image/encoded'
  ):
    """Finds the images, and decodes none.

    Args:
      path: Of the images, see `open_images`.
      smallest_side: Images with a smaller height or width are bad.
      skip_bad: Whether to pass over what is no image, or too small, instead of
        stopping.
      image_key: Of the feature that holds an encoded image (TFRecord).

    Raises:
      ValueError: As `open_images`, or if an argument is none of those above.
    """
    self._smallest_side = arguments.check_int('smallest_side', smallest_side)
    self._skip_bad = arguments.check_choice('skip_bad', skip_bad, (False, True))
    self._store = open_source.open_images(path, image_key)
    self._store.verify()
    self._path = path
    self.bad = []

  def __len__(self):
    """Number of files or records, bad ones included."""
    return len(self._store)

  def __iter__(self):
    """Reads the images, uint8 arrays `[H, W, C]`.

    Raises:
      ValueError: Unless `skip_bad`, at the first bad image, which it names; if
        all were bad.
    """
    self.bad = []
    for i in range(len(self._store)):
      try:
        image = self._store.image(i)
        problem = decoding.too_small(image.shape, self._smallest_side)
      except decoding.ERRORS as e:
        problem = decoding.describe(e)
      if problem is None:
        yield image
        continue
      self.bad.append(f'{self._store.name(i)}: {problem}')
      if not self._skip_bad:
        raise ValueError(f'Bad image {self.bad[-1]}')
    if len(self.bad) == len(self._store):
      raise ValueError(f'No images in {self._path}')


def load_images(folder, smallest_side=1, skip_bad=False):
  """Reads all images of a folder and its subfolders, in order of their names.

  Args:
    folder: Its path.
    smallest_side: As `ImageSource` takes it.
    skip_bad: Likewise.

  Returns:
    images: List of uint8 arrays `[H, W, 3]`.
    bad: List of strings, a line for each file passed over.

  Raises:
    ValueError: If the folder does not exist or holds no image, or, unless
      `skip_bad`, if it holds a bad file; the message names it.
  """
  if not arguments.check_path('folder', folder).is_dir():
    raise ValueError(f'No folder of images: {folder}')
  source = ImageSource(folder, smallest_side, skip_bad)
  return list(source), source.bad

"""Writes images to TFRecord files, which are read faster than many files.

  python examples/convert_images.py --data=my_images --output=/tmp/records \
      --image_size=256

Start an interrupted conversion again, and it resumes where it stopped.
"""

import os

from absl import flags
import onednn  # noqa: F401
import programs

import tfp_flowopt as fo

_DATA = flags.DEFINE_string(
    'data',
    None,
    'A folder of images (PNG, JPEG, ...), a .npy file of uint8 images, an idx '
    'file (MNIST), or TFRecord files (a name or a pattern with *).',
    required=True,
)
_OUTPUT = flags.DEFINE_string(
    'output', None, 'Folder of the TFRecord files.', required=True
)
_IMAGE_SIZE = flags.DEFINE_integer(
    'image_size',
    0,
    'Side of the images: the largest central square is resized to it. 0 keeps '
    'the images as they are.',
    lower_bound=0,
)
_NUM_SHARDS = flags.DEFINE_integer(
    'num_shards', 16, 'Number of files.', lower_bound=1, upper_bound=99999
)
_NUM_WORKERS = flags.DEFINE_integer(
    'num_workers', os.cpu_count() or 1, 'Number of threads.', lower_bound=1
)
_FORMAT = flags.DEFINE_enum(
    'format', 'png', ['png', 'jpeg'], 'Encoding of the images.'
)
_JPEG_QUALITY = flags.DEFINE_integer(
    'jpeg_quality',
    95,
    'JPEG quality, for --format=jpeg.',
    lower_bound=1,
    upper_bound=100,
)
_BAD_IMAGES = programs.define_bad_images()


def main(argv):
  """Converts and counts."""
  del argv
  try:
    written, left_out, bad = fo.training.convert_images(
        _DATA.value,
        _OUTPUT.value,
        _IMAGE_SIZE.value,
        _NUM_SHARDS.value,
        _FORMAT.value,
        _JPEG_QUALITY.value,
        _BAD_IMAGES.value,
        _NUM_WORKERS.value,
    )
  except ValueError as e:
    raise SystemExit(programs.explained(e)) from e
  if bad:
    print(f'{len(bad)} bad images:', *bad, sep='\n  ')
  print(f'{written} images in {_OUTPUT.value}, {left_out} left out.')


if __name__ == '__main__':
  programs.run(main)

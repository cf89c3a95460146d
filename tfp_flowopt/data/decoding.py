"""From the bytes of an image file to pixels, and what to say if it fails.

TensorFlow reads some files of its formats wrongly without a word, and turns
none upright. What it needs help with is found in their headers.
"""

import re
import struct

import tensorflow as tf

from tfp_flowopt.data import orientation as orientation_lib

__all__ = [
    'ERRORS',
    'bad_images',
    'decode',
    'decode_checked',
    'describe',
    'too_small',
]

# Bad images that an error names.
_NAMED = 5
# What reading or decoding a bad image raises.
ERRORS = (OSError, ValueError, tf.errors.OpError)
_PNG, _JPEG, _GIF = b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff', b'GIF8'
# JPEG: markers of a frame's header, of Adobe's and EXIF's data; what stands
# alone; and where the header ends.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ADOBE, _EXIF = 0xEE, 0xE1
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_END_OF_HEADER = (0xD9, 0xDA)
# BMP: the size of the oldest header that TensorFlow reads, and the masks of
# blue, green, red and transparency in this order.
_BMP_HEADER, _BMP_MASKS = 40, (0xFF0000, 0xFF00, 0xFF)
_BMP_PLAIN, _BMP_WITH_MASKS = 0, (3, 6)
# WebP: among the flags of its extended header.
_WEBP_ANIMATED = 0x02


def decode(encoded):
  """Decodes PNG, JPEG, BMP, WebP or the first picture of a GIF.

  To uint8 `[H, W, 3]`, without transparency, some files wrongly, none upright.
  """
  # Three channels of a transparent WebP are refused; to cut the fourth off
  # takes longer than not to decode it.
  return tf.cond(
      tf.strings.substr(encoded, 0, 4) == b'RIFF',
      lambda: _decode_as_stored(encoded)[..., :3],
      lambda: tf.io.decode_image(encoded, 3, expand_animations=False),
  )


def _decode_as_stored(encoded):
  """With 1 to 4 channels."""
  image = tf.io.decode_image(encoded, expand_animations=False)
  return tf.ensure_shape(image, [None, None, None])


def decode_checked(encoded, keep_grey=False):
  """Decodes bytes, and refuses what `decode` decodes wrongly.

  To uint8 `[H, W, C]`, as stored (of what is grey, with `keep_grey`, `C = 1`),
  and the orientation that `orientation.turn` takes.
  """
  orientation = _orientation(encoded)
  if keep_grey:
    image = _decode_as_stored(encoded)
    # Two and four channels: the last one is transparency.
    image = image[..., : 1 if image.shape[-1] < 3 else 3]
  else:
    image = decode(encoded)
  if encoded.startswith(_GIF) and image.shape[1::-1] != _gif_sides(encoded):
    raise ValueError('a GIF with frames that lie outside of it')
  return image, orientation


def describe(error):
  """The first line of one of `ERRORS`, without what is about TensorFlow."""
  problem = str(getattr(error, 'message', error)).split('\n', maxsplit=1)[0]
  return re.sub(r'\{\{.*?\}\} | \[Op:.*\]', '', problem)


def too_small(shape, smallest_side):
  """Says that height or width, first in `shape`, are too small, or `None`."""
  if min(shape[:2]) >= smallest_side:
    return None
  return (
      f'{shape[1]} x {shape[0]} pixels, need at least {smallest_side} x '
      f'{smallest_side}'
  )


def bad_images(bad, total):
  """The `ValueError` of `bad` images of `total`, a line for each, that stop."""
  lines = [f'{len(bad)} bad images of {total}:', *bad[:_NAMED]]
  if len(bad) > _NAMED:
    lines.append(f'and {len(bad) - _NAMED} more')
  return ValueError('\n  '.join(lines))


def _orientation(encoded):
  """That of an image; an error if TensorFlow would read other pixels."""
  for signature, read in (
      (_PNG, _of_png),
      (_JPEG, _of_jpeg),
      (_GIF, _of_gif),
      (b'BM', _of_bmp),
      (b'RIFF', _of_webp),
  ):
    if encoded.startswith(signature):
      try:
        return read(encoded)
      except (IndexError, struct.error) as e:
        raise ValueError('its header is truncated') from e
  raise ValueError('no PNG, JPEG, BMP, GIF or WebP')


def _of_png(encoded):
  start = len(_PNG)
  while start + 8 <= len(encoded):
    length, name = struct.unpack_from('>I4s', encoded, start)
    if name == b'eXIf':
      exif = encoded[start + 8 : start + 8 + length]
      return orientation_lib.of_exif(exif)
    start += 12 + length
  return orientation_lib.UPRIGHT


def _of_webp(encoded):
  """TensorFlow writes the pictures of an animation beyond its memory."""
  start = 12
  name, _, flags = struct.unpack_from('<4sIB', encoded, start)
  if name == b'VP8X' and flags & _WEBP_ANIMATED:
    raise ValueError('an animated WebP: convert it to GIF, or a frame to PNG')
  while start + 8 <= len(encoded):
    name, length = struct.unpack_from('<4sI', encoded, start)
    if name == b'EXIF':
      exif = encoded[start + 8 : start + 8 + length]
      return orientation_lib.of_exif(exif)
    start += 8 + length + length % 2
  return orientation_lib.UPRIGHT


def _of_jpeg(encoded):
  orientation, components, adobe = None, 0, False
  for marker, data in _jpeg_segments(encoded):
    if marker in _FRAMES:
      components = data[5]
    elif marker == _ADOBE:
      adobe = adobe or data.startswith(b'Adobe')
    elif marker == _EXIF and data.startswith(b'Exif') and orientation is None:
      orientation = orientation_lib.of_exif(data)
  if components == 4 and not adobe:
    raise ValueError(
        'a CMYK JPEG that does not state its polarity (no '
        'Adobe marker): convert it to RGB'
    )
  return orientation or orientation_lib.UPRIGHT


def _jpeg_segments(encoded):
  """Markers and data up to the first scan."""
  start = 2
  while start + 4 <= len(encoded) and encoded[start] == 0xFF:
    marker = encoded[start + 1]
    if marker in _END_OF_HEADER:
      return
    if marker == 0xFF:  # fills up
      start += 1
    elif marker in _ALONE:
      start += 2
    else:
      (length,) = struct.unpack_from('>H', encoded, start + 2)
      yield marker, encoded[start + 4 : start + 2 + length]
      start += 2 + length


def _gif_sides(encoded):
  """Width and height."""
  return struct.unpack_from('<2H', encoded, 6)


def _of_gif(encoded):
  """TensorFlow makes an image of the first picture, and not of the screen."""
  width, height = _gif_sides(encoded)
  # A table of colours, if there is one.
  start = 13 + (3 << (encoded[10] % 8 + 1) if encoded[10] & 0x80 else 0)
  while encoded[start] == 0x21:  # extensions, in blocks with their lengths
    start += 2
    while encoded[start]:
      start += 1 + encoded[start]
    start += 1
  if encoded[start] != 0x2C:
    raise ValueError('a GIF without a frame')
  place = struct.unpack_from('<4H', encoded, start + 1)
  if place != (0, 0, width, height):
    raise ValueError(
        f'a GIF whose first frame does not cover its {width} x {height} '
        'pixels: convert it to PNG'
    )
  return orientation_lib.UPRIGHT


def _of_bmp(encoded):
  """TensorFlow looks at sizes and bits alone."""
  first_pixel, header = struct.unpack_from('<2I', encoded, 10)
  if header < _BMP_HEADER:
    raise ValueError(
        f'a BMP with a header of {header} bytes: convert it to PNG'
    )
  bits, compression = struct.unpack_from('<HI', encoded, 28)
  masks = compression in _BMP_WITH_MASKS and bits == 32
  if compression != _BMP_PLAIN and not masks:
    raise ValueError('a compressed BMP: convert it to PNG')
  if masks and struct.unpack_from('<3I', encoded, 54) != _BMP_MASKS:
    raise ValueError('a BMP with colours in another order: convert it to PNG')
  if bits not in (8, 24, 32):
    raise ValueError(f'a BMP of {bits} bits a pixel: convert it to PNG')
  if bits == 8:
    palette = encoded[14 + header : first_pixel]
    greys = bytes(range(len(palette) // 4))
    if not palette or any(palette[i::4] != greys for i in range(3)):
      raise ValueError('a BMP with a palette: convert it to PNG')
  return orientation_lib.UPRIGHT

"""Files of kinds that neither Pillow nor NumPy writes."""

import io
import struct
import zlib

import numpy as np

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First column, first row and distances of the pixels of each pass (Adam7).
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def png(samples, bits, colour, interlaced=False, chunks=()):
  """A PNG.

  Args:
    samples: Whole numbers `[H, W, C]`, below `2**bits`.
    bits: Of a sample.
    colour: PNG's number of the type: 0 grey, 2 colour, 3 palette, 4 and 6
      grey and colour with transparency.
    interlaced: Whether it is sent in seven passes.
    chunks: Pairs of a name and data, before the pixels.

  Returns:
    Bytes.
  """
  height, width, channels = samples.shape
  assert channels == _CHANNELS[colour]
  passes = _PASSES if interlaced else ((0, 0, 1, 1),)
  data = b''.join(
      b'\0' + _packed(row, bits)
      for column, first, across, down in passes
      for row in samples[first::down, column::across]
      if row.size
  )
  header = struct.pack(
      '>2I5B', width, height, bits, colour, 0, 0, interlaced
  )
  return b'\x89PNG\r\n\x1a\n' + b''.join(
      struct.pack('>I', len(content))
      + name
      + content
      + struct.pack('>I', zlib.crc32(name + content))
      for name, content in (
          (b'IHDR', header),
          *chunks,
          (b'IDAT', zlib.compress(data)),
          (b'IEND', b''),
      )
  )


def _packed(row, bits):
  if bits == 16:
    return row.astype('>u2').tobytes()
  places = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)
  return np.packbits(places[:, 8 - bits :]).tobytes()


def bmp(rows, width, height, bits, palette=b'', compression=0, masks=()):
  """A BMP.

  Args:
    rows: Bytes of the pixels.
    width: In pixels.
    height: In pixels, negative if the first row is the uppermost.
    bits: Of a pixel.
    palette: Bytes, four for each colour.
    compression: BMP's number of the method.
    masks: Whole numbers, the bits of each colour.

  Returns:
    Bytes.
  """
  header = struct.pack(
      '<I2i2H6I',
      40, width, height, 1, bits, compression, len(rows), 0, 0, 0, 0,
  ) + struct.pack(f'<{len(masks)}I', *masks)
  start = 14 + len(header) + len(palette)
  return (
      b'BM'
      + struct.pack('<I2HI', start + len(rows), 0, 0, start)
      + header
      + palette
      + rows
  )


def npy(shape, data=b'', dtype='|u1'):
  """A `.npy` file with any shape in its header.

  Args:
    shape: Tuple of whole numbers.
    data: Bytes behind the header.
    dtype: As NumPy writes it.

  Returns:
    Bytes.
  """
  file = io.BytesIO()
  np.lib.format.write_array_header_1_0(
      file, {'descr': dtype, 'fortran_order': False, 'shape': shape}
  )
  return file.getvalue() + data

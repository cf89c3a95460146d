"""Image files of all kinds: the pixels that Pillow finds, or bad by name."""

import io
import struct

import numpy as np
import pytest
from support import encoders
from support import images
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.data import decoding

Image = pytest.importorskip('PIL.Image')
ImageOps = pytest.importorskip('PIL.ImageOps')

training = fo.training

# Large enough for Pillow to interlace a GIF.
SIZE = 16
# Of JPEG, which decoders round differently; what is turned or inverted is off
# by 90 and more.
JPEG_ERROR = 20


def saved(image, form, **options):
  file = io.BytesIO()
  image.save(file, form, **options)
  return file.getvalue()


def shown(encoded):
  """What a viewer shows, by Pillow."""
  image = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded)))
  return np.array(image.convert('RGB'))


def on_black(encoded):
  """What a viewer with a black background shows."""
  image = Image.open(io.BytesIO(encoded)).convert('RGBA')
  black = Image.new('RGBA', image.size, (0, 0, 0, 255))
  black.alpha_composite(image)
  return np.array(black.convert('RGB'))


def exif(orientation):
  block = Image.Exif()
  block[0x0112] = orientation
  return block


def pngs():
  """Names and files, and what is in those that Pillow reads wrongly."""
  rng = np.random.default_rng(0)
  palette = rng.integers(0, 256, [256, 3], dtype=np.uint8)
  for colour, channels, depths in (
      (0, 1, (1, 2, 4, 8, 16)),
      (2, 3, (8, 16)),
      (3, 1, (1, 2, 4, 8)),
      (4, 2, (8, 16)),
      (6, 4, (8, 16)),
  ):
    for bits in depths:
      samples = rng.integers(0, 2**bits, [SIZE, SIZE, channels])
      chunks = [(b'PLTE', palette[: 2**bits].tobytes())] * (colour == 3)
      for interlaced in (False, True):
        name = f'png colour {colour} of {bits} bits' + ' in passes' * interlaced
        # Pillow cuts grey of 16 bits at 255.
        expected = samples >> 8 if (colour, bits) == (0, 16) else None
        yield (
            name,
            encoders.png(samples, bits, colour, interlaced, chunks),
            expected,
        )
  samples = rng.integers(0, 4, [SIZE, SIZE, 1])
  yield (
      'png palette with transparency',
      encoders.png(samples, 8, 3, False, [
          (b'PLTE', palette.tobytes()), (b'tRNS', b'\0\x40')
      ]),
      None,
  )


def bmps():
  rng = np.random.default_rng(1)
  rows = rng.integers(0, 256, SIZE * SIZE * 4, dtype=np.uint8).tobytes()

  def bmp(bits, **options):
    length = SIZE * SIZE * bits // 8
    return encoders.bmp(rows[:length], SIZE, SIZE, bits, **options)

  greys = np.repeat(np.arange(256, dtype=np.uint8), 4).tobytes()
  good = {
      '24 bits': bmp(24),
      '24 bits from the top': encoders.bmp(rows[:768], SIZE, -SIZE, 24),
      '32 bits': bmp(32),
      '32 bits with masks': bmp(
          32, compression=3, masks=(0xFF0000, 0xFF00, 0xFF)
      ),
      'greys': bmp(8, palette=greys),
  }
  bad = {
      'greys backwards': bmp(8, palette=greys[::-1]),
      'palette': bmp(8, palette=rows),
      'no palette': bmp(8),
      'short palette': bmp(8, palette=rows[:64]),
      '1 bit': bmp(1, palette=rows[:8]),
      '4 bits': bmp(4, palette=rows[:64]),
      '16 bits': bmp(16),
      '16 bits with masks': bmp(16, compression=3, masks=(0xF800, 0x7E0, 0x1F)),
      'other masks': bmp(32, compression=3, masks=(0xFF, 0xFF00, 0xFF0000)),
      'run lengths': bmp(8, palette=greys, compression=1),
      'old header': (
          bmp(24)[:14] + struct.pack('<I4H', 12, SIZE, SIZE, 1, 24) + rows[:768]
      ),
  }
  return good, bad


def gifs(image):
  """GIFs of which some pixels belong to no picture, or not to the image."""
  wide = image.crop([0, 0, SIZE + 1, SIZE])
  file, wide_file = saved(image, 'GIF'), saved(wide, 'GIF')
  first_picture = 13 + 3 * 256
  both = file[:-1] + wide_file[wide_file.index(b',', first_picture) :]

  def on_wide_screen(encoded):
    return encoded[:6] + struct.pack('<H', SIZE + 1) + encoded[8:]

  return {
      'gif in part': on_wide_screen(file),
      'gif in part, then whole': on_wide_screen(both),
      'gif of pictures of two sizes': both,
  }


def kinds():
  """Files by name: bytes, pixels, and whether a decoder may round."""
  # Smooth: what JPEG rounds is then small beside what could be mixed up.
  small = Image.fromarray(images.smooth_noise(0, 8, 8))
  rgb = small.resize([SIZE, SIZE], Image.Resampling.BICUBIC)
  noise = np.array(rgb)
  other = Image.fromarray(255 - noise)
  rgba = rgb.copy()
  rgba.putalpha(Image.fromarray(noise[..., 0]))
  cmyk = saved(rgb.convert('CMYK'), 'JPEG', quality=95)
  adobe = cmyk.index(b'\xff\xee')
  ycck = bytearray(cmyk)
  ycck[adobe + 15] = 2  # what Adobe says of the inks
  modes = {
      'rgb': rgb,
      'grey': rgb.convert('L'),
      'palette': rgb.quantize(200),
      'two colours': rgb.convert('1'),
  }
  seen = modes['palette'].getpixel([3, 3])
  gif = saved(modes['palette'], 'GIF', transparency=seen)
  animation = {'save_all': True, 'append_images': [other]}
  lossless = {'lossless': True, 'exact': True}
  good = {name: (file, pixels) for name, file, pixels in pngs()}
  for name, image in modes.items():
    good[f'png {name}'] = saved(image, 'PNG'), None
    good[f'gif {name}'] = saved(image, 'GIF'), None
    good[f'webp {name}'] = saved(image, 'WEBP', **lossless), None
  good |= {
      'png animated': (saved(rgb, 'PNG', **animation), None),
      'gif animated': (saved(rgb, 'GIF', **animation), None),
      'gif transparent': (gif, on_black(gif)),
      'webp transparent': (saved(rgba, 'WEBP', **lossless), None),
      'jpeg': (saved(rgb, 'JPEG', quality=95), None),
      'jpeg half the colours': (saved(rgb, 'JPEG', subsampling=1), None),
      'jpeg all colours': (saved(rgb, 'JPEG', subsampling=0), None),
      'jpeg progressive': (saved(rgb, 'JPEG', progressive=True), None),
      'jpeg grey': (saved(modes['grey'], 'JPEG'), None),
      'jpeg rgb': (saved(rgb, 'JPEG', keep_rgb=True), None),
      'jpeg cmyk': (cmyk, None),
      'jpeg ycck': (bytes(ycck), None),
  }
  for i in range(1, 9):
    for form in ('JPEG', 'PNG', 'WEBP'):
      options = lossless if form == 'WEBP' else {}
      good[f'{form.lower()} orientation {i}'] = (
          saved(rgb, form, exif=exif(i), **options), None
      )
  good_bmps, bad_bmps = bmps()
  good |= {f'bmp {name}': (file, None) for name, file in good_bmps.items()}
  bad = {f'bmp {name}': file for name, file in bad_bmps.items()}
  bad |= {
      **gifs(modes['palette']),
      'jpeg inks unknown': cmyk[:adobe] + cmyk[adobe + 16 :],
      'tiff': saved(rgb, 'TIFF'),
      'ppm': saved(rgb, 'PPM'),
      'ico': saved(rgb, 'ICO'),
      'tga': saved(rgb, 'TGA'),
  }
  for name, (file, _) in list(good.items()):
    # All formats, cut short behind their headers and in their pixels.
    if name in ('png rgb', 'gif rgb', 'webp rgb', 'jpeg', 'bmp 24 bits'):
      bad[f'{name}, its first bytes'] = file[:12]
      bad[f'{name}, half of it'] = file[: len(file) // 2]
  return good, bad


GOOD, BAD = kinds()
if not hasattr(tf.io, 'decode_webp'):
  GOOD = {k: v for k, v in GOOD.items() if not k.startswith('webp')}


@pytest.fixture(scope='module', name='read')
def _read(tmp_path_factory):
  """All files in one folder: what training and what other users see of each."""
  path = tmp_path_factory.mktemp('kinds')
  folder = path / 'folder'
  folder.mkdir()
  names = sorted([*GOOD, *BAD])
  for i, name in enumerate(names):
    file = BAD[name] if name in BAD else GOOD[name][0]
    (folder / f'{i:03}').write_bytes(file)
  np.save(path / 'numbers.npy', np.arange(len(names)))
  data = training.ImageDataset(
      folder, SIZE, bad_images='skip', labels=path / 'numbers.npy'
  )
  trained = {
      names[number]: image.numpy()
      for image, number in data.examples(len(data), [0, 0])
  }
  bad = {names[int(line.split(':')[0][-3:])]: line for line in data.bad}
  store = training.open_images(folder)
  seen = {name: store.image(names.index(name)) for name in trained}
  return trained, seen, bad


@pytest.mark.filterwarnings('ignore:Palette images')  # Pillow's
@pytest.mark.parametrize('name', GOOD)
def test_the_pixels_are_those_of_pillow(name, read):
  trained, seen, bad = read
  assert name not in bad
  file, expected = GOOD[name]
  expected = shown(file) if expected is None else expected
  expected = np.broadcast_to(expected, [SIZE, SIZE, 3])
  np.testing.assert_allclose(
      trained[name].astype(int),
      expected,
      rtol=0,
      atol=JPEG_ERROR if name.startswith('jpeg') else 0,
  )
  np.testing.assert_array_equal(seen[name], trained[name])


@pytest.mark.parametrize('name', BAD)
def test_what_would_be_read_wrongly_is_bad(name, read):
  trained, _, bad = read
  assert name not in trained
  assert len(bad[name].split(': ', 1)[1]) > 10




def test_an_animated_webp_never_comes_to_tensorflow(monkeypatch):
  """It writes beyond its memory."""

  def decode(*_, **__):
    raise AssertionError

  file = saved(
      Image.new('RGB', (4, 4)),
      'WEBP',
      save_all=True,
      append_images=[Image.new('RGB', (4, 4), 'red')],
  )
  monkeypatch.setattr(tf.io, 'decode_image', decode)
  for keep_grey in (False, True):
    with pytest.raises(ValueError, match='an animated WebP'):
      decoding.decode_upright(file, keep_grey)

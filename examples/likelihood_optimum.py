"""The best that linear flows can do on your images, before any training.

Reads tiles or crops of images, accumulates their second moments in constant
memory, and prints the closed-form optimum of the likelihood for each structure
of linear flow: pointwise after blocks of several sizes, one matrix for each
image, any convolution (circulant), any matrix (dense). Draws the spectra, and
what a bound on the Lipschitz constant costs.

  python examples/likelihood_optimum.py --data=my_images --tile_size=256 \
      --output=/tmp/optimum

Without `--data`, the two photographs that scikit-learn ships.
"""

import itertools
import json
import math
import pathlib

from absl import flags
import numpy as np
import onednn  # noqa: F401
import photographs
import programs
import tensorflow as tf

import tfp_flowopt as fo

_DATA = flags.DEFINE_string(
    'data',
    None,
    'A folder of images (PNG, JPEG, ...), a .npy file of uint8 images, or '
    'TFRecord files (a name or a pattern with *).',
)
_IMAGE_KEY = flags.DEFINE_string(
    'image_key', 'image/encoded', 'Feature of an encoded image in a TFRecord.'
)
_BAD_IMAGES = programs.define_bad_images()
_TILE_SIZE = flags.DEFINE_integer(
    'tile_size', 64, 'Side of the squares, in pixels.', lower_bound=1
)
_CROP = flags.DEFINE_enum(
    'crop',
    'tile',
    ['tile', 'random', 'center'],
    'Squares side by side, --crops random ones, or one in the centre.',
)
_CROPS = flags.DEFINE_integer(
    'crops', 100, 'Random squares per image.', lower_bound=1
)
_BLOCK_SIZES = flags.DEFINE_list(
    'block_sizes', ['1', '2', '4', '8', '16'], 'Sides of pointwise blocks.'
)
_MAX_DENSE = flags.DEFINE_integer(
    'max_dense', 3072, 'Largest dimension of a dense matrix.', lower_bound=0
)
_BITS = flags.DEFINE_integer(
    'bits', 8, 'Bits to quantise to.', lower_bound=1, upper_bound=8
)
_STANDARD_ERRORS = flags.DEFINE_bool(
    'standard_errors', True, 'Read all images twice, for standard errors.'
)
_OUTPUT = flags.DEFINE_string(
    'output', None, 'Folder for optimum.json, spectrum.png and price.png.'
)
_SEED = flags.DEFINE_integer(
    'seed', 0, 'Seed of random squares.', lower_bound=0
)

flags.register_validator(
    _BLOCK_SIZES,
    lambda sizes: all(s.isdecimal() and int(s) > 0 for s in sizes),
    message='--block_sizes must be positive integers',
)

# Pixels that are worked on at once.
_BATCH = 2**20


def _source():
  if _DATA.value is not None:
    return fo.training.ImageSource(
        _DATA.value,
        _TILE_SIZE.value,
        _BAD_IMAGES.value == 'skip',
        _IMAGE_KEY.value,
    )
  return [
      image
      for image in photographs.load_photographs()
      if min(image.shape[:2]) >= _TILE_SIZE.value
  ]


def _tiles(source, title):
  """Yields tiles, each with the number of its image; shows progress."""
  print(title)
  bar = fo.training.Progress(len(source), 1)
  count, channels = 0, None
  for i, image in enumerate(source):
    channels = channels or image.shape[-1]
    if channels != image.shape[-1]:
      raise ValueError(
          'All images must have the same number of channels, got '
          f'{image.shape[-1]} after {channels}.'
      )
    tiles = fo.training.image_tiles(
        image,
        _TILE_SIZE.value,
        _CROP.value,
        _CROPS.value,
        [_SEED.value, i],
    )
    count += len(tiles)
    for tile in tiles:
      yield tile, i
    bar.update(i + 1, tiles=count)
  bar.close()


def _batches(source, title):
  """Yields batches of scaled tiles, and the numbers of their images."""
  tiles = _tiles(source, title)
  while batch := list(itertools.islice(tiles, _tiles_in_batch())):
    images, owners = zip(*batch, strict=True)
    x = tf.constant(np.stack(images))
    yield fo.flows.dequantize(x, _BITS.value), owners


def _tiles_in_batch():
  return max(1, _BATCH // _TILE_SIZE.value**2)


def _make_streams(event_shape, noise_variance):
  """An accumulator for each structure, by name."""
  size = event_shape[0]
  sizes = [int(k) for k in _BLOCK_SIZES.value]
  if left_out := [k for k in sizes if size % k]:
    print(f'Left out of --block_sizes: {left_out} do not divide {size}.')
  streams = {}
  for k in sorted({*sizes} - {*left_out}):
    stream = fo.AutoCorrelation('pointwise', event_shape, block_size=k)
    streams[f'pointwise {k}x{k}'] = stream
  streams['individual 1x1'] = fo.AutoCorrelation(
      'individual', event_shape, noise_variance=noise_variance
  )
  streams['circulant'] = fo.AutoCorrelation('circulant', event_shape)
  if math.prod(event_shape) <= _MAX_DENSE.value:
    streams['dense'] = fo.AutoCorrelation('dense', [math.prod(event_shape)])
  return streams


def _events(name, x):
  return tf.reshape(x, [len(x), -1]) if name == 'dense' else x


def _accumulate(source, noise_variance):
  streams = None
  for x, _ in _batches(source, 'Second moments:'):
    if streams is None:
      streams = _make_streams(x.shape[1:].as_list(), noise_variance)
    for name, stream in streams.items():
      stream.update(_events(name, x))
  if streams is None:
    raise SystemExit(f'No image is as large as --tile_size={_TILE_SIZE.value}.')
  return streams


def _options(name, stream, noise_variance):
  """Arguments of `optimum`; `None` if there are too few tiles."""
  count, channels = int(stream.count), stream.event_shape[-1]
  if name == 'dense' and count <= channels:
    return None
  if name.startswith('individual'):
    return {}
  options = {'noise_variance': noise_variance}
  if name == 'circulant' and count <= channels:
    # Few images: neighbouring frequencies share a matrix.
    options['frequency_pool'] = 2 + int(channels / count)
  return options


def _evaluate(source, streams, options, noise_variance):
  """Standard errors of the optima, images being independent, tiles not."""
  flows = {
      name: stream.linear_flow(**options[name])
      for name, stream in streams.items()
      if not name.startswith('individual')
  }
  values, groups = {name: [] for name in streams}, []
  for x, group in _batches(source, 'Standard errors:'):
    groups.extend(group)
    for name in streams:
      if name in flows:
        values[name].extend(flows[name].log_prob(_events(name, x)).numpy())
        continue
      best = fo.likelihood_optimum(
          x, 'individual', noise_variance=noise_variance
      )
      values[name].extend(best.log_likelihood.numpy())
  return {name: _clustered_error(v, groups) for name, v in values.items()}


def _clustered_error(values, groups):
  deviations = np.array(values, np.float64) - np.mean(values)
  sums = np.bincount(groups, weights=deviations)
  if np.count_nonzero(np.bincount(groups)) < 2:
    # One image: its tiles are all there is.
    return float(fo.optimum.standard_error(deviations))
  return float(np.sqrt(np.sum(sums**2)) / len(values))


def _sampling_bias(name, stream, pool):
  """About how much better the optimum looks than it is, nats/dimension."""
  size, channels = stream.event_shape[0], stream.event_shape[-1]
  count = float(stream.count)
  if name == 'circulant' and pool:
    # The frequencies of a cell of ordinary size, and their mirror images.
    return channels / (4.0 * count * min(4 * pool**2, size**2))
  if name in ('dense', 'circulant'):
    return channels / (4.0 * count)
  k = int(name.split('x')[-1])
  images = 1.0 if name.startswith('individual') else count
  vectors, dimension = images * (size // k) ** 2, k**2 * channels
  if vectors <= dimension:
    return math.inf  # the noise floor decides alone
  return dimension / (4.0 * vectors)


def main(argv):
  """Accumulates, prints and draws."""
  del argv
  noise_variance = 4.0 ** -_BITS.value / 12.0
  try:
    source = _source()
    streams = _accumulate(source, noise_variance)
  except ValueError as e:
    raise SystemExit(programs.explained(e)) from e
  bad = getattr(source, 'bad', [])
  if bad:
    print(f'{len(bad)} bad images skipped:', *bad, sep='\n  ')
  options = {
      name: _options(name, stream, noise_variance)
      for name, stream in streams.items()
  }
  streams = {n: s for n, s in streams.items() if options[n] is not None}
  with fo.training.under_way('Looking for the optima'):
    optima = {n: s.optimum(**options[n]) for n, s in streams.items()}
  errors = (
      _evaluate(source, streams, options, noise_variance)
      if _STANDARD_ERRORS.value
      else {}
  )
  shape = streams['circulant'].event_shape
  size = math.prod(shape)

  def in_bits(nats):
    return float(fo.bits_per_dim(nats, size, _BITS.value))

  results, few = {}, []
  print(
      f'\n{int(streams["circulant"].count)} tiles of {shape[0]}x{shape[1]}x'
      f'{shape[2]} from {len(source) - len(bad)} images, {_BITS.value} bits. '
      'The best linear flows:\n\n'
      '  structure          bits/dim  +- error   log|det| (nats/dim)'
  )
  for name, best in optima.items():
    bits = in_bits(best.log_likelihood)
    error = errors.get(name, math.nan)
    pool = options[name].get('frequency_pool')
    bias = _sampling_bias(name, streams[name], pool)
    results[name] = {
        'log_likelihood': float(best.log_likelihood),
        'log_det': float(best.log_det),
        'bits_per_dim': bits,
        'standard_error': None if math.isnan(error) else error,
        'sampling_bias': size * bias if math.isfinite(bias) else None,
        'frequency_pool': pool,
    }
    label = f'{name} (cells of {pool})' if pool else name
    error = error / (size * math.log(2.0))
    print(
        f'  {label:<18} {bits:8.3f}  {error:8.3f}   '
        f'{float(best.log_det) / size:8.3f}'
    )
    bias /= math.log(2.0)
    if math.isinf(bias):
      few.append(f'{name} (fewer vectors than dimensions: any amount)')
    elif bias > 0.01:
      few.append(f'{name} {bias:.2f}')
  if 'dense' not in results:
    why = (
        f'{size} dimensions, --max_dense={_MAX_DENSE.value}'
        if size > _MAX_DENSE.value
        else f'it needs more than {size} tiles'
    )
    print(f'\nNo dense matrix: {why}.')
  if few:
    print(
        '\nFew data. In bits/dim, these look better than they are by about '
        + ', '.join(few)
        + ',\nor more where the tiles of an image resemble each other.'
    )
  if _OUTPUT.value:
    with fo.training.under_way('Writing pictures'):
      _write(pathlib.Path(_OUTPUT.value), results, optima, size, in_bits)


def _write(folder, results, optima, size, in_bits):
  """Writes the JSON file and the pictures."""
  folder.mkdir(parents=True, exist_ok=True)
  shared = {n: o for n, o in optima.items() if not n.startswith('individual')}
  spectra = {n: o.eigenvalues.numpy() for n, o in shared.items()}
  floor = 4.0 ** -_BITS.value / 12.0
  bounds = np.geomspace(1.0, floor**-0.5, 40)
  prices = {}
  for name, values in spectra.items():
    repeats = size / len(values)
    prices[name] = [
        in_bits(
            repeats
            * fo.optimum.spectral_optimum(
                tf.constant(values), lipschitz=(0.0, m)
            )[0]
        )
        for m in bounds
    ]
  (folder / 'optimum.json').write_text(
      json.dumps(
          {
              'tile_size': _TILE_SIZE.value,
              'bits': _BITS.value,
              'structures': results,
              'price': {'bounds': bounds.tolist(), 'bits_per_dim': prices},
          },
          indent=2,
      )
  )
  try:
    fo.diagnostics.plot_spectra(folder / 'spectrum.png', spectra, floor)
    fo.diagnostics.plot_price(folder / 'price.png', bounds, prices)
  except ImportError:
    print("No pictures without matplotlib: pip install 'tfp-flowopt[plot]'")
  print()
  for path in sorted(folder.iterdir()):
    print(f'  {path}')


if __name__ == '__main__':
  programs.run(main)

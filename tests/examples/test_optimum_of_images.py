import json
import math

import numpy as np
from support import images
from support import programs
import tensorflow as tf

import tfp_flowopt as fo

BINARY = programs.ROOT / 'examples' / 'likelihood_optimum.py'


def run(*arguments):
  return programs.run(BINARY, *arguments)


def test_an_array_in_tiles(tmp_path):
  array = np.stack([images.smooth_noise(i, 16, 16) for i in range(300)])
  array = array[..., :1]
  np.save(tmp_path / 'x.npy', array)
  result = run(
      f'--data={tmp_path / "x.npy"}',
      '--tile_size=8',
      '--block_sizes=1,2,3',
      f'--output={tmp_path / "out"}',
  )
  assert result.returncode == 0, result.stderr
  assert '--block_sizes: [3] do not divide 8.\n' in result.stdout
  tiles = np.concatenate([fo.training.image_tiles(x, 8) for x in array])
  assert len(tiles) == 1200
  x = (tiles / 256.0 - 0.5).astype(np.float32)
  noise = 1 / (12 * 256**2)
  written = json.loads((tmp_path / 'out' / 'optimum.json').read_text())
  structures = written['structures']
  assert list(structures) == [
      'pointwise 1x1', 'pointwise 2x2', 'individual 1x1', 'circulant', 'dense'
  ]
  for name, (structure, options) in {
      'pointwise 2x2': ('pointwise', {'block_size': 2}),
      'individual 1x1': ('individual', {}),
      'circulant': ('circulant', {}),
      'dense': ('dense', {}),
  }.items():
    best = fo.likelihood_optimum(
        x.reshape(1200, -1) if structure == 'dense' else x,
        structure,
        noise_variance=noise,
        **options,
    )
    want = np.mean(best.log_likelihood)
    got = structures[name]
    np.testing.assert_allclose(got['log_likelihood'], want, rtol=1e-5)
    np.testing.assert_allclose(
        got['bits_per_dim'], 8 - want / (64 * math.log(2)), rtol=1e-5
    )
    assert f'{got["bits_per_dim"]:.3f}' in result.stdout
    assert 0 < got['standard_error'] < 0.1 * abs(want)
  price = written['price']
  for name, values in price['bits_per_dim'].items():
    assert np.all(np.diff(values) < 1e-9)
    np.testing.assert_allclose(
        values[-1], structures[name]['bits_per_dim'], atol=1e-3
    )
  for name in ('spectrum.png', 'price.png'):
    picture = tf.io.decode_png((tmp_path / 'out' / name).read_bytes())
    assert picture.shape[1] == 750 and picture.numpy().std() > 10


def test_few_large_images_of_a_folder(tmp_path):
  folder = tmp_path / 'images'
  folder.mkdir()
  for i in range(2):
    image = images.smooth_noise(i, 40 + i, 50)
    (folder / f'{i}.png').write_bytes(tf.io.encode_png(image).numpy())
  (folder / 'broken.png').write_bytes(b'no image')
  arguments = [f'--data={folder}', '--tile_size=32', '--crop=center']
  result = run(*arguments)
  assert result.returncode != 0 and 'broken.png' in result.stderr
  result = run(*arguments, '--bad_images=skip', '--nostandard_errors')
  assert result.returncode == 0, result.stderr
  assert '1 bad images skipped' in result.stdout
  assert '2 tiles of 32x32x3' in result.stdout
  # Fewer tiles than channels: said, and pooled.
  assert 'circulant (cells of' in result.stdout
  assert 'Few data' in result.stdout and 'No dense matrix' in result.stdout

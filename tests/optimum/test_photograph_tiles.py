"""Claims about structures, on tiles of real photographs."""

import numpy as np
import pytest
from sklearn import datasets

import tfp_flowopt as fo

NOISE = 1 / (12 * 256**2)


@pytest.fixture(scope='module')
def tiles():
  photographs = datasets.load_sample_images().images
  tiles = np.concatenate(
      [fo.training.image_tiles(image, 16) for image in photographs]
  )
  return (tiles / 256.0 - 0.5).astype(np.float32)


@pytest.mark.parametrize('centered', [True, False])
def test_nesting(tiles, centered):
  def optimum(x, structure, **options):
    return np.mean(
        fo.likelihood_optimum(
            x, structure, centered, noise_variance=NOISE, **options
        ).log_likelihood
    )

  pointwise = optimum(tiles, 'pointwise')
  pooled = optimum(tiles, 'circulant', frequency_pool=2)
  circulant = optimum(tiles, 'circulant')
  dense = optimum(tiles.reshape(len(tiles), -1), 'dense')
  individual = optimum(tiles, 'individual')
  assert pointwise < pooled < circulant < dense
  assert individual > pointwise
  # In bits/dim, these are no small differences.
  bits = [
      float(fo.bits_per_dim(x, tiles[0].size))
      for x in (pointwise, circulant, dense)
  ]
  assert bits[0] - bits[1] > 1 and bits[1] - bits[2] > 0.1


def test_a_stream_of_float32_photographs(tiles):
  """Condition 1e5: float32 moments would lose the small eigenvalues."""
  for structure in ('pointwise', 'circulant'):
    stream = fo.AutoCorrelation(structure, tiles.shape[1:])
    for batch in np.array_split(tiles, 7):
      stream.update(batch)
    exact = fo.likelihood_optimum(tiles.astype(np.float64), structure)
    np.testing.assert_allclose(
        stream.optimum().log_likelihood, exact.log_likelihood, rtol=1e-12
    )

"""All distances of samples, beside those of other real images."""

import numpy as np

from tfp_flowopt.diagnostics import block_artefacts
from tfp_flowopt.diagnostics import sample_distances
from tfp_flowopt.diagnostics import sample_patches

__all__ = ['blocks', 'distances']

_NUM_DIRECTIONS = 128


def distances(samples, other, held_out, rng):
  """The `distances` of a `SampleReport`, of as many images `[N, H, W, C]`."""
  sets = samples, other, held_out
  views = {'pixels': [x.reshape([len(x), -1]) for x in sets]}
  for scale, patches in sample_patches.patch_sets(sets, rng):
    views[f'patches_{scale}'] = patches
  result = {}

  def add(name, function, sets):
    *both, reference = sets
    values = (float(np.mean(function(x, reference))) for x in both)
    result[name] = dict(zip(('samples', 'real'), values, strict=True))

  for view, vectors in views.items():
    directions = rng.normal(size=[vectors[0].shape[1], _NUM_DIRECTIONS])
    directions /= np.linalg.norm(directions, axis=0)
    add(
        f'sliced_wasserstein_{view}',
        lambda x, y, w=directions: sample_distances.wasserstein(x @ w, y @ w),
        vectors,
    )
  for view, vectors in views.items():
    # One patch of each image: those of one image are not independent.
    values = sample_distances.max_mean_discrepancy(
        *(x[: len(samples)] for x in vectors), rng
    )
    result[f'mmd_{view}'] = dict(
        zip(('samples', 'real', 'noise'), values, strict=True)
    )
  add('spectrum', sample_distances.spectrum_distance, sets)
  values = [x.reshape([-1, x.shape[-1]]) for x in sets]
  add('value_variation', sample_distances.total_variation, values)
  add('value_wasserstein', sample_distances.wasserstein, values)
  return result


def blocks(samples, other, held_out, tiles):
  """The `blocks` of a `SampleReport`."""
  result = {}
  for size in tiles:
    own, real, reference = (
        block_artefacts.border_contrast(x, size)
        for x in (samples, other, held_out)
    )
    result[str(size)] = {'samples': own / reference, 'real': real / reference}
  return result

"""Arguments of the report on samples: images, and labels beside them."""

import math

import numpy as np
import tensorflow as tf

from tfp_flowopt.diagnostics import block_artefacts
from tfp_flowopt.flows import flow_of
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import graphs

__all__ = ['SMALLEST', 'checked_images', 'checked_labels', 'drawn', 'tiles']

# Side of the smallest image, which has one patch.
SMALLEST = 4
# Numbers of a batch of samples.
_BATCH_NUMBERS = 2**18


def checked_images(name, images, least, like=None):
  """An array `[N, H, W, C]` of at least `least` images, finite."""
  shape = f'[N, H, W, C], N >= {least}, H and W >= {SMALLEST}'
  if like is not None:
    shape = f'[N] + {list(like.shape[1:])}, N >= {least}'
  try:
    x = np.asarray(images)
  except (TypeError, ValueError):
    x = np.zeros([])
  if (
      x.ndim != 4
      or len(x) < least
      or min(x.shape[1:3]) < SMALLEST
      or not x.shape[3]
      or (like is not None and x.shape[1:] != like.shape[1:])
  ):
    raise ValueError(
        f'Argument `{name}` must be images {shape}, got {list(x.shape)}.'
    )
  kind = 'floating-point' if x.dtype.kind == 'f' else 'integers'
  if x.dtype.kind not in 'fiu':
    raise ValueError(f'Argument `{name}` must be numbers, got {x.dtype}.')
  if like is not None and (like.dtype.kind == 'f') != (x.dtype.kind == 'f'):
    raise ValueError(
        f'Argument `{name}` must be on the scale of `real`, got {kind} '
        f'({x.dtype}) beside {like.dtype}.'
    )
  if not np.isfinite(x).all():
    raise ValueError(f'Argument `{name}` must be finite.')
  return x


def checked_labels(name, labels, num, owner, several=True):
  """An integer array `[num]`, of `several` classes if there must be."""
  try:
    y = np.asarray(labels)
  except (TypeError, ValueError):
    y = np.zeros([])
  if y.shape != (num,) or y.dtype.kind not in 'iu':
    raise ValueError(
        f'Argument `{name}` must be integers, one for each of {num} images of '
        f'`{owner}`, got {y.dtype} of shape {list(y.shape)}.'
    )
  if several and np.all(y == y[0]):
    raise ValueError(
        f'Argument `{name}` must be of two classes at least, got {y[0]} alone.'
    )
  return y


def tiles(tile_size, event_shape):
  """Sizes of tiles, the argument `tile_size` or those that fit."""
  if tile_size is None:
    return block_artefacts.tile_sizes(event_shape)
  most = max(event_shape[:2]) - 1
  single = isinstance(tile_size, (int, np.integer))
  try:
    return tuple(
        arguments.check_int('tile_size', size, least=2, most=most)
        for size in ([tile_size] if single else tile_size)
    )
  except TypeError as e:
    raise ValueError(
        f'Argument `tile_size` must be one or several ints in 2..{most}, got '
        f'{tile_size!r}.'
    ) from e


def drawn(distribution, real, labels, seed):
  """Samples of a flow of images, as many as `real`, for the labels of these."""
  flow_of.check_single(distribution)
  event_shape = distribution.event_shape
  if not event_shape.is_compatible_with(real.shape[1:]):
    raise ValueError(
        f'Argument `samples` is a distribution of shape {event_shape}, and '
        f'`real` has images of {list(real.shape[1:])}.'
    )
  spec = getattr(distribution.bijector, 'conditioning', None)
  if (spec is None) != (labels is None) or (
      spec is not None and spec.num_classes is None
  ):
    raise ValueError(
        'Argument `real_labels` must be given for a flow that is conditioned '
        'on classes, and not for others (of one that is conditioned on '
        f'features give an array of samples); its conditioning is {spec}.'
    )
  if labels is not None and (
      labels.min() < 0 or labels.max() >= spec.num_classes
  ):
    raise ValueError(
        f'Argument `real_labels` must be {spec}, got {labels.min()} to '
        f'{labels.max()}.'
    )
  num = len(real)
  size = min(num, max(1, _BATCH_NUMBERS // math.prod(real.shape[1:])))

  @graphs.own_graph
  def draw(seed, **given):
    kwargs = {'bijector_kwargs': given} if given else {}
    return distribution.sample(size, seed=seed, **kwargs)

  result, rng = [], np.random.default_rng(seed)
  for start in range(0, num, size):
    given = {}
    if labels is not None:
      # The last batch is filled up, for one graph to do.
      rows = np.arange(start, start + size) % num
      given = {'conditioning': tf.constant(labels[rows])}
    own_seed = tf.constant(rng.integers(2**31, size=2), tf.int32)
    result.append(draw(own_seed, **given).numpy())
  return np.concatenate(result)[:num]

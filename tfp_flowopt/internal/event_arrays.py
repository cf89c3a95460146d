"""Data sets of events in memory."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import conditions

__all__ = ['checked']


def checked(distribution, name, x, conditioning_name, conditioning):
  """Events, and what they are conditioned on, as arrays or a `ValueError`.

  `x` is `[N]` + the event shape of the distribution, which gives its type, too;
  or a finite, unbatched `tf.data.Dataset` of events, or of pairs with
  conditioning. Errors call the arguments by the names given.

  Returns:
    NumPy arrays `x` and `conditioning`, the second one `None` without any.
  """
  if isinstance(x, tf.data.Dataset):
    if x.cardinality() == tf.data.INFINITE_CARDINALITY:
      raise ValueError(f'Argument `{name}` is infinite; use `take(n)`.')
    elements = list(x.as_numpy_iterator())
    if elements and isinstance(elements[0], tuple):
      if conditioning is not None:
        raise ValueError(
            f'Argument `{conditioning_name}`: `{name}` has conditioning '
            'already.'
        )
      x, conditioning = (np.stack(part) for part in zip(*elements, strict=True))
    else:
      x = np.stack(elements) if elements else np.zeros([0])
  x = np.asarray(x)
  shape = distribution.event_shape
  if not isinstance(shape, tf.TensorShape):
    raise ValueError(
        'Argument `distribution` must have events of one tensor, got '
        f'{distribution!r}.'
    )
  arguments.check_no_batch(distribution)
  if x.ndim < 1 or not shape.is_compatible_with(x.shape[1:]) or not len(x):
    raise ValueError(
        f'Argument `{name}` must have shape [N] + {shape.as_list()}, N > 0, '
        f'got {list(x.shape)}.'
    )
  if x.dtype.kind != 'f':
    raise ValueError(
        f'Argument `{name}` must be floating-point, got {x.dtype}.'
    )
  x = x.astype(distribution.dtype.as_numpy_dtype)
  if not np.all(np.isfinite(x)):
    raise ValueError(f'Argument `{name}` must be finite.')
  if conditioning is not None:
    conditioning = np.asarray(conditioning)
    if conditioning.ndim < 1 or len(conditioning) != len(x):
      raise ValueError(
          f'Argument `{conditioning_name}` must be one for each of the '
          f'{len(x)} examples, got shape {list(conditioning.shape)}.'
      )
    if conditioning.dtype.kind == 'f':
      conditioning = conditioning.astype(x.dtype)
      if not np.all(np.isfinite(conditioning)):
        raise ValueError(f'Argument `{conditioning_name}` must be finite.')
    bijector = getattr(distribution, 'bijector', None)
    conditions.check(bijector, conditioning_name, conditioning)
  return x, conditioning

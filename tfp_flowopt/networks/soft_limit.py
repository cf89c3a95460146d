"""Conditions far out, as networks see them."""

import tensorflow as tf

__all__ = ['soft_limit']

# In standard deviations. Of simulations and tables that were tried, 6 to 10
# are as good; 3 is worse where what lies beyond it tells much.
_LIMIT = 10.0


def soft_limit(c):
  """`k + asinh(c - k)`, where `k` is `c` clipped to -10 and 10.

  The identity within, and a logarithm beyond. A standardised feature that is
  nearly always the same is far out where it is not: what a network without
  bounds has learned of it from one example would be repeated without bound.
  """
  within = tf.clip_by_value(c, -_LIMIT, _LIMIT)
  return within + tf.asinh(c - within)

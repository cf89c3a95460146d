"""A search for kernels whose certified operator norm is wrong.

Draws kernels of many families and shapes and compares, for each,

* `operator_norm_bound`, from the float64 and from the float32 kernel, with the
  supremum of the symbol over all frequencies, and with the norms of the
  convolution of small images with zero, no and circular padding;
* `almost_orthogonal`, which claims norm 1 for whatever kernel comes out, with
  the same truths of the rescaled kernel (float32: 1 + 1e-4).

The truths are float64 NumPy: see `symbol_norm`. A truth above its claim is a
violation; there must be none.
"""

import math
import time

from harness import kernel_families
from harness import symbol_norm
import numpy as np
import tensorflow as tf

import tfp_flowopt as fo

# A coarse grid is enough: the truths are values at the peaks next to it.
_GRID_FACTOR = 4
# Of the truths and claims, both float64.
_ROUNDING = 1e-12
# Every so many kernels of a family meet larger images.
_LARGE_EVERY = 10


def measure(settings, seed, context):
  """See `run.py`."""
  del context
  start = time.monotonic()
  ratios, violations = search(
      settings['num_kernels'], settings['max_channels'], seed
  )
  return {
      'violations': violations,
      'num_checks': sum(len(v) for c in ratios.values() for v in c.values()),
      'truth_over_claim': {
          family: {
              check: {
                  'smallest': min(values),
                  'median': np.median(values),
                  'largest': max(values),
              }
              for check, values in checks.items()
          }
          for family, checks in ratios.items()
      },
      'seconds': time.monotonic() - start,
  }


def failures(values):
  """Violations in words."""
  return [f'truth above claim: {x}' for x in values['violations']]


def search(num_kernels, max_channels=64, seed=0):
  """Examines kernels of all families in turn.

  Returns:
    `{family: {check: [truth / claim of each kernel]}}`, and the violations:
    tuples of family, shape, check and truth / claim.
  """
  rng = np.random.default_rng(seed)
  ratios, violations, start = {}, [], time.monotonic()
  families = list(kernel_families.FAMILIES)
  for i in range(num_kernels):
    family = families[i % len(families)]
    shape = _draw_shape(rng, max_channels)
    kernel = kernel_families.make_kernel(family, rng, shape)
    large = (i // len(families)) % _LARGE_EVERY == _LARGE_EVERY - 1
    for check, ratio in examine(kernel, rng, large):
      ratios.setdefault(family, {}).setdefault(check, []).append(ratio)
      # Also if it is NaN.
      if not ratio <= 1 + _ROUNDING:
        violations.append((family, shape, check, ratio))
        print(*violations[-1], flush=True)
    if i % 70 == 69:
      print(f'{i + 1} kernels, {time.monotonic() - start:.0f} s', flush=True)
  return ratios, violations


def _draw_shape(rng, max_channels):
  """1x1 to 7x7, square or not, channels log-uniform; fewer beyond 3x3."""
  kh, kw = rng.integers(1, 8, size=2)
  if rng.uniform() < 0.6:
    kw = kh
  # As many numbers as 3x3 kernels have, or the large ones take all the time.
  max_channels = max(1, 3 * max_channels // max(3, kh, kw))
  channels = np.exp(rng.uniform(0, math.log(max_channels + 1), size=2))
  return (int(kh), int(kw), *(int(c) for c in channels))


def examine(kernel, rng, large=False):
  """Compares the claims about a kernel with the truths.

  Args:
    kernel: float64 `[kh, kw, in, out]` of float32 numbers.
    rng: `np.random.Generator`, of the sizes of images.
    large: Whether the images have up to 32 rows and columns, instead of 9.

  Returns:
    Pairs of a check's name and truth / claim; above 1 the claim is wrong.
  """
  results = []
  truth, _ = symbol_norm.symbol_supremum(kernel, _GRID_FACTOR)
  for dtype in (tf.float64, tf.float32):
    bound = float(fo.lipschitz.operator_norm_bound(tf.constant(kernel, dtype)))
    results.append((f'bound, {dtype.name}', truth / bound))
    if dtype == tf.float64:
      norms = _image_norms(kernel, rng, large)
      results += [(f'bound, {padding}', n / bound) for padding, n in norms]
  for dtype, claim in ((tf.float64, 1.0), (tf.float32, 1.0 + 1e-4)):
    # Rescaling does nothing to kernels that are small enough.
    rescaled = fo.lipschitz.almost_orthogonal(
        tf.constant(10.0 * kernel, dtype)
    ).numpy()
    truth_of_it, _ = symbol_norm.symbol_supremum(rescaled, _GRID_FACTOR)
    results.append((f'rescaled, {dtype.name}', truth_of_it / claim))
    if dtype == tf.float64:
      norms = _image_norms(rescaled, rng, large)
      results += [(f'rescaled, {padding}', n) for padding, n in norms]
  return results


def _image_norms(kernel, rng, large):
  """Norms of a kernel on images, for each padding; sizes 1 to 9, or larger."""
  kh, kw, *channels = kernel.shape
  for padding in ('SAME', 'VALID', 'CIRCULAR'):
    least = (kh, kw) if padding == 'VALID' else (1, 1)
    most = 32 if large else max(3, int(9 / min(channels) ** 0.5))
    size = [n + int(rng.integers(most)) for n in least]
    yield padding, symbol_norm.operator_norm(kernel, *size, padding)

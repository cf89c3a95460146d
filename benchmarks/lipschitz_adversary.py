"""Searches for kernels whose certified operator norm is wrong.

Draws kernels of many families and shapes and compares, for each,

* `operator_norm_bound`, from the float64 and from the float32 kernel, with the
  supremum of the symbol over all frequencies, and with the norms of the
  convolution of small images with zero, no and circular padding;
* `almost_orthogonal`, which claims norm 1 for whatever kernel comes out, with
  the same truths of the rescaled kernel (float32: 1 + 1e-4).

The truths are float64 numpy: see `symbol_norm.py`. A truth above its claim is a
violation; there must be none. Prints a table and writes JSON; the exit status
is 1 if there is a violation.

  python benchmarks/lipschitz_adversary.py --output=adversary.json
"""

import json
import math
import pathlib
import time

from absl import app
from absl import flags
import kernel_families
import numpy as np
import symbol_norm
import tensorflow as tf

import tfp_flowopt as fo

__all__ = ['examine', 'search']

_PADDINGS = ('SAME', 'VALID', 'CIRCULAR')
# A coarse grid is enough: the truths are values at the peaks next to it.
_GRID_FACTOR = 4
# Of the truths and claims, both float64.
_ROUNDING = 1e-12
# What a float32 rescaled kernel may exceed 1 by.
_FLOAT32 = 1e-4


def _draw_shape(rng, max_channels):
  """1x1 to 7x7, square or not, channels log-uniform; fewer beyond 3x3."""
  kh, kw = rng.integers(1, 8, size=2)
  if rng.uniform() < 0.6:
    kw = kh
  # As many numbers as 3x3 kernels have, or the large ones take all the time.
  max_channels = max(1, 3 * max_channels // max(3, kh, kw))
  channels = np.exp(rng.uniform(0, math.log(max_channels + 1), size=2))
  return (int(kh), int(kw), *(int(c) for c in channels))


def _image_norms(kernel, rng, large):
  """Norms of a kernel on images, for each padding; sizes 1 to 9, or larger."""
  kh, kw, _, _ = kernel.shape
  norms = []
  for padding in _PADDINGS:
    least = (kh, kw) if padding == 'VALID' else (1, 1)
    most = 32 if large else max(3, int(9 / min(kernel.shape[2:]) ** 0.5))
    size = [n + int(rng.integers(most)) for n in least]
    norms.append(symbol_norm.operator_norm(kernel, *size, padding))
  return norms


def examine(kernel, rng, large=False):
  """Compares the claims about a kernel with the truths.

  Args:
    kernel: float64 `[kh, kw, in, out]` of float32 numbers.
    rng: `np.random.Generator`, of the sizes of images.
    large: Whether the images have up to 32 rows and columns, instead of 9.

  Returns:
    Pairs of a check's name and truth / claim; above 1 the claim is wrong.
  """
  truth, _ = symbol_norm.symbol_supremum(kernel, _GRID_FACTOR)
  results = []
  for dtype in (tf.float64, tf.float32):
    bound = float(fo.lipschitz.operator_norm_bound(tf.constant(kernel, dtype)))
    results.append((f'bound, {dtype.name}', truth / bound))
    if dtype == tf.float64:
      results += [
          (f'bound, {padding}', norm / bound)
          for padding, norm in zip(
              _PADDINGS, _image_norms(kernel, rng, large), strict=True
          )
      ]
  for dtype, claim in ((tf.float64, 1.0), (tf.float32, 1.0 + _FLOAT32)):
    # Rescaling does nothing to kernels that are small enough.
    rescaled = fo.lipschitz.almost_orthogonal(
        tf.constant(10.0 * kernel, dtype)
    ).numpy()
    supremum, _ = symbol_norm.symbol_supremum(rescaled, _GRID_FACTOR)
    results.append((f'rescaled, {dtype.name}', supremum / claim))
    if dtype == tf.float64:
      results += [
          (f'rescaled, {padding}', norm)
          for padding, norm in zip(
              _PADDINGS, _image_norms(rescaled, rng, large), strict=True
          )
      ]
  return results


def search(num_kernels, max_channels=64, seed=0, large_every=10, report=None):
  """Examines kernels of all families in turn.

  Args:
    num_kernels: Number of kernels.
    max_channels: Largest number of inputs and outputs of kernels up to 3x3,
      drawn log-uniformly; larger kernels have fewer.
    seed: Python `int`.
    large_every: Every so many kernels of a family meet larger images.
    report: `None`, or a function that is called after each round of the
      families with the number of kernels so far and the two results.

  Returns:
    `{family: {check: [truth / claim of each kernel]}}`, and the violations:
    tuples of family, shape, check and truth / claim.
  """
  rng = np.random.default_rng(seed)
  ratios, violations = {}, []
  families = list(kernel_families.FAMILIES)
  for i in range(num_kernels):
    family = families[i % len(families)]
    shape = _draw_shape(rng, max_channels)
    kernel = kernel_families.make_kernel(family, rng, shape)
    large = (i // len(families)) % large_every == large_every - 1
    for check, ratio in examine(kernel, rng, large):
      ratios.setdefault(family, {}).setdefault(check, []).append(ratio)
      # Also if it is NaN.
      if not ratio <= 1 + _ROUNDING:
        violations.append((family, shape, check, ratio))
    if report and family == families[-1]:
      report(i + 1, ratios, violations)
  return ratios, violations


def _table(ratios):
  """Truth / claim of each check: smallest and largest, for each family."""
  checks = list(next(iter(ratios.values())))
  width = max(map(len, checks)) + 2
  lines = [' ' * width + ''.join(f'{family:>15}' for family in ratios)]
  for check in checks:
    cells = (
        f'{min(values[check]):.3f}-{max(values[check]):.4f}'
        for values in ratios.values()
    )
    lines.append(f'{check:<{width}}' + ''.join(f'{c:>15}' for c in cells))
  return '\n'.join(lines)


def _summary(ratios):
  """The distribution of truth / claim, for each family and check."""
  return {
      family: {
          check: {
              'smallest': float(min(values)),
              'median': float(np.median(values)),
              'largest': float(max(values)),
          }
          for check, values in checks.items()
      }
      for family, checks in ratios.items()
  }


def main(argv):
  """Searches, prints and writes."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  start = time.monotonic()
  path = pathlib.Path(flags.FLAGS.output)

  def write(done, ratios, violations):
    summary = {
        'num_kernels': done,
        'max_channels': flags.FLAGS.max_channels,
        'seed': flags.FLAGS.seed,
        'violations': violations,
        'truth_over_claim': _summary(ratios),
        'seconds': time.monotonic() - start,
    }
    path.write_text(json.dumps(summary, indent=2) + '\n', encoding='utf-8')

  def report(done, ratios, violations):
    if done % 70 == 0:
      seconds = time.monotonic() - start
      print(f'{done} kernels, {seconds:.0f} s', flush=True)
      # So that a search that is cut short leaves what it has found.
      write(done, ratios, violations)

  ratios, violations = search(
      flags.FLAGS.num_kernels,
      flags.FLAGS.max_channels,
      flags.FLAGS.seed,
      report=report,
  )
  write(flags.FLAGS.num_kernels, ratios, violations)
  print('\nTruth / claim, smallest and largest (above 1 a claim is wrong):\n')
  print(_table(ratios))
  num_checks = sum(len(v) for c in ratios.values() for v in c.values())
  print(f'\n{num_checks} checks, {len(violations)} violations. Written: {path}')
  for violation in violations:
    print(*violation)
  return 1 if violations else 0


if __name__ == '__main__':
  flags.DEFINE_integer('num_kernels', 2100, 'Number of kernels.')
  flags.DEFINE_integer('max_channels', 64, 'Largest number of channels.')
  flags.DEFINE_integer('seed', 0, 'Of the kernels.')
  flags.DEFINE_string(
      'output', 'lipschitz_adversary.json', 'JSON file to write.'
  )
  app.run(main)

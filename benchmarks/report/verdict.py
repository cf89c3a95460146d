"""The table at the top of the results: what decides, a row each.

It takes a function of the name of a suite that returns its records.
"""

import math

from report import markdown
from report import runs as runs_lib
from report import stability

_LIBRARIES = ('ours', 'tfb.Glow', 'normflows')
_KEY = (16, 4, 300)  # size, steps a level, training steps


def _best(arms, library):
  """The arm of a library with the lowest held-out bits/dim.

  Of ours the default alone, and of peers all without parts of ours.
  """
  own = [
      arm
      for arm in arms
      if (arm.name == 'ours' if library == 'ours'
          else arm.name.startswith(library))
  ]
  return min(own, key=lambda arm: arm.best)


def _useful(arm):
  return f'{arm.useful[0]:g} to {arm.useful[-1]:g}' if arm.useful else 'none'


def _at_equal_time(results, suite, names):
  """Bits/dim at the end and seconds to the best peer's, an arm a library."""
  runs = runs_lib.newest(results(suite), 'arm', 'learning_rate').values()
  runs = [runs_lib.flat(record) for record in runs]
  target = runs_lib.best_of_peers(runs)
  ends, times = [], []
  for name in names:
    own = [run for run in runs if name(run['arm']) and run['end'] is not None]
    if not own:
      ends.append('not run')
      times.append('not run')
      continue
    best = min(own, key=lambda run: run['end'])
    ends.append(markdown.value(best['end']))
    times.append(
        markdown.value(runs_lib.seconds_to(best, target), '.0f', 'never')
        if math.isfinite(target) else ''
    )
  return target, ends, times


def verdict(results):
  """What decides, of each library its best arm."""
  runs = [
      run
      for run in map(runs_lib.flat, results('stability'))
      if (run['size'], run['depth'], run['train_steps']) == _KEY
      and run['schedule'] == 'constant'
  ]
  summaries = runs_lib.summaries(runs)[_KEY]
  arms = [_best(summaries, library) for library in _LIBRARIES]

  def prefix(library):
    return lambda arm: (
        arm == 'ours' if library == 'ours' else arm.startswith(library)
    )

  target, photographs, seconds = _at_equal_time(
      results, 'wall_clock', map(prefix, _LIBRARIES)
  )
  _, clothes, _ = _at_equal_time(
      results,
      'wall_clock_fashion',
      [lambda arm: arm == 'ours without budget with curves',
       lambda arm: arm.startswith('tfb.Glow'),
       lambda arm: arm.startswith('normflows')],
  )
  rows = [
      ['runs that stopped being finite, six learning rates, three seeds',
       *map(stability.not_finite, arms)],
      ['learning rates within half a bit of the best', *map(_useful, arms)],
      ['16x16 photographs, 300 steps, at the best rate',
       *(f'{arm.best:.3f}' for arm in arms)],
      ['32x32 photographs, ten minutes', *photographs],
      [f'seconds to {target:.3f}, the best peer of ten minutes', *seconds],
      ['Fashion-MNIST, ten minutes, best arms, ours without budget', *clothes],
      ['largest error of a round trip of noise images',
       *(markdown.error(arm.error('noise')) for arm in arms)],
      ['logarithm of the certified constants of the non-linear part',
       *map(stability.certified, arms)],
  ]
  return markdown.table('|ours|tfb.Glow|normflows', rows)


SECTIONS = {'verdict': verdict}

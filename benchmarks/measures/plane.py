"""How far flows are from densities of the plane, beside zuko and normflows.

The distance is that of Kullback and Leibler, the entropy's gap: the mean of
log p - log q over fresh points of the known density p, in nats.
"""

import pathlib
import sys
import tempfile

from harness import plane
from harness import serving
import numpy as np

# Points that choose the best weights, and points of the distance.
_NUM_VALIDATION, _NUM_TEST = 5000, 50000


def measure(settings, seed, context):
  """See `run.py`; `target`, `arm`, `num`; `model`, arguments of the model."""
  target = plane.TARGETS[settings['target']]
  parts = {
      f'{name}_x': target.sample(num, np.random.default_rng([seed, i]))
      for i, (name, num) in enumerate((
          ('train', settings['num']),
          ('validation', _NUM_VALIDATION),
          ('test', _NUM_TEST),
      ))
  }
  python, program = sys.executable, 'vectors_flowopt.py'
  if settings['arm'] != 'ours':
    python = serving.python_of_peers(context.peers)
    program = 'vectors_peers.py'
  with tempfile.TemporaryDirectory() as folder:
    path, values = (pathlib.Path(folder) / x for x in ('data.npz', 'log_q.npy'))
    np.savez(path, **parts)
    process = serving.Arm(
        python,
        program,
        {
            **settings,
            'flow': settings['model'],
            'seed': seed,
            'path': str(path),
            'values': str(values),
            'standardize': True,
            'schedule': 'cosine',
        },
        num_threads=settings['num_threads'],
    )
    try:
      found = process.value('train')
    finally:
      process.close()
    gaps = target.log_prob(parts['test_x']) - np.load(values)
  return {
      **found,
      'entropy': plane.entropy(target),
      'distance': gaps.mean(),
      'distance_error': gaps.std() / len(gaps) ** 0.5,
  }

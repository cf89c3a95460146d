"""Posteriors of sbibm's simulators, beside zuko's (Lueckmann et al. 2021).

A flow of the parameters given the data is trained on simulations. Its draws for
ten observations are told from those of the reference posteriors by a
classifier (`c2st`, 1/2 at best).
"""

import pathlib
import sys
import tempfile

from harness import posteriors
from harness import serving
from harness import simulators
import numpy as np

# Simulations that neither trains nor stops, to measure the likelihood.
_NUM_TEST = 10000


def measure(settings, seed, context):
  """See `run.py`; `task`, `simulations`, `arm`, `draws`, `observations`.

  With fewer than ten observations the first ones are compared; with 0 there are
  the seconds and the likelihood alone.
  """
  task, count = settings['task'], settings['observations']
  simulator = simulators.SIMULATORS[task]
  with tempfile.TemporaryDirectory() as folder:
    observations, references = posteriors.references(
        context.peers or folder, task
    )
    observations = observations[:count]
    path, draws = (pathlib.Path(folder) / x for x in ('data.npz', 'draws.npy'))
    parts = simulations(simulator, settings['simulations'], seed)
    np.savez(path, observations=observations, **parts)
    process = serving.Arm(
        *_program(settings['arm'], context),
        {
            **settings,
            'seed': seed,
            'path': str(path),
            'support': simulator.support,
            'standardize': True,
            'eval_every': _eval_every(settings),
        },
        num_threads=settings['num_threads'],
    )
    try:
      values = process.value('train')
      if not count:
        return values
      process.value('draw', num=settings['draws'], path=str(draws))
    finally:
      process.close()
    found = np.load(draws)
  distances = [
      posteriors.c2st(reference[: settings['draws']], own)
      for reference, own in zip(references[:count], found, strict=True)
  ]
  return {**values, 'c2st': np.mean(distances), 'c2sts': distances}


def simulations(simulator, num, seed):
  """Parts as `vectors.split` makes them: 10 % of `num` validate."""
  rng = np.random.default_rng([seed, 11])
  theta = simulator.prior(num + _NUM_TEST, rng)
  data = simulator.simulate(theta, rng)
  if simulator.support[:1] == ('box',):
    # No float32 value at its edge.
    _, low, high = simulator.support
    edge = 1e-6 * (high - low)
    theta = np.clip(theta, low + edge, high - edge)
  rows = {
      'train': slice(num // 10, num),
      'validation': slice(num // 10),
      'test': slice(num, None),
  }
  return {
      f'{name}_{key}': values[own]
      for name, own in rows.items()
      for key, values in (('x', theta), ('c', data))
  }


def _program(arm, context):
  if arm.startswith('zuko'):
    return serving.python_of_peers(context.peers), 'vectors_peers.py'
  return sys.executable, 'vectors_flowopt.py'


def _eval_every(settings):
  """Steps between evaluations, as `fo.training.fit` chooses them."""
  num = settings['simulations'] - settings['simulations'] // 10
  return min(max(2 * num // settings['batch_size'], 20), 100)

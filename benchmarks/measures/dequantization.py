"""Uniform and learned dequantisation noise: the demo's run with either.

Of the likelihood of the held-out crops two bounds, from some draws of noise:
the mean, and the importance-weighted one. `seconds` are those of the program,
start and pictures included.
"""

import json
import pathlib
import re
import tempfile
import time

from harness import example_runs

_RECIPE = {
    'batch_size': 16,
    'optimizer': 'muon',
    'learning_rate': 1e-2,
    'ema_decay': 0.99,
    'local_constants': False,
}


def measure(settings, seed, context):
  """See `run.py`."""
  del context
  steps = settings['train_steps']
  with tempfile.TemporaryDirectory() as workdir:
    start = time.perf_counter()
    example_runs.run(
        workdir, train_steps=steps, eval_every=steps, seed=seed,
        dequantization=settings['dequantization'], **_RECIPE,
    )
    seconds = time.perf_counter() - start
    text = example_runs.run(
        workdir, mode='evaluate', eval_draws=settings['draws']
    )
    summary = json.loads(
        (pathlib.Path(workdir) / 'summary.json').read_text(encoding='utf-8')
    )
  samples = summary['samples']
  return {
      'recipe': _RECIPE,
      'seconds': seconds,
      'held_out_bits_per_dim': summary['held_out_bits_per_dim'],
      'bits_per_dim': float(re.search(r': ([\d.]+) bits/dim', text).group(1)),
      'importance_weighted': float(
          re.search(r'Importance-weighted .*: ([\d.]+)', text).group(1)
      ),
      'block_steps': samples['blocks']['8']['samples'],
      'patches': samples['distances']['sliced_wasserstein_patches_1'],
  }

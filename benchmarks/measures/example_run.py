"""A run of the example program that trains image flows, by the demo's recipe.

Of the likelihood of the held-out images two bounds, from some draws of noise:
the mean, and the importance-weighted one; `start` is that of step 0, one draw.
`seconds` are those of the program, start and pictures included.
"""

import csv
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
  """See `run.py`; settings are flags, `draws`, and `data` ('photos' if any)."""
  flags = dict(settings)
  draws = flags.pop('draws')
  if 'data' in flags:
    flags['data'] = context.folder(flags['data'])
  with tempfile.TemporaryDirectory() as workdir:
    start = time.perf_counter()
    example_runs.run(
        workdir, eval_every=flags['train_steps'], seed=seed, **flags, **_RECIPE
    )
    seconds = time.perf_counter() - start
    text = example_runs.run(workdir, mode='evaluate', eval_draws=draws)
    folder = pathlib.Path(workdir)
    summary = json.loads((folder / 'summary.json').read_text(encoding='utf-8'))
    with open(folder / 'training_log.csv', encoding='utf-8') as file:
      first = next(csv.DictReader(file))
  samples = summary['samples']
  return {
      'recipe': _RECIPE,
      'seconds': seconds,
      'start': float(first['held_out_bits_per_dim']),
      'held_out_bits_per_dim': summary['held_out_bits_per_dim'],
      'bits_per_dim': float(re.search(r': ([\d.]+) bits/dim', text).group(1)),
      'importance_weighted': float(
          re.search(r'Importance-weighted .*: ([\d.]+)', text).group(1)
      ),
      'block_steps': samples['blocks']['8']['samples'],
      'block_steps_of_real': samples['blocks']['8']['real'],
      'patches': samples['distances']['sliced_wasserstein_patches_1'],
  }

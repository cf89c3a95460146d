"""The recipe for Fashion-MNIST: trains given the class, and evaluates all.

Runs `examples/train_image_flow.py`, which goes on where a run in the same
directory was (`--workdir`). 8-bit uniform dequantisation; of the likelihood of
the test images two bounds, from some draws of the noise: the mean, and the
importance-weighted one.
"""

import csv
import json
import pathlib
import re
import tempfile

from harness import example_runs

_RECIPE = {
    'image_size': 28,
    'channels': 1,
    'num_levels': 2,
    'num_steps': 12,
    'hidden_channels': 96,
    'gaussianize_marginals': True,
    'lipschitz_budget': 0,
    'memory': 'stored',
    'compute_dtype': 'bfloat16',
    'batch_size': 32,
    'schedule': 'cosine',
    'init_images': 20_000,
    'warmup_steps': 100,
    'ema_decay': 0.999,
    'eval_every': 1500,
    'checkpoint_every': 1500,
    'local_constants': False,
}


def measure(settings, seed, context):
  """See `run.py`."""
  folder = context.folder('fashion_mnist')
  (train,) = folder.glob('train-images*ubyte*')
  (test,) = folder.glob('t10k-images*ubyte*')
  (labels,) = folder.glob('train-labels*ubyte*')
  (test_labels,) = folder.glob('t10k-labels*ubyte*')
  steps = settings['train_steps']
  with tempfile.TemporaryDirectory() as temporary:
    workdir = pathlib.Path(context.workdir or temporary)
    example_runs.run(
        workdir, data=train, held_out=test, labels=labels,
        held_out_labels=test_labels, train_steps=steps, seed=seed, **_RECIPE,
    )
    text = example_runs.run(
        workdir, mode='evaluate', eval_draws=settings['draws']
    )
    number, mean = re.search(
        r'(\d+) held-out images, .*: ([\d.]+) bits/dim', text
    ).groups()
    weighted = re.search(r'Importance-weighted .*: ([\d.]+) bits/dim', text)
    with (workdir / 'training_log.csv').open(encoding='utf-8') as f:
      held_out = [
          [int(row['step']), float(row['seconds']), float(value)]
          for row in csv.DictReader(f)
          if (value := row['held_out_bits_per_dim'])
      ]
    start = json.loads((workdir / 'start.json').read_text(encoding='utf-8'))
  return {
      'recipe': _RECIPE,
      'seconds': held_out[-1][1],
      'predicted': start['predicted'],
      'held_out': held_out,
      'test_images': int(number),
      'test_bits_per_dim': float(mean),
      'importance_weighted': float(weighted.group(1)) if weighted else None,
  }

"""What a Lipschitz budget costs in likelihood, on real photographs.

Trains the same flow from the same start with several budgets, and without any,
for the same number of steps, each of which takes the same time: the budget only
changes constants. Prints held-out bits/dim beside the certified constants and
those found at images, and writes JSON and a picture. Rows that the JSON file
holds already, of the same settings, are not measured again: a run that was cut
short goes on, and parts measured side by side can be put together.

  python benchmarks/budget_frontier.py --output=budget_frontier.json
"""

import json
import math
import pathlib
import tempfile
import time

from absl import app
from absl import flags
from absl import logging
import numpy as np
from sklearn import datasets
import tensorflow as tf

import tfp_flowopt as fo

_OUTPUT = flags.DEFINE_string(
    'output', 'budget_frontier.json', 'JSON file to write.'
)
_PICTURE = flags.DEFINE_string(
    'picture', None, 'PNG file to write; needs matplotlib.'
)
_BUDGETS = flags.DEFINE_list(
    'budgets', ['4', '7', '10', '16', 'none'], 'In nats, or none.'
)
_TRAIN_STEPS = flags.DEFINE_integer('train_steps', 600, 'Of each run.')
_NUM_STEPS = flags.DEFINE_integer('num_steps', 4, 'Flow steps of a level.')
_HIDDEN_CHANNELS = flags.DEFINE_integer(
    'hidden_channels', 64, 'Width of the networks.'
)
_IMAGE_SIZE = flags.DEFINE_integer('image_size', 32, 'Side of the crops.')
_SEED = flags.DEFINE_integer('seed', 0, 'Of weights, order and noise.')
_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Folder of images; by default those of scikit-learn.'
)

_NUM_LOCAL = flags.DEFINE_integer(
    'num_local', 4, 'Held-out images whose local constants are measured.'
)


def _photographs():
  """Crops to train on, and of the right-hand quarters, held out."""
  if _DATA_DIR.value:
    images, _ = fo.training.load_images(
        _DATA_DIR.value, smallest_side=4 * _IMAGE_SIZE.value
    )
  else:
    images = datasets.load_sample_images().images
  return [
      fo.training.ImageCrops(part, _IMAGE_SIZE.value)
      for part in fo.training.split_columns(images)
  ]


def _log_constants(bounds):
  """Logarithms of the constants of forward and inverse."""
  return [math.log(bounds.forward), math.log(bounds.inverse)]


def _local_constants(flow, held_out):
  """The largest logarithms of local constants at held-out images."""
  seed = tf.constant([_SEED.value, 1], tf.int64)
  images = held_out.draw(_NUM_LOCAL.value, seed)
  x = (tf.cast(images, tf.float32) + 0.5) / 256.0 - 0.5
  with fo.lipschitz.frozen(flow):
    local = fo.diagnostics.local_lipschitz(flow, x)
  return [float(tf.reduce_max(tf.math.log(constant))) for constant in local]


def _run(budget, train, held_out, workdir):
  """Trains one flow; returns its row of the table."""
  distribution = fo.image_flow(
      train.event_shape,
      num_steps=_NUM_STEPS.value,
      hidden_channels=_HIDDEN_CHANNELS.value,
      lipschitz_budget=budget,
      seed=_SEED.value,
  )
  config = fo.training.TrainConfig(
      train_steps=_TRAIN_STEPS.value,
      eval_every=_TRAIN_STEPS.value,
      checkpoint_every=_TRAIN_STEPS.value,
      seed=_SEED.value,
  )
  trainer = fo.training.Trainer(distribution, train, held_out, workdir, config)
  start = time.monotonic()
  summary = trainer.train()
  seconds = time.monotonic() - start
  trainer.use_averaged_weights()
  flow = distribution.bijector
  parts = flow.bounds_by_part()
  return {
      'budget': budget,
      'bits_per_dim': summary['held_out_bits_per_dim'],
      'start': summary['measured'],
      'skipped_steps': summary['skipped_steps'],
      'seconds': seconds,
      'log_nonlinear': _log_constants(parts.nonlinear),
      'log_linear': _log_constants(parts.linear),
      'log_whole': _log_constants(fo.lipschitz.lipschitz_bounds(flow)),
      'log_local': (
          _local_constants(flow, held_out) if _NUM_LOCAL.value else []
      ),
  }


def _print_table(rows):
  reference = min(
      (r['bits_per_dim'] for r in rows if r['budget'] is None),
      default=math.nan,
  )
  print(
      '\nheld-out bits/dim, and logarithms of Lipschitz constants as '
      'forward/inverse'
  )
  print(
      f'{"budget":>7}{"bits/dim":>10}{"cost":>8}{"non-linear":>14}'
      f'{"linear":>14}{"whole":>14}{"at images":>14}'
  )
  for row in rows:
    pairs = ''.join(
        f'{"/".join(f"{x:.1f}" for x in row[name]):>14}'
        for name in ('log_nonlinear', 'log_linear', 'log_whole', 'log_local')
    )
    budget = 'none' if row['budget'] is None else f'{row["budget"]:g}'
    print(
        f'{budget:>7}{row["bits_per_dim"]:>10.3f}'
        f'{row["bits_per_dim"] - reference:>+8.3f}{pairs}'
    )


def _draw(rows, path):
  """Bits/dim against the budget; without a budget, a line."""
  from matplotlib.backends import backend_agg
  from matplotlib.figure import Figure

  figure = Figure(figsize=(7, 4.2), layout='constrained')
  backend_agg.FigureCanvasAgg(figure)
  axes = figure.add_subplot()
  points = [(r['budget'], r['bits_per_dim']) for r in rows if r['budget']]
  axes.plot(*np.transpose(points), 'o-', color='#4c78a8')
  for x, y in points:
    axes.annotate(
        f'{y:.2f}', (x, y), textcoords='offset points', xytext=(6, 6)
    )
  for row in rows:
    if row['budget'] is None:
      best = row['bits_per_dim']
      axes.axhline(
          best, color='#e45756', linestyle='--', label=f'no budget: {best:.2f}'
      )
      axes.axhspan(best, best + 0.05, color='#e45756', alpha=0.1)
      axes.legend(frameon=False)
  axes.set_xlabel('budget: log Lipschitz constant of the non-linear part')
  axes.set_ylabel(f'held-out bits/dim after {_TRAIN_STEPS.value} steps')
  axes.spines[['top', 'right']].set_visible(False)
  figure.savefig(path, dpi=100)


def _measured(path, settings):
  """The rows that a file of the same settings holds."""
  if not path.exists():
    return []
  before = json.loads(path.read_text(encoding='utf-8'))
  if before.get('settings') != settings:
    raise app.UsageError(
        f'--output: {path} holds other settings, {before.get("settings")}, '
        f'not {settings}.'
    )
  return before['rows']


def main(argv):
  """Trains, prints, writes."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  logging.set_verbosity(logging.WARNING)
  settings = {
      flag.name: flag.value
      for flag in (_TRAIN_STEPS, _NUM_STEPS, _HIDDEN_CHANNELS, _IMAGE_SIZE,
                   _SEED, _DATA_DIR)
  }
  path = pathlib.Path(_OUTPUT.value)
  rows = _measured(path, settings)
  train, held_out = _photographs()
  for name in _BUDGETS.value:
    budget = None if name == 'none' else float(name)
    if budget in [row['budget'] for row in rows]:
      continue
    with tempfile.TemporaryDirectory() as workdir:
      rows.append(_run(budget, train, held_out, workdir))
    # After each run: a long measurement that is cut short is not lost.
    rows.sort(key=lambda row: row['budget'] or math.inf)
    path.write_text(
        json.dumps({'settings': settings, 'rows': rows}, indent=2) + '\n',
        encoding='utf-8',
    )
  _print_table(rows)
  if _PICTURE.value:
    _draw(rows, _PICTURE.value)


if __name__ == '__main__':
  app.run(main)

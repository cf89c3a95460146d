"""Fits `fo.vector_flow` to densities in the plane, and draws them.

Eight Gaussians, a checkerboard, two spirals, a pinwheel, rings and two moons
are known densities p, so the distance of the flow q from them is known, too:
the mean of log p - log q over fresh points, in nats. Prints it before and after
training, the integral of each density over a grid, and the certified Lipschitz
constants.

  python examples/density_2d.py --picture=/tmp/density_2d.png

The picture has a column for each data set: the density, then each model.
`--model` chooses the steps of the flow, as `coupling` of `fo.vector_flow`.
"""

import pathlib
import sys
import time

from absl import flags
from matplotlib import figure
import numpy as np
import onednn  # noqa: F401
import programs
import tensorflow as tf

import tfp_flowopt as fo

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / 'benchmarks'))

from harness import plane

_TARGETS = {
    name.replace(' ', '_').lower(): name for name in plane.TARGETS
}
_PICTURE = programs.define_outputs()
_DATASETS = flags.DEFINE_multi_enum(
    'dataset',
    [name for name in _TARGETS if name != 'two_moons'],
    list(_TARGETS),
    'Data sets; repeat for more than one.',
)
_MODELS = flags.DEFINE_multi_enum(
    'model',
    ['spline'],
    ['spline', 'autoregressive', 'affine', 'residual', 'convex'],
    'Steps of the flow; repeat for more than one.',
)
_NUM_TRAIN = flags.DEFINE_integer(
    'num_train', 50000, 'Points to train on.', lower_bound=100
)
_TRAIN_STEPS = flags.DEFINE_integer(
    'train_steps', 2000, 'Steps of training.', lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 512, 'Points in a batch.', lower_bound=1
)
_NUM_STEPS = flags.DEFINE_integer(
    'num_steps', 6, 'Steps of the flow.', lower_bound=1
)
_HIDDEN = flags.DEFINE_integer(
    'hidden', 48, 'Width of the networks, even.', lower_bound=2
)
_NUM_BINS = flags.DEFINE_integer(
    'num_bins', 64, 'Bins of the splines.', lower_bound=2
)
_LEARNING_RATE = flags.DEFINE_float(
    'learning_rate', 5e-3, "Adam's learning rate at the start.", lower_bound=0
)
_GRID = flags.DEFINE_integer(
    'grid', 320, 'Grid points per side, for the integral.', lower_bound=8
)
_SEED = flags.DEFINE_integer(
    'seed', 0, 'Seed of data and weights.', lower_bound=0
)

programs.check_even(_HIDDEN)

# Half the side of the square that the integral is over, and of the picture.
_EXTENT, _SHOWN, _CELLS = 8.0, 4.5, 240
_NUM_TEST = 20000


def distance(target, log_prob, rng):
  """The mean of log p - log q over points of p, and its standard error."""
  points = target.sample(_NUM_TEST, rng)
  own = log_prob(tf.constant(points, tf.float32)).numpy()
  gaps = target.log_prob(points) - own
  return gaps.mean(), gaps.std() / len(gaps) ** 0.5


def density_on_grid(log_prob, num, extent=_EXTENT):
  """The density at the centres of `num x num` cells of a square.

  Args:
    log_prob: Maps `[N, 2]` to log-densities `[N]`.
    num: Number of cells of a side.
    extent: Half the side of the square.

  Returns:
    float64 `[num, num]`, and the area of a cell.
  """
  side = 2.0 * extent / num
  axis = -extent + side * (np.arange(num) + 0.5)
  grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
  values = [
      np.asarray(log_prob(part.astype(np.float32)), np.float64)
      for part in np.array_split(grid, -(-len(grid) // 20000))
  ]
  return np.exp(np.concatenate(values)).reshape(num, num), side**2


def fit(name, model):
  """Trains a flow: its log-density, and a dictionary of results."""
  target = plane.TARGETS[_TARGETS[name]]
  seed = [_SEED.value, list(_TARGETS).index(name)]
  rngs = [np.random.default_rng([*seed, part]) for part in range(3)]
  x = target.sample(_NUM_TRAIN.value, rngs[0]).astype(np.float32)
  flow = fo.vector_flow(
      2,
      num_steps=_NUM_STEPS.value,
      hidden_units=_HIDDEN.value,
      coupling=model,
      num_bins=_NUM_BINS.value,
      seed=_SEED.value,
  )
  log_prob = tf.function(
      flow.log_prob, input_signature=[tf.TensorSpec([None, 2])]
  )
  with fo.training.under_way('Initialising the flow'):
    fo.initialize_at_optimum(flow, x)
  start, _ = distance(target, log_prob, rngs[1])
  began = time.monotonic()
  fo.training.fit(
      flow,
      x,
      train_steps=_TRAIN_STEPS.value,
      batch_size=_BATCH_SIZE.value,
      learning_rate=_LEARNING_RATE.value,
      seed=_SEED.value,
  )
  seconds = time.monotonic() - began
  trained, error = distance(target, log_prob, rngs[2])
  density, area = density_on_grid(log_prob, _GRID.value)
  return log_prob, {
      'dataset': name,
      'model': model,
      'entropy': plane.entropy(target),
      'start': start,
      'trained': trained,
      'error': error,
      'integral': density.sum() * area,
      'lipschitz': fo.lipschitz.lipschitz_bounds(flow.bijector)._asdict(),
      'seconds': seconds,
  }


def draw(columns, path):
  """Writes a picture of a list of columns `(title, density)` as a file."""
  rows = len(columns[0])
  sheet = figure.Figure(
      figsize=(2.4 * len(columns), 2.55 * rows), layout='constrained'
  )
  axes = sheet.subplots(rows, len(columns), squeeze=False)
  for column, own in zip(columns, axes.T, strict=True):
    truth = column[0][1]
    most = np.quantile(truth[truth > 0.01 * truth.max()], 0.98)
    for (title, density), panel in zip(column, own, strict=True):
      panel.imshow(
          # The root shows the tails, too.
          np.sqrt(density),
          vmin=0.0,
          vmax=np.sqrt(most),
          cmap='inferno',
          origin='lower',
          extent=[-_SHOWN, _SHOWN] * 2,
      )
      panel.set_title(title, fontsize=9)
      panel.set_xticks([])
      panel.set_yticks([])
  sheet.savefig(path, dpi=110)


def main(argv):
  """Trains all models on all data sets."""
  del argv
  results, columns = [], []
  print(
      f'{"data":<16}{"model":<10}{"entropy":>8}{"start":>8}{"trained":>9}'
      f'{"+-":>8}{"integral":>10}{"Lip forward":>13}{"Lip inverse":>13}'
      f'{"seconds":>9}\n'
      '(start, trained: nats from the density; certified constants)'
  )
  for name in _DATASETS.value:
    truth = plane.TARGETS[_TARGETS[name]].log_prob
    density, _ = density_on_grid(truth, _CELLS, _SHOWN)
    column = [(f'{_TARGETS[name]}: density', density)]
    for model in _MODELS.value:
      log_prob, result = fit(name, model)
      results.append(result)
      bounds = result['lipschitz']
      print(
          f'{name:<16}{model:<10}{result["entropy"]:>8.3f}'
          f'{result["start"]:>8.3f}{result["trained"]:>9.4f}'
          f'{result["error"]:>8.4f}{result["integral"]:>10.4f}'
          f'{bounds["forward"]:>13.3g}{bounds["inverse"]:>13.3g}'
          f'{result["seconds"]:>9.1f}',
          flush=True,
      )
      column.append((
          f'{model} flow, {result["trained"]:.3f} nats away',
          density_on_grid(log_prob, _CELLS, _SHOWN)[0],
      ))
    columns.append(column)
  programs.write_results(results)
  if _PICTURE.value:
    draw(columns, _PICTURE.value)


if __name__ == '__main__':
  programs.run(main)

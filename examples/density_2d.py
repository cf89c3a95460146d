"""Fits flows of bounded layers to densities in the plane, and draws them.

Affine couplings and Lipschitz residual layers, and with `--model=convex`
gradients of convex potentials, each on two moons, eight Gaussians and a
checkerboard. Couplings and residual layers start at the best linear flow (the
data's mean and covariance); a convex potential bends the plane from the start,
and fits these targets less well. Prints held-out log-likelihoods, the integral
of each density over a grid, and the certified Lipschitz constants.

  python examples/density_2d.py --picture=/tmp/density_2d.png

The picture has a row for each data set: the data, then each model.
"""

import json
import time

from absl import app
from absl import flags
import numpy as np
import onednn  # noqa: F401
import tensorflow as tf
import tensorflow_probability as tfp
import vector_flows

import tfp_flowopt as fo

tfb = tfp.bijectors
tfd = tfp.distributions

DATASETS = ('two_moons', 'eight_gaussians', 'checkerboard')
MODELS = (*vector_flows.LAYERS, 'convex')

_PICTURE = flags.DEFINE_string('picture', None, 'PNG file to write, if any.')
_RESULTS = flags.DEFINE_string('results', None, 'JSON file to write, if any.')
_DATASETS = flags.DEFINE_multi_enum(
    'dataset', DATASETS, DATASETS, 'Data sets; repeat for more than one.'
)
_MODELS = flags.DEFINE_multi_enum(
    'model',
    ('affine', 'residual'),
    MODELS,
    'Models; repeat for more than one.',
)
_TRAIN_STEPS = flags.DEFINE_integer(
    'train_steps', 1000, 'Steps of each model.', lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 256, 'Points in a batch.', lower_bound=1
)
_NUM_BLOCKS = flags.DEFINE_integer(
    'num_blocks', 10, 'Layers of each model.', lower_bound=1
)
_HIDDEN = flags.DEFINE_integer(
    'hidden', 32, 'Width of the networks, even.', lower_bound=2
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

# Half the side of the square that the integral is over, and of the picture.
_EXTENT, _SHOWN = 8.0, 4.5
# Colours of densities, from none to much.
_COLOURS = [
    (12, 8, 30), (62, 24, 104), (140, 41, 109), (214, 73, 73), (250, 150, 40),
    (252, 250, 180),
]


def sample_data(name, num, rng):
  """Draws points of a data set.

  Args:
    name: One of `DATASETS`.
    num: Number of points.
    rng: `np.random.Generator`.

  Returns:
    float32 `[num, 2]`, within about 4 of the origin.
  """
  if name == 'two_moons':
    upper = rng.integers(0, 2, num)
    angle = np.pi * rng.uniform(size=num)
    x = np.where(upper, np.cos(angle), 1.0 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    points = np.stack([x - 0.5, y - 0.25], 1) * 2.0
    points += 0.2 * rng.normal(size=(num, 2))
  elif name == 'eight_gaussians':
    angle = rng.integers(0, 8, num) * (np.pi / 4)
    points = 3.0 * np.stack([np.cos(angle), np.sin(angle)], 1)
    points += 0.3 * rng.normal(size=(num, 2))
  else:
    column = rng.integers(0, 4, num)
    row = 2 * rng.integers(0, 2, num) + column % 2
    corner = 2.0 * np.stack([column, row], 1) - 4.0
    points = corner + 2.0 * rng.uniform(size=(num, 2))
  return points.astype(np.float32)


def make_flow(model, data, num_blocks, hidden, seed):
  """A distribution of one of the models, at the best linear flow.

  Args:
    model: One of `MODELS`.
    data: `[N, 2]`, of which mean and covariance are taken.
    num_blocks: Number of layers.
    hidden: Width of the networks.
    seed: Python `int`.

  Returns:
    `tfd.TransformedDistribution`.
  """
  covariance = np.cov(data.T.astype(np.float64))
  linear = [
      tfb.Shift(data.mean(axis=0)),
      tfb.ScaleMatvecTriL(np.linalg.cholesky(covariance).astype(np.float32)),
  ]
  layers, mirrors = [], []
  rng = np.random.default_rng(seed)
  for i in range(num_blocks):
    block_seed = 100 * seed + 10 * i
    if model in vector_flows.LAYERS:
      layer = vector_flows.make_layer(model, 2, hidden, block_seed)
    else:
      layer = fo.bijectors.ConvexPotentialResidual(
          fo.lipschitz.LipschitzDense(2, hidden, seed=block_seed),
          smallest=0.25,
          largest=4.0,
      )
    layers.append(layer)
    # Between axes and diagonals: a reflection there would mix nothing.
    angle = rng.uniform(0.08, 0.17) * np.pi
    mirror = np.float32([np.cos(angle), np.sin(angle)])
    mirrors.append(
        tfb.ScaleMatvecLinearOperator(
            tf.linalg.LinearOperatorHouseholder(mirror)
        )
    )
  bijectors = linear + vector_flows.mixed(layers, mirrors, 2)
  base = tfd.MultivariateNormalDiag(tf.zeros([2]))
  return tfd.TransformedDistribution(base, tfb.Chain(bijectors))


def train(flow, name, num_steps, batch_size, learning_rate, rng):
  """Fits a flow by Adam with a cosine schedule, in place.

  Args:
    flow: Distribution of points `[2]`.
    name: One of `DATASETS`.
    num_steps: Number of steps, each on new points.
    batch_size: Points in a step.
    learning_rate: The first one; the last is 0.
    rng: `np.random.Generator` of the points.
  """
  variables = flow.trainable_variables
  optimizer = vector_flows.make_optimizer(learning_rate, num_steps, variables)

  @tf.function(autograph=False)
  def step(points):
    with tf.GradientTape() as tape:
      loss = -tf.reduce_mean(flow.log_prob(points))
    gradients = tape.gradient(loss, variables)
    optimizer.apply_gradients(zip(gradients, variables, strict=True))

  for _ in range(num_steps):
    step(tf.constant(sample_data(name, batch_size, rng)))


def density_on_grid(log_prob, num, extent=_EXTENT):
  """The density at the centres of `num x num` cells of a square.

  Args:
    log_prob: Maps float32 `[N, 2]` to log-densities `[N]`.
    num: Number of cells of a side.
    extent: Half the side of the square.

  Returns:
    float64 `[num, num]`, and the area of a cell.
  """
  side = 2.0 * extent / num
  axis = -extent + side * (np.arange(num) + 0.5)
  grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
  values = [
      log_prob(tf.constant(part, tf.float32)).numpy()
      for part in np.array_split(grid, -(-len(grid) // 20000))
  ]
  density = np.exp(np.concatenate(values).astype(np.float64))
  return density.reshape(num, num), side**2


def heat_map(density, most):
  """Colours a density: uint8 `[H, W, 3]`, north up, `most` the brightest."""
  # The root shows the tails, too.
  level = np.sqrt(np.clip(density[::-1] / most, 0.0, 1.0))
  stops = np.linspace(0.0, 1.0, len(_COLOURS))
  channels = [np.interp(level, stops, c) for c in np.transpose(_COLOURS)]
  return np.stack(channels, axis=-1).astype(np.uint8)


def main(argv):
  """Trains all models on all data sets."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  results, rows = [], []
  print(
      f'{"data":<16}{"model":<10}{"start":>8}{"trained":>9}{"integral":>10}'
      f'{"Lip forward":>13}{"Lip inverse":>13}{"seconds":>9}\n'
      '(held-out log-likelihood in nats per point; certified constants)'
  )
  for name in _DATASETS.value:
    seed = [_SEED.value, DATASETS.index(name)]
    fit, held_out = (
        sample_data(name, 10000, np.random.default_rng([*seed, part]))
        for part in (0, 1)
    )
    cells = 150
    counts, _, _ = np.histogram2d(
        *sample_data(name, 400000, np.random.default_rng([*seed, 2])).T,
        bins=cells,
        range=[[-_SHOWN, _SHOWN]] * 2,
    )
    truth = counts.T / (400000 * (2 * _SHOWN / cells) ** 2)
    most = np.quantile(truth[truth > 0], 0.98)
    row = [heat_map(truth, most)]
    for model in _MODELS.value:
      flow = make_flow(
          model, fit, _NUM_BLOCKS.value, _HIDDEN.value, _SEED.value
      )
      log_prob = tf.function(
          flow.log_prob, input_signature=[tf.TensorSpec([None, 2])]
      )
      result = {
          'dataset': name,
          'model': model,
          'start': float(tf.reduce_mean(log_prob(held_out))),
      }
      started = time.monotonic()
      train(
          flow,
          name,
          _TRAIN_STEPS.value,
          _BATCH_SIZE.value,
          _LEARNING_RATE.value,
          np.random.default_rng([*seed, 3]),
      )
      result['seconds'] = time.monotonic() - started
      result['trained'] = float(tf.reduce_mean(log_prob(held_out)))
      density, area = density_on_grid(log_prob, _GRID.value)
      result['integral'] = float(density.sum() * area)
      bounds = fo.lipschitz.lipschitz_bounds(flow.bijector)
      result['lipschitz'] = bounds._asdict()
      results.append(result)
      row.append(heat_map(density_on_grid(log_prob, cells, _SHOWN)[0], most))
      print(
          f'{name:<16}{model:<10}{result["start"]:>8.3f}'
          f'{result["trained"]:>9.3f}{result["integral"]:>10.4f}'
          f'{bounds.forward:>13.3g}{bounds.inverse:>13.3g}'
          f'{result["seconds"]:>9.1f}',
          flush=True,
      )
    rows.append(np.concatenate(
        [np.pad(x, [[2, 2], [2, 2], [0, 0]], constant_values=255) for x in row],
        axis=1,
    ))
  if _RESULTS.value:
    with open(_RESULTS.value, 'w') as f:
      json.dump(results, f, indent=2)
  if _PICTURE.value:
    sheet = tf.io.encode_png(np.concatenate(rows, axis=0))
    tf.io.write_file(_PICTURE.value, sheet)


if __name__ == '__main__':
  app.run(main)

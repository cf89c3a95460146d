"""The density of a table: a Gaussian, a Gaussian copula, and a flow.

The flow starts at the copula, in closed form, and is trained from there with
early stopping. What each reaches on rows that it has not seen is printed in
nats, of standardised columns; the picture shows pairs of columns, of held-out
rows and of rows drawn from the flow.

By default the sizes and shapes of cell nuclei that scikit-learn ships (the
first ten columns of `breast_cancer`); `--data` takes a CSV file, too.

  python examples/tabular_density.py --picture=/tmp/table.png
"""

from absl import flags
from matplotlib import figure
import numpy as np
import onednn  # noqa: F401
import programs
import tables

import tfp_flowopt as fo

_DATA = flags.DEFINE_string(
    'data', 'breast_cancer', f'{", ".join(tables.NAMES)}, or a CSV file.'
)
_COLUMNS = flags.DEFINE_integer(
    'columns', 10, 'Number of columns, the first ones.', lower_bound=2
)
_HELD_OUT = flags.DEFINE_float(
    'held_out', 0.2, 'Part of the rows that is held out.', 0.01, 0.9
)
_TRAIN_STEPS = flags.DEFINE_integer(
    'train_steps', 1000, 'Steps of training, at most.', lower_bound=1
)
_NUM_STEPS = flags.DEFINE_integer(
    'num_steps', 4, 'Steps of the flow.', lower_bound=1
)
_LEARNING_RATE = flags.DEFINE_float(
    'learning_rate', 1e-3, "Adam's.", lower_bound=0.0
)
_SEED = flags.DEFINE_integer('seed', 0, 'Of all that is random.', lower_bound=0)
_PICTURE = programs.define_outputs()

# Columns of the picture, and rows that are drawn of each kind.
_SHOWN, _DOTS = 4, 400


def main(argv):
  """Fits, prints and draws."""
  del argv
  names, rows = tables.read(_DATA.value)
  names, rows = names[: _COLUMNS.value], rows[:, : _COLUMNS.value]
  train, test, mean, scale = tables.split_and_standardize(
      rows, _HELD_OUT.value, _SEED.value
  )
  size = len(names)
  found = {}

  def note(name, log_prob):
    log_prob = np.float64(log_prob)
    error = log_prob.std() / np.sqrt(len(log_prob))
    found[name] = {'nats': log_prob.mean(), 'standard_error': error}
    print(f'{name:<20}{log_prob.mean():9.3f} +- {error:.3f} nats held out')

  stream = fo.AutoCorrelation('dense', size)
  stream.update(train)
  note('Gaussian', stream.linear_flow().log_prob(test))
  copula = fo.vector_flow(
      size, num_steps=1, gaussianize_marginals=True, gaussianize_radius=False
  )
  fo.initialize_at_optimum(copula, train)
  note('Gaussian copula', copula.log_prob(test))
  flow = fo.vector_flow(
      size, num_steps=_NUM_STEPS.value, coupling='affine', seed=_SEED.value
  )
  fo.initialize_at_optimum(flow, train)
  note('start', flow.log_prob(test))
  fo.training.fit(
      flow,
      train,
      train_steps=_TRAIN_STEPS.value,
      learning_rate=_LEARNING_RATE.value,
      seed=_SEED.value,
  )
  note('flow', flow.log_prob(test))
  if _PICTURE.value:
    drawn = flow.sample(_DOTS, seed=[_SEED.value, 1])
    _draw(_PICTURE.value, names, *(mean + scale * x for x in (test, drawn)))
    print(f'Written: {_PICTURE.value}')
  programs.write_results(found)


def _draw(path, names, real, drawn):
  num = min(len(names), _SHOWN)
  picture = figure.Figure(figsize=(2.2 * num, 2.2 * num), layout='constrained')
  grid = picture.subplots(num, num)
  colors = {'held-out rows': '#1f77b4', 'rows drawn from the flow': '#d95f02'}
  kinds = list(zip(colors.items(), (real[:_DOTS], drawn), strict=True))
  for i in range(num):
    for j in range(num):
      axes = grid[i, j]
      # Below the diagonal what is real, above it what is drawn.
      if i == j:
        low, high = np.quantile(real[:, i], [0.0, 1.0])
        margin = 0.1 * (high - low)
        bins = np.linspace(low - margin, high + margin, 25)
        for (_, color), x in kinds:
          axes.hist(x[:, i], bins, density=True, color=color, alpha=0.5)
        axes.set_yticks([])
      else:
        (_, color), x = kinds[j > i]
        axes.scatter(x[:, j], x[:, i], s=3, color=color, linewidths=0)
        axes.set_ylim(*_limits(real[:, i]))
        axes.tick_params(labelleft=j == 0)
      axes.set_xlim(*_limits(real[:, j]))
      axes.tick_params(labelsize=7, labelbottom=i == num - 1)
      if i == num - 1:
        axes.set_xlabel(names[j])
      if j == 0:
        axes.set_ylabel(names[i])
  picture.legend(
      handles=[
          grid[0, 0].scatter([], [], color=color, label=name)
          for (name, color), _ in kinds
      ],
      loc='outside upper center',
      ncols=2,
      frameon=False,
  )
  picture.savefig(path, dpi=100)


def _limits(values):
  low, high = np.min(values), np.max(values)
  return low - 0.1 * (high - low), high + 0.1 * (high - low)


if __name__ == '__main__':
  programs.run(main)

"""The density of y given x, and predictive intervals that say how sure it is.

The flow of one component is a curve of y for each x. So it is a distribution
function, and intervals are exact: no draws are needed. Coverage counts how many
held-out y lie in the central interval of each probability.

By default data above a curve, with skewed noise that grows along it, of which
the true density is known; `--data` takes a CSV file whose last column is y, or
a table of scikit-learn such as `diabetes`.

  python examples/conditional_density.py --picture=/tmp/conditional.png
"""

import math

from absl import flags
from matplotlib import figure
import numpy as np
import onednn  # noqa: F401
import programs
import tables
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfd = tfp.distributions

_DATA = flags.DEFINE_string(
    'data', 'curve', f'curve, {", ".join(tables.NAMES)}, or a CSV file.'
)
_ROWS = flags.DEFINE_integer(
    'rows', 4000, 'Number of rows of the curve.', lower_bound=100
)
_HELD_OUT = flags.DEFINE_float(
    'held_out', 0.25, 'Part of the rows that is held out.', 0.01, 0.9
)
_TRAIN_STEPS = flags.DEFINE_integer(
    'train_steps', 2000, 'Steps of training, at most.', lower_bound=1
)
_SEED = flags.DEFINE_integer('seed', 0, 'Of all that is random.', lower_bound=0)
_PICTURE = programs.define_outputs()

_LEVELS = (0.5, 0.9)


def curve_and_noise(x):
  """Where y is at least, and the distribution of how far it is above that."""
  return np.sin(3.0 * x), tfd.Gamma(2.0 * np.ones_like(x), 4.0 * np.exp(-x))


def main(argv):
  """Fits, prints and draws."""
  del argv
  if _DATA.value == 'curve':
    x = np.random.default_rng(_SEED.value).uniform(-1.0, 1.0, _ROWS.value)
    curve, noise = curve_and_noise(x)
    y = curve + noise.sample(seed=[_SEED.value, 0])
    names, rows = ['x', 'y'], np.stack([x, y], axis=1)
  else:
    names, rows = tables.read(_DATA.value)
    if len(names) < 2:
      raise SystemExit('A condition takes a table of two columns at least.')
  train, test, mean, scale = tables.split_and_standardize(
      rows, _HELD_OUT.value, _SEED.value
  )
  flow = fo.vector_flow(
      1, num_steps=3, conditioning=[len(names) - 1], seed=_SEED.value
  )
  with fo.training.under_way('Initialising the flow'):
    fo.initialize_at_optimum(flow, train[:, -1:], conditioning=train[:, :-1])
  given = {'conditioning': test[:, :-1]}
  start = flow.log_prob(test[:, -1:], bijector_kwargs=given)
  fo.training.fit(
      flow,
      train[:, -1:],
      train[:, :-1],
      train_steps=_TRAIN_STEPS.value,
      seed=_SEED.value,
  )
  log_prob = flow.log_prob(test[:, -1:], bijector_kwargs=given).numpy()
  # In nats of y itself, which is not standardised.
  unit = math.log(scale[-1])
  found = {'start': np.mean(start) - unit, 'nats': np.mean(log_prob) - unit}
  error = np.std(log_prob) / math.sqrt(len(test))
  print(f'At the closed-form start: {found["start"]:.3f} nats held out')
  print(f'Trained: {found["nats"]:.3f} +- {error:.3f} nats')
  if _DATA.value == 'curve':
    x, y = (mean + scale * test).T
    curve, noise = curve_and_noise(x)
    found['truth'] = np.mean(noise.log_prob(y - curve))
    print(f'The truth: {found["truth"]:.3f} nats')

  normal = tfd.Normal(0.0, 1.0)
  # Where each y is in its distribution: uniform if the flow is right.
  place = normal.cdf(flow.bijector.inverse(test[:, -1:], **given))[:, 0]
  levels = np.linspace(0.02, 0.98, 49)
  inside = np.abs(2.0 * place - 1.0) <= levels[:, np.newaxis]
  coverage = np.mean(inside, axis=1)
  for level in _LEVELS:
    found[f'coverage_{level}'] = np.interp(level, levels, coverage)
    print(
        f'Intervals of probability {level:.0%} hold '
        f'{found[f"coverage_{level}"]:.1%} of held-out {names[-1]}'
    )
  if _PICTURE.value:
    _draw(
        _PICTURE.value,
        names,
        mean + scale * test,
        lambda q: mean[-1] + scale[-1] * _quantiles(flow, given, q),
        levels,
        coverage,
    )
    print(f'Written: {_PICTURE.value}')
  programs.write_results({k: float(v) for k, v in found.items()})


def _quantiles(flow, given, probability):
  """Of y for each condition: the flow takes those of a normal to them."""
  z = tfd.Normal(0.0, 1.0).quantile([probability, 1.0 - probability])
  shape = [len(given['conditioning']), 1]
  values = [
      flow.bijector.forward(tf.fill(shape, value), **given)[:, 0] for value in z
  ]
  # A flow may decrease.
  return np.minimum(*values) if probability < 0.5 else np.maximum(*values)


def _draw(path, names, rows, quantiles, levels, coverage):
  picture = figure.Figure(figsize=(10.0, 4.2), layout='constrained')
  left, right = picture.subplots(1, 2, width_ratios=[3, 2])
  median = quantiles(0.5)
  if len(names) == 2:
    place, label = rows[:, 0], names[0]
  else:
    place, label = np.argsort(np.argsort(median)), 'rows, by their medians'
  order = np.argsort(place)
  for level, alpha in zip(_LEVELS[::-1], (0.25, 0.5), strict=True):
    left.fill_between(
        place[order],
        quantiles(0.5 - level / 2)[order],
        quantiles(0.5 + level / 2)[order],
        color='#d95f02',
        alpha=alpha,
        linewidth=0,
        label=f'interval of probability {level:.0%}',
    )
  left.plot(place[order], median[order], color='#7f2d00', label='median')
  left.scatter(
      place, rows[:, -1], s=4, color='#1f77b4', linewidths=0,
      label='held-out data', zorder=3,
  )
  left.set(xlabel=label, ylabel=names[-1], title='Predicted, and what came')
  left.legend(fontsize='small', frameon=False)
  right.plot([0, 1], [0, 1], color='gray', linestyle='--', label='exact')
  right.plot(levels, coverage, color='#d95f02', label='flow')
  right.set(
      xlabel='probability of the interval',
      ylabel='part of held-out data inside',
      title='Coverage',
      aspect='equal',
  )
  right.legend(frameon=False)
  picture.savefig(path, dpi=100)


if __name__ == '__main__':
  programs.run(main)

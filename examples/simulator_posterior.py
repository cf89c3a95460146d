"""Learns the posterior of a simulator: simulation-based inference.

```none
theta ~ Uniform([-1, 1]^2),   x = simulator(theta)   (two moons)
```

A `vector_flow` of theta, conditioned on x, is trained on pairs of simulations
alone. It gives the posterior of any observation at once, and stays inside of
the prior by its support. The posterior of this simulator is two crescents and
can be drawn exactly (Greenberg et al. 2019; Lueckmann et al. 2021), so the
picture and the table show how far the flow is from it.

  python examples/simulator_posterior.py --picture=/tmp/posterior.png
"""

import math
import time

from absl import flags
from matplotlib import figure
import numpy as np
import onednn  # noqa: F401
import programs
import tensorflow as tf
import tensorflow_probability as tfp
import two_moons

import tfp_flowopt as fo

tfb = tfp.bijectors

_PICTURE = programs.define_outputs()
_SIMULATIONS = flags.DEFINE_integer(
    'simulations', 10000, 'Number of pairs to learn from.', lower_bound=100
)
_TRAIN_STEPS = flags.DEFINE_integer(
    'train_steps', 3000, 'Steps of training, at most.', lower_bound=1
)
_NUM_STEPS = flags.DEFINE_integer(
    'num_steps', 6, 'Steps of the flow.', lower_bound=1
)
_HIDDEN = flags.DEFINE_integer(
    'hidden', 64, 'Width of the networks, even.', lower_bound=2
)
_SEED = flags.DEFINE_integer(
    'seed', 0, 'Seed of data and weights.', lower_bound=0
)

programs.check_even(_HIDDEN)

# What is drawn of each posterior.
_NUM_DRAWS = 2000
_OBSERVATIONS = ([0.0, 0.0], [-0.5, 0.3], [0.1, -0.6])


def energy_distance(a, b):
  """Square root of the energy distance of two samples `[N, 2]`."""

  def mean_distance(x, y):
    return np.mean(np.linalg.norm(x[:, np.newaxis] - y, axis=-1))

  square = 2.0 * mean_distance(a, b) - mean_distance(a, a) - mean_distance(b, b)
  return math.sqrt(max(square, 0.0))


def _draw(path, posteriors):
  drawn = figure.Figure(
      figsize=(3.2 * len(posteriors), 6.4), layout='constrained'
  )
  rows = drawn.subplots(2, len(posteriors), squeeze=False)
  for column, (x, samples) in enumerate(posteriors):
    for axes, (name, draws) in zip(
        rows[:, column], samples.items(), strict=True
    ):
      axes.scatter(*draws.T, s=2, alpha=0.4, linewidths=0)
      axes.set(
          xlim=(-1, 1), ylim=(-1, 1), aspect='equal', title=f'{name}, x = {x}'
      )
  drawn.savefig(path, dpi=100)


def main(argv):
  """Simulates, trains, and compares draws."""
  del argv
  rng = np.random.default_rng(_SEED.value)
  theta = rng.uniform(-1.0, 1.0, [_SIMULATIONS.value, 2])
  x = two_moons.simulate(theta, rng).astype(np.float32)
  theta = theta.astype(np.float32)

  began = time.monotonic()
  distribution = fo.vector_flow(
      2,
      num_steps=_NUM_STEPS.value,
      hidden_units=_HIDDEN.value,
      conditioning=[2],
      support=tfb.Sigmoid(-1.0, 1.0),
      seed=_SEED.value,
  )
  with fo.training.under_way('Initialising the flow'):
    predicted = fo.initialize_at_optimum(distribution, theta, conditioning=x)
  print(f'At the closed-form optimum: {predicted:.3f} nats.')
  result = fo.training.fit(
      distribution,
      theta,
      x,
      train_steps=_TRAIN_STEPS.value,
      seed=_SEED.value,
  )
  seconds = time.monotonic() - began
  print(
      f'Trained: {result.validation:.3f} nats of held-out simulations, step '
      f'{result.best_step}, {seconds:.0f} s.'
  )
  posteriors, rows = [], []
  for observation in _OBSERVATIONS:
    given = tf.constant([observation] * _NUM_DRAWS, tf.float32)
    samples = {
        'flow': distribution.sample(
            _NUM_DRAWS,
            seed=[_SEED.value, 1],
            bijector_kwargs={'conditioning': given},
        ).numpy(),
        'exact': two_moons.exact_posterior(observation, _NUM_DRAWS, rng),
    }
    again = two_moons.exact_posterior(observation, _NUM_DRAWS, rng)
    posteriors.append((observation, samples))
    rows.append({
        'observation': observation,
        'distance': energy_distance(samples['flow'], samples['exact']),
        'of_exact_draws': energy_distance(again, samples['exact']),
    })
    print(
        f'x = {observation}: energy distance {rows[-1]["distance"]:.3f} to '
        'exact draws, which are '
        f'{rows[-1]["of_exact_draws"]:.3f} from each other.'
    )
  if _PICTURE.value:
    _draw(_PICTURE.value, posteriors)
    print(f'Written: {_PICTURE.value}')
  programs.write_results({
      'predicted': predicted,
      'validation': result.validation,
      'seconds': seconds,
      'posteriors': rows,
  })


if __name__ == '__main__':
  programs.run(main)

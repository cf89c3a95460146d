"""What certified bounds cost in a training step.

Two flows of the same size, `image_flow` as it is by default (a budget, and
almost-orthogonal rescaling) and with plain kernels and no budget, take
optimiser steps in turn, in one process: a disturbance of the machine hits both.
Prints medians, their ratio and the time to trace and run the first step, and
writes JSON.

  python benchmarks/bounds_overhead.py --output=bounds_overhead.json
"""

import json
import math
import os
import pathlib
import statistics
import time

from absl import app
from absl import flags
import tensorflow as tf
import tf_keras

import tfp_flowopt as fo

_OUTPUT = flags.DEFINE_string(
    'output', 'bounds_overhead.json', 'JSON file to write.'
)
_IMAGE_SIZE = flags.DEFINE_integer('image_size', 64, 'Side of the images.')
_NUM_LEVELS = flags.DEFINE_integer('num_levels', 3, 'Number of resolutions.')
_NUM_STEPS = flags.DEFINE_integer('num_steps', 8, 'Flow steps at each.')
_HIDDEN_CHANNELS = flags.DEFINE_integer(
    'hidden_channels', 128, 'Width of the networks, even.'
)
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 16, 'Images in a step.')
_NUM_TIMINGS = flags.DEFINE_integer(
    'num_timings', 20, 'Timed steps of each flow.', lower_bound=1
)


def _make_step(**bounds):
  """A function that takes one training step, as the `Trainer` does."""
  shape = [_IMAGE_SIZE.value, _IMAGE_SIZE.value, 3]
  distribution = fo.image_flow(
      shape,
      num_levels=_NUM_LEVELS.value,
      num_steps=_NUM_STEPS.value,
      hidden_channels=_HIDDEN_CHANNELS.value,
      **bounds,
  )
  variables = distribution.trainable_variables
  optimizer = tf_keras.optimizers.Adam(1e-4)
  optimizer.build(variables)

  @tf.function
  def step(x):
    with tf.GradientTape() as tape, fo.lipschitz.shared_rescaling():
      loss = -tf.reduce_mean(distribution.log_prob(x))
    gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), 1.0)
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return loss

  return step


def _seconds(step, x):
  start = time.perf_counter()
  step(x).numpy()
  return time.perf_counter() - start


def main(argv):
  """Measures, prints and writes."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  x = tf.random.stateless_uniform(
      [_BATCH_SIZE.value, _IMAGE_SIZE.value, _IMAGE_SIZE.value, 3], [0, 1]
  ) - 0.5
  steps = {
      'bounded': _make_step(),
      'unbounded': _make_step(
          lipschitz_budget=None, conditioner_lipschitz=math.inf
      ),
  }
  first = {name: _seconds(step, x) for name, step in steps.items()}
  for step in steps.values():
    step(x).numpy()  # once more: memory is allocated lazily
  timings = {name: [] for name in steps}
  for _ in range(_NUM_TIMINGS.value):
    for name, step in steps.items():
      timings[name].append(_seconds(step, x))

  medians = {name: statistics.median(t) for name, t in timings.items()}
  ratio = medians['bounded'] / medians['unbounded']
  print(f'{"flow":<12}{"first step, s":>15}{"median step, s":>16}{"ratio":>9}')
  for name in steps:
    print(
        f'{name:<12}{first[name]:>15.1f}{medians[name]:>16.3f}'
        f'{medians[name] / medians["unbounded"]:>9.3f}'
    )
  result = {
      'settings': {
          flag.name: flag.value
          for flag in (_IMAGE_SIZE, _NUM_LEVELS, _NUM_STEPS, _HIDDEN_CHANNELS,
                       _BATCH_SIZE)
      },
      'tensorflow': tf.__version__,
      'cpus': os.cpu_count(),
      'devices': [d.device_type for d in tf.config.list_physical_devices()],
      'load_average': os.getloadavg(),
      'first_step_seconds': first,
      'median_seconds': medians,
      'ratio': ratio,
      'seconds': timings,
  }
  pathlib.Path(_OUTPUT.value).write_text(
      json.dumps(result, indent=2) + '\n', encoding='utf-8'
  )
  print(f'\nBounds cost {100 * (ratio - 1):.0f} %. Written: {_OUTPUT.value}')


if __name__ == '__main__':
  app.run(main)

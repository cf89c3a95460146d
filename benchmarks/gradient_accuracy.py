"""What recomputed inputs and bfloat16 networks cost in accuracy.

Trains the demo's flow on the demo's photographs, in float32 and with bfloat16
networks, both from the same start on the same batches. Prints held-out bits/dim
of both, the errors of recomputed inputs during training and their certified
bounds after it, and how far the gradients of the trained float32 flow are from
those of stored inputs.

  python benchmarks/gradient_accuracy.py --train_steps=2000
"""

import csv
import json
import pathlib
import tempfile

from absl import app
from absl import flags
import numpy as np
from sklearn import datasets
import tensorflow as tf

import tfp_flowopt as fo

_OUTPUT = flags.DEFINE_string(
    'output', 'gradient_accuracy.json', 'JSON to write.'
)
_TRAIN_STEPS = flags.DEFINE_integer('train_steps', 2000, 'Training steps.')
_DTYPES = flags.DEFINE_list(
    'compute_dtypes', 'float32,bfloat16', 'Types of the networks.'
)
# The defaults of examples/train_image_flow.py.
_SIDE = 32
_MODEL = {'num_levels': 3, 'num_steps': 4, 'hidden_channels': 64, 'seed': 0}


def _train(compute_dtype, train, held_out):
  """Trains one flow.

  Args:
    compute_dtype: Name of the type of the networks.
    train: `ImageCrops`.
    held_out: `ImageCrops`.

  Returns:
    The distribution, and a dictionary of results.
  """
  distribution = fo.image_flow(
      [_SIDE, _SIDE, 3], compute_dtype=tf.as_dtype(compute_dtype), **_MODEL
  )
  steps = _TRAIN_STEPS.value
  with tempfile.TemporaryDirectory() as workdir:
    trainer = fo.training.Trainer(
        distribution,
        train,
        held_out,
        workdir,
        fo.training.TrainConfig(
            train_steps=steps, eval_every=steps, checkpoint_every=steps
        ),
    )
    summary = trainer.train()
    with (pathlib.Path(workdir) / 'training_log.csv').open() as f:
      log = list(csv.DictReader(f))[:-1]
  errors = [float(row['reconstruction_error']) for row in log]
  return distribution, {
      'compute_dtype': compute_dtype,
      'bits_per_dim': summary['held_out_bits_per_dim'],
      'median_error': float(np.median(errors)),
      'largest_error': max(errors),
      'fallbacks': int(log[-1]['fallbacks']),
      'reconstruction': summary['reconstruction'],
  }


def _gradients(distribution, x):
  @tf.function(autograph=False)
  def gradients():
    with tf.GradientTape() as tape, fo.lipschitz.shared_rescaling():
      loss = -tf.reduce_mean(distribution.log_prob(x))
    return tape.gradient(loss, distribution.trainable_variables)

  return [g.numpy().astype(np.float64) for g in gradients()]


def _difference_of_gradients(distribution, images):
  """Relative difference of reversible and stored gradients.

  Args:
    distribution: The trained distribution.
    images: `uint8` images.

  Returns:
    Dictionary: of all weights together, and of the worst variable.
  """
  stored = fo.image_flow([_SIDE, _SIDE, 3], memory='stored', **_MODEL)
  for a, b in zip(stored.variables, distribution.variables, strict=True):
    a.assign(b)
  noise = fo.flows.dequantization_noise(images.shape, [0, 7])
  x = fo.flows.dequantize(images, noise=noise)
  pairs = [
      (np.linalg.norm(a - b), np.linalg.norm(b))
      for a, b in zip(
          _gradients(distribution, x), _gradients(stored, x), strict=True
      )
  ]
  difference, size = np.linalg.norm(pairs, axis=0)
  return {
      'all': difference / size,
      'worst_variable': max(d / n for d, n in pairs if n > 0),
  }


def main(argv):
  """Measures, prints and writes."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  train, held_out = (
      fo.training.ImageCrops(part, _SIDE)
      for part in fo.training.split_columns(
          datasets.load_sample_images().images
      )
  )
  results = {'train_steps': _TRAIN_STEPS.value, 'runs': []}
  for compute_dtype in _DTYPES.value:
    distribution, result = _train(compute_dtype, train, held_out)
    results['runs'].append(result)
    print(
        f'{compute_dtype}: {result["bits_per_dim"]:.4f} bits/dim, recomputed '
        f'inputs with an error of {result["median_error"]:.1e} (largest '
        f'{result["largest_error"]:.1e}), {result["fallbacks"]} fall-backs'
    )
    for level in result['reconstruction']:
      print(f'  {level}')
    if compute_dtype == 'float32':
      images = train.draw(32, tf.constant([0, 5], tf.int64))
      found = _difference_of_gradients(distribution, images)
      results['difference_of_gradients'] = found
      print(
          f'  gradients differ from stored ones by {found["all"]:.1e}, of the '
          f'worst variable {found["worst_variable"]:.1e}'
      )
  pathlib.Path(_OUTPUT.value).write_text(
      json.dumps(results, indent=2) + '\n', encoding='utf-8'
  )


if __name__ == '__main__':
  app.run(main)

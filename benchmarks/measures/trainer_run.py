"""What a flow has come to after a run of `Trainer`, and how exact it is.

The same start and batches whatever the flow's settings are. Held-out bits/dim;
the errors of recomputed inputs during training, and their certified bounds
after it; logarithms of the certified constants, forward and inverse, and of the
largest local ones at `num_local` held-out images; and, if `gradients`, how far
gradients from recomputed inputs are from those from stored ones.
"""

import csv
import math
import pathlib
import tempfile
import time

from harness import images
import numpy as np
import tensorflow as tf

import tfp_flowopt as fo

_FLOW = ('num_levels', 'num_steps', 'hidden_channels', 'lipschitz_budget')


def measure(settings, seed, context):
  """See `run.py`; `data` is 'sample photographs' or 'photos'."""
  folder = None
  if settings['data'] == 'photos':
    folder = str(context.folder('photos'))
  train, held_out = images.sample_crops(settings['image_size'], folder)
  flow_settings = {name: settings[name] for name in _FLOW}
  distribution = fo.image_flow(
      train.event_shape,
      **flow_settings,
      memory='reversible',
      compute_dtype=tf.as_dtype(settings['compute_dtype']),
      seed=seed,
  )
  steps = settings['train_steps']
  config = fo.training.TrainConfig(
      train_steps=steps, eval_every=steps, checkpoint_every=steps, seed=seed
  )
  with tempfile.TemporaryDirectory() as workdir:
    trainer = fo.training.Trainer(
        distribution, train, held_out, workdir, config
    ).start_or_resume()
    start = time.monotonic()
    summary = trainer.train()
    seconds = time.monotonic() - start
    with (pathlib.Path(workdir) / 'training_log.csv').open() as f:
      log = list(csv.DictReader(f))[:-1]
  errors = [float(row['reconstruction_error']) for row in log]
  values = {
      'bits_per_dim': summary['held_out_bits_per_dim'],
      'start': summary['measured'],
      'skipped_steps': summary['skipped_steps'],
      'seconds': seconds,
      'median_error': float(np.median(errors)),
      'largest_error': max(errors),
      'fallbacks': int(log[-1]['fallbacks']),
      'reconstruction': summary['reconstruction'],
  }
  if settings['gradients']:
    stored = fo.image_flow(
        train.event_shape, **flow_settings, memory='stored', seed=seed
    )
    for a, b in zip(stored.variables, distribution.variables, strict=True):
      a.assign(b)
    x = train.draw(32, tf.constant([0, 5], tf.int64))
    values['gradients'] = _difference(distribution, stored, x)
  trainer.use_averaged_weights()
  flow = distribution.bijector
  bounds = {
      **flow.bounds_by_part()._asdict(),
      'whole': fo.lipschitz.lipschitz_bounds(flow),
  }
  for name in ('nonlinear', 'linear', 'whole'):
    constants = bounds[name].forward, bounds[name].inverse
    values[f'log_{name}'] = [*map(math.log, constants)]
  if settings['num_local']:
    key = tf.constant([seed, 1], tf.int64)
    x = tf.cast(held_out.draw(settings['num_local'], key), tf.float32)
    with fo.lipschitz.frozen(flow):
      local = fo.diagnostics.local_lipschitz(flow, (x + 0.5) / 256.0 - 0.5)
    values['log_local'] = [math.log(np.max(constant)) for constant in local]
  return values


def _difference(distribution, stored, images):
  """Relative difference of gradients, all together and the worst variable."""
  noise = fo.flows.dequantization_noise(images.shape, [0, 7])
  x = fo.flows.dequantize(images, noise=noise)

  @tf.function(autograph=False)
  def gradients(distribution):
    with tf.GradientTape() as tape, fo.lipschitz.shared_rescaling():
      loss = -tf.reduce_mean(distribution.log_prob(x))
    return tape.gradient(loss, distribution.trainable_variables)

  pairs = [
      (np.linalg.norm(np.float64(a) - b), np.linalg.norm(np.float64(b)))
      for a, b in zip(gradients(distribution), gradients(stored), strict=True)
  ]
  difference, size = np.linalg.norm(pairs, axis=0)
  return {
      'all': difference / size,
      'worst_variable': max(d / n for d, n in pairs if n > 0),
  }

"""Anomalies that no perturbation within a radius can hide.

Detectors score Fashion-MNIST by `log p`, trained without one class, which is to
be found. The area under the ROC curve that is certified at `eps` takes each
normal image at the least, and each anomaly at the most, that its density can
be within an L2 distance of `eps` (of pixels in `[0, 1]`). An attack, projected
gradient steps on both, says what is left of it at most.
"""

import functools
import gzip
import math
import pathlib
import tempfile
import time

from harness import serving
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfd = tfp.distributions
_FILES = {
    'train': ('train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz'),
    'test': ('t10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz'),
}
_BATCH = 100


def measure(settings, seed, context):
  """See `run.py`; `arm`, `anomaly`, a class, and `radii`.

  `largest` is the largest singular value that the linear part may have: noise
  of `1 / largest` on the images that are trained on.
  """
  rng = np.random.default_rng(seed)
  folder = context.folder('fashion_mnist')
  (x, labels), (test, test_labels) = (
      _load(folder, names, rng) for names in _FILES.values()
  )
  x = x[labels != settings['anomaly']]
  is_normal = test_labels != settings['anomaly']
  count = settings['num_test']
  parts = [test[is_normal][:count], test[~is_normal][:count]]
  if settings['arm'] == 'normflows':
    return _normflows(x, parts, settings, seed, context)
  start = time.perf_counter()
  distribution = _ARMS[settings['arm']](x, settings, seed)
  values = {'train_seconds': time.perf_counter() - start}
  dtype = distribution.dtype
  parts = [part.astype(dtype.as_numpy_dtype) for part in parts]
  log_prob = tf.function(distribution.log_prob, autograph=False)
  normal, anomalies = (_batched(log_prob, part) for part in parts)
  values |= _unperturbed(normal, anomalies, x.shape[-1])
  if settings['arm'] != 'tfb.Glow':
    certified = fo.diagnostics.CertifiedLogProb(distribution)
    bounds = tf.function(certified, autograph=False)
  for radius in settings['radii']:
    if settings['arm'] != 'tfb.Glow':
      within = functools.partial(bounds, radius=tf.constant(radius, dtype))
      values[f'certified {radius}'] = _area(
          _batched(lambda v, within=within: within(v).lower, parts[0]),
          _batched(lambda v, within=within: within(v).upper, parts[1]),
      )
    attacked = [
        _attacked(log_prob, part, radius, sign, settings['attack_steps'])
        for sign, part in zip((-1.0, 1.0), parts, strict=True)
    ]
    values[f'attacked {radius}'] = _area(*attacked)
  return values


def _unperturbed(normal, anomalies, size):
  """What log-densities of vectors say, as they are."""
  return {
      'bits_per_dim': 8.0 - np.mean(normal) / (size * math.log(2.0)),
      'finite': bool(np.isfinite(normal).all()),
      'area': _area(normal, anomalies),
  }


def _normflows(x, parts, settings, seed, context):
  """The same of normflows' Glow, in an environment of its own."""
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'data.npz'
    np.savez(path, train=x, normal=parts[0], anomalies=parts[1])
    model = {
        'image_size': math.isqrt(x.shape[-1]), 'channels': 1, 'num_levels': 2,
        'num_steps': 4, 'hidden_channels': 64,
    }
    arm = serving.Arm(
        serving.python_of_peers(context.peers),
        'normflows_attacked.py',
        {**model, 'seed': seed, 'path': str(path),
         'train_steps': settings['train_steps']},
    )
    try:
      start = time.perf_counter()
      arm.value('train')
      values = {'train_seconds': time.perf_counter() - start}
      names = ('normal', 'anomalies')
      values |= _unperturbed(
          *(np.array(arm.value('log_prob', part=name)) for name in names),
          x.shape[-1],
      )
      for radius in settings['radii']:
        values[f'attacked {radius}'] = _area(*(
            np.array(arm.value(
                'attacked', part=name, radius=radius, sign=sign,
                steps=settings['attack_steps'],
            ))
            for name, sign in zip(names, (-1.0, 1.0), strict=True)
        ))
    finally:
      arm.close()
  return values


def _load(folder, names, rng):
  """Dequantised vectors in [-1/2, 1/2], and labels."""
  arrays = []
  for name in names:
    with gzip.open(f'{folder}/{name}') as file:
      content = file.read()
    ndims = content[3]
    shape = np.frombuffer(content, '>i4', ndims, offset=4)
    arrays.append(
        np.frombuffer(content, np.uint8, offset=4 + 4 * ndims).reshape(shape)
    )
  images, labels = arrays
  noise = rng.uniform(size=images.shape)
  x = ((images + noise) / 256.0 - 0.5).astype(np.float32)
  return x.reshape([len(x), -1]), labels


def _noisy(x, settings, seed):
  noise = np.random.default_rng([seed, 1]).normal(size=x.shape)
  return x + (noise / settings['largest']).astype(np.float32)


def _closed_form(x, settings, seed):
  """The normal distribution of the noisy images: nothing is trained."""
  del seed
  moments = fo.AutoCorrelation('dense', [x.shape[-1]])
  for batch in np.array_split(x, 50):
    moments.update(batch)
  linear = moments.linear_flow(noise_variance=settings['largest'] ** -2.0)
  return linear.distribution()


def _elliptical(x, settings, seed):
  """The same with a curve of the norm, for heavy tails: no step, no network."""
  distribution = fo.vector_flow(
      x.shape[-1], num_steps=0, gaussianize_marginals=False, seed=seed
  )
  fo.initialize_at_optimum(distribution, _noisy(x, settings, seed))
  return distribution


def _image_flow(x, settings, seed):
  """Steps and scalings within a budget, after the whitening of all pixels."""
  size = math.isqrt(x.shape[-1])
  distribution = fo.image_flow(
      [size, size, 1], num_levels=1, num_steps=4, hidden_channels=32,
      whitening='dense', lipschitz_budget=settings['budget'], seed=seed,
  )
  images = _noisy(x, settings, seed).reshape([-1, size, size, 1])
  fo.initialize_at_optimum(distribution, images[:20000])
  fo.training.fit(
      distribution, images, train_steps=settings['train_steps'], batch_size=64,
      learning_rate=2e-3, quiet=True, seed=seed,
  )
  flat = tfp.bijectors.Reshape([size * size], event_shape_in=[size, size, 1])
  return tfd.TransformedDistribution(
      distribution.distribution,
      tfp.bijectors.Chain([flat, distribution.bijector]),
  )


def _vector_flow(x, settings, seed):
  x = _noisy(x, settings, seed)
  distribution = fo.vector_flow(
      x.shape[-1],
      num_steps=2,
      hidden_units=128,
      coupling='affine',
      lipschitz_budget=settings['budget'],
      gaussianize_marginals=False,
      gaussianize_radius=False,
      seed=seed,
  )
  fo.initialize_at_optimum(distribution, x[:20000])
  fo.training.fit(
      distribution, x, train_steps=settings['train_steps'], batch_size=128,
      learning_rate=1e-3, quiet=True, seed=seed,
  )
  return distribution


def _glow(x, settings, seed):
  """`tfb.Glow`, as its documentation has it, trained with Adam."""
  # They start TFP's Keras.
  from arms import tfb_glow
  import tf_keras

  size = math.isqrt(x.shape[-1])
  tf.random.set_seed(seed)
  glow = tfb_glow.make_glow(size, 1, 2, 4, 64, seed)
  flat = tfp.bijectors.Reshape([size * size], event_shape_in=[size, size, 1])
  distribution = tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0.0, 1.0), [size * size]),
      tfp.bijectors.Chain([flat, glow]),
  )
  distribution.log_prob(x[:16])
  variables = distribution.trainable_variables
  optimizer = tf_keras.optimizers.Adam(1e-3)
  optimizer.build(variables)
  rng = np.random.default_rng(seed)

  @tf.function(autograph=False)
  def step(batch):
    with tf.GradientTape() as tape:
      loss = -tf.reduce_mean(distribution.log_prob(batch))
    gradients, _ = tf.clip_by_global_norm(
        tape.gradient(loss, variables), 100.0
    )
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return loss

  for _ in range(settings['train_steps']):
    step(tf.constant(x[rng.integers(len(x), size=64)]))
  return distribution


_ARMS = {
    'closed form': _closed_form,
    'elliptical': _elliptical,
    'image flow': _image_flow,
    'vector flow': _vector_flow,
    'tfb.Glow': _glow,
}


def _batched(function, x):
  return np.concatenate([
      function(tf.constant(x[i : i + _BATCH])).numpy()
      for i in range(0, len(x), _BATCH)
  ])


def _attacked(log_prob, x, radius, sign, steps):
  """The worst log-densities that projected gradient steps find."""

  @tf.function(autograph=False)
  def gradient(point):
    with tf.GradientTape() as tape:
      tape.watch(point)
      value = sign * log_prob(point)
    return value, tape.gradient(value, point)

  return sign * _batched(
      functools.partial(_climb, gradient, radius=radius, steps=steps), x
  )


def _climb(gradient, x, radius, steps):
  point, best = x, None
  for i in range(steps):
    value, slope = gradient(point)
    best = value if best is None else tf.maximum(best, value)
    unit = slope / tf.maximum(tf.norm(slope, axis=-1, keepdims=True), 1e-30)
    moved = point + radius * (1.0 - i / steps) * unit - x
    size = tf.norm(moved, axis=-1, keepdims=True)
    point = x + moved * tf.minimum(1.0, radius / tf.maximum(size, 1e-30))
  return tf.maximum(best, gradient(point)[0])


def _area(normal, anomalies):
  """Share of pairs in which the normal one has the higher density."""
  ordered = np.sort(np.nan_to_num(anomalies, nan=np.inf))
  normal = np.nan_to_num(normal, nan=-np.inf)
  below = np.searchsorted(ordered, normal, 'left')
  upto = np.searchsorted(ordered, normal, 'right')
  return float(np.mean(below + upto) / 2.0 / len(ordered))

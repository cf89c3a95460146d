"""Constants of networks of ReLU: ours beside those of `eclipse-nn`.

Ours is the product of the norms of the kernels. `eclipse-nn` (Xu and
Sivaranjani 2024) solves a semidefinite programme layer by layer (`ECLipsE`), or
takes a closed form in its place (`ECLipsE_Fast`): tighter, for activations
whose slopes lie in [0, 1]. A search for steep places says what is there at
least.
"""

import time

from harness import serving
import numpy as np
import tensorflow as tf
import tf_keras

import tfp_flowopt as fo

_SIZE = 8  # of inputs and outputs


def measure(settings, seed, context):
  """See `run.py`; `width`, `num_hidden_layers`, `trained` steps, `methods`."""
  network = fo.networks.DenseConditioner(
      _SIZE,
      settings['width'],
      _SIZE,
      num_hidden_layers=settings['num_hidden_layers'],
      lipschitz=1.0,
      activation='relu',
      zero_initial=False,
      seed=seed,
  )
  if settings['trained']:
    _train(network, settings['trained'], seed)
  start = time.perf_counter()
  ours = network.current_lipschitz
  values = {
      'ours': ours,
      'ours seconds': time.perf_counter() - start,
      'measured': _largest_slope(network, seed),
  }
  kernels = [np.float64(k).T.tolist() for k in effective_kernels(network)]
  arm = serving.Arm(serving.python_of_eclipse(context.peers), 'eclipse.py', {})
  try:
    for method in settings['methods']:
      found = arm.value('estimate', kernels=kernels, method=method)
      values[method] = found['constant']
      values[f'{method} seconds'] = found['seconds']
  finally:
    arm.close()
  return values


def effective_kernels(network):
  """Kernels `[in, out]` of the layers as they act."""
  return [
      layer.effective_kernel()
      for layer in network.submodules
      if isinstance(layer, fo.lipschitz.LipschitzDense)
  ]


def _train(network, num_steps, seed):
  """Towards a map that is steeper than the network may be."""
  x = tf.random.stateless_normal([512, _SIZE], [seed, 0])
  y = tf.sin(3.0 * x[:, ::-1])
  optimizer = tf_keras.optimizers.Adam(3e-3)
  optimizer.build(network.trainable_variables)

  @tf.function(autograph=False)
  def step():
    with tf.GradientTape() as tape:
      loss = tf.reduce_mean(tf.square(network(x) - y))
    variables = network.trainable_variables
    gradients = tape.gradient(loss, variables)
    optimizer.apply_gradients(zip(gradients, variables, strict=True))

  for _ in range(num_steps):
    step()


def _largest_slope(network, seed, points=64, steps=50):
  """The largest norm of a Jacobian that a search finds.

  Between its kinks a network of ReLU is straight, so gradients of the norm are
  0: the better half of the points stays, and moves at random, ever less.
  """
  @tf.function(autograph=False)
  def norms_at(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = network(x)
    return tf.linalg.svd(tape.batch_jacobian(y, x), compute_uv=False)[:, 0]

  rng = np.random.default_rng(seed)
  x, best = rng.normal(size=[points, _SIZE]), 0.0
  for i in range(steps):
    norms = norms_at(tf.constant(x, tf.float32)).numpy()
    best = max(best, float(norms.max()))
    kept = x[np.argsort(norms)[points // 2:]]
    moves = 2.0 * 0.9**i * rng.normal(size=kept.shape)
    x = np.concatenate([kept, kept + moves])
  return best

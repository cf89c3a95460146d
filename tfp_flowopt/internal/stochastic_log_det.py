"""Log-determinants from random probes, with their gradients."""

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import linearization

__all__ = ['event_sum', 'rademacher', 'seed_tensor', 'value_and_log_det']


def seed_tensor(seed):
  """A stateless seed, int32 `[2]`, from an integer or a pair of integers."""
  seed = arguments.check_integers(
      'seed', seed, 'an integer or a pair of integers', [[], [2]]
  )
  seed = tf.cast(seed, tf.int32)
  return seed if seed.shape.rank else tf.stack([0, seed])


def rademacher(num_probes, x, seed):
  """Random signs, `[num_probes, ...]` for `x` `[...]`, in its type."""
  shape = tf.concat([[num_probes], tf.shape(x)], axis=0)
  bits = tf.random.stateless_uniform(
      shape, seed, minval=0, maxval=2, dtype=tf.int32
  )
  signs = tf.cast(2 * bits - 1, x.dtype)
  return tf.ensure_shape(signs, [num_probes, *x.shape])


def event_sum(x, event_ndims):
  """The sum over the dimensions of an event."""
  return tf.reduce_sum(x, axis=list(range(-event_ndims, 0)))


def value_and_log_det(function, x, event_ndims, probes, estimator):
  """A map, and an estimate of a log-determinant of its Jacobian `J`.

  An estimator gives, for a probe `v`, an estimate of the log-determinant and a
  vector `w ~ J'^-T v`, where `J'` is the matrix of the determinant and
  `dJ' = dJ`. The gradient is then that of

  ```none
  w^T J v,   w constant:   E d(w^T J v) = E v^T J'^-1 dJ v = tr(J'^-1 dJ)
  ```

  (Chen et al. 2019, Residual Flows), one backward pass through one evaluation,
  however many terms the estimator took: what it computed is not kept. All is
  elementwise over the batch, so any upstream weights are right. First
  derivatives only: `w` is constant to the second.

  `function` maps `[..., event]` to the same shape, for any number of batch
  dimensions; the probes, of covariance `I`, are `[num_probes, batch...,
  event]`. `estimator` maps a `Linearization` and these to the log-determinants,
  whose mean over the probes is taken, and `w`. Returns `function(x)` and
  `[batch...]`.
  """
  copies = tf.tile(x[tf.newaxis], [probes.shape[0], *[1] * x.shape.rank])
  linear = linearization.Linearization(function, copies)
  log_det, w = linearization.without_gradient(
      lambda v: estimator(linear, v), probes
  )
  surrogate = event_sum(linear.vjp(w) * probes, event_ndims)
  # The bracket is exactly 0.
  log_det += surrogate - tf.stop_gradient(surrogate)
  return linear.value[0], tf.reduce_mean(log_det, axis=0)

"""Stochastic gradients reach the optimum by any parametrisation, and stop."""

import math

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo

D, N = 4, 1000


def triangular(raw, diagonal):
  upper = tf.linalg.band_part(raw, 0, -1)
  return tf.linalg.set_diag(upper, diagonal)


def lu(lower, upper, log_diagonal):
  """A = L U, the diagonal of L one; log|det A|."""
  matrix = tf.matmul(
      tf.transpose(triangular(lower, tf.ones(D, lower.dtype))),
      triangular(upper, tf.exp(log_diagonal)),
  )
  return matrix, tf.reduce_sum(log_diagonal)


def qr(vectors, upper, log_diagonal):
  """A = Q R, Q a product of D Householder reflections; log|det A|."""
  matrix = triangular(upper, tf.exp(log_diagonal))
  for v in tf.unstack(vectors):
    v = v / tf.norm(v)
    matrix -= 2.0 * v[:, tf.newaxis] * tf.linalg.matvec(
        matrix, v, transpose_a=True
    )
  return matrix, tf.reduce_sum(log_diagonal)


def two_dense(first, second, _):
  """A = A_1 A_2; log|det A|."""
  return tf.matmul(first, second), sum(
      tf.linalg.slogdet(a)[1] for a in (first, second)
  )


@pytest.mark.parametrize('parametrisation', [lu, qr, two_dense])
def test_it_reaches_the_optimum_and_no_more(rng, parametrisation):
  mix = np.linalg.qr(rng.normal(size=(D, D)))[0] * [2.0, 1.0, 0.7, 0.4]
  x = rng.normal(size=(N, D)) @ mix.T + rng.normal(size=D)
  data = tf.constant(x)
  parameters = [
      tf.Variable(np.eye(D) + 0.1 * rng.normal(size=(D, D)))
      for _ in range(2)
  ] + [tf.Variable(np.zeros(D)), tf.Variable(np.zeros(D))]

  def log_likelihood(x):
    matrix, log_det = parametrisation(*parameters[:3])
    z = tf.matmul(x - parameters[3], matrix, transpose_b=True)
    square = tf.reduce_mean(tf.reduce_sum(z**2, axis=-1))
    return log_det - 0.5 * square - 0.5 * D * math.log(2 * math.pi)

  @tf.function
  def train(steps):
    highest = log_likelihood(data)
    for step in tf.range(steps):
      # Steps that shrink: the noise of batches of 100 averages out.
      rate = 0.1 / (1.0 + tf.cast(step, tf.float64) / 200.0)
      rows = tf.random.stateless_uniform([100], [0, step], 0, N, tf.int32)
      with tf.GradientTape() as tape:
        loss = -log_likelihood(tf.gather(data, rows))
      used = [
          (p, g)
          for p, g in zip(
              parameters, tape.gradient(loss, parameters), strict=True
          )
          if g is not None
      ]
      for parameter, gradient in used:
        parameter.assign_sub(rate * gradient)
      highest = tf.maximum(highest, log_likelihood(data))
    return highest

  best = fo.likelihood_optimum(x)
  start = log_likelihood(data).numpy()
  highest = train(tf.constant(4000)).numpy()
  reached = log_likelihood(data).numpy()
  assert start < best.log_likelihood - 0.3
  assert best.log_likelihood - D * 1e-3 < reached
  # On the way, too.
  assert max(highest, reached) <= best.log_likelihood + 1e-9
  _, log_det = parametrisation(*parameters[:3])
  np.testing.assert_allclose(log_det, best.log_det, atol=0.02)

"""Residual maps, and points to try them at."""

import numpy as np
from support import registry
import tensorflow as tf

import tfp_flowopt as fo


class Linear(tf.Module):
  """`x -> matrix x`."""

  def __init__(self, matrix, lipschitz, dtype=tf.float64):
    super().__init__()
    self.matrix = tf.Variable(tf.constant(matrix, dtype))
    self.lipschitz = lipschitz

  def __call__(self, x):
    return tf.linalg.matvec(self.matrix, x)


def contractions(size, lipschitz):
  return {
      'reflection': -lipschitz * np.eye(size),
      'rotation': lipschitz * registry.rotation(size, 0),
      'quarter turns': lipschitz
      * np.kron(np.eye(size // 2), [[0.0, 1.0], [-1.0, 0.0]]),
  }


def solve(bijector, x):
  """`forward_with_error(x)`, in a graph: eager loops are slow."""
  return tf.function(bijector.forward_with_error)(x)


def network(size=4, lipschitz=0.8, scale=0.4, dtype=tf.float64):
  return registry.randomize(
      fo.networks.DenseConditioner(
          size,
          6,
          size,
          lipschitz=lipschitz,
          activation='smooth_max_min',
          dtype=dtype,
      ),
      scale,
  )


def points(num=3, size=4, seed=0):
  return tf.constant(np.random.default_rng(seed).normal(size=(num, size)))

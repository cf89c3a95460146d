"""The Jacobians that other tests trust."""

import numpy as np
from support import jacobians
import tensorflow as tf


def test_rows_are_outputs_and_columns_inputs(rng):
  matrices = rng.normal(size=[3, 4, 4])
  x = rng.normal(size=[3, 2, 2])

  def function(x, matrix):
    flat = tf.linalg.matvec(matrix, tf.reshape(x, [-1, 4]))
    return flat[:, tf.newaxis] ** 2

  got = jacobians.jacobian_of(function)(tf.constant(x), tf.constant(matrices))
  values = np.einsum('nij,nj->ni', matrices, x.reshape([3, 4]))
  np.testing.assert_allclose(got, 2.0 * values[..., np.newaxis] * matrices)

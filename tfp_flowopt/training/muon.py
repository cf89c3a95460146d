"""Adam for vectors, Muon for the kernels of networks."""

import math
import re

import tensorflow as tf
import tf_keras

__all__ = ['Muon', 'is_matrix', 'orthogonalized']

# Of Jordan et al. (2024): five rounds of the odd polynomial
# `a s + b s^3 + c s^5` take singular values of 0.01 and more to 0.7 to 1.2.
_POLYNOMIAL = 3.4445, -4.7750, 2.0315
_ROUNDS = 5
_MOMENTUM = 0.9
# The root mean square of a step of Adam, so that both go with one learning
# rate (Liu et al. 2025).
_ADAMS = 0.2


class Muon(tf_keras.optimizers.legacy.Adam):
  """Adam, but kernels go along their orthogonalised momentum.

  ```none
  m <- beta m + g,  U S V^T = g + beta m
  W <- W - 0.2 rate sqrt(max(I, O)) U V^T
  ```

  for kernels as matrices `[I, O]`: inputs of all taps, and outputs. That is the
  steepest descent within a ball of the spectral norm (Jordan et al. 2024,
  "Muon"). That norm bounds a dense layer, and times the root of the number of
  taps a convolution. `U V^T` is found by `orthogonalized`.

  Kernels are the variables that Keras calls `kernel`: those of dense layers,
  `[..., I, O]`, have at most one axis before, those of convolutions,
  `[..., H, W, I, O]`, have any number. All else gets Adam's step, and so do
  kernels of one output.
  """

  def _resource_apply_dense(self, grad, var, apply_state=None):
    if not is_matrix(var):
      return super()._resource_apply_dense(grad, var, apply_state)
    key = var.device, var.dtype.base_dtype
    state = (apply_state or {}).get(key) or self._fallback_apply_state(*key)
    momentum = self.get_slot(var, 'm')
    new = momentum.assign(
        _MOMENTUM * momentum + grad, use_locking=self._use_locking
    )
    matrix = _as_matrix(grad + _MOMENTUM * new)
    size = _ADAMS * math.sqrt(max(matrix.shape[-2:]))
    step = tf.reshape(size * orthogonalized(matrix), var.shape)
    return var.assign_sub(state['lr_t'] * step, use_locking=self._use_locking)


def is_matrix(variable):
  """Whether a variable is a kernel that has the step of matrices."""
  # Those on other devices of a replicated kernel are `kernel/replica_1:0`.
  is_kernel = re.search(r'(^|/)kernel(/replica_\d+)?:\d+$', variable.name)
  shape = variable.shape
  return bool(is_kernel) and shape.rank >= 2 and shape[-1] > 1


def orthogonalized(matrix):
  """About `U V^T` of matrices `U S V^T`, `[..., M, N]`.

  By Newton-Schulz iterations, which are products alone. Singular values that
  are no more than a hundredth of the Frobenius norm end at less than 0.7; those
  of a zero matrix are 0.

  Args:
    matrix: Floating-point `Tensor` with static last dimensions.

  Returns:
    `Tensor` of the same shape.
  """
  wide = matrix.shape[-2] <= matrix.shape[-1]
  x = matrix if wide else tf.linalg.matrix_transpose(matrix)
  # Scaled first, for squares of tiny numbers are 0.
  x = _over(x, tf.reduce_max(tf.abs(x), axis=[-2, -1], keepdims=True))
  x = _over(x, tf.norm(x, axis=[-2, -1], keepdims=True))
  a, b, c = _POLYNOMIAL
  for _ in range(_ROUNDS):
    gram = tf.matmul(x, x, transpose_b=True)
    x = a * x + tf.matmul(b * gram + c * tf.matmul(gram, gram), x)
  return x if wide else tf.linalg.matrix_transpose(x)


def _over(x, scale):
  return tf.math.divide_no_nan(x, scale)


def _as_matrix(kernel):
  """`[..., I, O]`, with the taps of convolutions among the inputs."""
  shape = kernel.shape.as_list()
  if len(shape) < 4:
    return kernel
  return tf.reshape(kernel, [*shape[:-4], math.prod(shape[-4:-1]), shape[-1]])

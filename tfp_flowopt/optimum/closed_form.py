"""The closed-form optimum of the likelihood of linear flows."""

import collections

import tensorflow as tf

from tfp_flowopt.optimum import moments
from tfp_flowopt.optimum import spectrum

__all__ = ['LikelihoodOptimum', 'likelihood_optimum', 'optimum_of_moments']


class LikelihoodOptimum(
    collections.namedtuple(
        'LikelihoodOptimum', ['log_likelihood', 'log_det', 'eigenvalues']
    )
):
  """What the best linear flow of a structure reaches.

  Attributes:
    log_likelihood: `[B...]`, the mean log-likelihood at the optimum, in nats
      per event (an image: all its positions together).
    log_det: `[B...]`, log|det A| of the optimal normalising map, in nats per
      event.
    eigenvalues: `[B..., D]`, the eigenvalues of the auto-correlation matrix
      (noise floor included), in descending order.
  """

  __slots__ = ()


def optimum_of_moments(
    data_moments, num_positions, rank, lipschitz, noise_variance, dtype
):
  """The optimum from `Moments`; `num_positions` vectors make an event."""
  log_likelihood, log_det, eigenvalues = spectrum.spectral_optimum(
      data_moments.eigenvalues(),
      tf.cast(data_moments.count, tf.int64),
      rank=rank,
      lipschitz=lipschitz,
      noise_variance=noise_variance,
  )
  num_positions = tf.cast(num_positions, tf.float64)
  return LikelihoodOptimum(
      tf.cast(num_positions * log_likelihood, dtype),
      tf.cast(num_positions * log_det, dtype),
      tf.cast(eigenvalues, dtype),
  )


def likelihood_optimum(
    x,
    structure='dense',
    centered=True,
    rank=None,
    lipschitz=None,
    noise_variance=0.0,
    block_size=1,
    name='likelihood_optimum',
):
  """The optimum of the likelihood over linear flows, in closed form.

  Over all flows `z = A (x - b)` with a standard normal base, whatever network
  computes `A`, the mean log-likelihood of `x_1..x_N` has one optimum. With
  `l_i` the eigenvalues of `R = mean (x - b) (x - b)^T`, it is

  ```none
  L* = -1/2 (D log(2 pi e) + sum_i log l_i)     log|det A*| = -1/2 sum_i log l_i
  ```

  (Liao & He 2021). With a `rank` it is that of probabilistic PCA (Tipping &
  Bishop 1999); with bounds on the singular values `s_i` of `A` it is

  ```none
  s_i = clip(l_i^(-1/2), m, M)
  L* = sum_i (log s_i - s_i^2 l_i / 2) - D/2 log(2 pi)
  ```

  The structure says which `A` are meant:

  * `'dense'`: any `D x D` matrix.
  * `'pointwise'`: one matrix shared by all positions of all images, a 1x1
    convolution after `space_to_depth(block_size)`.
  * `'individual'`: one such matrix for each image, which may depend on the
    image (dynamic linear flows); never below `'pointwise'` on average.

  It is differentiable in `x` (also where eigenvalues coincide) and works in a
  `tf.function` with an unknown number of events. Computed in float64.

  #### Examples

  ```python
  x = tf.random.stateless_normal([1000, 5], seed=[0, 1], dtype=tf.float64)
  fo.likelihood_optimum(x).log_likelihood   # about -5/2 log(2 pi e) = -7.09
  fo.likelihood_optimum(x, rank=2)          # probabilistic PCA
  fo.likelihood_optimum(x, lipschitz=(.5, 2.))
  ```

  Args:
    x: float32 or float64 `Tensor`: `[B..., N, D]` for `'dense'`,
      `[N, H, W, C]` for the other structures.
    structure: `'dense'`, `'pointwise'` or `'individual'`.
    centered: Whether the flow has a shift: `b` is the mean of the vectors (of
      each image's own vectors for `'individual'`) rather than zero.
    rank: Python `int` in `1..D` (`D = block_size**2 C` for images): only so
      many directions are free, the others share one scale. `None`: all are.
    lipschitz: `None`, or a pair `(m, M)` with `0 <= m <= M`: the singular
      values that `A` may have, so that `Lip(f) <= M`, `Lip(f^-1) <= 1/m`.
    noise_variance: Variance of independent noise that `x` does not hold yet,
      added to each eigenvalue: `bin_width**2 / 12` for uniform dequantisation.
    block_size: Side of the square blocks that make a vector (images only);
      must divide height and width.
    name: Python `str`, name scope of the operations.

  Returns:
    `LikelihoodOptimum(log_likelihood, log_det, eigenvalues)` in the type of
    `x`; log_* in nats per event, of shape `[B...]` for `'dense'`, `[]` for
    `'pointwise'`, `[N]` for `'individual'`.

  Raises:
    ValueError: If an argument has a wrong type, shape or value.
    InvalidArgumentError: If `x` is empty or not finite; or if the optimum is
      infinite (`N <= D`, duplicated dimensions) and neither `rank`, `lipschitz`
      nor `noise_variance` makes it finite. XLA drops these checks: compiled
      with `jit_compile=True`, the result is NaN or infinite there.
  """
  with tf.name_scope(name):
    moments.check_structure(structure, block_size)
    spectrum.check_constraint(lipschitz, noise_variance)
    x = tf.convert_to_tensor(x, name='x')
    vectors = moments.as_vectors(x, structure, block_size)
    num_positions = 1
    if structure != 'dense':
      shape = tf.shape(x)
      num_positions = (shape[1] // block_size) * (shape[2] // block_size)
    return optimum_of_moments(
        moments.Moments.of(vectors, centered),
        num_positions,
        rank=rank,
        lipschitz=lipschitz,
        noise_variance=noise_variance,
        dtype=x.dtype,
    )

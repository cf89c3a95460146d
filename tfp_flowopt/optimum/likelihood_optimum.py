"""Optimum of the likelihood of linear flows, from data."""

import tensorflow as tf

from tfp_flowopt.optimum import constraint
from tfp_flowopt.optimum import structures

__all__ = ['likelihood_optimum']


# A user's `tf.function` would take a second to translate it.
@tf.autograph.experimental.do_not_convert
def likelihood_optimum(
    x,
    structure='dense',
    centered=True,
    rank=None,
    lipschitz=None,
    noise_variance=0.0,
    block_size=1,
    frequency_pool=None,
    bias_correction=False,
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
  * `'individual'`: one such matrix (and `b`) for each image, which may depend
    on the image (dynamic linear flows); never below `'pointwise'` on average.
  * `'circulant'`: any convolution with circular padding and kernels of any
    size, at full resolution: one `C x C` matrix for each frequency of the 2-D
    Fourier transform. It is the `'dense'` optimum of the images in all their
    circular shifts; `b` is one number for each channel.

  On the same images `pointwise (block_size 1) <= circulant <= dense`.

  It is differentiable in `x` (also where eigenvalues coincide) and works in a
  `tf.function` with unknown shapes, under XLA, and in a SavedModel. Computed in
  float64. XLA finds eigenvalues, and what depends on a `rank` or on `lipschitz`
  bounds, to about 1e-6 of the largest one only; the free optimum needs none.

  `L*` is that of the sample, and better than what the same flow reaches on new
  data. With fewer than ten vectors for each dimension distrust it, and compare
  with `LinearFlow.log_prob` of held-out data.

  ```python
  x = tf.random.stateless_normal([1000, 5], seed=[0, 1], dtype=tf.float64)
  fo.likelihood_optimum(x).log_likelihood   # about -5/2 log(2 pi e) = -7.09
  fo.likelihood_optimum(x, rank=2)          # probabilistic PCA
  fo.likelihood_optimum(x, lipschitz=(.5, 2.))
  ```

  Args:
    x: float32 or float64 `Tensor`: `[B..., N, D]` for `'dense'`,
      `[N, H, W, C]` for the other structures.
    structure: `'dense'`, `'pointwise'`, `'individual'` or `'circulant'`; or an
      object of your own ("Adding a structure" in CONTRIBUTING.md).
    centered: Whether the flow has a shift: `b` is the mean of the vectors (of
      each image's own vectors for `'individual'`) rather than zero.
    rank: Python `int` in `1..D` (`D = block_size**2 C` for `'pointwise'` and
      `'individual'`, `H W C` for `'circulant'`): only so many directions are
      free, the others share one scale. `None`: all are. (For `'circulant'`
      the eigenvalues of `w` and `-w` are equal; a rank that parts such a pair
      is no convolution's, but that of `'dense'` over all shifts.)
    lipschitz: `None`, or a pair `(m, M)` with `0 <= m <= M`: the singular
      values that `A` may have, so that `Lip(f) <= M`, `Lip(f^-1) <= 1/m`.
    noise_variance: Variance of independent noise that `x` does not hold yet,
      added to each eigenvalue: `bin_width**2 / 12` for uniform dequantisation.
    block_size: Side of the square blocks that make a vector (`'pointwise'`
      and `'individual'` only); must divide height and width.
    frequency_pool: For `'circulant'` with few images. `None`: each frequency
      has its own matrix, which needs `N > C`. An int `p`: cells of `p x p`
      frequencies and their mirror images share one real matrix, a smaller
      family of convolutions; with one cell, `p > max(H, W) / 2`, it is
      `'pointwise'`.
    bias_correction: Whether to subtract the bias of `L*` and `log_det` for
      Gaussian data whose vectors are independent:
      `-1/2 (sum_i psi((n + 1 - i)/2) + D log(2/N))`, `n = N - centered`, for
      each `D x D` matrix (for a complex one, `sum_i psi(N - i) - C log N`).
      The eigenvalues are left as they are.
    name: Python `str`, name scope of the operations.

  Returns:
    `LikelihoodOptimum(log_likelihood, log_det, eigenvalues)`; log_* in the
    type of `x`, in nats per event, of shape `[B...]` for `'dense'`, `[N]` for
    `'individual'`, `[]` otherwise.

  Raises:
    ValueError: If an argument has a wrong type, shape or value, or
      `bias_correction` is asked for together with `rank`, `lipschitz` or
      `noise_variance`.
    InvalidArgumentError: If `x` is empty or not finite, or its squares are not;
      or if the optimum is infinite (`N <= D`, if not centred `N < D`; constant
      or dependent dimensions) and neither `rank`, `lipschitz` nor
      `noise_variance` makes it finite. XLA drops these checks: compiled with
      `jit_compile=True`, the result is NaN or infinite there.
  """
  with tf.name_scope(name):
    structure = structures.structure_of(structure, block_size, frequency_pool)
    within = constraint.Constraint(
        rank, lipschitz, noise_variance, bias_correction
    )
    x = structure.checked(x)
    return structure.optimum(
        structure.moments_at_once(x, centered, within).checked(),
        tf.unstack(tf.shape(x)),
        within,
        x.dtype,
    )

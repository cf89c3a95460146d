"""Optimum of the likelihood of linear flows, from data."""

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import conditions
from tfp_flowopt.internal import types
from tfp_flowopt.optimum import constraint
from tfp_flowopt.optimum import result
from tfp_flowopt.optimum import structures

__all__ = ['likelihood_optimum']


# A user's `tf.function` would take a second to translate it.
@tf.autograph.experimental.do_not_convert
def likelihood_optimum(
    x: types.TensorLike,
    structure: str | structures.Structure = 'dense',
    centered: bool = True,
    rank: int | None = None,
    lipschitz: tuple[float, float] | None = None,
    noise_variance: float = 0.0,
    block_size: int = 1,
    frequency_pool: int | None = None,
    bias_correction: bool = False,
    conditioning: types.TensorLike | None = None,
    num_classes: int | None = None,
    name: str = 'likelihood_optimum',
) -> result.LikelihoodOptimum:
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

  With `conditioning` `c`, a label or a vector for each event, the flows are
  `z = A (x - B c - b)`. The best `B` is that of least squares, and the optimum
  that of the residual covariance, which is never worse:

  ```none
  R_{x|c} = R_xx - R_xc R_cc^+ R_cx        B = R_xc R_cc^+
  ```

  The gain `L*(x|c) - L*(x)` is `mutual_information` of the result. `R_cc` may
  be singular (one-hot vectors, constant columns).

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
      The eigenvalues are left as they are. A condition takes `rank(R_cc)`
      from `n`.
    conditioning: For `'dense'` and `'pointwise'`: floating-point vectors
      `[..., N, F]`, or integer labels `[..., N]` with `num_classes`. The shift
      of an event depends on it, that of all positions of an image alike.
    num_classes: Number of classes, if `conditioning` is integer labels.
    name: Python `str`, name scope of the operations.

  Returns:
    `LikelihoodOptimum(log_likelihood, log_det, eigenvalues)`, which also has
    the flow itself as a `distribution()`; log_* in the type of `x`, in nats per
    event, of shape `[B...]` for `'dense'`, `[N]` for `'individual'`, `[]`
    otherwise.

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
    arguments.check_choice('centered', centered, (False, True))
    x = structure.checked(x)
    condition, given = None, {}
    if conditioning is not None:
      structure.check_condition()
      condition = _condition_of(conditioning, num_classes)
      given['conditions'] = condition, conditioning
    elif num_classes is not None:
      raise ValueError(
          'Argument `num_classes` is that of labels: give `conditioning`.'
      )
    moments = structure.moments_at_once(x, centered, within, **given).checked()
    event_shape = x.shape[x.shape.rank - len(structure.axes) :]
    return structure.optimum(
        moments, tf.unstack(tf.shape(x)), within, x.dtype
    )._of(structure, moments, event_shape, within, condition)


def _condition_of(conditioning, num_classes):
  """The `Condition` that labels or vectors are of."""
  if num_classes is not None:
    return conditions.Condition(arguments.check_int('num_classes', num_classes))
  try:
    values = tf.convert_to_tensor(conditioning)
  except (TypeError, ValueError):
    values = tf.zeros([], tf.string)
  if values.dtype.is_integer:
    raise ValueError(
        'Argument `conditioning` holds integers: give `num_classes` if they '
        'are labels, else make them floating-point.'
    )
  shape = values.shape
  if not values.dtype.is_floating or not shape.rank or shape[-1] is None:
    raise ValueError(
        'Argument `conditioning` must be integer labels, or floating-point '
        f'vectors [..., N, F] of a known F, got {values.dtype.name} of shape '
        f'{shape}.'
    )
  return conditions.Condition([shape[-1]])

"""Initialisation of flows from data."""

import math

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import optimum
from tfp_flowopt.flows import flow_of
from tfp_flowopt.flows import image_batches
from tfp_flowopt.flows import image_storeys
from tfp_flowopt.flows import level_start
from tfp_flowopt.flows import vectors
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types

__all__ = ['initialize_act_norm', 'initialize_at_optimum']

# Bounds of singular values that are none, and those of images by default.
_ANY, _OF_IMAGES = (0.0, math.inf), (1e-3, 1e3)


def initialize_at_optimum(
    distribution: types.TransformedDistribution,
    data: types.DataLike,
    lipschitz: tuple[float, float] | None = None,
    bits: int = 8,
    conditioning: types.TensorLike | None = None,
) -> float:
  """Puts the linear part of a flow at the closed-form optimum.

  **Of vectors** (`vector_flow`): first the support is undone; then each column
  goes through the curve that makes it normal (`optimum.gaussian_curves`), the
  linear prediction from `conditioning` is subtracted, and what is left is
  whitened (`AutoCorrelation`), each class by a map of its own as far as
  held-out vectors say. Each is the optimum of its kind for what
  arrives; together they are the Gaussian copula, given the condition. With
  heavy tails a function of the norm follows, and whitening and prediction are
  those of vectors with weights (M-estimators: Maronna 1976). Curves and this
  function are the identity where they gain too little. With fewer than 100
  vectors for each component and feature, prediction and covariance are shrunk
  as five folds of held-out vectors say: see `docs/vectors.md`.

  **Of images** (`image_flow`): level by level, `whiten`, the first linear map
  of the level, becomes the whitening of the second moments of what arrives
  there: with `l_i, v_i` the eigenvalues (descending) and eigenvectors of the
  covariance of its vectors,

  ```none
  z_i = s_i v_i^T (x - mean),   s_i = clip(l_i^(-1/2), m, M).
  ```

  That is the optimum over all linear maps there with singular values in
  `[m, M]`. (In directions in which the data are constant `s_i` is smaller, so
  that the rounding errors of latents stay below 0.01.) Directions with large
  eigenvalues travel on to the next level, which sees whether neighbours still
  resemble each other; those with small ones are factored out. These are then
  scaled by their local energy (`ScalingCascade`): each scaling in turn has the
  curve of the radii of its tiles that is best for a standard normal, and takes
  a share of what is left of the budget. At the coarsest level the images as a
  whole are whitened before (`whitening='coarse'`), of each class by a map of
  its own, shrunk as held-out images say. Couplings start as the identity, so
  the likelihood of the initialised flow is known:

  ```none
  log p = sum_levels (M sum_i log s_i + E[log-dets of scalings]
                      - E|z factored out|^2 / 2) + log|det W| - D/2 log(2 pi)
  ```

  with `M` the number of positions of the level, and `W` the map of the coarsest
  images.

  Before that, where the flow has them, come the curves of
  `gaussianize_marginals`, from histograms of the values in `2**bits` bins of
  `[-1/2, 1/2)` (`optimum.gaussian_knots`), with a warning unless the values
  fill that; what `conditioning` predicts linearly, subtracted; and the
  whitening of whole images, of each class its own (`whitening='dense'`). Their
  mean log-determinants are added. Maps and means of classes, and with fewer
  than 100 images a feature predictions, are shrunk as held-out images say.

  In the scope of a `tf.distribute.Strategy`, batches are spread over the
  replicas; each process reads all of `data`, and gets the same flow.

  Args:
    distribution: `tfd.TransformedDistribution` of a standard normal by an
      `ImageFlow` or a `VectorFlow`, as `image_flow` and `vector_flow` make it,
      not initialised yet.
    data: Vectors `[N, D]`; or preprocessed images, dequantisation noise
      included: an array `[N, H, W, C]`, or a finite `tf.data.Dataset` of such
      batches, or of pairs with `conditioning`, which is read once for each
      level, and once or twice more for each of what comes before.
    lipschitz: `(m, M)`, bounds of the singular values of each map. The default
      only guards against directions in which the data are (nearly) constant. Of
      images it is `(1e-3, 1e3)`: the noise of 8-bit dequantisation keeps the
      `l_i^(-1/2)` of the first level under 887. Of vectors, which may have any
      units, it is `(0, 1e3 / s)`, with `s` the least standard deviation of a
      column that varies, at most 1, after curves. Bounds that are given are
      those of the map and of the function of the norm after it together; maps
      of classes come on top, within the same bounds.
    bits: Number of bits of the data before scaling by `2**-bits`, of images.
    conditioning: What each vector or image is conditioned on, if the flow is:
      features `[N, F]` or labels `[N]`. A flow of images can do without: it
      starts with the same map for all.

  Returns:
    Python `float`: what the initialised flow reaches on `data`, by the closed
    form. Of images, bits/dim, right to 1e-3, however few there are; of vectors,
    the mean log-likelihood in nats.

  Raises:
    ValueError: If an argument has a wrong value, or if the flow is
      initialised or trained already (its weights would be lost).
    InvalidArgumentError: If `data` is not finite, or holds a batch of another
      shape. The flow is unchanged after an error.
  """
  flow = getattr(distribution, 'bijector', None)
  if isinstance(flow, bijectors.VectorFlow):
    flow_of.check_base(distribution)
    _check_uninitialized(flow)
    return vectors.initialize_vectors(
        distribution, data, conditioning, lipschitz
    )
  flow = _uninitialized_flow(distribution, bits)
  flow_of.check_fresh(flow)
  lipschitz = lipschitz or _OF_IMAGES
  dataset = image_batches.image_batches(flow, data, conditioning)
  log_likelihood = -0.5 * flow.event_size * math.log(2 * math.pi)
  storeys = image_storeys.fitted_storeys(flow, dataset, lipschitz, bits)
  log_likelihood += storeys.log_det
  # Images are given exactly; curves round.
  noise = np.zeros([flow.event_shape[-1]])
  if storeys.weights:
    noise += (4.0 * np.finfo(flow.dtype.as_numpy_dtype).eps) ** 2
  starts, batches = [], storeys.dataset
  for level in flow.levels:
    start = level_start.level_start(level, batches, lipschitz, noise)
    log_likelihood += start.log_likelihood
    noise, batches = start.noise, start.batches
    starts.append(start)
  # All that can fail is behind us: the flow is changed as a whole.
  storeys.assign()
  for level, start in zip(flow.levels, starts, strict=True):
    start.assign(level)
  flow.mark_initialized()
  return optimum.bits_per_dim(log_likelihood, flow.event_size, bits)


def initialize_act_norm(
    distribution: types.TransformedDistribution,
    images: types.TensorLike,
    bits: int = 8,
) -> None:
  """Initialises an image flow as Glow is: by ActNorm statistics alone.

  Each ActNorm in turn gets the mean and variance of what arrives there
  (Kingma & Dhariwal 2018). The comparison for `initialize_at_optimum`.

  Args:
    distribution: As for `initialize_at_optimum`.
    images: Preprocessed images `[N, H, W, C]`; a few hundred are enough.
    bits: Number of bits of the data before scaling by `2**-bits`.

  Raises:
    ValueError: If an argument has a wrong value, a channel is constant, or if
      the flow is initialised already.
  """
  flow = _uninitialized_flow(distribution, bits)
  images = np.asarray(images)
  dataset = image_batches.image_batches(
      flow, images, name='images', batch_size=max(1, len(images))
  )
  storeys = image_storeys.fitted_storeys(flow, dataset, _ANY, bits)
  ((x, *_),) = storeys.dataset
  initialized = []
  for level in flow.levels:
    steps = level.repeated_steps
    # All classes alike: the map of the whole is the identity here.
    for part in level.parts_before_steps[-2:]:
      x, _ = bijectors.inverse_and_log_det(part, x)
    for k in range(steps.num_steps):
      step = steps.trainable_step(k)
      for part in step:
        if isinstance(part, bijectors.ActNorm):
          mean, variance = tf.nn.moments(x, axes=[0, 1, 2])
          if not np.all((variance > 0) & np.isfinite(variance)):
            raise ValueError(
                'Argument `images` must be finite, and no channel constant.'
            )
          part.initialize(mean, variance)
        x, _ = bijectors.inverse_and_log_det(part, x)
      initialized.append((steps, k, step))
    x, _ = bijectors.inverse_and_log_det(level.restore, x)
    x, _ = level.factor_out.split(x)
  storeys.assign()
  for steps, k, step in initialized:
    steps.assign(k, step)
  flow.mark_initialized()


def _uninitialized_flow(distribution, bits):
  arguments.check_int('bits', bits)
  flow = flow_of.flow_of(distribution)
  flow_of.check_base(distribution)
  _check_uninitialized(flow)
  return flow


def _check_uninitialized(flow):
  if flow.initialized.numpy():
    raise ValueError(
        'Argument `distribution` is initialised already, and its weights '
        'would be lost; make a new one to start again.'
    )

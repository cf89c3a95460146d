"""Explicit, data-dependent initialisation of image flows."""

import math

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import optimum

__all__ = ['initialize_act_norm', 'initialize_at_optimum']

_BATCH_SIZE = 256


def initialize_at_optimum(
    distribution, data, lipschitz=(1e-3, 1e3), bits=8
):
  """Puts the linear part of an image flow at the closed-form optimum.

  Level by level, `whiten`, the first linear map of the level, becomes the
  whitening of the second moments of what arrives there: with `l_i, v_i` the
  eigenvalues (descending) and eigenvectors of the covariance of its vectors,

  ```none
  z_i = s_i v_i^T (x - mean),   s_i = clip(l_i^(-1/2), m, M).
  ```

  That is the optimum over all linear maps there with singular values in
  `[m, M]`. Directions with large eigenvalues come first and travel on to the
  next level, which sees whether neighbours still resemble each other; those
  with small ones are factored out. Couplings start as the identity, so the
  likelihood of the initialised flow is known in closed form, and is returned:

  ```none
  log p = sum_levels M (sum_i log s_i - sum_(i factored out) s_i^2 l_i / 2)
          - D/2 log(2 pi),    M: number of positions at the level
  ```

  Args:
    distribution: `tfd.TransformedDistribution` of a standard normal by an
      `ImageFlow`, as `image_flow` makes it, not initialised yet.
    data: Preprocessed images, dequantisation noise included: an array
      `[N, H, W, C]`, or a finite `tf.data.Dataset` of such batches. It is read
      once for each level.
    lipschitz: `(m, M)`, bounds of the singular values of each map. The default
      only guards against constant data: the noise of 8-bit dequantisation
      keeps every `l_i^(-1/2)` under 887.
    bits: Number of bits of the data before scaling by `2**-bits`.

  Returns:
    Python `float`: the bits/dim that the closed form predicts for the
    initialised flow on `data`.

  Raises:
    ValueError: If an argument has a wrong value, or if the flow is
      initialised already (its weights would be lost).
    InvalidArgumentError: If `data` is not finite.
  """
  flow = _uninitialized_flow(distribution)
  dataset = _as_dataset(data, flow)
  log_likelihood = -0.5 * flow.event_size * math.log(2 * math.pi)
  for depth, level in enumerate(flow.levels):
    arriving = flow.levels[:depth]
    moments = _moments_at(level, arriving, dataset)
    eigenvalues, eigenvectors = moments.eigh()
    eigenvalues = tf.maximum(eigenvalues, 0.0)
    log_scales = optimum.optimal_log_scales(eigenvalues, lipschitz=lipschitz)
    level.whiten.initialize(
        left=np.eye(eigenvectors.shape[0]),
        singular_values=tf.exp(log_scales),
        right=eigenvectors,
        shift=moments.mean,
    )
    num_factored = level.factor_out.num_factored
    squares = tf.exp(2.0 * log_scales) * eigenvalues
    height, width, _ = level.factor_out.event_shape
    log_likelihood += height * width * float(
        tf.reduce_sum(log_scales)
        - 0.5 * tf.reduce_sum(squares[-num_factored:])
    )
  flow.initialized.assign(True)
  return optimum.bits_per_dim(log_likelihood, flow.event_size, bits)


def initialize_act_norm(distribution, images):
  """Initialises an image flow as Glow is: by ActNorm statistics alone.

  Each ActNorm in turn gets the mean and variance of what arrives there
  (Kingma & Dhariwal 2018). The comparison for `initialize_at_optimum`.

  Args:
    distribution: As for `initialize_at_optimum`.
    images: Preprocessed images `[N, H, W, C]`; a few hundred are enough.

  Raises:
    ValueError: If an argument has a wrong value, or if the flow is
      initialised already.
  """
  flow = _uninitialized_flow(distribution)
  x = tf.convert_to_tensor(images, flow.dtype, name='images')
  for level in flow.levels:
    for part in level.parts:
      if isinstance(part, bijectors.ActNorm):
        mean, variance = tf.nn.moments(x, axes=[0, 1, 2])
        part.initialize(mean, variance)
      x, _ = bijectors.inverse_and_log_det(part, x)
    x, _ = level.factor_out.split(x)
  flow.initialized.assign(True)


def _uninitialized_flow(distribution):
  flow = getattr(distribution, 'bijector', None)
  if not isinstance(flow, bijectors.ImageFlow):
    raise ValueError(
        'Argument `distribution` must be a TransformedDistribution by an '
        f'ImageFlow, got {distribution}.'
    )
  if flow.initialized.numpy():
    raise ValueError(
        'Argument `distribution` is initialised already, and its weights '
        'would be lost; make a new one to start again.'
    )
  return flow


def _as_dataset(data, flow):
  """A finite dataset of batches of images of the flow's shape and type."""
  if not isinstance(data, tf.data.Dataset):
    data = np.asarray(data)
    if data.ndim != 4 or not len(data):
      raise ValueError(
          'Argument `data` must have shape [N] + '
          f'{flow.event_shape.as_list()}, N > 0, got {list(data.shape)}.'
      )
    if not np.issubdtype(data.dtype, np.floating):
      raise ValueError(
          'Argument `data` must be preprocessed (floating-point, noise '
          f'included), got {data.dtype}.'
      )
    data = tf.data.Dataset.from_tensor_slices(data).batch(_BATCH_SIZE)
  if data.cardinality() == tf.data.INFINITE_CARDINALITY:
    raise ValueError('Argument `data` is an infinite dataset; use `take(n)`.')
  shape = tf.TensorShape([None]).concatenate(flow.event_shape)
  if not shape.is_compatible_with(data.element_spec.shape):
    raise ValueError(
        f'Argument `data` must hold batches of shape {shape}, got '
        f'{data.element_spec.shape}.'
    )
  return data.map(lambda x: tf.cast(x, flow.dtype))


def _moments_at(level, levels_before, dataset):
  """Moments of the vectors that arrive at `level.whiten`."""
  shape = level.factor_out.event_shape
  correlation = optimum.AutoCorrelation('pointwise', shape)

  @tf.function(reduce_retracing=True)
  def accumulate(x):
    for before in levels_before:
      for part in before.parts:
        x, _ = bijectors.inverse_and_log_det(part, x)
      x, _ = before.factor_out.split(x)
    correlation.update(level.squeeze.inverse(x))

  for batch in dataset:
    accumulate(batch)
  return correlation.moments()

"""Explicit, data-dependent initialisation of image flows."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import optimum
from tfp_flowopt.flows import flow_of
from tfp_flowopt.flows import marginals as marginals_lib

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

  With `gaussianize_marginals`, the curves are set first, from histograms of the
  values in `2**bits` bins of `[-1/2, 1/2)` (`optimum.gaussian_knots`), and all
  else is for the data that have passed them; the mean of the logarithm of their
  slopes is added.

  In the scope of a `tf.distribute.Strategy`, batches are spread over the
  replicas and their moments summed; each process reads all of `data`, and gets
  the same flow.

  Args:
    distribution: `tfd.TransformedDistribution` of a standard normal by an
      `ImageFlow`, as `image_flow` makes it, not initialised yet.
    data: Preprocessed images, dequantisation noise included: an array
      `[N, H, W, C]`, or a finite `tf.data.Dataset` of such batches. It is read
      once for each level, and twice more for `gaussianize_marginals`.
    lipschitz: `(m, M)`, bounds of the singular values of each map. The default
      only guards against directions in which the data are (nearly) constant:
      the noise of 8-bit dequantisation keeps the `l_i^(-1/2)` of the first
      level under 887.
    bits: Number of bits of the data before scaling by `2**-bits`.

  Returns:
    Python `float`: the bits/dim that the closed form predicts for the
    initialised flow on `data`.

  Raises:
    ValueError: If an argument has a wrong value, or if the flow is
      initialised or trained already (its weights would be lost).
    InvalidArgumentError: If `data` is not finite. The flow is unchanged after
      an error.
  """
  flow = _uninitialized_flow(distribution, bits)
  dataset = _as_dataset(data, flow, 'data')
  log_likelihood = -0.5 * flow.event_size * math.log(2 * math.pi)
  marginals = marginals_lib.gaussianized(flow, dataset, bits)
  if marginals is not None:
    log_likelihood += marginals_lib.mean_log_det(marginals, dataset)
    dataset = dataset.map(marginals.inverse)
  maps = []
  for level in flow.levels:
    _check_fresh(level)
    moments = _moments_at(level, flow.levels, maps, dataset)
    eigenvalues, eigenvectors = moments.eigh()
    eigenvalues = tf.maximum(eigenvalues, 0.0)
    log_scales = optimum.optimal_log_scales(eigenvalues, lipschitz=lipschitz)
    scales = tf.exp(log_scales)
    in_type = tf.cast(scales, flow.dtype)
    if not np.all(np.isfinite(in_type) & (in_type > 0)):
      raise ValueError(
          'Argument `data` is constant in some direction, and the optimum '
          f'infinite: `lipschitz` must bound it, got {lipschitz}.'
      )
    maps.append(_WhiteningMap(moments.mean, scales, eigenvectors))
    num_factored = level.factor_out.num_factored
    squares = tf.exp(2.0 * log_scales) * eigenvalues
    height, width, _ = level.factor_out.event_shape
    log_likelihood += height * width * float(
        tf.reduce_sum(log_scales)
        - 0.5 * tf.reduce_sum(squares[-num_factored:])
    )
  # All that can fail is behind us: the flow is changed as a whole.
  if marginals is not None:
    flow.marginals.initialize(marginals.inputs, marginals.outputs)
  for level, whitening in zip(flow.levels, maps, strict=True):
    level.whiten.initialize(
        left=np.eye(whitening.scales.shape[0]),
        singular_values=whitening.scales,
        right=whitening.eigenvectors,
        shift=whitening.mean,
    )
  flow.mark_initialized()
  return optimum.bits_per_dim(log_likelihood, flow.event_size, bits)


def initialize_act_norm(distribution, images, bits=8):
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
  dataset = _as_dataset(images, flow, 'images', batch_size=len(images))
  marginals = marginals_lib.gaussianized(flow, dataset, bits)
  (x,) = dataset
  if marginals is not None:
    x = marginals.inverse(x)
  initialized = []
  for level in flow.levels:
    steps = level.repeated_steps
    for part in level.parts_before_steps:
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
  if marginals is not None:
    flow.marginals.initialize(marginals.inputs, marginals.outputs)
  for steps, k, step in initialized:
    steps.assign(k, step)
  flow.mark_initialized()


def _uninitialized_flow(distribution, bits):
  if type(bits) is not int or bits < 1:
    raise ValueError(f'Argument `bits` must be a positive int, got {bits!r}.')
  flow = flow_of.flow_of(distribution)
  flow_of.check_base(distribution)
  if flow.initialized.numpy():
    raise ValueError(
        'Argument `distribution` is initialised already, and its weights '
        'would be lost; make a new one to start again.'
    )
  return flow


def _as_dataset(data, flow, name, batch_size=_BATCH_SIZE):
  """A finite dataset of batches of images of the flow's shape and type."""
  if not isinstance(data, tf.data.Dataset):
    data = np.asarray(data)
    if data.ndim != 4 or not len(data):
      raise ValueError(
          f'Argument `{name}` must have shape [N] + '
          f'{flow.event_shape.as_list()}, N > 0, got {list(data.shape)}.'
      )
    data = tf.data.Dataset.from_tensor_slices(data).batch(batch_size)
  spec = data.element_spec
  shape = tf.TensorShape([None]).concatenate(flow.event_shape)
  if not isinstance(spec, tf.TensorSpec) or not shape.is_compatible_with(
      spec.shape
  ):
    raise ValueError(
        f'Argument `{name}` must hold batches of shape {shape}, got {spec}.'
    )
  if not spec.dtype.is_floating:
    raise ValueError(
        f'Argument `{name}` must be preprocessed (floating-point, noise '
        f'included), got {spec.dtype.name}.'
    )
  if data.cardinality() == tf.data.INFINITE_CARDINALITY:
    raise ValueError(
        f'Argument `{name}` is an infinite dataset; use `take(n)`.'
    )
  return data.map(lambda x: tf.cast(x, flow.dtype))


class _WhiteningMap(NamedTuple):
  """`z_i = scales_i v_i^T (x - mean)`, all in float64."""

  mean: tf.Tensor
  scales: tf.Tensor
  eigenvectors: tf.Tensor

  def __call__(self, x):
    z = tf.tensordot(
        tf.cast(x, tf.float64) - self.mean, self.eigenvectors, axes=1
    )
    return tf.cast(z * self.scales, x.dtype)


def _check_fresh(level):
  """Raises a `ValueError` unless the steps of a level do nothing together.

  The closed form holds for a flow whose only linear maps are the whitenings.

  Args:
    level: `FlowLevel`.
  """
  channels = level.factor_out.event_shape[-1]
  x = tf.random.stateless_normal(
      [1, 4, 4, channels], [0, 0], dtype=level.dtype
  )
  y, log_det = x, 0.0
  for part in level.parts_after_whitening:
    y, part_log_det = bijectors.inverse_and_log_det(part, y)
    log_det += part_log_det
  if not np.allclose(y, x, atol=1e-3) or not np.allclose(log_det, 0, atol=1e-3):
    raise ValueError(
        'Argument `distribution` has weights that were changed (its steps are '
        'not the identity); make a new one.'
    )


def _moments_at(level, levels, maps, dataset):
  """Moments of the vectors that arrive at `level.whiten`.

  Args:
    level: `FlowLevel`.
    levels: All levels.
    maps: `_WhiteningMap`s of the levels before it.
    dataset: Images.

  Returns:
    `Moments`.
  """
  shape = level.factor_out.event_shape
  correlation = optimum.AutoCorrelation('pointwise', shape)

  def accumulate(x):
    # Another tensor on each replica, or bijectors find each other's results.
    x = tf.identity(x)
    for before, whitening in zip(levels, maps, strict=False):
      x, _ = before.factor_out.split(whitening(before.squeeze.inverse(x)))
    correlation.update(level.squeeze.inverse(x))

  strategy = tf.distribute.get_strategy()
  num_replicas = strategy.num_replicas_in_sync

  def on_replica(x, number):
    # Batches go round the replicas.
    own = tf.distribute.get_replica_context().replica_id_in_sync_group
    tf.cond(
        tf.equal(number % num_replicas, own),
        lambda: (accumulate(x), 0)[1],
        lambda: 0,
    )

  # Concrete: TensorFlow warns of a function that is made for each level.
  read = tf.function(
      lambda x, number: strategy.run(on_replica, args=(x, number)),
      autograph=False,
  ).get_concrete_function(
      tf.TensorSpec([None, *dataset.element_spec.shape[1:]], level.dtype),
      tf.TensorSpec([], tf.int32),
  )
  number = -1
  for number, batch in enumerate(dataset):
    read(batch, tf.constant(number))
  if number < 0:
    raise ValueError(
        'Argument `data` is an empty dataset, or one that can be read only '
        'once; it is read once for each level.'
    )
  if num_replicas > 1:
    tf.function(
        correlation.all_reduce, autograph=False
    ).get_concrete_function()()
  return correlation.moments()

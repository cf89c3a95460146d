"""ImageFlow bijector."""

import math

import numpy as np
import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import marginal_gaussianization
from tfp_flowopt.bijectors.multiscale import builder
from tfp_flowopt.bijectors.multiscale import conditioning as conditioning_lib
from tfp_flowopt.bijectors.multiscale import flow_level
from tfp_flowopt.bijectors.repeated import reconstruction_monitor
from tfp_flowopt.bijectors.repeated import repeated_steps
from tfp_flowopt.internal import arguments
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['ImageFlow']

_COUPLINGS = ('affine', 'additive')


class ImageFlow(base.JointBijector):
  """A multi-scale flow of images that can start at the closed-form optimum.

  `forward` maps a flat latent `[..., H W C]` to an image `[..., H, W, C]`, as
  `tfb.Glow` does, and can take its place. Each level (`FlowLevel`) squeezes the
  image, applies `num_steps` steps of ActNorm, 1x1 convolution and couplings,
  and factors out half of its channels. Both halves are then scaled by their
  local energy (`ScalingCascade`).

  A new flow only rearranges pixels: `log_prob` works, and every coupling is the
  identity. `tfp_flowopt.initialize_at_optimum` then puts the first linear map
  of each level at the optimum for the data. That is an explicit call; whether
  it was made is kept in `initialized`, which checkpoints save.

  **Lipschitz constants.** The flow is made of linear maps, whose constants the
  data choose, and of non-linear ones: couplings and scalings. With
  `lipschitz_budget=beta` the non-linear part has a Lipschitz constant of at
  most `e^beta`, and so has its inverse, whatever training does. The couplings
  have fixed shares of `beta`; `LipschitzBudget` shares out the rest along each
  path through the levels. `bounds_by_part` certifies both parts, and
  `lipschitz_bounds` the whole flow.

  **Conditioning.** With `conditioning` the networks of the couplings see class
  labels, vectors or feature maps, too, in their first layer: `inverse(y,
  conditioning=c)`, or `log_prob(y, bijector_kwargs={'conditioning': c})` of a
  distribution. For each `c` it is a flow of its own, and all constants hold for
  all of them, as a `c` only shifts what a hidden layer adds. A new one does not
  depend on `c`; the closed-form optimum is that of all images together.

  Each `log_prob` evaluates each network once.

  #### Example

  ```python
  flow = fo.bijectors.ImageFlow([32, 32, 3], num_levels=2, num_steps=4)
  base = tfd.Sample(tfd.Normal(0., 1.), [32 * 32 * 3])
  distribution = tfd.TransformedDistribution(base, flow)
  distribution.log_prob(tf.zeros([5, 32, 32, 3]))  # [5], nats per image
  ```
  """

  def __init__(
      self,
      event_shape,
      num_levels=3,
      num_steps=8,
      hidden_channels=128,
      coupling='affine',
      lipschitz_budget=7.0,
      scale_bound=None,
      tail_bound=None,
      conditioner_lipschitz=None,
      tile_sizes=(4, 2, 1),
      log_range=1.0,
      gaussianize_marginals=False,
      conditioning=None,
      memory='reversible',
      compute_dtype=None,
      seed=0,
      top_level=None,
      initialized=None,
      monitor=None,
      marginals=None,
      dtype=tf.float32,
      validate_args=False,
      name='image_flow',
  ):
    """Creates the flow.

    Args:
      event_shape: `[H, W, C]`; `2**num_levels` must divide `H` and `W`.
      num_levels: Number of resolutions.
      num_steps: Number of steps at each resolution.
      hidden_channels: Width of the networks in the couplings, even.
      coupling: `'affine'` or `'additive'`.
      lipschitz_budget: Positive Python `float`, the `beta` above, in nats;
        `None` for couplings and scalings with constants of their own.
      scale_bound: Bound of the log-slopes of an affine coupling. A budget
        chooses it; without one, 1 by default.
      tail_bound: Where the scaling of an affine coupling levels off. A budget
        chooses it; without one, 3 by default.
      conditioner_lipschitz: Lipschitz constant of each network. A budget
        chooses it; without one, 4 by default, and `inf` for no bound.
      tile_sizes: Sides of the tiles of each `ScalingCascade`, in positions;
        where they do not divide an image, their greatest common divisor with
        its sides takes their place. Empty for no cascades.
      log_range: The scales and singular values of the linear maps of the steps
        can be trained within a factor `exp(log_range)` of their initial values;
        the whitening stays as it is.
      gaussianize_marginals: Whether values of images first pass through
        increasing curves (`MarginalGaussianization`), which
        `initialize_at_optimum` puts at their optimum for the data. For images
        with values of their own, such as a background of zeros; not for
        photographs.
      conditioning: What the flow is conditioned on: a number of classes, for
        integer labels `[...]`; the shape `[F]` of vectors, or `[H, W, F]` of
        feature maps. By default nothing.
      memory: `'reversible'`, with which the memory of gradients does not grow
        with `num_steps`, or `'stored'`; see `RepeatedSteps`.
      compute_dtype: Type of what the networks compute, such as `tf.bfloat16`;
        by default `dtype`. Couplings and log-determinants are of type `dtype`.
      seed: Python `int`, of the rotations and the initial networks.
      top_level: `FlowLevel` to share instead of building one.
      initialized: Boolean `tf.Variable` to share; by default a new one.
      monitor: `ReconstructionMonitor` to share; by default a new one.
      marginals: `MarginalGaussianization` to share; by default a new one, if
        there is to be one.
      dtype: Type of the variables.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    event_shape = arguments.check_image_shape('event_shape', event_shape)
    num_levels = arguments.check_int('num_levels', num_levels)
    if math.gcd(*event_shape[:2]) % 2**num_levels:
      raise ValueError(
          f'Argument `event_shape`: {num_levels} levels (`num_levels`) need a '
          f'height and width divisible by {2**num_levels}, got {event_shape}.'
      )
    num_steps = arguments.check_int('num_steps', num_steps)
    arguments.check_choice('coupling', coupling, _COUPLINGS)
    tile_sizes = arguments.check_ints('tile_sizes', tile_sizes)
    log_range = arguments.check_positive('log_range', log_range)
    seed = arguments.check_int('seed', seed, least=0)
    dtype = arguments.check_dtype('dtype', dtype, (tf.float32, tf.float64))
    if compute_dtype is not None:
      compute_dtype = arguments.check_dtype('compute_dtype', compute_dtype)
    lipschitz_budget = _checked_budget(
        lipschitz_budget,
        scale_bound=scale_bound,
        tail_bound=tail_bound,
        conditioner_lipschitz=conditioner_lipschitz,
    )
    if conditioning is not None:
      conditioning = conditioning_lib.Conditioning(conditioning, event_shape)
    _check_parts(
        top_level=(top_level, flow_level.FlowLevel),
        initialized=(initialized, tf.Variable),
        monitor=(monitor, reconstruction_monitor.ReconstructionMonitor),
        marginals=(marginals, marginal_gaussianization.MarginalGaussianization),
    )
    with tf.name_scope(name) as name:
      if monitor is None:
        monitor = reconstruction_monitor.ReconstructionMonitor()
      if top_level is None:
        top_level = builder.FlowBuilder(
            num_levels=num_levels,
            num_steps=num_steps,
            hidden_channels=hidden_channels,
            coupling=coupling,
            lipschitz_budget=lipschitz_budget,
            scale_bound=_or_default(scale_bound, 1.0),
            tail_bound=_or_default(tail_bound, 3.0),
            conditioner_lipschitz=_or_default(conditioner_lipschitz, 4.0),
            tile_sizes=tile_sizes,
            log_range=log_range,
            conditioning_channels=(
                0 if conditioning is None else conditioning.num_channels
            ),
            memory=memory,
            monitor=monitor,
            dtype=dtype,
            compute_dtype=compute_dtype,
            rng=np.random.default_rng(seed),
        ).build(event_shape.as_list())
      if marginals is None and gaussianize_marginals:
        marginals = marginal_gaussianization.MarginalGaussianization(
            event_shape[-1], dtype=dtype
        )
      if initialized is None:
        initialized = tf.Variable(False, trainable=False, name='initialized')
      self._conditioning = conditioning
      self._marginals = marginals
      self._monitor = monitor
      self._event_shape = event_shape
      self._top_level = top_level
      self._initialized = initialized
      super().__init__(
          forward_min_event_ndims=1,
          inverse_min_event_ndims=3,
          dtype=dtype,
          validate_args=validate_args,
          parameters=parameters,
          name=name,
      )

  def _configure(self, memory):
    self._top_level = repeated_steps.with_memory(self._top_level, memory)

  _is_conditional = True

  @property
  def _conditioning_ndims(self):
    return self._conditioning.event_ndims if self._conditioning else None

  @property
  def event_shape(self):
    """Shape of an image, `[H, W, C]`."""
    return self._event_shape

  @property
  def event_size(self):
    """Number of dimensions of an image, `H W C`."""
    return self._event_shape.num_elements()

  @property
  def levels(self):
    """The `FlowLevel`s, from the finest to the coarsest resolution."""
    levels = [self._top_level]
    while levels[-1].factor_out.travel is not None:
      levels.append(levels[-1].factor_out.travel)
    return levels

  @property
  def conditioning(self):
    """The `Conditioning` that the flow was made with, or `None`."""
    return self._conditioning

  @property
  def marginals(self):
    """The `MarginalGaussianization` of the values of images, or `None`."""
    return self._marginals

  @property
  def initialized(self):
    """Boolean variable: whether the flow was initialised from data."""
    return self._initialized

  @property
  def monitor(self):
    """The `ReconstructionMonitor` of the steps of all levels."""
    return self._monitor

  def bounds_by_part(self):
    """Certified constants of the linear and of the non-linear part.

    Returns:
      `FlowBounds`.

    Raises:
      TypeError: If it is of a subclass that is not registered with
        `lipschitz_bounds`: that may compute something else.
    """
    return flow_bounds.bounds_by_part(self)

  def mark_initialized(self):
    """Notes that the weights were set from data."""
    self._initialized.assign(True)

  @property
  def parts(self):
    """Marginals, if there are any, and top level, in the order of `inverse`."""
    marginals = [] if self._marginals is None else [self._marginals]
    return [*marginals, self._top_level]

  def _forward_and_log_det(self, x, conditioning=None):
    x = base.check_event(x, [self.event_size], self.name)
    return base.compose(
        base.forward_and_log_det,
        reversed(self.parts),
        x,
        self.conditioning_maps(conditioning, x.shape[:-1]),
    )

  def _inverse_and_log_det(self, y, conditioning=None):
    y = base.check_event(y, self._event_shape, self.name)
    return base.compose(
        base.inverse_and_log_det,
        self.parts,
        y,
        self.conditioning_maps(conditioning, y.shape[:-3]),
    )

  def conditioning_maps(self, conditioning=None, batch_shape=None):
    """Conditioning as the first `FlowLevel` takes it.

    Args:
      conditioning: As `inverse` takes it.
      batch_shape: `TensorShape` of the batch that it is for, if known.

    Returns:
      `Tensor` `[..., H, W, F]` or `[..., 1, 1, F]`; `None` for a flow without.

    Raises:
      ValueError: If it is missing, or does not fit.
    """
    if self._conditioning is not None:
      return self._conditioning(conditioning, self.dtype, batch_shape)
    if conditioning is not None:
      raise ValueError(
          'Argument `conditioning`: the flow was made without it.'
      )
    return None

  def _forward_event_shape(self, input_shape):
    return self._top_level.forward_event_shape(input_shape)

  def _inverse_event_shape(self, output_shape):
    return self._top_level.inverse_event_shape(output_shape)

  def _forward_event_shape_tensor(self, input_shape):
    return self._top_level.forward_event_shape_tensor(input_shape)

  def _inverse_event_shape_tensor(self, output_shape):
    return self._top_level.inverse_event_shape_tensor(output_shape)


def _check_parts(**parts):
  """Raises a `ValueError` unless each part is of its class, or `None`."""
  for name, (value, kind) in parts.items():
    if value is not None:
      arguments.check_instance(name, value, kind, f'a {kind.__name__}')


def _or_default(value, default):
  return default if value is None else value


def _checked_budget(lipschitz_budget, **constants):
  """A budget or `None`; a `ValueError` for one that is none, or not alone."""
  if lipschitz_budget is None:
    return None
  budget = arguments.check_positive('lipschitz_budget', lipschitz_budget)
  for name, value in constants.items():
    if value is not None:
      raise ValueError(
          f'Argument `{name}` is chosen by the budget: give it, or '
          f'`lipschitz_budget`, got {value} and {lipschitz_budget}.'
      )
  return budget


@bounds.lipschitz_bounds.register
def _(bijector: ImageFlow):
  return bounds.bounds_of_parts(bijector.parts)


@flow_bounds.bounds_by_part.register
def _(bijector: ImageFlow):
  return flow_bounds.bounds_of_parts(bijector.parts[::-1])

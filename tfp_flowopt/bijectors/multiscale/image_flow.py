"""ImageFlow bijector."""

import dataclasses
import math
from typing import Any
import warnings

import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import marginal_gaussianization as curves_lib
from tfp_flowopt.bijectors.multiscale import builder
from tfp_flowopt.bijectors.multiscale import conditioning as conditioning_lib
from tfp_flowopt.bijectors.multiscale import flat_latents
from tfp_flowopt.bijectors.multiscale import flow_level
from tfp_flowopt.bijectors.multiscale import image_flow_config
from tfp_flowopt.bijectors.multiscale import storeys
from tfp_flowopt.bijectors.repeated import reconstruction_monitor
from tfp_flowopt.bijectors.repeated import repeated_steps
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import native_types
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['ImageFlow']


class ImageFlow(flat_latents.FlatLatents):
  """A multi-scale flow of images that can start at the closed-form optimum.

  `forward` maps a flat latent `[..., H W C]` to an image `[..., H, W, C]`, as
  `tfb.Glow` does, and can take its place. Each level (`FlowLevel`) makes four
  subbands of the image (`WaveletTransform`), applies `num_steps` steps of
  ActNorm, 1x1 convolution and couplings, and factors out half of its channels,
  which are scaled by their local energy (`ScalingCascade`). A new flow is the
  transform of wavelets and nothing else; `tfp_flowopt.initialize_at_optimum`
  puts the first linear maps of each level, and its scalings, at the optimum for
  the data, which `initialized` keeps note of.

  **Lipschitz constants.** With `lipschitz_budget=beta` the non-linear part,
  couplings and scalings, has a Lipschitz constant of at most `e^beta`, and so
  has its inverse, whatever training does (`LipschitzBudget`). `bounds_by_part`
  certifies both parts, and `lipschitz_bounds` the whole flow.

  **Couplings of your own.** `coupling_fn(event_shape, log_lipschitz)` makes any
  bijectors of images in the place of the couplings, as with `tfb.Glow`, and
  `conditioner_fn(inputs, outputs, lipschitz)` any networks in them. One that
  keeps to its share of the budget, by constants that it states, keeps the
  certificate; one without constants makes it infinite, with a warning. Their
  steps are neither stacked nor reversible, so `memory` has no effect.

  **Conditioning.** With `conditioning` the networks of the couplings see class
  labels, vectors or feature maps, too, in their first layer: `inverse(y,
  conditioning=c)`, or `log_prob(y, bijector_kwargs={'conditioning': c})` of a
  distribution. Features have mean 0 and variance 1 after
  `initialize_at_optimum`, whatever their units. What vectors predict linearly
  is subtracted before the levels; so is the mean image of a class, unless the
  images of the coarsest level have a map for each class (`whitening`). All
  constants hold for each `c`. A new flow does not depend on `c`.

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
      event_shape: types.Shape,
      *args: Any,
      config: image_flow_config.ImageFlowConfig | None = None,
      validate_args: bool = False,
      name: str = 'image_flow',
      **kwargs: Any,
  ) -> None:
    """Creates the flow.

    Args:
      event_shape: `[H, W, C]`; `2**num_levels` must divide `H` and `W`.
      *args: Fields of `ImageFlowConfig`, in their order.
      config: `ImageFlowConfig`; by default one of the fields that are given.
      validate_args: Python `bool`.
      name: Python `str`.
      **kwargs: Fields of `ImageFlowConfig`; with `config`, those that differ
        from it.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    event_shape = arguments.check_image_shape('event_shape', event_shape)
    if config is None:
      config = image_flow_config.ImageFlowConfig(*args, **kwargs)
    else:
      arguments.check_instance(
          'config',
          config,
          image_flow_config.ImageFlowConfig,
          'an ImageFlowConfig',
      )
      given = dict(zip(vars(config), args, strict=False))
      config = dataclasses.replace(config, **given, **kwargs)
    if math.gcd(*event_shape[:2]) % 2**config.num_levels:
      raise ValueError(
          f'Argument `event_shape`: {config.num_levels} levels (`num_levels`) '
          f'need a height and width divisible by {2**config.num_levels}, got '
          f'{event_shape}.'
      )
    compute_dtype = config.compute_dtype
    if compute_dtype is not None and native_types.is_emulated(compute_dtype):
      warnings.warn(
          f'Argument `compute_dtype`: {compute_dtype.name} is emulated on this '
          'processor, and slower than float32.',
          stacklevel=2,
      )
    parameters = {
        'event_shape': event_shape,
        **vars(config),
        'validate_args': validate_args,
        'name': name,
    }
    with tf.name_scope(name) as name:
      self._config = config
      self._conditioning = None
      if config.conditioning is not None:
        self._conditioning = conditioning_lib.Conditioning(
            config.conditioning, event_shape
        )
      self._event_shape = event_shape
      self._condition_curves = None
      if self._conditioning and not self._conditioning.is_labels:
        self._condition_curves = curves_lib.MarginalGaussianization(
            self._conditioning.num_channels,
            num_knots=2,
            dtype=config.dtype,
            name='condition_curves',
        )
      self._monitor = reconstruction_monitor.ReconstructionMonitor(
          config.tolerance
      )
      self._top_level = builder.build_levels(
          config, event_shape.as_list(), self._conditioning, self._monitor
      )
      whole = self.levels[-1].whiten_whole
      self._marginals, self._before_levels = storeys.build_storeys(
          config,
          event_shape,
          self._conditioning,
          whole is not None and whole.bijector.num_classes is not None,
      )
      self._initialized = tf.Variable(False, False, name='initialized')
      super().__init__(config.dtype, parameters, name)

  def _configure(self, memory):
    self._config = dataclasses.replace(self._config, memory=memory)
    self._top_level = repeated_steps.with_memory(self._top_level, memory)

  @property
  def _conditioning_ndims(self):
    return self._conditioning.event_ndims if self._conditioning else None

  @property
  def config(self) -> image_flow_config.ImageFlowConfig:
    """The `ImageFlowConfig` that the flow was made with."""
    return self._config

  @property
  def event_shape(self) -> tf.TensorShape:
    """Shape of an image, `[H, W, C]`."""
    return self._event_shape

  @property
  def levels(self) -> list[flow_level.FlowLevel]:
    """The `FlowLevel`s, from the finest to the coarsest resolution."""
    levels = [self._top_level]
    while levels[-1].factor_out.next_level is not None:
      levels.append(levels[-1].factor_out.next_level)
    return levels

  def memory_for(self, batch_size: int) -> list[types.Memory]:
    """How gradients of so many images are computed, at each level.

    Returns:
      List of what `RepeatedSteps.memory_for` says.
    """
    return [
        level.repeated_steps.memory_for(
            [batch_size, *level.factor_out.event_shape]
        )
        for level in self.levels
    ]

  @property
  def conditioning(self) -> conditioning_lib.Conditioning | None:
    """The `Conditioning` that the flow was made with, or `None`."""
    return self._conditioning

  @property
  def condition_curves(self) -> types.Bijector | None:
    """The `MarginalGaussianization` that standardises features, or `None`.

    Lines, which `initialize_at_optimum` sets; for labels there is none.
    """
    return self._condition_curves

  @property
  def marginals(self) -> types.Bijector | None:
    """The `MarginalGaussianization` of the values of images, or `None`.

    Of channels; with dense whitening, of vectors `[..., H W C]`.
    """
    return self._marginals

  @property
  def before_levels(self) -> dict[str, types.Bijector]:
    """What stands before the levels, in the order of `inverse`.

    Dictionary of bijectors of images, where the flow has them: `'marginals'`;
    `'shift'`, what the condition predicts; `'whiten'`, the dense whitening.
    """
    return dict(self._before_levels)

  @property
  def initialized(self) -> tf.Variable:
    """Boolean variable: whether the flow was initialised from data."""
    return self._initialized

  @property
  def monitor(self) -> reconstruction_monitor.ReconstructionMonitor:
    """The `ReconstructionMonitor` of the steps of all levels."""
    return self._monitor

  def bounds_by_part(self) -> flow_bounds.FlowBounds:
    """The `FlowBounds`: certified constants of linear and non-linear part.

    Raises:
      TypeError: If it is of a subclass without `lipschitz_bounds` of its own.
    """
    return flow_bounds.bounds_by_part(self)

  def mark_initialized(self) -> None:
    """Notes that the weights were set from data."""
    self._initialized.assign(True)

  @property
  def parts(self) -> list[types.Bijector]:
    """`before_levels` and the top level, in the order of `inverse`."""
    return [*self._before_levels.values(), self._top_level]

  def _forward_and_log_det(self, x, conditioning=None):
    x = base.check_event(x, [self.event_size], self.name)
    maps = self.conditioning_maps(conditioning, x.shape[:-1])
    parts = reversed(self.parts)
    return base.compose(base.forward_and_log_det, parts, x, maps)

  def _inverse_and_log_det(self, y, conditioning=None):
    y = base.check_event(y, self._event_shape, self.name)
    maps = self.conditioning_maps(conditioning, y.shape[:-3])
    return base.compose(base.inverse_and_log_det, self.parts, y, maps)

  def conditioning_maps(
      self,
      conditioning: types.TensorLike | None = None,
      batch_shape: types.Shape | None = None,
      curves: types.Bijector | None = None,
  ) -> tf.Tensor | None:
    """Conditioning, as `inverse` takes it, as the first `FlowLevel` takes it.

    `Tensor` `[..., H, W, F]` or `[..., 1, 1, F]`, for images of a `batch_shape`
    if that is known; `None` for a flow without. Features go through `curves`,
    by default `condition_curves`.

    Raises:
      ValueError: If it is missing, or does not fit.
    """
    if self._conditioning is not None:
      maps = self._conditioning(conditioning, self.dtype, batch_shape)
      curves = curves or self._condition_curves
      if curves is not None:
        maps, _ = base.inverse_and_log_det(curves, maps)
      return maps
    if conditioning is not None:
      raise ValueError('Argument `conditioning`: the flow was made without it.')
    return None


flow_bounds.register_parts(ImageFlow, lambda bijector: bijector.parts)

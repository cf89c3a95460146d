"""Builds the levels of an `ImageFlow`."""

import math

import numpy as np

from tfp_flowopt.bijectors import act_norm
from tfp_flowopt.bijectors import additive_coupling
from tfp_flowopt.bijectors import dense_affine
from tfp_flowopt.bijectors import depth_to_space
from tfp_flowopt.bijectors import invertible_conv1x1
from tfp_flowopt.bijectors import scaling_cascade
from tfp_flowopt.bijectors import wavelet_transform
from tfp_flowopt.bijectors.multiscale import factor_out
from tfp_flowopt.bijectors.multiscale import flow_couplings
from tfp_flowopt.bijectors.multiscale import flow_level
from tfp_flowopt.bijectors.multiscale import separate_steps
from tfp_flowopt.bijectors.multiscale import whole_images
from tfp_flowopt.bijectors.repeated import repeated_steps
from tfp_flowopt.lipschitz import layers
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.parameters import budget as budget_lib
from tfp_flowopt.parameters import log_slopes as log_slopes_lib
from tfp_flowopt.parameters import orthogonal

__all__ = ['build_levels']

# With more steps than this each linear map moves by less for a step of its
# weights, so that all of them together move by as much: learning rates suit
# flows of any depth. Chosen by measurement: see docs/lipschitz.md.
_STEPS_AT_FULL_RATE = 8
# The linear couplings; a filter that predicts one half of the channels from
# the other needs no more.
_LINEAR_LIPSCHITZ = 1.0
# What the couplings get of a budget, and how much less at each coarser level;
# the rest goes to the scaling cascades. Chosen by measurement: see
# docs/lipschitz.md.
_COUPLING_SHARE = 0.3
_SHARE_RATIO = 1.0 / 3.0
# Numbers of the images that are whitened as a whole, at most: eigenvectors of
# matrices of this size take some 10 s.
_LARGEST_WHOLE = 3200
# No coupling gets more, in nats, however few there are to share a budget: a
# network of constant 4 needs no more, one of 1e5 would only be hard to train.
_LARGEST_COUPLING = 2.25


def build_levels(config, event_shape, conditioning, monitor):
  """The finest `FlowLevel` of a flow, which holds the others.

  `event_shape` is a list `[H, W, C]`, `conditioning` the `Conditioning` or
  `None`, and `monitor` the `ReconstructionMonitor` of the steps. A `ValueError`
  if the budget is too small for the rounding alone, or if a coupling of the
  user's does not keep to its share.
  """
  # Of each level: the shape of its squeezed images, how many of their channels
  # are factored out, and the cascade of these.
  shapes, factored, cascades = [], [], []
  height, width, travelling = event_shape
  for index in range(config.num_levels):
    height, width, channels = height // 2, width // 2, 4 * travelling
    travelling = channels // 2 if index + 1 < config.num_levels else 0
    shapes.append([height, width, channels])
    factored.append(channels - travelling)
    cascades.append(_cascade(config, height, width, factored[-1]))
  shares = [None] * config.num_levels
  log_slopes = [None] * config.num_levels
  if config.lipschitz_budget is not None:
    shares, log_slopes = _shared_budget(config, cascades)

  rng = np.random.default_rng(config.seed)
  couplings = flow_couplings.FlowCouplings(
      config, conditioning.num_channels if conditioning else 0, rng
  )
  steps = [
      _steps(config, shape, share, couplings, rng)
      for shape, share in zip(shapes, shares, strict=True)
  ]
  level = None
  for index in reversed(range(config.num_levels)):
    own_steps, restore = steps[index]
    scaling = cascades[index] and scaling_cascade.ScalingCascade(
        *cascades[index],
        log_slopes=log_slopes[index],
        log_range=config.log_range,
        dtype=config.dtype,
    )
    if config.coupling_fn or config.conditioner_fn:
      repeated = separate_steps.SeparateSteps(own_steps)
    else:
      repeated = repeated_steps.RepeatedSteps(
          own_steps, memory=config.memory, monitor=monitor
      )
    level = flow_level.FlowLevel(
        _squeeze(config),
        _linear(config, shapes[index], 'whiten', trainable=False),
        repeated,
        restore,
        factor_out.FactorOut(
            shapes[index], factored[index], level, scaling
        ),
        _whole(config, shapes[index], conditioning) if level is None else None,
    )
  return level


def _squeeze(config):
  """What halves the sides of the images that arrive."""
  kind = config.squeeze
  if kind == 'auto':
    # Subbands are for what is smooth. See docs/lipschitz.md.
    is_rough = config.gaussianize_marginals or config.whitening == 'dense'
    kind = 'blocks' if is_rough else 'wavelet'
  if kind == 'wavelet':
    return wavelet_transform.WaveletTransform()
  return depth_to_space.DepthToSpace(2)


def _whole(config, shape, conditioning):
  """The whitening of the coarsest images as a whole, if there is one."""
  size = math.prod(shape)
  is_coarse = config.whitening == 'coarse' and config.num_levels > 1
  if not is_coarse or size > _LARGEST_WHOLE:
    return None
  height, width, channels = shape
  num_classes = conditioning and conditioning.num_classes
  if num_classes and num_classes * size**2 > _LARGEST_WHOLE**2:
    num_classes = None
  return whole_images.WholeImages(
      dense_affine.DenseAffine(size, num_classes, config.dtype),
      [2 * height, 2 * width, channels // 4],
  )


def _shared_budget(config, cascades):
  """What each coupling of a flow may use of its budget, and what is left.

  Couplings have fixed shares, which fall from level to level. The rest is a
  `LipschitzBudget` for the cascade of each level, whose slopes share it as
  training says: along the path of what is factored out there, the constants of
  the couplings that it has passed are taken. A `ValueError` if nothing is left.

  Args:
    config: `ImageFlowConfig` with a budget.
    cascades: For each level, the channels and tile sizes of its cascade. Not
      looked at in a flow without cascades.

  Returns:
    For each level, the logarithm of the Lipschitz constants that one coupling
    may have; and the `LogSlopes` of its cascade, or `None`.
  """
  weights = _SHARE_RATIO ** np.arange(config.num_levels)
  share = _COUPLING_SHARE if config.tile_sizes else 1.0
  of_coupling = [
      min(
          config.lipschitz_budget * share * weight / config.num_steps,
          _LARGEST_COUPLING,
      )
      for weight in (weights / weights.sum()).tolist()
  ]
  if not config.tile_sizes:
    return of_coupling, [None] * config.num_levels
  log_slopes, fixed = [], 0.0
  for cascade, log_lipschitz in zip(cascades, of_coupling, strict=True):
    fixed += config.num_steps * log_lipschitz
    # The certificate of each scaling has the safety factor.
    fixed_and_safety = fixed + scaling_cascade.num_scalings(*cascade) * (
        math.log(rounding.inflation(config.dtype))
    )
    if not fixed_and_safety < config.lipschitz_budget:
      raise ValueError(
          'Argument `lipschitz_budget` must be more: couplings and rounding '
          f'take {fixed_and_safety:.3g}, got {config.lipschitz_budget}.'
      )
    log_slopes.append(
        log_slopes_lib.LogSlopes(
            scaling_cascade.num_log_slopes(*cascade), dtype=config.dtype
        )
    )
    budget = budget_lib.LipschitzBudget(config.lipschitz_budget)
    budget.add_path(log_slopes[-1:], fixed_and_safety)
  return of_coupling, log_slopes


def _steps(config, shape, log_lipschitz, couplings, rng):
  """The steps of a level, and the linear map that undoes their rotations."""
  channels = shape[-1]
  steps, rotation = [], np.eye(channels)
  for _ in range(config.num_steps):
    linear = _linear(config, shape, 'rotation')
    linear.initialize(left=orthogonal.random_rotation(rng, channels))
    rotation = linear.left.numpy() @ rotation
    steps.append([
        act_norm.ActNorm(
            channels, config.log_range, rate=_rate(config), dtype=config.dtype
        ),
        linear,
        _linear_coupling(config, channels),
        couplings.make(shape, log_lipschitz),
    ])
  restore = _linear(config, shape, 'restore', trainable=False)
  restore.initialize(left=rotation.T)
  return steps, restore


def _rate(config):
  return min(1.0, _STEPS_AT_FULL_RATE / config.num_steps)


def _cascade(config, height, width, channels):
  """Channels and tile sizes of a cascade; `None` for a flow without."""
  if not config.tile_sizes:
    return None
  side = math.gcd(height, width)
  sizes = [math.gcd(side, size) for size in config.tile_sizes]
  return channels, tuple(dict.fromkeys(sizes))


def _linear(config, shape, name, trainable=True):
  return invertible_conv1x1.InvertibleConv1x1(
      shape[-1],
      config.log_range,
      trainable=trainable,
      rate=_rate(config),
      dtype=config.dtype,
      name=name,
  )


def _linear_coupling(config, channels):
  """A coupling that predicts linearly, at first the identity."""
  first, second = channels // 2, channels - channels // 2
  return additive_coupling.AdditiveCoupling(
      layers.LipschitzConv2D(
          first,
          second,
          zero_initial=True,
          lipschitz=_LINEAR_LIPSCHITZ,
          use_bias=False,
          rate=_rate(config),
          dtype=config.dtype,
      ),
      name='linear_coupling',
  )

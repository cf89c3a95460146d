"""Builds the levels of an `ImageFlow`."""

import math

import numpy as np

from tfp_flowopt.bijectors import act_norm
from tfp_flowopt.bijectors import additive_coupling
from tfp_flowopt.bijectors import depth_to_space
from tfp_flowopt.bijectors import invertible_conv1x1
from tfp_flowopt.bijectors import scaling_cascade
from tfp_flowopt.bijectors.multiscale import budget_shares
from tfp_flowopt.bijectors.multiscale import factor_out
from tfp_flowopt.bijectors.multiscale import flow_couplings
from tfp_flowopt.bijectors.multiscale import flow_level
from tfp_flowopt.bijectors.multiscale import separate_steps
from tfp_flowopt.bijectors.repeated import repeated_steps
from tfp_flowopt.lipschitz import layers

__all__ = ['build_levels']

# With more steps than this each linear map moves by less for a step of its
# weights, so that all of them together move by as much: learning rates suit
# flows of any depth. Chosen by measurement: see docs/lipschitz.md.
_STEPS_AT_FULL_RATE = 8
# The linear couplings; a filter that predicts one half of the channels from
# the other needs no more.
_LINEAR_LIPSCHITZ = 1.0


def build_levels(config, event_shape, conditioning_channels, monitor):
  """Builds all levels of a flow.

  Args:
    config: `ImageFlowConfig`.
    event_shape: Shape of an image, a list `[H, W, C]`.
    conditioning_channels: Number of features of the conditioning, or 0.
    monitor: `ReconstructionMonitor` of the steps.

  Returns:
    The finest `FlowLevel`, which holds the others.

  Raises:
    ValueError: If the budget is too small for the rounding alone, or if a
      coupling of the user's does not keep to its share.
  """
  builder = _Builder(config, event_shape)
  rng = np.random.default_rng(config.seed)
  couplings = flow_couplings.FlowCouplings(config, conditioning_channels, rng)
  parts = [
      builder.linear_parts_and_steps(index, couplings, rng)
      for index in range(config.num_levels)
  ]
  level = None
  for index in reversed(range(config.num_levels)):
    level = builder.level(index, *parts[index], level, monitor)
  return level


class _Builder:
  """Builds the parts of each level."""

  def __init__(self, config, event_shape):
    self._config = config
    self._rate = min(1.0, _STEPS_AT_FULL_RATE / config.num_steps)
    # Shapes of the squeezed images of each level.
    self._shapes = []
    height, width, channels = event_shape
    for _ in range(config.num_levels):
      height, width, channels = height // 2, width // 2, 4 * channels
      self._shapes.append([height, width, channels])
      channels //= 2
    self._shares = None
    if config.lipschitz_budget is not None:
      self._shares = budget_shares.BudgetShares(
          config,
          [
              (self._cascade(index, False), self._cascade(index, True))
              for index in range(config.num_levels)
              if config.tile_sizes
          ],
      )

  def linear_parts_and_steps(self, index, couplings, rng):
    """The parts of a level that are drawn at random, and what undoes them."""
    shape = self._shapes[index]
    channels = shape[-1]
    log_lipschitz = self._shares and self._shares.of_coupling[index]
    steps, rotation = [], np.eye(channels)
    for _ in range(self._config.num_steps):
      linear = self._linear(channels, 'rotation')
      linear.initialize(left=_random_rotation(rng, channels))
      rotation = linear.left.numpy() @ rotation
      steps.append([
          act_norm.ActNorm(
              channels,
              self._config.log_range,
              rate=self._rate,
              dtype=self._config.dtype,
          ),
          linear,
          self._linear_coupling(channels),
          couplings.make(shape, log_lipschitz),
      ])
    restore = self._linear(channels, 'restore', trainable=False)
    restore.initialize(left=rotation.T)
    return steps, restore

  def level(self, index, steps, restore, next_level, monitor):
    """Puts the parts of a level together."""
    channels = self._shapes[index][-1]
    config = self._config
    if config.coupling_fn or config.conditioner_fn:
      repeated = separate_steps.SeparateSteps(steps)
    else:
      repeated = repeated_steps.RepeatedSteps(
          steps, memory=config.memory, monitor=monitor
      )
    return flow_level.FlowLevel(
        depth_to_space.DepthToSpace(2),
        self._linear(channels, 'whiten', trainable=False),
        repeated,
        restore,
        factor_out.FactorOut(
            self._shapes[index],
            self._num_factored(index),
            next_level,
            self._scaling(index, leaving=True),
        ),
        self._scaling(index, leaving=False),
    )

  def _num_factored(self, index):
    channels = self._shapes[index][-1]
    is_last = index + 1 == self._config.num_levels
    return channels if is_last else channels - channels // 2

  def _cascade(self, index, leaving):
    """Channels and tile sizes of a cascade, or `None` where there is none."""
    if not self._config.tile_sizes or (index == 0 and not leaving):
      return None
    height, width, channels = self._shapes[index if leaving else index - 1]
    channels = self._num_factored(index) if leaving else channels // 2
    side = math.gcd(height, width)
    sizes = [math.gcd(side, size) for size in self._config.tile_sizes]
    return channels, tuple(dict.fromkeys(sizes))

  def _scaling(self, index, leaving):
    """The `ScalingCascade` of what arrives at a level or leaves it, if any."""
    cascade = self._cascade(index, leaving)
    if cascade is None:
      return None
    log_slopes = None
    if self._shares is not None:
      shares = self._shares
      log_slopes = (shares.leaving if leaving else shares.arriving)[index]
    return scaling_cascade.ScalingCascade(
        *cascade,
        log_slopes=log_slopes,
        log_range=self._config.log_range,
        dtype=self._config.dtype,
    )

  def _linear(self, channels, name, trainable=True):
    return invertible_conv1x1.InvertibleConv1x1(
        channels,
        self._config.log_range,
        trainable=trainable,
        rate=self._rate,
        dtype=self._config.dtype,
        name=name,
    )

  def _linear_coupling(self, channels):
    """A coupling that predicts linearly, at first the identity."""
    first, second = channels // 2, channels - channels // 2
    return additive_coupling.AdditiveCoupling(
        layers.LipschitzConv2D(
            first,
            second,
            zero_initial=True,
            lipschitz=_LINEAR_LIPSCHITZ,
            use_bias=False,
            rate=self._rate,
            dtype=self._config.dtype,
        ),
        name='linear_coupling',
    )


def _random_rotation(rng, size):
  """A Haar-distributed orthogonal matrix."""
  q, r = np.linalg.qr(rng.normal(size=(size, size)))
  return q * np.sign(np.diag(r))

"""Builds the levels of an `ImageFlow`."""

import dataclasses
import math

import numpy as np

from tfp_flowopt import networks
from tfp_flowopt.bijectors import act_norm
from tfp_flowopt.bijectors import additive_coupling
from tfp_flowopt.bijectors import affine_coupling
from tfp_flowopt.bijectors import depth_to_space
from tfp_flowopt.bijectors import invertible_conv1x1
from tfp_flowopt.bijectors import scaling_cascade
from tfp_flowopt.bijectors.multiscale import factor_out
from tfp_flowopt.bijectors.multiscale import flow_level
from tfp_flowopt.bijectors.repeated import repeated_steps
from tfp_flowopt.lipschitz import layers
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.networks import conv_conditioner
from tfp_flowopt.parameters import budget as budget_lib

__all__ = ['FlowBuilder']

# What the couplings get of a budget, and how much less at each coarser level;
# the rest goes to the scaling cascades. Chosen by measurement: see
# docs/lipschitz.md.
_COUPLING_SHARE = 0.3
_SHARE_RATIO = 1.0 / 3.0
# The tail bound of couplings within a budget.
_TAIL_BOUND = 1.0
# No coupling gets more, in nats, however few there are to share a budget: a
# network of constant 4 needs no more, one of 1e5 would only be hard to train.
_LARGEST_COUPLING = 2.25
# With more steps than this each linear map moves by less for a step of its
# weights, so that all of them together move by as much: learning rates suit
# flows of any depth. Chosen by measurement: see docs/lipschitz.md.
_STEPS_AT_FULL_RATE = 8
# The linear couplings; a filter that predicts one half of the channels from
# the other needs no more.
_LINEAR_LIPSCHITZ = 1.0


@dataclasses.dataclass(frozen=True)
class FlowBuilder:
  """The arguments of `ImageFlow` that its levels are built from.

  See there for their meaning. `build` is called once.
  """

  num_levels: int
  num_steps: int
  hidden_channels: int
  coupling: str
  lipschitz_budget: float | None
  scale_bound: float
  tail_bound: float
  conditioner_lipschitz: float
  tile_sizes: tuple
  log_range: float
  conditioning_channels: int
  memory: str
  monitor: object
  dtype: object
  compute_dtype: object
  rng: np.random.Generator

  def build(self, event_shape):
    """Builds all levels.

    Args:
      event_shape: `[H, W, C]`.

    Returns:
      The finest `FlowLevel`, which holds the others.
    """
    top = self._build_level(list(event_shape), 0, None)
    if self.lipschitz_budget is not None:
      self._share_budget(top)
    return top

  def _build_level(self, event_shape, index, scaling):
    """A level, and through its `FactorOut` all coarser ones.

    Args:
      event_shape: Shape of the images that arrive, `[H, W, C]`.
      index: 0 for the finest level.
      scaling: `ScalingCascade` of what arrives, or `None`.

    Returns:
      `FlowLevel`.
    """
    height, width, channels = event_shape
    height, width, channels = height // 2, width // 2, 4 * channels
    steps = []
    rotation = np.eye(channels)
    for _ in range(self.num_steps):
      linear = self._linear(channels, 'rotation')
      linear.initialize(left=_random_rotation(self.rng, channels))
      rotation = linear.left.numpy() @ rotation
      steps.append([
          act_norm.ActNorm(
              channels, self.log_range, rate=self._rate, dtype=self.dtype
          ),
          linear,
          self._linear_coupling(channels),
          self._coupling(channels, index),
      ])
    restore = self._linear(channels, 'restore', trainable=False)
    restore.initialize(left=rotation.T)

    travel, num_factored = None, channels
    if index + 1 < self.num_levels:
      num_factored = channels - channels // 2
      shape = [height, width, channels // 2]
      travel = self._build_level(shape, index + 1, self._scaling(shape))
    return flow_level.FlowLevel(
        depth_to_space.DepthToSpace(2),
        self._linear(channels, 'whiten', trainable=False),
        repeated_steps.RepeatedSteps(
            steps, memory=self.memory, monitor=self.monitor
        ),
        restore,
        factor_out.FactorOut(
            [height, width, channels],
            num_factored,
            travel,
            self._scaling([height, width, num_factored]),
        ),
        scaling,
    )

  @property
  def _rate(self):
    """How far the linear maps of a step move for a step of their weights."""
    return min(1.0, _STEPS_AT_FULL_RATE / self.num_steps)

  def _linear(self, channels, name, trainable=True):
    return invertible_conv1x1.InvertibleConv1x1(
        channels,
        self.log_range,
        trainable=trainable,
        rate=self._rate,
        dtype=self.dtype,
        name=name,
    )

  def _scaling(self, event_shape):
    """A `ScalingCascade` of images of a shape, or `None` without tiles."""
    side = math.gcd(*event_shape[:2])
    sizes = [math.gcd(side, size) for size in self.tile_sizes]
    sizes = list(dict.fromkeys(sizes))
    if not sizes:
      return None
    return scaling_cascade.ScalingCascade(
        event_shape[-1], sizes, log_range=self.log_range, dtype=self.dtype
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
            dtype=self.dtype,
        ),
        name='linear_coupling',
    )

  def _coupling(self, channels, index):
    """A coupling of level `index`, at first the identity."""
    first, second = channels // 2, channels - channels // 2
    scale_bound, tail_bound = self.scale_bound, self.tail_bound
    lipschitz = self.conditioner_lipschitz
    if self.lipschitz_budget is not None:
      share = self._coupling_log_lipschitz(index)
      if self.coupling == 'affine':
        tail_bound = _TAIL_BOUND
        scale_bound, lipschitz = affine_coupling.constants_within(
            share, tail_bound
        )
      else:
        lipschitz = 2.0 * math.sinh(share)
    sizes = (
        first,
        self.hidden_channels,
        second if self.coupling == 'additive' else 2 * second,
    )
    if self.lipschitz_budget is not None:
      # The network states its constant with the safety factor, which is hardly
      # larger for a smaller constant: for half of it, it is for certain.
      lipschitz /= conv_conditioner.inflation(
          *sizes, 0.5 * lipschitz, self.dtype, self.compute_dtype
      )
    conditioner = networks.ConvConditioner(
        *sizes,
        lipschitz=lipschitz,
        conditioning_channels=self.conditioning_channels,
        dtype=self.dtype,
        compute_dtype=self.compute_dtype,
        seed=int(self.rng.integers(2**31)),
    )
    if self.coupling == 'additive':
      return additive_coupling.AdditiveCoupling(conditioner)
    return affine_coupling.AffineCoupling(conditioner, scale_bound, tail_bound)

  def _coupling_log_lipschitz(self, index):
    """What one coupling of level `index` may use of the budget."""
    share = _COUPLING_SHARE if self.tile_sizes else 1.0
    weights = _SHARE_RATIO ** np.arange(self.num_levels)
    weight = float(weights[index] / weights.sum())
    return min(
        self.lipschitz_budget * share * weight / self.num_steps,
        _LARGEST_COUPLING,
    )

  def _share_budget(self, top):
    """Gives what the couplings leave to the cascades, path by path."""
    if not self.tile_sizes:
      return
    budget = budget_lib.LipschitzBudget(self.lipschitz_budget)
    passed, fixed, level = [], 0.0, top
    for index in range(self.num_levels):
      fixed += self.num_steps * self._coupling_log_lipschitz(index)
      path = [*passed, level.factor_out.scaling]
      # The certificate of each scaling has the safety factor.
      num_scalings = sum(cascade.num_scalings for cascade in path)
      fixed_and_safety = fixed + num_scalings * math.log(
          rounding.inflation(self.dtype)
      )
      if not fixed_and_safety < self.lipschitz_budget:
        raise ValueError(
            f'Argument `lipschitz_budget` must be more: couplings and rounding '
            f'take {fixed_and_safety:.3g}, got {self.lipschitz_budget}.'
        )
      budget.add_path([c.log_slopes for c in path], fixed_and_safety)
      level = level.factor_out.travel
      if level is not None:
        passed.append(level.scaling)


def _random_rotation(rng, size):
  """A Haar-distributed orthogonal matrix."""
  q, r = np.linalg.qr(rng.normal(size=(size, size)))
  return q * np.sign(np.diag(r))

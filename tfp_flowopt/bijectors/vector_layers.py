"""The layers of flows of vectors, each within its share of a budget."""

import math
from typing import get_args

import numpy as np

from tfp_flowopt import networks
from tfp_flowopt.bijectors import affine_coupling
from tfp_flowopt.bijectors import convex_potential_residual
from tfp_flowopt.bijectors import invertible_conv1x1
from tfp_flowopt.bijectors import lipschitz_residual
from tfp_flowopt.bijectors import masked_autoregressive
from tfp_flowopt.bijectors import spline_coupling
from tfp_flowopt.bijectors.repeated import repeated_steps
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import layers
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.parameters import orthogonal

__all__ = ['COUPLINGS', 'VectorLayers', 'linear']

_KINDS = get_args(types.VectorCoupling)
# Those that transform components given others.
COUPLINGS = _KINDS[:3]
# Without a budget.
_CONDITIONER_LIPSCHITZ = 20.0
_AFFINE = {'scale_bound': 2.0, 'tail_bound': 5.0}
_BOUND = 3.0
_QUARTER_TURN = np.array([[0.0, 1.0], [-1.0, 0.0]])
_RESIDUAL_LIPSCHITZ = 0.9
_CONVEX = 20.0
# The tail bound of couplings within a budget.
_TAIL_BOUND_IN_BUDGET = 1.0
# The largest logarithm of a slope, where one component is all there is.
_LARGEST = math.log(20.0)
# A float32 logarithm of a constant must not round above the share.
_ROUNDING = 1.0 - 1e-5


class VectorLayers:
  """Makes the non-linear layers of a `VectorFlow`."""

  def __init__(
      self,
      size,
      kind,
      hidden_units,
      num_features,
      log_lipschitz,
      conditioner_lipschitz,
      dtype,
      num_bins=16,
  ):
    """Creates the maker; `log_lipschitz` is the share of a layer, or `None`."""
    arguments.check_choice('coupling', kind, _KINDS)
    if conditioner_lipschitz is not None:
      conditioner_lipschitz = arguments.check_positive(
          'conditioner_lipschitz', conditioner_lipschitz
      )
      if log_lipschitz is not None or kind not in COUPLINGS:
        raise ValueError(
            'Argument `conditioner_lipschitz` is for couplings without a '
            f'budget, got {conditioner_lipschitz}.'
        )
    self._size = size
    self._kind = kind
    self._hidden_units = arguments.check_int('hidden_units', hidden_units)
    if hidden_units % 2:
      raise ValueError(
          f'Argument `hidden_units` must be even, got {hidden_units}.'
      )
    self._num_features = num_features
    # The certificate of a layer has a safety factor for rounding.
    self._share = log_lipschitz and (
        _ROUNDING * log_lipschitz - 3.0 * math.log(rounding.inflation(dtype))
    )
    if self._share is not None and self._share <= 0.0:
      raise ValueError(
          'Argument `lipschitz_budget` must be more: rounding takes all that a '
          f'step gets of it, {log_lipschitz:.3g}.'
      )
    self._conditioner_lipschitz = conditioner_lipschitz
    self._num_bins = arguments.check_int('num_bins', num_bins, 2)
    self._dtype = dtype
    self.make = getattr(self, f'_{kind}')

  def make_steps(self, num_steps, log_range, seed):
    """`RepeatedSteps`, each of a random rotation and a layer.

    In the plane it is a quarter turn; before autoregressive layers the order
    of components is turned round.
    """
    rng = np.random.default_rng(seed)
    steps = []
    for _ in range(num_steps):
      rotation = linear(self._size, log_range, self._dtype, 'rotation')
      left = orthogonal.random_rotation(rng, self._size)
      if self._size == 2:
        left = _QUARTER_TURN  # each axis in turn, given the other
      elif self._kind == 'autoregressive':
        left = _reversal(self._size)
      rotation.initialize(left=left)
      steps.append([rotation, self.make(int(rng.integers(2**31)))])
    return repeated_steps.RepeatedSteps(steps, memory='unrolled')

  def _network(
      self,
      inputs,
      outputs,
      lipschitz,
      seed,
      make=networks.DenseConditioner,
      **kwargs,
  ):
    return make(
        inputs,
        self._hidden_units,
        outputs,
        lipschitz=lipschitz,
        conditioning_features=self._num_features,
        dtype=self._dtype,
        seed=seed,
        **kwargs,
    )

  def _affine(self, seed):
    first = self._size // 2
    bounds, lipschitz = _AFFINE, self._conditioner_lipschitz
    if self._share is None or not first:
      lipschitz = lipschitz or _CONDITIONER_LIPSCHITZ
      if self._share is not None:  # all of it, for nothing else has a constant
        bounds = {**_AFFINE, 'scale_bound': min(self._share, _LARGEST)}
    else:
      bounds = {'tail_bound': _TAIL_BOUND_IN_BUDGET}
      bounds['scale_bound'], lipschitz = affine_coupling.constants_within(
          self._share, _TAIL_BOUND_IN_BUDGET
      )
    network = self._network(first, 2 * (self._size - first), lipschitz, seed)
    return affine_coupling.AffineCoupling(network, event_ndims=1, **bounds)

  def _splines(self, depends, constants_within):
    """Arguments of splines, and the constant of their network.

    `depends` is whether a component depends on others; `constants_within`
    divides a budget.
    """
    bounds, lipschitz = {}, self._conditioner_lipschitz
    if self._share is None or not depends:
      lipschitz = lipschitz or _CONDITIONER_LIPSCHITZ
      if self._share is not None:
        slope = math.exp(min(self._share, _LARGEST))
        bounds = {'min_slope': 1.0 / slope, 'max_slope': slope}
    else:
      slope, lipschitz = constants_within(self._share, self._num_bins, _BOUND)
      bounds = {'min_slope': 1.0 / slope, 'max_slope': slope}
    return {'num_bins': self._num_bins, 'bound': _BOUND, **bounds}, lipschitz

  def _spline(self, seed):
    first = self._size // 2
    splines, lipschitz = self._splines(
        first, spline_coupling.constants_within
    )
    outputs = self._num_bins * (self._size - first)
    network = self._network(first, outputs, lipschitz, seed)
    return spline_coupling.SplineCoupling(network, **splines)

  def _autoregressive(self, seed):
    splines, lipschitz = self._splines(
        self._size > 1, masked_autoregressive.constants_within
    )
    network = self._network(
        self._size,
        self._num_bins,
        lipschitz,
        seed,
        networks.MaskedConditioner,
    )
    return masked_autoregressive.MaskedAutoregressive(network, **splines)

  def _residual(self, seed):
    lipschitz = _RESIDUAL_LIPSCHITZ
    if self._share is not None:
      # Less the safety factor, which counts more the nearer it is to 1.
      lipschitz = -math.expm1(-self._share) / rounding.inflation(self._dtype)
    network = self._network(
        self._size, self._size, lipschitz, seed, activation='smooth_max_min'
    )
    return lipschitz_residual.LipschitzResidual(network)

  def _convex(self, seed):
    largest = _CONVEX if self._share is None else math.exp(self._share)
    # Pairs of opposite units make it the identity, one of each component.
    units = max(self._hidden_units, 2 * self._size)
    conditioner = None
    if self._num_features:
      conditioner = self._network(0, units + self._size, 1.0, seed)
    layer = convex_potential_residual.ConvexPotentialResidual(
        layers.LipschitzDense(self._size, units, dtype=self._dtype),
        smallest=1.0 / largest,
        largest=largest,
        conditioner=conditioner,
    )
    layer.initialize_identity(seed)
    return layer


def _reversal(size):
  """The rotation that turns the order round, one sign among it if need be."""
  matrix = np.eye(size)[::-1].copy()
  matrix[0] *= np.linalg.det(matrix)
  return matrix


def linear(size, log_range, dtype, name):
  """A linear map of vectors, at first the identity."""
  return invertible_conv1x1.InvertibleConv1x1(
      size, log_range, event_ndims=1, dtype=dtype, name=name
  )

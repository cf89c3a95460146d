"""Certified Lipschitz constants, and parametrisations that have them."""

from tfp_flowopt.lipschitz import tfp_bounds  # noqa: F401, registers rules
from tfp_flowopt.lipschitz.activations import max_min
from tfp_flowopt.lipschitz.activations import smooth_max_min
from tfp_flowopt.lipschitz.aol import almost_orthogonal
from tfp_flowopt.lipschitz.bounds import LipschitzBounds
from tfp_flowopt.lipschitz.bounds import lipschitz_bounds
from tfp_flowopt.lipschitz.layers import LipschitzConv2D
from tfp_flowopt.lipschitz.layers import LipschitzDense
from tfp_flowopt.lipschitz.operator_norm import operator_norm_bound
from tfp_flowopt.lipschitz.regions import Ball
from tfp_flowopt.lipschitz.regions import Box
from tfp_flowopt.lipschitz.rounding_error import reconstruction_error_bound
from tfp_flowopt.parameters.anchored_log_scale import AnchoredLogScale
from tfp_flowopt.parameters.budget import LipschitzBudget
from tfp_flowopt.parameters.freezing import FrozenKernels
from tfp_flowopt.parameters.freezing import frozen
from tfp_flowopt.parameters.log_slopes import LogSlopes
from tfp_flowopt.parameters.orthogonal import Orthogonal
from tfp_flowopt.parameters.parametrization import (
    Parametrization as DerivedWeights,
)
from tfp_flowopt.parameters.parametrization import cached as shared_rescaling
from tfp_flowopt.parameters.parametrization import frozen_in_use

__all__ = [
    'AnchoredLogScale',
    'Ball',
    'Box',
    'DerivedWeights',
    'FrozenKernels',
    'LipschitzBounds',
    'LipschitzBudget',
    'LipschitzConv2D',
    'LipschitzDense',
    'LogSlopes',
    'Orthogonal',
    'almost_orthogonal',
    'frozen',
    'frozen_in_use',
    'lipschitz_bounds',
    'max_min',
    'operator_norm_bound',
    'reconstruction_error_bound',
    'shared_rescaling',
    'smooth_max_min',
]

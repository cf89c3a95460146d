"""Certified Lipschitz constants, and parametrisations that have them."""

from tfp_flowopt.lipschitz import tfp_bounds  # noqa: F401, registers rules
from tfp_flowopt.lipschitz.activations import max_min
from tfp_flowopt.lipschitz.activations import smooth_max_min
from tfp_flowopt.lipschitz.anchored import AnchoredLogScale
from tfp_flowopt.lipschitz.aol import almost_orthogonal
from tfp_flowopt.lipschitz.bounds import LipschitzBounds
from tfp_flowopt.lipschitz.bounds import lipschitz_bounds
from tfp_flowopt.lipschitz.budget import LipschitzBudget
from tfp_flowopt.lipschitz.derived_weights import DerivedWeights
from tfp_flowopt.lipschitz.derived_weights import frozen_in_use
from tfp_flowopt.lipschitz.derived_weights import shared_rescaling
from tfp_flowopt.lipschitz.freezing import FrozenKernels
from tfp_flowopt.lipschitz.freezing import frozen
from tfp_flowopt.lipschitz.layers import LipschitzConv2D
from tfp_flowopt.lipschitz.layers import LipschitzDense
from tfp_flowopt.lipschitz.log_slopes import LogSlopes
from tfp_flowopt.lipschitz.operator_norm import operator_norm_bound
from tfp_flowopt.lipschitz.orthogonal import Orthogonal
from tfp_flowopt.lipschitz.reconstruction import reconstruction_error_bound

__all__ = [
    'AnchoredLogScale',
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

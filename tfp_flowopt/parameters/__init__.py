"""Trainable parametrisations: weights computed from those that are trained."""

from tfp_flowopt.parameters.anchored_log_scale import AnchoredLogScale
from tfp_flowopt.parameters.budget import LipschitzBudget
from tfp_flowopt.parameters.freezing import FrozenKernels
from tfp_flowopt.parameters.freezing import frozen
from tfp_flowopt.parameters.log_slopes import LogSlopes
from tfp_flowopt.parameters.orthogonal import Orthogonal
from tfp_flowopt.parameters.parametrization import Parametrization
from tfp_flowopt.parameters.parametrization import cached

__all__ = [
    'AnchoredLogScale',
    'FrozenKernels',
    'LipschitzBudget',
    'LogSlopes',
    'Orthogonal',
    'Parametrization',
    'cached',
    'frozen',
]

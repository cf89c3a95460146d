"""Second moments of data and the closed-form optimum of linear flows."""

from tfp_flowopt.optimum.auto_correlation import AutoCorrelation
from tfp_flowopt.optimum.gaussian_curves import gaussian_curves
from tfp_flowopt.optimum.gaussian_knots import gaussian_knots
from tfp_flowopt.optimum.likelihood_optimum import likelihood_optimum
from tfp_flowopt.optimum.linear_flow import LinearFlow
from tfp_flowopt.optimum.linear_flow import bits_per_dim
from tfp_flowopt.optimum.linear_flow import standard_error
from tfp_flowopt.optimum.result import LikelihoodOptimum
from tfp_flowopt.optimum.spectrum import optimal_log_scales
from tfp_flowopt.optimum.spectrum import spectral_optimum

__all__ = [
    'AutoCorrelation',
    'LikelihoodOptimum',
    'LinearFlow',
    'bits_per_dim',
    'gaussian_curves',
    'gaussian_knots',
    'likelihood_optimum',
    'optimal_log_scales',
    'spectral_optimum',
    'standard_error',
]

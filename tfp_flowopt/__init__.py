"""Normalizing flows that start at the likelihood optimum and stay bounded."""

from tfp_flowopt.optimum import AutoCorrelation
from tfp_flowopt.optimum import LikelihoodOptimum
from tfp_flowopt.optimum import bits_per_dim
from tfp_flowopt.optimum import likelihood_optimum

__all__ = [
    'AutoCorrelation',
    'LikelihoodOptimum',
    'bits_per_dim',
    'likelihood_optimum',
]

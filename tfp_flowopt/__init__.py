"""Normalizing flows that start at the likelihood optimum and stay bounded.

Bijectors, models and a trainer for TensorFlow Probability, after Liao & He,
"Jacobian Determinant of Normalizing Flows" (2021).
"""

from tfp_flowopt import bijectors
from tfp_flowopt import data
from tfp_flowopt import diagnostics
from tfp_flowopt import export
from tfp_flowopt import flows
from tfp_flowopt import lipschitz
from tfp_flowopt import local  # noqa: F401, constants within a region
from tfp_flowopt import networks
from tfp_flowopt import optimum
from tfp_flowopt import parameters
from tfp_flowopt import training
from tfp_flowopt.flows import image_flow
from tfp_flowopt.flows import initialize_at_optimum
from tfp_flowopt.flows import vector_flow
from tfp_flowopt.optimum import AutoCorrelation
from tfp_flowopt.optimum import LikelihoodOptimum
from tfp_flowopt.optimum import bits_per_dim
from tfp_flowopt.optimum import likelihood_optimum

__all__ = [
    # The optimum of the likelihood.
    'AutoCorrelation',
    'LikelihoodOptimum',
    'bits_per_dim',
    'likelihood_optimum',
    # Models.
    'image_flow',
    'initialize_at_optimum',
    'vector_flow',
    # Packages.
    'bijectors',
    'data',
    'diagnostics',
    'export',
    'flows',
    'lipschitz',
    'networks',
    'optimum',
    'parameters',
    'training',
]

__version__ = '0.1.0'

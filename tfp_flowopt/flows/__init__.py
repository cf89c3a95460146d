"""Whole models from parts, their initialisation, and their images."""

from tfp_flowopt.data.quantization import dequantization_noise
from tfp_flowopt.data.quantization import dequantize
from tfp_flowopt.data.quantization import quantize
from tfp_flowopt.flows.conditional import given
from tfp_flowopt.flows.initialize import initialize_act_norm
from tfp_flowopt.flows.initialize import initialize_at_optimum
from tfp_flowopt.flows.models import image_flow
from tfp_flowopt.flows.models import sample_at_temperature
from tfp_flowopt.flows.models import vector_flow
from tfp_flowopt.flows.surrogate_start import initialize_surrogate
from tfp_flowopt.flows.surrogates import latent_map
from tfp_flowopt.flows.surrogates import surrogate_posterior
from tfp_flowopt.flows.variational_dequantization import (
    VariationalDequantization,
)

__all__ = [
    'VariationalDequantization',
    'dequantization_noise',
    'dequantize',
    'given',
    'image_flow',
    'initialize_act_norm',
    'initialize_at_optimum',
    'initialize_surrogate',
    'latent_map',
    'quantize',
    'sample_at_temperature',
    'surrogate_posterior',
    'vector_flow',
]

"""Whole models from parts, and how they start."""

from tfp_flowopt.flows.initialize import initialize_act_norm
from tfp_flowopt.flows.initialize import initialize_at_optimum
from tfp_flowopt.flows.models import image_flow

__all__ = ['image_flow', 'initialize_act_norm', 'initialize_at_optimum']

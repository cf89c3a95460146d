"""Bi-Lipschitz bijectors, in TFP's conventions."""

from tfp_flowopt.bijectors.act_norm import ActNorm
from tfp_flowopt.bijectors.additive_coupling import AdditiveCoupling
from tfp_flowopt.bijectors.affine_coupling import AffineCoupling
from tfp_flowopt.bijectors.base import JointBijector
from tfp_flowopt.bijectors.base import forward_and_log_det
from tfp_flowopt.bijectors.base import inverse_and_log_det
from tfp_flowopt.bijectors.conditional_shift import ConditionalShift
from tfp_flowopt.bijectors.convex_potential_residual import (
    ConvexPotentialResidual,
)
from tfp_flowopt.bijectors.dense_affine import DenseAffine
from tfp_flowopt.bijectors.depth_to_space import DepthToSpace
from tfp_flowopt.bijectors.invertible_conv1x1 import InvertibleConv1x1
from tfp_flowopt.bijectors.lipschitz_residual import LipschitzResidual
from tfp_flowopt.bijectors.marginal_gaussianization import (
    MarginalGaussianization,
)
from tfp_flowopt.bijectors.masked_autoregressive import MaskedAutoregressive
from tfp_flowopt.bijectors.multiscale.factor_out import FactorOut
from tfp_flowopt.bijectors.multiscale.flow_level import FlowLevel
from tfp_flowopt.bijectors.multiscale.image_flow import ImageFlow
from tfp_flowopt.bijectors.multiscale.image_flow_config import ImageFlowConfig
from tfp_flowopt.bijectors.radial_scaling import RadialScaling
from tfp_flowopt.bijectors.repeated.reconstruction_monitor import (
    ReconstructionMonitor,
)
from tfp_flowopt.bijectors.repeated.repeated_steps import RepeatedSteps
from tfp_flowopt.bijectors.scaling_cascade import ScalingCascade
from tfp_flowopt.bijectors.sequential import Sequential
from tfp_flowopt.bijectors.spline_coupling import SplineCoupling
from tfp_flowopt.bijectors.vector_flow import VectorFlow
from tfp_flowopt.bijectors.wavelet_transform import WaveletTransform
from tfp_flowopt.lipschitz.flow_bounds import FlowBounds

__all__ = [
    'ActNorm',
    'AdditiveCoupling',
    'AffineCoupling',
    'ConditionalShift',
    'ConvexPotentialResidual',
    'DenseAffine',
    'DepthToSpace',
    'FactorOut',
    'FlowBounds',
    'FlowLevel',
    'ImageFlow',
    'ImageFlowConfig',
    'InvertibleConv1x1',
    'JointBijector',
    'LipschitzResidual',
    'MarginalGaussianization',
    'MaskedAutoregressive',
    'RadialScaling',
    'ReconstructionMonitor',
    'RepeatedSteps',
    'ScalingCascade',
    'Sequential',
    'SplineCoupling',
    'VectorFlow',
    'WaveletTransform',
    'forward_and_log_det',
    'inverse_and_log_det',
]

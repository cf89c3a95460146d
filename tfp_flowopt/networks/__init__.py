"""Networks built of Lipschitz layers."""

from tfp_flowopt.networks.conv_conditioner import ConvConditioner
from tfp_flowopt.networks.dense_conditioner import DenseConditioner

__all__ = ['ConvConditioner', 'DenseConditioner']

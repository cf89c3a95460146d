"""Networks built of Lipschitz layers."""

from tfp_flowopt.networks.conv_conditioner import ConvConditioner
from tfp_flowopt.networks.dense_conditioner import DenseConditioner
from tfp_flowopt.networks.masked_conditioner import MaskedConditioner

__all__ = ['ConvConditioner', 'DenseConditioner', 'MaskedConditioner']

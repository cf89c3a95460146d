"""Networks built of Lipschitz layers."""

from tfp_flowopt.networks.conv_conditioner import ConvConditioner

__all__ = ['ConvConditioner']

"""What a flow does, made visible."""

from tfp_flowopt.diagnostics.pictures import plot_samples
from tfp_flowopt.diagnostics.pictures import plot_training_curve

__all__ = ['plot_samples', 'plot_training_curve']

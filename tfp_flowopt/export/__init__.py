"""SavedModels of flows."""

from tfp_flowopt.export.saved_model import save

__all__ = ['save']

"""SavedModels and ONNX files of flows."""

from tfp_flowopt.export.onnx_model import save_onnx
from tfp_flowopt.export.saved_model import save

__all__ = ['save', 'save_onnx']

"""What the layer of a convex potential must be."""

from tfp_flowopt.lipschitz import layers
from tfp_flowopt.lipschitz import rounding

__all__ = ['checked_kernel']


def checked_kernel(layer):
  """The kernel of a layer, or a `ValueError` if it does not suit."""
  # Exactly: the transposed layer is not that of what a subclass computes.
  if type(layer) not in (layers.LipschitzDense, layers.LipschitzConv2D):
    raise ValueError(
        'Argument `layer` must be a LipschitzDense or a LipschitzConv2D, and '
        f'no subclass, got {layer!r} ({type(layer).__name__}).'
    )
  kernel = layer.effective_kernel()
  if layer.compute_dtype != kernel.dtype:
    raise ValueError(
        'Argument `layer` must compute in the type of its variables, '
        f'{kernel.dtype.name}, got {layer.compute_dtype.name}.'
    )
  if not layer.lipschitz <= rounding.inflation(kernel.dtype):
    raise ValueError(
        'Argument `layer` must certify a constant of at most 1, got '
        f'{layer.lipschitz}.'
    )
  return kernel

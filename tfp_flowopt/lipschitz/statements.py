"""The Lipschitz constants that networks state of themselves."""

import math

__all__ = ['current_lipschitz', 'stated_lipschitz']


def stated_lipschitz(network):
  """The constant that a network states for all its weights.

  An attribute `lipschitz` of the object or of its very class; infinite without.
  A subclass may compute something else, so it states it again, or there is a
  `TypeError`:

  ```python
  class Mine(fo.networks.ConvConditioner):
    lipschitz = fo.networks.ConvConditioner.lipschitz
  ```
  """
  if not _states(network, 'lipschitz'):
    if hasattr(network, 'lipschitz'):
      name = type(network).__name__
      raise TypeError(
          f'No Lipschitz constant is known for {name}: its `lipschitz` is that '
          'of a base class, or of what it wraps, which may compute something '
          'else. State it again, as a property of the class itself.'
      )
    return math.inf
  return _checked(network, 'lipschitz')


def current_lipschitz(network):
  """A constant of a network with its weights as they are.

  A class whose norm can be told states it as `current_lipschitz`, in the same
  way; of `LipschitzDense` and `LipschitzConv2D` it is the norm of the kernel.
  For certificates only: what is kept must hold for later weights, too.
  """
  stated = stated_lipschitz(network)
  if not _states(network, 'current_lipschitz'):
    return stated
  return min(stated, _checked(network, 'current_lipschitz'))


def _states(network, name):
  """Whether an object or its very class has an attribute: not a base class."""
  return name in vars(type(network)) or name in getattr(network, '__dict__', {})


def _checked(network, name):
  """An attribute that must be a constant, as a Python `float`."""
  value = float(getattr(network, name))
  if not value >= 0:
    raise ValueError(
        f'`{type(network).__name__}.{name}` must not be negative or NaN, got '
        f'{value}.'
    )
  return value

"""The Lipschitz constants that networks state of themselves."""

import math

__all__ = ['current_lipschitz', 'stated_lipschitz']


def stated_lipschitz(network):
  """The constant that a network states for all its weights.

  It states one as an attribute `lipschitz` of the object or of its very class.
  A subclass states it again, for it may compute something else. Where it does
  not, a line says so:

  ```python
  class Mine(fo.networks.ConvConditioner):
    lipschitz = fo.networks.ConvConditioner.lipschitz
  ```

  Args:
    network: Callable.

  Returns:
    Python `float`; infinite if it states none.

  Raises:
    TypeError: If it inherits a statement and does not repeat it.
    ValueError: If the constant is negative or NaN.
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

  A class whose norm can be told states it as `current_lipschitz`, again for
  itself alone; of `LipschitzDense` and `LipschitzConv2D` it is the norm of the
  kernel, which may be well below the constant for all kernels. For certificates
  only: what is kept for later must hold for later weights, too
  (`stated_lipschitz`).

  Args:
    network: Callable.

  Returns:
    Python `float`; infinite if no constant is known.

  Raises:
    TypeError: As `stated_lipschitz`.
    ValueError: The same.
  """
  stated = stated_lipschitz(network)
  if not _states(network, 'current_lipschitz'):
    return stated
  return min(stated, _checked(network, 'current_lipschitz'))


def _states(network, name):
  """Whether an object or its very class has an attribute: not a base class."""
  return name in vars(type(network)) or name in getattr(
      network, '__dict__', {}
  )


def _checked(network, name):
  """An attribute that must be a constant, as a Python `float`."""
  value = float(getattr(network, name))
  if not value >= 0:
    raise ValueError(
        f'`{type(network).__name__}.{name}` must not be negative or NaN, got '
        f'{value}.'
    )
  return value

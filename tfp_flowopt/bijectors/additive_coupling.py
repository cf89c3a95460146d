"""AdditiveCoupling bijector."""

import tensorflow as tf

from tfp_flowopt.bijectors import coupling
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds
from tfp_flowopt.lipschitz import layers
from tfp_flowopt.lipschitz import statements

__all__ = ['AdditiveCoupling']


class AdditiveCoupling(coupling.Coupling):
  """Shifts half of the channels by a function of the other half.

  ```none
  inverse(y1, y2) = (y1, y2 + t(y1))
  forward(x1, x2) = (x1, x2 - t(x1))
  ```

  (NICE: Dinh, Krueger & Bengio 2014.) It keeps volume: the log-determinant is
  0. If `L` is a Lipschitz constant of `t`, both directions have the constant
  `(L + sqrt(L^2 + 4)) / 2`, the largest singular value of `[[1, 0], [L, 1]]`.

  #### Example

  ```python
  conditioner = fo.networks.ConvConditioner(6, 64, 6)
  bijector = fo.bijectors.AdditiveCoupling(conditioner)
  bijector.inverse(tf.ones([5, 16, 16, 12]))
  ```
  """

  def __init__(
      self,
      conditioner: types.Network,
      event_ndims: int | None = None,
      validate_args: bool = False,
      name: str = 'additive_coupling',
  ) -> None:
    """Creates the coupling.

    Args:
      conditioner: Callable that maps `[..., C // 2]` to the shift
        `[..., C - C // 2]`. The `lipschitz` that it may state as a property of
        its class must be a Lipschitz constant of it.
      event_ndims: As for `AffineCoupling`.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    with tf.name_scope(name) as name:
      super().__init__(conditioner, event_ndims, parameters, name)

  def _normalize(self, y, params):
    return y + params, tf.zeros_like(y)

  def _generate(self, x, params):
    return x - params, tf.zeros_like(x)


@bounds.lipschitz_bounds.register
def _(bijector: AdditiveCoupling):
  lipschitz = statements.current_lipschitz(bijector.conditioner)
  constant = bounds.coupling_norm(lipschitz, 1.0)
  return bounds.LipschitzBounds(constant, constant)


@flow_bounds.bounds_by_part.register
def _(bijector: AdditiveCoupling):
  # Exact classes: a subclass may compute something else.
  is_linear = type(bijector.conditioner) in (
      layers.LipschitzConv2D,
      layers.LipschitzDense,
  )
  return (flow_bounds.linear if is_linear else flow_bounds.nonlinear)(bijector)

"""The network of an autoregressive layer."""

import numpy as np
import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types
from tfp_flowopt.networks import dense_conditioner

__all__ = ['MaskedConditioner']


class MaskedConditioner(dense_conditioner.DenseConditioner):
  """Dense layers whose outputs for component `i` see components before it.

  ```none
  params[i] = g_i(x[0], ..., x[i - 1]),   i = 0, ..., D - 1
  ```

  Each hidden unit has a degree from 1 to `D - 1` and sees what has at most that
  one; component `i` has the degree `i + 1`, and its outputs see hidden units of
  degree `i` or less (MADE: Germain et al. 2015). What is not seen is a zero of
  the kernel, before it is rescaled: the constant is that of `DenseConditioner`,
  `L` in all of `x`. So is the network of a condition, which all outputs see.
  """

  def __init__(
      self,
      size: int,
      hidden_features: int,
      params_per_component: int = 1,
      num_hidden_layers: int = 2,
      lipschitz: float = 4.0,
      activation: types.Activation = 'max_min',
      zero_initial: bool = True,
      dtype: types.DType = tf.float32,
      seed: int = 0,
      conditioning_features: int = 0,
      name: str = 'masked_conditioner',
  ) -> None:
    """Creates the network.

    Args:
      size: Number of components, the `D` above.
      hidden_features: Width of the hidden layers, even; degrees are spread over
        each half. With `2 (D - 1)` or more there is a unit of each.
      params_per_component: Number of outputs of each component. The output has
        the first of all components, then the second, and so on.
      num_hidden_layers: Number of hidden layers, at least 1.
      lipschitz: Positive Python `float`, the `L` of `DenseConditioner`.
      activation: As for `DenseConditioner`.
      zero_initial: Whether the last kernel starts at zero, and so the output.
      dtype: Type of the variables.
      seed: Python `int`, of the initial kernels.
      conditioning_features: Size of the last axis of the condition; 0 for none.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    size = arguments.check_int('size', size)
    hidden_features = arguments.check_int('hidden_features', hidden_features, 2)
    if hidden_features % 2:
      raise ValueError(
          f'Argument `hidden_features` must be even, got {hidden_features}.'
      )
    self._num_params = arguments.check_int(
        'params_per_component', params_per_component
    )
    half = np.arange(hidden_features // 2)
    half = 1 + half * (size - 1) // len(half)
    self._degrees = np.arange(1, size + 1), np.concatenate([half, half])
    super().__init__(
        size,
        hidden_features,
        size * params_per_component,
        num_hidden_layers,
        lipschitz,
        activation,
        zero_initial,
        dtype,
        seed,
        conditioning_features,
        name,
    )

  @property
  def params_per_component(self) -> int:
    """Number of outputs of each component."""
    return self._num_params

  @property
  def lipschitz(self) -> float:
    """Certified Lipschitz constant; 0 for one component, which sees none."""
    return super().lipschitz if self.in_features > 1 else 0.0

  # A subclass may compute something else, so it states it again.
  current_lipschitz = dense_conditioner.DenseConditioner.current_lipschitz

  def _mask(self, layer, last):
    components, hidden = self._degrees
    before = hidden if layer else components
    after = hidden
    if layer == last:
      after = np.tile(components - 1, self._num_params)
    return before[:, np.newaxis] <= after

"""The network of vectors, inside a coupling or a residual layer."""

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.lipschitz import activations
from tfp_flowopt.lipschitz import layers
from tfp_flowopt.lipschitz import rounding

__all__ = ['DenseConditioner']


class DenseConditioner(tf.Module):
  """Dense layers with a certified Lipschitz constant.

  ```none
  y = L (K_n act(... act(x K_1 + b_1) ...) + b_n)
  ```

  The kernels are rescaled to operator norm 1 and the activation has slopes of
  at most 1, so `L` is a Lipschitz constant for all weights. `'max_min'` loses
  no gradient norm; its Jacobian jumps, which a coupling's density does not
  see. `'smooth_max_min'` has a continuous Jacobian, for layers whose
  log-determinant contains it (`LipschitzResidual`).
  """

  def __init__(
      self,
      in_features,
      hidden_features,
      out_features,
      num_hidden_layers=2,
      lipschitz=4.0,
      activation='max_min',
      zero_initial=True,
      dtype=tf.float32,
      seed=0,
      name='dense_conditioner',
  ):
    """Creates the network.

    Args:
      in_features: Size of the last axis of the input.
      hidden_features: Width of the hidden layers; even for MaxMin.
      out_features: Size of the last axis of the output.
      num_hidden_layers: Number of hidden layers, at least 1.
      lipschitz: Positive Python `float`, the `L` above.
      activation: `'max_min'`, `'smooth_max_min'` or `'relu'`.
      zero_initial: Whether the last kernel starts at zero, and so the output.
      dtype: Type of the variables.
      seed: Python `int`, of the initial kernels.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    super().__init__(name=name)
    self._activation = activations.activation_function(
        activation, hidden_features, 'hidden_features'
    )
    num_hidden_layers = arguments.check_int(
        'num_hidden_layers', num_hidden_layers
    )
    # By their names here, which are not those of the layers.
    in_features = arguments.check_int('in_features', in_features)
    out_features = arguments.check_int('out_features', out_features)
    seed = arguments.check_int('seed', seed, least=0)
    self._lipschitz = arguments.check_positive('lipschitz', lipschitz)
    sizes = [in_features, *[hidden_features] * num_hidden_layers, out_features]
    self._layers = [
        layers.LipschitzDense(
            sizes[i],
            sizes[i + 1],
            zero_initial=zero_initial and i == num_hidden_layers,
            dtype=dtype,
            seed=seed + i,
        )
        for i in range(num_hidden_layers + 1)
    ]
    self._dtype = tf.as_dtype(dtype)
    self._inflation = rounding.inflation(dtype)

  @property
  def dtype(self):
    """Type of the variables, the input and the output."""
    return self._dtype

  @property
  def lipschitz(self):
    """Certified Lipschitz constant of the whole network."""
    return self._lipschitz * self._inflation

  def __call__(self, x):
    """Maps `[..., in_features]` to `[..., out_features]`."""
    x = tf.convert_to_tensor(x, self._dtype, name='x')
    if x.shape.rank == 1:
      # A matrix product needs rows.
      return self(x[tf.newaxis])[0]
    *hidden, last = self._layers
    for layer in hidden:
      x = self._activation(layer(x))
    return self._lipschitz * last(x)

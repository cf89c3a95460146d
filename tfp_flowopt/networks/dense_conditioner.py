"""The network of vectors, inside a coupling or a residual layer."""

import functools
import math

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import activations
from tfp_flowopt.lipschitz import layers
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.networks import soft_limit

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

  With conditioning `c` there is a second network,

  ```none
  h = act(act(c E_1 + a_1) E_2 + a_2),
  ```

  of which each hidden layer adds `h V_i` before its activation, and the output
  adds `h V_n`. Its kernels are not rescaled: `L` is the constant in `x`, for
  any `c`, and there is none in `c`. `V_n` starts at zero. Features should be
  standardised: what is beyond 10 in size counts by its logarithm
  (`10 + asinh(c - 10)`).
  """

  def __init__(
      self,
      in_features: int,
      hidden_features: int,
      out_features: int,
      num_hidden_layers: int = 2,
      lipschitz: float = 4.0,
      activation: types.Activation = 'max_min',
      zero_initial: bool = True,
      dtype: types.DType = tf.float32,
      seed: int = 0,
      conditioning_features: int = 0,
      name: str = 'dense_conditioner',
  ) -> None:
    """Creates the network.

    Args:
      in_features: Size of the last axis of the input; 0 for a network of the
        conditioning alone, with the constant 0: a coupling of one channel.
      hidden_features: Width of the hidden layers; even for MaxMin.
      out_features: Size of the last axis of the output.
      num_hidden_layers: Number of hidden layers, at least 1.
      lipschitz: Positive Python `float`, the `L` above.
      activation: `'max_min'`, `'smooth_max_min'` or `'relu'`.
      zero_initial: Whether the last kernel starts at zero, and so the output.
      dtype: Type of the variables.
      seed: Python `int`, of the initial kernels.
      conditioning_features: Size of the last axis of `c`; 0 for none.
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
    in_features = arguments.check_int('in_features', in_features, least=0)
    self._in_features = in_features
    out_features = arguments.check_int('out_features', out_features)
    seed = arguments.check_int('seed', seed, least=0)
    self._lipschitz = arguments.check_positive('lipschitz', lipschitz)
    conditioning_features = arguments.check_int(
        'conditioning_features', conditioning_features, least=0
    )
    sizes = [in_features, *[hidden_features] * num_hidden_layers, out_features]
    self._layers = [
        layers.LipschitzDense(
            sizes[i],
            sizes[i + 1],
            zero_initial=zero_initial and i == num_hidden_layers,
            dtype=dtype,
            seed=seed + i,
            mask=self._mask(i, num_hidden_layers),
        )
        for i in range(num_hidden_layers + 1)
    ]
    self._conditioning_features = conditioning_features
    self._embedding = self._added = None
    if conditioning_features:
      free = functools.partial(
          layers.LipschitzDense, normalization=None, dtype=dtype
      )
      self._embedding = [
          free(size, hidden_features, seed=seed + num_hidden_layers + 1 + i)
          for i, size in enumerate([conditioning_features, hidden_features])
      ]
      self._added = [
          free(
              hidden_features,
              size,
              zero_initial=i == num_hidden_layers,
              use_bias=False,
              seed=seed + num_hidden_layers + 3 + i,
          )
          for i, size in enumerate(sizes[1:])
      ]
    self._dtype = tf.as_dtype(dtype)
    self._inflation = rounding.inflation(dtype)

  # Those of its inputs and outputs, for a coupling.
  event_ndims = 1

  def _mask(self, layer, last):
    """Where the kernel of a layer, of `0, ..., last`, may be other than 0."""
    del layer, last

  @property
  def dtype(self) -> tf.DType:
    """Type of the variables, the input and the output."""
    return self._dtype

  @property
  def in_features(self) -> int:
    """Size of the last axis of the input."""
    return self._in_features

  @property
  def lipschitz(self) -> float:
    """Certified Lipschitz constant of the whole network."""
    return self._lipschitz * self._inflation if self._in_features else 0.0

  @property
  def current_lipschitz(self) -> float:
    """A constant with the kernels as they are: the product of their norms."""
    if not self._in_features:
      return 0.0
    norms = [layer.current_lipschitz for layer in self._layers]
    return min(self.lipschitz, self._lipschitz * math.prod(norms))

  @property
  def conditioning_channels(self) -> int:
    """Size of the last axis of the conditioning; 0 if it takes none."""
    return self._conditioning_features

  def __call__(
      self, x: types.TensorLike, conditioning: types.TensorLike | None = None
  ) -> tf.Tensor:
    """Maps `[..., in_features]` to `[..., out_features]`.

    `conditioning` is `[..., conditioning_features]`, one for each vector or for
    all, or `None` for zeros.

    Raises:
      ValueError: If a type or shape does not fit.
    """
    x = tf.convert_to_tensor(x, self._dtype, name='x')
    if x.shape.rank == 1:
      # A matrix product needs rows.
      return self(x[tf.newaxis], conditioning)[0]
    added = self._added_by(conditioning, x.shape[:-1])
    *hidden, last = self._layers
    for layer, shift in zip(hidden, added, strict=False):
      x = layer(x)
      x = self._activation(x if shift is None else x + shift)
    x = self._lipschitz * last(x)
    return x if added[-1] is None else x + added[-1]

  def _added_by(self, conditioning, batch_shape):
    """What each layer adds to its output for a condition, or `None`."""
    if self._embedding is None:
      if conditioning is not None:
        raise ValueError(
            'Argument `conditioning`: the network was made with '
            '`conditioning_features=0`.'
        )
      return [None] * len(self._layers)
    if conditioning is None:
      conditioning = tf.zeros([self._conditioning_features], self._dtype)
    c = arguments.check_tensor('conditioning', conditioning)
    if c.shape.rank is None or not arguments.broadcasts(
        c.shape[:-1], batch_shape
    ) or c.shape[-1:] != [self._conditioning_features]:
      raise ValueError(
          'Argument `conditioning` must have shape [..., '
          f'{self._conditioning_features}], one for each vector or for all, '
          f'got {c.shape} for vectors of batch shape {batch_shape}.'
      )
    c = soft_limit.soft_limit(tf.cast(c, self._dtype))
    c = c[tf.newaxis] if c.shape.rank == 1 else c
    for layer in self._embedding:
      c = self._activation(layer(c))
    return [layer(c) for layer in self._added]

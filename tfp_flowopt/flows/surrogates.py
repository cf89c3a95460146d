"""Surrogate posteriors: flows for variational inference."""

from typing import Any
from typing import Literal

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt import bijectors
from tfp_flowopt.bijectors import supports
from tfp_flowopt.bijectors import vector_layers
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types

tfb = tfp.bijectors
tfd = tfp.distributions

__all__ = ['latent_map', 'surrogate_posterior', 'unconstraining']

# Of the networks of couplings, without a budget. With the 5 of `VectorFlow`,
# Adam's first steps go far from the start: docs/variational.md.
_CONDITIONER_LIPSCHITZ = 1.0
# Range of the scales that are trained, around those of the fitted normal.
_LOG_RANGE = 3.0


def surrogate_posterior(
    event: int | types.Shape | types.Distribution,
    num_steps: int = 8,
    hidden_units: int = 32,
    coupling: types.VectorCoupling = 'spline',
    support: types.Bijector | None = None,
    covariance: Literal['full', 'diagonal'] = 'full',
    lipschitz_budget: float | None = None,
    conditioner_lipschitz: float | None = None,
    seed: int = 0,
    dtype: types.DType = tf.float32,
    name: str = 'surrogate_posterior',
) -> types.TransformedDistribution:
  """A flow for variational inference: from a standard normal to a posterior.

  ```none
  x = support(m + C (scale * f_K(... f_1(z) ...) + shift)),   z ~ N(0, I)
  ```

  `m` and `C` are the mean and the Cholesky factor of a normal.
  `initialize_surrogate` fits it, and they stay: training moves `shift` and
  `scale` (each within a factor of e^3 of 1), and the layers `f_k`, which start
  as the identity. So a learning rate is in units of the posterior's standard
  deviations, whatever the units of the parameters are.

  **Direction.** Samples take the explicit direction of each layer, `inverse`
  (the layers are `tfb.Invert`ed): one evaluation of each network, for residual
  layers, too. `log_prob` of samples costs nothing more; of other points,
  residual and convex layers take an iteration.

  **Bounds of draws.** Let `K` and `K'` be the certified constants of
  `latent_map(surrogate)` and of its inverse. For unconstrained parameters `y`
  and the centre `y_0`, that of the latent 0,

  ```none
  |z| / K' <= |y - y_0| <= K |z|
  -D log K - |z|^2/2 <= log q(y) + D/2 log(2 pi) <= D log K' - |z|^2/2
  ```

  and `|z|^2` has a chi-squared distribution with `D` degrees of freedom: the
  tails are those of a normal. With a budget, `K <= |C| e^(3 + budget)`
  whatever training does.

  #### Example

  ```python
  import tf_keras

  model = tfd.JointDistributionSequential([
      tfd.HalfCauchy(0.0, 1.0),
      lambda tau: tfd.Sample(tfd.Normal(0.0, tau), 3),
      lambda x: tfd.Independent(tfd.Normal(x, 1.0), 1),
  ])
  posterior = model.experimental_pin(None, None, [1.0, -2.0, 3.0])
  surrogate = fo.flows.surrogate_posterior(posterior, num_steps=2)
  target = posterior.unnormalized_log_prob
  fo.flows.initialize_surrogate(surrogate, target)  # ELBO of the best normal
  tfp.vi.fit_surrogate_posterior(
      target,
      surrogate,
      tf_keras.optimizers.legacy.Adam(1e-2),
      num_steps=10,
      sample_size=16,
  )
  tau, x = surrogate.sample(100, seed=[0, 1])
  ```

  Args:
    event: Shape of an event, an `int` or a list, such as `[D]`; or what is
      approximated, a `tfd.JointDistribution*`, pinned or not, whose event has
      parts of any known shapes, of one floating-point type.
    num_steps: Number of layers, may be 0: the surrogate is a normal then.
    hidden_units: Width of their networks, even.
    coupling: `'affine'`, `'spline'`, `'autoregressive'`, `'residual'` or
      `'convex'`: what the layers are.
    support: `tfb.Bijector` from R^D, or a real array, to where events are; by
      default all of it, or `experimental_default_event_space_bijector` of the
      joint distribution.
    covariance: `'full'` or `'diagonal'`, of the normal: `D^2` or `D` numbers.
    lipschitz_budget: Positive Python `float`: the logarithm of the Lipschitz
      constants of all layers together and of their inverse stays below it;
      `None` for no budget.
    conditioner_lipschitz: Positive Python `float`, the constant of each network
      of a coupling, by default 1; not with a budget, which chooses it.
    seed: Python `int`, of the networks.
    dtype: Type of the variables, float32 or float64; of an event that is a
      shape. A joint distribution has its own.
    name: Python `str`.

  Returns:
    `tfd.TransformedDistribution` whose samples have the structure of the event.

  Raises:
    ValueError: If an argument has a wrong value.
  """
  num_steps = arguments.check_int('num_steps', num_steps, least=0)
  covariance = arguments.check_choice(
      'covariance', covariance, ('full', 'diagonal')
  )
  seed = arguments.check_int('seed', seed, least=0)
  if lipschitz_budget is not None:
    lipschitz_budget = arguments.check_positive(
        'lipschitz_budget', lipschitz_budget
    )
  elif conditioner_lipschitz is None and coupling in vector_layers.COUPLINGS:
    conditioner_lipschitz = _CONDITIONER_LIPSCHITZ
  if hasattr(event, 'experimental_default_event_space_bijector'):
    dtype = _dtype_of_parts(event)
    _check_single(event)
    support = support or _default_support(event)
    joint: Any = event
    structure, shape = joint.dtype, joint.event_shape
  else:
    dtype = arguments.check_dtype('dtype', dtype, (tf.float32, tf.float64))
    structure, shape = None, _shape(event)
  to_events, size = _to_events(support, structure, shape, dtype)
  if num_steps and size < 2 and coupling in vector_layers.COUPLINGS:
    raise ValueError(
        "Argument `coupling` must be 'residual' or 'convex' for one number, "
        f'got {coupling!r}.'
    )
  with tf.name_scope(name):
    layers = vector_layers.VectorLayers(
        size,
        coupling,
        hidden_units,
        0,
        lipschitz_budget and lipschitz_budget / max(num_steps, 1),
        conditioner_lipschitz,
        dtype,
    )
    steps = _steps(layers, size, num_steps, seed)
    if covariance == 'full':
      scale = tfb.ScaleMatvecTriL(_constant(tf.eye(size, dtype=dtype), 'scale'))
    else:
      scale = tfb.ScaleMatvecDiag(_constant(tf.ones([size], dtype), 'scale'))
    latents = tfb.Chain(
        [
            tfb.Shift(_constant(tf.zeros([size], dtype), 'loc')),
            scale,
            bijectors.ActNorm(size, _LOG_RANGE, dtype=dtype, event_ndims=1),
            *steps,
        ],
        name='latent_map',
    )
    zero, one = tf.zeros([], dtype), tf.ones([], dtype)
    return tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(zero, one), [size]),
        tfb.Chain([*to_events, latents]),
        name=name,
    )


def latent_map(surrogate: types.TransformedDistribution) -> types.Bijector:
  """The bijector of latents to unconstrained parameters, both `[..., D]`.

  `lipschitz.lipschitz_bounds` certifies it, and it preconditions a sampler
  (`tfp.mcmc.TransformedTransitionKernel`).

  Args:
    surrogate: From `surrogate_posterior`.

  Returns:
    `tfb.Chain`.

  Raises:
    ValueError: If it is another distribution.
  """
  chain = getattr(surrogate, 'bijector', None)
  parts = getattr(chain, 'bijectors', None)
  if not parts or parts[-1].name != 'latent_map':
    raise ValueError(
        'Argument `surrogate` must be of `surrogate_posterior`, got '
        f'{surrogate}.'
    )
  return parts[-1]


def unconstraining(surrogate):
  """The bijector of unconstrained parameters `[..., D]` to events."""
  latent_map(surrogate)
  return tfb.Chain(surrogate.bijector.bijectors[:-1])


def _constant(value, name):
  """What a fit sets, and training leaves alone."""
  return tf.Variable(value, trainable=False, name=name)


def _shape(event):
  try:
    shape = tf.TensorShape(event if np.ndim(event) else [event])
  except Exception:  # pylint: disable=broad-exception-caught
    # Whatever it is, it is no shape.
    shape = tf.TensorShape(None)
  if (
      isinstance(event, bool)
      or not shape.is_fully_defined()
      or not shape.num_elements()
  ):
    raise ValueError(
        'Argument `event` must be a known shape, not empty, or a joint '
        f'distribution, got {event!r}.'
    )
  return shape


def _dtype_of_parts(event):
  dtypes = {tf.as_dtype(dtype) for dtype in tf.nest.flatten(event.dtype)}
  if len(dtypes) != 1 or not dtypes <= {tf.float32, tf.float64}:
    names = sorted(dtype.name for dtype in dtypes)
    raise ValueError(
        'Argument `event` must have parts of float32, or all of float64, got '
        f'{names}.'
    )
  return dtypes.pop()


def _check_single(event):
  """Refuses a joint distribution of several events."""
  shapes = tf.nest.flatten(event.batch_shape)
  if any(shape.rank for shape in shapes):
    raise ValueError(
        'Argument `event` must have the batch shape [], got '
        f'{event.batch_shape}: make parts of events by `tfd.Independent` or '
        '`tfd.Sample`.'
    )


def _default_support(event):
  try:
    support = event.experimental_default_event_space_bijector()
  except AttributeError:  # of a part that has `None`
    support = None
  if support is None:
    raise ValueError(
        'Argument `event` must have continuous parts alone, got one without a '
        f'map from the real numbers to its support: {event}.'
    )
  return support


def _to_events(support, structure, shape, dtype):
  """Bijectors from vectors to events, last one first, and the vectors' size."""
  if support is not None:
    shape, outer = supports.latent_shape(support, shape, dtype), [support]
  else:
    outer = []
  shapes = tf.nest.flatten(shape)
  if not all(shape.is_fully_defined() for shape in shapes):
    raise ValueError(
        f'Argument `event` must have parts of known shapes, got {shape}.'
    )
  sizes = [shape.num_elements() for shape in shapes]
  if not tf.nest.is_nested(structure):
    if shapes[0].rank != 1:
      outer.append(tfb.Reshape(shapes[0]))
    return outer, sizes[0]
  return [
      *outer,
      tfb.pack_sequence_as(structure),
      tfb.JointMap([tfb.Reshape(shape) for shape in shapes]),
      tfb.Split(sizes),
  ], sum(sizes)


def _steps(layers, size, num_steps, seed):
  """Layers and permutations from latents on, last one first."""
  # What is in the first half of an order conditions the other half, and in the
  # next layer the reverse. Riffles soon part any two components.
  order, orders = np.arange(size), []
  while len(orders) < num_steps:
    orders += [order, order[::-1]]
    order = np.concatenate([order[::2], order[1::2]])
  orders = [*orders[:num_steps], np.arange(size)]
  steps = [] if not num_steps else [tfb.Permute(orders[0])]
  for i in range(num_steps):
    layer = layers.make(int(np.random.default_rng([seed, i]).integers(2**31)))
    # x[orders[i]] -> x[orders[i + 1]].
    change = np.argsort(orders[i])[orders[i + 1]]
    steps = [tfb.Permute(change), tfb.Invert(layer), *steps]
  return steps

"""Lipschitz constants at points: estimates from below, no certificates."""

import functools
from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt.bijectors.multiscale import conditioning
from tfp_flowopt.bijectors.repeated import repeated_steps
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import graphs
from tfp_flowopt.internal import lanczos
from tfp_flowopt.internal import types
from tfp_flowopt.parameters import freezing

__all__ = ['LocalLipschitz', 'constants_at', 'local_lipschitz']

# Sizes of events of which the Jacobian is computed by default: it takes as many
# gradients as an event has numbers, but only one of them to trace, where
# Lanczos' method needs second derivatives.
_LARGEST_DENSE = 1024
# Gradients at a time, and the default number of steps of Lanczos' method.
_ROWS, _LANCZOS_STEPS = 64, 32


class LocalLipschitz(NamedTuple):
  """Estimates of the Lipschitz constants of a bijector near given events.

  With `J` the Jacobian of `inverse` at an event, `inverse` is the largest
  singular value of `J`, and `forward` one over the smallest: the largest one of
  the Jacobian of `forward`, where the event comes from. They are what the
  bounds of `tfp_flowopt.lipschitz.lipschitz_bounds` are for all inputs.

  Attributes:
    forward: `Tensor` `[N]`, expansion by `forward` at `inverse(x)`.
    inverse: `Tensor` `[N]`, expansion by `inverse` at `x`.
  """

  forward: tf.Tensor
  inverse: tf.Tensor

  @property
  def condition(self) -> tf.Tensor:
    """Condition numbers of the Jacobians, `[N]`."""
    return self.forward * self.inverse


def local_lipschitz(
    bijector: types.Bijector,
    x: types.TensorLike,
    num_steps: int | None = None,
    seed: types.Seed = (0, 0),
    bijector_kwargs: types.Kwargs | None = None,
) -> LocalLipschitz:
  """Finds the largest and smallest singular value of the Jacobian.

  Of events of `D <= 1024` numbers from the Jacobians themselves, row by row,
  with memory of some `N D^2` numbers. Of larger ones, or with `num_steps`, by
  Lanczos' method on `J^T J`, with full reorthogonalisation, from products `J v`
  and `J^T u` alone, with the memory of `2 num_steps` events. The smallest
  singular value is one over the largest of the Jacobian of `forward`: taken
  from `J^T J` it would lose twice the digits of the condition number of `J`.

  The estimates are **from below**, and certify nothing: each is `|J v| / |v|`
  for the best `v` in a Krylov space, so more steps only raise it. From a random
  start the relative error of a squared singular value is on average at most
  `0.103 (ln(D (m - 1)^4) / (m - 1))^2` after `m` steps in `D` dimensions
  (Kuczynski & Wozniakowski 1992), usually far less.

  #### Example

  ```python
  local = fo.diagnostics.local_lipschitz(distribution.bijector, images)
  certified = fo.lipschitz.lipschitz_bounds(distribution.bijector)
  tf.reduce_max(local.inverse), certified.inverse  # seen, and never exceeded
  ```

  Args:
    bijector: `tfb.Bijector` of single tensors.
    x: `Tensor` `[N] + event_shape`, float32 or float64, on the side of
      `inverse`'s input (images). All axes but the first one are the event.
    num_steps: Number of Lanczos steps `m`; each costs a product with `J` and
      one with `J^T`, in both directions. By default none for small events, as
      above, and 32 for others.
    seed: `[2]` integers, of the stateless random starts of Lanczos' method.
    bijector_kwargs: Further arguments of `bijector.inverse` and `forward`;
      `conditioning` is one for all events, or one for each.

  Returns:
    `LocalLipschitz(forward, inverse)`, each `[N]`, of the type of `bijector`,
    or of `x` if that has none; not finite where a Jacobian is not.

  Raises:
    ValueError: If an argument has a wrong value.
  """
  arguments.check_instance(
      'bijector', bijector, tfp.bijectors.Bijector, 'a tfb.Bijector'
  )
  if num_steps is not None:
    num_steps = arguments.check_int('num_steps', num_steps)
  seed = arguments.check_seed('seed', seed)
  x = tf.convert_to_tensor(x, name='x')
  if bijector.dtype is not None and x.dtype.is_floating:
    x = tf.cast(x, bijector.dtype)
  if x.dtype not in (tf.float32, tf.float64):
    raise ValueError(
        'Argument `x` must be of type float32 or float64, got '
        f'{x.dtype.name}.'
    )
  needed = 1 + max(bijector.inverse_min_event_ndims, 0)
  if x.shape.rank is None or x.shape.rank < needed:
    raise ValueError(
        f'Argument `x` must have a batch axis and at least {needed - 1} axes '
        f'of an event, got shape {x.shape}.'
    )
  num_events = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
  kwargs = conditioning.of_each_event(bijector, bijector_kwargs, num_events)
  return constants_at(bijector, x, num_steps, seed, kwargs)


def constants_at(bijector, x, num_steps=None, seed=(0, 0), kwargs=None):
  """`local_lipschitz` of a `Tensor`; `kwargs` are what the bijector takes.

  That may be other than what users give: parts of a flow of images take maps,
  whatever it is conditioned on.
  """
  # Nothing is trained here, and Jacobians want forward-mode gradients.
  bijector = repeated_steps.with_memory(bijector, 'stored')
  size = x.shape[1:].num_elements()
  if num_steps is None and (size is None or size > _LARGEST_DENSE):
    num_steps = _LANCZOS_STEPS

  def largest(function, x, seed, kwargs):
    if num_steps is None:
      return _norm_of_jacobian(function, x, kwargs)
    function = functools.partial(function, **kwargs)
    return _largest_singular_value(function, x, num_steps, seed)

  # A graph even where the caller has none: op by op, the same small network
  # some hundred times would take minutes.
  @graphs.own_graph
  def estimate(x, seed, kwargs):
    seeds = tf.random.split(seed, 2)
    with freezing.computed_once(bijector):
      z = bijector.inverse(tf.identity(x), **kwargs)
      return LocalLipschitz(
          forward=largest(bijector.forward, z, seeds[0], kwargs),
          inverse=largest(bijector.inverse, x, seeds[1], kwargs),
      )

  return estimate(x, tf.cast(seed, tf.int32), kwargs or {})


def _norm_of_jacobian(function, x, kwargs):
  """Spectral norms `[N]` of the Jacobians at `x`, from their rows."""
  size, event_shape = x.shape[1:].num_elements(), x.shape[1:]
  num_rows = tf.shape(x)[0] * size

  def some_rows(first):
    # What is too much in the last chunk repeats the last row, and is cut off.
    rows = tf.minimum(first + tf.range(_ROWS), num_rows - 1)
    copies = tf.ensure_shape(tf.gather(x, rows // size), [_ROWS, *event_shape])
    own = conditioning.of_some_events(kwargs, rows // size)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(copies)
      y = function(tf.identity(copies), **own)
    unit = tf.reshape(tf.one_hot(rows % size, size, dtype=x.dtype), y.shape)
    gradient = tape.gradient(
        y, copies, unit, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return tf.reshape(gradient, [_ROWS, size])

  jacobians = tf.map_fn(
      some_rows,
      tf.range(0, num_rows, _ROWS),
      fn_output_signature=tf.TensorSpec([_ROWS, size], x.dtype),
      parallel_iterations=1,
  )
  jacobians = tf.reshape(
      tf.reshape(jacobians, [-1, size])[:num_rows], [-1, size, size]
  )
  # Their squares may be out of range, and what is not finite would be an error
  # of the whole batch.
  largest = tf.reduce_max(tf.abs(jacobians), axis=[1, 2], keepdims=True)
  scaled = tf.math.divide_no_nan(jacobians, largest)
  scaled = tf.where(tf.math.is_finite(largest), scaled, 0.0)
  squares = tf.linalg.eigvalsh(
      tf.linalg.matmul(scaled, scaled, transpose_a=True)
  )
  norms = largest[:, 0, 0] * tf.sqrt(squares[:, -1])
  return tf.ensure_shape(norms, x.shape[:1])


def _largest_singular_value(function, x, num_steps, seed):
  """Lanczos on `J^T J`, `[N]`, of a function that maps event by event."""
  num_events, size = tf.shape(x)[0], tf.reduce_prod(tf.shape(x)[1:])
  zero = tf.zeros_like(function(tf.identity(x)))
  none = tf.UnconnectedGradients.ZERO

  # One graph that is called, for most of the time would go to tracing it.
  @functools.partial(graphs.own_graph, reduce_retracing=True)
  def transposed(x, u):
    """`J^T u`."""
    # Without the variables: their gradients would be most of the graph.
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(x)
      # A new tensor: a bijector's cache knows the value at the old one, but
      # not how it came about.
      y = function(tf.identity(x))
    return tape.gradient(y, x, u, unconnected_gradients=none)

  def products(v):
    """`J v` and `J^T J v`, of flat `v` and flat themselves."""
    # `J^T u` is linear in `u`: the transpose of its Jacobian is `J`.
    # (TensorFlow 2.21's ForwardAccumulator fails in graphs, at ensure_shape.)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(zero)
      value = transposed(x, zero)
    image = tape.gradient(
        value, zero, tf.reshape(v, tf.shape(x)), unconnected_gradients=none
    )
    gram = transposed(x, image)
    return (
        tf.reshape(image, [num_events, -1]),
        tf.reshape(gram, [num_events, size]),
    )

  start = tf.random.stateless_normal([num_events, size], seed, dtype=x.dtype)
  return lanczos.largest_singular_value(
      products, start, num_steps, tf.size(zero[0])
  )

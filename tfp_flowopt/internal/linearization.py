"""Products with the Jacobian of a map, and the Jacobian itself."""

import tensorflow as tf

from tfp_flowopt.internal import custom_gradients

__all__ = ['Linearization', 'value_and_jacobian', 'without_gradient']


class Linearization:
  """A map at a point: its value, and products with its Jacobian `J`.

  The map, of the shape of its argument, must act on each element of the batch
  alone. It is evaluated once; products may be taken in loops.
  """

  def __init__(self, function, x):
    # A tensor of its own: the tape must see nothing but this evaluation.
    self._x = tf.identity(x)
    self._tape = tf.GradientTape(persistent=True)
    with self._tape:
      self._tape.watch(self._x)
      self.value = function(self._x)
      # `u -> J^T u` is linear, so its transpose at any point is `v -> J v`.
      self._dummy = tf.zeros_like(self.value)
    self._dual_tape = tf.GradientTape(persistent=True)
    with self._dual_tape:
      self._dual_tape.watch(self._dummy)
      self._dual = self.vjp(self._dummy)

  def vjp(self, u):
    """Returns `J^T u`."""
    return _gradient(self._tape, self.value, self._x, u)

  def jvp(self, v):
    """Returns `J v`."""
    return _gradient(self._dual_tape, self._dual, self._dummy, v)


def _gradient(tape, target, source, upstream):
  return tape.gradient(
      target,
      source,
      output_gradients=upstream,
      unconnected_gradients=tf.UnconnectedGradients.ZERO,
  )


def value_and_jacobian(function, x, event_ndims):
  """A map and its Jacobian `[batch..., D, D]`, `d value_i / d x_j`, together.

  The map sees as many copies of the batch as an event of known shape has
  numbers, as a further dimension; one backward pass gives all rows. Nothing but
  plain operations: it compiles with XLA and can be differentiated again.
  """
  event_shape = x.shape[x.shape.rank - event_ndims :]
  if not event_shape.is_fully_defined():
    raise ValueError(
        "An exact log-determinant (`log_det='exact'`) needs events of a known "
        f'shape, got {event_shape}.'
    )
  size = event_shape.num_elements()
  batch_ndims = x.shape.rank - event_ndims
  copies = tf.tile(x[tf.newaxis], [size, *[1] * x.shape.rank])
  with tf.GradientTape() as tape:
    tape.watch(copies)
    values = function(copies)
  basis = tf.reshape(
      tf.eye(size, dtype=x.dtype), [size, *[1] * batch_ndims, *event_shape]
  )
  rows = _gradient(tape, values, copies, basis + tf.zeros_like(values))
  shape = tf.concat([[size], tf.shape(x)[:batch_ndims], [size]], axis=0)
  order = [*range(1, batch_ndims + 1), 0, batch_ndims + 1]
  jacobian = tf.transpose(tf.reshape(rows, shape), order)
  return values[0], tf.ensure_shape(
      jacobian, [*x.shape[:batch_ndims], size, size]
  )


def without_gradient(function, x):
  """`function(x)` as a constant, of which no tape keeps the intermediates.

  `tf.stop_gradient` alone lets an outer tape record all that happens in an
  eager loop. `x` and the value may be structures.
  """
  flat = tf.nest.flatten(x)

  @custom_gradients.custom_gradient
  def constant(*flat):
    outputs = function(tf.nest.pack_sequence_as(x, flat))

    def gradient(*upstream, variables=()):
      del upstream
      zeros = [tf.zeros_like(t) for t in flat]
      return (zeros, [None] * len(variables)) if variables else zeros

    return outputs, gradient

  return constant(*flat)

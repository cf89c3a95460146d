"""Walks through repeated steps, and back for their gradients."""

import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import conditioned
from tfp_flowopt.internal import custom_gradients
from tfp_flowopt.internal import module_tree

__all__ = ['Walk']


class Walk:
  """Applies stacked steps in one direction, in a loop.

  Values and gradients are those of one step after the other. `conditions` is a
  list of one floating-point `Tensor` that all steps are conditioned on, or
  none.
  """

  def __init__(self, parts, num_steps, forward, event_ndims):
    """Creates the walk through a step with `Tensor`s `[num_steps, ...]`."""
    self._stacked = parts
    self._weights = module_tree.leaves(parts)
    self._num_steps = num_steps
    self._forward = forward
    self._event_ndims = event_ndims

  def stored(self, x, conditions):
    """Walks with TensorFlow's own gradients.

    Returns the value, and the log-determinant, of the shape of the batch.
    """
    y, log_det, _ = self._walk(x, _arrays(self._weights), conditions)
    return y, log_det

  def unrolled(self, x, conditions):
    """The same without a loop, for steps of a few small operations."""
    rows = [tf.unstack(w) for w in self._weights]
    log_det = tf.zeros(self._batch(x), x.dtype)
    for i in range(self._num_steps):
      own = [row[self._index(i)] for row in rows]
      x, more = self._apply(own, x, conditions)
      log_det += more
    return x, log_det

  def reversible(self, x, conditions, monitor):
    """The same, and for gradients back by inverting the steps.

    As the input is kept, the error of the way back is known exactly when it
    arrives there. It goes to the monitor; if it is too large, the steps are
    walked again, and the input of each is kept.
    """
    num_weights = len(self._weights)

    @custom_gradients.custom_gradient
    def walk(x, *sources):
      weights = list(sources[:num_weights])
      conditions = list(sources[num_weights:])
      y, log_det, _ = self._walk(x, _slices(weights), conditions)

      def gradient(dy, d_log_det):
        walked, *gradients = self._walk_back(
            y, dy, d_log_det, weights, conditions
        )
        accepted = monitor.record(_relative_error(walked, x, self._event_ndims))
        dx, *gradients = tf.cond(
            accepted,
            lambda: gradients,
            lambda: self._gradients_from_inputs(
                x, dy, d_log_det, weights, conditions
            ),
        )
        return dx, *_spread(gradients, sources)

      return (y, log_det), gradient

    return walk(x, *self._weights, *conditions)

  def _index(self, i):
    """Number of the `i`-th step of this walk."""
    return self._num_steps - 1 - i if self._forward else i

  def _parts(self, weights):
    """Bijectors of a step, in the order of this walk."""
    parts = module_tree.with_leaves(self._stacked, self._weights, weights)
    return parts[::-1] if self._forward else parts

  def _batch(self, x):
    """Shape of the batch: in a loop of what is there, which XLA knows."""
    return tf.shape(x)[: x.shape.rank - self._event_ndims]

  def _apply(self, weights, x, conditions):
    evaluate = (
        base.forward_and_log_det if self._forward else base.inverse_and_log_det
    )
    y, log_det = base.compose(evaluate, self._parts(weights), x, *conditions)
    _check_same_shape(x, y)
    known = x.shape[: x.shape.rank - self._event_ndims]
    log_det = _of_batch(log_det, self._batch(x), known)
    return tf.ensure_shape(y, x.shape), log_det

  def _walk(self, x, weights_of, conditions, keep_inputs=False):
    """The value, the log-determinant, and the inputs if they are kept."""
    num_steps = self._num_steps

    def body(i, x, log_det, inputs):
      if keep_inputs:
        inputs = inputs.write(i, x)
      own = weights_of(self._index(i))
      x, more = self._apply(own, x, conditions)
      log_det = tf.ensure_shape(log_det + more, log_det.shape)
      return i + 1, x, log_det, inputs

    inputs = ()
    if keep_inputs:
      inputs = tf.TensorArray(x.dtype, num_steps, element_shape=x.shape)
    log_det = tf.zeros(self._batch(x), x.dtype)
    log_det.set_shape(x.shape[: x.shape.rank - self._event_ndims])
    _, y, log_det, inputs = tf.while_loop(
        lambda i, *_: i < num_steps,
        body,
        (0, x, log_det, inputs),
        maximum_iterations=num_steps,
    )
    return y, log_det, inputs

  def _walk_back(self, y, dy, d_log_det, weights, conditions):
    """Goes back to the input, and takes gradients on the way.

    Returns the input as recomputed, the gradient with respect to it, and those
    with respect to the floating-point weights and the conditions.
    """
    weights_of = _slices(weights)

    def back(i, y, dy):
      own = weights_of(self._index(i))
      sources = _differentiable(own) + conditions
      totals = [None] * len(sources)
      for part in reversed(self._parts(own)):
        with tf.GradientTape() as tape:
          tape.watch(sources)
          inputs, value, log_det = part._inverse_with_gradients(  # pylint: disable=protected-access
              y, self._forward, tape, **conditioned.keywords(part, *conditions)
          )
          log_det = _of_batch(log_det, tf.shape(d_log_det), d_log_det.shape)
        gradients = tape.gradient(
            [value, log_det], inputs + sources, [dy, d_log_det]
        )
        if any(g is None for g in gradients[: len(inputs)]):
          # A tape inside a ForwardAccumulator sees nothing.
          raise NotImplementedError(
              "Forward-mode gradients need memory='stored'."
          )
        y = tf.concat(inputs, axis=-1)
        dy = tf.concat(gradients[: len(inputs)], axis=-1)
        totals = [
            _plus(a, b)
            for a, b in zip(totals, gradients[len(inputs) :], strict=True)
        ]
      return y, dy, totals

    return self._loop_back(y, dy, weights, conditions, back)

  def _gradients_from_inputs(self, x, dy, d_log_det, weights, conditions):
    """Gradients by walking again and keeping the input of each step."""
    weights_of = _slices(weights)
    _, _, inputs = self._walk(x, weights_of, conditions, keep_inputs=True)

    def back(i, _, dy):
      own = weights_of(self._index(i))
      sources = _differentiable(own) + conditions
      x = inputs.read(i)
      with tf.GradientTape() as tape:
        tape.watch([x, *sources])
        value, log_det = self._apply(own, x, conditions)
      dx, *gradients = tape.gradient(
          [value, log_det], [x, *sources], [dy, d_log_det]
      )
      return x, dx, gradients

    _, *gradients = self._loop_back(x, dy, weights, conditions, back)
    return gradients

  def _loop_back(self, y, dy, weights, conditions, back):
    """Runs `back(i, y, dy)` for the last step first.

    It returns a step's input and the gradients with respect to it and, as a
    list, to its weights and the conditions. The result is the input of the walk
    and the gradients with respect to it, to the weights, stacked, and to the
    conditions, summed.
    """
    num_steps = self._num_steps
    stacked = [
        tf.TensorArray(w.dtype, num_steps, element_shape=w.shape[1:])
        for w in _differentiable(weights)
    ]

    def body(i, y, dy, stacked, summed):
      x, dx, gradients = back(i, y, dy)
      own, shared = gradients[: len(stacked)], gradients[len(stacked) :]
      index = self._index(i)
      stacked = [
          array.write(
              index,
              tf.zeros(array.element_shape, array.dtype) if g is None else g,
          )
          for array, g in zip(stacked, own, strict=True)
      ]
      summed = [_plus(a, b) for a, b in zip(summed, shared, strict=True)]
      return (
          i - 1,
          tf.ensure_shape(x, y.shape),
          tf.ensure_shape(dx, y.shape),
          stacked,
          summed,
      )

    _, x, dx, stacked, summed = tf.while_loop(
        lambda i, *_: i >= 0,
        body,
        (num_steps - 1, y, dy, stacked, list(map(tf.zeros_like, conditions))),
        maximum_iterations=num_steps,
        # Else gradients of weights may wait, with all that they need, while
        # the next steps go ahead.
        parallel_iterations=1,
    )
    return x, dx, *(array.stack() for array in stacked), *summed


def _arrays(weights):
  """A function from the index of a step to its weights, a list of `Tensor`s.

  Its gradients are arrays, too: the gradient of a slice in a loop would be a
  sum, over the steps, of stacks of all steps.
  """
  arrays = [
      tf.TensorArray(w.dtype, w.shape[0], element_shape=w.shape[1:]).unstack(w)
      for w in weights
  ]
  return lambda index: [array.read(index) for array in arrays]


def _of_batch(log_det, batch, known):
  """A log-determinant for each event, given what is known of their number."""
  if known.is_fully_defined() and log_det.shape == known:
    return log_det
  return tf.broadcast_to(log_det, batch)


def _slices(weights):
  """The same where no gradient is asked for: without a copy of all steps."""
  return lambda index: [w[index] for w in weights]


def _plus(a, b):
  """The sum of two gradients, either of which may be `None`."""
  if a is None or b is None:
    return b if a is None else a
  return a + b


def _differentiable(weights):
  return [w for w in weights if w.dtype.is_floating]


def _spread(gradients, weights):
  """Gradients of the floating-point weights, with `None` for the others."""
  gradients = iter(gradients)
  return [next(gradients) if w.dtype.is_floating else None for w in weights]


def _relative_error(walked, x, event_ndims):
  """Largest error of an event, relative to its norm.

  Norms below 1e-3 per dimension (root mean square) count as that.
  """
  axes = list(range(-event_ndims, 0))
  error = tf.reduce_mean(tf.square(walked - x), axes)
  size = tf.reduce_mean(tf.square(x), axes)
  worst = tf.reduce_max(error / tf.maximum(size, 1e-6))
  return tf.sqrt(tf.maximum(worst, 0.0))  # of no events it is -inf


def _check_same_shape(x, y):
  if not y.shape.is_compatible_with(x.shape):
    raise ValueError(
        'Argument `step` must keep the shape of its input, but turns '
        f'{x.shape} into {y.shape}.'
    )

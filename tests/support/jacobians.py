"""Dense Jacobians, by automatic differentiation."""

import tensorflow as tf


def jacobian_of(function):
  """The Jacobian of a map of events to events of as many dimensions.

  `GradientTape.batch_jacobian` traces a flow, which takes many times as long.

  Args:
    function: Maps `[N] + shape`, and further tensors `[N, ...]`, to `[N] +
      another shape`, event by event.

  Returns:
    Function of the same arguments; its result is `[N, D, D]`, a NumPy array.
  """

  def gradients(copies, *others):
    size = copies.shape[1:].num_elements()
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(copies)
      y = function(tf.identity(copies), *others)
      # Copy `i` of an event is for row `i`.
      rows = tf.linalg.trace(tf.reshape(y, [-1, size, size]))
    return tape.gradient(
        rows, copies, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )

  def evaluate(x, *others):
    size = x.shape[1:].num_elements()
    copies = [tf.repeat(t, size, axis=0) for t in (x, *others)]
    return gradients(*copies).numpy().reshape([-1, size, size])

  return evaluate

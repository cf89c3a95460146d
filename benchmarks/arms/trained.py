"""What arms in TensorFlow have in common when they are trained."""

import functools

import short_run
import tensorflow as tf

__all__ = ['Trained']


class Trained:
  """A model of `short_run.run`.

  Subclasses have `_distribution`, `_variables`, `_optimizer`, whose learning
  rate is a variable, `_step`, a function of a batch that returns bits/dim
  before it, and `_crops`.
  """

  @functools.cached_property
  def _initial(self):
    """All that training changes, with its values of before."""
    variables = self._optimizer.variables
    if callable(variables):  # of a legacy optimiser
      variables = variables()
    return [(v, v.numpy()) for v in (*self._variables, *variables)]

  def restart(self):
    """Back to the weights from before training."""
    for variable, value in self._initial:
      variable.assign(value)

  def step(self, x, learning_rate):
    """One step; bits/dim before it."""
    self._optimizer.learning_rate.assign(learning_rate)
    return float(self._step(tf.constant(x)))

  @functools.cached_property
  def _vector_jacobian(self):
    @tf.function(autograph=False)
    def gradient(x, u):
      with tf.GradientTape() as tape:
        tape.watch(x)
        z = self._distribution.bijector.inverse(x)
      return tape.gradient(z, x, output_gradients=u)

    return gradient

  def vector_jacobian(self, x, u):
    """Gradient of the products of `u`, `[B, D]`, and the latents of `x`."""
    return self._vector_jacobian(tf.constant(x), tf.constant(u)).numpy()

  def run(self, **settings):
    """A run of training: `short_run.run`."""
    return short_run.run(self, self._crops, **settings)

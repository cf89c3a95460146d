"""What arms in TensorFlow have in common."""

import contextlib
import functools

from harness import short_run
import tensorflow as tf

import tfp_flowopt as fo


class Trained(short_run.Model):
  """Subclasses have `_distribution`, `_variables` and `_optimizer`."""

  # Around a step.
  _scope = staticmethod(contextlib.nullcontext)

  def __init__(self, settings):
    super().__init__(settings)
    self._x = tf.constant(self._x)

  @property
  def _flow(self):
    return self._distribution.bijector

  def _loss(self, x):
    return fo.bits_per_dim(
        tf.reduce_mean(self._distribution.log_prob(x)), self._crops.event_size
    )

  @functools.cached_property
  def _step(self):
    variables = self._variables

    @tf.function(autograph=False, jit_compile=self._settings.get('jit_compile'))
    def step(x):
      with tf.GradientTape() as tape, self._scope():
        loss = self._loss(x)
      gradients = tape.gradient(loss, variables)
      if self._clip_norm is not None:
        gradients, _ = tf.clip_by_global_norm(gradients, self._clip_norm)
      self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
      return loss

    return step

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
  def _bits_per_dim(self):
    return tf.function(self._loss, autograph=False)

  def bits_per_dim(self, x):
    """Mean bits/dim, with the weights of now."""
    return float(self._bits_per_dim(tf.constant(x)))

  @tf.function(autograph=False)
  def _there_and_back(self, x):
    return self._flow.forward(tf.identity(self._flow.inverse(x)))

  def there_and_back(self, x):
    """`x` after `inverse` and `forward`."""
    return self._there_and_back(tf.constant(x)).numpy()

  @tf.function(autograph=False)
  def _vector_jacobian(self, x, u):
    with tf.GradientTape() as tape:
      tape.watch(x)
      z = self._flow.inverse(x)
    return tape.gradient(z, x, output_gradients=u)

  def vector_jacobian(self, x, u):
    """Gradient of the products of `u`, `[B, D]`, and the latents of `x`."""
    return self._vector_jacobian(tf.constant(x), tf.constant(u)).numpy()

  def num_parameters(self):
    """Number of trained numbers."""
    return sum(v.shape.num_elements() for v in self._variables)

  def _timed(self, method, x):
    """A graph of a method, for values such as `x`."""
    del x
    return tf.function(method, autograph=False)

  @functools.cached_property
  def _timed_log_prob(self):
    return self._timed(self._distribution.log_prob, self._x)

  def log_prob(self):
    """Mean log-likelihood of a batch."""
    return float(tf.reduce_mean(self._timed_log_prob(self._x)))

  def _noise(self):
    shape = [len(self._x), self._crops.event_size]
    return tf.random.stateless_normal(shape, [0, 0])

  @functools.cached_property
  def _timed_forward(self):
    return self._timed(self._flow.forward, self._noise())

  def sample(self):
    """Images from noise; the largest value."""
    return float(tf.reduce_max(self._timed_forward(self._noise())))

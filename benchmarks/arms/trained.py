"""What arms in TensorFlow have in common."""

import contextlib
import functools

from harness import short_run
import numpy as np
import tensorflow as tf

import tfp_flowopt as fo

__all__ = ['Trained']


class Trained:
  """A model of `short_run.run`, and of steps that are timed.

  Subclasses have `_distribution`, `_variables` and `_optimizer`, whose learning
  rate is a variable. Settings: `crops`, .npz; `batch_size`; optional
  `learning_rate` (of `train_step`), `seed` (0), `clip_norm` (1; `None` for no
  clipping), `jit_compile`.
  """

  # Around a step.
  _scope = staticmethod(contextlib.nullcontext)

  def __init__(self, settings):
    """Opens the crops."""
    self._settings = settings
    self._crops = short_run.Crops(
        settings['crops'], settings['batch_size'], settings.get('seed', 0)
    )
    self._x = tf.constant(self._crops.first(settings['batch_size']))
    self._num_timed = 0

  def _loss(self, x):
    return fo.bits_per_dim(
        tf.reduce_mean(self._distribution.log_prob(x)), self._crops.event_size
    )

  @functools.cached_property
  def _step(self):
    variables = self._variables
    clip_norm = self._settings.get('clip_norm', 1.0)

    @tf.function(
        autograph=False, jit_compile=self._settings.get('jit_compile')
    )
    def step(x):
      with tf.GradientTape() as tape, self._scope():
        loss = self._loss(x)
      gradients = tape.gradient(loss, variables)
      if clip_norm is not None:
        gradients, _ = tf.clip_by_global_norm(gradients, clip_norm)
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

  @functools.cached_property
  def _there_and_back(self):
    flow = self._distribution.bijector
    return tf.function(
        lambda x: flow.forward(tf.identity(flow.inverse(x))), autograph=False
    )

  def there_and_back(self, x):
    """`x` after `inverse` and `forward`."""
    return self._there_and_back(tf.constant(x)).numpy()

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

  def num_parameters(self):
    """Number of trained numbers."""
    return sum(v.shape.num_elements() for v in self._variables)

  def train_step(self):
    """One step on the next batch; bits/dim before it."""
    self._num_timed += 1
    batch = self._crops.batch(self._num_timed)
    return self.step(batch, self._settings['learning_rate'])

  def _timed(self, method, shape):
    """A graph of a method, for values of a shape."""
    del shape
    return tf.function(method, autograph=False)

  @functools.cached_property
  def _timed_log_prob(self):
    return self._timed(self._distribution.log_prob, self._x.shape)

  @functools.cached_property
  def _timed_forward(self):
    shape = [self._x.shape[0], self._crops.event_size]
    return self._timed(self._distribution.bijector.forward, shape)

  def log_prob(self):
    """Mean log-likelihood of a batch."""
    return float(tf.reduce_mean(self._timed_log_prob(self._x)))

  def sample(self):
    """Images from noise; the largest value."""
    shape = [self._x.shape[0], self._crops.event_size]
    z = tf.random.stateless_normal(shape, [0, 0])
    return float(tf.reduce_max(self._timed_forward(z)))

  def round_trip(self):
    """Largest error of an image after `inverse` and `forward`."""
    x = self._x.numpy()
    return float(np.max(np.abs(self.there_and_back(x) - x)))

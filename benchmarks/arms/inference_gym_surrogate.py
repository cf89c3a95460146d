"""A surrogate posterior of a target of the Inference Gym, ours or TFP's own.

Inference Gym is a package of TensorFlow models alone; it is imported from a
folder of its own, which `harness.serving.inference_gym` makes.
"""

import sys
import time

from harness import serving
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_flowopt as fo

tfb = tfp.bijectors
tfd = tfp.distributions

# Draws for the ELBO and the moments, in batches.
_DRAWS, _BATCHES = 2000, 10


class Surrogate:
  """Fits a surrogate posterior.

  Settings: `target` (a class of `inference_gym.targets`), `arm` (see `_make`),
  `rate`, `train_steps`, `sample_size`, `seed`, `num_threads`; `packages`, a
  folder.
  """

  def __init__(self, settings):
    tf.config.threading.set_intra_op_parallelism_threads(
        settings['num_threads']
    )
    tf.get_logger().setLevel('ERROR')
    sys.path.append(settings['packages'])
    from inference_gym import using_tensorflow as gym

    self._settings = settings
    self._model = getattr(gym.targets, settings['target'])()
    self._vectors = gym.targets.VectorModel(
        self._model, flatten_sample_transformations=True
    )

  def _log_prob(self, x):
    return self._model.unnormalized_log_prob(
        self._vectors.vector_event_to_structured(x)
    )

  def _make(self):
    """The surrogate, its target, and the map of its draws to vectors."""
    arm, vectors = self._settings['arm'], self._vectors
    seed = [self._settings['seed'], 1]
    support = vectors.default_event_space_bijector
    if arm in ('flow', 'normal'):
      kwargs = {'num_steps': 0} if arm == 'normal' else {}
      surrogate = fo.flows.surrogate_posterior(
          vectors.event_shape,
          support=support,
          seed=self._settings['seed'],
          dtype=vectors.dtype,
          **kwargs,
      )
      fo.flows.initialize_surrogate(surrogate, self._log_prob)
      return surrogate, self._log_prob, tf.identity
    if arm == 'ASVI':
      model = self._model
      surrogate = tfp.experimental.vi.build_asvi_surrogate_posterior(
          model.prior_distribution(), seed=seed
      )
      # As fits call it: with the parts of a tuple or a dictionary.
      return (
          surrogate, _packed(model), vectors.structured_event_to_vector
      )
    operators = {'mean-field': 'diag', 'affine': 'tril'}[arm]
    surrogate = tfp.experimental.vi.build_affine_surrogate_posterior(
        vectors.event_shape, operators, bijector=support, dtype=vectors.dtype
    )
    return surrogate, self._log_prob, tf.identity

  def fit(self):
    """Fits the surrogate; what was reached, and seconds of processor time."""
    settings, began = self._settings, time.process_time()
    surrogate, log_prob, to_vectors = self._make()
    values = {'start_seconds': time.process_time() - began}
    losses = np.zeros([0])
    if settings['arm'] != 'normal':
      num_steps = settings['train_steps']
      optimizer = tf_keras.optimizers.legacy.Adam(
          tf_keras.optimizers.schedules.CosineDecay(
              settings['rate'], num_steps
          )
      )
      optimizer._create_all_weights(surrogate.trainable_variables)  # pylint: disable=protected-access
      losses = tfp.vi.fit_surrogate_posterior(
          log_prob,
          surrogate,
          optimizer,
          num_steps,
          sample_size=settings['sample_size'],
          seed=[settings['seed'], 2],
      ).numpy()
    return {
        'finite': bool(np.all(np.isfinite(losses))),
        'seconds': time.process_time() - began,
        'parameters': sum(
            v.shape.num_elements() for v in surrogate.trainable_variables
        ),
        **values,
        **self._evaluate(surrogate, log_prob, to_vectors),
    }

  def _evaluate(self, surrogate, log_prob, to_vectors):
    """ELBO with its standard error, and errors of means and variances."""
    # In the order of the ground truth.
    identity = self._vectors.sample_transformations['identity']

    @tf.function(autograph=False)
    def draw(seed):
      x, log_q = surrogate.experimental_sample_and_log_prob(_DRAWS, seed=seed)
      return identity(to_vectors(x)), _called(log_prob, x) - log_q

    seeds = [[self._settings['seed'], 3 + i] for i in range(_BATCHES)]
    x, log_weights = zip(*(draw(tf.constant(s)) for s in seeds), strict=True)
    x = np.concatenate(x).astype(np.float64)
    log_weights = np.concatenate(log_weights).astype(np.float64)
    mean, deviation = (
        np.asarray(value, np.float64).ravel()
        for value in (
            identity.ground_truth_mean,
            identity.ground_truth_standard_deviation,
        )
    )
    weights = np.exp(log_weights - log_weights.max())
    return {
        'elbo': log_weights.mean(),
        'elbo_error': log_weights.std() / len(log_weights) ** 0.5,
        'efficiency': weights.mean() ** 2 / np.mean(weights**2),
        'mean_error': _rms((x.mean(axis=0) - mean) / deviation),
        'variance_error': _rms(x.var(axis=0) / deviation**2 - 1.0),
    }


def _rms(x):
  return np.sqrt(np.mean(x**2))


def _packed(model):
  """The model's log-density of parts as `tfp.vi` passes them."""

  def log_prob(*args, **kwargs):
    return model.unnormalized_log_prob(
        kwargs or tf.nest.pack_sequence_as(model.dtype, args)
    )

  return log_prob


def _called(log_prob, x):
  if isinstance(x, dict):
    return log_prob(**x)
  return log_prob(x) if tf.is_tensor(x) else log_prob(*x)


if __name__ == '__main__':
  serving.serve(Surrogate)

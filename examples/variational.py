"""Variational inference with bi-Lipschitz flows, for the example binaries."""

from absl import flags
import numpy as np
import onednn  # noqa: F401
import programs
import tensorflow as tf
import tensorflow_probability as tfp
import vector_flows

import tfp_flowopt as fo

__all__ = [
    'HIDDEN',
    'NUM_LAYERS',
    'PICTURE',
    'SEED',
    'TRAIN_STEPS',
    'draw',
    'elbo',
    'fit',
    'lipschitz_constants',
]

PICTURE = programs.define_outputs()
SEED = flags.DEFINE_integer(
    'seed', 0, 'Seed of all random numbers.', lower_bound=0
)
TRAIN_STEPS = flags.DEFINE_integer(
    'train_steps', 4000, 'Steps of the optimiser for each fit.', lower_bound=2
)
_SAMPLE_SIZE = flags.DEFINE_integer(
    'sample_size', 64, 'Latents in each optimiser step.', lower_bound=1
)
_LEARNING_RATE = flags.DEFINE_float(
    'learning_rate', 1e-2, "Adam's learning rate at the start.", lower_bound=0
)
NUM_LAYERS = flags.DEFINE_integer(
    'num_layers', 8, 'Number of layers of the flow.', lower_bound=1
)
HIDDEN = flags.DEFINE_integer(
    'hidden', 32, "Width of the layers' networks, even.", lower_bound=2
)
programs.check_even(HIDDEN)

# From so many steps on, XLA saves more than the time it takes to compile.
_XLA_PAYS = 1000


def fit(target_log_prob_fn, surrogate, num_steps, jit_compile=True):
  """Minimises the reverse KL divergence, in place.

  Args:
    target_log_prob_fn: As `tfp.vi.fit_surrogate_posterior` takes it.
    surrogate: Distribution.
    num_steps: Number of steps.
    jit_compile: Whether XLA may compile them.

  Returns:
    The loss of each step, minus an estimate of the ELBO in nats.
  """
  with fo.training.under_way(f'{num_steps} steps of variational inference'):
    losses = tfp.vi.fit_surrogate_posterior(
        target_log_prob_fn,
        surrogate,
        vector_flows.make_optimizer(
            _LEARNING_RATE.value, num_steps, surrogate.trainable_variables
        ),
        num_steps,
        sample_size=_SAMPLE_SIZE.value,
        jit_compile=jit_compile and num_steps >= _XLA_PAYS,
        seed=[SEED.value, 0],
    )
  return losses.numpy()


def draw(target_log_prob_fn, surrogate, num_samples):
  """Draws from a surrogate, with log-weights `log p - log q`.

  Args:
    target_log_prob_fn: Maps a draw to the log-density of the target.
    surrogate: Distribution.
    num_samples: Number of draws.

  Returns:
    The draws, and their log-weights as a float64 array, in nats.
  """

  @tf.function(autograph=False)
  def evaluate():
    x, log_prob = surrogate.experimental_sample_and_log_prob(
        num_samples, seed=[SEED.value, 1]
    )
    return x, target_log_prob_fn(x) - log_prob

  x, log_weights = evaluate()
  return x, log_weights.numpy().astype(np.float64)


def elbo(log_weights):
  """What log-weights say of a surrogate and of the evidence.

  Args:
    log_weights: From `draw`.

  Returns:
    `dict` of Python floats: the ELBO and its standard error; the logarithm of
    the evidence by importance sampling; and the effective number of draws of
    that, as a share of the draws.
  """
  largest = log_weights.max()
  weights = np.exp(log_weights - largest)
  return {
      'elbo': float(log_weights.mean()),
      'elbo_standard_error': float(
          log_weights.std(ddof=1) / np.sqrt(len(log_weights))
      ),
      'importance_log_evidence': float(largest + np.log(weights.mean())),
      'importance_efficiency': float(
          weights.mean() ** 2 / np.mean(weights**2)
      ),
  }


def lipschitz_constants(bijector, size, num_latents=200):
  """Certified constants of a map, and the largest ones found at latents.

  Args:
    bijector: From latents to parameters.
    size: Number of features.
    num_latents: Number of standard normal latents.

  Returns:
    `dict` of `dict`s of Python floats.
  """
  certified = fo.lipschitz.lipschitz_bounds(bijector)
  z = tf.random.stateless_normal([num_latents, size], [SEED.value, 2])

  @tf.function(autograph=False)
  def jacobians():
    with tf.GradientTape() as tape:
      tape.watch(z)
      x = bijector.forward(z)
    return tape.batch_jacobian(x, z)

  with fo.training.under_way('Looking for the largest constants'):
    values = np.linalg.svd(jacobians().numpy(), compute_uv=False)
  return {
      'certified': {
          'to_parameters': certified.forward,
          'to_latents': certified.inverse,
      },
      'at_latents': {
          'to_parameters': float(values.max()),
          'to_latents': float(1.0 / values.min()),
      },
  }

"""Variational inference with bi-Lipschitz flows, for the example binaries.

All maps here go from latents to parameters in `forward`, as those of a
`tfd.TransformedDistribution` do. The layers of a flow are explicit in
`inverse`, the direction in which likelihoods are trained: from data to latents.
Variational inference and samplers have no data; they only ever go from latents
to parameters. So a flow is inverted as a whole, by `tfb.Invert`.

* A residual layer then samples with one evaluation of its network, rather than
  by a fixed-point iteration.
* An affine coupling costs the same in both directions, one network and a closed
  form. But it levels off where the input of `inverse` is large. Inverted, that
  is a latent, and by default it would have to be 30 standard deviations out.
  Not inverted, it is a parameter, and in a funnel those have to be large: the
  divergences came out a tenth larger.
"""

import json

from absl import flags
import numpy as np
import onednn  # noqa: F401
import tensorflow as tf
import tensorflow_probability as tfp
import vector_flows

import tfp_flowopt as fo

tfb = tfp.bijectors
tfd = tfp.distributions

__all__ = [
    'RESULTS',
    'SEED',
    'TRAIN_STEPS',
    'draw',
    'elbo',
    'fit',
    'flow_map',
    'linear_map',
    'lipschitz_constants',
    'write_results',
]

RESULTS = flags.DEFINE_string('results', None, 'JSON file to write, if any.')
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
_LAYERS = flags.DEFINE_enum(
    'layers', 'affine', vector_flows.LAYERS, 'Layers of the flow.'
)
_NUM_LAYERS = flags.DEFINE_integer(
    'num_layers', 8, 'Number of layers of the flow.', lower_bound=1
)
_HIDDEN = flags.DEFINE_integer(
    'hidden', 32, "Width of the layers' networks, even.", lower_bound=2
)
_LIPSCHITZ = flags.DEFINE_float(
    'lipschitz', 1.0, "Constant of the affine couplings' networks."
)
_SCALE_BOUND = flags.DEFINE_float(
    'scale_bound', 1.5, "Bound of the affine couplings' log-scales."
)
_TAIL_BOUND = flags.DEFINE_float(
    'tail_bound', 30.0, 'Size of latents at which affine couplings level off.'
)
# From so many steps on, XLA saves more than the time it takes to compile.
_XLA_PAYS = 1000


def linear_map(loc, scale):
  """A trainable affine map of the latents.

  Args:
    loc: `[D]` array, the initial shift.
    scale: The initial scales: `[D]` for a diagonal, `[D, D]` for a lower
      triangular matrix with a positive diagonal.

  Returns:
    `tfb.Chain` of a shift and a scale.
  """
  if scale.ndim == 1:
    scale = tfb.ScaleMatvecDiag(
        tfp.util.TransformedVariable(scale, tfb.Exp(), dtype=tf.float32)
    )
  else:
    triangular = tfb.FillScaleTriL(diag_bijector=tfb.Exp(), diag_shift=None)
    scale = tfb.ScaleMatvecTriL(
        tfp.util.TransformedVariable(scale, triangular, dtype=tf.float32)
    )
  loc = tf.Variable(loc, dtype=tf.float32)
  return tfb.Chain([tfb.Shift(loc), scale])


def flow_map(linear):
  """A trainable flow that starts as a linear map.

  The last thing it does to latents is a copy of the linear map, trained along.
  Before it come the layers of the flags, identities at first, each with an
  order of the features of its own.

  Args:
    linear: From `linear_map`.

  Returns:
    Bijector, `tfb.Invert` of the flow.
  """
  shift, scale = linear.bijectors
  size = shift.shift.shape[-1]
  # What is in the first half of an order conditions the other half, and in the
  # next layer the reverse. Riffles soon part any two features.
  order, orders = np.arange(size), []
  while len(orders) < _NUM_LAYERS.value:
    orders += [order, order[::-1]]
    order = np.concatenate([order[::2], order[1::2]])
  orders = orders[: _NUM_LAYERS.value]
  layers, mixings = [], []
  for i, order in enumerate(orders):
    layers.append(
        vector_flows.make_layer(
            _LAYERS.value,
            size,
            _HIDDEN.value,
            100 * SEED.value + 10 * i,
            lipschitz=_LIPSCHITZ.value,
            scale_bound=_SCALE_BOUND.value,
            tail_bound=_TAIL_BOUND.value,
        )
    )
    following = orders[i + 1] if i + 1 < len(orders) else np.arange(size)
    # x[order] -> x[following].
    change = np.argsort(order)[following]
    mixings.append(tfb.Invert(tfb.Permute(change)))
  copy = linear_map(shift.shift.numpy(), scale.scale.to_dense().numpy())
  bijectors = vector_flows.mixed(layers, mixings, size)
  return tfb.Invert(tfb.Chain([*bijectors, tfb.Invert(copy)]))


def fit(target_log_prob_fn, surrogate, num_steps):
  """Minimises the reverse KL divergence, in place.

  Args:
    target_log_prob_fn: As `tfp.vi.fit_surrogate_posterior` takes it.
    surrogate: Distribution.
    num_steps: Number of steps.

  Returns:
    The loss of each step, minus an estimate of the ELBO in nats.
  """
  losses = tfp.vi.fit_surrogate_posterior(
      target_log_prob_fn,
      surrogate,
      vector_flows.make_optimizer(
          _LEARNING_RATE.value, num_steps, surrogate.trainable_variables
      ),
      num_steps,
      sample_size=_SAMPLE_SIZE.value,
      # XLA is slow at the QR decomposition of a residual layer's Jacobian.
      jit_compile=_LAYERS.value == 'affine' and num_steps >= _XLA_PAYS,
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


def write_results(results):
  """Writes results to the file of `--results`, if any."""
  if RESULTS.value:
    with open(RESULTS.value, 'w') as f:
      json.dump(results, f, indent=2)

"""Samples Neal's funnel by NUTS, with a bi-Lipschitz flow as preconditioner.

The funnel (Neal 2003) in ten dimensions is `v ~ N(0, 3^2)` and nine
`x_i ~ N(0, exp(v))`, of scale `exp(v / 2)`: where `v` is small a sampler needs
steps that are far too small for where `v` is large. As NeuTra does (Hoffman et
al. 2019), a flow is fitted to it by variational inference, and the No-U-Turn
Sampler runs in the flow's latents, by `tfp.mcmc.TransformedTransitionKernel`.
The same sampler, with the same settings and starting points, runs without a
preconditioner and with the best normal's linear map.

  python examples/preconditioned_hmc.py --picture=/tmp/preconditioned_hmc.png

Prints effective numbers of draws, per second of sampling (compiled, warmed up)
and per gradient, which no other program on the machine changes; and what is
known of the truth: the moments of `v`, and how often it is in the neck.

What a certificate gives here. With Lipschitz constants `K` of the map `T` to
the funnel and `K'` of its inverse, the part `DT' H DT` of the Hessian that the
sampler sees has at most `(K K')^2` times the condition number of `H`. So it
bounds what the map can spoil, not what it mends; and it is only a part, for
`T` bends, and first-order constants say nothing about second derivatives. Nor
can any bounded map undo the whole funnel: its singular values lie in
`[1 / K', K]`, and the scales `exp(v / 2)` leave every such range in the tails.
The sampler is exact all the same, it is only the speed that depends on the map.
"""

import time

from absl import flags
import funnel_picture
import latent_maps
import numpy as np
import onednn  # noqa: F401
import programs
import tensorflow as tf
import tensorflow_probability as tfp
import variational

import tfp_flowopt as fo

tfb = tfp.bijectors
tfd = tfp.distributions

_NUM_CHAINS = flags.DEFINE_integer(
    'num_chains', 16, 'Number of chains.', lower_bound=2
)
_NUM_STEPS = flags.DEFINE_integer(
    'num_steps',
    2000,
    'Warm-up steps of each chain; as many again are kept.',
    lower_bound=10,
)
_TARGET_ACCEPT = flags.DEFINE_float(
    'target_accept', 0.9, 'Target acceptance probability.'
)
_MAX_TREE_DEPTH = flags.DEFINE_integer(
    'max_tree_depth', 10, 'Largest tree depth of NUTS.', lower_bound=1
)

SIZE = 10
SCALE = 3.0
# Where a share of 2.3 % of the draws should be: v < -6.
NECK = -2.0 * SCALE
NECK_SHARE = 0.0227501


def log_prob(x):
  """The funnel's log-density at points `[..., 10]`, `v` first."""
  v, rest = x[..., 0], x[..., 1:]
  scale = tf.exp(0.5 * v)[..., tf.newaxis]
  return tfd.Normal(0.0, SCALE).log_prob(v) + tf.reduce_sum(
      tfd.Normal(0.0, scale).log_prob(rest), axis=-1
  )


def sample_exactly(num, rng):
  """Draws float32 `[num, 10]` from the funnel."""
  v = SCALE * rng.normal(size=[num, 1])
  rest = np.exp(0.5 * v) * rng.normal(size=[num, SIZE - 1])
  return np.concatenate([v, rest], axis=1).astype(np.float32)


def fit_maps():
  """Fits the best normal, and a flow that starts there.

  Returns:
    List of the name, the map from latents, what variational inference says of
    it (`None` without it), and the seconds that fitting took.
  """
  num_steps = variational.TRAIN_STEPS.value
  base = tfd.Sample(tfd.Normal(0.0, 1.0), SIZE)
  maps = [('none', tfb.Identity(), None, 0.0)]
  seconds = 0.0
  linear = latent_maps.linear_map(np.zeros(SIZE), np.eye(SIZE))
  for name in ('linear', 'flow'):
    bijector = linear if name == 'linear' else latent_maps.flow_map(linear)
    surrogate = tfd.TransformedDistribution(base, bijector)
    started = time.monotonic()
    # XLA is slow at the QR decomposition of a residual layer's Jacobian.
    jit_compile = latent_maps.LAYERS.value == 'affine'
    variational.fit(log_prob, surrogate, num_steps, jit_compile)
    # A flow's fit includes that of the normal.
    seconds += time.monotonic() - started
    _, log_weights = variational.draw(log_prob, surrogate, 100000)
    # The funnel's density is normalised: its evidence is 1.
    maps.append((name, bijector, variational.elbo(log_weights), seconds))
  return maps


def sample_chains(bijector, start):
  """Runs NUTS in the latents of a map.

  Args:
    bijector: From latents to points of the funnel.
    start: `[C, 10]`, where the chains start.

  Returns:
    `dict` of arrays of the draws that are kept: `states` and `latents`
    `[N, C, 10]`, `gradients` and `divergent` `[N, C]`, `step_size`; and of the
    seconds that they took, and the warm-up before them, with compilation.
  """
  sampler = tfp.mcmc.NoUTurnSampler(
      log_prob, step_size=0.1, max_tree_depth=_MAX_TREE_DEPTH.value
  )
  kernel = tfp.mcmc.TransformedTransitionKernel(
      tfp.mcmc.DualAveragingStepSizeAdaptation(
          sampler,
          num_adaptation_steps=int(0.8 * _NUM_STEPS.value),
          target_accept_prob=_TARGET_ACCEPT.value,
      ),
      bijector,
  )

  def trace(state, results):
    del state
    # Of the transformation, of the step size, of the sampler itself.
    nuts = results.inner_results.inner_results
    return {
        'latents': results.transformed_state,
        'gradients': nuts.leapfrogs_taken,
        'divergent': nuts.has_divergence,
        'step_size': nuts.step_size,
    }

  # Nothing is trained here, so nothing is rescaled at each gradient.
  kernels = fo.lipschitz.FrozenKernels(bijector)

  @tf.function(autograph=False, jit_compile=True)
  def run(state, results, seed):
    with kernels.in_use():
      return tfp.mcmc.sample_chain(
          _NUM_STEPS.value,
          state,
          results,
          kernel,
          trace_fn=trace,
          return_final_kernel_results=True,
          seed=seed,
      )

  state, results, seconds = start, kernel.bootstrap_results(start), []
  for i in range(2):
    started = time.monotonic()
    with fo.training.under_way('Sampling' if i else 'Compiling, warming up'):
      states, traced, results = run(
          state, results, tf.constant([variational.SEED.value, 3 + i])
      )
      states.numpy()
    seconds.append(time.monotonic() - started)
    state = states[-1]
  return {
      'states': states.numpy(),
      **{key: value.numpy() for key, value in traced.items()},
      'warm_up_seconds': seconds[0],
      'seconds': seconds[1],
  }


def diagnose(chains):
  """What the draws are worth, and how far from the truth.

  Args:
    chains: From `sample_chains`.

  Returns:
    `dict` of Python floats.
  """
  states = tf.constant(chains['states'], tf.float64)
  squares = tf.square(states[..., :1])
  # Chains that are not where the others are lower it.
  *ess, ess_square = tfp.mcmc.effective_sample_size(
      tf.concat([states, squares], axis=-1),
      filter_beyond_positive_pairs=True,
      cross_chain_dims=1,
  ).numpy()
  r_hat = tfp.mcmc.potential_scale_reduction(
      states, independent_chain_ndims=1, split_chains=True
  ).numpy()
  gradients = float(chains['gradients'].sum(dtype=np.float64))
  v = states[..., 0].numpy()
  result = {'r_hat_v': r_hat[0], 'r_hat_largest': r_hat.max()}
  for name, value in (('v', ess[0]), ('smallest', min(ess))):
    result[f'ess_{name}'] = value
    result[f'ess_{name}_per_second'] = value / chains['seconds']
    result[f'ess_{name}_per_1000_gradients'] = 1000.0 * value / gradients
  result.update({
      'ess_v_squared': ess_square,
      'v_mean': v.mean(),
      'v_mean_standard_error': v.std() / np.sqrt(ess[0]),
      'v_sd': v.std(),
      'v_sd_standard_error': (
          np.std(v**2) / (2.0 * v.std() * np.sqrt(ess_square))
      ),
      'neck_share': np.mean(v < NECK),
      'gradients': gradients,
      'gradients_per_draw': gradients / v.size,
      'divergent_share': chains['divergent'].mean(),
      'step_size': chains['step_size'][-1],
      'seconds': chains['seconds'],
      'warm_up_seconds': chains['warm_up_seconds'],
  })
  return {key: float(value) for key, value in result.items()}


def curvatures(bijector, x):
  """How strongly the density that a sampler sees is curved.

  Args:
    bijector: From latents to points of the funnel.
    x: `[N, 10]`, draws from the funnel.

  Returns:
    `[N]`, the largest absolute value of the eigenvalues of the Hessian of the
    latents' log-density, at the latents of `x`.
  """

  @tf.function(autograph=False)
  def hessians():
    z = tf.identity(bijector.inverse(x))
    with tf.GradientTape() as outer:
      outer.watch(z)
      with tf.GradientTape() as inner:
        inner.watch(z)
        y = bijector.forward(z)
        value = log_prob(y) + bijector.forward_log_det_jacobian(z, 1)
      gradient = inner.gradient(value, z)
    return outer.batch_jacobian(gradient, z)

  with fo.training.under_way('Measuring curvatures'):
    matrices = hessians()
  eigenvalues = np.linalg.eigvalsh(matrices.numpy().astype(np.float64))
  return np.abs(eigenvalues).max(axis=-1)


def main(argv):
  """Samples with each preconditioner."""
  del argv
  # TFP traces each fit anew, and casts what an FFT returns.
  tf.get_logger().setLevel('ERROR')
  rng = np.random.default_rng(variational.SEED.value)
  exact = sample_exactly(funnel_picture.NUM_SHOWN, rng)
  start = tf.constant(
      rng.normal(size=[_NUM_CHAINS.value, SIZE]), tf.float32
  )
  print(
      f'{"preconditioner":<15}{"ESS of v":>9}{"least":>7}{"a second":>10}'
      f'{"per 1000 grad.":>16}{"R-hat":>7}{"mean of v":>16}{"sd of v":>14}'
      f'{"v < -6":>8}{"seconds":>9}\n'
      f'{"the truth":<15}{"":>49}{0.0:>8.2f}{"":>8}{SCALE:>6.2f}{"":>8}'
      f'{NECK_SHARE:>8.2%}'
  )
  results, runs = [], []
  for name, bijector, fitted, fit_seconds in fit_maps():
    run = sample_chains(bijector, start)
    curvature = curvatures(bijector, exact)
    result = {
        'preconditioner': name,
        **diagnose(run),
        'fit_seconds': fit_seconds,
        'curvature_quantiles': np.quantile(
            curvature, [0.01, 0.5, 0.99]
        ).tolist(),
    }
    if fitted:
      result['fit'] = fitted
      result['lipschitz'] = variational.lipschitz_constants(bijector, SIZE)
    results.append(result)
    runs.append(run)
    print(
        f'{name:<15}{result["ess_v"]:>9.0f}{result["ess_smallest"]:>7.0f}'
        f'{result["ess_smallest_per_second"]:>10.1f}'
        f'{result["ess_smallest_per_1000_gradients"]:>16.2f}'
        f'{result["r_hat_largest"]:>7.3f}{result["v_mean"]:>8.2f} +- '
        f'{result["v_mean_standard_error"]:.2f}{result["v_sd"]:>6.2f} +- '
        f'{result["v_sd_standard_error"]:.2f}'
        f'{result["neck_share"]:>8.2%}{result["seconds"]:>9.1f}',
        flush=True,
    )
  for result in results[1:]:
    constants = result['lipschitz']['certified']
    print(
        f'{result["preconditioner"]}: KL(q || p) {-result["fit"]["elbo"]:.3f} '
        f'nats after {result["fit_seconds"]:.0f} seconds; certified Lipschitz '
        f'constants {constants["to_parameters"]:.3g} to the funnel, '
        f'{constants["to_latents"]:.3g} to latents'
    )
  programs.write_results(results)
  if variational.PICTURE.value:
    names = [result['preconditioner'] for result in results]
    funnel_picture.plot_chains(variational.PICTURE.value, exact, names, runs)


if __name__ == '__main__':
  programs.run(main)

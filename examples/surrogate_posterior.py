"""Fits a bi-Lipschitz flow as a surrogate posterior, in TFP's own workflow.

The target is the posterior of the eight schools (Rubin 1981; priors of Gelman
2006) in the centred parametrisation: a mean, a scale tau, and the effects of
eight schools, which are a funnel where tau is small. It is a pinned
`JointDistributionCoroutineAutoBatched`. The surrogates are

* the best normal with independent components, in unconstrained parameters,
* the best normal, both fitted in closed-form steps,
* a flow that starts there, fitted by `tfp.vi.fit_surrogate_posterior`.

  python examples/surrogate_posterior.py --picture=/tmp/surrogate_posterior.png

The effects integrate out in closed form, and a quadrature over the other two
parameters gives the exact evidence. So the gap to the ELBO is the divergence
KL(q || p) itself, in nats. The picture has draws of the posterior and of the
surrogates.
"""

import time

from absl import flags
import numpy as np
import onednn  # noqa: F401
import programs
import tensorflow as tf
import tensorflow_probability as tfp
import variational

import tfp_flowopt as fo

tfd = tfp.distributions

_NUM_SAMPLES = flags.DEFINE_integer(
    'num_samples', 200000, 'Draws for each ELBO.', lower_bound=2
)

# Effects of coaching in eight schools, and their standard errors.
EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
# Scales of the priors of the mean (normal) and of tau (half-Cauchy).
MEAN_SCALE, TAU_SCALE = 5.0, 5.0

_SIZE = 2 + len(EFFECTS)
# Points in a panel of the picture, and their colours.
_SHOWN = 2000
_EXACT, _SURROGATE = '#b0b0b0', '#e45756'


def make_posterior():
  """The posterior, a pinned joint distribution of `mean`, `tau`, `effects`."""

  @tfd.JointDistributionCoroutineAutoBatched
  def model():
    mean = yield tfd.Normal(0.0, MEAN_SCALE, name='mean')
    tau = yield tfd.HalfCauchy(0.0, TAU_SCALE, name='tau')
    effects = yield tfd.Sample(
        tfd.Normal(mean, tau), len(EFFECTS), name='effects'
    )
    yield tfd.Normal(effects, tf.constant(ERRORS, tf.float32), name='observed')

  return model.experimental_pin(observed=tf.constant(EFFECTS, tf.float32))


class Quadrature:
  """The posterior of the mean and log tau on a grid, float64.

  With the effects integrated out, `y_j ~ N(mean, ERRORS[j]^2 + tau^2)`. The
  density is smooth and vanishes at the borders, so that plain sums over the
  grid converge faster than any power of its spacing.

  Attributes:
    log_evidence: Logarithm of the density of the observed effects.
    moments: `dict` of the posterior means and standard deviations.
  """

  def __init__(self, num=1001):
    """Evaluates the grid.

    Args:
      num: Number of points of each of the two sides.
    """
    # 8 standard deviations of the prior. Left of e^-20 the prior has 1e-9 of
    # its mass; right of e^8 the likelihood is that of a school in 10^15.
    self._mean = np.linspace(-8.0 * MEAN_SCALE, 8.0 * MEAN_SCALE, num)
    self._log_tau = np.linspace(-20.0, 8.0, num)
    self._steps = [x[1] - x[0] for x in (self._mean, self._log_tau)]
    mean, log_tau = self._mean[:, np.newaxis], self._log_tau
    tau = np.exp(log_tau)
    # d tau = tau d log tau.
    log_prior = log_tau + np.log(2.0 / (np.pi * TAU_SCALE))
    log_prior -= np.log1p((tau / TAU_SCALE) ** 2)
    log_density = log_prior + _log_normal(mean, MEAN_SCALE**2)
    for effect, error in zip(EFFECTS, ERRORS, strict=True):
      log_density += _log_normal(effect - mean, error**2 + tau**2)
    largest = log_density.max()
    weights = np.exp(log_density - largest)
    total = weights.sum()
    self.log_evidence = float(
        largest + np.log(total * self._steps[0] * self._steps[1])
    )
    self._weights = weights / total
    self.moments = moments(
        self._mean, tau, self._weights.sum(1), self._weights.sum(0)
    )

  def sample(self, num, rng):
    """Draws from the posterior, exact up to the spacing of the grid.

    Args:
      num: Number of draws.
      rng: `np.random.Generator`.

    Returns:
      Arrays of means `[num]`, taus `[num]` and effects `[num, 8]`.
    """
    flat = rng.choice(self._weights.size, num, p=self._weights.ravel())
    i, j = np.unravel_index(flat, self._weights.shape)
    jitter = rng.uniform(-0.5, 0.5, [2, num])
    mean = self._mean[i] + self._steps[0] * jitter[0]
    tau = np.exp(self._log_tau[j] + self._steps[1] * jitter[1])
    # The effects given the rest: a normal prior and a normal likelihood.
    precision = tau[:, np.newaxis] ** -2 + ERRORS**-2
    centre = (mean / tau**2)[:, np.newaxis] + EFFECTS / ERRORS**2
    noise = rng.normal(size=precision.shape)
    return mean, tau, centre / precision + noise / np.sqrt(precision)


def _log_normal(x, variance):
  return -0.5 * (x**2 / variance + np.log(2.0 * np.pi * variance))


def moments(mean, tau, mean_weights=None, tau_weights=None):
  """Means and standard deviations of the two parameters.

  Args:
    mean: Array of values.
    tau: Array of values.
    mean_weights: Weights of `mean`, of sum 1; by default all alike.
    tau_weights: The same of `tau`.

  Returns:
    `dict` of Python floats.
  """
  result = {}
  for name, x, weights in (
      ('mean', mean, mean_weights),
      ('tau', tau, tau_weights),
  ):
    centre = np.average(x, weights=weights)
    variance = np.average((x - centre) ** 2, weights=weights)
    result[f'{name}_mean'] = float(centre)
    result[f'{name}_sd'] = float(np.sqrt(variance))
  return result


def fit_all(posterior):
  """Fits all surrogates.

  Args:
    posterior: Pinned joint distribution.

  Yields:
    Name, surrogate and the seconds that it took.
  """
  for name, kwargs in (
      ('mean-field normal', {'num_steps': 0, 'covariance': 'diagonal'}),
      ('normal', {'num_steps': 0}),
      ('flow', {
          'num_steps': variational.NUM_LAYERS.value,
          'hidden_units': variational.HIDDEN.value,
          'seed': variational.SEED.value,
      }),
  ):
    started = time.monotonic()
    surrogate = fo.flows.surrogate_posterior(posterior, **kwargs)
    fo.flows.initialize_surrogate(surrogate, posterior.unnormalized_log_prob)
    if name == 'flow':
      variational.fit(
          posterior.unnormalized_log_prob,
          surrogate,
          variational.TRAIN_STEPS.value,
      )
    yield name, surrogate, time.monotonic() - started


def plot_draws(path, exact, surrogates):
  """Draws of the posterior and of the surrogates, in the plane of the funnel.

  Args:
    path: Of the PNG file.
    exact: Arrays of log tau and of the effect of the first school.
    surrogates: List of titles and such arrays.
  """
  from matplotlib.figure import Figure

  figure = Figure(figsize=(10.0, 3.4), layout='constrained', dpi=100)
  panels = figure.subplots(1, 1 + len(surrogates), sharex=True, sharey=True)
  style = {'markersize': 2.0, 'markeredgewidth': 0}
  panels[0].set_title('the posterior', fontsize=9.5)
  for axes, (title, x) in zip(panels[1:], surrogates, strict=True):
    axes.set_title(title, fontsize=9.5)
    axes.plot(*x, '.', color=_SURROGATE, **style, zorder=1)
  for axes in panels:
    axes.plot(*exact, '.', color=_EXACT, **style, zorder=0)
    axes.set_xlabel('log tau')
    axes.spines[['top', 'right']].set_visible(False)
    axes.tick_params(labelsize=8)
  panels[0].set(xlim=(-4.0, 4.0), ylim=(-15.0, 30.0))
  panels[0].set_ylabel('effect of the first school')
  figure.savefig(path)


def main(argv):
  """Fits, evaluates and draws all surrogates."""
  del argv
  # TFP traces each fit anew.
  tf.get_logger().setLevel('ERROR')
  posterior, exact = make_posterior(), Quadrature()
  print(f'log evidence {exact.log_evidence:.4f} nats, by quadrature')
  print(
      f'{"surrogate":<21}{"ELBO":>9}{"s.e.":>8}{"KL":>8}{"mean":>13}'
      f'{"tau":>13}{"to parameters":>16}{"to latents":>12}{"seconds":>9}\n'
      f'{"the posterior":<21}{"":>25}{_two(exact.moments, "mean")}'
      f'{_two(exact.moments, "tau")}'
  )
  results, panels = [], []
  for name, surrogate, seconds in fit_all(posterior):
    draws, log_weights = variational.draw(
        posterior.unnormalized_log_prob, surrogate, _NUM_SAMPLES.value
    )
    mean, tau, effects = (np.asarray(x, np.float64) for x in draws)
    result = {
        'surrogate': name,
        **variational.elbo(log_weights),
        **moments(mean, tau),
        'seconds': seconds,
        'lipschitz': variational.lipschitz_constants(
            fo.flows.latent_map(surrogate), _SIZE
        ),
    }
    result['kl'] = exact.log_evidence - result['elbo']
    results.append(result)
    certified = result['lipschitz']['certified']
    print(
        f'{name:<21}{result["elbo"]:>9.4f}'
        f'{result["elbo_standard_error"]:>8.4f}{result["kl"]:>8.4f}'
        f'{_two(result, "mean")}{_two(result, "tau")}'
        f'{certified["to_parameters"]:>16.3g}{certified["to_latents"]:>12.3g}'
        f'{seconds:>9.1f}',
        flush=True,
    )
    shown = np.log(tau[:_SHOWN]), effects[:_SHOWN, 0]
    panels.append((f'{name}: KL {result["kl"]:.3f}', shown))
  print(
      'ELBO and KL(q || p) in nats; posterior mean and standard deviation of '
      'the mean and tau;\ncertified Lipschitz constants of the map of latents '
      'to unconstrained parameters, and of its inverse'
  )
  programs.write_results({
      'log_evidence': exact.log_evidence,
      'posterior': exact.moments,
      'surrogates': results,
  })
  if variational.PICTURE.value:
    rng = np.random.default_rng(variational.SEED.value)
    _, tau, effects = exact.sample(_SHOWN, rng)
    plot_draws(variational.PICTURE.value, (np.log(tau), effects[:, 0]), panels)


def _two(values, name):
  """A mean and a standard deviation, for the table."""
  return f'{values[name + "_mean"]:>8.2f}{values[name + "_sd"]:>5.2f}'


if __name__ == '__main__':
  programs.run(main)

"""Restores images with a flow as the prior, for denoising.py."""

import numpy as np
import onednn  # noqa: F401
from scipy import optimize
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

__all__ = [
    'make_model',
    'make_objective',
    'most_probable',
    'posterior_mean',
    'psnr',
    'wiener',
]

tfd = tfp.distributions

_LEAPFROG_STEPS = 5


def make_model(prior, noise):
  """The joint distribution of images and what is observed of them.

  Args:
    prior: Distribution of images `[H, W, C]`.
    noise: Standard deviation.

  Returns:
    `tfd.JointDistributionNamed` of `image` and `observed`.
  """
  return tfd.JointDistributionNamed({
      'image': prior,
      'observed': lambda image: tfd.Independent(tfd.Normal(image, noise), 3),
  })


def make_objective(posterior, flow):
  """Minus the log-density of images, as a function of their latents.

  Args:
    posterior: The pinned joint distribution.
    flow: Bijector of the prior. It can be trained between two calls.

  Returns:
    Function from latents `[N, D]` to the sum over images and its gradient.
  """

  def loss(z):
    return -tf.reduce_sum(
        posterior.unnormalized_log_prob(image=flow.forward(z))
    )

  return tf.function(
      lambda z: tfp.math.value_and_gradient(loss, z), autograph=False
  )


def most_probable(objective, flow, observed, num_steps):
  """Images at a maximum of the posterior density, by L-BFGS.

  It searches in the flow's latent space, where the prior is no more sensitive
  to one direction than to another; the density is that of images.

  Args:
    objective: As `make_objective` returns it.
    flow: Bijector of the prior.
    observed: Images, where the search starts.
    num_steps: Number of iterations at most.

  Returns:
    Images of the shape of `observed`, and their latents.
  """
  start = flow.inverse(tf.identity(observed))

  def of_vector(vector):
    z = tf.constant(np.reshape(vector, start.shape), start.dtype)
    value, gradient = objective(z)
    return float(value), np.ravel(gradient).astype(np.float64)

  with fo.training.under_way('Looking for the most probable images'):
    found = optimize.minimize(
        of_vector,
        np.ravel(start).astype(np.float64),
        jac=True,
        method='L-BFGS-B',
        options={'maxiter': num_steps, 'ftol': 1e-12},
    )
  z = tf.constant(np.reshape(found.x, start.shape), start.dtype)
  return flow.forward(tf.identity(z)), z


def posterior_mean(posterior, flow, z, num_samples, seed):
  """Mean and standard deviation of images, given what is observed.

  Args:
    posterior: The pinned joint distribution.
    flow: Bijector of the prior: samples are drawn in its latent space.
    z: Latents to start from, `[N, D]`: a chain for each.
    num_samples: Number of samples of each chain; a third as many before them
      adapt its step size.
    seed: Python `int`.

  Returns:
    Mean and standard deviation, `[N, H, W, C]`; the acceptance rate.
  """
  num_adapt = num_samples // 3 + 1
  kernel = tfp.mcmc.TransformedTransitionKernel(
      tfp.mcmc.HamiltonianMonteCarlo(
          lambda image: posterior.unnormalized_log_prob(image=image),
          # One for each chain.
          step_size=tf.fill([len(z), 1], 0.1),
          num_leapfrog_steps=_LEAPFROG_STEPS,
      ),
      flow,
  )
  kernel = tfp.mcmc.DualAveragingStepSizeAdaptation(
      kernel, num_adapt, target_accept_prob=0.8
  )

  @tf.function(autograph=False)
  def sample():
    return tfp.mcmc.sample_chain(
        num_samples,
        flow.forward(z),
        kernel=kernel,
        num_burnin_steps=num_adapt,
        trace_fn=lambda _, r: r.inner_results.inner_results.is_accepted,
        seed=tf.constant([seed, 7]),
    )

  with fo.training.under_way(f'{num_samples} samples of each chain'):
    images, accepted = sample()
  return (
      tf.reduce_mean(images, 0),
      tf.math.reduce_std(images, 0),
      float(tf.reduce_mean(tf.cast(accepted, tf.float32))),
  )


def wiener(data, observed, noise):
  """The best linear filter for the second moments of some data.

  `mean + S (S + noise^2)^-1 (observed - mean)`, in float64.

  Args:
    data: `[N, H, W, C]`, with more images than dimensions.
    observed: `[M, H, W, C]`.
    noise: Standard deviation.

  Returns:
    `[M, H, W, C]`.
  """
  flat = np.reshape(data, [len(data), -1]).astype(np.float64)
  mean, covariance = flat.mean(0), np.cov(flat.T, bias=True)
  y = np.reshape(observed, [len(observed), -1]) - mean
  inside = covariance + noise**2 * np.eye(len(mean))
  filtered = covariance @ np.linalg.solve(inside, y.T)
  return np.reshape(mean + filtered.T, np.shape(observed))


def psnr(restored, truth):
  """Peak signal-to-noise ratio, in dB, of all images together."""
  return float(-10.0 * np.log10(np.mean(np.square(restored - truth))))

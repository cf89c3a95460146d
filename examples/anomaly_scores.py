"""Scores of how far an image is from what a flow knows, for anomaly.py."""

import numpy as np
import onednn  # noqa: F401
import tensorflow as tf

import tfp_flowopt as fo

__all__ = ['area_under_roc', 'score']

# Draws of noise that scores are means over, and images at a time.
_DRAWS, _EVAL_BATCH = 4, 256


def score(distribution, linear, images, bits):
  """All scores of images: the larger, the less normal.

  Args:
    distribution: The flow.
    linear: `fo.optimum.LinearFlow` of vectors, of the same training images.
    images: uint8 `[N, H, W, C]`.
    bits: Number of bits of a value.

  Returns:
    Dictionary from names to arrays `[N]`.
  """
  base, flow = distribution.distribution, distribution.bijector

  @tf.function(autograph=False)
  def evaluate(x):
    z, log_det = fo.bijectors.inverse_and_log_det(flow, x)
    return base.log_prob(z) + log_det, tf.reduce_mean(tf.square(z), -1)

  parts = []
  for start in range(0, len(images), _EVAL_BATCH):
    batch = images[start : start + _EVAL_BATCH]
    draws = []
    for draw in range(_DRAWS):
      noise = fo.flows.dequantization_noise(batch.shape, [draw, start])
      x = fo.flows.dequantize(batch, bits, noise)
      log_prob, square = (value.numpy() for value in evaluate(x))
      linear_log_prob = linear.log_prob(tf.reshape(x, [len(x), -1])).numpy()
      draws.append([-log_prob, -linear_log_prob, square])
    parts.append(np.mean(np.array(draws, np.float64), axis=0))
  likelihood, linear_likelihood, square = np.concatenate(parts, axis=1)
  return {
      'likelihood': likelihood,
      'linear': linear_likelihood,
      'typicality': np.abs(square - 1.0),
  }


def area_under_roc(normal, anomalous):
  """Probability that an anomaly has the larger score; ties count half."""
  both = np.concatenate([normal, anomalous])
  _, inverse, counts = np.unique(
      both, return_inverse=True, return_counts=True
  )
  ranks = (np.cumsum(counts) - 0.5 * (counts - 1))[inverse]
  pairs = len(normal) * len(anomalous)
  above = ranks[len(normal) :].sum() - len(anomalous) * (len(anomalous) + 1) / 2
  return float(above / pairs)

"""The curves behind docs/likelihood_optimum.md.

Gradient ascent in three parametrisations of a linear flow; the optimum of each
structure on photographs; the optimum of each rank beside scikit-learn's
probabilistic PCA; the optimum of few samples, as it is and corrected.
"""

import math

import numpy as np
from sklearn import datasets
from sklearn.decomposition import PCA
import tensorflow as tf

import tfp_flowopt as fo

_D = 4


def measure(settings, seed, context):
  """See `run.py`."""
  del context
  panels = {
      'ascent': _ascent,
      'structures': _structures,
      'ranks': _ranks,
      'bias': _bias,
  }
  return panels[settings['panel']](np.random.default_rng(seed))


def _lower_upper(a, b):
  lower = tf.linalg.set_diag(
      tf.linalg.band_part(a, -1, 0), tf.ones(_D, a.dtype)
  )
  return lower @ tf.linalg.band_part(b, 0, -1)


def _orthogonal_upper(a, b):
  return tf.linalg.expm(a - tf.transpose(a)) @ tf.linalg.band_part(b, 0, -1)


def _ascent(rng):
  """Gradient ascent ends at the optimum, whatever makes the matrix."""
  mix = np.linalg.qr(rng.normal(size=(_D, _D)))[0] * [2.0, 1.0, 0.7, 0.4]
  x = tf.constant(rng.normal(size=(1000, _D)) @ mix.T)
  curves = {}
  for name, matrix in (
      ('L U', _lower_upper),
      ('Q R', _orthogonal_upper),
      ('product of two', tf.matmul),
  ):
    parameters = [
        tf.Variable(np.eye(_D) + 0.2 * rng.normal(size=(_D, _D)))
        for _ in range(2)
    ]
    curves[name] = []
    for _ in range(400):
      with tf.GradientTape() as tape:
        a = matrix(*parameters)
        z = tf.matmul(x - tf.reduce_mean(x, 0), a, transpose_b=True)
        value = (
            tf.linalg.slogdet(a)[1]
            - 0.5 * tf.reduce_mean(tf.reduce_sum(z**2, axis=-1))
            - 0.5 * _D * math.log(2 * math.pi)
        )
      curves[name].append(round(float(value), 5))
      gradients = tape.gradient(value, parameters)
      for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.assign_add(0.05 * gradient)
  best = float(fo.likelihood_optimum(x).log_likelihood)
  return {'curves': curves, 'optimum': best}


def _photograph_tiles():
  tiles = np.concatenate([
      fo.training.image_tiles(image, 16)
      for image in datasets.load_sample_images().images
  ])
  return fo.flows.dequantize(tf.constant(tiles))


def _structures(rng):
  """More freedom, better optimum."""
  del rng
  x = _photograph_tiles()
  noise = {'noise_variance': 1 / (12 * 256**2)}

  def bits(x, structure, **options):
    best = fo.likelihood_optimum(x, structure, **options, **noise)
    return float(fo.bits_per_dim(np.mean(best.log_likelihood), 768))

  return {'bits_per_dim': {
      'pointwise 1x1': bits(x, 'pointwise'),
      'pointwise 2x2': bits(x, 'pointwise', block_size=2),
      'pointwise 4x4': bits(x, 'pointwise', block_size=4),
      'individual 1x1': bits(x, 'individual'),
      'circulant,\ncells of 2x2': bits(x, 'circulant', frequency_pool=2),
      'circulant': bits(x, 'circulant'),
      'dense': bits(tf.reshape(x, [len(x), -1]), 'dense'),
  }}


def _ranks(rng):
  """Rank by rank, probabilistic PCA."""
  del rng
  x = np.reshape(_photograph_tiles()[:, :4, :4], [-1, 48]).astype(np.float64)
  n, d = x.shape
  factor = n / (n - 1)  # scikit-learn's covariance, over ours
  shift = 0.5 * d * (math.log(factor) + 1 / factor - 1)
  return {
      'ours': [
          float(fo.likelihood_optimum(x, rank=q).log_likelihood)
          for q in range(1, d + 1)
      ],
      'scikit-learn': {
          q: PCA(q).fit(x).score(x) + shift for q in range(1, d + 1, 4)
      },
  }


def _bias(rng):
  """Few samples flatter; the correction removes it."""
  d, counts = 20, [25, 30, 40, 60, 100, 200, 400]
  truth = -0.5 * d * math.log(2 * math.pi * math.e)
  curves = {}
  for corrected, name in ((False, 'L*'), (True, 'bias_correction=True')):
    values = np.array([
        fo.likelihood_optimum(
            rng.normal(size=(200, n, d)), bias_correction=corrected
        ).log_likelihood
        - truth
        for n in counts
    ])
    curves[name] = {'mean': values.mean(1), 'deviation': values.std(1)}
  return {'dimensions': d, 'samples': counts, 'curves': curves}

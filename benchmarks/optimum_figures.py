"""Draws the figure of the claims in docs/likelihood_optimum.md.

  python benchmarks/optimum_figures.py --picture=docs/images/optimum_claims.png

Four panels: gradient ascent in three parametrisations of a linear flow; the
optimum of each structure on photographs; the optimum of each rank beside
scikit-learn's probabilistic PCA; the optimum of few samples, as it is and
corrected. Needs the `[examples]` extra.
"""

import math

from absl import app
from absl import flags
from matplotlib.backends import backend_agg
from matplotlib.figure import Figure
import numpy as np
from sklearn import datasets
from sklearn.decomposition import PCA
import tensorflow as tf

import tfp_flowopt as fo

_PICTURE = flags.DEFINE_string(
    'picture', 'optimum_claims.png', 'PNG file to write.'
)

_D = 4


def _lower_upper(a, b):
  lower = tf.linalg.set_diag(
      tf.linalg.band_part(a, -1, 0), tf.ones(_D, a.dtype)
  )
  return lower @ tf.linalg.band_part(b, 0, -1)


def _orthogonal_upper(a, b):
  return tf.linalg.expm(a - tf.transpose(a)) @ tf.linalg.band_part(b, 0, -1)


def _draw_ascent(axes):
  """Gradient ascent ends at the optimum, whatever makes the matrix."""
  rng = np.random.default_rng(0)
  mix = np.linalg.qr(rng.normal(size=(_D, _D)))[0] * [2.0, 1.0, 0.7, 0.4]
  x = tf.constant(rng.normal(size=(1000, _D)) @ mix.T)
  for name, matrix in (
      ('L U', _lower_upper),
      ('Q R', _orthogonal_upper),
      ('product of two', tf.matmul),
  ):
    parameters = [
        tf.Variable(np.eye(_D) + 0.2 * rng.normal(size=(_D, _D)))
        for _ in range(2)
    ]
    values = []
    for _ in range(400):
      with tf.GradientTape() as tape:
        a = matrix(*parameters)
        z = tf.matmul(x - tf.reduce_mean(x, 0), a, transpose_b=True)
        value = (
            tf.linalg.slogdet(a)[1]
            - 0.5 * tf.reduce_mean(tf.reduce_sum(z**2, axis=-1))
            - 0.5 * _D * math.log(2 * math.pi)
        )
      values.append(float(value))
      gradients = tape.gradient(value, parameters)
      for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.assign_add(0.05 * gradient)
    axes.semilogx(range(1, 1 + len(values)), values, label=name)
  best = float(fo.likelihood_optimum(x).log_likelihood)
  axes.axhline(best, color='0.3', linestyle='--', label=f'L* = {best:.2f}')
  axes.set_xlabel('step of gradient ascent')
  axes.set_ylabel('nats')
  axes.set_title('Every parametrisation ends at L*')
  axes.legend(frameon=False)


def _photograph_tiles():
  tiles = np.concatenate([
      fo.training.image_tiles(image, 16)
      for image in datasets.load_sample_images().images
  ])
  return fo.flows.dequantize(tf.constant(tiles))


def _draw_structures(axes):
  """More freedom, better optimum."""
  x = _photograph_tiles()
  noise = {'noise_variance': 1 / (12 * 256**2)}

  def bits(x, structure, **options):
    best = fo.likelihood_optimum(x, structure, **options, **noise)
    return fo.bits_per_dim(np.mean(best.log_likelihood), 768)

  values = {
      'pointwise 1x1': bits(x, 'pointwise'),
      'pointwise 2x2': bits(x, 'pointwise', block_size=2),
      'pointwise 4x4': bits(x, 'pointwise', block_size=4),
      'individual 1x1': bits(x, 'individual'),
      'circulant,\ncells of 2x2': bits(x, 'circulant', frequency_pool=2),
      'circulant': bits(x, 'circulant'),
      'dense': bits(tf.reshape(x, [len(x), -1]), 'dense'),
  }
  bars = axes.barh(list(values), list(values.values()), color='#4c78a8')
  axes.bar_label(bars, fmt='%.2f', padding=3)
  axes.invert_yaxis()
  axes.set_xlim(0, 9)
  axes.set_xlabel('bits/dim (lower is better)')
  axes.set_title('Optimum of 16x16 photograph tiles')


def _draw_ranks(axes):
  """Rank by rank, probabilistic PCA."""
  x = np.reshape(_photograph_tiles()[:, :4, :4], [-1, 48]).astype(np.float64)
  n, d = x.shape
  ours = [
      float(fo.likelihood_optimum(x, rank=q).log_likelihood)
      for q in range(1, d + 1)
  ]
  factor = n / (n - 1)  # scikit-learn's covariance, over ours
  shift = 0.5 * d * (math.log(factor) + 1 / factor - 1)
  ranks = list(range(1, d + 1, 4))
  theirs = [PCA(q).fit(x).score(x) + shift for q in ranks]
  axes.plot(range(1, d + 1), ours, label='fo.likelihood_optimum')
  axes.plot(ranks, theirs, 'o', mfc='none', label='scikit-learn, PPCA')
  axes.set_xlabel('rank q')
  axes.set_ylabel('nats')
  axes.set_title('Optimum of q free directions')
  axes.legend(frameon=False)


def _draw_bias(axes):
  """Few samples flatter; the correction removes it."""
  rng = np.random.default_rng(0)
  d = 20
  counts = [25, 30, 40, 60, 100, 200, 400]
  truth = -0.5 * d * math.log(2 * math.pi * math.e)
  for corrected, name in ((False, 'L*'), (True, 'bias_correction=True')):
    values = np.array([
        fo.likelihood_optimum(
            rng.normal(size=(200, n, d)), bias_correction=corrected
        ).log_likelihood
        - truth
        for n in counts
    ])
    axes.errorbar(
        np.array(counts) / d,
        values.mean(1),
        values.std(1),
        fmt='o-',
        ms=4,
        capsize=2,
        label=name,
    )
  axes.axhline(0.0, color='0.3', linestyle='--')
  axes.set_xscale('log')
  axes.set_xticks([1.25, 2, 5, 10, 20], ['1.25', '2', '5', '10', '20'])
  axes.minorticks_off()
  axes.set_xlabel('samples / dimensions')
  axes.set_ylabel('nats above the true optimum')
  axes.set_title('Few Gaussian samples (20 dimensions)')
  axes.legend(frameon=False)


def main(argv):
  """Draws all panels."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  figure = Figure(figsize=(10, 7), layout='constrained')
  backend_agg.FigureCanvasAgg(figure)
  panels = figure.subplots(2, 2).ravel()
  for draw, axes in zip(
      (_draw_ascent, _draw_structures, _draw_ranks, _draw_bias),
      panels,
      strict=True,
  ):
    draw(axes)
    axes.spines[['top', 'right']].set_visible(False)
  figure.savefig(_PICTURE.value, dpi=100)


if __name__ == '__main__':
  app.run(main)

"""Pictures of a trained flow, for train_image_flow.py."""

import numpy as np
import tensorflow as tf

import tfp_flowopt as fo

__all__ = ['draw_interpolation', 'draw_samples']

_COLUMNS = 8
# Images from one to the other, both of them included.
_STEPS = 9


def draw_samples(distribution, path, num_samples, temperature, bits, seed):
  """Samples at a temperature, one picture of rows of up to eight.

  Args:
    distribution: The flow.
    path: Of the PNG file; the images are beside it in a `.npy` file.
    num_samples: Number of samples.
    temperature: Their latents are multiplied by it.
    bits: Of an image value.
    seed: Python `int`.
  """
  x = tf.function(fo.flows.sample_at_temperature, autograph=False)(
      distribution, num_samples, tf.constant([seed, -3]), temperature
  )
  images = fo.flows.quantize(x, bits).numpy()
  np.save(path.with_suffix('.npy'), images)
  columns = min(num_samples, _COLUMNS)
  # White where the last row has no images.
  missing = -num_samples % columns
  images = np.pad(images, [(0, missing)] + 3 * [(0, 0)], constant_values=255)
  rows = [
      (f'T = {temperature}' if i == 0 else '', images[i : i + columns])
      for i in range(0, len(images), columns)
  ]
  fo.diagnostics.plot_samples(path, rows)


def draw_interpolation(distribution, path, images, bits):
  """Between pairs of images, on a straight line between their latents.

  Args:
    distribution: The flow.
    path: Of the PNG file.
    images: uint8 `[N, H, W, C]`, neighbours are pairs.
    bits: Of an image value.
  """
  weights = tf.linspace(0.0, 1.0, _STEPS)[:, tf.newaxis]

  @tf.function(autograph=False)
  def between(pair):
    z = distribution.bijector.inverse(fo.flows.dequantize(pair, bits))
    x = distribution.bijector.forward(z[:1] + weights * (z[1:] - z[:1]))
    return fo.flows.quantize(x, bits)

  rows = [
      (f'pair {i + 1}', between(images[2 * i : 2 * i + 2]))
      for i in range(len(images) // 2)
  ]
  fo.diagnostics.plot_samples(path, rows)

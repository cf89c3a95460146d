"""Pictures of a trained flow, for train_image_flow.py."""

import numpy as np
import onednn  # noqa: F401
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.data import labelled

__all__ = ['draw_interpolation', 'draw_samples']

_COLUMNS = 8
# Images from one to the other, both of them included.
_STEPS = 9


def draw_samples(
    distribution, path, num_samples, temperature, bits, seed, label=None
):
  """Samples at a temperature, one picture of rows of up to eight.

  Args:
    distribution: The flow.
    path: Of the PNG file; the images are beside it in a `.npy` file.
    num_samples: Number of samples.
    temperature: Their latents are multiplied by it.
    bits: Of an image value.
    seed: Python `int`.
    label: Class, if the flow is conditioned on some; `None` for all in turn.
  """
  kwargs = {}
  conditioning = distribution.bijector.conditioning
  if conditioning is not None:
    labels = np.arange(num_samples) % conditioning.num_channels
    if label is not None:
      labels = np.full([num_samples], label)
    kwargs = {'conditioning': tf.constant(labels)}
  x = tf.function(fo.flows.sample_at_temperature, autograph=False)(
      distribution, num_samples, tf.constant([seed, -3]), temperature, kwargs
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
    images: uint8 `[N, H, W, C]`, neighbours are pairs; or these and labels.
    bits: Of an image value.
  """
  images, given = labelled.split(images)
  kwargs = given.get('bijector_kwargs', {})
  weights = tf.linspace(0.0, 1.0, _STEPS)[:, tf.newaxis]
  # Each image has the label of the end that it is closer to.
  nearer = np.round(weights[:, 0]).astype(int)

  @tf.function(autograph=False)
  def between(pair, kwargs):
    x = fo.flows.dequantize(pair, bits)
    z = distribution.bijector.inverse(x, **kwargs)
    x = distribution.bijector.forward(
        z[:1] + weights * (z[1:] - z[:1]),
        **{name: tf.gather(value, nearer) for name, value in kwargs.items()},
    )
    return fo.flows.quantize(x, bits)

  rows = []
  for i in range(len(images) // 2):
    own = slice(2 * i, 2 * i + 2)
    pair = {name: value[own] for name, value in kwargs.items()}
    rows.append((f'pair {i + 1}', between(images[own], pair)))
  fo.diagnostics.plot_samples(path, rows)

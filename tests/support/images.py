"""Small stand-ins for photographs."""

import numpy as np
import tensorflow as tf

import tfp_flowopt as fo


def smooth_noise(seed, height, width):
  """A uint8 image with the spectrum of a photograph, about 1 / frequency."""
  rng = np.random.default_rng(seed)
  fy = np.fft.fftfreq(height)[:, np.newaxis]
  fx = np.fft.fftfreq(width)[np.newaxis]
  amplitude = 1.0 / np.maximum(np.hypot(fy, fx), 1.0 / max(height, width))
  noise = rng.normal(size=(3, height, width))
  planes = np.fft.ifft2(np.fft.fft2(noise) * amplitude).real
  planes = np.tensordot(
      [[1.0, 0.2, 0.1], [0.9, -0.2, 0.1], [0.8, 0.1, -0.3]], planes, axes=1
  )
  values = 128 + 40 * planes / planes.std()
  return np.clip(values, 0, 255).astype(np.uint8).transpose(1, 2, 0)


def crops(seed=0, size=8):
  """An `ImageCrops` of one image of 64 x 96 pixels."""
  return fo.training.ImageCrops([smooth_noise(seed, 64, 96)], size)


def preprocessed(num, size=8, seed=0):
  """Dequantised crops, float32 `[num, size, size, 3]`."""
  images = crops(size=size).draw(num, [seed, 1])
  noise = fo.flows.dequantization_noise(tf.shape(images), [seed, 2])
  return fo.flows.dequantize(images, noise=noise)


def write_png(path, image):
  """Writes a uint8 image `[H, W, C]`, into a new folder if need be."""
  path.parent.mkdir(exist_ok=True)
  path.write_bytes(tf.io.encode_png(image).numpy())

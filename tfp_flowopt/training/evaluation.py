"""Bits/dim of images, of a flow and of the best linear flows."""

import numpy as np
import tensorflow as tf

from tfp_flowopt import flows
from tfp_flowopt import lipschitz
from tfp_flowopt import optimum

__all__ = [
    'FlowEvaluator',
    'dequantize',
    'dequantized_batches',
    'pointwise_optima',
]

_BATCH_SIZE = 128
_BLOCK_SIZES = (1, 2, 4, 8)


def dequantize(images, bits, seed):
  """Scales uint8 images, with the stateless noise of `seed` `[2]`."""
  # Folded, so that the noise is not the numbers that chose the crops.
  noise = flows.dequantization_noise(tf.shape(images), _folded(seed, 1))
  return flows.dequantize(images, bits, noise)


def _folded(seed, i):
  """Another seed, the same one on all devices, XLA's included."""
  return tf.random.experimental.stateless_fold_in(seed, i, alg='philox')


def dequantized_batches(images, bits, seed):
  """The same, batch by batch, each with noise of its own."""
  for i in range(0, len(images), _BATCH_SIZE):
    yield dequantize(images[i : i + _BATCH_SIZE], bits, _folded(seed, i))


class FlowEvaluator:
  """Evaluates a distribution on sets of images.

  The kernels of Lipschitz layers are rescaled once an evaluation, not once a
  batch, and kept beside the trained ones.
  """

  def __init__(self, distribution, bits):
    """Creates the evaluator.

    Args:
      distribution: A distribution of preprocessed images.
      bits: Number of bits of an image value.
    """
    self._event_size = distribution.event_shape.num_elements()
    self._bits = bits
    self._kernels = lipschitz.FrozenKernels(distribution)

    # One graph, whatever is evaluated first: a graph traced for another batch
    # size rounds differently, and a resumed run would differ in the last bit.
    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, *distribution.event_shape], tf.float32)
        ],
    )
    def log_prob(x):
      with self._kernels.in_use():
        return distribution.log_prob(x)

    self._log_prob = log_prob

  def log_prob(self, x):
    """Log-likelihoods of a batch of preprocessed images, in nats.

    Args:
      x: float32 `Tensor` `[N, H, W, C]`.

    Returns:
      `Tensor` `[N]`, with the kernels of the last `update`.
    """
    return self._log_prob(x)

  def update(self):
    """Rescales the kernels of the weights as they are."""
    self._kernels.update()

  def bits_per_dim(self, images, seed):
    """Mean bits/dim; the same seed gives the same noise.

    Args:
      images: uint8 `Tensor` `[N, H, W, C]`.
      seed: `[2]` int64 `Tensor`.

    Returns:
      Python `float`.
    """
    self.update()
    values = [
        self._log_prob(x).numpy()
        for x in dequantized_batches(images, self._bits, seed)
    ]
    mean = np.mean(np.concatenate(values), dtype=np.float64)
    return float(optimum.bits_per_dim(mean, self._event_size, self._bits))


def pointwise_optima(images, bits):
  """Bits/dim of the best pointwise linear flow of each block size.

  Args:
    images: uint8 `Tensor` `[N, H, W, C]`.
    bits: Number of bits of an image value.

  Returns:
    Dictionary from block sizes 1, 2, 4, 8 (those that divide the images), as
    strings, to bits/dim.
  """
  x = flows.dequantize(images, bits)
  _, height, width, channels = x.shape
  result = {}
  for block_size in _BLOCK_SIZES:
    if height % block_size or width % block_size:
      continue
    # Uniform noise on a bin adds a twelfth of its squared width.
    best = optimum.likelihood_optimum(
        x,
        'pointwise',
        block_size=block_size,
        noise_variance=4.0**-bits / 12.0,
    )
    result[str(block_size)] = float(
        optimum.bits_per_dim(
            best.log_likelihood.numpy(), height * width * channels, bits
        )
    )
  return result

"""A distribution as a Keras model."""

import tf_keras

import tfp_flowopt as fo

__all__ = ['WEIGHTS_FILE', 'FlowModel']

# Not .h5: in those files Keras keeps what its own layers hold, and nothing
# else, without a word. A name without a suffix is a checkpoint of all weights.
WEIGHTS_FILE = 'best'


class FlowModel(tf_keras.Model):
  """A distribution of images as a Keras model: images in, bits/dim out.

  Keras finds the weights by itself: distributions and bijectors are
  `tf.Module`s.
  """

  def __init__(self, distribution, bits):
    """Wraps a distribution.

    Args:
      distribution: Of images `[H, W, C]`.
      bits: Number of bits of a value.
    """
    super().__init__()
    self.distribution = distribution
    self._bits = bits

  def call(self, inputs):
    """Bits/dim of preprocessed images, `[N]`.

    Args:
      inputs: Dictionary: `images` `[N, H, W, C]` and, for a flow that is
        conditioned on them, `conditioning`.
    """
    images, kwargs = inputs['images'], {}
    if 'conditioning' in inputs:
      kwargs = {'conditioning': inputs['conditioning']}
    with fo.lipschitz.shared_rescaling():
      log_prob = self.distribution.log_prob(images, bijector_kwargs=kwargs)
    return fo.bits_per_dim(
        log_prob, self.distribution.event_shape.num_elements(), self._bits
    )

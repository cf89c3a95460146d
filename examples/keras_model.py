"""A distribution as a Keras model."""

import os

import onednn  # noqa: F401
import tf_keras

import tfp_flowopt as fo

__all__ = ['WEIGHTS_FILE', 'FlowModel']

# A name without a suffix is a checkpoint of TensorFlow's, of all weights.
WEIGHTS_FILE = 'best'
# In these files Keras keeps what its own layers hold, and nothing else.
_LAYERS_ALONE = ('.h5', '.hdf5', '.keras')


class FlowModel(tf_keras.Model):
  """A distribution of images as a Keras model: images in, bits/dim out.

  Keras finds the weights by itself: distributions and bijectors are
  `tf.Module`s. But it saves them in TensorFlow's format alone, and in others
  leaves them out without a word; here those are an error.
  """

  def __init__(self, distribution, bits):
    """Wraps a distribution.

    Args:
      distribution: Of images `[H, W, C]`.
      bits: Number of bits of a value.
    """
    # Else a policy such as mixed_float16 would cast the images.
    super().__init__(dtype=distribution.dtype)
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

  def save_weights(self, filepath, overwrite=True, save_format=None, **kwargs):
    """As `tf_keras.Model.save_weights`, in TensorFlow's format.

    Args:
      filepath: Prefix of the files, without a suffix of Keras'.
      overwrite: Whether to replace files without asking.
      save_format: `None` or `'tf'`.
      **kwargs: Further arguments of Keras'.

    Raises:
      ValueError: If it is a format that would lose the weights of the flow.
    """
    _check_format(filepath, save_format)
    super().save_weights(filepath, overwrite, save_format or 'tf', **kwargs)

  def save(self, filepath, overwrite=True, save_format=None, **kwargs):
    """As `tf_keras.Model.save`, in TensorFlow's format.

    Args:
      filepath: As for `save_weights`.
      overwrite: The same.
      save_format: The same.
      **kwargs: Further arguments of Keras'.

    Raises:
      ValueError: If it is a format that would lose the weights of the flow.
    """
    _check_format(filepath, save_format)
    super().save(filepath, overwrite, save_format or 'tf', **kwargs)


def _check_format(filepath, save_format):
  """Raises a `ValueError` unless all weights are saved."""
  if os.fspath(filepath).endswith(_LAYERS_ALONE) or save_format not in (
      None, 'tf'
  ):
    raise ValueError(
        'Argument `filepath` must have no suffix of Keras, and `save_format` '
        "must be 'tf': other files hold the weights of layers alone, not those "
        f'of the flow; got {filepath} and {save_format!r}.'
    )

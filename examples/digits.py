"""Scikit-learn's handwritten digits, for examples that need classes."""

import numpy as np

__all__ = ['BITS', 'load']

# 17 grey levels, 0 to 16, of which the last two are one here: 4 bits.
BITS = 4


def load(held_out_every=5):
  """The digits, those to train on and those held out.

  Args:
    held_out_every: Every so many of them is held out.

  Returns:
    Two pairs of images, uint8 `[N, 8, 8, 1]` with values below `2**BITS` in the
    upper bits of a byte, and labels, int64 `[N]`.

  Raises:
    SystemExit: If scikit-learn is missing (the `[examples]` extra).
  """
  try:
    from sklearn import datasets
  except ImportError as e:
    raise SystemExit(
        "The digits need scikit-learn: pip install 'tfp-flowopt[examples]'."
    ) from e
  data = datasets.load_digits()
  values = np.minimum(data.images, 2**BITS - 1).astype(np.uint8)
  images = (values << (8 - BITS))[..., np.newaxis]
  labels = data.target.astype(np.int64)
  held_out = np.arange(len(images)) % held_out_every == held_out_every - 1
  return (
      (images[~held_out], labels[~held_out]),
      (images[held_out], labels[held_out]),
  )

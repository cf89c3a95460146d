"""The linear maps between layers, and what their products do.

Of layers in turn, each a linear map of every position or near the identity,

```none
d_j = d_(j-1) A_j   or   d_j = d_(j-1) + e_j,   |e_j| <= bend_j |d_(j-1)|,
```

so `d_n` is `d_0` times all matrices, and the sum of each `e_j` times those that
come after. The norms of these products bound it, often by far less than the
product of the norms: what a whitening amplifies most is factored out, and what
travels on is amplified least.

A wavelet transform is a map that lengthens nothing, and a factor for each
subband; there are several such factors, and each of them bounds it.
"""

import math
from typing import Any
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt.bijectors import base
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import rounding
from tfp_flowopt.local import maps

__all__ = ['Skeleton', 'Spread', 'Wavelet', 'matrices_of']

# With more rows the products of dozens of layers take minutes.
_MOST_ROWS = 1024
_SIZES = {
    bijectors.ActNorm: lambda b: b.shift.shape[-1],
    bijectors.InvertibleConv1x1: lambda b: b.shift.shape[-1],
    # Maps of classes are several.
    bijectors.DenseAffine: lambda b: None if b.num_classes else (
        b.shifts.shape[-1]
    ),
}


class Wavelet(maps.Linear):
  """A `WaveletTransform`: subbands are other channels."""

  changes_channels = True

  def matrices(self, size):
    """Of `forward` and `inverse`: `[K, size, size]`, each bounds it."""
    return [
        np.stack([
            np.diag(np.repeat(factors, size // 4))
            for factors in self.bijector.band_factors(direction)
        ])
        for direction in ('forward', 'inverse')
    ]


def matrices_of(parts):
  """Matrices of each part, of `forward` and `inverse`; `None` if it has none.

  For rows: `d -> d A`, at each position of an event. The parts are in the order
  of `inverse`; a `Wavelet` has matrices if the next one has.
  """
  found = [_matrices_of(part) for part in parts]
  for index, (part, after) in enumerate(zip(parts, found[1:], strict=False)):
    if isinstance(part, Wavelet) and after and not len(after[0]) % 4:
      found[index] = part.matrices(len(after[0]))
  return found


def _matrices_of(part):
  """Those of a part by itself."""
  if type(part) is not maps.Linear:
    return None
  bijector = part.bijector
  size = _SIZES.get(type(bijector), lambda _: None)(bijector)
  if size is None or size > _MOST_ROWS:
    return None
  ndims = bijector.forward_min_event_ndims
  shape = [size, *[1] * (ndims - 1), size]
  rows = tf.reshape(tf.eye(size, dtype=bijector.dtype), shape)
  found = []
  for evaluate in (base.forward_and_log_det, base.inverse_and_log_det):
    # Gradients, not differences of values, which a large shift would round.
    with tf.GradientTape() as tape:
      x = tf.zeros_like(rows)
      tape.watch(x)
      y, _ = evaluate(bijector, x)
    columns = tape.gradient(y, x, rows)
    found.append(np.float64(columns).reshape([size, size]).T)
  return found


class Skeleton:
  """Products of the matrices of parts in turn, in one direction."""

  def __init__(self, matrices, dtype):
    """Prepares.

    Args:
      matrices: Dictionary of the matrices `[C, C]` of parts, by their places;
        `None` for one that is near the identity. Of `[K, C, C]` each bounds the
        part, so the least of their norms holds.
      dtype: Type of the weights.
    """
    self._matrices, self._dtype = matrices, dtype
    self._products, self._norms, self._sizes = {}, {}, {}

  def add(self, index, matrix):
    """Adds the next part."""
    self._matrices[index] = matrix

  def is_linear(self, index):
    """Whether a part has a matrix."""
    return self._matrices[index] is not None

  def norm(self, first, last, start=None, stop=None):
    """Of the product after part `first` to `last`, of a range of columns."""
    key = first, last, start, stop
    if key not in self._norms:
      self._norms[key] = self._norm(*key)
    return self._norms[key]

  def _product(self, first, last):
    """`A_(first + 1) ... A_last`, `None` for the identity."""
    key = first, last
    if last <= first:
      return None
    if key not in self._products:
      product, matrix = self._product(first, last - 1), self._matrices[last]
      if product is not None and matrix is not None:
        product = product @ matrix
      self._products[key] = matrix if product is None else product
    return self._products[key]

  def _norm(self, first, last, start, stop):
    product = self._product(first, last)
    if product is None:
      return 1.0
    count = sum(
        self.is_linear(k) for k in range(first + 1, last + 1)
    )
    # Matrices are off by parts of their norms, which may cancel in the product.
    size = product.shape[-1]
    error = rounding.inflation(self._dtype, 8 * size * count) - 1.0
    with tf.init_scope():  # of weights alone, also while a graph is traced
      norms = _norms(product[..., start:stop])
      for k in range(first + 1, last + 1):
        if self.is_linear(k):
          error = error * self._size(k)
    return rounding.rounded_up(float(np.min(norms + error)), self._dtype)

  def _size(self, index):
    """The norms of the matrices of a part."""
    if index not in self._sizes:
      self._sizes[index] = _norms(self._matrices[index])
    return self._sizes[index]


def _norms(matrices):
  """Spectral norms of `[C, D]` or `[K, C, D]`, an array `[1]` or `[K]`."""
  if matrices.ndim == 2:
    matrices = matrices[np.newaxis]
  return np.array([bounds.largest_singular_value(m) for m in matrices])


class Spread(NamedTuple):
  """What a ball is made of: the images of balls at layers before.

  Attributes:
    skeleton: `Skeleton` of the layers.
    terms: Pairs of the layer after which a ball arose, and its radius `[...]`
      per unit of the first one's.
    last: The last layer that was passed.
  """

  skeleton: Any
  terms: list
  last: int

  def gain(self, start=None, stop=None):
    """The radius `[...]`, in some channels: `start <= channel < stop`."""
    norms = [
        self.skeleton.norm(first, self.last, start, stop)
        for first, _ in self.terms
    ]
    return sum(
        maps.constant(norm, term.dtype) * term
        for norm, (_, term) in zip(norms, self.terms, strict=True)
    )

  def after(self, index, bend):
    """After one more layer; `bend` `[...]` if it has no matrix."""
    terms = self.terms if bend is None else [*self.terms, (index, bend)]
    return Spread(self.skeleton, terms, index)

  def relative_to(self, gain):
    """The same with radii per unit of another."""
    # Of what is infinite nothing is known.
    known = tf.math.is_finite(gain)
    return self._replace(terms=[
        (first, tf.where(known, t / gain, tf.constant(math.inf, t.dtype)))
        for first, t in self.terms
    ])

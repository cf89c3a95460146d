"""Values that are wrong for an argument of some kind."""

from collections.abc import Callable
import dataclasses
import functools

import numpy as np
import tensorflow as tf

import tfp_flowopt as fo

NAN, INF = float('nan'), float('inf')

# What is no number, or not one number.
_NO_NUMBER = ('1', [1], {}, 1j, tf.constant(2), np.array([1, 2]), True)
# Values that are wrong for an argument of a kind.
COUNT_OR_NONE = (*_NO_NUMBER, 0, -1, 2.5, 2.0)
COUNT = (*COUNT_OR_NONE, None)
SEED = (*_NO_NUMBER, None, 2.5)
POSITIVE_OR_INF = (*_NO_NUMBER, None, 0, -1.0, NAN)
POSITIVE_OR_NONE = (*_NO_NUMBER, 0, -1.0, NAN, INF)
POSITIVE = (*POSITIVE_OR_NONE, None)
CHOICE = ('other', 3, [], tf.constant('other'))
DTYPE = ('number', 'int32', tf.bool, np.complex64, [])
FLOAT32_OR_64 = (*DTYPE, 'bfloat16')
OBJECT = ('object', 3, [], tf.constant(1.0))
OBJECT_OR_NONE = (*OBJECT, None)
IMAGE_SHAPE = (
    None,
    8,
    'shape',
    [8, 8],
    [8, 8, None],
    [8, -8, 1],
    [8, 0, 1],
    [8.5, 8, 1],
    [[8, 8, 1]],
)
BITS = ('8', [8], tf.constant(8), True, None, -1, 2.5)
IMAGES = ('images', None, [1.0, 2.0], np.zeros([2, 3]), tf.zeros([]))


@dataclasses.dataclass(frozen=True)
class Entry:
  """A public callable.

  Attributes:
    function: It, a class or a function.
    right: Makes keyword arguments that it accepts.
    wrong: For each argument, values that it does not accept.
    numbers: Names of those in `right` that may be NumPy's numbers; it is called
      with these once.
  """

  function: Callable
  right: Callable = dict
  wrong: dict = dataclasses.field(default_factory=dict)
  numbers: tuple = ()


@functools.cache
def flow():
  """The smallest."""
  return fo.image_flow([2, 2, 1], 1, 1, hidden_channels=2, tile_sizes=())


@functools.cache
def initialized_flow():
  """Another one; its weights are not from data, but said to be."""
  result = fo.image_flow([2, 2, 1], 1, 1, hidden_channels=2, tile_sizes=())
  result.bijector.mark_initialized()
  return result


def layer():
  return fo.lipschitz.LipschitzDense(1, 1)


def x():
  return tf.zeros([2, 2, 2, 1])

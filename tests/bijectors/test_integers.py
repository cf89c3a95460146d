"""Integers are refused where TensorFlow would make floats of them."""

import re

import numpy as np
import pytest
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

fob, tfb, tfd = fo.bijectors, tfp.bijectors, tfp.distributions

METHODS = (
    'forward',
    'inverse',
    'forward_log_det_jacobian',
    'inverse_log_det_jacobian',
)


class Picture:
  """What libraries of images give: an array, and no type."""

  def __init__(self, values):
    self.__array_interface__ = values.__array_interface__
    self.values = values


# By the name of their type.
KINDS = {
    'uint8': lambda x: x.astype(np.uint8),
    'int64': lambda x: list(x.astype(np.int64)),
    'bool': lambda x: x > 0,
    'int32': lambda x: tf.constant(x, tf.int32),
    'uint16': lambda x: Picture(x.astype(np.uint16)),
}
each_kind = pytest.mark.parametrize(
    ('kind', 'convert'), KINDS.items(), ids=KINDS.keys()
)


def refused(kind):
  return pytest.raises(
      ValueError, match=rf'of a floating-point type, got {kind}.*dequant'
  )


@pytest.fixture(name='images', scope='module')
def _images():
  return np.random.default_rng(0).integers(0, 256, size=[4, 2, 2, 1])


@pytest.fixture(name='distribution', scope='module')
def _distribution():
  return fo.image_flow([2, 2, 1], 1, 1, hidden_channels=2, tile_sizes=())


# Only the squeeze, which has no weights, moves pixels of any type.
@pytest.mark.parametrize(
    'name', [n for n in registry.ENTRIES if n != 'DepthToSpace']
)
def test_every_bijector_and_method(name):
  entry = registry.ENTRIES[name]
  bijector = entry.make(tf.float32)
  latent = np.ones(bijector.inverse_event_shape(entry.data_shape))
  data = np.ones(entry.data_shape)
  for method in METHODS:
    given = latent if method.startswith('forward') else data
    for convert in (KINDS['uint8'], KINDS['int32']):
      with pytest.raises(ValueError, match=r'floating-point type, got u?int'):
        getattr(bijector, method)(convert(given))


@each_kind
def test_whoever_hands_them_on(kind, convert, images, distribution):
  """Distributions and chains make floats before they call a bijector."""
  flow = distribution.bijector
  shift = tfb.Shift(0.0)
  base, x = distribution.distribution, convert(images)
  calls = [
      distribution.log_prob,
      distribution.prob,
      tfd.Independent(distribution, 0).log_prob,
      lambda x: fob.inverse_and_log_det(flow, x),
      lambda x: fo.diagnostics.layer_report(distribution, x),
      lambda x: fo.diagnostics.reconstruction_errors(distribution, x),
      lambda x: fo.diagnostics.volume_balance(distribution, x),
  ]
  if not tf.is_tensor(x):  # which chains refuse themselves
    calls += [
        tfd.TransformedDistribution(base, tfb.Chain([shift, flow])).log_prob,
        tfb.Chain([shift, flow]).inverse,
        tfb.Invert(tfb.Chain([shift, flow])).forward_log_det_jacobian,
    ]
  for call in calls:
    with refused(kind):
      call(x)


@each_kind
def test_functions_that_say_so_themselves(kind, convert, images, distribution):
  x = np.asarray(convert(images))
  for call in (
      lambda: fo.diagnostics.local_lipschitz(distribution.bijector, x),
      lambda: fo.diagnostics.optimum_report(distribution, x),
      lambda: fo.initialize_at_optimum(distribution, x),
      lambda: fo.likelihood_optimum(x),
  ):
    with pytest.raises(ValueError, match=rf'float.*got.*{re.escape(kind)}'):
      call()


def test_what_is_still_taken():
  """Python's numbers have no type; arrays of other floats are rounded."""
  bijector = fob.AffineCoupling(
      lambda x: tf.concat([x, x], axis=-1), event_ndims=1
  )
  zero = tf.zeros([])
  distribution = tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(zero, 1.0), [2]), bijector
  )
  right = distribution.log_prob(tf.constant([1.0, 2.0]))
  for given in ([1, 2], [1.0, 2.0], (1, 2.0), np.array([1.0, 2.0])):
    np.testing.assert_allclose(distribution.log_prob(given), right, rtol=1e-6)


class Rounded(tfb.Bijector):
  """From floats to whole numbers, with their own type."""

  def __init__(self):
    super().__init__(forward_min_event_ndims=0, is_constant_jacobian=True)

  def _forward_dtype(self, dtype, **kwargs):
    return tf.int32

  def _inverse_dtype(self, dtype, **kwargs):
    return tf.float32

  def _forward(self, x):
    return tf.cast(tf.floor(x), tf.int32)

  def _inverse(self, y):
    return tf.cast(y, tf.float32) + 0.5

  def _inverse_log_det_jacobian(self, y):
    return tf.zeros([])


def test_bijectors_that_are_made_for_integers():
  act_norm = fob.ActNorm(1)
  chain = tfb.Chain([Rounded(), act_norm])
  y = np.ones([2, 2, 2, 1], np.int32)
  np.testing.assert_array_equal(
      chain.inverse(y), act_norm.inverse(tf.fill([2, 2, 2, 1], 1.5))
  )

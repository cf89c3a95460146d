"""What test_export cannot see of a flow: features, and XLA."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_flowopt.internal import request_checks

SPECS = {
    'x': tf.TensorSpec([None, 2], name='x'),
    'features': tf.TensorSpec([None, 3], name='features'),
    'scale': tf.TensorSpec([], name='scale'),
}
RIGHT = {
    'x': tf.ones([4, 2]),
    'features': tf.ones([4, 3]),
    'scale': tf.constant(0.0),
}


@tf.function(autograph=False)
def product(x, features, scale):
  x, features, scale = request_checks.checked(
      SPECS, {'x': x, 'features': features, 'scale': scale}, ['scale']
  )
  return {'y': scale + x[:, :1] * features}


@pytest.fixture(scope='module')
def served(tmp_path_factory):
  path = str(tmp_path_factory.mktemp('model'))
  tf.saved_model.save(
      tf.Module(),
      path,
      signatures=product.get_concrete_function(*SPECS.values()),
  )
  return tf.saved_model.load(path).signatures['serving_default']


@pytest.mark.parametrize('jit_compile', [False, True])
def test_what_is_right_passes(served, jit_compile):
  function = tf.function(
      lambda: served(**RIGHT), jit_compile=jit_compile, autograph=False
  )
  np.testing.assert_array_equal(function()['y'], np.ones([4, 3]))


@pytest.mark.parametrize(
    ('argument', 'value'),
    [
        ('features', tf.ones([1, 3])),
        ('features', tf.ones([5, 3])),
        ('features', tf.ones([4, 2])),
        ('features', tf.ones([4])),
        ('features', tf.fill([4, 3], np.float32('nan'))),
        ('x', tf.ones([0, 2])),
        ('scale', tf.constant(-1.0)),
        ('scale', tf.ones([4])),
    ],
)
def test_what_is_wrong_is_named(served, argument, value):
  with pytest.raises(tf.errors.InvalidArgumentError, match=f'`{argument}`'):
    served(**{**RIGHT, argument: value})

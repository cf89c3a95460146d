"""What `likelihood_optimum` refuses, and what its errors say."""

import math

import numpy as np
import pytest
from support import numpy_optimum
import tensorflow as tf

import tfp_flowopt as fo


@pytest.mark.parametrize('graph', [False, True])
@pytest.mark.parametrize('n', [2, 4, 5])
def test_too_few_data_is_an_error_with_remedies(rng, n, graph):
  x = rng.normal(size=(n, 5))

  def call(**arguments):
    def function(x):
      return fo.likelihood_optimum(x, **arguments).log_likelihood

    if graph:
      function = tf.function(
          function, input_signature=[tf.TensorSpec([None, None], tf.float64)]
      )
    return function(x)

  for arguments in ({}, {'lipschitz': (0.1, math.inf)}, {'rank': 5}):
    if graph and 'rank' in arguments:
      continue  # with an unknown D, rank 5 is not known to be no remedy
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r'(?s)noise_variance.*lipschitz.*rank',
    ):
      call(**arguments)
  assert np.isfinite(call(noise_variance=0.1))
  assert np.isfinite(call(lipschitz=(0.0, 10.0)))
  if n > 2:
    assert np.isfinite(call(rank=1))
  else:
    with pytest.raises(tf.errors.InvalidArgumentError, match='singular'):
      call(rank=1)


def test_duplicated_dimension_is_an_error_with_remedies(rng):
  x = rng.normal(size=(100, 4))
  x[:, 3] = x[:, 1]
  with pytest.raises(tf.errors.InvalidArgumentError, match='noise_variance'):
    fo.likelihood_optimum(x)
  with pytest.raises(tf.errors.InvalidArgumentError, match='singular'):
    fo.likelihood_optimum(np.ones([10, 2, 2, 3]), 'pointwise')
  assert np.isfinite(fo.likelihood_optimum(x, rank=2).log_likelihood)


VALID = np.random.default_rng(0).normal(size=(9, 2))


@pytest.mark.parametrize(
    'x, arguments, match',
    [
        (np.full([9, 2], np.nan), {}, 'x` has non-finite'),
        (np.full([9, 2], np.inf), {}, 'x` has non-finite'),
        (np.zeros([0, 2]), {}, 'empty'),
        (np.zeros([0, 4, 4, 1]), {'structure': 'pointwise'}, 'empty'),
        (np.zeros([5]), {}, r'\[\.\.\., N, D\]'),
        (np.zeros([5, 2]), {'structure': 'pointwise'}, r'\[N, H, W, C\]'),
        (np.zeros([5, 4, 4, 1]), {'structure': 'circular'}, 'structure'),
        (np.zeros([9, 2], np.int32), {}, 'float32 or float64'),
        (np.zeros([9, 2]), {'lipschitz': (2.0, 1.0)}, 'm <= M'),
        (np.zeros([9, 2]), {'lipschitz': (-1.0, 1.0)}, '0 <= m'),
        (np.zeros([9, 2]), {'lipschitz': (0.0, 0.0)}, 'M > 0'),
        (np.zeros([9, 2]), {'lipschitz': (math.nan, 1.0)}, 'lipschitz'),
        (np.zeros([9, 2]), {'lipschitz': 3.0}, 'lipschitz'),
        (np.zeros([9, 2]), {'rank': 0}, r'1\.\.2'),
        (np.zeros([9, 2]), {'rank': 3}, r'1\.\.2'),
        (VALID, {'noise_variance': -1.0}, 'noise_variance` must be'),
        (VALID, {'noise_variance': math.nan}, 'noise_variance` must be'),
        (VALID, {'noise_variance': np.ones(3)}, 'noise_variance` must be a sc'),
        (VALID, {'noise_variance': tf.ones(3)}, 'noise_variance` must be a sc'),
        (VALID, {'noise_variance': math.inf}, 'noise_variance` must be'),
        (VALID, {'noise_variance': tf.constant(-0.1)}, 'noise_variance` must'),
        (VALID, {'noise_variance': tf.constant(math.nan)}, 'noise_variance'),
        (VALID, {'rank': 1.5}, 'rank'),
        (VALID, {'block_size': 2.0}, 'block_size'),
        (np.zeros([9, 2]), {'block_size': 2}, 'block_size'),
        (
            np.zeros([5, 4, 4, 1]),
            {'structure': 'pointwise', 'block_size': 3},
            'divide',
        ),
        (
            np.zeros([5, 4, 4, 1]),
            {'structure': 'pointwise', 'block_size': 0},
            'block_size',
        ),
    ],
)
def test_bad_input_is_named(x, arguments, match):
  with pytest.raises(
      (ValueError, tf.errors.InvalidArgumentError), match=match
  ):
    fo.likelihood_optimum(x, **arguments)


def test_rank_out_of_range_with_an_unknown_dimension(rng):
  @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float64)])
  def optimum(x):
    return fo.likelihood_optimum(x, rank=5, lipschitz=(0.1, 10.0))

  assert np.isfinite(optimum(rng.normal(size=(50, 5))).log_likelihood)
  with pytest.raises(tf.errors.InvalidArgumentError, match='rank'):
    optimum(rng.normal(size=(50, 4)))


def test_a_noise_floor_below_rounding_is_no_remedy(rng):
  x = 1e3 * rng.normal(size=(100, 4))
  x[:, 3] = x[:, 0] + x[:, 1]
  with pytest.raises(tf.errors.InvalidArgumentError, match='below rounding'):
    fo.likelihood_optimum(x, noise_variance=1e-12)
  want = numpy_optimum.optimum(x, noise_variance=1e-3)[0]
  got = fo.likelihood_optimum(x, noise_variance=1e-3).log_likelihood
  np.testing.assert_allclose(got, want, rtol=1e-6)


def test_extreme_bounds(rng):
  x = rng.normal(size=(100, 3))
  unbounded = fo.likelihood_optimum(x).log_likelihood
  for upper in (1e90, 1e170, math.inf):
    got = fo.likelihood_optimum(x, lipschitz=(1e-170, upper)).log_likelihood
    np.testing.assert_allclose(got, unbounded, rtol=1e-12)
  small = fo.likelihood_optimum(x, lipschitz=(0.0, 1e-170)).log_det
  np.testing.assert_allclose(small, 3 * math.log(1e-170), rtol=1e-12)

from harness import symbol_norm
import numpy as np
import pytest
from support import convolutions
import tensorflow as tf

import tfp_flowopt as fo

bound = fo.lipschitz.operator_norm_bound

SHAPES = [(3, 3, 2, 4), (3, 3, 5, 2), (1, 3, 3, 3), (5, 5, 1, 2), (2, 2, 2, 2),
          (4, 2, 2, 3), (1, 1, 4, 6), (7, 1, 2, 2)]


@pytest.mark.parametrize('name', convolutions.KERNELS)
def test_between_the_truth_and_two_percent_more(rng, name):
  for shape in SHAPES:
    kernel = convolutions.KERNELS[name](rng, shape)
    truth, _ = symbol_norm.symbol_supremum(kernel)
    got = float(bound(tf.constant(kernel)))
    assert truth * (1 - 1e-12) <= got <= 1.02 * truth
    got = float(bound(tf.constant(kernel, tf.float32)))
    assert truth <= got <= 1.021 * truth


@pytest.mark.parametrize('name', convolutions.KERNELS)
def test_power_iteration_is_from_below(rng, name):
  kernel = convolutions.KERNELS[name](rng, (3, 3, 2, 4))
  truth, _ = symbol_norm.symbol_supremum(kernel)
  estimate = float(bound(tf.constant(kernel), method='power'))
  assert 0.8 * truth <= estimate <= truth * (1 + 1e-9)


@pytest.mark.parametrize('name', convolutions.KERNELS)
def test_above_every_image_size(rng, name):
  for shape in SHAPES[:6]:
    kernel = tf.constant(convolutions.KERNELS[name](rng, shape))
    for padding in ('SAME', 'VALID', 'CIRCULAR'):
      limit = float(bound(kernel, padding))
      for size in (5, 8):
        matrix = convolutions.operator(kernel, size, padding)
        assert np.linalg.norm(matrix, ord=2) <= limit * (1 + 1e-12)


def test_a_circular_norm_does_not_bound_zero_padding():
  # The symbol is small at the frequencies of 3x3 images, large between them.
  taps = np.array([1.0, -1.0, 1.0])
  kernel = tf.constant(np.outer(taps, taps).reshape(3, 3, 1, 1))
  circular, zero = (
      np.linalg.norm(convolutions.operator(kernel, 3, padding), ord=2)
      for padding in ('CIRCULAR', 'SAME')
  )
  np.testing.assert_allclose([circular, zero], [4.0, 5.83], atol=0.01)
  assert zero <= float(bound(kernel, 'CIRCULAR'))


@pytest.mark.parametrize('shape', [(5, 8), (8, 5), (1, 4), (64, 64)])
def test_dense(rng, shape):
  kernel = rng.normal(size=shape)
  truth = np.linalg.norm(kernel, ord=2)
  assert truth <= float(bound(tf.constant(kernel))) <= 1.006 * truth


def test_scales_of_all_sizes(rng):
  kernel = rng.normal(size=(3, 3, 4, 4))
  one = float(bound(tf.constant(kernel)))
  for scale in (1e-150, 1e-20, 1e20, 1e150):
    got = float(bound(tf.constant(scale * kernel)))
    assert got == pytest.approx(scale * one, rel=1e-12)
  small = float(bound(tf.constant(1e-30 * kernel, tf.float32)))
  assert small == pytest.approx(1e-30 * one, rel=1e-3)
  assert float(bound(tf.zeros([3, 3, 2, 2]))) == 0.0


def test_wide_kernels(rng):
  kernel = rng.normal(size=(3, 3, 130, 150)) / 50
  truth = convolutions.largest_symbol_norm(kernel, 12)
  assert truth <= float(bound(tf.constant(kernel, tf.float32))) <= 1.15 * truth


def test_large_kernels_do_not_need_large_transforms(rng):
  kernel = rng.normal(size=(31, 31, 1, 1))
  truth, _ = symbol_norm.symbol_supremum(kernel, 4)
  assert truth <= float(bound(tf.constant(kernel))) <= 1.02 * truth


def test_gradient_equals_finite_differences(rng):
  for shape in [(3, 3, 2, 4), (4, 3)]:
    kernel = tf.Variable(rng.normal(size=shape))
    direction = rng.normal(size=shape)
    with tf.GradientTape() as tape:
      y = bound(kernel)
    slope = np.sum(tape.gradient(y, kernel) * direction)
    step = 1e-6
    rise = bound(kernel + step * direction) - bound(kernel - step * direction)
    np.testing.assert_allclose(slope, rise / (2 * step), rtol=1e-5)
  zero = tf.Variable(tf.zeros([3, 3, 2, 2]))
  with tf.GradientTape() as tape:
    y = bound(zero)
  assert np.all(np.isfinite(tape.gradient(y, zero)))


@pytest.mark.parametrize('jit_compile', [False, True])
def test_in_a_graph(rng, jit_compile):
  kernel = tf.constant(rng.normal(size=(3, 3, 2, 4)), tf.float32)
  compiled = tf.function(bound, jit_compile=jit_compile)
  np.testing.assert_allclose(compiled(kernel), bound(kernel), rtol=1e-5)


def test_it_shows_what_almost_orthogonal_rescaling_leaves(rng):
  kernel = tf.constant(rng.normal(size=(3, 3, 6, 32)))
  rescaled = float(bound(fo.lipschitz.almost_orthogonal(kernel)))
  assert 0.3 < rescaled < 1.02


@pytest.mark.parametrize(
    'arguments, match',
    [
        ({'kernel': np.zeros([3, 3, 3])}, 'kernel'),
        ({'kernel': np.zeros([3, 3], np.int32)}, 'float32 or float64'),
        ({'kernel': np.zeros([3, 0])}, 'known sizes that are positive'),
        ({'kernel': np.zeros([3, 3]), 'padding': 'FULL'}, 'padding'),
        ({'kernel': np.zeros([3, 3]), 'method': 'reshape'}, 'method'),
    ],
)
def test_bad_arguments_are_named(arguments, match):
  with pytest.raises(ValueError, match=match):
    bound(**arguments)


@pytest.mark.parametrize('shape', [(3, 2, 2, 4), (2, 1, 2, 2)])
@pytest.mark.parametrize('method', ['gram', 'power'])
def test_a_few_frequencies_at_a_time_give_the_same(
    rng, shape, method, monkeypatch
):
  from tfp_flowopt.lipschitz import operator_norm

  kernel = tf.Variable(rng.normal(size=shape))

  def value_and_gradient():
    with tf.GradientTape() as tape:
      y = bound(kernel, method=method)
    return y, tape.gradient(y, kernel) if method == 'gram' else 0.0

  whole = value_and_gradient()
  # Three rows at a time, which does not divide their number.
  row = min(shape[2:]) ** 2 * (8 * (shape[1] - 1) + 1)
  monkeypatch.setattr(operator_norm, '_CHUNK', 3 * row)
  for evaluate in (value_and_gradient, tf.function(value_and_gradient)):
    for got, want in zip(evaluate(), whole, strict=True):
      np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)

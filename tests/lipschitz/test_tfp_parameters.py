"""Rules for TFP's bijectors, with parameters of all kinds and sizes.

Each is compared with the matrix that the bijector is, or its slope, computed
here from the parameters in double precision.
"""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb = tfp.bijectors
bounds_of = fo.lipschitz.lipschitz_bounds
operators = tf.linalg

TYPES = [
    tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.complex64, tf.complex128
]


def f64(x):
  return tf.constant(x, tf.float64)


def random(rng, shape, dtype):
  """Random parameters, and the same numbers in double precision."""
  values = rng.normal(size=shape)
  if dtype.is_complex:
    values = values + 1j * rng.normal(size=shape)
  x = tf.cast(values, dtype)
  wide = tf.complex128 if dtype.is_complex else tf.float64
  return x, tf.cast(x, wide).numpy()


def check(bijector, matrices, slack=1e-12):
  """The bounds are those of these matrices: not below, and hardly above."""
  found = bounds_of(bijector)
  values = np.linalg.svd(matrices, compute_uv=False)
  # But for the rounding of LAPACK's, in either direction.
  largest, smallest = values.max() * (1 - 1e-14), values.min() * (1 + 1e-14)
  slack += 1e-13
  if smallest == 0:
    assert found.inverse == math.inf
  else:
    assert 1 / smallest <= found.inverse <= (1 + slack) / smallest
  assert largest <= found.forward <= largest * (1 + slack)


def slack_of(dtype):
  """What rounding may add, and what half precision is enlarged by."""
  if dtype in (tf.float16, tf.bfloat16):
    return 0.1
  return 1e-12 if dtype in (tf.float64, tf.complex128) else 3e-4


@pytest.mark.parametrize('batch', [[], [2]])
@pytest.mark.parametrize('dtype', TYPES, ids=lambda t: t.name)
def test_parameters_of_all_types_signs_and_batches(rng, dtype, batch):
  slack = slack_of(dtype)
  x, wide = random(rng, [*batch, 3], dtype)
  diagonal = wide[..., np.newaxis] * np.eye(3)
  check(tfb.Scale(x), diagonal, slack)
  check(tfb.ScaleMatvecDiag(x), diagonal, slack)
  check(tfb.Invert(tfb.Scale(x)), np.linalg.inv(diagonal), slack)
  exponentials = np.exp(wide)[..., np.newaxis] * np.eye(3)
  check(tfb.Scale(log_scale=x), exponentials, slack)
  if dtype == tf.bfloat16:
    return  # TensorFlow has no such matrices
  x, wide = random(rng, [*batch, 3, 3], dtype)
  check(tfb.ScaleMatvecTriL(x), np.tril(wide), slack)
  full = operators.LinearOperatorFullMatrix(x)
  check(tfb.ScaleMatvecLinearOperator(full), wide, slack)
  check(tfb.ScaleMatvecLinearOperator(full, adjoint=True), wide, slack)
  product = (np.tril(wide, -1) + np.eye(3)) @ np.triu(wide)
  check(tfb.ScaleMatvecLU(x, [2, 0, 1]), product, slack)


OPERATORS = {
    'Identity': lambda a, b, v: operators.LinearOperatorIdentity(
        3, dtype=a.dtype
    ),
    'ScaledIdentity': lambda a, b, v: operators.LinearOperatorScaledIdentity(
        3, v[0]
    ),
    'Composition': lambda a, b, v: operators.LinearOperatorComposition([
        operators.LinearOperatorDiag(v),
        operators.LinearOperatorScaledIdentity(3, v[1]),
    ]),
    'Kronecker': lambda a, b, v: operators.LinearOperatorKronecker(
        [operators.LinearOperatorFullMatrix(m) for m in (a, b)]
    ),
    'BlockDiag': lambda a, b, v: operators.LinearOperatorBlockDiag(
        [operators.LinearOperatorFullMatrix(m) for m in (a, b)]
    ),
    'Adjoint': lambda a, b, v: operators.LinearOperatorAdjoint(
        operators.LinearOperatorFullMatrix(a)
    ),
    'Inversion': lambda a, b, v: operators.LinearOperatorInversion(
        operators.LinearOperatorFullMatrix(a)
    ),
    'Householder': lambda a, b, v: operators.LinearOperatorHouseholder(v),
    'Permutation': lambda a, b, v: operators.LinearOperatorPermutation(
        [1, 2, 0], dtype=a.dtype
    ),
    'Toeplitz': lambda a, b, v: operators.LinearOperatorToeplitz(
        v, tf.concat([v[:1], a[0, 1:]], 0)
    ),
    'Tridiag': lambda a, b, v: operators.LinearOperatorTridiag(
        a, diagonals_format='compact'
    ),
    'LowRankUpdate': lambda a, b, v: operators.LinearOperatorLowRankUpdate(
        operators.LinearOperatorDiag(v), a[:, :2], v[:2], b[:, :2]
    ),
}


@pytest.mark.parametrize('name', OPERATORS)
def test_operators(rng, name):
  operator = OPERATORS[name](
      *(random(rng, shape, tf.float64)[0] for shape in ([3, 3], [3, 3], [3]))
  )
  check(tfb.ScaleMatvecLinearOperator(operator), operator.to_dense(), 1e-11)


@pytest.mark.parametrize('factors, kind', [
    (([[1.0, 2.0]], [[1.0], [2.0]]), operators.LinearOperatorKronecker),
    (
        ([[1.0, 0.0]], [[0.001], [1.0]]),
        operators.LinearOperatorComposition,
    ),
])
def test_factors_that_are_not_square_do_not_tell(factors, kind):
  operator = kind([
      operators.LinearOperatorFullMatrix(tf.constant(m, tf.float64))
      for m in factors
  ])
  found = fo.lipschitz.lipschitz_bounds(
      tfb.ScaleMatvecLinearOperator(operator)
  )
  values = np.linalg.svd(operator.to_dense().numpy(), compute_uv=False)
  assert found.forward >= values[0] * (1 - 1e-12)
  assert found.inverse >= min(1.0 / values[-1], 1e14)


def test_a_circulant_operator(rng):
  spectrum, _ = random(rng, [4], tf.complex128)
  operator = operators.LinearOperatorCirculant(
      spectrum, input_output_dtype=tf.complex128
  )
  check(tfb.ScaleMatvecLinearOperator(operator), operator.to_dense(), 1e-11)


def test_of_an_operator_that_is_not_known_nothing_is_said():
  class Mine(operators.LinearOperatorFullMatrix):
    """May compute anything."""

  for operator in (
      Mine(np.eye(2)),
      operators.LinearOperatorAdjoint(Mine(np.eye(2))),
      operators.LinearOperatorLowRankUpdate(
          operators.LinearOperatorHouseholder([1.0, 2.0]), [[1.0], [1.0]]
      ),
      operators.LinearOperatorZeros(2),
  ):
    with pytest.raises(TypeError, match=r'LinearOperator|Mine'):
      bounds_of(tfb.ScaleMatvecLinearOperator(operator))


def graded(size, c):
  """Kahan's triangular matrix and the inverse, by a formula for each entry."""
  s = math.sqrt(1 - c * c)
  i, j = np.indices((size, size))
  matrix = np.where(i == j, 1.0, np.where(j > i, -c, 0.0)) * s**i
  above = np.where(j > i, c * (1 + c) ** np.maximum(j - i - 1.0, 0.0), 0.0)
  return matrix, (above + np.eye(size)) / s**j


@pytest.mark.parametrize('size, c', [(30, 0.3), (40, 0.9), (90, 0.5)])
def test_ill_conditioned_triangles(size, c):
  """Those whose smallest singular value is below the rounding of an SVD."""
  upper, inverse = graded(size, c)
  norm = np.linalg.norm(inverse, ord=2)  # that of a matrix of large entries
  for bijector in (
      tfb.ScaleMatvecTriL(tf.constant(upper.T)),
      tfb.ScaleMatvecLU(tf.constant(upper), list(range(size))),
  ):
    found = bounds_of(bijector)
    # All signs agree, so the bound by entries is nearly attained.
    assert norm <= found.inverse <= 10 * norm
    assert np.linalg.norm(upper, ord=2) <= found.forward <= 10 * size
  full = operators.LinearOperatorFullMatrix(upper)
  assert norm <= bounds_of(tfb.ScaleMatvecLinearOperator(full)).inverse


def test_the_noise_of_an_svd_is_no_singular_value(rng):
  """Products that are singular, or nearly, before they are rounded."""
  for size in (2, 5, 20):
    left, right = rng.normal(size=(2, size, size))
    values = np.geomspace(1.0, 1e-22, size)
    left, right = np.linalg.qr(left)[0], np.linalg.qr(right)[0]
    full = operators.LinearOperatorFullMatrix(left * values @ right)
    found = bounds_of(tfb.ScaleMatvecLinearOperator(full))
    assert found.inverse == math.inf
    assert 1 <= found.forward <= 1 + 1e-12
  # A composition keeps what its product loses.
  composition = operators.LinearOperatorComposition([
      operators.LinearOperatorFullMatrix(left),
      operators.LinearOperatorDiag(values),
  ])
  found = bounds_of(tfb.ScaleMatvecLinearOperator(composition))
  assert 1e22 <= found.inverse <= 1.001e22
  # Large entries that cancel.
  cancelling = operators.LinearOperatorLowRankUpdate(
      operators.LinearOperatorDiag(tf.constant([1e20, 1.0], tf.float64)),
      tf.constant([[1e10], [0.0]], tf.float64),
      diag_update=tf.constant([-1.0], tf.float64),
  )
  assert bounds_of(tfb.ScaleMatvecLinearOperator(cancelling)).inverse == (
      math.inf
  )


@pytest.mark.parametrize(
    'low, high',
    [(-1.0, 5.0), (5.0, -1.0), ([0.0, 7.0], [1.0, -7.0]), (2.0, 2.0)],
)
def test_sigmoids_of_all_widths_and_signs(low, high):
  low, high = tf.constant(low, tf.float64), tf.constant(high, tf.float64)
  steepest = np.max(np.abs(high - low)) / 4
  found = bounds_of(tfb.Sigmoid(low, high))
  assert steepest <= found.forward <= steepest * (1 + 1e-12)
  assert found.inverse == math.inf
  huge = tf.constant(1e308, tf.float64)
  assert bounds_of(tfb.Sigmoid(-huge, huge)).forward == math.inf


def test_limits():
  tiny, huge, inf = 5e-324, 1e308, math.inf
  assert bounds_of(tfb.Scale(f64([tiny, -huge]))) == (huge, inf)
  assert bounds_of(tfb.Scale(f64(huge))).inverse >= 1e-308
  assert bounds_of(tfb.ScaleMatvecDiag(f64([huge, 1.0, 1e-300]))) == (
      huge,
      pytest.approx(1e300),
  )
  assert bounds_of(tfb.ScaleMatvecTriL(f64([[1.0, 0.0], [1.0, 0.0]]))) == (
      pytest.approx(math.sqrt(2.0)),
      inf,
  )
  # Beyond the range of the type, so are the values: not an exception, nor 0.
  for x in (f64(800.0), tf.constant(90.0), tf.constant(12.0, tf.float16)):
    for bijector in (
        tfb.Scale(log_scale=x), tfb.Invert(tfb.Scale(log_scale=-x))
    ):
      found = bounds_of(bijector)
      assert found.forward == inf and 0 < found.inverse < 1e-4
  # Products: neither of large nor of small numbers.
  chain = tfb.Chain([tfb.Scale(f64(1e-200)), tfb.Scale(f64(1e-200))])
  assert bounds_of(chain).forward > 0 and bounds_of(chain).inverse == inf
  with pytest.raises(ValueError, match='hinge_softness'):
    bounds_of(tfb.Softplus(hinge_softness=0.0))
  assert bounds_of(tfb.Softplus(hinge_softness=[-0.1, 3.0])) == (1.0, inf)


@pytest.mark.parametrize('wrong', [math.nan, math.inf, complex(0.0, math.nan)])
def test_parameters_that_are_not_finite(wrong):
  def parameter(x):
    return tf.constant(np.array(x, np.result_type(wrong, np.float32)))

  for bijector in (
      tfb.Scale(parameter(wrong)),
      tfb.Scale(log_scale=parameter(wrong)),
      tfb.Scale(tf.Variable(parameter(wrong))),
      tfb.ScaleMatvecDiag(parameter([1.0, wrong])),
      tfb.ScaleMatvecTriL(parameter([[1.0, 0.0], [wrong, 1.0]])),
      tfb.ScaleMatvecLU(parameter([[1.0, 0.0], [wrong, 1.0]]), [0, 1]),
  ):
    with pytest.raises(ValueError, match='not finite'):
      bounds_of(bijector)


def test_a_permutation_that_is_none():
  with pytest.raises(ValueError, match='permutation'):
    bounds_of(tfb.Permute(tf.Variable([0, 0, 1])))
  assert bounds_of(tfb.Permute(tf.Variable([2, 0, 1]))) == (1.0, 1.0)

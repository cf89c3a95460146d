"""What does not depend on the units of the data, and what to say of it."""

import math
import re

import numpy as np
import pytest
from support import numpy_optimum
import tensorflow as tf

import tfp_flowopt as fo

UNITS = np.array([1e-4, 1e6, 1.0, 1e-2])

STRUCTURES = [
    ('dense', {}),
    ('pointwise', {'block_size': 2}),
    ('individual', {}),
    ('circulant', {}),
    ('circulant', {'frequency_pool': 2}),
]


def images(rng, n=40):
  x = rng.normal(size=(n, 4, 4, 4)) @ rng.normal(size=(4, 4)) + 1.0
  return x + 0.5 * np.roll(x, (0, 1), axis=(1, 2))


@pytest.mark.parametrize(
    'structure, options, graph',
    [*((*case, False) for case in STRUCTURES), ('dense', {}, True)],
)
def test_other_units_add_their_logarithms(rng, structure, options, graph):
  x = images(rng)
  x = x[:, 0, 0] if structure == 'dense' else x
  size = math.prod(x.shape[1:])

  def optimum(x):
    return fo.likelihood_optimum(x, structure, **options)

  if graph:
    spec = tf.TensorSpec([None] * x.ndim, tf.float64)
    optimum = tf.function(optimum, input_signature=[spec])
  want, got = optimum(x), optimum(x * UNITS)
  shift = size / 4 * np.log(UNITS).sum()
  np.testing.assert_allclose(
      got.log_likelihood, want.log_likelihood - shift, rtol=1e-10
  )
  np.testing.assert_allclose(got.log_det, want.log_det - shift, rtol=1e-10)
  if structure != 'circulant':
    # Small eigenvalues are no rounding of the largest one.
    positions = size // got.eigenvalues.shape[-1]
    np.testing.assert_allclose(
        -0.5 * positions * np.log(got.eigenvalues).sum(-1),
        got.log_det,
        rtol=1e-5,
    )


def test_other_units_equal_numpy(rng):
  x = images(rng)[:, 0, 0]
  want, _ = numpy_optimum.optimum(x)
  got = fo.likelihood_optimum(x * UNITS).log_likelihood
  np.testing.assert_allclose(got, want - np.log(UNITS).sum(), rtol=1e-12)
  # A noise floor has the units of the data, and is above no rounding.
  values = np.var(x[:, :1]) * UNITS**2 + 1e-9
  x = x[:, :1] * rng.choice([-1.0, 1.0], size=(40, 4))
  covariance = np.cov((x * UNITS).T, bias=True) + 1e-9 * np.eye(4)
  deviations = np.sqrt(np.diag(covariance))
  correlations = covariance / deviations[:, np.newaxis] / deviations
  want = -0.5 * np.linalg.slogdet(correlations)[1] - np.log(deviations).sum()
  got = fo.likelihood_optimum(x * UNITS, noise_variance=1e-9).log_det
  np.testing.assert_allclose(got, want, rtol=1e-10)
  assert values.max() / values.min() > 1e16


@pytest.mark.parametrize('structure', ['dense', 'pointwise', 'circulant'])
def test_the_linear_flow_in_other_units(rng, structure):
  x, new = images(rng), images(rng, 3)
  if structure == 'dense':
    x, new = x[:, 0, 0], new[:, 0, 0]
  values = []
  for units in (np.ones(4), UNITS):
    stream = fo.AutoCorrelation(structure, x.shape[1:])
    for batch in np.split(x * units, [7, 20]):
      stream.update(batch)
    size = math.prod(x.shape[1:])
    values.append(
        stream.linear_flow().log_prob(new * units)
        + size / 4 * np.log(units).sum()
    )
  np.testing.assert_allclose(values[1], values[0], rtol=1e-9)


def dependent(rng, kind, n):
  x = rng.normal(size=(n, 4))
  x[:, 2] = {
      'zero': 0.0,
      'constant': 0.1,
      'copy': x[:, 1],
      'other units': 1e7 * x[:, 1],
      'other origin': 3.0 - 1e-6 * x[:, 1],
      'sum': 0.1 * x[:, 0] - 1e3 * x[:, 3],
      'nearly a copy': x[:, 1] + 1e-8 * x[:, 2],
  }[kind]
  return x


@pytest.mark.parametrize(
    'kind, concerned',
    [
        ('zero', '2'),
        ('constant', '2'),
        ('copy', '[12]'),
        ('other units', '[12]'),
        ('other origin', '[12]'),
        ('sum', '[023]'),
        ('nearly a copy', '[12]'),
    ],
)
def test_dependent_dimensions_are_named(rng, kind, concerned):
  # So many that roundings of their sum add up.
  x = dependent(rng, kind, 50_000)
  with pytest.raises(tf.errors.InvalidArgumentError, match='singular') as e:
    fo.likelihood_optimum(x)
  assert re.search(rf"dimension'\s+{concerned}\s", str(e.value))
  stream = fo.AutoCorrelation('dense', 4)
  for batch in np.array_split(x, 3):
    stream.update(batch)
  for function in (stream.optimum, stream.linear_flow):
    with pytest.raises(tf.errors.InvalidArgumentError, match='singular'):
      function()
  assert stream.moments().condition() > 1e13


@pytest.mark.parametrize('value', [0.1, 12345.678])
@pytest.mark.parametrize('structure', ['pointwise', 'individual', 'circulant'])
def test_constant_channels_are_singular(rng, structure, value):
  x = rng.normal(size=(9, 4, 6, 3))
  x[..., 1] = value
  for options in ({'frequency_pool': 2}, {}):
    if structure != 'circulant' and options:
      continue
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"singular(.|\n)*dimension'\s+1\s"
    ):
      fo.likelihood_optimum(x, structure, **options)


@pytest.mark.parametrize('small', [1e-2, 1e-4])
def test_near_dependence_is_no_singularity(rng, small):
  x = rng.normal(size=(50, 2))
  want = fo.likelihood_optimum(x).log_det - math.log(small)
  x[:, 1] = x[:, 0] + small * x[:, 1]
  # As many digits are lost as the condition number has.
  np.testing.assert_allclose(
      fo.likelihood_optimum(x).log_det, want, atol=1e-13 / small**2
  )
  stream = fo.AutoCorrelation('dense', 2)
  stream.update(x * [1e5, 1e-5])
  np.testing.assert_allclose(
      stream.moments().condition(),
      np.linalg.cond(np.corrcoef(x.T)),
      rtol=1e-12 / small**2,
  )
  assert float(stream.moments().condition(1e30)) == pytest.approx(1.0)


@pytest.mark.parametrize('scale', [1e25, 1e-25])
def test_eigenvalues_need_not_fit_into_float32(rng, scale):
  x = (scale * rng.normal(size=(50, 4, 2, 3))).astype(np.float32)
  for structure in ('pointwise', 'individual', 'circulant'):
    got = fo.likelihood_optimum(x, structure)
    want = fo.likelihood_optimum(x.astype(np.float64), structure)
    assert got.log_likelihood.dtype == tf.float32
    np.testing.assert_array_equal(got.eigenvalues, want.eigenvalues)
    assert np.all(np.isfinite(got.eigenvalues) & (got.eigenvalues > 0))
    stream = fo.AutoCorrelation(structure, x.shape[1:])
    stream.update(x)
    values = stream.optimum(dtype=tf.float32).eigenvalues
    assert np.all(np.isfinite(values) & (values > 0))

import math

import numpy as np
import pytest
from scipy import special
from support import numpy_optimum
import tensorflow as tf

import tfp_flowopt as fo


def simulate(rng, num, n, d, **arguments):
  """Optima of `num` draws of n vectors of N(0, I_d), less the true optimum."""
  x = rng.normal(size=(num, n, d))
  got = fo.likelihood_optimum(x, **arguments).log_likelihood.numpy()
  return got + 0.5 * d * math.log(2 * math.pi * math.e)


@pytest.mark.parametrize('centered', [True, False])
@pytest.mark.parametrize('n', [15, 20, 100])  # D + 5, 2 D, 10 D
def test_wishart_simulation(rng, n, centered):
  d, num = 10, 1000
  plain = simulate(rng, num, n, d, centered=centered)
  corrected = simulate(
      rng, num, n, d, centered=centered, bias_correction=True
  )
  error = corrected.std() / math.sqrt(num)
  assert abs(corrected.mean()) < 3.5 * error
  # The bias that was there is many standard errors.
  assert plain.mean() > 10 * error
  # Both correct by one constant.
  x = rng.normal(size=(n, d))
  arguments = {'centered': centered}
  shift = (
      fo.likelihood_optimum(x, **arguments).log_likelihood
      - fo.likelihood_optimum(
          x, **arguments, bias_correction=True
      ).log_likelihood
  )
  degrees = n - centered
  want = -0.5 * (
      sum(special.digamma((degrees + 1 - i) / 2) for i in range(1, d + 1))
      + d * math.log(2 / n)
  )
  np.testing.assert_allclose(shift, want, rtol=1e-10)


@pytest.mark.parametrize(
    'size, pool, centered',
    [
        ((4, 4, 3), None, True),
        ((3, 5, 2), None, True),
        ((4, 3, 2), None, False),
        ((4, 4, 3), 2, True),
        ((4, 3, 2), 1, True),
    ],
)
def test_circulant_simulation(rng, size, pool, centered):
  d, n, num = math.prod(size), 6, 400

  def optimum(x, bias_correction):
    return fo.likelihood_optimum(
        x, 'circulant', centered, frequency_pool=pool,
        bias_correction=bias_correction,
    ).log_likelihood

  @tf.function(autograph=False)
  def corrected_optima(draws):
    return tf.map_fn(lambda x: optimum(x, True), draws)

  draws = rng.normal(size=(num, n, *size))
  corrected = corrected_optima(draws).numpy()
  corrected += 0.5 * d * math.log(2 * math.pi * math.e)
  # The correction is one constant, whatever the draw.
  first, shift = (optimum(x, False) - optimum(x, True) for x in draws[:2])
  np.testing.assert_allclose(first, shift, rtol=1e-9)
  plain = corrected + shift.numpy()
  error = corrected.std() / math.sqrt(num)
  assert abs(corrected.mean()) < 3.5 * error
  assert plain.mean() > 5 * error


def test_pointwise_corrects_each_position(rng):
  x = rng.normal(size=(3, 4, 4, 2))
  vectors = numpy_optimum.blocks(x, 2).reshape(-1, 8)
  got = fo.likelihood_optimum(
      x, 'pointwise', block_size=2, bias_correction=True
  )
  want = fo.likelihood_optimum(vectors, bias_correction=True)
  np.testing.assert_allclose(
      got.log_likelihood, 4 * want.log_likelihood, rtol=1e-12
  )


def test_standard_error_of_gaussian_data(rng):
  """sqrt(D / (2 N)), and the spread of optima of other draws."""
  n, d, num = 400, 6, 400
  spread = simulate(rng, num, n, d).std()
  stream = fo.AutoCorrelation('dense', d)
  x = rng.normal(size=(n, d))
  stream.update(x)
  error = fo.optimum.standard_error(stream.linear_flow().log_prob(x))
  np.testing.assert_allclose(error, math.sqrt(d / (2 * n)), rtol=0.15)
  np.testing.assert_allclose(error, spread, rtol=0.2)


def test_standard_error_of_dependent_positions(rng):
  """All positions of an image share a scale: few images, few data."""

  def draw(n):
    scales = np.exp(0.5 * rng.normal(size=(n, 1, 1, 1)))
    return scales * rng.normal(size=(n, 8, 8, 1))

  n = 300
  values = [
      fo.likelihood_optimum(draw(n), 'pointwise').log_likelihood.numpy()
      for _ in range(200)
  ]
  x = draw(n)
  stream = fo.AutoCorrelation('pointwise', (8, 8, 1))
  stream.update(x)
  error = fo.optimum.standard_error(stream.linear_flow().log_prob(x))
  np.testing.assert_allclose(error, np.std(values), rtol=0.5)
  # Independent positions would have a tenth of that.
  assert error > 4 * math.sqrt(64 / (2 * n))


@pytest.mark.parametrize('lipschitz', [None, (0.3, 1.5)])
@pytest.mark.parametrize('noise_variance', [0.0, 0.1])
@pytest.mark.parametrize(
    'structure, block_size, pool',
    [
        ('dense', 1, None),
        ('pointwise', 1, None),
        ('pointwise', 2, None),
        ('circulant', 1, None),
        ('circulant', 1, 2),
    ],
)
def test_linear_flow(
    rng, structure, block_size, pool, lipschitz, noise_variance
):
  x = rng.normal(size=(70, 4, 6, 2)) @ rng.normal(size=(2, 2)) + [1.0, 2.0]
  x = x + 0.5 * np.roll(x, (1, 0), axis=(1, 2))
  if structure == 'dense':
    x = x.reshape(70, -1)
  options = {'lipschitz': lipschitz, 'noise_variance': noise_variance}
  if structure == 'circulant':
    options['frequency_pool'] = pool
  stream = fo.AutoCorrelation(structure, x.shape[1:], True, block_size)
  stream.update(x)
  flow = stream.linear_flow(**options)
  best = stream.optimum(**options)
  values = flow.log_prob(x)
  assert values.shape == [70]
  np.testing.assert_allclose(
      np.mean(values), best.log_likelihood, rtol=1e-10
  )
  np.testing.assert_allclose(flow.log_det, best.log_det, rtol=1e-12)
  # New data one by one, and no better than what they could be fitted.
  new = x[:9][::-1] * 1.1 + 0.1
  together = flow.log_prob(new)
  np.testing.assert_allclose(
      together, [flow.log_prob(new[i : i + 1])[0] for i in range(9)]
  )
  with pytest.raises(tf.errors.InvalidArgumentError, match='non-finite'):
    flow.log_prob(np.full_like(x, np.nan))


@pytest.mark.parametrize(
    'structure, fitted, given',
    [
        ('pointwise', (8, 8, 3), (2, 8, 8, 1)),
        ('pointwise', (8, 8, 3), (2, 16, 16, 3)),
        ('circulant', (8, 6, 3), (2, 8, 7, 3)),
        ('circulant', (8, 6, 3), (2, 8, 6, 1)),
        ('dense', (4,), (2, 1)),
        ('dense', (4,), (2, 5, 4)),
    ],
)
@pytest.mark.parametrize('graph', [False, True])
def test_events_of_another_shape_are_refused(
    rng, structure, fitted, given, graph
):
  stream = fo.AutoCorrelation(structure, fitted)
  stream.update(rng.normal(size=(9, *fitted)))
  flow = stream.linear_flow()
  for function in (flow.log_prob, stream.update):
    if graph:
      function = tf.function(
          function,
          input_signature=[tf.TensorSpec([None] * len(given), tf.float64)],
      )
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError), match='shape'
    ):
      function(rng.normal(size=given))
  assert stream.count == 9


def test_linear_flow_is_the_gaussian(rng):
  x = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)) + 3.0
  stream = fo.AutoCorrelation('dense', 4)
  stream.update(x)
  new = rng.normal(size=(7, 4))
  covariance = np.cov(x.T, bias=True)
  z = np.linalg.solve(np.linalg.cholesky(covariance), (new - x.mean(0)).T)
  want = -0.5 * (
      (z**2).sum(0)
      + np.linalg.slogdet(covariance)[1]
      + 4 * math.log(2 * math.pi)
  )
  np.testing.assert_allclose(stream.linear_flow().log_prob(new), want)

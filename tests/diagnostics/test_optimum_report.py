import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.diagnostics import findings

tfb, tfd = tfp.bijectors, tfp.distributions


def data(rng, n):
  """Gaussian vectors with second moments of their own."""
  mix = np.array([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.3, 0.2, 0.1]])
  return rng.normal(size=(n, 3)) @ mix + [1.0, 2.0, 3.0]


def linear(x, scale=1.0, lower=0.0):
  """The flow that is optimal for x, its data scaled; bounded below."""
  values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
  values = np.maximum(values, lower)
  return tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(tf.constant(0.0, tf.float64), 1.0), 3),
      tfb.Chain([
          tfb.Shift(x.mean(0)),
          tfb.ScaleMatvecLinearOperator(
              tf.linalg.LinearOperatorFullMatrix(
                  scale * vectors * values**0.5
              )
          ),
      ]),
  )


def test_at_the_optimum(rng):
  x, y = data(rng, 2000), data(rng, 1000)
  report = fo.diagnostics.optimum_report(linear(x), x, y, bits=0)
  (baseline,) = report.baselines
  assert report.reference == baseline['name'] == 'dense'
  np.testing.assert_allclose(
      baseline['train_optimum'], fo.likelihood_optimum(x).log_likelihood
  )
  np.testing.assert_allclose(report.log_likelihood, baseline['held_out'])
  np.testing.assert_allclose(
      report.bits_per_dim, -report.log_likelihood / (3 * math.log(2))
  )
  assert abs(report.gap) < 1e-9 and abs(report.volume_balance) < 0.1
  # Its own constants are just wide enough.
  assert abs(report.price) < 1e-3
  scales = np.linalg.eigvalsh(np.cov(x.T, bias=True)) ** -0.5
  np.testing.assert_allclose(
      report.linear_range, [scales.min(), scales.max()], rtol=1e-3
  )
  text = ' '.join(str(report).split())
  for words in ('As good as', 'wide enough', 'balance:', 'linear, dense'):
    assert words in text
  np.testing.assert_allclose(
      report.standard_error, math.sqrt(1.5 / 1000), rtol=0.3
  )


def test_undertrained_and_out_of_balance(rng):
  x = data(rng, 2000)
  report = fo.diagnostics.optimum_report(linear(x, 0.5), x, bits=0)
  assert report.gap < -1 and report.gap_bits_per_dim < -0.4
  text = ' '.join(str(report).split())
  assert 'Undertrained' in text and 'expands too much' in text
  report = fo.diagnostics.optimum_report(linear(x, 3.0), x, bits=0)
  assert 'contracts too much' in ' '.join(str(report).split())
  # What one scale gains is what the gap is.
  gain = 1.5 * (report.volume_balance - math.log1p(report.volume_balance))
  np.testing.assert_allclose(gain, -report.gap, rtol=1e-6)


def test_a_bound_that_is_too_tight(rng):
  x = data(rng, 2000)
  report = fo.diagnostics.optimum_report(linear(x, lower=1.0), x, bits=0)
  np.testing.assert_allclose(report.price, -report.gap, rtol=1e-3)
  assert 'A bound is too tight' in ' '.join(str(report).split())
  # What costs more than the flow is behind is not what holds it back.
  better = dataclasses.replace(report, price=-2.0 * report.gap)
  text = ' '.join(findings.findings(better, 3))
  assert 'do not hold it back' in text and 'too tight' not in text


def test_captured_structure(rng):
  """A flow that knows the density of a Laplace: its negentropy is known."""
  x = rng.laplace(size=(20_000, 1))
  base = tfd.Sample(tfd.Laplace(tf.constant(0.0, tf.float64), 1.0), 1)
  flow = tfd.TransformedDistribution(base, tfb.Identity())
  report = fo.diagnostics.optimum_report(flow, x[:10_000], x[10_000:], bits=0)
  negentropy = 0.5 * math.log(2 * math.pi * math.e * 2) - math.log(2 * math.e)
  assert abs(report.gap - negentropy) < 4 * report.gap_standard_error
  assert 'Captured' in ' '.join(str(report).split())


def test_too_few_training_data(rng):
  x, y = rng.normal(size=(14, 10)), rng.normal(size=(500, 10))
  base = tfd.Sample(tfd.Normal(tf.constant(0.0, tf.float64), 1.0), 10)
  flow = tfd.TransformedDistribution(base, tfb.Identity())
  report = fo.diagnostics.optimum_report(flow, x, y, bits=0)
  assert 'too few training data' in ' '.join(str(report).split())


def test_images(rng):
  x = rng.normal(size=(40, 4, 4, 1)).astype(np.float32)
  x = 0.2 * x + 0.2 * np.roll(x, 1, axis=2)
  flow = fo.image_flow(
      [4, 4, 1], num_levels=1, num_steps=1, hidden_channels=4, tile_sizes=(),
      squeeze='blocks',
  )
  fo.initialize_at_optimum(flow, x)
  calls = []

  def log_prob(batch):
    calls.append(len(batch))
    return flow.log_prob(batch)

  report = fo.diagnostics.optimum_report(
      flow, x, x[:20], noise_variance=1e-4, log_prob=log_prob
  )
  assert calls == [20]
  assert [b['name'] for b in report.baselines] == [
      'pointwise 1x1',
      'pointwise 2x2',
      'pointwise 4x4',
      'individual 1x1',
      'circulant',
      'dense',
  ]
  values = {b['name']: b for b in report.baselines}
  assert (
      values['pointwise 1x1']['train_optimum']
      < values['circulant']['train_optimum']
      < values['dense']['train_optimum']
  )
  assert report.reference == max(
      (name for name in values if name != 'individual 1x1'),
      key=lambda name: values[name]['held_out'],
  )
  # The flow starts at the optimum of blocks of 2, but for the noise that linear
  # flows are fitted with: 0.013 and 0.018 for two seeds.
  np.testing.assert_allclose(
      report.log_likelihood, values['pointwise 2x2']['held_out'], atol=0.04
  )
  for b in report.baselines:
    assert b['constrained_optimum'] <= b['train_optimum'] + 1e-6
  assert 0 < report.linear_range[0] < report.linear_range[1] < math.inf


@pytest.mark.parametrize(
    'arguments, match',
    [
        ({'data': np.zeros([5, 2])}, r'`data` must have shape \[N\] \+ \[3\]'),
        ({'data': np.zeros([5, 3], np.int32)}, 'preprocessed'),
        ({'data': np.zeros([3, 3])}, 'too few'),
        ({'held_out': np.zeros([1, 3])}, '`held_out` must have shape'),
    ],
)
def test_bad_input_is_named(rng, arguments, match):
  x = data(rng, 10)
  with pytest.raises(ValueError, match=match):
    fo.diagnostics.optimum_report(linear(x), **{'data': x, **arguments})


def test_unknown_constants_are_said(rng):
  class Unknown(tfb.Identity):
    pass

  x = data(rng, 100)
  base = tfd.Sample(tfd.Normal(tf.constant(0.0, tf.float64), 1.0), 3)
  flow = tfd.TransformedDistribution(base, Unknown())
  report = fo.diagnostics.optimum_report(flow, x, bits=0)
  assert report.linear_range == [0.0, math.inf] and report.price == 0
  assert 'not known' in ' '.join(str(report).split())


def test_a_flow_that_is_broken_is_called_so(rng):
  x = data(rng, 100)

  def log_prob(batch):
    return tf.where(tf.range(len(batch)) == 7, -math.inf, tf.zeros(len(batch)))

  report = fo.diagnostics.optimum_report(
      linear(x), x, bits=0, log_prob=log_prob
  )
  (finding,) = report.findings
  assert 'Broken' in finding


def test_an_image_of_one_colour_has_no_individual_optimum(rng):
  x = rng.normal(size=(40, 4, 4, 1)).astype(np.float32)
  x[3] = 0.0
  flow = fo.image_flow([4, 4, 1], num_levels=1, num_steps=1, hidden_channels=4)
  report = fo.diagnostics.optimum_report(flow, x)
  assert 'individual 1x1' not in [b['name'] for b in report.baselines]


def test_a_table_is_reported_in_nats(rng):
  c = rng.normal(size=[600, 2])
  x = (c @ [[1.0, 2.0], [0.0, 1.0]] + rng.normal(size=[600, 2])).astype('f')
  distribution = fo.vector_flow(
      2, num_steps=1, hidden_units=4, conditioning=[2],
      gaussianize_marginals=False,
  )
  fo.initialize_at_optimum(distribution, x[:500], conditioning=c[:500])
  given = {'bijector_kwargs': {'conditioning': np.float32(c[500:])}}
  report = fo.diagnostics.optimum_report(
      distribution, x[:500], x[500:], conditioning=c[:500], **given
  )
  # Linear regression, in NumPy: the flow is that, so nothing lies between.
  design = np.concatenate([c, np.ones([600, 1])], axis=1)
  weights = np.linalg.lstsq(design[:500], x[:500], rcond=None)[0]
  residual = x - design @ weights
  covariance = residual[:500].T @ residual[:500] / 500
  held_out = np.mean(
      -0.5 * np.sum(residual[500:] @ np.linalg.inv(covariance)
                    * residual[500:], axis=1)
  ) - 0.5 * np.linalg.slogdet(2.0 * np.pi * covariance)[1]
  (row,) = report.baselines
  assert row['held_out'] == pytest.approx(held_out, abs=1e-6)
  assert report.log_likelihood == pytest.approx(held_out, abs=1e-3)
  assert report.gap == pytest.approx(0.0, abs=1e-3)
  # Without the condition the reference is what one matrix does alone.
  alone = fo.diagnostics.optimum_report(
      distribution, x[:500], x[500:], **given
  )
  assert alone.gap > 0.5
  for text in map(str, (report, alone)):
    assert 'nats' in text and 'bits' not in text and 'image' not in text
    assert f'{held_out:.3f}' in text
  assert report.bits_per_dim == pytest.approx(
      -report.log_likelihood / (2.0 * np.log(2.0))
  )
  assert 'of what the condition says and of non-Gaussian' in str(alone)
  # Without held-out data, the condition of one is that of the other.
  first, second = (
      fo.diagnostics.optimum_report(distribution, x, **kwargs)
      for kwargs in (
          {'conditioning': c},
          {'bijector_kwargs': {'conditioning': np.float32(c)}},
      )
  )
  assert first.gap == pytest.approx(second.gap, abs=1e-6)
  assert first.gap == pytest.approx(0.0, abs=0.01)
  with pytest.raises(ValueError, match=r'`conditioning`.*bijector_kwargs'):
    fo.diagnostics.optimum_report(
        distribution, x[:500], x[500:], conditioning=c[:500]
    )
  with pytest.raises(ValueError, match='one for each of 500'):
    fo.diagnostics.optimum_report(
        distribution, x[:500], x[500:], conditioning=c, **given
    )

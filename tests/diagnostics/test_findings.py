"""What a report concludes, and from how much."""

import json
import math

import numpy as np
import pytest
from scipy import stats
from support import numpy_optimum
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.diagnostics import mean_error
from tfp_flowopt.training import run_results

tfb, tfd = tfp.bijectors, tfp.distributions

# First words of what to do.
ADVICE = {'Give', 'Hold', 'If', 'Leave', 'Look', 'Register', 'Train'}


def identity(shape):
  base = tfd.Sample(tfd.Normal(tf.constant(0.0, tf.float64), 1.0), shape)
  return tfd.TransformedDistribution(base, tfb.Identity())


def normal_log_prob(fitted, x):
  """Of the normal distribution of some vectors, in NumPy."""
  covariance = np.cov(fitted.T, bias=True)
  centered = x - fitted.mean(0)
  squares = np.sum(centered @ np.linalg.inv(covariance) * centered, axis=1)
  return -0.5 * (np.linalg.slogdet(2 * np.pi * covariance)[1] + squares)


def check_advice(report):
  for finding in report.findings:
    *_, last = finding.rstrip('.').split('. ')
    assert last.split()[0] in ADVICE, finding


# How much better the flow is than the linear flow, in nats, and the deviation
# of that from image to image; of how many images, and how many independent.
@pytest.mark.parametrize(
    'shift, deviation, num, num_independent, want',
    [
        (0.3, 0.1, 100, 100, 'Captured'),
        (-0.3, 0.1, 100, 100, 'Undertrained'),
        (0.0, 0.0, 100, 100, 'As good'),
        (0.3, 3.0, 100, 100, 'Undecided'),
        (-0.3, 3.0, 100, 100, 'Undecided'),
        # What a hundred images show, a hundred parts of few do not.
        (0.4, 0.1, 100, 2, 'Undecided'),
        (-0.4, 0.1, 100, 2, 'Undecided'),
        (0.3, 0.1, 100, 1, 'Undecided'),
        (77.0, 0.1, 4, 4, 'Captured'),
        (-77.0, 60.0, 4, 4, 'Undecided'),
        (0.0, 0.0, 100, 1, 'Undecided'),
    ],
)
def test_a_conclusion_takes_enough_images(
    shift, deviation, num, num_independent, want, rng
):
  x = rng.normal(size=[300, 3])
  held_out = rng.normal(size=[num, 3])
  linear = normal_log_prob(x, held_out)
  flow = linear + shift + deviation * np.resize([1.0, -1.0], num)
  report = fo.diagnostics.optimum_report(
      identity([3]),
      x,
      held_out,
      bits=0,
      log_prob=lambda _: tf.constant(flow),
      num_held_out=num_independent,
  )
  assert report.findings[0].startswith(want)
  check_advice(report)
  # One sign and one unit: bits/dim, and positive is better.
  unit = 3 * math.log(2.0)
  (row,) = report.baselines
  assert report.gain_bits_per_dim == pytest.approx(shift / unit, abs=1e-9)
  assert report.gain_bits_per_dim == pytest.approx(
      row['held_out_bits_per_dim'] - report.bits_per_dim, abs=1e-9
  )
  assert report.gap_bits_per_dim == report.gain_bits_per_dim
  assert report.gap == pytest.approx(shift, abs=1e-9)
  # Errors count what is independent.
  assert report.num_held_out == num
  few = num_independent < 20
  assert few == any(f.startswith('Only') for f in report.findings)
  for got, values, size in (
      (report.gain_standard_error_bits_per_dim, flow - linear, unit),
      (report.gap_standard_error, flow - linear, 1.0),
      (report.standard_error, flow, 1.0),
      (report.standard_error_bits_per_dim, flow, unit),
      (row['held_out_standard_error_bits_per_dim'], linear, unit),
      (report.volume_balance_standard_error, (held_out**2).mean(1), 1.0),
  ):
    error = math.nan
    if num_independent > 1:
      error = np.std(values) / math.sqrt(num_independent - 1) / size
    assert got == pytest.approx(error, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize('excess, said', [(0.5, True), (-0.5, False)])
def test_what_is_fitted_to_each_image_is_no_rival(excess, said, rng):
  """Images of very different contrast: each knows its own."""
  x = rng.normal(size=[60, 4, 4, 1]) * np.exp(rng.normal(size=[60, 1, 1, 1]))
  held_out = x[30:]
  # In bits/dim, of vectors of one channel.
  individual = -np.mean(
      [numpy_optimum.optimum(image.reshape(-1, 1))[0] for image in held_out]
  ) / math.log(2.0)
  flow = -16 * math.log(2.0) * (individual + excess)
  report = fo.diagnostics.optimum_report(
      identity([4, 4, 1]),
      x[:30],
      held_out,
      bits=0,
      log_prob=lambda batch: tf.fill([len(batch)], tf.constant(flow)),
  )
  rows = {row['name']: row for row in report.baselines}
  mine = rows['individual 1x1']['held_out_bits_per_dim']
  assert mine == pytest.approx(individual)
  others = {k: v for k, v in rows.items() if k != 'individual 1x1'}
  assert mine < min(row['held_out_bits_per_dim'] for row in others.values())
  assert report.reference == min(
      others, key=lambda name: others[name]['held_out_bits_per_dim']
  )
  # Said where a reader would wonder.
  assert (report.bits_per_dim > mine) == said
  assert said == any(
      'individual 1x1' in finding and 'left out' in finding
      for finding in report.findings
  )
  check_advice(report)


@pytest.mark.parametrize('num_data, marked', [(None, False), (25, True)])
def test_few_vectors_are_marked(num_data, marked, rng):
  x = rng.normal(size=[400, 3])
  report = fo.diagnostics.optimum_report(
      identity([3]), x, x[:50], bits=0, num_data=num_data
  )
  (row,) = report.baselines
  assert row['vectors_per_dim'] == (num_data or 400) / 3
  assert marked == ('dense !' in str(report))


def test_too_few_vectors_are_refused(rng):
  x = rng.normal(size=[400, 3])
  with pytest.raises(ValueError, match='too few'):
    fo.diagnostics.optimum_report(identity([3]), x, x, num_data=3)


@pytest.mark.parametrize('name', ['num_data', 'num_held_out'])
@pytest.mark.parametrize('number', [0, 41])
def test_numbers_out_of_range_are_named(name, number, rng):
  x = rng.normal(size=[40, 3])
  with pytest.raises(ValueError, match=name):
    fo.diagnostics.optimum_report(identity([3]), x, x, **{name: number})


def test_nothing_held_out_is_said(rng):
  x = rng.normal(size=[40, 3])
  report = fo.diagnostics.optimum_report(identity([3]), x, bits=0)
  assert any('Nothing was held out' in f for f in report.findings)
  check_advice(report)


@pytest.mark.parametrize('scale', [0.3, 3.0])
@pytest.mark.parametrize('num_independent', [200, 2])
def test_balance_takes_enough_images(scale, num_independent, rng):
  """Images of two kinds, whose latents are of very different size."""
  factors = scale * np.repeat([0.5, 1.5], 100)[:, np.newaxis]
  x = factors * rng.normal(size=[200, 3])
  report = fo.diagnostics.optimum_report(
      identity([3]), x, x, bits=0, num_held_out=num_independent
  )
  assert report.volume_balance == pytest.approx(np.mean(x**2) - 1.0)
  text = ' '.join(report.findings)
  words = {0.3: 'contracts too much', 3.0: 'expands too much'}
  assert (words[scale] in text) == (num_independent == 200)
  assert ('contraction are undecided' in text) == (num_independent == 2)
  check_advice(report)


@pytest.mark.parametrize('num', [2, 3, 10, 20, 5000])
def test_margins_are_those_of_students_t(num):
  want = stats.t.ppf(1.0 - 0.0027 / 2.0, num - 1)
  assert mean_error.error_margin(0.5, num) == pytest.approx(0.5 * want)


def test_errors_of_repeated_images():
  values = np.array([1.0, 4.0, 6.0])
  once = stats.sem(values)
  for times in (1, 2, 7):
    got = mean_error.standard_error(np.tile(values, times), 3)
    assert got == pytest.approx(once)
  assert math.isnan(mean_error.standard_error(values, 1))
  assert math.isnan(mean_error.error_margin(math.nan, 1))


def test_json_has_none_where_there_is_no_error(rng):
  x = rng.normal(size=[40, 3])
  report = fo.diagnostics.optimum_report(
      identity([3]), x, x, bits=0, num_held_out=1
  )
  assert math.isnan(report.standard_error)
  summary = run_results.RunResults(identity([3]), report, None, None).summary()
  assert json.loads(json.dumps(summary, allow_nan=False)) == summary
  assert summary['report']['standard_error'] is None
  assert summary['report']['gap'] == report.gap


def test_a_reference_that_overfits_says_nothing_of_structure(rng):
  x = (rng.normal(size=[500, 4]) @ rng.normal(size=[4, 4])).astype(np.float32)
  flow = fo.vector_flow(4, num_steps=1, hidden_units=2)
  fo.initialize_at_optimum(flow, x[:400])
  report = fo.diagnostics.optimum_report(flow, x[:5], x[400:])
  assert 'says nothing of non-Gaussian' in report.findings[0]
  assert 'Captured' not in str(report)

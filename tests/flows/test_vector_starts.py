"""Which curves a flow of vectors starts with."""

import numpy as np
import pytest
from sklearn import datasets

import tfp_flowopt as fo


def started(x, c=None, **kwargs):
  """A flow at its start, checked against its prediction."""
  x = x.astype(np.float32)
  conditioning = None
  if c is not None:
    conditioning = 3 if c.dtype.kind == 'i' else [c.shape[1]]
  distribution = fo.vector_flow(
      x.shape[1], 1, 2, conditioning=conditioning, **kwargs
  )
  predicted = fo.initialize_at_optimum(distribution, x, conditioning=c)
  given = {} if c is None else {'conditioning': c}
  measured = np.mean(distribution.log_prob(x, bijector_kwargs=given))
  assert measured == pytest.approx(predicted, abs=2e-3)
  return distribution.bijector, predicted


def bends(curves):
  """Whether one of the curves is no line."""
  slopes = np.diff(curves.outputs) / np.diff(curves.inputs)
  return bool(np.any(np.ptp(slopes, axis=1) > 0.01 * slopes.mean(axis=1)))


def skewed(rng, num):
  return np.exp(rng.normal(size=[num, 2])) @ np.eye(2, 3, 0) + (
      0.1 * rng.normal(size=[num, 3])
  )


def test_small_tables_take_what_gains(rng):
  x = skewed(rng, 150)
  flow, predicted = started(x)
  assert bends(flow.marginals)
  without, less = started(x, gaussianize_marginals=False)
  assert without.marginals is None and less < predicted


def test_curves_that_lose_are_left_out(rng):
  # The sum is linear, of columns that are not normal.
  x = skewed(rng, 200)
  x[:, 2] = x[:, 0] + x[:, 1] + 1e-3 * rng.normal(size=200)
  flow, predicted = started(x, gaussianize_radius=False)
  assert not bends(flow.marginals)
  forced, less = started(
      x, gaussianize_radius=False, gaussianize_marginals=True
  )
  assert bends(forced.marginals) and less < predicted


def test_large_tables_want_more():
  x, _ = datasets.make_moons(3000, noise=0.05, random_state=0)
  assert not bends(started(x)[0].marginals)
  assert bends(started(x[:150])[0].marginals)
  assert bends(started(x, gaussianize_marginals=True)[0].marginals)
  # Nothing but a curve makes these normal.
  far = np.exp(2.0 * np.random.default_rng(0).normal(size=[3000, 2]))
  assert bends(started(far)[0].marginals)


def test_curves_of_features_are_for_what_they_predict(rng):
  scale = rng.normal(size=[2000, 2])
  x = scale @ rng.normal(size=[2, 3]) + 0.5 * rng.normal(size=[2000, 3])
  flow, predicted = started(x, np.exp(scale).astype(np.float32))
  assert bends(flow.condition_curves)
  # As good as the logarithms, nearly.
  straight, best = started(x, scale.astype(np.float32))
  assert not bends(straight.condition_curves)
  linear = fo.likelihood_optimum(x, conditioning=np.exp(scale)).log_likelihood
  assert linear + 0.5 < predicted < best + 0.1
  assert predicted > best - 0.5


def test_labels_and_constant_features_are_no_trouble(rng):
  x = rng.normal(size=[300, 2])
  flow, _ = started(x, rng.integers(3, size=300))
  assert not bends(flow.condition_curves)
  features = np.stack([np.full(300, 7.0), x[:, 0]], 1).astype(np.float32)
  flow, _ = started(x, features)
  assert np.all(np.isfinite(flow.shift.matrix))


@pytest.mark.parametrize('value', [2, 'yes'])
def test_choices_are_checked(value):
  with pytest.raises(ValueError, match='gaussianize_marginals'):
    fo.vector_flow(2, gaussianize_marginals=value)
  with pytest.raises(ValueError, match='gaussianize_radius'):
    fo.vector_flow(2, gaussianize_radius=None)


@pytest.mark.parametrize(('noise', 'is_bent'), [(0.6, False), (0.2, True)])
def test_curves_of_features_are_there_where_they_tell_much(noise, is_bent, rng):
  """Of y = log(c) / 2 they are worth 0.14 and 0.69 nats."""
  normal = rng.normal(size=[2000, 1])
  y = normal + noise * rng.normal(size=[2000, 1])
  c = np.exp(0.5 * normal)
  distribution = fo.vector_flow(
      1, num_steps=1, hidden_units=2, conditioning=[1]
  )
  predicted = fo.initialize_at_optimum(
      distribution, y.astype(np.float32), conditioning=c.astype(np.float32)
  )
  assert bends(distribution.bijector.condition_curves) == is_bent
  # The correlation of n and e^(n / 2).
  explained = 0.25 / np.expm1(0.25)
  rest = noise**2 + (0.0 if is_bent else 1.0 - explained)
  expected = -0.5 * np.log(2.0 * np.pi * np.e * rest)
  assert predicted == pytest.approx(expected, abs=0.06)

"""Flows of vectors, from their closed-form start on."""

import math

import numpy as np
import pytest
from support import jacobians
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_flowopt as fo

tfb = tfp.bijectors
SMALL = {'num_steps': 2, 'hidden_units': 8}
LINEAR = {'gaussianize_marginals': False, 'gaussianize_radius': False}
KINDS = ['affine', 'spline', 'autoregressive', 'residual', 'convex']
# Their `forward` is a solve.
SOLVED = ('residual', 'convex')


def data(rng, num=400, size=3):
  """Vectors that depend on a condition, not normal, some of them correlated."""
  c = rng.normal(size=[num, 2])
  noise = rng.normal(size=[num, size]) @ rng.normal(size=[size, size])
  x = noise + c @ rng.normal(size=[2, size])
  x[:, 0] = np.exp(0.5 * x[:, 0])
  return x.astype(np.float32), c.astype(np.float32)


def moved(distribution, scale=0.1):
  """The same with weights that were trained, as it were."""
  registry.randomize(distribution.bijector.steps, scale)
  return distribution


@pytest.mark.parametrize('coupling', KINDS)
@pytest.mark.parametrize('conditioning', [None, [2], 3])
def test_log_prob_is_that_of_the_jacobian(coupling, conditioning, rng):
  distribution = moved(
      fo.vector_flow(
          3, coupling=coupling, conditioning=conditioning, dtype=tf.float64,
          **SMALL,
      )
  )
  flow = distribution.bijector
  y = tf.constant(rng.normal(size=[4, 3]))
  c = {
      None: None, 3: tf.constant([0, 2, 1, 2]),
  }.get(conditioning if conditioning in (None, 3) else 0, tf.constant(
      rng.normal(size=[4, 2])
  ))
  kwargs = {} if conditioning is None else {'conditioning': c}
  x = flow.inverse(y, **kwargs)
  jacobian = jacobians.jacobian_of(
      lambda y, *c: flow.inverse(y, **dict(zip(kwargs, c, strict=True)))
  )(y, *kwargs.values())
  expected = distribution.distribution.log_prob(x) + np.linalg.slogdet(
      jacobian
  )[1]
  np.testing.assert_allclose(
      distribution.log_prob(y, bijector_kwargs=kwargs), expected, rtol=1e-9
  )
  back = flow.forward(tf.identity(x), **kwargs)
  np.testing.assert_allclose(back, y, atol=1e-6 if coupling in SOLVED else
                             1e-10)
  # Within the certificate, in both directions.
  constants = fo.lipschitz.lipschitz_bounds(flow)
  singular = np.linalg.svd(jacobian, compute_uv=False)
  assert singular.max() <= constants.inverse
  assert 1.0 / singular.min() <= constants.forward
  samples = distribution.sample(4, seed=[0, 1], bijector_kwargs=kwargs)
  assert samples.shape == [4, 3] and np.all(np.isfinite(samples))


@pytest.mark.parametrize('coupling', KINDS)
def test_the_start_is_what_is_predicted(coupling, rng):
  x, c = data(rng, num=600)
  values = []
  for kwargs in (
      LINEAR,
      {**LINEAR, 'conditioning': [2]},
      {'conditioning': [2]},
  ):
    distribution = fo.vector_flow(3, coupling=coupling, **SMALL, **kwargs)
    given = c if 'conditioning' in kwargs else None
    predicted = fo.initialize_at_optimum(distribution, x, conditioning=given)
    measured = np.mean(
        distribution.log_prob(
            x, bijector_kwargs={} if given is None else {'conditioning': given}
        )
    )
    assert measured == pytest.approx(predicted, abs=1e-3)
    assert distribution.bijector.initialized
    values.append(predicted)
  # Without curves it is the optimum of linear flows, known from elsewhere.
  covariance = np.cov(x.T, bias=True)
  optimum = -0.5 * (
      3 * math.log(2 * math.pi * math.e) + np.linalg.slogdet(covariance)[1]
  )
  assert values[0] == pytest.approx(optimum, abs=1e-3)
  conditional = fo.likelihood_optimum(x, conditioning=c).log_likelihood
  assert values[1] == pytest.approx(float(conditional), abs=1e-3)
  # Curves make more of a column that is not normal.
  assert values[0] < values[1] - 0.1 < values[2] - 0.2


def test_labels_start_at_the_means_of_their_classes(rng):
  labels = rng.integers(3, size=600)
  means = np.array([[0.0, 5.0], [4.0, -4.0], [-3.0, 0.0]])
  x = (means[labels] + rng.normal(size=[600, 2])).astype(np.float32)
  distribution = fo.vector_flow(
      2, conditioning=3, gaussianize_marginals=False, **SMALL
  )
  fo.initialize_at_optimum(distribution, x, conditioning=labels)
  for k in range(3):
    z = distribution.bijector.inverse(
        x[labels == k].mean(axis=0), conditioning=k
    )
    np.testing.assert_allclose(z, np.zeros(2), atol=1e-4)


@pytest.mark.parametrize(
    ('support', 'draw'),
    [
        (tfb.Sigmoid(-1.0, 3.0), lambda rng: rng.uniform(-0.9, 2.9, [300, 3])),
        (tfb.Exp(), lambda rng: rng.gamma(2.0, size=[300, 3])),
        (
            tfb.SoftmaxCentered(),
            lambda rng: rng.dirichlet([2.0, 3.0, 4.0], size=300),
        ),
    ],
)
def test_a_support_is_kept(support, draw, rng):
  x = draw(rng).astype(np.float32)
  distribution = moved(fo.vector_flow(3, support=support, **SMALL), 0.01)
  assert distribution.event_shape == [3]
  predicted = fo.initialize_at_optimum(distribution, x)
  samples = distribution.sample(100, seed=[0, 1])
  assert samples.shape == [100, 3]
  assert np.all(np.isfinite(distribution.log_prob(samples)))
  flow = distribution.bijector
  np.testing.assert_allclose(
      flow.forward(tf.identity(flow.inverse(x))), x, rtol=1e-3, atol=1e-4
  )
  # Steps were moved a little, so it is not exact.
  assert np.mean(distribution.log_prob(x)) == pytest.approx(predicted, abs=1.0)
  assert max(fo.lipschitz.lipschitz_bounds(flow)) == math.inf
  with pytest.raises(ValueError, match='support of the flow'):
    fo.initialize_at_optimum(
        fo.vector_flow(3, support=support, **SMALL), -2.0 - x
    )


@pytest.mark.parametrize('coupling', ['spline', 'convex'])
def test_a_conditional_flow_learns(coupling, rng):
  """Mean and scale depend on the condition; the truth is known."""
  c = rng.uniform(-1, 1, [1500, 1])
  scale = np.exp(c)
  x = np.concatenate([np.sin(3 * c), c**2], 1) + scale * rng.normal(
      size=[1500, 2]
  )
  truth = -math.log(2 * math.pi) - 1.0 - 2 * np.mean(c)
  x, c = x.astype(np.float32), c.astype(np.float32)
  distribution = fo.vector_flow(2, conditioning=[1], num_steps=2,
                                hidden_units=16, coupling=coupling)
  start = fo.initialize_at_optimum(distribution, x, conditioning=c)
  result = fo.training.fit(
      distribution, x, c, train_steps=400, learning_rate=5e-3, quiet=True
  )
  assert result.validation > start + 0.1
  values = distribution.log_prob(x, bijector_kwargs={'conditioning': c})
  assert truth - 0.15 < np.mean(values) < truth + 0.15


@pytest.mark.parametrize('coupling', ['spline', 'convex'])
def test_it_is_exported_and_served(coupling, rng, tmp_path):
  x, c = data(rng, 50)
  distribution = moved(
      fo.vector_flow(3, conditioning=[2], coupling=coupling, **SMALL)
  )
  with pytest.raises(ValueError, match='not initialised'):
    fo.export.save(distribution, tmp_path / 'flow')
  fo.initialize_at_optimum(distribution, x, conditioning=c)
  fo.export.save(distribution, tmp_path / 'flow')
  served = tf.saved_model.load(str(tmp_path / 'flow')).signatures
  x, c = tf.constant(x), tf.constant(c)
  kwargs = {'conditioning': c}
  np.testing.assert_allclose(
      served['log_prob'](x=x, conditioning=c)['log_prob'],
      distribution.log_prob(x, bijector_kwargs=kwargs),
      rtol=1e-4,
      atol=1e-4,
  )
  latents = served['encode'](x=x, conditioning=c)['latents']
  back = served['decode'](latents=latents, conditioning=c)['x']
  np.testing.assert_allclose(back, x, rtol=1e-3, atol=1e-3)
  seed = tf.constant([0, 1])
  samples = served['sample'](
      seed=seed, temperature=tf.constant(1.0), conditioning=c
  )['x']
  np.testing.assert_allclose(
      samples,
      fo.flows.sample_at_temperature(distribution, 50, seed, 1.0, kwargs),
      rtol=1e-3,
      atol=1e-3,
  )


def test_it_works_inside_of_tfp(rng):
  x, _ = data(rng, 20)
  distribution = moved(fo.vector_flow(3, **SMALL))
  flow = distribution.bijector
  log_prob = distribution.log_prob(x)
  chain = tfb.Chain([tfb.Shift(1.0), flow])
  shifted = tfp.distributions.TransformedDistribution(
      distribution.distribution, chain
  )
  np.testing.assert_allclose(
      shifted.log_prob(x + 1.0), log_prob, rtol=1e-4, atol=1e-4
  )
  joint = tfp.distributions.JointDistributionNamed({
      'x': distribution,
      'y': lambda x: tfp.distributions.Normal(x[..., 0], 1.0),
  })
  draws = joint.sample(5, seed=[0, 1])
  assert draws['x'].shape == [5, 3] and draws['y'].shape == [5]
  assert joint.log_prob(draws).shape == [5]
  # Sampling is explicit the other way round, for a surrogate posterior.
  target = tfp.distributions.MultivariateNormalDiag([1.0, 2.0, 3.0])
  surrogate = tfp.distributions.TransformedDistribution(
      distribution.distribution, tfb.Invert(flow)
  )
  losses = tfp.vi.fit_surrogate_posterior(
      target.log_prob,
      surrogate,
      optimizer=tf_keras.optimizers.Adam(0.05),
      num_steps=30,
      sample_size=16,
      seed=[0, 1],
  )
  assert np.all(np.isfinite(losses)) and losses[-1] < losses[0] - 1.0


@pytest.mark.parametrize('coupling', ['spline', 'convex'])
def test_copies_checkpoints_and_frozen_weights(coupling, rng, tmp_path):
  x, c = data(rng, 50)
  kwargs = {**SMALL, 'coupling': coupling, 'conditioning': [2]}
  given = {'conditioning': c}
  first = moved(fo.vector_flow(3, **kwargs))
  fo.initialize_at_optimum(first, x, conditioning=c)
  path = tf.train.Checkpoint(first).write(str(tmp_path / 'flow'))
  second = fo.vector_flow(3, seed=1, **kwargs)
  tf.train.Checkpoint(second).read(path).assert_consumed()
  expected = first.log_prob(x, bijector_kwargs=given)
  np.testing.assert_array_equal(
      second.log_prob(x, bijector_kwargs=given), expected
  )
  with fo.parameters.frozen(second):
    np.testing.assert_allclose(
        second.log_prob(x, bijector_kwargs=given), expected, atol=1e-4
    )
  copy = first.bijector.copy(name='other')
  np.testing.assert_array_equal(
      copy.inverse(x, **given), first.bijector.inverse(tf.identity(x), **given)
  )


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'event_size': 0}, '`event_size`'),
        ({'coupling': 'other'}, "'autoregressive', 'residual', 'convex'"),
        ({'conditioning': 'c'}, '`conditioning`'),
        ({'support': 3}, '`support`'),
        ({'lipschitz_budget': -1.0}, '`lipschitz_budget`'),
        ({'hidden_units': 3}, 'must be even'),
        ({'num_steps': -1}, '`num_steps`'),
        ({'dtype': tf.bfloat16}, '`dtype`'),
        (
            {'conditioner_lipschitz': 2.0, 'lipschitz_budget': 1.0},
            '`conditioner_lipschitz`',
        ),
        (
            {'conditioner_lipschitz': 2.0, 'coupling': 'residual'},
            '`conditioner_lipschitz`',
        ),
        (
            {'conditioner_lipschitz': 2.0, 'coupling': 'convex'},
            '`conditioner_lipschitz`',
        ),
    ],
)
def test_arguments_are_checked(changes, message):
  with pytest.raises(ValueError, match=message):
    fo.vector_flow(**{'event_size': 3, **changes})


def test_data_are_checked(rng):
  x, c = data(rng, 20)
  distribution = fo.vector_flow(3, conditioning=[2], **SMALL)
  initialize = fo.initialize_at_optimum
  for arguments, message in (
      ((x[:, :2], c), r'`data` must have shape \[N\] \+ \[3\]'),
      ((x, None), '`conditioning`'),
      ((x, c[:, :1]), '`conditioning`'),
      ((x, c[:5]), 'one for each of the 20'),
      ((np.full_like(x, np.nan), c), '`data` must be finite'),
  ):
    with pytest.raises(ValueError, match=message):
      initialize(distribution, arguments[0], conditioning=arguments[1])
    assert not distribution.bijector.initialized
  initialize(distribution, x, conditioning=c)
  with pytest.raises(ValueError, match='initialised already'):
    initialize(distribution, x, conditioning=c)
  with pytest.raises(ValueError, match='`conditioning`'):
    distribution.log_prob(x)
  with pytest.raises(ValueError, match='made without'):
    fo.vector_flow(3, **SMALL).bijector.inverse(x, conditioning=c)


def test_in_the_plane_whitening_and_steps_keep_the_axes():
  """Sharp columns and rows stay so: each step moves one axis by the other."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=[500, 2]) @ [[2.0, 0.5], [0.5, 1.0]]
  x = x.astype(np.float32)
  distribution = fo.vector_flow(2, num_steps=2, num_bins=8)
  fo.initialize_at_optimum(distribution, x)
  flow = distribution.bijector
  points = np.float32([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
  y = flow.whiten.inverse(points).numpy()
  matrix = y[1:] - y[0]
  np.testing.assert_allclose(matrix, matrix.T, atol=1e-5)
  assert np.all(np.linalg.eigvalsh(matrix) > 0)
  turned = flow.steps.inverse(points[:2] - points[0]).numpy()
  # Two quarter turns, and couplings that are the identity.
  np.testing.assert_allclose(turned, -(points[:2] - points[0]), atol=1e-5)

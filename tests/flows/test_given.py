"""Distributions that have their conditions."""

import numpy as np
import pytest
from support import registry
from support import runs
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfd, tfb = tfp.distributions, tfp.bijectors


def vectors(**kwargs):
  """A flow given three features, with weights that were trained, as it were."""
  kwargs = {'conditioning': [3], 'dtype': tf.float64, **kwargs}
  flow = fo.vector_flow(2, 2, 4, **kwargs)
  registry.randomize(flow.bijector.steps, 0.5)
  return flow


def images():
  flow = fo.image_flow(
      [4, 4, 1], num_levels=1, num_steps=1, hidden_channels=4, conditioning=3
  )
  registry.randomize(flow.bijector.levels[0].repeated_steps, 0.3)
  return flow


def kwargs(c):
  return {'bijector_kwargs': {'conditioning': c}}


def test_it_is_what_keyword_arguments_give(rng):
  flow, c = vectors(), rng.normal(size=[3])
  given = fo.flows.given(flow, c)
  assert given.batch_shape == [] and given.event_shape == [2]
  draws = given.sample(5, seed=[0, 1])
  np.testing.assert_allclose(draws, flow.sample(5, seed=[0, 1], **kwargs(c)))
  np.testing.assert_allclose(
      given.log_prob(draws), flow.log_prob(draws, **kwargs(c))
  )
  draws, log_prob = given.experimental_sample_and_log_prob(5, seed=[0, 2])
  np.testing.assert_allclose(log_prob, given.log_prob(draws))


@pytest.mark.parametrize('compiled', [False, True])
def test_a_batch_of_conditions_is_a_batch_of_distributions(compiled, rng):
  flow, c = vectors(), rng.normal(size=[2, 4, 3])
  given = fo.flows.given(flow, c)
  assert given.batch_shape == [2, 4] and given.event_shape == [2]
  call = (lambda f: tf.function(f, autograph=False)) if compiled else (
      lambda f: f
  )
  draws = call(lambda: given.sample(5, seed=[0, 1]))()
  assert draws.shape == [5, 2, 4, 2]
  assert given.sample(seed=[0, 1]).shape == [2, 4, 2]
  # One event, one for each of the last four, and all of them.
  for x in (draws[0, 0, 0], draws[0, 0], draws[0], draws):
    found = call(given.log_prob)(x)
    assert found.shape == np.broadcast_shapes([2, 4], x.shape[:-1])
    x = np.broadcast_to(x, [*found.shape, 2])
    for i in range(2):
      for j in range(4):
        np.testing.assert_allclose(
            found[..., i, j],
            flow.log_prob(x[..., i, j, :], **kwargs(c[i, j])),
            rtol=1e-9,
        )


def test_conditions_of_a_size_that_is_not_known(rng):
  flow = vectors()

  @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float64)],
               autograph=False)
  def log_prob(c):
    return fo.flows.given(flow, c).log_prob(tf.ones([2], tf.float64))

  c = rng.normal(size=[5, 3])
  np.testing.assert_allclose(
      log_prob(c), fo.flows.given(flow, c).log_prob(np.ones([2]))
  )


@pytest.mark.parametrize('labels', [1, [0, 2]])
def test_images_of_a_class(labels):
  flow = images()
  given = fo.flows.given(flow, labels)
  batch = list(np.shape(labels))
  assert given.batch_shape == batch and given.event_shape == [4, 4, 1]
  draws = given.sample(3, seed=[0, 1])
  assert draws.shape == [3, *batch, 4, 4, 1]
  np.testing.assert_allclose(
      given.log_prob(draws), flow.log_prob(draws, **kwargs(labels)), rtol=1e-5
  )


def test_parts_of_joint_distributions_and_mixtures(rng):
  flow = vectors()
  prior = tfd.Sample(tfd.Normal(np.float64(0.0), 1.0), 3)
  for cls in (
      tfd.JointDistributionSequential,
      tfd.JointDistributionSequentialAutoBatched,
  ):
    model = cls([prior, lambda c: fo.flows.given(flow, c)])
    c, x = model.sample(6, seed=1)
    np.testing.assert_allclose(
        model.log_prob([c, x]),
        prior.log_prob(c) + flow.log_prob(x, **kwargs(c)),
    )
  c = rng.normal(size=[4, 3])
  mixture = tfd.MixtureSameFamily(
      tfd.Categorical(logits=np.zeros(4)), fo.flows.given(flow, c)
  )
  x = rng.normal(size=[7, 2])
  parts = [flow.log_prob(x, **kwargs(own)) for own in c]
  expected = tf.reduce_logsumexp(parts, axis=0) - np.log(4.0)
  np.testing.assert_allclose(mixture.log_prob(x), expected)


def test_weights_gradients_and_constants_are_those_of_the_flow(rng):
  flow, c = vectors(), rng.normal(size=[5, 3])
  x = rng.normal(size=[5, 2])
  given = fo.flows.given(flow, c)
  assert {v.ref() for v in given.trainable_variables} == {
      v.ref() for v in flow.trainable_variables
  }
  gradients = []
  for log_prob in (given.log_prob, lambda x: flow.log_prob(x, **kwargs(c))):
    with tf.GradientTape() as tape:
      total = tf.reduce_sum(log_prob(x))
    gradients.append(tape.gradient(total, flow.trainable_variables))
  for a, b in zip(*gradients, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
  assert fo.lipschitz.lipschitz_bounds(
      given.bijector
  ) == fo.lipschitz.lipschitz_bounds(flow.bijector)
  expected = fo.diagnostics.certified_log_prob(flow, x, 0.01, c)
  found = fo.diagnostics.certified_log_prob(given, x, 0.01)
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_allclose(a, b)
  np.testing.assert_allclose(given.copy().log_prob(x), given.log_prob(x))


def test_inside_of_bijectors_of_tfp(rng):
  flow, c = vectors().bijector, rng.normal(size=[3])
  base = tfd.MultivariateNormalDiag(np.zeros(2))
  x = rng.normal(size=[5, 2])
  chain = tfd.TransformedDistribution(
      base, tfb.Chain([tfb.Shift(np.ones(2)), flow])
  )
  expected = chain.log_prob(
      x, bijector_kwargs={flow.name: {'conditioning': c}}
  )
  np.testing.assert_allclose(fo.flows.given(chain, c).log_prob(x), expected)


def test_what_does_not_fit(rng):
  with pytest.raises(ValueError, match='`bijector`: vector_flow has no cond'):
    fo.flows.given(vectors(conditioning=None), np.zeros([3]))
  for wrong in (None, 0.0, np.zeros([2]), 'a'):
    with pytest.raises(ValueError, match='`conditioning` must be features of'):
      fo.flows.given(vectors(), wrong)
  network = fo.networks.DenseConditioner(1, 4, 1, conditioning_features=3)
  coupling = tfd.TransformedDistribution(
      tfd.MultivariateNormalDiag(tf.zeros(2)),
      fo.bijectors.AdditiveCoupling(network, event_ndims=1),
  )
  with pytest.raises(ValueError, match='`conditioning` must have 1 dimensions'):
    fo.flows.given(coupling, 0.0)
  with pytest.raises(ValueError, match='a TransformedDistribution'):
    fo.flows.given(tfd.Normal(0.0, 1.0), 0)


@pytest.mark.parametrize('make, c', [(vectors, [0.5, -1.0, 2.0]), (images, 2)])
def test_it_is_exported_as_a_flow_without_a_condition(make, c, tmp_path):
  flow = make(**({'dtype': tf.float32} if make is vectors else {}))
  flow.bijector.mark_initialized()
  given = fo.flows.given(flow, c)
  fo.export.save(given, tmp_path / 'model')
  served = tf.saved_model.load(str(tmp_path / 'model')).signatures
  latents = given.distribution.sample(4, seed=[0, 1])
  (x,) = served['decode'](latents=latents).values()
  if make is vectors:
    np.testing.assert_allclose(x, given.bijector.forward(latents), atol=1e-5)
    found = served['log_prob'](x=x)['log_prob']
    np.testing.assert_allclose(found, given.log_prob(x), atol=1e-4)
  else:
    expected = fo.data.quantize(given.bijector.forward(latents))
    np.testing.assert_array_equal(x, expected)


def test_it_is_trained_as_a_flow_without_a_condition(rng, tmp_path):
  flow, x = vectors(dtype=tf.float32), rng.normal(size=[200, 2])
  given = fo.flows.given(flow, [0.5, -1.0, 2.0])
  x = (3.0 + x).astype(np.float32)
  before = np.mean(given.log_prob(x))
  result = fo.training.fit(
      given, x, train_steps=30, learning_rate=1e-2, quiet=True
  )
  assert result.validation > before + 0.1
  data = tf.data.Dataset.from_tensor_slices(x)
  config = fo.training.TrainConfig(
      train_steps=2, batch_size=8, eval_every=2, tensorboard=False
  )
  with runs.no_pictures():
    summary = fo.training.Trainer(given, data, data, tmp_path, config).train()
  assert np.isfinite(summary['held_out_nll'])


def test_a_copy_may_have_another_condition(rng):
  c, x = rng.normal(size=[2, 3]), rng.normal(size=[4, 2])
  given = fo.flows.given(vectors(), list(c[0]))
  other = given.bijector.copy(conditioning=c[1])
  np.testing.assert_array_equal(other.condition, c[1])
  np.testing.assert_allclose(
      other.inverse(x), given.bijector.bijector.inverse(x, conditioning=c[1])
  )


def test_data_are_of_one_distribution(rng, tmp_path):
  x, c = rng.normal(size=[20, 2]), rng.normal(size=[2, 3])
  flow = vectors()
  flow.bijector.mark_initialized()
  batch, one = (fo.flows.given(flow, part) for part in (c, c[0]))
  for call in (
      lambda: fo.training.fit(batch, x),
      lambda: fo.export.save(batch, tmp_path / 'model'),
      lambda: fo.diagnostics.optimum_report(batch, x),
      lambda: fo.training.Trainer(
          batch, x, x, tmp_path, fo.training.TrainConfig()
      ),
  ):
    with pytest.raises(ValueError, match='must be a single one, got a batch'):
      call()
  with pytest.raises(ValueError, match='give the distribution that `given`'):
    fo.initialize_at_optimum(one, x)
  with pytest.raises(ValueError, match='given is conditioned on nothing'):
    fo.training.fit(one, x, np.zeros([20, 3]))


def test_draws_at_a_temperature_are_those_of_each_condition():
  flow = fo.vector_flow(3, num_steps=1, hidden_units=4, conditioning=[2])
  c = np.random.default_rng(0).normal(size=[4, 2]).astype(np.float32)
  given = fo.flows.given(flow, c)
  for num in (1, 2, 4):
    draws = fo.flows.sample_at_temperature(given, num, [0, 1], 0.5)
    assert draws.shape == [num, 4, 3]
  latents = given.bijector.inverse(draws)
  # None is shared by two conditions.
  assert len(np.unique(np.round(np.ravel(latents), 4))) > 40
  batch = tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(tf.zeros([4]), 1.0), [3]), tfb.Scale(2.0)
  )
  draws = fo.flows.sample_at_temperature(batch, 2, [0, 1])
  assert draws.shape == [2, 4, 3]

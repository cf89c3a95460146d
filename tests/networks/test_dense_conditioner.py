import numpy as np
import pytest
from support import adversary
from support import jacobians
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.networks import soft_limit


@pytest.mark.parametrize('activation', ['max_min', 'smooth_max_min'])
@pytest.mark.parametrize('num_hidden_layers', [1, 3])
def test_certified_constant_against_an_adversary(activation, num_hidden_layers):
  network = registry.randomize(
      fo.networks.DenseConditioner(
          3,
          6,
          2,
          num_hidden_layers=num_hidden_layers,
          lipschitz=5.0,
          activation=activation,
          zero_initial=False,
          dtype=tf.float64,
      ),
      scale=0.2,
  )
  found = max(
      adversary.largest_expansion(network, [3], num_steps=20),
      adversary.largest_local_expansion(network, [3]),
  )
  assert 0.3 * network.lipschitz < found <= network.lipschitz * (1 + 1e-9)


def test_starts_at_zero_and_takes_single_vectors():
  network = fo.networks.DenseConditioner(3, 4, 2)
  assert np.all(network(tf.ones([5, 7, 3])) == 0)
  network = registry.randomize(network)
  x = tf.constant([0.5, -1.0, 2.0])
  np.testing.assert_allclose(network(x), network(x[None])[0])


def test_bad_arguments():
  for kwargs in (
      {'hidden_features': 3},
      {'hidden_features': 0},
      {'num_hidden_layers': 0},
      {'lipschitz': 0.0},
      {'lipschitz': np.inf},
      {'lipschitz': np.nan},
      {'activation': 'relu6'},
  ):
    arguments = {'hidden_features': 4, **kwargs}
    with pytest.raises(ValueError, match=next(iter(kwargs))):
      fo.networks.DenseConditioner(2, out_features=2, **arguments)


def conditional(**kwargs):
  return registry.randomize(
      fo.networks.DenseConditioner(
          2, 8, 2, lipschitz=0.8, conditioning_features=3, dtype=tf.float64,
          **kwargs,
      ),
      scale=0.5,
  )


def test_the_constant_holds_for_any_condition(rng):
  network = conditional(zero_initial=False)
  for scale in (0.0, 1.0, 1e3):
    c = tf.constant(scale * rng.normal(size=3))
    found = adversary.largest_expansion(
        lambda x, c=c: network(x, c), [2], num_steps=20
    )
    assert 0.2 * network.lipschitz < found <= network.lipschitz


def test_a_condition_shifts_the_output_without_a_bound(rng):
  """By hand, and further than the constant of the network lets `x` do."""
  network, x = conditional(), tf.constant(rng.normal(size=[5, 2]))
  c = rng.normal(size=[5, 3])
  weights = [layer._kernel.numpy() for layer in network._embedding]
  biases = [layer._bias.numpy() for layer in network._embedding]

  def act(z):  # MaxMin, rotated
    return np.concatenate([z[:, :4], np.abs(z[:, 4:])], axis=-1)

  h = act(act(c @ weights[0] + biases[0]) @ weights[1] + biases[1])
  added = [h @ layer._kernel.numpy() for layer in network._added]
  z = x.numpy()
  for layer, shift in zip(network._layers[:-1], added, strict=False):
    z = act(z @ layer.effective_kernel().numpy() + layer._bias + shift)
  last = network._layers[-1]
  z = 0.8 * (z @ last.effective_kernel().numpy() + last._bias) + added[-1]
  np.testing.assert_allclose(network(x, c), z, rtol=1e-9)
  # `None` is zeros, and single vectors are rows.
  np.testing.assert_allclose(network(x), network(x, np.zeros(3)), rtol=1e-9)
  np.testing.assert_allclose(network(x[1], c[1]), z[1], rtol=1e-9)
  far = network(x, 100.0 * c) - network(x, -100.0 * c)
  assert np.min(np.linalg.norm(far, axis=-1)) > 10.0


def test_a_new_one_does_not_depend_on_its_condition(rng):
  network = fo.networks.DenseConditioner(2, 4, 2, conditioning_features=3)
  assert network.conditioning_channels == 3
  c = tf.constant(rng.normal(size=[5, 3]), tf.float32)
  with tf.GradientTape() as tape:
    value = network(tf.ones([5, 2]), c)
    loss = tf.reduce_sum(value + tf.square(value))
  assert np.all(value == 0)
  # But it learns to.
  gradient = tape.gradient(loss, network._added[-1]._kernel)
  assert np.max(np.abs(gradient)) > 0.1


@pytest.mark.parametrize(
    ('features', 'c', 'message'),
    [
        (0, np.zeros([5, 3]), '`conditioning_features=0`'),
        (3, np.zeros([5, 2]), r'shape \[..., 3\]'),
        (3, np.zeros([4, 3]), 'one for each vector'),
        (3, np.zeros([2, 5, 3]), 'one for each vector'),
        (3, 1.0, r'shape \[..., 3\]'),
        (3, [0, 1, 2], 'must be floating-point'),
    ],
)
def test_wrong_conditions(features, c, message):
  network = fo.networks.DenseConditioner(
      2, 4, 2, conditioning_features=features
  )
  with pytest.raises(ValueError, match=message):
    network(tf.zeros([5, 2]), c)


@pytest.mark.parametrize('kind', ['coupling', 'exact', 'series', 'lanczos'])
def test_bijectors_of_vectors_take_a_condition(kind, rng):
  if kind == 'coupling':
    network = fo.networks.DenseConditioner(
        1, 8, 4, conditioning_features=3, dtype=tf.float64
    )
    bijector = fo.bijectors.AffineCoupling(
        registry.randomize(network), event_ndims=1
    )
  else:
    bijector = fo.bijectors.LipschitzResidual(
        conditional(activation='smooth_max_min'),
        log_det=kind,
        num_terms=8,
        num_probes=3,
    )
  size = 3 if kind == 'coupling' else 2
  y, c = (tf.constant(rng.normal(size=[4, n])) for n in (size, 3))
  base = tfp.distributions.Sample(
      tfp.distributions.Normal(tf.zeros([], tf.float64), 1.0), size
  )
  distribution = tfp.distributions.TransformedDistribution(base, bijector)
  kwargs = {'bijector_kwargs': {'conditioning': c}}
  x = bijector.inverse(y, conditioning=c)
  assert np.max(np.abs(x - bijector.inverse(y, conditioning=c + 1.0))) > 0.01
  if kind != 'series' and kind != 'lanczos':
    jacobian = jacobians.jacobian_of(
        lambda y, c: bijector.inverse(y, conditioning=c)
    )
    log_det = np.linalg.slogdet(jacobian(y, c))[1]
    np.testing.assert_allclose(
        distribution.log_prob(y, **kwargs), base.log_prob(x) + log_det
    )
  assert distribution.sample(4, seed=[0, 1], **kwargs).shape == [4, size]

  def back(c):
    return bijector.forward(x, conditioning=c)

  np.testing.assert_allclose(back(c), y, atol=1e-9)
  # Gradients by the condition, through what is solved, too.
  direction, step = rng.normal(size=[4, 3]), 1e-6
  with tf.GradientTape() as tape:
    tape.watch(c)
    value = tf.reduce_sum(tf.sin(back(c)))
  difference = tf.reduce_sum(tf.sin(back(c + step * direction))) - value
  np.testing.assert_allclose(
      tf.reduce_sum(tape.gradient(value, c) * direction),
      difference / step,
      rtol=1e-3,
  )


@pytest.mark.parametrize('kind', ['dense', 'convolution'])
def test_conditions_far_out_count_by_their_logarithm(kind, rng):
  if kind == 'dense':
    network = fo.networks.DenseConditioner(
        2, 8, 4, conditioning_features=3, dtype=tf.float64
    )
    x, shape = rng.normal(size=[5, 2]), [5, 3]
  else:
    network = fo.networks.ConvConditioner(
        2, 8, 4, conditioning_channels=3, dtype=tf.float64
    )
    x, shape = rng.normal(size=[5, 4, 4, 2]), [5, 1, 1, 3]
  registry.randomize(network)
  c = 60.0 * rng.normal(size=shape)
  limited = np.where(
      np.abs(c) <= 10.0, c, np.sign(c) * (10.0 + np.arcsinh(np.abs(c) - 10.0))
  )
  assert np.any(limited == c) and np.abs(limited).max() < 20.0
  # What is within is as it is, and so is what was limited once, nearly.
  inner = np.clip(c, -10.0, 10.0)
  outputs = [network(x, tf.constant(v)) for v in (c, limited, inner)]
  assert np.all(np.isfinite(network(x, tf.constant(np.full(shape, 1e300)))))
  assert np.abs(outputs[0] - outputs[2]).max() > 0.1
  embedded = []
  for value in (limited, inner):
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(soft_limit, 'soft_limit', lambda c: c)
      embedded.append(network(x, tf.constant(value)))
  np.testing.assert_allclose(outputs[0], embedded[0], rtol=1e-12)
  np.testing.assert_allclose(outputs[2], embedded[1], rtol=1e-12)

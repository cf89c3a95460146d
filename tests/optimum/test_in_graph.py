"""One path: eager, graphs of unknown shape, XLA, SavedModel, gradients."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo

CASES = [
    ('dense', {}),
    ('dense', {'bias_correction': True}),
    ('pointwise', {'block_size': 2}),
    ('individual', {}),
    ('circulant', {}),
    ('circulant', {'frequency_pool': 2}),
    ('circulant', {'bias_correction': True}),
]
IDS = [f'{name}-{"-".join(options)}' for name, options in CASES]


def data(rng, structure, n=9):
  x = rng.normal(size=(n, 4, 6, 3)) @ rng.normal(size=(3, 3)) + 1.0
  x = x + 0.5 * np.roll(x, (0, 1), axis=(1, 2))
  return x[:, 0, :2].reshape(n, -1) if structure == 'dense' else x


def assert_same(got, want, rtol=1e-10):
  for a, b in zip(got, want, strict=True):
    np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-10)


@pytest.mark.parametrize('structure, options', CASES, ids=IDS)
def test_graph_of_unknown_shape(rng, structure, options):
  rank = 2 if structure == 'dense' else 4
  function = tf.function(
      lambda x: fo.likelihood_optimum(x, structure, **options),
      input_signature=[tf.TensorSpec([None] * rank, tf.float64)],
  )
  for n in (9, 12):
    x = data(rng, structure, n)
    assert_same(function(x), fo.likelihood_optimum(x, structure, **options))
  if structure != 'dense':
    x = np.swapaxes(x, 1, 2)
    assert_same(function(x), fo.likelihood_optimum(x, structure, **options))


@pytest.mark.parametrize('structure, options', CASES, ids=IDS)
def test_xla(rng, structure, options):
  x = data(rng, structure)
  function = tf.function(
      lambda x: fo.likelihood_optimum(x, structure, **options),
      jit_compile=True,
  )
  assert_same(function(x), fo.likelihood_optimum(x, structure, **options), 1e-9)


def test_xla_of_data_as_ill_conditioned_as_photographs(rng):
  """Where XLA's own eigenvalues are wrong in the third digit."""
  scales = np.geomspace(1.0, 1e-3, 48)
  x = rng.normal(size=(400, 48)) * scales
  x = x @ np.linalg.qr(rng.normal(size=(48, 48)))[0]
  function = tf.function(
      lambda x: fo.likelihood_optimum(x).log_likelihood, jit_compile=True
  )
  np.testing.assert_allclose(
      function(x), fo.likelihood_optimum(x).log_likelihood, rtol=1e-9
  )


@pytest.mark.parametrize('structure', ['dense', 'individual', 'circulant'])
def test_xla_with_bounds(rng, structure):
  x = data(rng, structure)
  options = {'lipschitz': (0.4, 1.5), 'noise_variance': 0.01}
  function = tf.function(
      lambda x: fo.likelihood_optimum(x, structure, **options),
      jit_compile=True,
  )
  assert_same(function(x), fo.likelihood_optimum(x, structure, **options), 1e-6)


@pytest.mark.parametrize('structure', ['dense', 'pointwise', 'circulant'])
def test_saved_model(rng, structure, tmp_path):
  x = data(rng, structure)
  stream = fo.AutoCorrelation(structure, x.shape[1:])
  stream.update(x)

  class Module(tf.Module):
    def __init__(self):
      super().__init__()
      self.stream = stream

    @tf.function(
        input_signature=[tf.TensorSpec([None, *x.shape[1:]], tf.float64)]
    )
    def of_batch(self, x):
      return fo.likelihood_optimum(x, structure)._asdict()

    @tf.function(
        input_signature=[tf.TensorSpec([None, *x.shape[1:]], tf.float64)]
    )
    def after_update(self, x):
      self.stream.update(x)
      return self.stream.optimum()._asdict()

  tf.saved_model.save(Module(), str(tmp_path))
  served = tf.saved_model.load(str(tmp_path))
  want = fo.likelihood_optimum(x, structure)._asdict()
  for name, value in served.of_batch(x).items():
    np.testing.assert_allclose(value, want[name], rtol=1e-10, atol=1e-10)
  both = fo.likelihood_optimum(np.concatenate([x, 2 * x]), structure)._asdict()
  for name, value in served.after_update(tf.constant(2 * x)).items():
    np.testing.assert_allclose(value, both[name], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    'structure, options, jit',
    [
        *((*case, False) for case in CASES),
        ('circulant', {'rank': 20}, False),
        ('individual', {'noise_variance': 0.1, 'rank': 2}, False),
        ('circulant', {'lipschitz': (0.4, 1.5)}, False),
        ('circulant', {'lipschitz': (0.4, 1.5)}, True),
        ('dense', {}, True),
        ('individual', {}, True),
        ('circulant', {}, True),
    ],
)
def test_gradient_equals_finite_differences(rng, structure, options, jit):
  x = data(rng, structure)
  direction = rng.normal(size=x.shape)

  @tf.function(jit_compile=jit)
  def value_and_gradient(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = tf.reduce_sum(
          fo.likelihood_optimum(x, structure, **options).log_likelihood
      )
    return y, tape.gradient(y, x)

  slope = np.sum(value_and_gradient(tf.constant(x))[1] * direction)
  step = 1e-5
  rise = (
      value_and_gradient(tf.constant(x + step * direction))[0]
      - value_and_gradient(tf.constant(x - step * direction))[0]
  )
  np.testing.assert_allclose(slope, rise / (2 * step), rtol=1e-5)


@pytest.mark.parametrize('structure', ['pointwise', 'individual', 'circulant'])
@pytest.mark.parametrize('lipschitz', [None, (0.5, 3.0)])
def test_gradient_is_finite_at_equal_eigenvalues(structure, lipschitz):
  # One image for each channel and position, of either sign: R is the identity.
  x = np.eye(12).reshape(12, 2, 2, 3)
  if structure == 'individual':
    x = np.broadcast_to(np.eye(3), [2, 1, 3, 3])
  x = np.concatenate([x, -x], axis=2 if structure == 'individual' else 0)
  v = tf.Variable(x)
  with tf.GradientTape() as tape:
    best = fo.likelihood_optimum(v, structure, False, lipschitz=lipschitz)
    y = tf.reduce_sum(best.log_likelihood)
  eigenvalues = best.eigenvalues.numpy()
  gradient = tape.gradient(y, v).numpy()
  assert np.all(np.isfinite(gradient))
  np.testing.assert_allclose(
      eigenvalues, np.broadcast_to(eigenvalues[..., :1], eigenvalues.shape)
  )
  # d L / d x = -R^-1 x, over the number of images unless each is alone.
  count = 1 if structure == 'individual' else len(x)
  scale = 1.0 / eigenvalues.flat[0]
  if lipschitz is None:
    np.testing.assert_allclose(gradient, -scale * x / count, atol=1e-10)

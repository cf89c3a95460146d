"""ONNX files give the numbers of TensorFlow, or there is no file."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from support import images
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb = tfp.bijectors


@pytest.fixture(name='runtime')
def _runtime():
  """onnxruntime, where all that is needed is there."""
  pytest.importorskip('tf2onnx')
  return pytest.importorskip('onnxruntime')


def results(runtime, path, **tensors):
  session = runtime.InferenceSession(
      str(path), providers=['CPUExecutionProvider']
  )
  assert {value.name for value in session.get_inputs()} == set(tensors)
  names = [value.name for value in session.get_outputs()]
  assert sorted(names) == ['latents', 'log_prob']
  return dict(zip(names, session.run(names, tensors), strict=True))


def check(runtime, distribution, path, x, rtol=1e-5, **kwargs):
  """The file's numbers are TensorFlow's, to 1e-5 of the largest."""
  assert fo.export.save_onnx(distribution, path) == str(path)
  assert os.listdir(path.parent) == [path.name]
  x = np.asarray(x)
  got = results(runtime, path, x=x, **kwargs)
  latents = distribution.bijector.inverse(x, **kwargs)
  latents = np.reshape(latents, [len(x), -1])
  log_prob = distribution.log_prob(
      x, **({'bijector_kwargs': kwargs} if kwargs else {})
  )
  for name, want in (('latents', latents), ('log_prob', log_prob)):
    want = np.asarray(want)
    assert got[name].dtype == want.dtype
    assert got[name].shape == want.shape
    np.testing.assert_allclose(
        got[name], want, rtol=0.0, atol=rtol * np.abs(want).max()
    )


def table(size, num_dims=6):
  """Columns that are neither normal nor independent."""
  x = np.random.default_rng(0).normal(size=[size, num_dims])
  x[:, 1] = np.exp(x[:, 0]) + 0.3 * x[:, 1]
  return x.astype(np.float32)


def test_of_images(distribution, runtime, tmp_path):
  before = [v.numpy() for v in distribution.variables]
  path = tmp_path / 'new' / 'flow.onnx'
  x = np.asarray(images.preprocessed(5))
  check(runtime, distribution, path, x)
  together = results(runtime, path, x=x)['log_prob']
  alone = results(runtime, path, x=x[4:])['log_prob']
  np.testing.assert_allclose(alone, together[4:], rtol=1e-5)
  for variable, value in zip(distribution.variables, before, strict=True):
    np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize(
    'arguments',
    [
        {'whitening': 'dense'},
        {'gaussianize_marginals': True},
        {'whitening': 'coarse', 'coupling': 'additive'},
    ],
)
def test_of_images_of_classes(arguments, runtime, tmp_path):
  flow = fo.image_flow(
      [8, 8, 3],
      num_levels=2,
      num_steps=1,
      conditioning=3,
      hidden_channels=8,
      tile_sizes=(2,),
      **arguments,
  )
  x, labels = images.preprocessed(300), np.arange(300) % 3
  fo.initialize_at_optimum(flow, x, conditioning=labels)
  registry.randomize(flow, scale=0.05)
  check(
      runtime,
      flow,
      tmp_path / 'flow.onnx',
      x[:7],
      conditioning=labels[:7].astype(np.int64),
  )


@pytest.mark.parametrize('conditioned', [False, True])
@pytest.mark.parametrize('coupling', ['affine', 'spline', 'autoregressive'])
def test_of_vectors(coupling, conditioned, runtime, tmp_path):
  x, kwargs = table(400), {}
  if conditioned:
    kwargs['conditioning'] = x[:, :2] ** 2
  flow = fo.vector_flow(
      6, num_steps=3, coupling=coupling, conditioning=[2] * conditioned or None
  )
  fo.initialize_at_optimum(flow, x, **kwargs)
  registry.randomize(flow, scale=0.02)
  kwargs = {key: value[:50] for key, value in kwargs.items()}
  check(runtime, flow, tmp_path / 'flow.onnx', x[:50], **kwargs)


def test_of_values_at_and_beyond_the_knots(runtime, tmp_path):
  """`tf.searchsorted` is not an operation of ONNX."""
  inputs = np.sort(np.random.default_rng(0).normal(size=[3, 5]), axis=1)
  curves = fo.bijectors.MarginalGaussianization(3, 5, event_ndims=1)
  curves.inputs.assign(inputs)
  curves.outputs.assign(inputs * [[1.0], [2.0], [3.0]] + inputs**3)
  base = tfp.distributions.Sample(tfp.distributions.Normal(0.0, 1.0), 3)
  flow = tfp.distributions.TransformedDistribution(base, curves)
  x = np.concatenate([inputs.T, [[-9.0] * 3, [9.0] * 3, [0.1] * 3]])
  check(runtime, flow, tmp_path / 'flow.onnx', x.astype(np.float32))


def test_of_another_precision(runtime, tmp_path):
  """Nothing is less precise in between."""
  x = table(400, 3).astype(np.float64)
  flow = fo.vector_flow(3, num_steps=2, dtype=tf.float64)
  fo.initialize_at_optimum(flow, x)
  check(runtime, flow, tmp_path / 'flow.onnx', x[:20], rtol=1e-12)


def test_of_bijectors_of_tfp(runtime, tmp_path):
  """Tensors that are no variables are not inputs of the file."""
  base = tfp.distributions.Sample(tfp.distributions.Normal(0.0, 1.0), 2)
  flow = tfp.distributions.TransformedDistribution(
      base, tfb.Chain([tfb.Exp(), tfb.Scale(tf.constant(2.0))])
  )
  x = np.array([[0.5, 3.0], [1.0, 2.0], [7.0, 0.1]], np.float32)
  check(runtime, flow, tmp_path / 'flow.onnx', x)


def test_of_logarithms_near_1(runtime, tmp_path):
  base = tfp.distributions.Sample(tfp.distributions.Normal(0.0, 1.0), 4)
  flow = tfp.distributions.TransformedDistribution(base, tfb.Expm1())
  x = np.array([[1e-12, -3e-7, 2e-5, 0.0], [-0.9, 0.3, 1e-3, 40.0]], np.float32)
  fo.export.save_onnx(flow, tmp_path / 'flow.onnx')
  got = results(runtime, tmp_path / 'flow.onnx', x=x)
  np.testing.assert_allclose(
      got['latents'], np.log1p(x.astype(np.float64)), rtol=1e-6
  )
  np.testing.assert_allclose(got['log_prob'], flow.log_prob(x), rtol=1e-6)


def test_of_exponentials_near_0(runtime, tmp_path):
  """Which the inverse of softplus has, `x + log(1 - exp(-x))`."""
  base = tfp.distributions.Sample(tfp.distributions.Normal(0.0, 1.0), 4)
  flow = tfp.distributions.TransformedDistribution(base, tfb.Softplus())
  x = np.array([[1e-12, 3e-7, 2e-5, 1e-3], [0.49, 0.51, 2.0, 90.0]], np.float32)
  fo.export.save_onnx(flow, tmp_path / 'flow.onnx')
  got = results(runtime, tmp_path / 'flow.onnx', x=x)
  want = x + np.log(-np.expm1(-x.astype(np.float64)))
  np.testing.assert_allclose(got['latents'], want, rtol=1e-6)
  flow = fo.vector_flow(6, num_steps=0, support=tfb.Softplus())
  x = np.exp(table(200))
  fo.initialize_at_optimum(flow, x)
  check(runtime, flow, tmp_path / 'softplus' / 'flow.onnx', x)


@pytest.mark.parametrize('num_parts', [2, 4])
def test_of_a_support_of_other_dimensions(num_parts, runtime, tmp_path):
  """Parts of a whole have one dimension more than their latents."""
  x = np.random.default_rng(0).dirichlet([2.0] * num_parts, 100)
  x = x.astype(np.float32)
  flow = fo.vector_flow(num_parts, num_steps=0, support=tfb.SoftmaxCentered())
  fo.initialize_at_optimum(flow, x)
  check(runtime, flow, tmp_path / 'flow.onnx', x)


def test_what_onnxruntime_cannot_run(runtime, tmp_path):
  del runtime
  flow = fo.vector_flow(1, num_steps=1)
  fo.initialize_at_optimum(flow, table(100, 2)[:, :1])
  with pytest.raises(RuntimeError, match='could not run the ONNX file'):
    fo.export.save_onnx(flow, tmp_path / 'flow.onnx')
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'coupling, operation', [('residual', 'Qr'), ('convex', 'Cholesky')]
)
def test_what_onnx_does_not_have(coupling, operation, runtime, tmp_path):
  del runtime
  flow = fo.vector_flow(3, num_steps=1, coupling=coupling)
  fo.initialize_at_optimum(flow, table(100, 3))
  with pytest.raises(ValueError, match=f'`distribution`.*{operation}'):
    fo.export.save_onnx(flow, tmp_path / 'new' / 'flow.onnx')
  assert not list(tmp_path.iterdir())


def test_wrong_numbers_make_no_file(
    distribution, runtime, tmp_path, monkeypatch
):

  class Wrong(runtime.InferenceSession):

    def run(self, *args):
      return [1.01 * value for value in super().run(*args)]

  monkeypatch.setattr(runtime, 'InferenceSession', Wrong)
  with pytest.raises(RuntimeError, match='its `latents` is'):
    fo.export.save_onnx(distribution, tmp_path / 'new' / 'flow.onnx')
  assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(distribution, tmp_path):
  (tmp_path / 'flow.onnx').write_text('mine')
  with pytest.raises(ValueError, match='`path` must not exist'):
    fo.export.save_onnx(distribution, tmp_path / 'flow.onnx')
  assert (tmp_path / 'flow.onnx').read_text() == 'mine'


@pytest.mark.filterwarnings('ignore:.*is emulated:UserWarning')
def test_networks_of_another_type_are_named(tmp_path):
  flow = fo.image_flow(
      [4, 4, 1], 1, 1, 2, tile_sizes=(), compute_dtype='bfloat16'
  )
  flow.bijector.initialized.assign(True)
  with pytest.raises(ValueError, match='networks of compute_dtype=bfloat16'):
    fo.export.save_onnx(flow, tmp_path / 'flow.onnx')
  assert not list(tmp_path.iterdir())


def test_the_error_names_the_extra(distribution, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'tf2onnx', None)
  with pytest.raises(ImportError, match=r"'tfp-flowopt\[onnx\]'"):
    fo.export.save_onnx(distribution, tmp_path / 'flow.onnx')
  assert not list(tmp_path.iterdir())


def test_the_file_needs_no_tensorflow(distribution, runtime, tmp_path):
  del runtime
  path = tmp_path / 'flow.onnx'
  fo.export.save_onnx(distribution, path)
  program = f"""
import sys
import numpy as np
import onnxruntime
x = np.zeros([3, 8, 8, 3], np.float32)
session = onnxruntime.InferenceSession({str(path)!r})
(log_prob,) = session.run(['log_prob'], {{'x': x}})
assert 'tensorflow' not in sys.modules
print(log_prob.tolist())
"""
  done = subprocess.run(
      [sys.executable, '-c', program],
      capture_output=True,
      text=True,
      check=False,
      cwd=pathlib.Path(path).parent,
  )
  assert done.returncode == 0, done.stderr
  want = distribution.log_prob(tf.zeros([3, 8, 8, 3]))
  got = [float(value) for value in done.stdout.strip('[]\n').split(',')]
  np.testing.assert_allclose(got, want, rtol=1e-5)

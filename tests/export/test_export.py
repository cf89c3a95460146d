import gc
import json
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest
from support import images
from support import registry
import tensorflow as tf
from tensorflow.python.framework import ops
import tensorflow_probability as tfp

import tfp_flowopt as fo

# Runs where nothing but TensorFlow can be imported.
SERVER = """
import json, sys

class Closed:
  def find_spec(self, name, path=None, target=None):
    if name.split('.')[0] in (
        'tensorflow_probability', 'tf_keras', 'tfp_flowopt'):
      raise ImportError(name + ' is closed')

sys.meta_path.insert(0, Closed())
import numpy as np
import tensorflow as tf
try:
  import tfp_flowopt
  raise SystemExit('tfp_flowopt was imported')
except ImportError:
  pass
x = np.load(sys.argv[2])
s = tf.saved_model.load(sys.argv[1]).signatures
assert sorted(s) == [
    'certified_log_prob', 'decode', 'encode', 'log_prob', 'sample'], sorted(s)
result = {}
for n in (1, len(x)):
  images = tf.constant(x[:n])
  likelihood = s['log_prob'](images=images)
  latents = s['encode'](images=images)['latents']
  back = s['decode'](latents=latents)['images']
  assert back.dtype == tf.uint8
  assert np.array_equal(back, images), 'decode(encode(x)) is not x'
result['log_prob'] = likelihood['log_prob'].numpy().tolist()
result['bits_per_dim'] = likelihood['bits_per_dim'].numpy().tolist()
result['latents'] = latents.numpy().tolist()
def sample(n, seed, temperature):
  return s['sample'](num_samples=tf.constant(n), seed=tf.constant(seed),
                     temperature=tf.constant(temperature))['images'].numpy()
assert np.array_equal(sample(3, [0, 1], 1.), sample(3, [0, 1], 1.))
assert not np.array_equal(sample(3, [0, 1], 1.), sample(3, [0, 2], 1.))
assert len(np.unique(sample(3, [0, 1], 0.), axis=0)) == 1
result['samples'] = sample(4, [5, 6], .7).tolist()
two = tf.concat([latents, latents], axis=1)
result['refused'] = []
for ask in (lambda: s['log_prob'](images=images[:, :4]),
            lambda: s['encode'](images=images[..., :1]),
            lambda: s['decode'](latents=two),
            lambda: s['decode'](latents=latents * np.nan),
            lambda: sample(-1, [0, 1], 1.),
            lambda: sample(1, [0, 1], -1.),
            lambda: sample(1, [0, 1, 2], 1.),
            lambda: sample(1, [0, 1], [1.])):
  try:
    ask()
  except tf.errors.InvalidArgumentError as e:
    result['refused'].append(str(e))
print(json.dumps(result))
"""


def test_it_serves_with_only_tensorflow(distribution, path, tmp_path):
  x = images.crops().draw(6, [3, 3]).numpy()
  np.save(tmp_path / 'x.npy', x)
  output = subprocess.run(
      [sys.executable, '-c', SERVER, path, str(tmp_path / 'x.npy')],
      capture_output=True,
      text=True,
      check=False,
      # A server has no reason to set it.
      env={k: v for k, v in os.environ.items() if k != 'TF_USE_LEGACY_KERAS'},
  )
  assert output.returncode == 0, output.stderr[-2000:]
  got = json.loads(output.stdout.splitlines()[-1])

  noise = fo.flows.dequantization_noise([8, 8, 3], [0, 0])
  want = distribution.log_prob(fo.flows.dequantize(x, noise=noise))
  # Sums of hundreds of nats, some of which cancel.
  np.testing.assert_allclose(got['log_prob'], want, rtol=1e-5, atol=1e-3)
  np.testing.assert_allclose(
      got['bits_per_dim'], fo.bits_per_dim(want, 192), rtol=1e-5, atol=1e-5
  )
  np.testing.assert_allclose(
      got['latents'],
      distribution.bijector.inverse(fo.flows.dequantize(x)),
      atol=1e-3,
  )
  want = fo.flows.sample_at_temperature(distribution, 4, [5, 6], 0.7)
  difference = np.array(got['samples']) - fo.flows.quantize(want)
  assert np.abs(difference).max() <= 1
  # Rewriting of graphs, which tests are without, has left the checks in, but
  # where the shape has no `N`: there TensorFlow names what does not fit.
  names = 'images', 'images', 'latents', 'latents', 'num_samples', 'temperature'
  *others, seed, temperature = got['refused']
  for name, text in zip(names, others, strict=True):
    assert f'Argument `{name}` must' in text
  for name, text in (('seed', seed), ('temperature', temperature)):
    assert f'argument_{name} ' in text


def test_a_model_that_was_loaded_is_freed(path):
  """TensorFlow keeps what gradients of a program are made of for ever."""
  registered = set(ops.gradient_registry._registry)
  model = tf.saved_model.load(path)
  graph = weakref.ref(model.signatures['log_prob'].graph)
  assert set(ops.gradient_registry._registry) <= registered
  none = model.signatures['encode'](images=tf.zeros([1, 8, 8, 3], tf.uint8))
  assert none['latents'].shape == [1, 192]
  del model, none
  gc.collect()
  assert graph() is None


def test_the_result_does_not_depend_on_the_rest_of_the_batch(signatures):
  log_prob = signatures['log_prob']
  x = images.crops().draw(5, [3, 3])
  together = log_prob(images=x)['log_prob']
  alone = log_prob(images=x[4:])['log_prob']
  np.testing.assert_allclose(together[4:], alone, rtol=1e-5, atol=1e-3)
  assert log_prob(images=x[:0])['log_prob'].shape == [0]


def rescalings(graph_def):
  """Number of operations of a kind that only rescaling uses here."""
  nodes = list(graph_def.node)
  for function in graph_def.library.function:
    nodes.extend(function.node_def)
  return sum(node.op == 'Rsqrt' for node in nodes)


def test_it_holds_rescaled_kernels_and_nothing_to_train(distribution, path):
  for function in tf.saved_model.load(path).signatures.values():
    assert rescalings(function.graph.as_graph_def()) == 0
  unfrozen = tf.function(distribution.log_prob).get_concrete_function(
      tf.TensorSpec([None, 8, 8, 3])
  )
  assert rescalings(unfrozen.graph.as_graph_def()) == 8  # seen

  variables = f'{path}/variables/variables'
  saved = [
      tf.train.load_variable(variables, name)
      for name, _ in tf.train.list_variables(variables)
  ]
  kernels = [
      m()
      for m in distribution.submodules
      if isinstance(m, fo.lipschitz.DerivedWeights)
      # [steps, kh, kw, in, out]
      and m().shape.rank == 5
  ]
  assert len(kernels) == 8
  for kernel in kernels:
    assert any(np.array_equal(kernel, other) for other in saved)
  x = images.preprocessed(4)
  with fo.lipschitz.frozen(distribution):
    frozen = distribution.log_prob(tf.identity(x))
  np.testing.assert_allclose(distribution.log_prob(x), frozen, rtol=1e-6)


def test_what_cannot_be_exported(distribution, tmp_path):
  fresh = fo.image_flow([8, 8, 3], 2, 1, 8, tile_sizes=(2,))
  with pytest.raises(ValueError, match='not initialised'):
    fo.export.save(fresh, tmp_path / 'a')
  (tmp_path / 'b').mkdir()
  (tmp_path / 'b' / 'precious').touch()
  with pytest.raises(ValueError, match='not empty'):
    fo.export.save(distribution, tmp_path / 'b')
  assert (tmp_path / 'b' / 'precious').exists()
  base, flow = fresh.distribution, fresh.bijector
  wrapped = tfp.distributions.TransformedDistribution(
      base, tfp.bijectors.Chain([flow])
  )
  with pytest.raises(ValueError, match='not initialised'):
    fo.export.save(wrapped, tmp_path / 'd')
  other_base = tfp.distributions.TransformedDistribution(
      tfp.distributions.Sample(tfp.distributions.Normal(0.0, 2.0), [192]),
      distribution.bijector,
  )
  with pytest.raises(ValueError, match='standard normal'):
    fo.export.save(other_base, tmp_path / 'g')
  for bits in (0, 9, 7.5, 8.0, True, '8', None, tf.constant(8)):
    with pytest.raises(ValueError, match='bits'):
      fo.export.save(distribution, tmp_path / 'e', bits=bits)
  with pytest.raises(ValueError, match='TransformedDistribution'):
    fo.export.save(base, tmp_path / 'f')
  double = fo.image_flow([8, 8, 3], 2, 1, 8, tile_sizes=(2,), dtype=tf.float64)
  double.bijector.initialized.assign(True)
  with pytest.raises(ValueError, match='float32'):
    fo.export.save(double, tmp_path / 'c')
  with pytest.raises(TypeError, match='path'):
    fo.export.save(distribution, 3)
  weight = distribution.trainable_variables[0]
  before = tf.identity(weight)
  weight.assign(tf.fill(weight.shape, np.float32('nan')))
  with pytest.raises(ValueError, match='not finite'):
    fo.export.save(distribution, tmp_path / 'not' / 'finite')
  weight.assign(before)
  assert [path.name for path in tmp_path.iterdir()] == ['b']


def test_a_flow_of_labels(tmp_path):
  distribution = fo.image_flow(
      [8, 8, 3],
      num_levels=1,
      num_steps=1,
      hidden_channels=8,
      tile_sizes=(2,),
      conditioning=3,
  )
  fo.initialize_at_optimum(distribution, images.preprocessed(300))
  registry.randomize(distribution, scale=0.05)
  path = fo.export.save(distribution, tmp_path / 'model')
  signatures = tf.saved_model.load(path).signatures
  assert sorted(signatures) == ['decode', 'encode', 'log_prob', 'sample']
  x = images.crops().draw(4, [3, 3])
  labels = tf.constant([0, 1, 2, 1], tf.int64)
  got = signatures['log_prob'](images=x, conditioning=labels)['log_prob']
  noise = fo.flows.dequantization_noise([8, 8, 3], [0, 0])
  kwargs = {'conditioning': labels}
  want = distribution.log_prob(
      fo.flows.dequantize(x, noise=noise), bijector_kwargs=kwargs
  )
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-3)
  latents = signatures['encode'](images=x, conditioning=labels)['latents']
  back = signatures['decode'](latents=latents, conditioning=labels)['images']
  np.testing.assert_array_equal(back, x)
  samples = signatures['sample'](
      seed=tf.constant([5, 6]), temperature=tf.constant(0.7), **kwargs
  )['images']
  want = fo.flows.sample_at_temperature(distribution, 4, [5, 6], 0.7, kwargs)
  difference = samples.numpy().astype(int) - fo.flows.quantize(want).numpy()
  assert np.abs(difference).max() <= 1
  for bad in (labels + 1, labels - 1):
    for name, inputs in (
        ('log_prob', {'images': x}),
        ('encode', {'images': x}),
        ('decode', {'latents': latents}),
    ):
      with pytest.raises(tf.errors.InvalidArgumentError, match='from 0 to 2'):
        signatures[name](conditioning=bad, **inputs)
  for bad in (labels[:1], labels[:3], labels[tf.newaxis], labels[0]):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match='`conditioning` must'
    ):
      signatures['log_prob'](images=x, conditioning=bad)


def test_what_a_server_need_not_do(signatures):
  """Inverses are known: no linear system is solved at a request."""
  for function in signatures.values():
    definition = function.graph.as_graph_def()
    nodes = list(definition.node)
    for one in definition.library.function:
      nodes.extend(one.node_def)
    kinds = {node.op for node in nodes}
    assert 'Conv2D' in kinds
    assert not {
        kind
        for kind in kinds
        if any(word in kind for word in ('Solve', 'Inverse', 'Lu', 'Svd', 'Qr'))
    } - {'InvertPermutation'}

"""A real server answers as TensorFlow does."""

import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo

pytest.importorskip('pytriton')

EXAMPLES = pathlib.Path(__file__).parents[2] / 'examples'
TYPES = {
    'uint8': 'UINT8', 'int32': 'INT32', 'int64': 'INT64', 'float32': 'FP32'
}
# Seconds after which a server has not started.
PATIENCE = 300


def free_ports():
  sockets = [socket.socket() for _ in range(2)]
  for each in sockets:
    each.bind(('127.0.0.1', 0))
  ports = [each.getsockname()[1] for each in sockets]
  for each in sockets:
    each.close()
  return ports


@pytest.fixture(scope='module', name='model')
def _model(tmp_path_factory):
  path = tmp_path_factory.mktemp('model') / '1'
  flow = fo.image_flow(
      [4, 4, 1], 1, 1, hidden_channels=4, tile_sizes=(2,), conditioning=3
  )
  images = tf.random.stateless_uniform([90, 4, 4, 1], [0, 1]) - 0.5
  fo.initialize_at_optimum(flow, images, conditioning=np.arange(90) % 3)
  return fo.export.save(flow, path)


@pytest.fixture(scope='module', name='url')
def _url(model):
  http, grpc = free_ports()
  process = subprocess.Popen([
      sys.executable,
      str(EXAMPLES / 'serve_with_triton.py'),
      f'--model={model}',
      f'--http_port={http}',
      f'--grpc_port={grpc}',
  ])
  url = f'http://127.0.0.1:{http}/v2/models'
  try:
    for name in ('log_prob', 'sample'):
      for _ in range(PATIENCE):
        assert process.poll() is None
        try:
          urllib.request.urlopen(f'{url}/{name}/ready')
          break
        except (urllib.error.URLError, ConnectionError):
          time.sleep(1.0)
    yield url
  finally:
    process.terminate()
    process.wait()


def ask(url, signature, **arrays):
  """The outputs of a signature, by name."""
  inputs = [
      {
          'name': name,
          'shape': array.shape,
          'datatype': TYPES[array.dtype.name],
          'data': array.ravel().tolist(),
      }
      for name, array in arrays.items()
  ]
  request = urllib.request.Request(
      f'{url}/{signature}/infer', json.dumps({'inputs': inputs}).encode()
  )
  with urllib.request.urlopen(request) as response:
    outputs = json.load(response)['outputs']
  return {o['name']: np.reshape(o['data'], o['shape']) for o in outputs}


@pytest.mark.slow
def test_answers(model, url):
  served = tf.saved_model.load(model).signatures
  rng = np.random.default_rng(0)
  images = rng.integers(256, size=[5, 4, 4, 1], dtype=np.uint8)
  labels = np.array([0, 1, 2, 0, 1])
  got = ask(url, 'log_prob', images=images, conditioning=labels)
  want = served['log_prob'](
      images=tf.constant(images), conditioning=tf.constant(labels)
  )
  assert set(got) == set(want)
  for name, value in want.items():
    np.testing.assert_allclose(got[name], value, rtol=1e-5)
  latents = ask(url, 'encode', images=images, conditioning=labels)['latents']
  back = ask(
      url, 'decode', latents=latents.astype(np.float32), conditioning=labels
  )
  np.testing.assert_array_equal(back['images'], images)
  got = ask(
      url,
      'sample',
      seed=np.array([0, 1], np.int32),
      temperature=np.array([0.7], np.float32),
      conditioning=labels,
  )
  want = served['sample'](
      seed=tf.constant([0, 1]),
      temperature=tf.constant(0.7),
      conditioning=tf.constant(labels),
  )
  np.testing.assert_array_equal(got['images'], want['images'])


@pytest.mark.slow
def test_wrong_requests_are_errors_of_theirs(url):
  images = np.zeros([1, 4, 4, 1], np.uint8)
  for labels, message in (([3], '`conditioning`'), ([0, 1], 'as many')):
    with pytest.raises(urllib.error.HTTPError) as e:
      ask(url, 'log_prob', images=images, conditioning=np.array(labels))
    assert message in e.value.read().decode()
  # And it goes on.
  assert ask(url, 'log_prob', images=images, conditioning=np.array([0]))

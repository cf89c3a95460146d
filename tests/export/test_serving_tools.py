"""What servers and tools find in the files of an exported flow."""

import pathlib

import numpy as np
from support import images
from support import programs
import tensorflow as tf


def varint(data, at):
  value, shift = 0, 0
  while True:
    byte = data[at]
    value |= (byte & 0x7F) << shift
    at, shift = at + 1, shift + 7
    if not byte & 0x80:
      return value, at


def fields(data):
  """Pairs of number and bytes of a message of length-delimited fields."""
  result, at = [], 0
  while at < len(data):
    tag, at = varint(data, at)
    assert tag & 7 == 2
    size, at = varint(data, at)
    result.append((tag >> 3, data[at : at + size]))
    at += size
  return result


def test_requests_that_warm_a_server_up(path, signatures):
  file = pathlib.Path(path) / 'assets.extra' / 'tf_serving_warmup_requests'
  asked = {}
  for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
    # PredictionLog.predict_log.request
    ((number, log),) = fields(record)
    assert number == 6
    ((number, request),) = fields(log)
    assert number == 1
    (spec,) = (value for number, value in fields(request) if number == 1)
    ((number, name),) = fields(spec)
    assert number == 3
    inputs = {}
    for number, entry in fields(request):
      if number == 2:
        (_, key), (_, tensor) = fields(entry)
        proto = tf.make_tensor_proto(0)
        proto.ParseFromString(tensor)
        inputs[key.decode()] = tf.make_ndarray(proto)
    asked[name.decode()] = inputs
  assert set(asked) == set(signatures)
  for name, inputs in asked.items():
    tensors = {key: tf.constant(value) for key, value in inputs.items()}
    (*_, value) = signatures[name](**tensors).values()
    assert value.shape[0] == 1


def test_the_command_line_shows_and_runs_it(path, signatures, tmp_path):

  def command(*arguments):
    return programs.run(
        '-m',
        'tensorflow.python.tools.saved_model_cli',
        *arguments,
        '--dir',
        path,
        '--tag_set',
        'serve',
        '--signature_def',
        'log_prob',
    )

  shown = command('show')
  assert shown.returncode == 0, shown.stderr
  assert "inputs['images']" in shown.stdout
  assert 'shape: (-1, 8, 8, 3)' in shown.stdout
  x = images.crops().draw(2, [3, 3]).numpy()
  np.savez(tmp_path / 'x.npz', x=x)
  run = command(
      'run',
      '--inputs',
      f'images={tmp_path / "x.npz"}[x]',
      '--outdir',
      str(tmp_path),
  )
  assert run.returncode == 0, run.stderr
  served = signatures['log_prob'](images=x)
  np.testing.assert_allclose(
      np.load(tmp_path / 'log_prob.npy'), served['log_prob'], rtol=1e-5
  )

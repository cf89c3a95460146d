"""Warm-up requests for TensorFlow Serving.

The first request to a model is slow, so Serving replays those of a file beside
a model before it lets others in.
"""

import tensorflow as tf

__all__ = ['write_requests']

# Where TensorFlow Serving looks, inside the directory of a version.
_FOLDER, _FILE = 'assets.extra', 'tf_serving_warmup_requests'

# Numbers of fields, from tensorflow_serving/apis: PredictionLog, PredictLog,
# PredictRequest, ModelSpec. Its package would bring a server's dependencies.
_PREDICT_LOG, _REQUEST = 6, 1
_MODEL_SPEC, _INPUTS = 1, 2
_SIGNATURE_NAME = 3
_MAP_KEY, _MAP_VALUE = 1, 2


def write_requests(path, signatures):
  """Writes a request for each signature into a SavedModel.

  Of zeros, one of what there may be any number of, and 1 for a scalar.
  `signatures` are lists of `tf.TensorSpec`s, named as the inputs.
  """
  folder = path / _FOLDER
  folder.mkdir()
  with tf.io.TFRecordWriter(str(folder / _FILE)) as writer:
    for name, specs in signatures.items():
      values = {spec.name: _value(spec) for spec in specs}
      writer.write(_prediction_log(name, values))


def _value(spec):
  shape = [1 if size is None else size for size in spec.shape]
  return (tf.zeros if shape else tf.ones)(shape, spec.dtype)


def _prediction_log(signature, values):
  """The bytes of a `PredictionLog` that asks for one prediction."""
  request = _field(_MODEL_SPEC, _field(_SIGNATURE_NAME, signature.encode()))
  for key, value in values.items():
    tensor = tf.make_tensor_proto(value).SerializeToString()
    entry = _field(_MAP_KEY, key.encode()) + _field(_MAP_VALUE, tensor)
    request += _field(_INPUTS, entry)
  return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _field(number, payload):
  """A field of bytes (wire type 2) as protocol buffers encode it."""
  return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value):
  """A number, seven bits a byte, the lowest first."""
  result = bytearray()
  while value > 0x7F:
    result.append(value & 0x7F | 0x80)
    value >>= 7
  return bytes([*result, value])

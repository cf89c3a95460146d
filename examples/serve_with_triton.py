"""Serves an exported flow with NVIDIA's Triton, over HTTP and gRPC.

  python examples/serve_with_triton.py --model=models/mine/1

Each signature is a model of the server, which speaks version 2 of KServe's
protocol. This program needs TensorFlow and nvidia-pytriton, neither tfp_flowopt
nor TensorFlow Probability. The end of the process is that of the server.
"""

from absl import flags
import onednn  # noqa: F401
import programs
from pytriton import model_config
from pytriton import triton
import tensorflow as tf

_MODEL = flags.DEFINE_string(
    'model', None, 'Directory of a SavedModel.', required=True
)
_ADDRESS = flags.DEFINE_string(
    'address', '127.0.0.1', 'Where to listen; 0.0.0.0 is everywhere.'
)
_HTTP_PORT = flags.DEFINE_integer('http_port', 8000, 'Port for HTTP.')
_GRPC_PORT = flags.DEFINE_integer('grpc_port', 8001, 'Port for gRPC.')


def tensors(specs):
  """What Triton is to know of tensors; those without axes get one of size 1."""
  return [
      model_config.Tensor(
          name=name,
          dtype=spec.dtype.as_numpy_dtype,
          shape=[-1 if size is None else size for size in spec.shape] or [1],
      )
      for name, spec in specs.items()
  ]


def answers(signature):
  """A function of requests, each a dictionary of arrays by name."""
  _, specs = signature.structured_input_signature

  def answer(request):
    inputs = {}
    for name, spec in specs.items():
      array = request[name]
      inputs[name] = tf.constant(array if spec.shape.rank else array[0])
    return {name: y.numpy() for name, y in signature(**inputs).items()}

  return lambda requests: [answer(request) for request in requests]


def main(argv):
  """Serves until it is told to end."""
  del argv
  served = tf.saved_model.load(_MODEL.value)
  config = triton.TritonConfig(
      http_address=_ADDRESS.value,
      http_port=_HTTP_PORT.value,
      grpc_address=_ADDRESS.value,
      grpc_port=_GRPC_PORT.value,
      allow_metrics=False,
  )
  with triton.Triton(config=config) as server:
    for name, signature in served.signatures.items():
      server.bind(
          name,
          infer_func=answers(signature),
          inputs=tensors(signature.structured_input_signature[1]),
          outputs=tensors(signature.structured_outputs),
          # The batch is an axis like any other: `seed` has none.
          config=model_config.ModelConfig(batching=False),
      )
    server.serve()


if __name__ == '__main__':
  programs.run(main)

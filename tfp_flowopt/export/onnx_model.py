"""ONNX export of flows."""

import math
import os
import pathlib

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from tfp_flowopt import bijectors
from tfp_flowopt import lipschitz
from tfp_flowopt.export import exportable
from tfp_flowopt.export import onnx_operations
from tfp_flowopt.internal import atomic_files
from tfp_flowopt.internal import new_folder
from tfp_flowopt.internal import types

__all__ = ['save_onnx']

# All operations that flows need are in it, and runtimes since 2023 have it.
_OPSET = 18
# Of a file and TensorFlow: roundings are far below, wrong operations above.
_TOLERANCE = 1e-3


def save_onnx(
    distribution: types.TransformedDistribution, path: types.Path
) -> str:
  """Exports latents and log-densities of a flow as an ONNX file.

  It needs the packages tf2onnx and onnxruntime (`pip install
  'tfp-flowopt[onnx]'`); to read the file needs a runtime of ONNX alone. Like
  `save`, it writes the rescaled kernels of Lipschitz layers, not the trained
  ones, and does not change the distribution.

  The graph takes and returns named tensors, for any number of events `N`:

  * `x`: events as the flow takes them, in its type: vectors `[N, D]`, or
    images `[N, H, W, C]`, which are *not* bytes but scaled to `[-0.5, 0.5)`
    (`flows.dequantize`);
  * `conditioning`, of a flow that has it: int64 labels `[N]` or features;
  * `latents`: `[N, D]`, where `D` is `H W C` for images; those of the base,
    where a support has other dimensions;
  * `log_prob`: `[N]`, nats for each event. For bits/dim see `bits_per_dim`.

  There is no dequantisation noise in it: who wants an estimate for discrete
  data adds noise to `x`. Unlike the signatures of `save`, it checks nothing:
  wrong labels or numbers that are not finite give results without a meaning.

  The file is run by onnxruntime before it is at `path`. There is an error if
  results for three samples are not those of the distribution, within 1e-3.
  (Files of vectors, and of images with curves, fail for no events: `N` must be
  positive.)

  Flows whose log-determinants need factorisations, which ONNX does not have,
  cannot be exported: those of `LipschitzResidual` (QR) and of
  `ConvexPotentialResidual` (Cholesky).

  #### Example

  ```none
  fo.export.save_onnx(distribution, 'my_flow.onnx')
  session = onnxruntime.InferenceSession('my_flow.onnx')
  latents, log_prob = session.run(['latents', 'log_prob'], {'x': x})
  ```

  Args:
    distribution: As for `save`: `tfd.TransformedDistribution` of a standard
      normal by a flow of float32 images or of vectors, initialised.
    path: File to write, which must not exist. Missing parents are made.

  Returns:
    The absolute `path`, as a string.

  Raises:
    TypeError: If `path` is no path.
    ValueError: If `distribution` is of another kind, type or base, not
      initialised or not finite, has operations that ONNX does not have or
      networks of another type (`compute_dtype`), or if `path` exists.
    ImportError: If tf2onnx or onnxruntime is not installed.
    RuntimeError: If onnxruntime cannot run the file, as that of one component
      behind couplings, or if its results are not those of the distribution.
    OSError: If `path` cannot be written.
  """
  exportable.check(distribution)
  _check_types(distribution)
  target = _checked_path(path)
  _require_packages()
  distribution = exportable.without_recomputation(distribution)
  specs = [
      tf.TensorSpec(
          [None, *distribution.event_shape], distribution.dtype, name='x'
      )
  ]
  conditioning = getattr(distribution.bijector, 'conditioning', None)
  if conditioning is not None:
    specs.append(conditioning.spec)
  with lipschitz.frozen(distribution):
    function = tf.function(_latents_and_log_prob(distribution), autograph=False)
    model = _converted(function, specs)
    serialized = model.SerializeToString()
    _check_results(serialized, distribution, _samples(distribution, specs))
  target.parent.mkdir(parents=True, exist_ok=True)
  with atomic_files.atomic_path(target) as temporary:
    temporary.write_bytes(serialized)
  return str(target)


def _check_types(distribution):
  """Refuses networks of another type, which tf2onnx takes for float16."""
  for module in distribution.submodules:
    dtype = getattr(module, 'compute_dtype', distribution.dtype)
    if dtype != distribution.dtype:
      raise ValueError(
          f'Argument `distribution` has networks of compute_dtype={dtype.name},'
          f' and the file can have {distribution.dtype.name} alone: make a flow'
          ' without `compute_dtype`, and give it the weights.'
      )


def _checked_path(path):
  """The absolute path of a file that is not there yet."""
  text = new_folder.text_of(path)
  if os.path.lexists(text):
    raise ValueError(f'Argument `path` must not exist, got {path}.')
  return pathlib.Path(os.path.abspath(text))


def _require_packages():
  """An `ImportError` that names the extra unless all is installed."""
  try:
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    import tf2onnx  # noqa: F401
  except ImportError as e:
    raise ImportError(
        '`save_onnx` needs the packages tf2onnx and onnxruntime: pip install '
        "'tfp-flowopt[onnx]'"
    ) from e


def _latents_and_log_prob(distribution):
  """What the graph computes, a function of events and their conditions."""
  bijector = distribution.bijector
  # A support may have events of other dimensions.
  size = distribution.distribution.event_shape.num_elements()
  rank = distribution.event_shape.rank

  def function(x, conditioning=None):
    if isinstance(bijector, bijectors.JointBijector):
      latents, log_det = bijectors.inverse_and_log_det(
          bijector, x, conditioning
      )
    else:
      latents = bijector.inverse(x)
      log_det = bijector.inverse_log_det_jacobian(x, event_ndims=rank)
    latents = tf.reshape(latents, [-1, size])
    # The base is a standard normal. That of TFP asks for `BroadcastArgs`,
    # which tf2onnx does not have.
    log_normal = -0.5 * (
        tf.reduce_sum(tf.square(latents), axis=-1)
        + size * math.log(2.0 * math.pi)
    )
    return {'latents': latents, 'log_prob': log_normal + log_det}

  return function


def _converted(function, specs):
  """The model of a function; an error if ONNX lacks an operation."""
  import tf2onnx

  concrete = function.get_concrete_function(*specs)
  names = sorted(concrete.structured_outputs)  # the order of its outputs
  # tf2onnx would make inputs of the tensors that are not variables.
  frozen = convert_to_constants.convert_variables_to_constants_v2(
      concrete, lower_control_flow=False
  )

  def named(*tensors):
    return dict(zip(names, frozen(*tensors), strict=True))

  model, _ = tf2onnx.convert.from_function(
      tf.function(named, autograph=False),
      input_signature=specs,
      opset=_OPSET,
      custom_op_handlers=onnx_operations.HANDLERS,
  )
  missing = sorted(set(_missing_operations(model.graph)))
  if missing:
    raise ValueError(
        'Argument `distribution` must be a flow of operations that ONNX has, '
        f'got one with {", ".join(missing)}.'
    )
  for value in [*model.graph.input, *model.graph.output]:
    # There are none of a shape that tf2onnx did not find out.
    for axis in value.type.tensor_type.shape.dim[:1]:
      axis.dim_param = 'N'
  return model


def _missing_operations(graph):
  """Names of operations that are left as they were in TensorFlow."""
  import onnx

  for node in graph.node:
    if not onnx.defs.has(node.op_type, node.domain):
      yield node.op_type
    for attribute in node.attribute:
      yield from _missing_operations(attribute.g)


def _samples(distribution, specs):
  """Three events, and conditions of zeros, by the names of inputs."""
  tensors = {
      spec.name: tf.zeros([3, *spec.shape[1:]], spec.dtype) for spec in specs
  }
  latents = tf.random.stateless_normal(
      [3, *distribution.distribution.event_shape], [0, 1], dtype=specs[0].dtype
  )
  kwargs = {key: tensors[key] for key in tensors if key != 'x'}
  tensors['x'] = distribution.bijector.forward(latents, **kwargs)
  return tensors


def _check_results(serialized, distribution, tensors):
  """A `RuntimeError` unless onnxruntime finds what the distribution says."""
  import onnxruntime

  feeds = {name: tensor.numpy() for name, tensor in tensors.items()}
  x, kwargs = tensors['x'], {k: v for k, v in tensors.items() if k != 'x'}
  latents = distribution.bijector.inverse(x, **kwargs)
  wanted = {
      'latents': np.reshape(latents, [len(x), -1]),
      'log_prob': distribution.log_prob(
          x, **({'bijector_kwargs': kwargs} if kwargs else {})
      ).numpy(),
  }
  try:
    session = onnxruntime.InferenceSession(
        serialized, providers=['CPUExecutionProvider']
    )
    found = session.run(list(wanted), feeds)
  except Exception as e:  # its errors have no class of their own
    raise RuntimeError(
        f'onnxruntime could not run the ONNX file of `distribution`: {e}'
    ) from e
  for (name, want), got in zip(wanted.items(), found, strict=True):
    # What rounding puts at the border of a support has no density.
    largest = np.abs(want[np.isfinite(want)]).max(initial=0.0)
    if got.shape != want.shape or not np.allclose(
        got, want, _TOLERANCE, _TOLERANCE * largest, equal_nan=True
    ):
      raise RuntimeError(
          'The ONNX file would not do what `distribution` does: its '
          f'`{name}` is {got.ravel()[:3]} ..., shape {got.shape}, not '
          f'{want.ravel()[:3]} ..., shape {want.shape}.'
      )

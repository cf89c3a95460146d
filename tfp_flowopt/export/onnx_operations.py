"""Operations of flows that tf2onnx does not know, or makes less of."""

from typing import Any

import numpy as np

__all__ = ['HANDLERS']


def _upper_bound(graph, node, name, args):
  """`UpperBound`: `tf.searchsorted` of rows, with `side='right'`.

  The index of a value `[M, K]` is the number of those of the sorted row
  `[M, B]` that are not above it.
  """
  del args
  rows, values = node.input
  (dtype,), (shape,) = node.output_dtypes, node.output_shapes
  outputs = node.output
  graph.remove_node(node.name)
  axes = [
      graph.make_const(f'{name}_axis_{i}', np.array([i], np.int64)).output[0]
      for i in (1, 2)
  ]
  # [M, 1, B] and [M, K, 1].
  expanded = [
      graph.make_node('Unsqueeze', [tensor, axis]).output[0]
      for tensor, axis in zip((rows, values), axes, strict=True)
  ]
  not_above = graph.make_node('LessOrEqual', expanded).output[0]
  ones = graph.make_node('Cast', [not_above], attr={'to': dtype}).output[0]
  graph.make_node(
      'ReduceSum',
      [ones, axes[1]],
      attr={'keepdims': 0},
      name=name,
      outputs=outputs,
      shapes=[shape],
      dtypes=[dtype],
  )


def _log1p(graph, node, name, args):
  """`Log1p`: `log(u) x / (u - 1)`, `u = 1 + x` rounded; `x` where `u` is 1.

  (Kahan 1982) The error of `u` cancels, so small `x` keep their digits.
  """
  from tf2onnx import utils

  del args
  (x,), outputs = node.input, node.output
  dtypes, shapes = node.output_dtypes, node.output_shapes
  one = np.ones([], utils.map_onnx_to_numpy_type(dtypes[0]))
  graph.remove_node(node.name)
  one = graph.make_const(f'{name}_one', one).output[0]

  def make(operation, *inputs):
    return graph.make_node(operation, list(inputs)).output[0]

  u = make('Add', x, one)
  log = make('Div', make('Mul', make('Log', u), x), make('Sub', u, one))
  graph.make_node(
      'Where',
      [make('Equal', u, one), x, log],
      name=name,
      outputs=outputs,
      shapes=shapes,
      dtypes=dtypes,
  )


def _expm1(graph, node, name, args):
  """`Expm1`: `(u - 1) x / log(u)`, `u = exp(x)` rounded; `x` where `u` is 1.

  (Kahan 1982) As `_log1p`; far below 0, where `u` is 0, it is -1, and above the
  range of `exp` infinite.
  """
  from tf2onnx import utils

  del args
  (x,), outputs = node.input, node.output
  dtypes, shapes = node.output_dtypes, node.output_shapes
  dtype = utils.map_onnx_to_numpy_type(dtypes[0])
  graph.remove_node(node.name)
  one, small = (
      graph.make_const(f'{name}_{key}', np.array(value, dtype)).output[0]
      for key, value in (('one', 1.0), ('small', 0.5))
  )

  def make(operation, *inputs):
    return graph.make_node(operation, list(inputs)).output[0]

  u = make('Exp', x)
  less = make('Sub', u, one)
  near = make('Div', make('Mul', less, x), make('Log', u))
  near = make('Where', make('Equal', u, one), x, near)
  graph.make_node(
      'Where',
      [make('Less', make('Abs', x), small), near, less],
      name=name,
      outputs=outputs,
      shapes=shapes,
      dtypes=dtypes,
  )


def _unchanged(graph, node, name, args):
  """The operation of the same name; tf2onnx has `Log` in float32 always."""
  del graph, node, name, args


# As `custom_op_handlers` of `tf2onnx.convert.from_function`.
HANDLERS: dict[str, Any] = {
    'Expm1': (_expm1, []),
    'Log': (_unchanged, []),
    'Log1p': (_log1p, []),
    'UpperBound': (_upper_bound, []),
}

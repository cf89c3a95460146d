"""What a graph of TensorFlow computes and moves, operation by operation.

TensorFlow's own counter (`tf.compat.v1.profiler`, `float_operation`) looks at
the outermost graph alone: loops, branches and called functions count nothing.
Here the graph is written out first: calls are inlined, the body of a loop is
entered once and counted as often as it runs, and of a branch on a condition the
first side is taken. All shapes are known then, and TensorFlow's formula of each
operation is asked for its floating-point operations.
"""

import functools
import graphlib
from typing import NamedTuple

import tensorflow as tf
from tensorflow.python.framework import function_def_to_graph
from tensorflow.python.framework import ops

__all__ = ['Work', 'graph_work', 'outermost_flops']

# The attribute that names the function to enter, by type.
_ENTERED = {
    'PartitionedCall': 'f', 'StatefulPartitionedCall': 'f',
    'If': 'then_branch', 'StatelessIf': 'then_branch',
    'While': 'body', 'StatelessWhile': 'body',
}
# Work of multiply-accumulate units; the rest is elementwise or moves data.
_PRODUCTS = tuple("""
    Conv2D Conv2DBackpropFilter Conv2DBackpropInput MatMul BatchMatMulV2
    BatchMatMulV3
""".split())
# Another name for memory that is there already, or known before the step.
_FREE = tuple("""
    Const EnsureShape ExpandDims Identity IdentityN Placeholder
    PreventGradient ReadVariableOp Reshape Shape ShapeN Squeeze StopGradient
    TensorListGetItem TensorListPopBack TensorListReserve TensorListSetItem
""".split())
# Read as much as they write, whatever the size of their input.
_SLICES = tuple("""
    GatherV2 Slice Split SplitV StridedSlice TensorListStack Unpack
""".split())
# They move data, and compute nothing.
_MOVES = _SLICES + tuple("""
    BroadcastTo Cast ConcatV2 Fill Pack Pad ReverseV2 StridedSliceGrad
    TensorListFromTensor Tile Transpose ZerosLike
""".split())
# For each weight that is updated: numbers read and written (weight, slots and
# gradient; weight and slots), and operations.
_UPDATES = {
    'ResourceApplyAdam': (4 + 3, 12),
    'AssignVariableOp': (2 + 1, 1),
    'AssignSubVariableOp': (2 + 1, 1),
    'AssignAddVariableOp': (2 + 1, 1),
}


class Work(NamedTuple):
  """What one operation does in a step, each time that it runs."""

  op_type: str
  repeats: int
  flops: float
  num_bytes: float  # that it reads and writes
  counted: bool  # by TensorFlow; else one for each value written

  @property
  def is_product(self):
    """Whether it is a convolution or a matrix product."""
    return self.op_type in _PRODUCTS


def graph_work(function, num_iterations):
  """The operations of a step, a list of `Work`.

  Args:
    function: `tf.ConcreteFunction` with static shapes.
    num_iterations: How often the body of each loop runs.
  """
  graph = function.graph
  replay = _Replay(graph, num_iterations)
  with replay.graph.as_default():
    replay.run(graph, _placeholders(graph.inputs), 1)
  return replay.work


def outermost_flops(function):
  """What TensorFlow's profiler counts of a function."""
  options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
  options['output'] = 'none'
  return tf.compat.v1.profiler.profile(
      function.graph, options=options
  ).total_float_ops


def _placeholders(tensors):
  return [tf.compat.v1.placeholder(x.dtype, x.shape) for x in tensors]


class _Replay:
  """Writes a graph out, with calls inlined."""

  def __init__(self, source, num_iterations):
    self.graph = tf.Graph()
    self.work = []
    self._num_iterations = num_iterations
    self._source = source
    self._library = {
        f.signature.name: f for f in source.as_graph_def().library.function
    }
    # Not caches of the class: graphs take gigabytes.
    self._function = functools.cache(self._load)
    self._attributes = functools.cache(_attributes)
    self._flops = {}

  def run(self, graph, inputs, repeats):
    """Writes out a `FuncGraph` that runs `repeats` times; its outputs."""
    new = {old.ref(): x for old, x in zip(graph.inputs, inputs, strict=True)}
    for op in _needed(graph):
      if op.outputs and op.outputs[0].ref() in new:
        continue
      arguments = [new[x.ref()] for x in op.inputs]
      values = self._values(op, arguments, repeats)
      for old, x in zip(op.outputs, values, strict=True):
        # Of variables nothing is known but what the old graph says.
        x.set_shape(old.shape)
        new[old.ref()] = x
      if op.type not in _ENTERED:
        self._add(op, arguments, values, repeats)
    return [new[x.ref()] for x in graph.outputs]

  def _values(self, op, arguments, repeats):
    """What an operation returns in the new graph."""
    if op.type in _ENTERED:
      function = self._function(op.get_attr(_ENTERED[op.type]).name)
      if op.type.endswith('If'):
        arguments = arguments[1:]
      elif op.type.endswith('While'):
        arguments = _placeholders(arguments)
        repeats *= self._num_iterations
      return self.run(function, arguments, repeats)
    # The public `create_op` takes twice the time, to look for a deprecated
    # argument.
    return self.graph._create_op_internal(  # pylint: disable=protected-access
        op.type,
        arguments,
        [x.dtype for x in op.outputs],
        attrs=self._attributes(op),
        op_def=op.op_def,
        name=op.type,
    ).outputs

  def _load(self, name):
    # Functions that this one calls are found there.
    with self._source.as_default():
      return function_def_to_graph.function_def_to_graph(self._library[name])

  def _add(self, op, inputs, outputs, repeats):
    """Notes what an operation does."""
    kind = op.type
    if kind in _UPDATES:
      size = inputs[-1].shape.num_elements()
      numbers, flops = _UPDATES[kind]
      self.work.append(
          Work(kind, repeats, flops * size, 4 * numbers * size, False)
      )
      return
    # The host computes shapes and counts loops.
    if kind in _FREE or not any(x.dtype.is_floating for x in outputs):
      return
    written = sum(map(_num_bytes, outputs))
    read = written if kind in _SLICES else sum(map(_num_bytes, inputs))
    flops = self._statistics(kind, inputs, outputs)
    counted = flops is not None
    if not counted:
      numbers = sum(x.shape.num_elements() for x in outputs)
      flops = 0 if kind in _MOVES else numbers
    self.work.append(Work(kind, repeats, flops, read + written, counted))

  def _statistics(self, kind, inputs, outputs):
    """TensorFlow's count, which the profiler gets the same way, or `None`."""
    # Strides and paddings never differ here, and that of a product follows.
    key = kind, *(str(x.shape) for x in (*inputs, *outputs))
    if key not in self._flops:
      self._flops[key] = ops.get_stats_for_node_def(
          self.graph, outputs[0].op.node_def, 'flops'
      ).value
    return self._flops[key]


def _attributes(op):
  """Those that are not of the old graph, as output shapes are."""
  attributes = op.node_def.attr.items()
  return {key: x for key, x in attributes if not key.startswith('_')}


def _num_bytes(x):
  if not (x.dtype.is_floating or x.dtype.is_bool):
    return 0
  if not x.shape.is_fully_defined():
    raise ValueError(f'The shape of {x.name} is not known: {x.shape}.')
  return x.shape.num_elements() * x.dtype.size


def _needed(graph):
  """The operations that outputs or changes of state depend on, inputs first.

  A graph may hold another order: loops whose steps are stored get more inputs
  after they were made.
  """
  queue = [x.op for x in graph.outputs]
  queue += [op for op in graph.get_operations() if op.op_def.is_stateful]
  inputs = {}
  while queue:
    op = queue.pop()
    if op not in inputs:
      inputs[op] = [*(x.op for x in op.inputs), *op.control_inputs]
      queue += inputs[op]
  return graphlib.TopologicalSorter(inputs).static_order()

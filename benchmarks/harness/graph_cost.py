"""What a graph of TensorFlow computes and moves, operation by operation.

TensorFlow's own counter (`tf.compat.v1.profiler`, `float_operation`) looks at
the outermost graph alone: loops, branches and called functions count nothing.
Here the graph is written out first: calls are inlined, the body of a loop is
entered once and counted as often as it runs, and of a branch on a condition the
first side is taken. All shapes are known then, and TensorFlow's formula of each
operation is asked for its floating-point operations.
"""

import collections
import dataclasses
import math

import tensorflow as tf
from tensorflow.python.framework import function_def_to_graph
from tensorflow.python.framework import ops

__all__ = ['Work', 'graph_work', 'outermost_flops']

_CALLS = ('PartitionedCall', 'StatefulPartitionedCall')
_LOOPS = ('While', 'StatelessWhile')
_BRANCHES = ('If', 'StatelessIf')
# Work of multiply-accumulate units; the rest is elementwise or moves data.
_PRODUCTS = tuple("""
    Conv2D Conv2DBackpropFilter Conv2DBackpropInput MatMul BatchMatMulV2
    BatchMatMulV3
""".split())
# Another name for memory that is there already, or known before the step.
_FREE = tuple("""
    Const EnsureShape ExpandDims Identity IdentityN Placeholder
    PreventGradient ReadVariableOp Reshape Shape ShapeN Squeeze StopGradient
    TensorListGetItem TensorListReserve TensorListSetItem
""".split())
# Read as much as they write, whatever the size of their input.
_SLICES = tuple("""
    GatherV2 Slice Split SplitV StridedSlice TensorListStack Unpack
""".split())
# Of a fused update, for each weight: numbers read and written (weight, slots
# and gradient; weight and slots), and operations.
_UPDATES = {'ResourceApplyAdam': (4, 3, 12)}
_ASSIGNMENTS = tuple(
    f'Assign{kind}VariableOp' for kind in ('', 'Sub', 'Add')
)
# They move data, and compute nothing.
_MOVES = _SLICES + tuple("""
    BroadcastTo Cast ConcatV2 Fill Pack Pad ReverseV2 StridedSliceGrad
    TensorListFromTensor Tile Transpose ZerosLike
""".split())


@dataclasses.dataclass(frozen=True)
class Work:
  """What one operation does in a step.

  Attributes:
    op_type: Its type, such as `'Conv2D'`.
    repeats: How often it runs.
    flops: Floating-point operations each time.
    num_bytes: Bytes it reads and writes each time.
    counted: Whether `flops` is TensorFlow's; else one for each value written.
  """

  op_type: str
  repeats: int
  flops: float
  num_bytes: float
  counted: bool

  @property
  def is_product(self):
    """Whether it is a convolution or a matrix product."""
    return self.op_type in _PRODUCTS


def graph_work(function, num_iterations):
  """The operations of a step.

  Args:
    function: `tf.ConcreteFunction` with static shapes.
    num_iterations: How often the body of each loop runs.

  Returns:
    List of `Work`, in the order of the graph.

  Raises:
    ValueError: If the shape of a floating-point value is not known.
  """
  graph = function.graph
  replay = _Replay(graph, num_iterations)
  with replay.graph.as_default():
    inputs = [tf.compat.v1.placeholder(x.dtype, x.shape) for x in graph.inputs]
    replay.run(graph, inputs, 1)
  return replay.work


def outermost_flops(function):
  """What TensorFlow's profiler counts of a function."""
  options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
  options['output'] = 'none'
  return tf.compat.v1.profiler.profile(
      function.graph, options=options
  ).total_float_ops


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
    self._graphs = {}
    self._attributes = {}
    self._flops = {}

  def run(self, graph, inputs, repeats):
    """Writes out a graph.

    Args:
      graph: `FuncGraph`.
      inputs: `Tensor`s of the new graph.
      repeats: How often it runs.

    Returns:
      `Tensor`s of the new graph, the outputs.
    """
    new = {
        old.ref(): x for old, x in zip(graph.inputs, inputs, strict=True)
    }
    needed = _needed(graph)
    for op in graph.get_operations():
      if op not in needed or (op.outputs and op.outputs[0].ref() in new):
        continue
      arguments = [new[x.ref()] for x in op.inputs]
      for old, x in zip(
          op.outputs, self._values(op, arguments, repeats), strict=True
      ):
        # Of variables nothing is known but what the old graph says.
        x.set_shape(old.shape)
        new[old.ref()] = x
      if op.type not in (*_CALLS, *_LOOPS, *_BRANCHES):
        self._add(op, arguments, [new[x.ref()] for x in op.outputs], repeats)
    return [new[x.ref()] for x in graph.outputs]

  def _values(self, op, arguments, repeats):
    """What an operation returns in the new graph."""
    if op.type in _CALLS:
      return self.run(self._function(op, 'f'), arguments, repeats)
    if op.type in _BRANCHES:
      branch = self._function(op, 'then_branch')
      return self.run(branch, arguments[1:], repeats)
    if op.type in _LOOPS:
      return self.run(
          self._function(op, 'body'),
          [tf.compat.v1.placeholder(x.dtype, x.shape) for x in arguments],
          repeats * self._num_iterations,
      )
    if op not in self._attributes:
      self._attributes[op] = {
          key: value
          for key, value in op.node_def.attr.items()
          # Of the old graph: output shapes, above all.
          if not key.startswith('_')
      }
    # The public `create_op` takes twice the time, to look for a deprecated
    # argument.
    return self.graph._create_op_internal(  # pylint: disable=protected-access
        op.type,
        arguments,
        [x.dtype for x in op.outputs],
        attrs=self._attributes[op],
        op_def=op.op_def,
        name=op.type,
    ).outputs

  def _function(self, op, attribute):
    name = op.get_attr(attribute).name
    if name not in self._graphs:
      # Functions that this one calls are found there.
      with self._source.as_default():
        self._graphs[name] = function_def_to_graph.function_def_to_graph(
            self._library[name]
        )
    return self._graphs[name]

  def _add(self, op, inputs, outputs, repeats):
    """Notes what an operation does."""
    kind = op.type
    if kind in _UPDATES or kind in _ASSIGNMENTS:
      size = inputs[-1].shape.num_elements()
      reads, writes, flops = _UPDATES.get(kind, (2, 1, 1))
      self.work.append(
          Work(kind, repeats, flops * size, 4 * (reads + writes) * size, False)
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
      flops = (
          0
          if kind in _MOVES
          else sum(x.shape.num_elements() for x in outputs)
      )
    self.work.append(Work(kind, repeats, flops, read + written, counted))

  def _statistics(self, kind, inputs, outputs):
    """TensorFlow's count, which the profiler gets the same way, or `None`."""
    shapes = [tuple(x.shape) if x.shape.rank is not None else None
              for x in (*inputs, *outputs)]
    # Strides and paddings never differ here, and that of a product follows.
    key = kind, tuple(shapes)
    if key not in self._flops:
      self._flops[key] = ops.get_stats_for_node_def(
          self.graph, outputs[0].op.node_def, 'flops'
      ).value
    return self._flops[key]


def _num_bytes(x):
  if not (x.dtype.is_floating or x.dtype.is_bool):
    return 0
  if not x.shape.is_fully_defined():
    raise ValueError(f'The shape of {x.name} is not known: {x.shape}.')
  return math.prod(x.shape) * x.dtype.size


def _needed(graph):
  """The operations that outputs or changes of state depend on."""
  queue = collections.deque(x.op for x in graph.outputs)
  queue.extend(op for op in graph.get_operations() if op.op_def.is_stateful)
  needed = set()
  while queue:
    op = queue.popleft()
    if op not in needed:
      needed.add(op)
      queue.extend(x.op for x in op.inputs)
      queue.extend(op.control_inputs)
  return needed

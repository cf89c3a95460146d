from harness import graph_cost
import pytest
import tensorflow as tf


def _work(function, *shapes):
  specs = [tf.TensorSpec(shape) for shape in shapes]
  concrete = tf.function(function, autograph=False).get_concrete_function(
      *specs
  )
  return concrete, graph_cost.graph_work(concrete, num_iterations=5)


def _flops(work, op_type=None):
  return sum(
      w.repeats * w.flops for w in work if op_type in (None, w.op_type)
  )


def test_products_by_hand():
  def function(x, kernel, matrix):
    with tf.GradientTape() as tape:
      tape.watch([x, kernel])
      y = tf.nn.conv2d(x, kernel, 1, 'SAME') @ matrix
    return tape.gradient(y, [x, kernel])

  _, work = _work(function, [2, 8, 8, 3], [3, 3, 3, 4], [4, 5])
  convolution = 2 * (2 * 8 * 8) * (9 * 3 * 4)
  # The value itself is not asked for, and not counted.
  assert _flops(work, 'Conv2DBackpropInput') == convolution
  assert _flops(work, 'Conv2DBackpropFilter') == convolution
  assert _flops(work, 'Conv2D') == 0
  (product,) = [w for w in work if w.op_type.startswith(('Mat', 'Batch'))]
  assert product.flops == 2 * (2 * 8 * 8) * 4 * 5
  assert product.is_product and product.counted


def test_loops_calls_and_branches():
  @tf.function(autograph=False)
  def called(x, a):
    return x @ a

  def function(x, a):
    (x,) = tf.while_loop(
        lambda x: True, lambda x: (called(x, a),), (x,), maximum_iterations=5
    )
    return tf.cond(x[0, 0] > 0, lambda: x @ a, lambda: (x @ a) @ a)

  concrete, work = _work(function, [4, 4], [4, 4])
  assert [w.repeats for w in work if w.is_product] == [5, 1]
  assert _flops(work, 'MatMul') == 6 * 2 * 4**3
  # The reason for all this.
  assert graph_cost.outermost_flops(concrete) < 6 * 2 * 4**3


def test_bytes():
  _, work = _work(lambda x, y: tf.exp(x + y)[:2], [8, 8], [8])
  by_type = {w.op_type: w for w in work}
  assert by_type['AddV2'].num_bytes == 4 * (64 + 8 + 64)
  assert by_type['Exp'].num_bytes == 4 * 128
  assert not by_type['Exp'].counted and by_type['Exp'].flops == 64
  # Reads what it keeps.
  assert by_type['StridedSlice'].num_bytes == 4 * 32


def test_shapes_must_be_known():
  with pytest.raises(ValueError, match='is not known'):
    _work(tf.exp, [None])

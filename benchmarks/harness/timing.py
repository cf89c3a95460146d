"""Times of functions, and what this machine reaches."""

import statistics
import time

import tensorflow as tf

__all__ = ['alternating', 'machine_rates']


def alternating(functions, num_timings):
  """Median seconds of each function, called in turn after a first call.

  In turn, so that a disturbance of the machine hits all of them.
  """
  for function in functions.values():
    function()
  times = {name: [] for name in functions}
  for _ in range(num_timings):
    for name, function in functions.items():
      start = time.perf_counter()
      function()
      times[name].append(time.perf_counter() - start)
  return {name: statistics.median(t) for name, t in times.items()}


def machine_rates():
  """Operations of products, bytes moved, and the time of a small operation."""
  n, length, chain = 2048, 2**25, 5000
  a = tf.random.stateless_normal([n, n], [0, 0])
  b = tf.random.stateless_normal([length], [0, 1])
  # Of a constant, TensorFlow would compute the chain beforehand; one of unary
  # operations, it would fuse.
  c = tf.Variable(tf.ones([16]))

  def small_operations():
    x = tf.convert_to_tensor(c)
    for _ in range(chain):
      x = tf.atan2(x, c)
    return x

  graphs = {
      'products': tf.function(lambda: (a @ a)[0, 0], autograph=False),
      'bytes': tf.function(lambda: (b + 1.0)[:8], autograph=False),
      'small': tf.function(small_operations, autograph=False),
  }
  seconds = alternating(
      {name: lambda f=f: f().numpy() for name, f in graphs.items()}, 9
  )
  return {
      'product_flops_per_second': 2 * n**3 / seconds['products'],
      'bytes_per_second': 8 * length / seconds['bytes'],
      'dispatch_seconds': seconds['small'] / chain,
  }

"""Checks that a served graph makes of the tensors of a request."""

import tensorflow as tf

__all__ = ['checked', 'finite']


def checked(specs, tensors, not_negative=()):
  """The tensors of a request, or an error that says what is wrong with them.

  A server checks types alone, and a graph takes for granted that shapes are
  those it was traced with: it would answer what it was not asked. The checks
  are operations of the graph, so they are served with it. (XLA leaves out all
  but that of shapes.)

  `specs` are `tf.TensorSpec`s by name, `tensors` the `Tensor`s of some of these
  names, in the order of the list that is returned. Axes of unknown size come
  first, and are all of one size, the `N` of the messages. Using a result is an
  `InvalidArgumentError` if any tensor has a wrong shape, is not finite, or is
  negative and named in `not_negative`.
  """
  result, assertions, batch_sizes = [], [], []
  for name, tensor in tensors.items():
    spec = specs[name]
    # Without the shape that it was traced with, from which the checks would be
    # computed before there is a request. By its name TensorFlow calls what does
    # not fit a shape without `None`: it takes for granted that the check of
    # such a shape holds, and leaves it out.
    tensor = tf.compat.v1.placeholder_with_default(
        tensor, None, name=f'argument_{name}'
    )
    shape = tf.shape(tensor)
    assertions.append(_assert_shape(shape, spec))
    if None in spec.shape:
      batch_sizes.append((name, shape))
    with tf.control_dependencies(assertions):
      # For XLA, which knows all shapes as it compiles, and no assertions.
      tensor = tf.ensure_shape(tensor, spec.shape)
    if spec.dtype.is_floating:
      tensor = finite(tensor, f'Argument `{name}` must be finite.')
    if name in not_negative:
      assertions.append(
          tf.debugging.Assert(
              tensor >= 0,
              [f'Argument `{name}` must not be negative, got', tensor],
          )
      )
    result.append(tensor)
  for name, shape in batch_sizes[1:]:
    first, first_shape = batch_sizes[0]
    with tf.control_dependencies(assertions):
      shapes = tf.identity(first_shape), tf.identity(shape)
    assertions.append(
        tf.debugging.Assert(
            tf.equal(shapes[0][0], shapes[1][0]),
            [f'Arguments `{first}` and `{name}` must be as many, got', *shapes],
        )
    )
  with tf.control_dependencies(assertions):
    return [tf.identity(tensor) for tensor in result]


def finite(tensor, message):
  """A tensor whose use raises `InvalidArgumentError` unless it is finite."""
  return tf.debugging.assert_all_finite(tensor, message)


def _assert_shape(shape, spec):
  """An operation that fails unless a shape is that of a spec."""
  sizes = spec.shape.as_list()
  rank = len(sizes)
  # As many as wanted, whatever the rank is.
  filled = tf.concat([shape, tf.zeros([rank], tf.int32)], axis=0)[:rank]
  known = tf.constant([-1 if n is None else n for n in sizes], tf.int32)
  fits = tf.reduce_all(tf.equal(filled, known) | (known < 0))
  wanted = ', '.join('N' if size is None else str(size) for size in sizes)
  return tf.debugging.Assert(
      tf.logical_and(tf.equal(tf.size(shape), rank), fits),
      [f'Argument `{spec.name}` must have shape [{wanted}], got', shape],
  )

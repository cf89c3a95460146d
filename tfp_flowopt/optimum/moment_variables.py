"""Moments kept in variables."""

import dataclasses

import tensorflow as tf

__all__ = ['MomentVariables']


class MomentVariables:
  """The variables of one `Moments`, of any kind.

  Not a `tf.Module`: the owner decides what a checkpoint holds, by tracking
  `variables` or not.
  """

  def __init__(self, template, mean_shape, matrix_shape, **options):
    """Creates variables for no data.

    Args:
      template: `Moments` whose other fields are kept, and whose `count`,
        `mean` and `matrix` do not matter.
      mean_shape: Shape of `mean`.
      matrix_shape: Shape of `matrix`.
      **options: Of `tf.Variable`.
    """
    self._template = template
    self.variables = {
        name: tf.Variable(
            tf.zeros(shape, tf.float64), trainable=False, name=name, **options
        )
        for name, shape in (
            ('count', []),
            ('mean', mean_shape),
            ('matrix', matrix_shape),
        )
    }

  def read(self):
    """The `Moments`."""
    return dataclasses.replace(
        self._template,
        **{name: tf.identity(v) for name, v in self.variables.items()},
    )

  def assign(self, moments):
    """Replaces all by `moments`, or none where those are refused."""
    # In a graph the count may not depend on the values, and would be assigned
    # although they are refused.
    with tf.control_dependencies([moments.matrix]):
      for name, variable in self.variables.items():
        variable.assign(getattr(moments, name))

  def clear(self):
    """Back to no data."""
    for variable in self.variables.values():
      variable.assign(tf.zeros_like(variable))

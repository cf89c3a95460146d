"""Moments kept in variables."""

import dataclasses
import math
import os

import tensorflow as tf

__all__ = ['MomentVariables']

_FIELDS = ('count', 'mean', 'within', 'between')


class MomentVariables:
  """The variables of one `Moments`, of any kind.

  Not a `tf.Module`: the owner decides what a checkpoint holds, by tracking
  `variables` or not.
  """

  def __init__(self, template, shapes, **options):
    """Creates variables for no data.

    Args:
      template: `Moments` whose further fields are kept; its tensors do not
        matter.
      shapes: Of `mean`, `within` and `between`.
      **options: Of `tf.Variable`.

    Raises:
      ValueError: If this machine has less memory than they take.
    """
    _check_memory(shapes)
    self._template = template
    self.variables = {
        name: tf.Variable(
            tf.zeros(shape, tf.float64), trainable=False, name=name, **options
        )
        for name, shape in zip(_FIELDS, ([], *shapes), strict=True)
    }

  def read(self):
    """The `Moments`."""
    return dataclasses.replace(
        self._template,
        **{name: tf.identity(v) for name, v in self.variables.items()},
    )

  def add(self, moments):
    """Merges `moments` into them, in place; nothing where those are refused."""
    means = self.read().merged_means(moments)
    # In a graph the count may not depend on the values, and would be assigned
    # although they are refused.
    with tf.control_dependencies([moments.within]):
      # The largest one without a copy.
      self.variables['within'].assign_add(moments.within)
      for name, value in means.items():
        self.variables[name].assign(value)

  def clear(self):
    """Back to no data."""
    for variable in self.variables.values():
      variable.assign(tf.zeros_like(variable))


def _check_memory(shapes):
  """Raises a `ValueError` for variables that no memory here could hold."""
  size = 8 * sum(math.prod(shape) for shape in shapes)
  try:
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  except (AttributeError, OSError, ValueError):
    return  # not on this system
  if size > memory:
    raise ValueError(
        f'Argument `event_shape`: moments of shapes {list(shapes)} take '
        f'{size / 2**30:.1f} GiB, and this machine has {memory / 2**30:.1f}. '
        'Structures "pointwise" and "circulant" need less; so does '
        '`likelihood_optimum` of fewer vectors than dimensions.'
    )

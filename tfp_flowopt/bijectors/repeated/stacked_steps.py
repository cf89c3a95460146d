"""Equal steps as one step with stacked weights."""

import tensorflow as tf

from tfp_flowopt.internal import module_tree
from tfp_flowopt.parameters import parametrization

__all__ = ['StackedSteps']


class StackedSteps(tf.Module):
  """`K` steps of the same structure, with weights stacked to `[K, ...]`.

  A `Parametrization` is computed for all steps at once.
  """

  def __init__(self, steps, name='stacked_steps'):
    """Stacks copies of the weights of steps, lists of bijectors.

    A `ValueError` if the steps differ in more than their weights.
    """
    super().__init__(name=name)
    for i, step in enumerate(steps):
      found = module_tree.differences(steps[0], step)
      if found:
        raise ValueError(
            'Argument `step`: the steps must have the same structure, but '
            f'compared with step {i}, {found}.'
        )
    self._num_steps = len(steps)
    columns = zip(*(module_tree.leaves(step) for step in steps), strict=True)
    self._parts = module_tree.with_leaves(
        steps[0],
        module_tree.leaves(steps[0]),
        [_stacked(column) for column in columns],
    )

  @property
  def num_steps(self):
    """The `K` above."""
    return self._num_steps

  @property
  def template(self):
    """The bijectors of a step, for what does not depend on their weights."""
    return self._parts

  def parts(self):
    """The bijectors of a step with `Tensor`s `[K, ...]` in them."""
    kind = parametrization.Parametrization
    leaves = module_tree.leaves(self._parts, stop=kind)
    computed = [leaf for leaf in leaves if isinstance(leaf, kind)]
    given = dict(zip(computed, parametrization.values(computed), strict=True))
    new = [
        parametrization.GivenWeights(given[leaf])
        if isinstance(leaf, kind)
        else tf.convert_to_tensor(leaf)
        for leaf in leaves
    ]
    return module_tree.with_leaves(self._parts, leaves, new)

  def step(self, index):
    """One step, to look at: its weights are `Tensor`s, those of now."""
    return self._copy(lambda leaf: leaf[index])

  def trainable_step(self, index):
    """The same, with variables of its own, to change and `assign`."""
    return self._copy(
        lambda leaf: tf.Variable(leaf[index], trainable=leaf.trainable)
        if isinstance(leaf, tf.Variable)
        else leaf[index]
    )

  def _copy(self, convert):
    old = module_tree.leaves(self._parts)
    return module_tree.with_leaves(
        self._parts, old, [convert(leaf) for leaf in old]
    )

  def assign(self, index, step):
    """Replaces the weights of one step by those of a list of bijectors."""
    found = module_tree.differences(self.step(index), step)
    if found:
      raise ValueError(f'Argument `step` has another structure: {found}.')
    old = module_tree.leaves(self._parts)
    for leaf, value in zip(old, module_tree.leaves(step), strict=True):
      if isinstance(leaf, tf.Variable):
        leaf[index].assign(value)


def _stacked(leaves):
  """Equal leaves of all steps as one; a variable, if they are."""
  first = leaves[0]
  value = tf.stack([tf.convert_to_tensor(leaf) for leaf in leaves])
  if not isinstance(first, tf.Variable):
    return value
  return tf.Variable(
      value, trainable=first.trainable, name=first.name.split(':')[0]
  )

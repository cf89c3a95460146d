"""Copies of modules with other tensors in the place of their variables."""

import numpy as np
import tensorflow as tf

__all__ = ['differences', 'is_state', 'leaves', 'with_leaves']

# What modules keep for themselves: trackers, arguments, names.
_PRIVATE = frozenset(['_parameters', '_cache_identity', '_name', '_name_scope'])


def is_state(name):
  """Whether modules keep an attribute of this name for themselves."""
  return name in _PRIVATE or name.startswith(
      ('_self_', '_obj_reference', '_cached_')
  )


def _children(obj):
  """Pairs of a name and an object inside `obj`, always in the same order."""
  if isinstance(obj, tf.Module):
    return [(k, v) for k, v in vars(obj).items() if not is_state(k)]
  if isinstance(obj, dict):
    return list(obj.items())
  if isinstance(obj, (list, tuple)):
    return list(enumerate(obj))
  return []


def _is_tensor(obj):
  if obj is None or isinstance(obj, (str, int, float, tf.DType)):
    return False  # most are; `tf.is_tensor` is slow to say no
  return isinstance(obj, tf.Variable) or tf.is_tensor(obj)


def leaves(tree, stop=()):
  """The variables and tensors of a tree of modules, lists and dictionaries.

  A list, each leaf once, always in the same order. Modules of the classes
  `stop` are leaves, too; what is inside them is not looked at.
  """
  found, seen = [], set()

  def visit(obj):
    if id(obj) in seen:
      return
    seen.add(id(obj))
    if _is_tensor(obj) or isinstance(obj, stop):
      found.append(obj)
      return
    for _, child in _children(obj):
      visit(child)

  visit(tree)
  return found


def with_leaves(tree, old, new):
  """A copy of a tree, not constructed anew, with leaves `new` for `old`."""
  # The copy of each object, so that what is shared stays shared.
  copies = {id(a): b for a, b in zip(old, new, strict=True)}

  def copied(obj):
    if id(obj) in copies:
      return copies[id(obj)]
    if isinstance(obj, tf.Module):
      result = copies[id(obj)] = object.__new__(type(obj))
      # Without tracking, which needs what a constructor would have set up.
      state = {k: v for k, v in vars(obj).items() if k in _PRIVATE}
      state.pop('_cache_identity', None)
      vars(result).update(state)
      for name, child in _children(obj):
        setattr(result, name, copied(child))
      if state.get('_parameters'):  # of a TFP bijector
        vars(result).update(_parameters=copied(dict(state['_parameters'])))
      return result
    if isinstance(obj, dict):
      return {k: copied(v) for k, v in obj.items()}
    if isinstance(obj, tuple) and not hasattr(obj, '_fields'):
      return tuple(copied(v) for v in obj)
    if isinstance(obj, list):
      return [copied(v) for v in obj]
    return obj

  return copied(tree)


def differences(a, b, path='', seen=None):
  """The first difference of two trees but for their leaves' values, or `None`.

  `path` names both; `seen` has pairs being compared: modules may form circles.
  """
  if _is_tensor(a) and _is_tensor(b):
    if a.shape != b.shape or a.dtype != b.dtype:
      return (
          f'{path} is {a.dtype.name} {a.shape} in one and {b.dtype.name} '
          f'{b.shape} in another'
      )
    return None
  seen = set() if seen is None else seen
  if a is b or (id(a), id(b)) in seen:
    return None
  seen.add((id(a), id(b)))
  if type(a) is not type(b):
    return f'{path} is {type(a).__name__} in one, {type(b).__name__} in another'
  inside, other = _children(a), _children(b)
  if not inside and not other:
    if isinstance(a, (tf.Module, dict, list, tuple)) or _equal(a, b):
      return None
    return f'{path} is {a!r} in one and {b!r} in another'
  if [name for name, _ in inside] != [name for name, _ in other]:
    return f'{path or "the whole"} does not have the same parts'
  for (name, one), (_, two) in zip(inside, other, strict=True):
    name = f'{path}.{name}' if path else str(name)
    found = differences(one, two, name, seen)
    if found:
      return found
  return None


def _equal(a, b):
  """Whether two things are the same, arrays of any shape among them."""
  if isinstance(a, np.ndarray):
    return a.dtype == b.dtype and np.array_equal(a, b)
  return a == b

"""Bijectors of TFP that remember what they computed for one call only."""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt.internal import floats
from tfp_flowopt.internal import tfp_calls

__all__ = ['CallCachedBijector', 'WeightedBijector']


class _Evaluation(NamedTuple):
  """A pair of points, what else they depend on, and `log|det|` of `inverse`."""

  bijector: tfp.bijectors.Bijector
  graph: tf.Graph
  kwargs: dict
  x: tf.Tensor
  y: tf.Tensor
  attributes: dict


class _CallCache:
  """In the place of TFP's cache, which takes weights for constants.

  TFP's finds a value again as long as the tensors live: after the weights have
  changed, for conditions that were overwritten, and in a new
  `tf.GradientTape`, which has not seen where it came from. This one finds it
  in the call of TFP in which it was computed (`tfp_calls.py`), and keeps it no
  longer.
  """

  def __init__(self, bijector=None):
    self._bijector = bijector

  def __get__(self, bijector, owner=None):
    del owner
    return type(self)(bijector)

  def forward(self, x, **kwargs):
    return self._evaluation(x, True, kwargs).y

  def inverse(self, y, **kwargs):
    return self._evaluation(y, False, kwargs).x

  def forward_attributes(self, x, **kwargs):
    return self._evaluation(x, True, kwargs).attributes

  def inverse_attributes(self, y, **kwargs):
    return self._evaluation(y, False, kwargs).attributes

  def _evaluation(self, given, forward, kwargs):
    """Finds the evaluation at a point, or makes it."""
    bijector = self._bijector
    graph = tf.compat.v1.get_default_graph()
    known = tfp_calls.evaluations()
    key = id(bijector), forward, id(given)
    found = known.get(key)
    # Its tensors are of its graph, not of one inside.
    if found and found.graph is graph and _same(found.kwargs, kwargs):
      return found
    if forward:
      x = given
      y, fldj = bijector._forward_and_log_det(x, **kwargs)
      ildj = -fldj
    else:
      y = given
      x, ildj = bijector._inverse_and_log_det(y, **kwargs)
    found = _Evaluation(bijector, graph, kwargs, x, y, {'ildj': ildj})
    # It holds what the keys are the identities of.
    known[id(bijector), True, id(x)] = found
    known[id(bijector), False, id(y)] = found
    return found


def _same(kwargs, others):
  return kwargs.keys() == others.keys() and all(
      kwargs[key] is others[key] for key in kwargs
  )


class CallCachedBijector(tfp.bijectors.Bijector):
  """A bijector whose values are found again in the same call of TFP alone.

  Nor those of a `tfb.Chain` that it is part of. Subclasses have the methods
  `_forward_and_log_det` and `_inverse_and_log_det`.
  """

  _cache = _CallCache()

  def _get_parameterization(self):
    """What TFP hashes, and compares for equality."""
    number = tfp_calls.note_key()
    own = self._identifies()
    return own if number is None else (own, number)

  def _identifies(self):
    return super()._get_parameterization()


class _Identity:
  """Equal to itself alone."""


class WeightedBijector(CallCachedBijector):
  """The same for one that has weights, and takes floating-point numbers."""

  def _identifies(self):
    # TFP takes bijectors of equal arguments for equal. Ours hold weights of
    # their own, and other bijectors: going through all of those took half of
    # the time to trace a flow. Not its id: another bijector may get that when
    # this one is gone.
    if '_cache_identity' not in vars(self):
      self._cache_identity = _Identity()
    return self._cache_identity

  # Here the input is still what the caller gave.

  def _call_forward(self, x, name, **kwargs):
    _refuse_integers(x, 'x')
    return super()._call_forward(x, name, **kwargs)

  def _call_inverse(self, y, name, **kwargs):
    _refuse_integers(y, 'y')
    return super()._call_inverse(y, name, **kwargs)

  def _call_forward_log_det_jacobian(self, x, event_ndims, name, **kwargs):
    _refuse_integers(x, 'x')
    return super()._call_forward_log_det_jacobian(
        x, event_ndims, name, **kwargs
    )

  def _call_inverse_log_det_jacobian(self, y, event_ndims, name, **kwargs):
    _refuse_integers(y, 'y')
    return super()._call_inverse_log_det_jacobian(
        y, event_ndims, name, **kwargs
    )


def _refuse_integers(given, name):
  """Raises a `ValueError` for integers, whoever made floats of them."""
  floats.refuse_integers(given, name)
  # A distribution, or a chain, does that before it calls a bijector.
  for owner, value in tfp_calls.given_values():
    if floats.integer_type(value) and not _takes_integers(owner):
      floats.refuse_integers(value, name)


def _takes_integers(owner):
  """Whether a bijector or distribution is made for integers."""
  types = [getattr(owner, 'dtype', None)]
  if isinstance(owner, tfp.bijectors.Bijector):
    types += [owner.forward_dtype(), owner.inverse_dtype()]
  return any(getattr(dtype, 'is_integer', False) for dtype in types)

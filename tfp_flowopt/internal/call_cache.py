"""Bijectors of TFP that remember what they computed for one call only.

TFP asks a bijector for a value and, a few lines later, for the log-determinant
that came with it. All that the two requests have in common is the call of TFP
that makes them: from its first line to its last the weights stay what they are,
and no `tf.GradientTape` begins or ends. It is looked for on the stack, and what
is kept for it is gone with the local variables of its outermost function.

Where TFP changes what calls what, all is computed twice, which is right, and
which `tests/bijectors/test_calls_of_tfp.py` notices.
"""

import itertools
import sys
from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.internal import cache_util

from tfp_flowopt.internal import conditions
from tfp_flowopt.internal import floats

__all__ = ['CallCachedBijector', 'WeightedBijector']

_TFP = 'tensorflow_probability.python.'
# Modules whose functions belong to a call. Anything else may record gradients
# or change weights: a user's function, a loop, a tape.
_INSIDE = (
    _TFP + 'bijectors.',
    _TFP + 'distributions.transformed_distribution',
    _TFP + 'experimental.tangent_spaces',
    _TFP + 'internal.',
    _TFP + 'mcmc.transformed_kernel',
    'tensorflow.python.util.',
    'tfp_flowopt.bijectors.base',
    'tfp_flowopt.internal.call_cache',
)
_EVALUATIONS = '_tfp_flowopt_evaluations'
_NUMBERS = itertools.count()
# Makes the keys of TFP's cache.
_KEY = cache_util.WeakStructRef.__init__.__code__
# Whose public methods call the data so.
_OWNERS = tfp.bijectors.Bijector, tfp.distributions.Distribution
_DATA = 'value', 'x', 'y'


class _Evaluations(dict):
  """What one call has computed."""

  def __init__(self):
    super().__init__()
    self.number = next(_NUMBERS)
    # Of TFP's own cache, each with the dictionary that it may be in.
    self.keys = []

  def __del__(self):
    for storage, key in self.keys:
      key.cancel()
      storage.pop(key, None)


def _callers(modules):
  """The frames that called the caller, as far as the modules go."""
  frame, frames = sys._getframe(2), []  # pylint: disable=protected-access
  while frame is not None and frame.f_globals.get('__name__', '').startswith(
      modules
  ):
    frames.append(frame)
    frame = frame.f_back
  return frames


def _evaluations_of(frames):
  variables = frames[-1].f_locals
  if _EVALUATIONS not in variables:
    variables[_EVALUATIONS] = _Evaluations()
  return variables[_EVALUATIONS]


def _evaluations():
  """What the running call has computed so far, to be added to."""
  return _evaluations_of(_callers(_INSIDE))


def _note_key():
  """Makes the keys of TFP's own cache those of one call; for `__hash__`.

  A `tfb.Chain` keeps its values in a cache of TFP's, under a hash of its parts,
  as long as the tensors live. The key is removed when the call returns. The
  hash must depend on the number of the call, for a traceback can keep a call
  alive; `None` if it is not the cache that asks.
  """
  frames = _callers(_INSIDE)
  for frame in frames:
    if frame.f_code is _KEY:
      known = _evaluations_of(frames)
      cache = frame.f_back.f_locals['self']
      known.keys.append((cache.storage, frame.f_locals['self']))
      return known.number
  return None


def _given_values():
  """The data as users gave it to TFP, before it was made a `Tensor`.

  Pairs of a bijector or distribution and an argument of its running method, the
  innermost first.
  """
  found = []
  for frame in _callers((*_INSIDE, _TFP + 'distributions.')):
    variables = frame.f_locals
    owner = variables.get('self')
    if isinstance(owner, _OWNERS) and not frame.f_code.co_name.startswith('_'):
      found += [(owner, variables[name]) for name in _DATA if name in variables]
  return found


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
  `tf.GradientTape`, which has not seen where it came from. This one keeps it no
  longer than the call of TFP in which it was computed.
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
    known = _evaluations()
    key = id(bijector), forward, id(given)
    found = known.get(key)
    # Its tensors are of its graph, not of one inside.
    if found and found.graph is graph and _same(found.kwargs, kwargs):
      return found
    if kwargs.get('conditioning') is None and getattr(
        bijector, '_needs_conditioning', False
    ):
      raise ValueError(
          f'Argument `conditioning` is missing: {bijector.name} depends on it'
          f'{conditions.WITH_DISTRIBUTION}; in a `tfb.Chain`, '
          f'`{{"{bijector.name}": {{"conditioning": ...}}}}`.'
      )
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
    number = _note_key()
    own = self._identifies()
    return own if number is None else (own, number)

  def _identifies(self):
    return super()._get_parameterization()


class WeightedBijector(CallCachedBijector):
  """The same for one that has weights, and takes floating-point numbers."""

  def _identifies(self):
    # TFP takes bijectors of equal arguments for equal. Ours hold weights of
    # their own, and other bijectors: going through all of those took half of
    # the time to trace a flow. Not its id: another bijector may get that when
    # this one is gone.
    if '_cache_identity' not in vars(self):
      self._cache_identity = object()
    return self._cache_identity

  # Here the input is still what the caller gave.

  def _call_forward(self, x, name, **kwargs):
    _refuse_integers(x, 'x')
    return super()._call_forward(x, name, **kwargs)

  def _call_inverse(self, y, name, **kwargs):
    _refuse_integers(y, 'y')
    return super()._call_inverse(y, name, **kwargs)

  def _call_forward_log_det_jacobian(self, x, *args, **kwargs):
    _refuse_integers(x, 'x')
    return super()._call_forward_log_det_jacobian(x, *args, **kwargs)

  def _call_inverse_log_det_jacobian(self, y, *args, **kwargs):
    _refuse_integers(y, 'y')
    return super()._call_inverse_log_det_jacobian(y, *args, **kwargs)


def _refuse_integers(given, name):
  """Raises a `ValueError` for integers, whoever made floats of them."""
  floats.refuse_integers(given, name)
  # A distribution, or a chain, does that before it calls a bijector.
  for owner, value in _given_values():
    if floats.integer_type(value) and not _takes_integers(owner):
      floats.refuse_integers(value, name)


def _takes_integers(owner):
  """Whether a bijector or distribution is made for integers."""
  types = [getattr(owner, 'dtype', None)]
  if isinstance(owner, tfp.bijectors.Bijector):
    types += [owner.forward_dtype(), owner.inverse_dtype()]
  return any(getattr(dtype, 'is_integer', False) for dtype in types)

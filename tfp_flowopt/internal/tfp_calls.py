"""Calls of TensorFlow Probability: which one is running, and its input.

TFP asks a bijector for a value and, a few lines later, for the log-determinant
that came with it. All that the two requests have in common is the call of TFP
that makes them: from its first line to its last the weights stay what they are,
and no `tf.GradientTape` begins or ends. It is looked for on the stack, and what
is kept for it is kept with the local variables of its outermost function, which
are gone when that returns.

Where TFP changes what calls what, the call is found in pieces, and all is
computed twice, which is right, and which
`tests/bijectors/test_calls_of_tfp.py` notices.
"""

import itertools
import sys

import tensorflow_probability as tfp
from tensorflow_probability.python.internal import cache_util

__all__ = ['evaluations', 'given_values', 'note_key']

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
  """What one call has computed.

  Attributes:
    number: That no other call has.
    keys: Of TFP's own cache, each with the dictionary that it may be in.
  """

  def __init__(self):
    super().__init__()
    self.number = next(_NUMBERS)
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


def evaluations():
  """What the running call has computed so far; for a bijector's cache.

  Returns:
    A dictionary for the caller to fill, the same one until the call returns.
  """
  return _evaluations_of(_callers(_INSIDE))


def note_key():
  """Makes the keys of TFP's own cache those of one call; for `__hash__`.

  A `tfb.Chain` keeps its values in a cache of TFP's, under a hash of its parts,
  as long as the tensors live. The key is removed when the call returns.

  Returns:
    Number of the running call, which the hash must depend on: a traceback can
    keep a call alive. `None` if it is not the cache that asks.
  """
  frames = _callers(_INSIDE)
  for frame in frames:
    if frame.f_code is _KEY:
      known = _evaluations_of(frames)
      cache = frame.f_back.f_locals['self']
      known.keys.append((cache.storage, frame.f_locals['self']))
      return known.number
  return None


def given_values():
  """The data as users gave it to TFP, before it was made a `Tensor`.

  Returns:
    List of pairs, for each method of a bijector or distribution that is
    running, the innermost first: the bijector or distribution, and the
    argument.
  """
  found = []
  for frame in _callers((*_INSIDE, _TFP + 'distributions.')):
    variables = frame.f_locals
    owner = variables.get('self')
    if isinstance(owner, _OWNERS) and not frame.f_code.co_name.startswith('_'):
      found += [(owner, variables[name]) for name in _DATA if name in variables]
  return found

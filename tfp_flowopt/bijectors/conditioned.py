"""What bijectors are conditioned on, handed on to those inside of others."""

import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ['conditioning_ndims', 'is_conditional', 'keywords']

# TFP makes instances of these private base classes, too.
_INVERT, _CHAIN = (
    cls.__mro__[1] for cls in (tfp.bijectors.Invert, tfp.bijectors.Chain)
)


def is_conditional(bijector):
  """Whether a bijector takes `conditioning`, or one inside of TFP's does."""
  if hasattr(bijector, '_is_conditional'):
    return bijector._is_conditional  # pylint: disable=protected-access
  return bool(_conditional_parts(bijector))


def conditioning_ndims(bijector):
  """`_conditioning_ndims` of a bijector, or of the first one inside of it."""
  if hasattr(bijector, '_is_conditional'):
    return bijector._conditioning_ndims  # pylint: disable=protected-access
  return conditioning_ndims(_conditional_parts(bijector)[0])


def _conditional_parts(bijector):
  """Those of the bijectors that one of TFP's is made of."""
  given = tf.nest.flatten(list(bijector.parameters.values()))
  return [
      part
      for part in given
      if isinstance(part, tfp.bijectors.Bijector)
      and is_conditional(part)
      # A flow that was made without a condition would refuse one.
      and getattr(part, 'conditioning', part) is not None
  ]


def keywords(bijector, conditioning=None):
  """Keyword arguments of a bijector, empty if it takes no `conditioning`.

  TFP's own hand them on in ways of their own: a `tfb.Invert` as they are, a
  `tfb.Chain` by the names of its parts. A `ValueError` for any other that has a
  conditional bijector inside, which would never see its condition.
  """
  if conditioning is None or not is_conditional(bijector):
    return {}
  if hasattr(bijector, '_is_conditional'):
    return {'conditioning': conditioning}
  parts = _conditional_parts(bijector)
  if isinstance(bijector, _INVERT):
    return keywords(parts[0], conditioning)
  if isinstance(bijector, _CHAIN):
    found = {part.name: keywords(part, conditioning) for part in parts}
    named = [part for part in bijector.bijectors if part.name in found]
    if len(named) == len(parts):
      return found
  raise ValueError(
      f'Argument `conditioning` would not reach the parts of {bijector.name}: '
      'give them to a `tfp_flowopt.bijectors.Sequential`, or to a `tfb.Chain` '
      'under names of their own.'
  )

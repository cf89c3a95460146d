"""The image flow that a distribution is made by."""

from tfp_flowopt import bijectors

__all__ = ['flow_of']


def flow_of(distribution):
  """The `ImageFlow` of a distribution.

  Args:
    distribution: `tfd.TransformedDistribution` by an `ImageFlow`.

  Returns:
    The `ImageFlow`.

  Raises:
    ValueError: If `distribution` is of another kind.
  """
  flow = getattr(distribution, 'bijector', None)
  if not isinstance(flow, bijectors.ImageFlow):
    raise ValueError(
        'Argument `distribution` must be a TransformedDistribution by an '
        f'ImageFlow, got {distribution}.'
    )
  return flow

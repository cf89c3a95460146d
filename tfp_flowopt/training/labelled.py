"""Images that may have labels beside them."""

import tensorflow as tf

__all__ = ['check', 'split']


def split(batch):
  """Images, and what else a distribution's methods need for them.

  Args:
    batch: Images, or a pair of images and what they are conditioned on.

  Returns:
    images: `Tensor`.
    kwargs: Dictionary, `bijector_kwargs` or nothing.
  """
  if tf.is_tensor(batch):
    return batch, {}
  images, conditioning = batch
  return images, {'bijector_kwargs': {'conditioning': conditioning}}


def check(distribution, images, name):
  """Refuses images without the labels that a flow needs, or with others.

  Args:
    distribution: The flow.
    images: Images with `class_names`, or without.
    name: Of the argument.

  Raises:
    ValueError: If they do not fit.
  """
  conditioning = getattr(distribution.bijector, 'conditioning', None)
  names = getattr(images, 'class_names', None)
  if conditioning is None and names is None:
    return
  if conditioning is None:
    raise ValueError(
        f'Argument `{name}` has labels, and the flow is not conditioned on any:'
        f' make it with `conditioning={len(names)}`.'
    )
  if names is None:
    raise ValueError(
        f'Argument `{name}` must have labels: the flow is conditioned on '
        f'{conditioning}.'
    )
  if conditioning.spec.dtype != tf.int64 or conditioning.num_channels < len(
      names
  ):
    raise ValueError(
        f'Argument `{name}` has {len(names)} classes, and the flow is '
        f'conditioned on {conditioning}.'
    )

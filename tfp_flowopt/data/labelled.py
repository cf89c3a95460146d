"""Images that may have labels beside them."""

import tensorflow as tf

from tfp_flowopt.data import examples

__all__ = ['check', 'check_alike', 'split']


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
  names = examples.optional(images, 'class_names')
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


def check_alike(train_images, held_out_images):
  """Refuses two data sets that are not of the same kind.

  Args:
    train_images: Images with an `event_shape`, and with `class_names`, or
      without.
    held_out_images: The same.

  Raises:
    ValueError: If their images have different shapes, or if a label means one
      class in one and another in the other. One may have more classes.
  """
  shapes = [
      list(images.event_shape) for images in (train_images, held_out_images)
  ]
  if shapes[0] != shapes[1]:
    raise ValueError(
        f'Argument `held_out_images` must have images of shape {shapes[0]}, as '
        f'`train_images` has, got {shapes[1]}.'
    )
  names, held_out_names = (
      list(examples.optional(images, 'class_names') or ())
      for images in (train_images, held_out_images)
  )
  # Numbers have no end: the largest may be missing on either side.
  for label, pair in enumerate(zip(names, held_out_names, strict=False)):
    if pair[0] != pair[1]:
      raise ValueError(
          f'Argument `held_out_images`: label {label} is {pair[1]!r}, and '
          f'{pair[0]!r} in `train_images`. Make it with '
          '`class_names=train_images.class_names`.'
      )

"""Images that may have labels beside them."""

import tensorflow as tf

from tfp_flowopt.data import examples

__all__ = ['check', 'check_alike', 'split']


def split(batch):
  """Images, and a dictionary of what a distribution's methods need besides."""
  if tf.is_tensor(batch):
    return batch, {}
  images, conditioning = batch
  return images, {'bijector_kwargs': {'conditioning': conditioning}}


def check(distribution, images, name):
  """Refuses images without the labels that a flow needs, or with others."""
  conditioning = getattr(distribution.bijector, 'conditioning', None)
  names = examples.optional(images, 'class_names')
  if conditioning is None and names is not None:
    problem = (
        'has labels, and the flow is not conditioned on any: make it with '
        f'`conditioning={len(names)}`'
    )
  elif conditioning is not None and names is None:
    problem = f'must have labels: the flow is conditioned on {conditioning}'
  elif names is not None and (
      conditioning.spec.dtype != tf.int64
      or conditioning.num_channels < len(names)
  ):
    problem = (
        f'has {len(names)} classes, and the flow is conditioned on '
        f'{conditioning}'
    )
  else:
    return
  raise ValueError(f'Argument `{name}` {problem}.')


def check_alike(train_images, held_out_images):
  """Refuses `Examples` in which a label means two classes."""
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

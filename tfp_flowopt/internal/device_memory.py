"""How much memory the devices have that TensorFlow computes on."""

import functools
import os
import pathlib

import tensorflow as tf
from tensorflow.python.client import device_lib

__all__ = ['device_memory', 'host_memory']

# What the processes of a container may use: a number, or "max".
_CGROUP = pathlib.Path('/sys/fs/cgroup/memory.max')


@functools.cache
def device_memory():
  """Bytes of the smallest GPU, or of the host without one; `None`: unknown."""
  if tf.config.list_logical_devices('GPU'):
    # The public functions say what is used, not what there is.
    limits = [
        device.memory_limit
        for device in device_lib.list_local_devices()
        if device.device_type == 'GPU'
    ]
    return min(limits, default=None)
  return host_memory()


@functools.cache
def host_memory():
  """Bytes of this machine, or of this container; `None` if unknown."""
  try:
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  except (AttributeError, OSError, ValueError):
    return None  # not on this system
  try:
    return min(memory, int(_CGROUP.read_text(encoding='ascii')))
  except (OSError, ValueError):
    return memory

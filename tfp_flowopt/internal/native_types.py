"""Which number types the processor computes with itself."""

import functools
import pathlib

import tensorflow as tf

__all__ = ['is_emulated']

_CPU_INFO = pathlib.Path('/proc/cpuinfo')
# Names of the instructions, of x86 and of ARM.
_INSTRUCTIONS = {
    tf.bfloat16: {'avx512_bf16', 'amx_bf16', 'avx_ne_convert', 'bf16'},
    tf.float16: {'avx512_fp16', 'amx_fp16', 'avx_ne_convert', 'asimdhp'},
}


@functools.cache
def is_emulated(dtype):
  """Whether this processor has no instructions for a type, as far as is known.

  False if TensorFlow has a GPU, and on systems that do not list instructions.
  """
  dtype = tf.as_dtype(dtype)
  if dtype not in _INSTRUCTIONS or tf.config.list_logical_devices('GPU'):
    return False
  try:
    lines = _CPU_INFO.read_text(encoding='ascii', errors='replace').splitlines()
  except OSError:
    return False
  listed = [
      set(line.partition(':')[2].split())
      for line in lines
      if line.lower().startswith(('flags', 'features'))
  ]
  return bool(listed) and not _INSTRUCTIONS[dtype] & listed[0]

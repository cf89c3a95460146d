"""The closed-form optimum against scikit-learn, and against lower bounds.

Dense: `fo.likelihood_optimum` against `PCA().fit(x).score(x)`, which is the
same number up to its 1/(N-1), and against what neither can avoid: one matrix
product and the eigenvalues of one symmetric matrix, in TensorFlow and in NumPy.
Circulant: an update with one image of 1024x1024x3 against a bare transform and
the accumulation of six products, in TensorFlow and in NumPy; and the peak
memory of processes that read more and more images.

All in turn in one process, all in float64; medians. scikit-learn comes with the
`[dev]` extra.

  python benchmarks/optimum.py --output=optimum.json
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from absl import app
from absl import flags
import numpy as np
from sklearn.decomposition import PCA
import tensorflow as tf

import tfp_flowopt as fo

_OUTPUT = flags.DEFINE_string('output', 'optimum.json', 'JSON file to write.')
_NUM_TIMINGS = flags.DEFINE_integer(
    'num_timings', 5, 'Timings of each.', lower_bound=1
)
_SHAPES = flags.DEFINE_list(
    'shapes', ['60000x784', '5000x768', '5000x3072'], 'N x D of dense data.'
)
_SIZE = flags.DEFINE_integer('size', 1024, 'Side of the images.')
_MEMORY_OF = flags.DEFINE_integer(
    'memory_of', None, 'Only read so many images and print the peak MB.'
)


def _seconds(functions):
  """Median seconds of each function, called in turn."""
  for function in functions.values():
    function()
  times = {name: [] for name in functions}
  for _ in range(_NUM_TIMINGS.value):
    for name, function in functions.items():
      start = time.perf_counter()
      function()
      times[name].append(time.perf_counter() - start)
  return {name: statistics.median(t) for name, t in times.items()}


def _dense(n, d):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(n, d)) * np.geomspace(1.0, 0.01, d) + 1.0
  data = tf.constant(x)

  def bound_tensorflow():
    moments = tf.matmul(data, data, transpose_a=True)
    return tf.linalg.eigvalsh(moments).numpy()

  def bound_numpy():
    return np.linalg.eigvalsh(x.T @ x)

  return _seconds({
      'ours': lambda: fo.likelihood_optimum(data).log_likelihood.numpy(),
      'scikit-learn': lambda: PCA().fit(x).score(x),
      'bound, TensorFlow': bound_tensorflow,
      'bound, NumPy': bound_numpy,
  })


def _image(i):
  rng = np.random.default_rng(i)
  return rng.normal(size=(1, _SIZE.value, _SIZE.value, 3)).astype(np.float32)


def _circulant():
  x = tf.constant(_image(0))
  planes = tf.transpose(tf.cast(x, tf.float64), [0, 3, 1, 2])[0]
  stream = fo.AutoCorrelation('circulant', x.shape[1:])
  half = _SIZE.value // 2 + 1
  pairs = [(i, j) for i in range(3) for j in range(i + 1)]
  sums = tf.Variable(tf.zeros([6, _SIZE.value, half], tf.complex128))
  array, totals = planes.numpy(), sums.numpy()

  @tf.function
  def bare_tensorflow():
    f = tf.signal.rfft2d(planes)
    sums.assign_add(tf.stack([f[i] * tf.math.conj(f[j]) for i, j in pairs]))

  def bare_numpy():
    f = np.fft.rfft2(array)
    for k, (i, j) in enumerate(pairs):
      totals[k] += f[i] * f[j].conj()

  update = tf.function(
      stream.update,
      input_signature=[tf.TensorSpec([None, *x.shape[1:]], tf.float32)],
  )
  return _seconds({
      'ours': lambda: stream.update(x),
      'ours, in a graph': lambda: update(x),
      'bare, TensorFlow': bare_tensorflow,
      'bare, NumPy': bare_numpy,
      'optimum': lambda: stream.optimum(noise_variance=1e-6),
  })


def _memory(num_images):
  """Peak memory of a process that reads so many images, MB."""
  result = subprocess.run(
      [
          sys.executable,
          __file__,
          f'--memory_of={num_images}',
          f'--size={_SIZE.value}',
      ],
      capture_output=True,
      text=True,
      check=True,
      env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'},
  )
  return int(result.stdout.split()[-1])


def main(argv):
  """Measures and prints."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  if _MEMORY_OF.value is not None:
    shape = [_SIZE.value, _SIZE.value, 3]
    stream = fo.AutoCorrelation('circulant', shape)
    for i in range(_MEMORY_OF.value):
      stream.update(_image(i))
    # Not getrusage: that remembers the parent's peak.
    status = pathlib.Path('/proc/self/status').read_text()
    print(int(status.split('VmHWM:')[1].split()[0]) // 1024)
    return
  results = {'num_timings': _NUM_TIMINGS.value, 'dense': {}}
  print('Seconds (float64)    ours   scikit-learn   TF bound   NumPy bound')
  for shape in _SHAPES.value:
    seconds = _dense(*map(int, shape.split('x')))
    results['dense'][shape] = seconds
    print(
        f'  {shape:<14}' + ''.join(f'{s:12.3f}' for s in seconds.values())
    )
    ours = seconds['ours']
    bound = seconds['bound, TensorFlow']
    print(
        f'    {seconds["scikit-learn"] / ours:.1f} times as fast as '
        f'scikit-learn, {ours / bound:.2f} of the bound'
    )
  seconds = _circulant()
  results['circulant'] = seconds
  print(f'\nSeconds for an image of {_SIZE.value}x{_SIZE.value}x3:')
  for name, value in seconds.items():
    print(f'  {name:<18}{value:8.3f}')
  results['peak_megabytes'] = {n: _memory(n) for n in (0, 5, 20, 80)}
  print('Peak MB after images:', results['peak_megabytes'])
  pathlib.Path(_OUTPUT.value).write_text(json.dumps(results, indent=2))


if __name__ == '__main__':
  app.run(main)

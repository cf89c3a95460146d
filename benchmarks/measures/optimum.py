"""Speed and memory of the closed-form optimum, against lower bounds.

Of vectors (`shape`, such as '5000x768'): `fo.likelihood_optimum` against
`PCA().fit(x).score(x)` of scikit-learn, which is the same number up to its
1/(N-1), and against what neither can avoid: one matrix product and the
eigenvalues of one symmetric matrix, in TensorFlow and in NumPy.

Of images (`image_size`), circulant: an update with one image against a bare
transform and the accumulation of six products, in TensorFlow and in NumPy; and
the peak memory, MiB, of processes that read more and more images.

Median seconds, in turn in one process, in float64.
"""

from concurrent import futures
import multiprocessing

from harness import serving
from harness import timing
import numpy as np
from sklearn.decomposition import PCA
import tensorflow as tf

import tfp_flowopt as fo


def measure(settings, seed, context):
  """See `run.py`."""
  del context
  num_timings = settings['num_timings']
  if 'shape' in settings:
    return _of_vectors(settings['shape'], num_timings, seed)
  size, peaks = settings['image_size'], {}
  for count in settings['memory_of']:
    with futures.ProcessPoolExecutor(
        1, multiprocessing.get_context('spawn')
    ) as pool:
      peaks[count] = pool.submit(_peak_mib, size, count, seed).result()
  return {**_of_images(size, num_timings, seed), 'peak_mib': peaks}


def _of_vectors(shape, num_timings, seed):
  n, d = map(int, shape.split('x'))
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(n, d)) * np.geomspace(1.0, 0.01, d) + 1.0
  data = tf.constant(x)

  def bound_tensorflow():
    moments = tf.matmul(data, data, transpose_a=True)
    return tf.linalg.eigvalsh(moments).numpy()

  return timing.alternating(
      {
          'ours': lambda: fo.likelihood_optimum(data).log_likelihood.numpy(),
          'scikit-learn': lambda: PCA().fit(x).score(x),
          'bound, TensorFlow': bound_tensorflow,
          'bound, NumPy': lambda: np.linalg.eigvalsh(x.T @ x),
      },
      num_timings,
  )


def _image(size, seed, i):
  rng = np.random.default_rng([seed, i])
  return rng.normal(size=(1, size, size, 3)).astype(np.float32)


def _peak_mib(size, count, seed):
  """Peak memory of a process that reads so many images."""
  stream = fo.AutoCorrelation('circulant', [size, size, 3])
  for i in range(count):
    stream.update(_image(size, seed, i))
  return serving.peak_mib()


def _of_images(size, num_timings, seed):
  x = tf.constant(_image(size, seed, 0))
  planes = tf.transpose(tf.cast(x, tf.float64), [0, 3, 1, 2])[0]
  stream = fo.AutoCorrelation('circulant', x.shape[1:])
  pairs = [(i, j) for i in range(3) for j in range(i + 1)]
  sums = tf.Variable(tf.zeros([6, size, size // 2 + 1], tf.complex128))
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
  return timing.alternating(
      {
          'ours': lambda: stream.update(x),
          'ours, in a graph': lambda: update(x),
          'bare, TensorFlow': bare_tensorflow,
          'bare, NumPy': bare_numpy,
          'optimum': lambda: stream.optimum(noise_variance=1e-6),
      },
      num_timings,
  )

"""Our flow of vectors, beside `vectors_peers.py`."""

import time

from harness import serving
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

# Rows whose log-likelihood is computed at once.
_CHUNK = 4096


class Vectors:
  """A `vector_flow`, trained by `fit`.

  Settings: `arm`, `path` (an .npz file of `train_x`, `train_c` and so on),
  `rate`, `batch_size`, `train_steps`, `seed`, `num_threads`; `flow`, arguments
  of `vector_flow`; `support`, if any, as a `Simulator` has it; `values`, if
  any, a file for the log-likelihoods of the test data; `labels`, true if the
  conditions are one-hot labels, which the flow gets as integers.
  """

  def __init__(self, settings):
    tf.config.threading.set_intra_op_parallelism_threads(
        settings['num_threads']
    )
    self._settings = settings
    with np.load(settings['path']) as arrays:
      self._arrays = {k: v.astype(np.float32) for k, v in arrays.items()}

  def _given(self, part):
    x, c = self._arrays[f'{part}_x'], self._arrays.get(f'{part}_c')
    return x, c.argmax(axis=-1) if self._settings.get('labels') else c

  def train(self):
    """Trains; what was reached."""
    settings, began = self._settings, time.perf_counter()
    cpu_began = time.process_time()
    x, c = self._given('train')
    distribution, predicted = self._started(x, c)
    self._distribution = distribution
    start = self._log_probs('test').mean()
    held_out, held_out_c = self._given('validation')
    result = fo.training.fit(
        distribution,
        x,
        c,
        validation=held_out if c is None else (held_out, held_out_c),
        train_steps=settings['train_steps'],
        batch_size=settings['batch_size'],
        learning_rate=settings['rate'],
        seed=settings['seed'],
        quiet=True,
        **settings.get('fit', {}),
    )
    seconds = time.perf_counter() - began
    cpu_seconds = time.process_time() - cpu_began
    values = self._log_probs('test')
    if 'values' in settings:
      np.save(settings['values'], values)
    return {
        'finite': result.skipped_steps == 0,
        'num_steps': result.history[-1]['step'],
        'seconds': seconds,
        'cpu_seconds': cpu_seconds,
        'parameters': sum(
            v.shape.num_elements() for v in distribution.trainable_variables
        ),
        'predicted': predicted,
        'start': result.history[0]['validation'],
        'validation': result.validation,
        'start_test': start,
        'test': values.mean(),
        'error': values.std() / len(values) ** 0.5,
    }

  def _log_probs(self, part):
    x, c = self._given(part)
    return np.concatenate([
        self._distribution.log_prob(
            x[i : i + _CHUNK],
            bijector_kwargs=(
                {} if c is None else {'conditioning': c[i : i + _CHUNK]}
            ),
        )
        for i in range(0, len(x), _CHUNK)
    ]).astype(np.float64)

  def _started(self, x, c):
    """The distribution at its closed-form start, and its prediction."""
    settings = self._settings
    conditioning = None
    if c is not None:
      num_features = self._arrays['train_c'].shape[1]
      conditioning = num_features if settings.get('labels') else [num_features]
    distribution = fo.vector_flow(
        x.shape[1],
        conditioning=conditioning,
        support=_support(settings.get('support')),
        seed=settings['seed'],
        **settings['flow'],
    )
    predicted = fo.initialize_at_optimum(distribution, x, conditioning=c)
    return distribution, predicted

  def draw(self, num, path):
    """Writes draws `[O, num, D]` given each of `observations`."""
    size = [num, 1]
    observations = self._arrays['observations']
    if self._settings.get('labels'):
      observations = observations.argmax(axis=-1)
    np.save(path, np.stack([
        self._distribution.sample(
            num,
            seed=[self._settings['seed'], i],
            bijector_kwargs={
                'conditioning': np.tile(c, size if np.ndim(c) else num)
            },
        )
        for i, c in enumerate(observations)
    ]))


def _support(name):
  """The bijector of a `Simulator`'s support."""
  if not name:
    return None
  if name[0] == 'positive':
    return tfp.bijectors.Exp()
  return tfp.bijectors.Sigmoid(*name[1:])


if __name__ == '__main__':
  serving.serve(Vectors)

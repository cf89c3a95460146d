"""Conditional flows of scikit-learn's digits: bits/dim and samples.

Of 17 grey levels, as 5-bit images. All get the same draws of noise. Of the
likelihood of the test images two bounds: the mean over the draws, and the
importance-weighted one. A support vector machine, fitted to the training
images, says which digit a sample is.
"""

import pathlib
import sys
import tempfile

from harness import serving
import numpy as np

_BITS, _LEVELS, _DRAWS = 5, 17, {'train': 20, 'validation': 5, 'test': 256}
# Of the 1797 digits.
_NUM_TEST, _NUM_VALIDATION = 397, 140


def measure(settings, seed, context):
  """See `run.py`; `arm`, `kind` (`image`, `vector` or `peer`) and `draws`."""
  from scipy import special
  from sklearn import svm

  images, labels = parts(seed)
  python, program = sys.executable, {
      'image': 'digits_flowopt.py',
      'vector': 'vectors_flowopt.py',
      'peer': 'vectors_peers.py',
  }[settings['kind']]
  if settings['kind'] == 'peer':
    python = serving.python_of_peers(context.peers)
  with tempfile.TemporaryDirectory() as folder:
    path, draws, log_probs = (
        pathlib.Path(folder) / x
        for x in ('data.npz', 'draws.npy', 'log_probs.npy')
    )
    np.savez(path, **vectors(images, labels, seed))
    process = serving.Arm(
        python,
        program,
        {**settings, 'bits': _BITS, 'seed': seed, 'path': str(path),
         'support': None, 'standardize': True, 'labels': True,
         'values': str(log_probs)},
        num_threads=settings['num_threads'],
    )
    try:
      values = process.value('train')
      process.value('draw', num=settings['draws'], path=str(draws))
    finally:
      process.close()
    found = np.load(draws)
    weighted = special.logsumexp(
        np.load(log_probs).reshape([_DRAWS['test'], -1]), axis=0
    ) - np.log(_DRAWS['test'])
  classifier = svm.SVC(C=10.0).fit(images['train'], labels['train'])
  samples = np.clip(np.floor((found + 0.5) * 2**_BITS), 0, _LEVELS - 1)
  predicted = classifier.predict(np.concatenate(samples))
  wanted = np.repeat(np.arange(len(found)), settings['draws'])
  return {
      **values,
      'bits_per_dim': _bits(values['test'], found.shape[-1]),
      'importance_weighted': _bits(weighted.mean(), found.shape[-1]),
      'start_bits_per_dim': _bits(values.get('start_test'), found.shape[-1]),
      'agreement': np.mean(predicted == wanted),
      'accuracy_of_real': classifier.score(images['test'], labels['test']),
  }


def parts(seed):
  """Levels `[N, 64]` and labels, of `train`, `validation` and `test`."""
  from sklearn import datasets

  data = datasets.load_digits()
  order = np.random.default_rng([seed, 5]).permutation(len(data.data))
  ends = np.cumsum([_NUM_TEST, _NUM_VALIDATION])
  rows = dict(
      zip(('test', 'validation', 'train'), np.split(order, ends), strict=True)
  )
  return (
      {name: data.data[own] for name, own in rows.items()},
      {name: data.target[own] for name, own in rows.items()},
  )


def vectors(images, labels, seed):
  """With noise, several draws of it, and one-hot labels; float64."""
  rng, result = np.random.default_rng([seed, 6]), {}
  for name, draws in _DRAWS.items():
    x = np.tile(images[name], [draws, 1])
    result[f'{name}_x'] = (x + rng.random(x.shape)) / 2**_BITS - 0.5
    result[f'{name}_c'] = np.eye(10)[np.tile(labels[name], draws)]
  return {**result, 'observations': np.eye(10)}


def _bits(nats, size):
  return None if nats is None else _BITS - nats / size / np.log(2.0)

"""Reference posteriors of sbibm, and its distance of samples."""

import bz2
import zipfile

import numpy as np

from harness import serving

__all__ = ['c2st', 'references']

_PACKAGE = 'sbibm==1.1.0'


def references(folder, task):
  """Observations `[10, F]` and draws of their posteriors `[10, 10000, D]`.

  They are read out of the package's wheel, which pip fetches into the folder
  if it is not there.
  """
  with zipfile.ZipFile(serving.archive(_PACKAGE, folder)) as wheel:

    def read(number, name):
      path = f'sbibm/tasks/{task}/files/num_observation_{number}/{name}'
      text = wheel.read(path)
      if name.endswith('.bz2'):
        text = bz2.decompress(text)
      rows = text.decode().splitlines()[1:]
      return np.loadtxt(rows, np.float32, delimiter=',', ndmin=2)

    observations, draws = (
        np.stack([read(number, name) for number in range(1, 11)])
        for name in ('observation.csv', 'reference_posterior_samples.csv.bz2')
    )
  return observations[:, 0], draws


def c2st(x, y, seed=1):
  """Accuracy of a classifier of draws `x` and `y` `[N, D]`: 1/2 if equal.

  As `sbibm.metrics.c2st`: scores of five folds of a network with two hidden
  layers of 10 D units, standardised by `x`.
  """
  from sklearn import model_selection
  from sklearn import neural_network

  mean, scale = x.mean(axis=0), x.std(axis=0, ddof=1)
  data = np.concatenate([(x - mean) / scale, (y - mean) / scale])
  size = x.shape[1]
  classifier = neural_network.MLPClassifier(
      activation='relu',
      hidden_layer_sizes=(10 * size, 10 * size),
      max_iter=10000,
      solver='adam',
      random_state=seed,
  )
  scores = model_selection.cross_val_score(
      classifier,
      data,
      np.repeat([0.0, 1.0], [len(x), len(y)]),
      cv=model_selection.KFold(5, shuffle=True, random_state=seed),
      scoring='accuracy',
  )
  return float(scores.mean())

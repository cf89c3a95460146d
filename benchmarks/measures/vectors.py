"""Held-out nats of flows of vectors, beside zuko's and normflows'.

All get the same split of the same standardised data, Adam and early stopping.
"""

import pathlib
import sys
import tempfile
import time

from harness import galaxies
from harness import serving
from harness import tables
import numpy as np

_GALAXIES = 'galaxies (7-D)'
_DIAMONDS = 'diamonds (7-D)'
_FLIGHTS = 'flights (3-D given 4-D)'
# Our variants, by arm.
_OURS = {
    'ours': {},
    'ours affine': {'coupling': 'affine'},
    'ours autoregressive': {'coupling': 'autoregressive'},
    'ours convex': {'coupling': 'convex'},
}


def measure(settings, seed, context):
  """See `run.py`; `dataset` and `arm`."""
  arm = settings['arm']
  if settings['dataset'] == _GALAXIES:
    x, log_prob = galaxies.galaxies(context.peers)
    if arm == 'pzflow':
      return _pzflow(x, log_prob, seed)
    data = x, None
  elif settings['dataset'] == _DIAMONDS:
    data = tables.diamonds(context.peers, seed), None
  elif settings['dataset'] == _FLIGHTS:
    data = tables.flights(context.peers, seed)
  else:
    data = _DATASETS[settings['dataset']](seed)
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'data.npz'
    np.savez(path, **split(*data, seed))
    if arm in _OURS:
      python, program = sys.executable, 'vectors_flowopt.py'
    elif arm in _CLOSED_FORMS:
      return _CLOSED_FORMS[arm](path)
    else:
      python, program = serving.python_of_peers(context.peers), (
          'vectors_peers.py'
      )
    process = serving.Arm(
        python,
        program,
        {**settings, 'seed': seed, 'path': str(path),
         'flow': _OURS.get(arm, {})},
        num_threads=settings['num_threads'],
    )
    try:
      return process.value('train')
    finally:
      process.close()


def split(x, c, seed):
  """Standardised parts: 70 % to train, 15 % each to validate and test."""
  order = np.random.default_rng([seed, 7]).permutation(len(x))
  first, second = int(0.7 * len(x)), int(0.85 * len(x))
  rows = {
      'train': order[:first],
      'validation': order[first:second],
      'test': order[second:],
  }
  mean, scale = x[rows['train']].mean(axis=0), x[rows['train']].std(axis=0)
  x = (x - mean) / np.where(scale > 0, scale, 1.0)
  parts = {f'{name}_x': x[own] for name, own in rows.items()}
  if c is not None:
    parts |= {f'{name}_c': c[own] for name, own in rows.items()}
  return parts


def _gaussian(path):
  """The closed form: linear in the condition, one covariance."""
  with np.load(path) as arrays:
    parts = dict(arrays)

  def features(name):
    ones = np.ones([len(parts[f'{name}_x']), 1])
    return np.concatenate([ones, parts.get(f'{name}_c', ones[:, :0])], axis=1)

  matrix = np.linalg.lstsq(features('train'), parts['train_x'], rcond=None)[0]

  def residuals(name):
    return parts[f'{name}_x'] - features(name) @ matrix

  covariance = np.cov(residuals('train').T, bias=True)
  size, rest = len(covariance), residuals('test')
  squares = np.sum(rest * np.linalg.solve(covariance, rest.T).T, axis=1)
  values = -0.5 * (
      squares + np.linalg.slogdet(2.0 * np.pi * covariance)[1]
  )
  return {
      'finite': True,
      'num_steps': 0,
      'seconds': 0.0,
      'parameters': size * (size + 1) // 2 + matrix.size,
      'test': values.mean(),
      'error': values.std() / len(values) ** 0.5,
  }


def _pzflow(x, log_prob, seed):
  """The flow that comes with the data, trained on all of them."""
  rows = np.arange(len(x))
  parts = split(x, rows[:, np.newaxis], seed)
  train, test = (parts[f'{name}_c'][:, 0] for name in ('train', 'test'))
  values = log_prob[test] + np.log(x[train].std(axis=0)).sum()
  return {
      'finite': True,
      'num_steps': 0,
      'seconds': 0.0,
      'parameters': 0,
      'test': values.mean(),
      'error': values.std() / len(values) ** 0.5,
  }


def _joint(path):
  """Parts of `x` with standardised conditions beside them; the width of `x`."""
  with np.load(path) as arrays:
    parts = dict(arrays)
  width = parts['train_x'].shape[1]
  if 'train_c' in parts:
    scale = parts['train_c'].std(axis=0)
    for name in ('train', 'validation', 'test'):
      given = parts.pop(f'{name}_c') / scale
      parts[f'{name}_x'] = np.concatenate([parts[f'{name}_x'], given], axis=1)
  return (*(parts[f'{name}_x'] for name in ('train', 'validation', 'test')),
          width)


def _kernels(path):
  """A kernel density estimate, its bandwidth chosen by validation."""
  from sklearn import neighbors

  train, validation, test, width = _joint(path)

  def values(x, bandwidth):
    """That of `x` and `c`, less that of `c`."""
    result = 0.0
    for sign, columns in ((1.0, slice(None)), (-1.0, slice(width, None))):
      if train[:, columns].shape[1]:
        kernels = neighbors.KernelDensity(bandwidth=bandwidth)
        kernels.fit(train[:, columns])
        result = result + sign * kernels.score_samples(x[:, columns])
    return result

  began = time.perf_counter()
  bandwidth = max(
      np.geomspace(0.02, 2.0, 30),
      key=lambda bandwidth: values(validation, bandwidth).mean(),
  )
  found = values(test, bandwidth)
  return {
      'finite': True,
      'num_steps': 0,
      'seconds': time.perf_counter() - began,
      'parameters': train.size,
      'test': found.mean(),
      'error': found.std() / len(found) ** 0.5,
  }


def _copula(path):
  """A Gaussian copula: columns by kernels, then normal scores by one normal.

  Given a condition: that of `x` and `c`, less that of `c`.
  """
  from scipy import stats

  train, _, test, width = _joint(path)
  began = time.perf_counter()
  columns = [_column(*both) for both in zip(train.T, test.T, strict=True)]
  log_densities, train_scores, scores = map(
      np.transpose, zip(*columns, strict=True)
  )
  correlations = np.atleast_2d(np.corrcoef(train_scores.T))
  normals = stats.norm.logpdf(scores)

  def values(own):
    joint = stats.multivariate_normal(cov=correlations[own, own])
    return joint.logpdf(scores[:, own]) - normals[:, own].sum(axis=1)

  found = log_densities[:, :width].sum(axis=1) + values(slice(None))
  if width < train.shape[1]:
    found = found - values(slice(width, None))
  return {
      'finite': bool(np.all(np.isfinite(found))),
      'num_steps': 0,
      'seconds': time.perf_counter() - began,
      'parameters': train.size,
      'test': found.mean(),
      'error': found.std() / len(found) ** 0.5,
  }


def _column(train, test):
  """Log-densities of a column's test data, and the normal scores of both.

  Kernels of Silverman's width, on a grid; and a hundredth of a wide normal, for
  what is far from all.
  """
  from scipy import ndimage
  from scipy import stats

  spread = stats.iqr(train) / 1.34
  deviation = train.std()
  if not 0.0 < spread < deviation:
    spread = deviation
  width = 0.9 * spread * len(train) ** -0.2
  ends = np.concatenate([train, test])
  low, high = ends.min() - 5.0 * width, ends.max() + 5.0 * width
  num = min(int(20.0 * (high - low) / width), 2**16)
  counts, edges = np.histogram(train, bins=num, range=(low, high))
  step, centers = edges[1] - edges[0], 0.5 * (edges[1:] + edges[:-1])
  density = ndimage.gaussian_filter1d(
      counts / (len(train) * step), width / step, mode='constant'
  )
  wide = stats.norm(train.mean(), 3.0 * deviation)
  density = 0.99 * density + 0.01 * wide.pdf(centers)
  mass = 0.01 * wide.cdf(low) + np.cumsum(density) * step
  scores = [
      stats.norm.ppf(np.clip(np.interp(x, edges[1:], mass), 1e-9, 1 - 1e-9))
      for x in (train, test)
  ]
  return np.log(np.interp(test, centers, density)), *scores


_CLOSED_FORMS = {
    'Gaussian': _gaussian, 'copula': _copula, 'kernels': _kernels
}


def _breast_cancer(seed):
  from sklearn import datasets

  del seed
  return datasets.load_breast_cancer().data, None


def _wine(seed):
  from sklearn import datasets

  del seed
  return datasets.load_wine().data, None


def _digits(seed):
  from sklearn import datasets

  x = datasets.load_digits().data
  return x + np.random.default_rng([seed, 3]).random(x.shape), None


def _moons(seed):
  from sklearn import datasets

  return datasets.make_moons(4000, noise=0.05, random_state=seed)[0], None


def _conditional(seed):
  """Shift, scale and two modes depend on the condition."""
  rng = np.random.default_rng([seed, 3])
  c, e = rng.uniform(-2, 2, [6000, 2]), rng.normal(size=[6000, 2])
  sign = np.sign(rng.random(6000) - 0.5)
  first = np.sin(2 * c[:, 0]) + 0.3 * np.exp(0.5 * c[:, 1]) * e[:, 0]
  second = c[:, 0] * c[:, 1] + sign + 0.3 * e[:, 1] + 0.5 * e[:, 0] ** 2
  return np.stack([first, second], axis=1), c


_DATASETS = {
    'breast cancer (30-D)': _breast_cancer,
    'digits (64-D)': _digits,
    'wine (13-D)': _wine,
    'two moons (2-D)': _moons,
    'conditional (2-D given 2-D)': _conditional,
}

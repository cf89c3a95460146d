"""One training run of a model, the same for ours and for its peers.

Needs numpy alone, as the peers' environment has no TensorFlow. The order of the
images and their noise depend on the seed and the step alone, so that all models
see the same.
"""

import math
import time

import numpy as np

__all__ = ['Crops', 'Model', 'run']

_BITS = 8
# Losses that a row keeps: every so many steps.
_CURVE_EVERY = 10


def _dequantized(images, rng):
  """Images of bytes with uniform noise, in -1/2..1/2."""
  noise = rng.random(images.shape, np.float32)
  x = (images.astype(np.float32) + noise) / np.float32(2**_BITS)
  return x - np.float32(0.5)


class Crops:
  """Crops to train on and others that are held out, float32 `[N, S, S, C]`."""

  def __init__(self, path, batch_size, seed):
    """Opens an .npz file of uint8 `train` and `held_out`."""
    with np.load(path) as arrays:
      self._train, self._held_out = arrays['train'], arrays['held_out']
    self._batch_size = batch_size
    self._seed = seed
    self.event_size = math.prod(self._train.shape[1:])

  def first(self, count):
    """The first crops."""
    return _dequantized(
        self._train[:count], np.random.default_rng([self._seed, 0])
    )

  def value_counts(self):
    """How often each byte occurs in each channel, `[C, 256]`."""
    channels = np.moveaxis(self._train, -1, 0)
    return np.stack(
        [np.bincount(c.ravel(), minlength=2**_BITS) for c in channels]
    )

  def batch(self, step):
    """The batch of a step."""
    rng = np.random.default_rng([self._seed, 1, step])
    choice = rng.integers(len(self._train), size=self._batch_size)
    return _dequantized(self._train[choice], rng)

  def held_out(self):
    """All whole batches that are held out, with the same noise for all."""
    rng, size = np.random.default_rng(2), self._batch_size
    for i in range(0, len(self._held_out) - size + 1, size):
      yield _dequantized(self._held_out[i : i + size], rng)

  def out_of_distribution(self):
    """Dictionary of batches; the held-out images are among them."""
    rng = np.random.default_rng(3)
    images = self._held_out[: self._batch_size]
    grey = rng.integers(2**_BITS, size=[len(images), 1, 1, 1])
    kinds = {
        'held out': images,
        'inverted': 2**_BITS - 1 - images,
        'constant': np.broadcast_to(grey, images.shape),
        'noise': rng.integers(2**_BITS, size=images.shape),
    }
    return {name: _dequantized(x, rng) for name, x in kinds.items()}


class Model:
  """What arms have in common: runs, and steps that are timed.

  Subclasses have the methods that `run` needs.
  """

  def __init__(self, settings):
    """Opens the crops.

    Args:
      settings: `image_size`, `batch_size`, `crops` (path of an .npz file),
        `seed`, `num_levels`, `num_steps`, `hidden_channels`; optional:
        `channels` (3), `clip_norm` (1; `None` for no clipping), `learning_rate`
        of steps that are only timed.
    """
    self._settings = settings
    self._clip_norm = settings.get('clip_norm', 1.0)
    batch_size = settings['batch_size']
    self._crops = Crops(settings['crops'], batch_size, settings['seed'])
    self._x = self._crops.first(batch_size)
    self._num_timed = 0

  def run(self, **settings):
    """A run of training: the function `run`."""
    return run(self, self._crops, **settings)

  def train_step(self):
    """One step on the next batch; bits/dim before it."""
    self._num_timed += 1
    batch = self._crops.batch(self._num_timed)
    return self.step(batch, self._settings['learning_rate'])

  def round_trip(self):
    """Largest error of an image after the flow and its inverse."""
    return _largest_error(self, self._x)

  def num_fallbacks(self):
    """Of recomputed inputs; others have none."""


def _largest_error(model, x):
  return float(np.max(np.abs(model.there_and_back(x) - x)))


def _log_singular_values(model, crops):
  """Of the Jacobian at an image of each kind: smallest, median, largest."""
  size, result = crops.event_size, {}
  for kind, x in crops.out_of_distribution().items():
    # As many copies of the image as there are rows, one product for all.
    copies = np.broadcast_to(x[:1], (size, *x.shape[1:]))
    rows = model.vector_jacobian(copies, np.eye(size, dtype=np.float32))
    matrix = np.reshape(rows, [size, size]).astype(np.float64)
    result[kind] = [None] * 3
    if np.all(np.isfinite(matrix)):
      values = np.linalg.svd(matrix, compute_uv=False)
      result[kind] = [
          math.log(value) if value > 0.0 else None
          for value in (values[-1], np.median(values), values[0])
      ]
  return result


def run(
    model,
    crops,
    learning_rate,
    warmup_steps,
    num_steps=None,
    seconds=None,
    eval_every=None,
    singular_values=False,
    schedule='constant',
):
  """Trains a model from its start and says how that went.

  Args:
    model: Has `restart()`, `step(x, learning_rate)` (bits/dim before it),
      `bits_per_dim(x)` and `there_and_back(x)`; for `singular_values` also
      `vector_jacobian(x, u)`, the gradient of the products of `u`, `[B, D]`,
      and latents.
    crops: `Crops`.
    learning_rate: After a linear warm-up of `warmup_steps`.
    warmup_steps: See there.
    num_steps: By default as many as `seconds` allow.
    seconds: Time for training, its first step and what that compiles
      included; evaluations do not count.
    eval_every: Steps, or seconds if these limit the run, between evaluations;
      by default only before and after.
    singular_values: Whether evaluations include the local singular values.
    schedule: `'constant'`, or `'cosine'`, down to zero at `num_steps`.

  Returns:
    Dictionary; JSON has no NaN, so what is not finite is `None` there. A run
    ends at the first loss that is not finite.
    * finite: whether losses and the last evaluation are.
    * num_steps, seconds: what it took.
    * start, end, held_out: held-out bits/dim, and all of them as
      `[step, seconds, value]`.
    * log_singular_values: list of `[step, values]`; for each kind of images
      the logarithms of the smallest, median and largest one.
    * worst_excursion: largest rise of a loss above the lowest one before it.
    * losses: means of ten steps each.
    * reconstruction: largest error of a pixel after the flow and its inverse,
      by kind of images; `None` after a run that is not finite.
  """
  if schedule == 'cosine' and num_steps is None:
    raise ValueError(
        "Argument `schedule`: 'cosine' needs `num_steps`, got None."
    )
  model.restart()
  held_out, spectra, losses, clock, finite = [], [], [], 0.0, True

  def evaluate():
    values = [model.bits_per_dim(x) for x in crops.held_out()]
    held_out.append((len(losses), clock, float(np.mean(values))))
    if singular_values:
      spectra.append([len(losses), _log_singular_values(model, crops)])

  def rate(step):
    factor = min(1.0, (step + 1) / warmup_steps)
    if schedule == 'cosine':
      factor *= 0.5 * (1.0 + math.cos(math.pi * step / num_steps))
    return learning_rate * factor

  evaluate()
  next_evaluation = eval_every or math.inf
  while finite and (
      len(losses) < num_steps if seconds is None else clock < seconds
  ):
    step = len(losses)
    x = crops.batch(step)
    start = time.perf_counter()
    losses.append(model.step(x, rate(step)))
    clock += time.perf_counter() - start
    finite = math.isfinite(losses[-1])
    if finite and (clock if seconds else step + 1) >= next_evaluation:
      evaluate()
      next_evaluation += eval_every
  if held_out[-1][0] < len(losses):
    evaluate()
  result = {
      'finite': finite and math.isfinite(held_out[-1][2]),
      'num_steps': len(losses),
      'seconds': clock,
      'start': _rounded(held_out[0][2]),
      'end': _rounded(held_out[-1][2]) if finite else None,
      'held_out': [[n, _rounded(s), _rounded(v)] for n, s, v in held_out],
      'log_singular_values': spectra,
      'losses': [
          _rounded(float(np.mean(losses[i : i + _CURVE_EVERY])))
          for i in range(0, len(losses), _CURVE_EVERY)
      ],
      'worst_excursion': None,
      'reconstruction': None,
  }
  if finite:
    rises = np.asarray(losses) - np.minimum.accumulate(losses)
    result['worst_excursion'] = float(np.max(rises))
    result['reconstruction'] = {
        kind: _rounded(_largest_error(model, x))
        for kind, x in crops.out_of_distribution().items()
    }
  return result


def _rounded(value):
  """Six digits, or `None` for what is not finite."""
  return float(f'{value:.6g}') if math.isfinite(value) else None

"""Report on samples of images beside real images."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from tfp_flowopt.diagnostics import class_agreement
from tfp_flowopt.diagnostics import nearest_images
from tfp_flowopt.diagnostics import sample_arguments
from tfp_flowopt.diagnostics import sample_comparison
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types

__all__ = ['SampleReport', 'sample_report']

# Part of held-out images that are close to a training image, by definition.
_CLOSE = 0.01
# What the table calls a distance, and what it is of.
_NAMES = {
    'sliced_wasserstein': 'sliced Wasserstein',
    'mmd': 'MMD^2',
    'spectrum': 'log power spectrum',
    'value_variation': 'values, total variation',
    'value_wasserstein': 'values, Wasserstein',
}
_VIEWS = {
    '': '',
    '_pixels': ', pixels',
    '_patches_1': ', 4x4 patches',
    '_patches_2': ', 4x4 patches at 1/2 size',
    '_patches_4': ', 4x4 patches at 1/4 size',
}


@dataclasses.dataclass(frozen=True)
class SampleReport:
  """Samples beside real images; `str()` is a table.

  Numbers have no unit: images are divided by the standard deviation of the
  values of real ones.

  Attributes:
    num_compared: Number of images on each side of a distance.
    distances: Dictionary by name, of dictionaries: `samples`, the distance of
      samples to held-out images; `real`, that of as many other real images to
      the same ones, which is as good as samples can be expected to be; and
      `noise`, for MMD^2 alone, its standard deviation among real images.
      Smaller is better. Names are `sliced_wasserstein_` and `mmd_` + `pixels`,
      `patches_1`, `patches_2`, `patches_4` (whitened 4x4 patches of images of
      which so many pixels a side were averaged), `spectrum`, `value_variation`
      (0 to 1) and `value_wasserstein` (means over channels).
    blocks: Dictionary by the size of a tile, as a string, of dictionaries
      `samples` and `real`: the mean step across borders of tiles over that
      inside of them, divided by the same of held-out images. 1: no artefacts.
    nearest_ratio: Median distance of samples to their nearest training image,
      over that of held-out images to theirs; `None` without training images.
      About 1 if samples are new; well under 1 for copies, and for images that
      are smoother than real ones.
    nearest_close: Part of samples that are as close to a training image as the
      closest hundredth of held-out images.
    nearest_close_if_new: What that is to be of new samples: 0.01, more for few
      held-out images.
    nearest_distances: Array `[N]`: root mean square difference of each sample
      to its nearest training image.
    nearest_indices: Array `[N]`: which one that is.
    agreement: Part of samples to which a classifier that was fitted to training
      images gives the label they were drawn for; `None` without labels.
    accuracy_of_real: Accuracy of this classifier on held-out images, which is
      as good as `agreement` can be expected to be.
    accuracy_from_samples: Accuracy on held-out images of a classifier that was
      fitted to as many samples: below `accuracy_of_real` by what samples lack.
  """

  num_compared: int
  distances: dict
  blocks: dict
  nearest_ratio: float | None = None
  nearest_close: float | None = None
  nearest_close_if_new: float | None = None
  nearest_distances: np.ndarray | None = dataclasses.field(
      default=None, repr=False, compare=False
  )
  nearest_indices: np.ndarray | None = dataclasses.field(
      default=None, repr=False, compare=False
  )
  agreement: float | None = None
  accuracy_of_real: float | None = None
  accuracy_from_samples: float | None = None

  def __str__(self):
    title = 'Distance to held-out images (lower is better)'
    lines = [f'{title:<47}{"samples":>10}{"real":>10}']
    for key, row in self.distances.items():
      noise = f' +- {row["noise"]:.4f}' if 'noise' in row else ''
      lines.append(_row(_label(key), row['samples'], row['real'], noise))
    lines.append('Ratio to the same of held-out images (1 is best)')
    for size, row in self.blocks.items():
      name = f'steps at borders of {size}x{size} tiles'
      lines.append(_row(name, row['samples'], row['real']))
    shares = []
    if self.nearest_ratio is not None:
      name = 'distance to nearest training image'
      lines.append(_row(name, self.nearest_ratio, 1.0))
      name = 'unusually close to a training image'
      shares.append(_row(name, self.nearest_close, self.nearest_close_if_new))
    if self.agreement is not None:
      of_real = self.accuracy_of_real
      name = 'samples classified as their label'
      shares.append(_row(name, self.agreement, of_real))
      name = 'held out, by a classifier of samples'
      shares.append(_row(name, self.accuracy_from_samples, of_real))
    if shares:
      lines += ['Share of images (best as of real ones)', *shares]
    lines.append(
        f'  Real: {self.num_compared} other real images in the place of as '
        'many samples'
    )
    return '\n'.join(lines)


def sample_report(
    samples: types.TensorLike | types.TransformedDistribution,
    real: types.TensorLike,
    train: types.TensorLike | None = None,
    labels: types.TensorLike | None = None,
    real_labels: types.TensorLike | None = None,
    train_labels: types.TensorLike | None = None,
    classifier_fn: Callable[[], Any] | None = None,
    tile_size: int | Sequence[int] | None = None,
    max_images: int = 1000,
    seed: int = 0,
) -> SampleReport:
  """Measures how samples of images differ from real images.

  No downloaded network is needed, and samples may come from anywhere. Each
  distance of samples to held-out images stands beside that of as many other
  real images to the same ones: training images, or without these the other half
  of the held-out ones.

  #### Example

  ```python
  held_out, train = images[:32], images[32:]
  report = fo.diagnostics.sample_report(distribution, held_out, train)
  print(report)
  print(report.distances['mmd_patches_1'])
  ```

  Distances: the sliced Wasserstein distance (Rabin et al. 2011; 128 random
  directions) and the squared maximum mean discrepancy (Gretton et al. 2012;
  unbiased, a Gaussian kernel as wide as the median distance of real ones) of
  pixels and of whitened patches; the log power spectrum; histograms of values.

  Args:
    samples: Array `[N, H, W, C]`, or the `tfd.TransformedDistribution` of a
      flow, which then draws one for each of `real`, for the labels of these if
      it has classes.
    real: Array `[M, H, W, C]` of held-out images on the scale of the samples,
      such as preprocessed ones beside those of a flow, or integers beside
      integers; 4 at least, with 4x4 pixels at least.
    train: The same, of training images, to see whether samples are copies. All
      are looked at.
    labels: Integers `[N]`, the labels that an array of samples was drawn for.
    real_labels: Integers `[M]`, the labels of `real`.
    train_labels: The labels of `train`. With labels of all three, samples are
      classified.
    classifier_fn: Function of nothing that makes a classifier with
      scikit-learn's `fit(x, y)` and `predict(x)`, of `x` `[N, H*W*C]`; by
      default scikit-learn's `SVC()`.
    tile_size: Tile of the grid whose borders are looked at, an int of at least
      2, or several; by default those of 2, 4, 8 that fit.
    max_images: Of each kind, how many are compared, at random, in distances: 2
      at least.
    seed: Python `int`, of all that is random.

  Returns:
    `SampleReport`.

  Raises:
    ImportError: If labels are given and the default classifier is not installed
      (the extra `report`).
    ValueError: If an argument has a wrong value.
  """
  seed = arguments.check_int('seed', seed, least=0)
  max_images = arguments.check_int('max_images', max_images, least=2)
  real = sample_arguments.checked_images('real', real, 4)
  tiles = sample_arguments.tiles(tile_size, real.shape[1:])
  if real_labels is not None:
    real_labels = sample_arguments.checked_labels(
        'real_labels', real_labels, len(real), 'real', several=False
    )
  if train is not None:
    train = sample_arguments.checked_images('train', train, 2, real)
  if getattr(samples, 'bijector', None) is not None:
    if labels is not None:
      raise ValueError(
          'Argument `labels` is for an array of samples; a distribution draws '
          'them for `real_labels`.'
      )
    samples = sample_arguments.drawn(samples, real, real_labels, seed)
    labels = None if train_labels is None else real_labels
  samples = sample_arguments.checked_images('samples', samples, 2, real)
  rng = np.random.default_rng(seed)
  scale = 1.0 / (np.std(real, dtype=np.float64) or 1.0)
  found = {}
  if any(x is not None for x in (labels, train_labels)):
    found = _classified(
        (samples, labels, 'samples', 'labels'),
        (real, real_labels, 'real', 'real_labels'),
        (train, train_labels, 'train', 'train_labels'),
        classifier_fn,
        scale,
        np.random.default_rng([seed, 1]),
    )
  if train is not None:
    some = real[rng.permutation(len(real))[:max_images]]
    found |= _nearest(samples, some, train, scale)
  own, held_out, other = (
      x.astype(np.float64) * scale
      for x in _compared(samples, real, train, max_images, rng)
  )
  return SampleReport(
      num_compared=len(own),
      distances=sample_comparison.distances(own, other, held_out, rng),
      blocks=sample_comparison.blocks(own, other, held_out, tiles),
      **found,
  )


def _label(key):
  """What the table calls a distance."""
  name = next(name for name in _NAMES if key.startswith(name))
  return _NAMES[name] + _VIEWS[key.removeprefix(name)]


def _row(name, samples, real, end=''):
  return f'  {name:<45}{samples:10.4f}{real:10.4f}{end}'


def _compared(samples, real, train, most, rng):
  """As many samples, held-out and other real images, chosen at random."""
  real = real[rng.permutation(len(real))]
  other = real[len(real) // 2 :] if train is None else train
  held_out = real[: len(real) // 2] if train is None else real
  num = min(len(samples), len(held_out), len(other), most)
  return (
      samples[rng.permutation(len(samples))[:num]],
      held_out[:num],
      other[rng.permutation(len(other))[:num]],
  )


def _nearest(samples, held_out, train, scale):
  """What a report says of nearest training images."""
  size = held_out[0].size
  found = [
      nearest_images.nearest(
          x.reshape([len(x), size]).astype(np.float64),
          train.reshape([len(train), size]),
      )
      for x in (samples, held_out)
  ]
  (own, index), (real, _) = found
  # The quantile is between two of the distances in their order.
  below = _CLOSE * (len(real) - 1) + 1.0
  return {
      # Where held-out images are training images, all are at 0.
      'nearest_ratio': float(np.median(own) / (np.median(real) or 1.0)),
      'nearest_close': float(np.mean(own <= np.quantile(real, _CLOSE))),
      'nearest_close_if_new': below / (len(real) + 1.0),
      'nearest_distances': own * scale / np.sqrt(size),
      'nearest_indices': index,
  }


def _classified(samples, real, train, classifier_fn, scale, rng):
  """What a report says of classes; each set with its labels and both names."""
  sets = []
  for x, labels, owner, name in (samples, real, train):
    for part, part_name in ((x, owner), (labels, name)):
      if part is None:
        raise ValueError(
            f'Argument `{part_name}` must be given to classify samples, with '
            '`train`, and labels of samples, `real` and `train`, got None.'
        )
    several = name != 'real_labels'
    labels = sample_arguments.checked_labels(
        name, labels, len(x), owner, several
    )
    sets.append((x.reshape([len(x), -1]) * scale, labels))
  if classifier_fn is None:
    classifier_fn = class_agreement.default_classifier
  elif not callable(classifier_fn):
    raise ValueError(
        'Argument `classifier_fn` must be a function of nothing that makes a '
        f'classifier, got {classifier_fn!r}.'
    )
  return class_agreement.class_agreement(*sets, classifier_fn, rng)

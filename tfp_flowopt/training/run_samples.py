"""What samples are like at the end of a run, beside real images."""

import contextlib

import numpy as np

from tfp_flowopt import diagnostics
from tfp_flowopt.diagnostics import class_agreement
from tfp_flowopt.diagnostics import sample_arguments

__all__ = ['RunSamples']

# Samples, their numbers, and those of training images to look for copies in:
# a second or two of 32x32 pixels. Fewer images tell nothing.
_MOST, _NUMBERS, _TRAIN_NUMBERS = 200, 2**20, 2**22
_LEAST = 16
_SHOWN = 10
# What the log says of many numbers.
_LOGGED = {
    'sliced Wasserstein': 'sliced_wasserstein_pixels',
    'of patches': 'sliced_wasserstein_patches_1',
    'log power spectrum': 'spectrum',
    'values': 'value_wasserstein',
}


class RunSamples:
  """Draws samples, and compares them with held-out images.

  Attributes:
    report: `diagnostics.SampleReport`, or `None` where there is none: of
      images that are too few, too small or too large, or samples that are not
      finite.
  """

  def __init__(self, pictures, examples, config):
    """Draws with `RunPictures`, for labels of the held-out `examples`."""
    self.report = self._nearest = None
    self._pictures = pictures
    held_out, init = examples.held_out, examples.init
    size = held_out.event_size
    # An image that comes twice would pass for two.
    disjoint = (int(x.num_disjoint) for x in (held_out, init))
    num = min(_MOST, _NUMBERS // size, *disjoint)
    if (
        num < _LEAST
        or len(held_out.event_shape) != 3
        or min(held_out.event_shape[:2]) < sample_arguments.SMALLEST
    ):
      return
    real, given = held_out.array(config.bits, num * size)
    samples = pictures.draw_samples(num, given)
    if not np.isfinite(samples).all():
      return
    train, train_given = init.array(config.bits, _TRAIN_NUMBERS)
    self.report = diagnostics.sample_report(
        samples,
        real,
        train,
        seed=config.seed,
        **_labels(given, train_given),
    )
    index = self.report.nearest_indices[:_SHOWN]
    self._nearest = samples[:_SHOWN], train[index]

  def summary(self):
    """The report for JSON, without arrays; `None` of none."""
    if self.report is None:
      return None
    values = vars(self.report)
    arrays = 'nearest_distances', 'nearest_indices'
    return {k: v for k, v in values.items() if k not in arrays}

  def show(self, step, board):
    """In the log, in `nearest.png`, and on a `TensorBoardWriter` or `None`."""
    if self.report is None:
      return
    for line in self._lines():
      print(line, flush=True)
    if board is not None:
      for run, values in self._scalars().items():
        board.scalars(step, run, **values)
    self._pictures.draw_nearest(step, board, *self._nearest)

  def _lines(self):
    """Two lines for the log."""
    report = self.report
    distances = ', '.join(
        f'{name} {report.distances[key]["samples"]:.3f} '
        f'({report.distances[key]["real"]:.3f})'
        for name, key in _LOGGED.items()
    )
    size, row = max(
        report.blocks.items(), key=lambda item: item[1]['samples']
    )
    lines = [
        f'Samples (other real images), to held-out images: {distances}',
        f'Samples are {report.nearest_ratio:.2f} times as far from the nearest '
        'training image as held-out images are; steps at borders of '
        f'{size}x{size} tiles are {row["samples"]:.2f} times theirs',
    ]
    if report.agreement is not None:
      lines[1] += (
          f'; {report.agreement:.0%} are classified as their label, and '
          f'{report.accuracy_of_real:.0%} of held-out images'
      )
    return lines

  def _scalars(self):
    """Numbers for TensorBoard: dictionaries of samples and of real images."""
    report = self.report
    both = {'samples': {}, 'real_images': {}}
    rows = {
        **report.distances,
        **{f'blocks_{k}': row for k, row in report.blocks.items()},
        'nearest_ratio': {'samples': report.nearest_ratio, 'real': 1.0},
    }
    if report.agreement is not None:
      for name in ('agreement', 'accuracy_from_samples'):
        rows[name] = {
            'samples': getattr(report, name),
            'real': report.accuracy_of_real,
        }
    for name, row in rows.items():
      both['samples'][f'samples/{name}'] = row['samples']
      both['real_images'][f'samples/{name}'] = row['real']
    return both


def _labels(given, train_given):
  """Labels for the report, of a flow of classes, if it can classify."""
  labels, train_labels = (
      np.asarray(x.get('bijector_kwargs', {}).get('conditioning', 0.0))
      for x in (given, train_given)
  )
  for some in (labels, train_labels):
    if some.dtype.kind != 'i' or len(np.unique(some)) < 2:
      return {}
  with contextlib.suppress(ImportError):
    class_agreement.default_classifier()
    return {
        'labels': labels,
        'real_labels': labels,
        'train_labels': train_labels,
    }
  return {}

"""What is known of a flow at the end of a run."""

import dataclasses

import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import diagnostics
from tfp_flowopt.internal import atomic_files

__all__ = ['RunResults', 'read']

# The last file that is written of a run, and one that is before it.
_SUMMARY, _REPORT = 'summary.json', 'report.txt'

# Images of the report on recomputed inputs.
_RECONSTRUCTED = 8
# Images of the report on layers, and the largest one with local constants.
_LAYER_IMAGES, _LARGEST_LOCAL = 4, 128 * 128 * 3


def read(workdir, step, settings):
  """What `RunResults.summary` was of a complete run; `None` if it is none.

  Or if it is one of another `step`, or of other `settings`.
  """
  if not (workdir / _SUMMARY).exists() or not (workdir / _REPORT).exists():
    return None
  results = atomic_files.read_json(workdir / _SUMMARY) or {}
  found = results.get('steps'), results.get('settings')
  return results if found == (step, settings) else None


class RunResults:
  """What is found out about a flow, and its `diagnostics.OptimumReport`.

  `samples` are `RunSamples`, where there are some.

  Attributes:
    layers: List of `diagnostics.LayerReport`; empty for a flow of another kind
      than `ImageFlow`. Local constants are left out for large images, for
      which they take much memory.
  """

  def __init__(self, distribution, report, held_out, config, samples=None):
    self._report = report
    self._samples = samples
    self._reconstruction, self.layers = [], []
    if not isinstance(distribution.bijector, bijectors.ImageFlow):
      return
    size = held_out.event_size
    x, kwargs = held_out.array(config.bits, _RECONSTRUCTED * size)
    self._reconstruction = diagnostics.reconstruction_errors(
        distribution, tf.constant(x), **kwargs
    )
    x, kwargs = held_out.array(config.bits, _LAYER_IMAGES * size)
    self.layers = diagnostics.layer_report(
        distribution,
        x,
        num_local_images=int(config.local_constants and size <= _LARGEST_LOCAL),
        **kwargs,
    )

  def summary(self, **results):
    """All results, and others given, for JSON: `None` for NaN."""
    return {
        **results,
        'report': tf.nest.map_structure(
            lambda value: None if value != value else value,
            dataclasses.asdict(self._report),
        ),
        'reconstruction': [error._asdict() for error in self._reconstruction],
        'layers': [layer._asdict() for layer in self.layers],
        'samples': self._samples and self._samples.summary(),
    }

  def show(self, step, pictures, board):
    """Draws the layers with `RunPictures`, and shows the samples."""
    pictures.draw_layers(step, board, self.layers)
    self._samples.show(step, board)

  def write(self, workdir, results):
    """Writes `report.txt`, and last `summary.json`: the run is complete."""
    with atomic_files.atomic_path(workdir / _REPORT) as path:
      lines = [str(part) for part in (self._report, *self._reconstruction)]
      if self._samples and self._samples.report:
        lines.append(f'\n{self._samples.report}')
      path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    atomic_files.write_json(workdir / _SUMMARY, results)

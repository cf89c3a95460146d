"""What is known of a flow at the end of a run, or of training."""

import dataclasses
import pathlib

import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import diagnostics
from tfp_flowopt.internal import atomic_files

__all__ = [
    'layer_report',
    'optimum_report',
    'reconstruction_errors',
    'summary',
    'write_results',
]

# Images of the report on recomputed inputs.
_RECONSTRUCTED = 8
# Images of the report on layers, and the largest one with local constants.
_LAYER_IMAGES, _LARGEST_LOCAL = 4, 128 * 128 * 3


def optimum_report(distribution, evaluator, examples, held_out, bits):
  """The flow beside the best linear flows; see `diagnostics.optimum_report`.

  Args:
    distribution: The flow.
    evaluator: `FlowEvaluator` of it, up to date.
    examples: `ExampleBatches` that the linear flows are fitted to.
    held_out: `ExampleBatches`.
    bits: Number of bits of an image value.

  Returns:
    `diagnostics.OptimumReport`; of large sets, about the first images.
  """
  data, _ = examples.array(bits)
  x, kwargs = held_out.array(bits)
  return diagnostics.optimum_report(
      distribution,
      data,
      x,
      bits,
      log_prob=evaluator.log_prob,
      num_data=min(len(data), examples.num_disjoint),
      num_held_out=min(len(x), held_out.num_independent),
      **kwargs,
  )


def reconstruction_errors(distribution, held_out, bits):
  """Certified and measured errors of recomputed inputs, of some images.

  Args:
    distribution: The flow.
    held_out: `ExampleBatches`.
    bits: Number of bits of an image value.

  Returns:
    List of `diagnostics.LevelReconstruction`; empty for a flow that recomputes
    nothing.
  """
  if not isinstance(distribution.bijector, bijectors.ImageFlow):
    return []
  x, kwargs = held_out.array(bits, _RECONSTRUCTED * held_out.event_size)
  return diagnostics.reconstruction_errors(
      distribution, tf.constant(x), **kwargs
  )


def layer_report(distribution, held_out, bits, local_constants):
  """What each layer does; see `diagnostics.layer_report`.

  Args:
    distribution: The flow.
    held_out: `ExampleBatches`.
    bits: Number of bits of an image value.
    local_constants: Whether to find constants at an image.

  Returns:
    List of `diagnostics.LayerReport`, empty for a flow of another kind; local
    constants are left out for large images, for which they take much memory.
  """
  if not isinstance(distribution.bijector, bijectors.ImageFlow):
    return []
  size = held_out.event_size
  x, kwargs = held_out.array(bits, _LAYER_IMAGES * size)
  return diagnostics.layer_report(
      distribution,
      x,
      num_local_images=int(local_constants and size <= _LARGEST_LOCAL),
      **kwargs,
  )


def summary(results, report, reconstruction, layers):
  """All results as a dictionary that JSON can hold: `None` for NaN."""
  return {
      **results,
      'report': tf.nest.map_structure(
          lambda value: None if value != value else value,
          dataclasses.asdict(report),
      ),
      'reconstruction': [error._asdict() for error in reconstruction],
      'layers': [layer._asdict() for layer in layers],
  }


def write_results(workdir, results, report, reconstruction):
  """Writes `report.txt`, and `summary.json` last: then the run is complete.

  Args:
    workdir: Directory of the run.
    results: The `summary`.
    report: `diagnostics.OptimumReport`.
    reconstruction: List of `diagnostics.LevelReconstruction`.
  """
  workdir = pathlib.Path(workdir)
  with atomic_files.atomic_path(workdir / 'report.txt') as path:
    lines = (str(part) for part in (report, *reconstruction))
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
  atomic_files.write_json(workdir / 'summary.json', results)

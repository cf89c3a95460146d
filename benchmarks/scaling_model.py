"""Scaling on paper: what a step costs, and what many GPUs would make of it.

Measured: weights, floating-point operations and bytes of a training step (from
its graph, see `graph_cost.py`), and its time and memory on this machine.
Assumed: what a GPU and a network reach, in the flags. Predicted: how long a
step takes on many GPUs, with a fixed batch for each of them and with a fixed
batch for all. docs/scaling.md says what the model leaves out. No GPU is needed,
and none was measured.

  python benchmarks/scaling_model.py
"""

import json
import os
import pathlib

from absl import app
from absl import flags
import scaling_flow
import scaling_measurements
import scaling_prediction

_RESULTS = pathlib.Path(__file__).resolve().parent / 'results'

_OUTPUT = flags.DEFINE_string(
    'output', str(_RESULTS / 'scaling_model.json'), 'JSON to write.'
)
_FULL = flags.DEFINE_bool(
    'full', False, 'Whether to measure more sizes and batches, for longer.'
)
_MEASURE = flags.DEFINE_bool(
    'measure', True, 'Whether to take training steps, too.'
)

# The flows.
_NUM_LEVELS = flags.DEFINE_integer(
    'num_levels', 6, 'Number of resolutions, at most 6.', lower_bound=1,
    upper_bound=6,
)
_NUM_STEPS = flags.DEFINE_integer(
    'num_steps', 8, 'Flow steps at each.', lower_bound=1
)
_WIDTHS = flags.DEFINE_list(
    'hidden_channels', ['64', '512'], 'Widths of the networks, even.'
)

# The runs.
_GPUS = flags.DEFINE_list(
    'gpus', ['1', '8', '64', '256', '1024'], 'Numbers of GPUs.'
)
_LOCAL_BATCH = flags.DEFINE_list(
    'local_batch', ['256:64', '1024:4'],
    'SIZE:IMAGES: how many images of which size a GPU takes at once.',
)
_GLOBAL_BATCH = flags.DEFINE_integer(
    'global_batch', 1024, 'Images in a step where that is fixed.', lower_bound=1
)

# The GPU: an H100 SXM by its data sheet, and what of that is reached.
_PEAK_TFLOPS = flags.DEFINE_float(
    'peak_tflops', 495.0, 'Of dense products (TF32; bfloat16: 989).'
)
_PRODUCT_SHARE = flags.DEFINE_float(
    'product_share', 0.3, 'Share of the peak that products reach.'
)
_MEMORY_GBS = flags.DEFINE_float('memory_gbs', 3350.0, 'GB/s of its memory.')
_MEMORY_SHARE = flags.DEFINE_float(
    'memory_share', 0.7, 'Share of that which is reached.'
)
_MEMORY_GB = flags.DEFINE_float('memory_gb', 80.0, 'GB of its memory.')
_DISPATCH_US = flags.DEFINE_float(
    'dispatch_us', 8.0, 'Microseconds to start an operation.'
)

# The network.
_GPUS_PER_HOST = flags.DEFINE_integer(
    'gpus_per_host', 8, 'GPUs of a host.', lower_bound=1
)
_HOST_GBS = flags.DEFINE_float(
    'host_gbs', 450.0, 'GB/s each way between GPUs of a host (NVLink).'
)
_NETWORK_GBS = flags.DEFINE_float(
    'network_gbs', 50.0, 'GB/s each way of the network, for each GPU.'
)
_LINK_SHARE = flags.DEFINE_float(
    'link_share', 0.7, 'Share of both that is reached.'
)
_HOST_LATENCY_US = flags.DEFINE_float(
    'host_latency_us', 3.0, 'Microseconds of a message in a host.'
)
_NETWORK_LATENCY_US = flags.DEFINE_float(
    'network_latency_us', 10.0, 'Microseconds of a message between hosts.'
)
_EXPOSED = flags.DEFINE_float(
    'exposed', 1.0, 'Share of the all-reduce that nothing else hides.'
)
_SMALL_REDUCES = flags.DEFINE_integer(
    'small_reduces', 3, 'Further all-reduces of a few numbers in a step.'
)
_JITTER = flags.DEFINE_float(
    'jitter', 0.01, 'Standard deviation of the time of a step, relative to it.'
)

# The input.
_INPUT_CORES = flags.DEFINE_integer(
    'input_cores', 16, 'Cores of a host that decode; more than 16 do not.'
)
_INPUT_FORMAT = flags.DEFINE_string(
    'input_format', 'TFRecord of PNG', 'A key of results/input_pipeline.json.'
)


def _print_steps(title, steps):
  print(f'\n{title}')
  columns = (
      ('GPUs', 'gpus', 'd', 1),
      ('each', 'local_batch', 'd', 1),
      ('all', 'global_batch', 'd', 1),
      ('device ms', 'device_seconds', '.0f', 1e3),
      ('host ms', 'host_seconds', '.0f', 1e3),
      ('wait ms', 'waiting_seconds', '.1f', 1e3),
      ('reduce ms', 'all_reduce_seconds', '.2f', 1e3),
      ('step ms', 'step_seconds', '.0f', 1e3),
      ('images/s', 'images_per_second', '.0f', 1),
      ('efficiency', 'efficiency', '.3f', 1),
      ('a host/s', 'host_images_per_second', '.0f', 1),
  )
  print(''.join(f'{name:>11}' for name, _, _, _ in columns))
  for step in steps:
    print(
        ''.join(f'{step[key] * by:>11{form}}' for _, key, form, by in columns)
    )


def _print_flow(width, flow):
  counts, megabytes = flow.counts, 4 * flow.parameters / 1e6
  print(
      f'\nWidth {width}: {flow.parameters} weights in {flow.num_variables} '
      f'variables. MB: weights {megabytes:.1f}, Adam {2 * megabytes:.1f}, '
      f'averages {megabytes:.1f}, all-reduced {megabytes:.1f}.\n'
      f'An image of {scaling_flow.COUNTED_SIZE} pixels a side: '
      f'{counts["flops_per_image"] / 1e9:.1f} GFLOP '
      f'({counts["products_per_image"] / 1e9:.1f} in products), '
      f'{counts["bytes_per_image"] / 1e9:.2f} GB read and written. Whatever '
      f'the batch: {counts["flops_of_weights"] / 1e9:.1f} GFLOP, '
      f'{counts["bytes_of_weights"] / 1e9:.2f} GB, {counts["operations"]} '
      f'operations.\nConvolutions by hand '
      f'{counts["convolutions_per_image_by_hand"] / 1e9:.3f} GFLOP, counted '
      f'{counts["convolutions_per_image"] / 1e9:.3f}. TensorFlow\'s profiler '
      f'sees {counts["profiler_share"]:.1%} of a step.',
      flush=True,
  )


def _settings():
  """The flags, as the predictions take them."""
  settings = {
      flag.name: flag.value
      for flag in flags.FLAGS.get_key_flags_for_module(__name__)
      if flag.name not in ('output', 'full', 'measure')
  }
  try:
    settings['gpus'] = [int(value) for value in settings['gpus']]
    settings['hidden_channels'] = [int(v) for v in settings['hidden_channels']]
    settings['local_batch'] = {
        int(size): int(batch)
        for size, batch in (pair.split(':') for pair in _LOCAL_BATCH.value)
    }
  except ValueError as e:
    raise app.UsageError(f'A flag has a wrong value: {e}') from e
  return settings


def main(argv):
  """Counts, measures, predicts, prints and writes."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  settings = _settings()
  print(json.dumps(settings, indent=2))
  report = {'settings': settings, 'cores': os.cpu_count(), 'flows': {}}
  measured = []
  if _MEASURE.value:
    # Before anything else: a process starts with the peak of the one that made
    # it, and counting takes gigabytes.
    measured = scaling_measurements.measure(
        _NUM_LEVELS.value,
        _NUM_STEPS.value,
        settings['hidden_channels'][0],
        _FULL.value,
    )
  for width in settings['hidden_channels']:
    flow = scaling_flow.count(_NUM_LEVELS.value, _NUM_STEPS.value, width)
    _print_flow(width, flow)
    result = {
        'parameters': flow.parameters,
        'num_variables': flow.num_variables,
        'weight_bytes': 4 * flow.parameters,
        'adam_bytes': 8 * flow.parameters,
        'average_bytes': 4 * flow.parameters,
        'all_reduced_bytes': 4 * flow.parameters,
        'counted': flow.counts,
    }
    report['flows'][width] = result
    if width == settings['hidden_channels'][0]:
      if _FULL.value:
        result['line_error_at_1024'] = scaling_flow.check_pixels(
            flow, _NUM_LEVELS.value, _NUM_STEPS.value, width
        )
      if _MEASURE.value:
        scaling_measurements.compare(flow, measured)
        result['measured'] = measured
        result['memory'] = scaling_measurements.memory_line(
            measured, flow.parameters
        )
        print(f'Memory: {result["memory"]}')
        result['largest_batch'] = {
            size: scaling_prediction.largest_batch(
                flow, size, result['memory'], settings
            )
            for size in settings['local_batch']
        }
        print(f'Images that fit a GPU: {result["largest_batch"]}')
    result['predicted'] = {}
    for size in settings['local_batch']:
      weak = scaling_prediction.scaling(flow, size, settings, False)
      strong = scaling_prediction.scaling(flow, size, settings, True)
      sensitivity = scaling_prediction.sensitivity(flow, size, settings)
      _print_steps(f'{size} pixels, width {width}, fixed for each GPU:', weak)
      _print_steps(f'{size} pixels, width {width}, fixed for all:', strong)
      print(f'\n{max(settings["gpus"])} GPUs, fixed for each, if')
      for row in sensitivity:
        print(
            f'  {row["change"]:<32} efficiency {row["weak"]:.3f}, a step of '
            f'one GPU {1e3 * row["step_seconds"]:.0f} ms'
        )
      result['predicted'][size] = {
          'fixed_for_each': weak,
          'fixed_for_all': strong,
          'sensitivity': sensitivity,
      }
  print('\nNo GPU was measured.')
  pathlib.Path(_OUTPUT.value).write_text(
      json.dumps(report, indent=2) + '\n', encoding='utf-8'
  )


if __name__ == '__main__':
  app.run(main)

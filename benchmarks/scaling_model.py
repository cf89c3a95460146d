"""Scaling on paper: what a step costs, and what many GPUs would make of it.

Measured: weights, floating-point operations and bytes of a training step (from
its graph, see `graph_cost.py`), and its time and memory on this machine.
Assumed: what a GPU and a network reach, in the flags. Predicted: how long a
step takes on many GPUs, with a fixed batch for each of them and with a fixed
batch for all. docs/scaling.md says what the model leaves out. No GPU is needed,
and none was measured.

  python benchmarks/scaling_model.py
"""

import dataclasses
import json
import math
import os
import pathlib
import statistics
import sys
import tempfile
import time
from unittest import mock

from absl import app
from absl import flags
import graph_cost
import numpy as np
import photograph_crops
import serving
import tensorflow as tf
import tf_keras

import tfp_flowopt as fo

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

# Where costs are counted: the smallest size with the scalings of larger ones.
# One image would hide which axis is the batch.
_COUNTED_SIZE, _COUNTED_BATCHES = 256, (2, 3)
_MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Flow:
  """What a step of a flow costs, from its graph.

  `n` is the number of pixels of a batch in units of an image of the counted
  size. Every operation costs `fixed + n * per_image`: those on weights do not
  see the images, and those on images are the same for each pixel.

  Attributes:
    parameters: Number of trained numbers.
    num_variables: Number of variables they are in.
    num_runs: `[operations]`, how often each runs in a step.
    flops: `[2, operations]`, fixed and for each image; the same for `bytes`.
    num_bytes: See there.
    is_product: `[operations]`, whether it is a convolution or a product.
    counts: Dictionary of totals, and of what counters say.
  """

  parameters: int
  num_variables: int
  num_runs: np.ndarray
  flops: np.ndarray
  num_bytes: np.ndarray
  is_product: np.ndarray
  counts: dict

  def device_seconds(self, n, flops_per_second, bytes_per_second):
    """Time of a step on one device that is never kept waiting."""
    flops = (self.flops[0] + n * self.flops[1]) * self.is_product
    num_bytes = self.num_bytes[0] + n * self.num_bytes[1]
    return float(
        self.num_runs
        @ np.maximum(flops / flops_per_second, num_bytes / bytes_per_second)
    )

  def total(self, values, n):
    """Sum over operations, of `flops` or `num_bytes`."""
    return float(self.num_runs @ (values[0] + n * values[1]))

  @property
  def num_operations(self):
    """Operations of a step that a device runs."""
    return int(self.num_runs.sum())


def _make(size, num_levels, width):
  distribution = fo.image_flow(
      [size, size, 3],
      num_levels=num_levels,
      num_steps=_NUM_STEPS.value,
      hidden_channels=width,
  )
  variables = distribution.trainable_variables
  optimizer = tf_keras.optimizers.legacy.Adam(1e-4)
  optimizer._create_all_weights(variables)  # pylint: disable=protected-access
  average = tf.train.ExponentialMovingAverage(0.995, optimizer.iterations)
  average.apply(variables)
  return distribution, variables, optimizer, average


def _trace(distribution, variables, optimizer, average, batch):
  """The step of `Trainer`, as TensorFlow traces it where there is a GPU."""

  def step(x):
    with tf.GradientTape() as tape, fo.lipschitz.shared_rescaling():
      loss = fo.bits_per_dim(
          tf.reduce_mean(distribution.log_prob(x)),
          distribution.event_shape.num_elements(),
      )
    gradients, norm = tf.clip_by_global_norm(
        tape.gradient(loss, variables), 1.0
    )
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    average.apply(variables)
    return loss, norm

  # Convolutions are written differently for CPUs (see internal/convolution.py).
  with mock.patch.object(
      tf.config, 'list_logical_devices', return_value=['GPU:0']
  ):
    return tf.function(step, autograph=False).get_concrete_function(
        tf.TensorSpec([batch, *distribution.event_shape])
    )


def _count(width):
  """The `Flow` of a width."""
  made = _make(_COUNTED_SIZE, _NUM_LEVELS.value, width)
  work = []
  for batch in _COUNTED_BATCHES:
    function = _trace(*made, batch)
    work.append(graph_cost.graph_work(function, _NUM_STEPS.value))
  if [w.op_type for w in work[0]] != [w.op_type for w in work[1]]:
    raise RuntimeError('The graph depends on the batch size.')
  few, many = _COUNTED_BATCHES

  def line(name):
    a, b = (np.array([float(getattr(w, name)) for w in x]) for x in work)
    slope = (b - a) / (many - few)
    return np.stack([a - few * slope, slope])

  num_runs = np.array([w.repeats for w in work[0]])
  is_product = np.array([w.is_product for w in work[0]])
  convolutions = np.array([w.op_type.startswith('Conv2D') for w in work[0]])
  counted = np.array([w.counted for w in work[0]])
  flops, num_bytes = line('flops'), line('num_bytes')
  per_image = num_runs * flops[1]
  parameters = sum(v.shape.num_elements() for v in made[1])
  return Flow(
      parameters=parameters,
      num_variables=len(made[1]),
      num_runs=num_runs,
      flops=flops,
      num_bytes=num_bytes,
      is_product=is_product,
      counts={
          'flops_per_image': float(per_image.sum()),
          'products_per_image': float(per_image @ is_product),
          'convolutions_per_image': float(per_image @ convolutions),
          'convolutions_per_image_by_hand': _convolutions_by_hand(width),
          'flops_of_weights': float(num_runs @ flops[0]),
          'bytes_per_image': float(num_runs @ num_bytes[1]),
          'bytes_of_products_per_image': float(
              (num_runs * num_bytes[1]) @ is_product
          ),
          'bytes_of_weights': float(num_runs @ num_bytes[0]),
          'operations': int(num_runs.sum()),
          'share_without_formula': float(
              per_image @ ~counted / per_image.sum()
          ),
          'profiler_share': graph_cost.outermost_flops(function)
          / float(num_runs @ (flops[0] + many * flops[1])),
      },
  )


def _convolutions_by_hand(width):
  """Operations of the couplings' convolutions in a step, for one image.

  Forward, once more on the way back, and a gradient for input and one for
  kernel: four times. The first coupling of a step is one convolution, the
  second has three.
  """
  total = 0
  for level in range(_NUM_LEVELS.value):
    positions = (_COUNTED_SIZE // 2 ** (level + 1)) ** 2
    channels = 12 * 2**level
    half = channels // 2
    weights = 9 * half * half
    weights += 9 * half * width + width * width + 9 * width * channels
    total += 4 * 2 * weights * positions * _NUM_STEPS.value
  return total


# Measurements on this machine.


def _rate(function, amount):
  """Median of `amount` a second."""
  function = tf.function(function, autograph=False)
  function()
  times = []
  for _ in range(9):
    start = time.perf_counter()
    function().numpy()
    times.append(time.perf_counter() - start)
  return amount / statistics.median(times)


def _machine():
  """What the model needs to know of this machine."""
  n, length, chain = 2048, 2**25, 5000
  a = tf.random.stateless_normal([n, n], [0, 0])
  b = tf.random.stateless_normal([length], [0, 1])
  # Of a constant, TensorFlow would compute the chain beforehand; one of unary
  # operations, it would fuse.
  c = tf.Variable(tf.ones([16]))

  def small_operations():
    x = tf.convert_to_tensor(c)
    for _ in range(chain):
      x = tf.atan2(x, c)
    return x

  return {
      'product_flops_per_second': _rate(lambda: (a @ a)[0, 0], 2 * n**3),
      'bytes_per_second': _rate(lambda: (b + 1.0)[:8], 8 * length),
      'dispatch_seconds': 1.0 / _rate(small_operations, chain),
  }


def _measure(size, num_levels, width, batch, num_timings):
  """Time and memory of training steps, in a process of their own."""
  with tempfile.TemporaryDirectory() as folder:
    images = str(pathlib.Path(folder) / 'images.npy')
    photograph_crops.write_crops(images, size)
    arm = serving.Arm(
        sys.executable,
        'flowopt.py',
        {
            'image_size': size,
            'batch_size': batch,
            'learning_rate': 1e-4,
            'images': images,
            'flow': {
                'num_levels': num_levels,
                'num_steps': _NUM_STEPS.value,
                'hidden_channels': width,
            },
        },
    )
    first = arm.ask('train_step')
    steps = [arm.ask('train_step') for _ in range(num_timings)]
    fallbacks = arm.ask('num_fallbacks')['value']
    arm.close()
  for answer in (first, *steps):
    if answer['error']:
      raise RuntimeError(f'{size} pixels, batch {batch}: {answer["error"]}')
  return {
      'image_size': size,
      'num_levels': num_levels,
      'hidden_channels': width,
      'batch_size': batch,
      'step_seconds': statistics.median(s['seconds'] for s in steps),
      'all_step_seconds': [s['seconds'] for s in steps],
      'peak_mib': steps[-1]['peak_mib'],
      'fallbacks': fallbacks,
  }


def _measurements(width):
  """Steps on this machine.

  Args:
    width: Width of the networks.

  Returns:
    List of dictionaries.
  """
  cases = [(256, 2, 4), (256, 8, 3)]
  if _FULL.value:
    cases += [(256, 1, 5), (256, 4, 5), (256, 16, 3), (128, 8, 5), (128, 32, 3)]
  results = []
  for size, batch, num_timings in cases:
    result = _measure(size, _NUM_LEVELS.value, width, batch, num_timings)
    # Each time: other work may come and go.
    result['machine'] = _machine()
    results.append(result)
    print(
        f'{size} pixels, batch {batch}: {result["step_seconds"]:.2f} s a step, '
        f'peak {result["peak_mib"]:.0f} MiB, {result["fallbacks"]} '
        f'fall-backs; {result["machine"]}',
        flush=True,
    )
  return results


def _compare(flow, measured):
  """Adds to measurements what the model says for this machine, and prints."""
  for result in measured:
    n = result['batch_size'] * (result['image_size'] / _COUNTED_SIZE) ** 2
    predicted = _machine_seconds(flow, n, result['machine'])
    result['predicted_seconds'] = predicted
    result['predicted_over_measured'] = predicted / result['step_seconds']
    print(
        f'{result["image_size"]} pixels, batch {result["batch_size"]}: '
        f'{predicted:.2f} s by the model, {result["step_seconds"]:.2f} '
        f'measured, ratio {result["predicted_over_measured"]:.2f}'
    )


def _machine_seconds(flow, n, machine):
  """Time of a step here: operations run one after the other."""
  return flow.device_seconds(
      n, machine['product_flops_per_second'], machine['bytes_per_second']
  ) + flow.num_operations * machine['dispatch_seconds']


def _memory(measurements, parameters):
  """Peak memory as a line in the number of pixels.

  Args:
    measurements: What `_measurements` returns.
    parameters: Number of weights.

  Returns:
    Dictionary: MiB with no image, and for each image of the counted size.
  """
  n = [
      m['batch_size'] * (m['image_size'] / _COUNTED_SIZE) ** 2
      for m in measurements
  ]
  slope, fixed = np.polyfit(n, [m['peak_mib'] for m in measurements], 1)
  memory = {'fixed_mib': float(fixed), 'mib_per_image': float(slope)}
  known = json.loads((_RESULTS / 'high_resolution.json').read_text('utf-8'))
  if known['ours']['parameters'] == parameters:
    # The one number there is at 1024 pixels, batch 1.
    memory['predicted_1024_mib'] = float(fixed + 16 * slope)
    memory['measured_1024_mib'] = known['ours']['peak_mib']
  return memory


# Predictions.


def _gpu_seconds(flow, n, settings):
  """Parts of the time of a step on one GPU.

  Args:
    flow: `Flow`.
    n: Pixels, in images of the counted size.
    settings: Values of the flags.

  Returns:
    Dictionary: the time of the device, that of the host that starts its
    operations, and the larger one.
  """
  device = flow.device_seconds(
      n,
      settings['peak_tflops'] * 1e12 * settings['product_share'],
      settings['memory_gbs'] * 1e9 * settings['memory_share'],
  )
  host = flow.num_operations * settings['dispatch_us'] * 1e-6
  return {'device': device, 'host': host, 'compute': max(device, host)}


def _all_reduce_seconds(num_bytes, num_gpus, settings):
  """Time of an all-reduce, by a ring or by trees, whichever is faster.

  Args:
    num_bytes: Bytes of the gradients on each GPU.
    num_gpus: Number of GPUs.
    settings: Values of the flags.

  Returns:
    Python `float`.
  """
  if num_gpus == 1:
    return 0.0
  in_host = min(num_gpus, settings['gpus_per_host'])
  num_hosts = math.ceil(num_gpus / settings['gpus_per_host'])
  bandwidth = settings['host_gbs']
  latency = settings['host_latency_us'] * 1e-6
  slowest = latency
  if num_hosts > 1:
    # As many rings as network cards: each carries its part over its own.
    bandwidth = min(bandwidth, in_host * settings['network_gbs'])
    slowest = settings['network_latency_us'] * 1e-6
  bandwidth *= 1e9 * settings['link_share']
  hops = 2 * (num_gpus - 1)
  ring = hops / num_gpus * num_bytes / bandwidth
  # Of a ring's messages one in `in_host` leaves the host, but all others wait.
  ring += hops * slowest
  tree = 2 * num_bytes / bandwidth + 2 * (
      (in_host - 1) * latency
      + math.ceil(math.log2(num_hosts)) * settings['network_latency_us'] * 1e-6
  )
  return min(ring, tree)


def _input_rate(size, settings):
  """Images a second that a host decodes, or `None` if it is not known."""
  known = json.loads((_RESULTS / 'input_pipeline.json').read_text('utf-8'))
  rates = known['results'][settings['input_format']]
  if str(size) not in rates:
    return None
  rate = rates[str(size)]['images_per_second'] / known['cores']
  return rate * min(settings['input_cores'], 16)


def _step(flow, size, num_gpus, local_batch, micro_batch, settings):
  """Time of a step on many GPUs, and its parts.

  Args:
    flow: `Flow`.
    size: Side of the images.
    num_gpus: Number of GPUs.
    local_batch: Images of each GPU.
    micro_batch: How many of them at once; gradients are added up.
    settings: Values of the flags.

  Returns:
    Dictionary.
  """
  pixels = (size / _COUNTED_SIZE) ** 2
  num_parts = math.ceil(local_batch / micro_batch)
  parts = _gpu_seconds(flow, local_batch / num_parts * pixels, settings)
  compute = num_parts * parts['compute']
  # The expected largest of so many normal variables, to first order.
  waiting = compute * settings['jitter'] * math.sqrt(2 * math.log(num_gpus))
  reduced = settings['exposed'] * _all_reduce_seconds(
      4 * flow.parameters, num_gpus, settings
  )
  # The loss, and whether all is finite: nothing can hide them.
  reduced += settings['small_reduces'] * _all_reduce_seconds(
      4, num_gpus, settings
  )
  seconds = compute + waiting + reduced
  in_host = min(num_gpus, settings['gpus_per_host'])
  rate = _input_rate(size, settings)
  return {
      'gpus': num_gpus,
      'local_batch': local_batch,
      'global_batch': local_batch * num_gpus,
      'accumulation': num_parts,
      'device_seconds': num_parts * parts['device'],
      'host_seconds': num_parts * parts['host'],
      'waiting_seconds': waiting,
      'all_reduce_seconds': reduced,
      'input_seconds': rate and in_host * local_batch / rate,
      'step_seconds': max(
          seconds, (in_host * local_batch / rate) if rate else 0.0
      ),
      'host_images_per_second': in_host * local_batch / seconds,
  }


def _scaling(flow, size, settings, fixed_global):
  """Steps on all numbers of GPUs, with their efficiencies.

  The efficiency is that of a GPU, images a second, relative to one GPU alone.

  Args:
    flow: `Flow`.
    size: Side of the images.
    settings: Values of the flags.
    fixed_global: Whether the batch of all GPUs is fixed, not that of each.

  Returns:
    List of dictionaries.
  """
  micro_batch = settings['local_batch'][size]
  steps = []
  for num_gpus in settings['gpus']:
    local_batch = micro_batch
    if fixed_global:
      if settings['global_batch'] % num_gpus:
        continue
      local_batch = settings['global_batch'] // num_gpus
    steps.append(
        _step(flow, size, num_gpus, local_batch, micro_batch, settings)
    )
  if not steps:
    return steps
  alone = settings['global_batch'] if fixed_global else micro_batch
  first = _step(flow, size, 1, alone, micro_batch, settings)
  for step in steps:
    rate = step['global_batch'] / step['step_seconds']
    step['images_per_second'] = rate
    step['efficiency'] = rate / (
        step['gpus'] * first['global_batch'] / first['step_seconds']
    )
  return steps


# What else could be true, one change at a time.
_CHANGES = (
    ('as assumed', {}),
    ('operations start in 2 us', {'dispatch_us': 2.0}),
    ('operations start in 20 us', {'dispatch_us': 20.0}),
    ('products reach 0.1 of the peak', {'product_share': 0.1}),
    ('memory reaches 0.35', {'memory_share': 0.35}),
    ('one network card a host', {'network_gbs': 6.25}),
    ('all-reduce ten times as slow', {'exposed': 10.0}),
    ('jitter 0.05', {'jitter': 0.05}),
    ('no jitter', {'jitter': 0.0}),
)


def _sensitivity(flow, size, settings):
  """Efficiency of the most GPUs when one assumption is another."""
  rows = []
  for name, change in _CHANGES:
    changed = {**settings, **change}
    most = max(settings['gpus'])
    rows.append({
        'change': name,
        'weak': _scaling(
            flow, size, {**changed, 'gpus': [most]}, False
        )[-1]['efficiency'],
        'step_seconds': _scaling(flow, size, {**changed, 'gpus': [1]}, False)[
            0
        ]['step_seconds'],
    })
  return rows


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
      f'An image of {_COUNTED_SIZE} pixels a side: '
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


def _check_pixels(flow, width):
  """Largest relative error of the line in pixels, at 1024."""
  made = _make(1024, _NUM_LEVELS.value, width)
  work = graph_cost.graph_work(_trace(*made, 2), _NUM_STEPS.value)
  errors = {}
  for name, values in (('flops', flow.flops), ('num_bytes', flow.num_bytes)):
    direct = sum(w.repeats * getattr(w, name) for w in work)
    errors[name] = flow.total(values, 32) / direct - 1.0
  print(f'At 1024 pixels, of the line over counted: {errors}')
  return errors


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


def _largest_batch(flow, size, memory, settings):
  """Images that fit a GPU: what a CPU needed for each, and all of the weights.

  Weights, slots, averages, gradients, and two copies in the all-reduce.
  """
  room = 0.9 * settings['memory_gb'] * 1e9 - 28 * flow.parameters
  each = memory['mib_per_image'] * _MIB * (size / _COUNTED_SIZE) ** 2
  return int(room / each)


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
    measured = _measurements(settings['hidden_channels'][0])
  for width in settings['hidden_channels']:
    flow = _count(width)
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
        result['line_error_at_1024'] = _check_pixels(flow, width)
      if _MEASURE.value:
        _compare(flow, measured)
        result['measured'] = measured
        result['memory'] = _memory(measured, flow.parameters)
        print(f'Memory: {result["memory"]}')
        result['largest_batch'] = {
            size: _largest_batch(flow, size, result['memory'], settings)
            for size in settings['local_batch']
        }
        print(f'Images that fit a GPU: {result["largest_batch"]}')
    result['predicted'] = {}
    for size in settings['local_batch']:
      weak = _scaling(flow, size, settings, fixed_global=False)
      strong = _scaling(flow, size, settings, fixed_global=True)
      sensitivity = _sensitivity(flow, size, settings)
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

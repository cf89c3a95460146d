"""Scaling on paper: what a step costs, and what many GPUs would make of it.

Counted: weights, floating-point operations and bytes of a training step, from
its graph (see `graph_cost`). Measured: time and memory of steps on this
machine. Assumed: what a GPU and a network reach, in the settings. Predicted:
how long a step takes on many GPUs, with a fixed batch for each of them and with
a fixed batch for all. docs/scaling.md has the formulas, and what they leave
out. No GPU is needed, and none was measured.
"""

import math
import pathlib
from unittest import mock

from harness import graph_cost
from harness import records
import numpy as np
import suites
import tensorflow as tf

from measures import train_step
import tfp_flowopt as fo
from tfp_flowopt.training import train_state

_RESULTS = pathlib.Path(__file__).resolve().parents[1] / 'results'
# Where costs are counted: the smallest size with the scalings of larger ones.
# One image would hide which axis is the batch.
_SIZE, _FEW, _MANY = 256, 2, 3
_SHAPE = ('num_levels', 'num_steps', 'hidden_channels')
# What else could be true, one change at a time.
_CHANGES = {
    'as assumed': {},
    'operations start in 2 us': {'dispatch_us': 2.0},
    'operations start in 20 us': {'dispatch_us': 20.0},
    'products reach 0.1 of the peak': {'product_share': 0.1},
    'memory reaches 0.35': {'memory_share': 0.35},
    'one network card a host': {'network_gbs': 6.25},
    'all-reduce ten times as slow': {'exposed': 10.0},
    'jitter 0.05': {'jitter': 0.05},
    'no jitter': {'jitter': 0.0},
}


def measure(settings, seed, context):
  """See `run.py`."""
  # Before anything else: counting takes gigabytes, and other work comes and
  # goes.
  measured = [
      _measured_step(settings, case, seed, context)
      for case in settings['measured']
  ]
  flow = _Flow(settings)
  values = {
      'parameters': flow.parameters,
      'num_variables': flow.num_variables,
      'counted': flow.counts(),
  }
  if settings['check_pixels']:
    values['line_error_at_1024'] = flow.errors_at_1024()
  if measured:
    pixels = [_images(x['image_size'], x['batch_size']) for x in measured]
    for row, n in zip(measured, pixels, strict=True):
      rates = row['rates']
      # Operations run one after the other.
      row['predicted_seconds'] = flow.device_seconds(
          n, rates['product_flops_per_second'], rates['bytes_per_second']
      ) + flow.num_operations * rates['dispatch_seconds']
    # Peak memory is a line in the number of pixels.
    slope, fixed = np.polyfit(pixels, [row['peak_mib'] for row in measured], 1)
    # Weights, slots, averages, gradients, and two copies in the all-reduce.
    room = 0.9 * settings['memory_gb'] * 1e9 - 28 * flow.parameters
    values['measured'] = measured
    values['memory'] = {
        'fixed_mib': fixed,
        'mib_per_image': slope,
        'predicted_1024_mib': fixed + slope * _images(1024, 1),
        'largest_batch': {
            size: int(room / (slope * 2**20 * _images(size, 1)))
            for size in settings['local_batch']
        },
    }
  values['predicted'] = {
      size: {
          'fixed_for_each': _scaling(flow, size, settings, False),
          'fixed_for_all': _scaling(flow, size, settings, True),
          'sensitivity': _sensitivity(flow, size, settings),
      }
      for size in settings['local_batch']
  }
  return values


def _images(size, batch):
  """Pixels of a batch, in images of the counted size."""
  return batch * (int(size) / _SIZE) ** 2


def _measured_step(settings, case, seed, context):
  """Time and memory of a training step on this machine."""
  keys = ('image_size', 'batch_size', 'num_timings')
  own = dict(zip(keys, case, strict=True))
  (like,) = suites.cases('bounds_overhead')
  shape = {name: settings[name] for name in _SHAPE}
  found = train_step.measure(
      {**like['settings'], **shape, 'arms': ['ours'], **own}, seed, context
  )
  step = found['arms']['ours']
  return {
      'image_size': own['image_size'],
      'batch_size': own['batch_size'],
      'step_seconds': step['train_step_seconds'],
      'all_step_seconds': step['train_step_all_seconds'],
      'peak_mib': step['training_peak_mib'],
      'fallbacks': step['fallbacks'],
      'rates': found['rates'],
  }


class _Flow:
  """What a training step of a flow costs, counted in its graph.

  `n` is the number of pixels of a batch in units of an image of the counted
  size. Every operation costs `fixed + n * per_image`: those on weights do not
  see the images, and those on images are the same for each pixel.
  """

  def __init__(self, settings):
    """Counts; a `RuntimeError` if there are other operations for each batch."""
    self._shape = {name: settings[name] for name in _SHAPE}
    self._function, variables = self._trace(_SIZE, _MANY)
    self.parameters = sum(v.shape.num_elements() for v in variables)
    self.num_variables = len(variables)
    few = self._work(self._trace(_SIZE, _FEW)[0])
    many = self._work(self._function)
    self._types = [w.op_type for w in few]
    if self._types != [w.op_type for w in many]:
      raise RuntimeError('The graph depends on the batch size.')
    few_costs, many_costs = _costs(few), _costs(many)
    self._per_image = (many_costs - few_costs) / (_MANY - _FEW)
    self._fixed = few_costs - _FEW * self._per_image
    self._num_runs = np.array([w.repeats for w in few])
    self._is_product = np.array([w.is_product for w in few])
    self._is_counted = np.array([w.counted for w in few])
    self.num_operations = int(self._num_runs.sum())

  def _work(self, function):
    return graph_cost.graph_work(function, self._shape['num_steps'])

  def _trace(self, size, batch):
    """The step of `Trainer`, as TensorFlow traces it where there is a GPU.

    Without the noise, which is made in a loop over the images.
    """
    distribution = fo.image_flow(
        [size, size, 3], **self._shape, memory='reversible'
    )
    variables = distribution.trainable_variables
    config = fo.training.TrainConfig(warmup_steps=0)
    state = train_state.TrainState(distribution, config)

    def step(x):
      with tf.GradientTape() as tape, fo.lipschitz.shared_rescaling():
        loss = fo.bits_per_dim(
            tf.reduce_mean(distribution.log_prob(x)),
            distribution.event_shape.num_elements(),
        )
      gradients, norm = tf.clip_by_global_norm(
          tape.gradient(loss, variables), config.clip_norm
      )
      state.optimizer.apply_gradients(zip(gradients, variables, strict=True))
      state.average.update()
      return loss, norm

    # Convolutions are written differently for CPUs.
    with mock.patch.object(
        tf.config, 'list_logical_devices', return_value=['GPU:0']
    ):
      function = tf.function(step, autograph=False).get_concrete_function(
          tf.TensorSpec([batch, *distribution.event_shape])
      )
    return function, variables

  def device_seconds(self, n, flops_per_second, bytes_per_second):
    """Time of a step on one device that is never kept waiting."""
    flops, num_bytes = (self._fixed + n * self._per_image).T
    seconds = np.maximum(
        flops * self._is_product / flops_per_second,
        num_bytes / bytes_per_second,
    )
    return float(self._num_runs @ seconds)

  def counts(self):
    """Totals, and what other counters say."""
    fixed_flops, fixed_bytes = self._num_runs @ self._fixed
    per_image, bytes_per_image = self._num_runs * self._per_image.T
    flops = per_image.sum()
    convolutions = [kind.startswith('Conv2D') for kind in self._types]
    profiled = graph_cost.outermost_flops(self._function)
    return {
        'flops_per_image': flops,
        'products_per_image': per_image @ self._is_product,
        'convolutions_per_image': per_image @ convolutions,
        # Forward, once more on the way back, and a gradient for input and one
        # for kernel.
        'convolutions_per_image_by_hand': 4 * _coupling_flops(**self._shape),
        'flops_of_weights': fixed_flops,
        'bytes_per_image': bytes_per_image.sum(),
        'bytes_of_products_per_image': bytes_per_image @ self._is_product,
        'bytes_of_weights': fixed_bytes,
        'operations': self.num_operations,
        'share_without_formula': per_image @ ~self._is_counted / flops,
        'profiler_share': profiled / (fixed_flops + _MANY * flops),
    }

  def errors_at_1024(self):
    """Relative errors of the line in pixels, at 1024."""
    work = self._work(self._trace(1024, 2)[0])
    direct = np.array([w.repeats for w in work]) @ _costs(work)
    line = self._fixed + _images(1024, 2) * self._per_image
    errors = self._num_runs @ line / direct - 1.0
    return dict(zip(('flops', 'num_bytes'), errors, strict=True))


def _costs(work):
  return np.array([(w.flops, w.num_bytes) for w in work], np.float64)


def _coupling_flops(num_levels, num_steps, hidden_channels):
  """Operations of the couplings' convolutions for one image, forward."""
  total, width = 0, hidden_channels
  for level in range(num_levels):
    positions = (_SIZE // 2 ** (level + 1)) ** 2
    channels = 12 * 2**level
    half = channels // 2
    # The first coupling of a step, and the three convolutions of the second.
    weights = 9 * half * half
    weights += 9 * half * width + width * width + 9 * width * channels
    total += 2 * weights * positions * num_steps
  return total


def _all_reduce_seconds(num_bytes, num_gpus, settings):
  """Time of an all-reduce, by a ring or by trees, whichever is faster."""
  if num_gpus == 1:
    return 0.0
  in_host = min(num_gpus, settings['gpus_per_host'])
  num_hosts = math.ceil(num_gpus / settings['gpus_per_host'])
  bandwidth = settings['host_gbs']
  latency = settings['host_latency_us'] * 1e-6
  between = settings['network_latency_us'] * 1e-6
  if num_hosts > 1:
    # As many rings as network cards: each carries its part over its own.
    bandwidth = min(bandwidth, in_host * settings['network_gbs'])
  bandwidth *= 1e9 * settings['link_share']
  hops = 2 * (num_gpus - 1)
  # Of a ring's messages one in `in_host` leaves the host, but all others wait.
  ring = hops / num_gpus * num_bytes / bandwidth
  ring += hops * (between if num_hosts > 1 else latency)
  tree = 2 * num_bytes / bandwidth + 2 * (
      (in_host - 1) * latency + math.ceil(math.log2(num_hosts)) * between
  )
  return min(ring, tree)


def _input_rate(size, settings):
  """Images a second that a host decodes, or `None` if it is not known."""
  for record in records.read(_RESULTS / 'input_pipeline.jsonl'):
    if record['settings']['image_size'] == int(size):
      rates = record['values'][settings['input_format']]
      rate = rates['images_per_second'] / record['machine']['cores']
      return rate * min(settings['input_cores'], 16)
  return None


def _step(flow, size, num_gpus, local_batch, settings):
  """Time of a step on many GPUs, and its parts."""
  num_parts = math.ceil(local_batch / settings['local_batch'][size])
  device = num_parts * flow.device_seconds(
      _images(size, local_batch / num_parts),
      settings['peak_tflops'] * 1e12 * settings['product_share'],
      settings['memory_gbs'] * 1e9 * settings['memory_share'],
  )
  # The one that starts the operations.
  host = num_parts * flow.num_operations * settings['dispatch_us'] * 1e-6
  compute = max(device, host)
  # The expected largest of so many normal variables, to first order.
  waiting = compute * settings['jitter'] * math.sqrt(2 * math.log(num_gpus))
  # The loss, and whether all is finite: nothing can hide them.
  reduced = settings['exposed'] * _all_reduce_seconds(
      4 * flow.parameters, num_gpus, settings
  ) + settings['small_reduces'] * _all_reduce_seconds(4, num_gpus, settings)
  seconds = compute + waiting + reduced
  of_host = min(num_gpus, settings['gpus_per_host']) * local_batch
  rate = _input_rate(size, settings)
  reading = rate and of_host / rate
  step_seconds = max(seconds, reading or 0.0)
  return {
      'gpus': num_gpus,
      'local_batch': local_batch,
      'global_batch': local_batch * num_gpus,
      'accumulation': num_parts,
      'device_seconds': device,
      'host_seconds': host,
      'waiting_seconds': waiting,
      'all_reduce_seconds': reduced,
      'input_seconds': reading,
      'step_seconds': step_seconds,
      'host_images_per_second': of_host / seconds,
      'images_per_second': local_batch * num_gpus / step_seconds,
  }


def _scaling(flow, size, settings, fixed_for_all):
  """Steps on all numbers of GPUs; efficiencies are those of one GPU alone."""
  batch = settings['local_batch'][size]
  if fixed_for_all:
    batch = settings['global_batch']
  alone = _step(flow, size, 1, batch, settings)['images_per_second']
  steps = []
  for num_gpus in settings['gpus']:
    local_batch, rest = divmod(batch, num_gpus if fixed_for_all else 1)
    if not rest:
      step = _step(flow, size, num_gpus, local_batch, settings)
      step['efficiency'] = step['images_per_second'] / (num_gpus * alone)
      steps.append(step)
  return steps


def _sensitivity(flow, size, settings):
  """Efficiency of the most GPUs when one assumption is another."""
  rows = []
  for name, change in _CHANGES.items():
    changed = {**settings, **change, 'gpus': [1, max(settings['gpus'])]}
    one, most = _scaling(flow, size, changed, False)
    rows.append({
        'change': name,
        'weak': most['efficiency'],
        'step_seconds': one['step_seconds'],
    })
  return rows

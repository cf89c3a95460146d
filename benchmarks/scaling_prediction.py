"""The time of a training step on many GPUs, from what it costs."""

import json
import math
import pathlib

import scaling_flow

__all__ = ['largest_batch', 'scaling', 'sensitivity']

_RESULTS = pathlib.Path(__file__).resolve().parent / 'results'


def _gpu_seconds(flow, n, settings):
  """Parts of the time of a step on one GPU.

  Args:
    flow: `scaling_flow.Flow`.
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
    flow: `scaling_flow.Flow`.
    size: Side of the images.
    num_gpus: Number of GPUs.
    local_batch: Images of each GPU.
    micro_batch: How many of them at once; gradients are added up.
    settings: Values of the flags.

  Returns:
    Dictionary.
  """
  pixels = (size / scaling_flow.COUNTED_SIZE) ** 2
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


def scaling(flow, size, settings, fixed_global):
  """Steps on all numbers of GPUs, with their efficiencies.

  The efficiency is that of a GPU, images a second, relative to one GPU alone.

  Args:
    flow: `scaling_flow.Flow`.
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


def sensitivity(flow, size, settings):
  """Efficiency of the most GPUs when one assumption is another.

  Args:
    flow: `scaling_flow.Flow`.
    size: Side of the images.
    settings: Values of the flags.

  Returns:
    List of dictionaries.
  """
  rows = []
  for name, change in _CHANGES:
    changed = {**settings, **change}
    most = max(settings['gpus'])
    rows.append({
        'change': name,
        'weak': scaling(
            flow, size, {**changed, 'gpus': [most]}, False
        )[-1]['efficiency'],
        'step_seconds': scaling(flow, size, {**changed, 'gpus': [1]}, False)[
            0
        ]['step_seconds'],
    })
  return rows


def largest_batch(flow, size, memory, settings):
  """Images that fit a GPU: what a CPU needed for each, and all of the weights.

  Weights, slots, averages, gradients, and two copies in the all-reduce.

  Args:
    flow: `scaling_flow.Flow`.
    size: Side of the images.
    memory: What `scaling_measurements.memory_line` returned.
    settings: Values of the flags.

  Returns:
    Number of images.
  """
  room = 0.9 * settings['memory_gb'] * 1e9 - 28 * flow.parameters
  pixels = (size / scaling_flow.COUNTED_SIZE) ** 2
  each = memory['mib_per_image'] * 2**20 * pixels
  return int(room / each)

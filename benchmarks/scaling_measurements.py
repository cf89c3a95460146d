"""What training steps take on this machine, to check a model by."""

import json
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np
import photograph_crops
import scaling_flow
import serving
import tensorflow as tf

__all__ = ['compare', 'measure', 'memory_line']

_RESULTS = pathlib.Path(__file__).resolve().parent / 'results'


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


def _measure(size, num_levels, num_steps, width, batch, num_timings):
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
                'num_steps': num_steps,
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


def measure(num_levels, num_steps, width, full):
  """Steps on this machine; prints them.

  Args:
    num_levels: Of the flow.
    num_steps: Of each level.
    width: Of the networks.
    full: Whether to measure more sizes.

  Returns:
    List of dictionaries.
  """
  cases = [(256, 2, 4), (256, 8, 3)]
  if full:
    cases += [(256, 1, 5), (256, 4, 5), (256, 16, 3), (128, 8, 5), (128, 32, 3)]
  results = []
  for size, batch, num_timings in cases:
    result = _measure(
        size, num_levels, num_steps, width, batch, num_timings
    )
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


def compare(flow, measured):
  """Adds to measurements what the model says for this machine, and prints.

  Args:
    flow: `scaling_flow.Flow`.
    measured: What `measure` returned.
  """
  for result in measured:
    n = _images(result)
    predicted = _machine_seconds(flow, n, result['machine'])
    result['predicted_seconds'] = predicted
    result['predicted_over_measured'] = predicted / result['step_seconds']
    print(
        f'{result["image_size"]} pixels, batch {result["batch_size"]}: '
        f'{predicted:.2f} s by the model, {result["step_seconds"]:.2f} '
        f'measured, ratio {result["predicted_over_measured"]:.2f}'
    )


def _images(measured):
  """Pixels of a batch, in images of the counted size."""
  side = measured['image_size'] / scaling_flow.COUNTED_SIZE
  return measured['batch_size'] * side**2


def _machine_seconds(flow, n, machine):
  """Time of a step here: operations run one after the other."""
  return flow.device_seconds(
      n, machine['product_flops_per_second'], machine['bytes_per_second']
  ) + flow.num_operations * machine['dispatch_seconds']


def memory_line(measurements, parameters):
  """Peak memory as a line in the number of pixels.

  Args:
    measurements: What `measure` returned.
    parameters: Number of weights.

  Returns:
    Dictionary: MiB with no image, and for each image of the counted size.
  """
  n = [_images(m) for m in measurements]
  slope, fixed = np.polyfit(n, [m['peak_mib'] for m in measurements], 1)
  memory = {'fixed_mib': float(fixed), 'mib_per_image': float(slope)}
  path = _RESULTS / 'high_resolution_1024.json'
  (ours,) = json.loads(path.read_text('utf-8'))['runs']
  if ours['parameters'] == parameters:
    # The one number there is at 1024 pixels, batch 1.
    memory['predicted_1024_mib'] = float(fixed + 16 * slope)
    memory['measured_1024_mib'] = ours['peak_mib']
  return memory

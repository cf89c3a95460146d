"""What a training step of a flow costs, counted in its graph."""

import dataclasses
from unittest import mock

import graph_cost
import numpy as np
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.training import train_state

__all__ = ['COUNTED_SIZE', 'Flow', 'check_pixels', 'count']

# Where costs are counted: the smallest size with the scalings of larger ones.
# One image would hide which axis is the batch.
COUNTED_SIZE, _COUNTED_BATCHES = 256, (2, 3)


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


def _trace(size, num_levels, num_steps, width, batch):
  """The step of `Trainer`, as TensorFlow traces it where there is a GPU.

  Without the noise, which is made in a loop over the images.

  Args:
    size: Side of the images.
    num_levels: Of the flow.
    num_steps: Of each level.
    width: Of the networks.
    batch: Number of images.

  Returns:
    A concrete function, and the trained variables.
  """
  distribution = fo.image_flow(
      [size, size, 3],
      num_levels=num_levels,
      num_steps=num_steps,
      hidden_channels=width,
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

  # Convolutions are written differently for CPUs (see internal/convolution.py).
  with mock.patch.object(
      tf.config, 'list_logical_devices', return_value=['GPU:0']
  ):
    function = tf.function(step, autograph=False).get_concrete_function(
        tf.TensorSpec([batch, *distribution.event_shape])
    )
  return function, variables


def count(num_levels, num_steps, width):
  """Counts a step of training.

  Args:
    num_levels: Of the flow.
    num_steps: Of each level.
    width: Of the networks.

  Returns:
    `Flow`.

  Raises:
    RuntimeError: If there are other operations for another batch.
  """
  work = []
  for batch in _COUNTED_BATCHES:
    function, variables = _trace(
        COUNTED_SIZE, num_levels, num_steps, width, batch
    )
    work.append(graph_cost.graph_work(function, num_steps))
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
  parameters = sum(v.shape.num_elements() for v in variables)
  return Flow(
      parameters=parameters,
      num_variables=len(variables),
      num_runs=num_runs,
      flops=flops,
      num_bytes=num_bytes,
      is_product=is_product,
      counts={
          'flops_per_image': float(per_image.sum()),
          'products_per_image': float(per_image @ is_product),
          'convolutions_per_image': float(per_image @ convolutions),
          'convolutions_per_image_by_hand': _convolutions_by_hand(
              num_levels, num_steps, width
          ),
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


def _convolutions_by_hand(num_levels, num_steps, width):
  """Operations of the couplings' convolutions in a step, for one image.

  Forward, once more on the way back, and a gradient for input and one for
  kernel: four times. The first coupling of a step is one convolution, the
  second has three.
  """
  total = 0
  for level in range(num_levels):
    positions = (COUNTED_SIZE // 2 ** (level + 1)) ** 2
    channels = 12 * 2**level
    half = channels // 2
    weights = 9 * half * half
    weights += 9 * half * width + width * width + 9 * width * channels
    total += 4 * 2 * weights * positions * num_steps
  return total


def check_pixels(flow, num_levels, num_steps, width):
  """Relative errors of the line in pixels, at 1024; prints them.

  Args:
    flow: `Flow`.
    num_levels: Of the flow.
    num_steps: Of each level.
    width: Of the networks.

  Returns:
    Dictionary, for `flops` and `num_bytes`.
  """
  function, _ = _trace(1024, num_levels, num_steps, width, 2)
  work = graph_cost.graph_work(function, num_steps)
  errors = {}
  for name, values in (('flops', flow.flops), ('num_bytes', flow.num_bytes)):
    direct = sum(w.repeats * getattr(w, name) for w in work)
    errors[name] = flow.total(values, 32) / direct - 1.0
  print(f'At 1024 pixels, of the line over counted: {errors}')
  return errors

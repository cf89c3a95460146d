"""RepeatedSteps bijector."""

from collections.abc import Sequence
from typing import get_args

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import sequential
from tfp_flowopt.bijectors.repeated import affine_rows
from tfp_flowopt.bijectors.repeated import reconstruction_monitor
from tfp_flowopt.bijectors.repeated import reversible
from tfp_flowopt.bijectors.repeated import stacked_steps
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import device_memory
from tfp_flowopt.internal import module_tree
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['RepeatedSteps', 'with_memory']

# `tfb.Chain(...)` may make an instance of a private base.
_CHAIN = tfp.bijectors.Chain.__bases__[0]

# What `'auto'` may keep, of the memory of the device.
_SHARE = 1 / 8
# Numbers kept at each position for a step: so many for each channel, and for
# each output of a kernel (counted in the graphs of gradients).
_KEPT_OF_CHANNEL = 12
_KEPT_OF_OUTPUT = 2


class RepeatedSteps(base.JointBijector):
  """`K` steps of the same structure, one after the other, in a loop.

  The same map as `tfb.Chain` of the steps: `inverse` applies the first step
  first. But each weight of the steps is one variable, stacked to `[K, ...]`, so
  graph, start-up and number of variables do not grow with `K`.

  Nor does the memory of gradients, with `memory='reversible'`: only input and
  output of the whole are kept, and the way back recomputes each step's input by
  inverting the step (Gomez et al. 2017). Bi-Lipschitz steps bound the rounding
  error of that before training: `lipschitz.reconstruction_error_bound(
  repeated.parts, norms, dtype)`. And each gradient measures it, as the input is
  known. Above a tolerance the gradient is computed from the kept inputs of all
  steps instead, which costs time and memory, but is exact; `monitor` counts
  that.

  Steps with couplings take `conditioning`, one for all of them: `forward(x,
  conditioning=c)`, with gradients with respect to `c`. Gradients of gradients
  take the memory of `'stored'`; forward-mode gradients
  (`tf.autodiff.ForwardAccumulator`) need `'stored'` or `'unrolled'`. Where
  nothing is trained, `copy(memory='stored')` has less to compute.

  `memory='auto'`, the default, stores what all steps need if that is at most an
  eighth of the memory of the device, which is faster, and is `'reversible'`
  otherwise; `memory_for` tells which.

  #### Example

  ```python
  step = tfb.Chain([
      fo.bijectors.ActNorm(12),
      fo.bijectors.InvertibleConv1x1(12),
      fo.bijectors.AffineCoupling(fo.networks.ConvConditioner(6, 64, 12)),
  ])
  bijector = fo.bijectors.RepeatedSteps(step, num_steps=16)
  bijector.inverse(tf.ones([5, 16, 16, 12]))
  ```
  """

  def __init__(
      self,
      step: types.Bijector | Sequence[types.Bijector],
      num_steps: int | None = None,
      memory: types.Memory = 'auto',
      tolerance: float = 1e-4,
      monitor: reconstruction_monitor.ReconstructionMonitor | None = None,
      validate_args: bool = False,
      name: str = 'repeated_steps',
  ) -> None:
    """Creates the steps.

    Args:
      step: A bijector of this package that keeps the shape of its input, or a
        `tfb.Chain` or `Sequential` of some. Its weights are copied, `num_steps`
        times. Or a list of steps that differ in their weights alone.
      num_steps: Python `int`, the `K` above; not for a list.
      memory: `'reversible'`; `'stored'`, which keeps what TensorFlow's
        gradients need of all steps; `'unrolled'`, which does, too, with a graph
        for each step in place of a loop (faster, above all for small events;
        start-up grows with `K`); or `'auto'`.
      tolerance: Largest error of a recomputed input, relative to its norm, for
        which a gradient is used; see `ReconstructionMonitor`.
      monitor: `ReconstructionMonitor` to share, with its own tolerance; by
        default a new one.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value, or steps differ.
      TypeError: If a step is no bijector of this package.
    """
    parameters = dict(locals())
    # Not the steps, whose weights are copied: nobody needs them any more.
    parameters.update(step=None)
    self._configure(memory)
    with tf.name_scope(name) as name:
      steps = [_parts(one) for one in _steps(step, num_steps)]
      self._stacked = stacked_steps.StackedSteps(steps)
      if monitor is None:
        monitor = reconstruction_monitor.ReconstructionMonitor(tolerance)
      arguments.check_instance(
          'monitor',
          monitor,
          reconstruction_monitor.ReconstructionMonitor,
          'a ReconstructionMonitor',
      )
      self._monitor = monitor
      first = self._stacked.step(0)
      super().__init__(
          max(part.forward_min_event_ndims for part in first),
          first[0].dtype,
          parameters,
          name,
          is_constant_jacobian=all(part.is_constant_jacobian for part in first),
      )

  def _configure(self, memory):
    self._memory = arguments.check_choice(
        'memory', memory, get_args(types.Memory)
    )

  @property
  def _is_conditional(self):
    return any(part._is_conditional for part in self._stacked.template)  # pylint: disable=protected-access

  @property
  def num_steps(self) -> int:
    """The number of steps."""
    return self._stacked.num_steps

  @property
  def memory(self) -> types.Memory:
    """How gradients are computed, as the constructor takes it."""
    return self._memory

  def memory_for(self, shape: types.Shape) -> types.Memory:
    """How gradients are computed for inputs of a shape.

    Args:
      shape: Shape of the input of the steps, with the batch. If a size is not
        known, neither is the memory that it takes: `'auto'` is `'reversible'`.

    Returns:
      The same, `'reversible'` or `'stored'` for `'auto'`.
    """
    if self._memory != 'auto':
      return self._memory
    shape = tf.TensorShape(shape)
    memory = device_memory.device_memory()
    if memory is None or not shape.is_fully_defined():
      return 'reversible'
    kept = _KEPT_OF_CHANNEL * shape[-1] + _KEPT_OF_OUTPUT * sum(
        leaf.shape[-1]
        for leaf in module_tree.leaves(self._stacked.template)
        if leaf.shape.rank >= 3  # with that of the steps
    )
    numbers = self.num_steps * shape[:-1].num_elements() * kept
    dtype = self.dtype or tf.float32
    fits = numbers * dtype.size <= _SHARE * memory
    return 'stored' if fits else 'reversible'

  @property
  def monitor(self) -> reconstruction_monitor.ReconstructionMonitor:
    """The `ReconstructionMonitor`, with measured errors and a count."""
    return self._monitor

  @property
  def steps(self) -> list[list[types.Bijector]]:
    """The steps in the order of `inverse`, each a list of bijectors.

    To look at: their weights are `Tensor`s, as they are now.
    """
    return [self._stacked.step(k) for k in range(self.num_steps)]

  def step(self, index: int | tf.Tensor) -> list[types.Bijector]:
    """One of `steps`; with a `Tensor` as index one graph serves all of them."""
    return self._stacked.step(index)

  @property
  def parts(self) -> list[types.Bijector]:
    """The bijectors of all `steps` in the order of `inverse`."""
    return [part for step in self.steps for part in step]

  def trainable_step(self, index: int) -> list[types.Bijector]:
    """A copy of one step with variables of its own, a list of bijectors.

    To change one step: change the copy, then `assign` it.
    """
    return self._stacked.trainable_step(index)

  def assign(
      self, index: int, step: types.Bijector | Sequence[types.Bijector]
  ) -> None:
    """Replaces the weights of one step.

    Args:
      index: Python `int`.
      step: Bijector or list of bijectors; a `ValueError` if their structure is
        another one.
    """
    self._stacked.assign(index, _parts(step))

  def _walk(self, x, forward, conditioning):
    ndims = self.forward_min_event_ndims
    x = base.check_event(x, [None] * ndims, self.name)
    parts, log_det = affine_rows.folded(self._stacked.parts())
    walk = reversible.Walk(parts, self.num_steps, forward, ndims)
    conditions = [] if conditioning is None else [conditioning]
    memory = self.memory_for(x.shape)
    if memory == 'reversible':
      y, total = walk.reversible(x, conditions, self._monitor)
    else:
      y, total = getattr(walk, memory)(x, conditions)
    if log_det is not None:
      log_det *= base.num_positions(x, ndims)
      total += -log_det if forward else log_det
    return y, total

  def _forward_and_log_det(self, x, conditioning=None):
    return self._walk(x, True, conditioning)

  def _inverse_and_log_det(self, y, conditioning=None):
    return self._walk(y, False, conditioning)


def with_memory(bijector, memory):
  """A copy with the same weights, and this `memory` of the steps in it."""
  steps = [
      leaf
      for leaf in module_tree.leaves(bijector, stop=RepeatedSteps)
      if isinstance(leaf, RepeatedSteps) and leaf.memory != memory
  ]
  copies = [one.copy(memory=memory) for one in steps]
  return module_tree.with_leaves(bijector, steps, copies) if steps else bijector


def _steps(step, num_steps):
  """The steps that the arguments of `RepeatedSteps` mean."""
  if isinstance(step, (list, tuple)):
    if not step or num_steps not in (None, len(step)):
      raise ValueError(
          'Argument `num_steps` must be left out, and `step` not be empty, for '
          f'a list of steps, got {num_steps} and {len(step)} steps.'
      )
    return list(step)
  return [step] * arguments.check_int('num_steps', num_steps)


def _parts(step):
  """The bijectors that a step consists of, in the order of `inverse`."""
  if isinstance(step, _CHAIN):
    step = list(step.bijectors)
  elif isinstance(step, sequential.Sequential):
    step = step.parts
  if not isinstance(step, (list, tuple)):
    if not isinstance(step, base.JointBijector):
      raise TypeError(
          'Argument `step` must be a bijector of this package (a '
          f'JointBijector) or a tfb.Chain of some, got {type(step).__name__}.'
      )
    return [step]
  return [part for one in step for part in _parts(one)]


flow_bounds.register_parts(RepeatedSteps, lambda bijector: bijector.parts)

"""Reports on the layers of a flow: volume and distances."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt import bijectors
from tfp_flowopt.bijectors import conditioned
from tfp_flowopt.bijectors.multiscale import conditioning
from tfp_flowopt.bijectors.multiscale import separate_steps
from tfp_flowopt.diagnostics import local_constants
from tfp_flowopt.flows import flow_of
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import floats
from tfp_flowopt.internal import not_copied
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds

__all__ = ['LayerReport', 'LayerReporter', 'layer_report']


class LayerReport(NamedTuple):
  """One layer of a flow, in direction `inverse`: from image to latents.

  Constants are natural logarithms. A layer of `D` dimensions keeps, at every
  event, `-D certified_forward <= log-det <= D certified_inverse`: per dimension
  all numbers are of one scale, in nats.

  Attributes:
    name: Such as `level 0 step 3`; levels and steps count from 0.
    size: Number of dimensions `D` that the layer acts on.
    log_det: Mean over the events of `log|det d inverse / dx|`, nats per event.
    certified_forward: Bound of the Lipschitz constant of `forward`, which holds
      for all inputs; infinite if there is none.
    certified_inverse: The same for `inverse`.
    local_forward: Largest local constant of `forward` that was found at the
      images (`local_lipschitz`: from below), or `None` if none was sought.
    local_inverse: The same for `inverse`.
  """

  name: str
  size: int
  log_det: float
  certified_forward: float
  certified_inverse: float
  local_forward: float | None = None
  local_inverse: float | None = None

  @property
  def log_det_per_dim(self) -> float:
    """Mean logarithm of the singular values, nats per dimension."""
    return self.log_det / self.size

  def __str__(self):
    local = ''
    if self.local_forward is not None:
      local = f', local {self.local_forward:.3f} / {self.local_inverse:.3f}'
    return (
        f'{self.name}: log-det {self.log_det:.1f} nats '
        f'({self.log_det_per_dim:.3f} per dimension), log-Lipschitz forward / '
        f'inverse: certified {self.certified_forward:.3f} / '
        f'{self.certified_inverse:.3f}{local}'
    )


class LayerReporter(not_copied.NotCopied):
  """Reports on the layers of one flow, again and again as it is trained.

  The layers are evaluated eagerly, one after the other, in the memory of one.
  Graphs for local constants are traced at the first call that asks for them,
  one for all steps of a level, and used by later ones.
  """

  _instead = 'it holds graphs of one flow; make a new one for a copied flow'

  def __init__(
      self, distribution: types.TransformedDistribution, num_steps: int = 16
  ) -> None:
    """Prepares the reports.

    Args:
      distribution: `tfd.TransformedDistribution` by an `ImageFlow`.
      num_steps: Number of Lanczos steps of a local constant; the memory for it
        is that of `2 num_steps` images.

    Raises:
      ValueError: If `distribution` is of another kind.
    """
    self._flow = flow_of.flow_of(distribution)
    num_steps = arguments.check_int('num_steps', num_steps)
    self._before_levels = [
        _Layer(name, lambda _, part=part: [part], num_steps)
        for name, part in self._flow.before_levels.items()
    ]
    self._levels = [
        (level, *_layers_of(level, f'level {index}', num_steps))
        for index, level in enumerate(self._flow.levels)
    ]

  def __call__(
      self,
      x: types.TensorLike,
      num_local_images: int = 1,
      bijector_kwargs: types.Kwargs | None = None,
  ) -> list[LayerReport]:
    """The report at some images, with the weights as they are.

    Args:
      x: `Tensor` `[N, H, W, C]`, preprocessed images; few, if they are large.
      num_local_images: At how many of them to estimate local constants, one
        after the other; 0 for none, which takes far less time.
      bijector_kwargs: As `distribution.log_prob` takes it.

    Returns:
      List of `LayerReport`, from the image to the latents: what stands before
      the levels (`marginals`, `shift`, `whiten`); and for each level, the
      finest first, `whole` (whitening of the coarsest images, where the flow
      has it), `whiten` (squeeze and whitening), each `step`, `restore` (back
      from their rotations), and `scale out` (what is factored out); scalings
      where the flow has them. The log-determinants add up to the mean of the
      flow's `inverse_log_det_jacobian`.

    Raises:
      ValueError: If an argument has a wrong value, or a weight is not finite.
    """
    x = floats.as_floats(x, self._flow.dtype, 'x')
    shape = self._flow.event_shape
    if x.shape.rank != 4 or x.shape[1:] != shape or not x.shape[0]:
      raise ValueError(
          'Argument `x` must be images of shape [N, '
          f'{", ".join(map(str, shape))}], got {x.shape}.'
      )
    num_local_images = arguments.check_int(
        'num_local_images', num_local_images, least=0, most=x.shape[0]
    )
    maps = self._flow.conditioning_maps(
        **(bijector_kwargs or {}), batch_shape=x.shape[:1]
    )
    if maps is not None:
      maps = conditioning.rows(maps, 3, x.shape[0])
    result = []

    def report(layer, x, maps, number=None):
      report, x = layer.report(x, num_local_images, maps, number)
      result.append(report)
      return x

    for layer in self._before_levels:
      x = report(layer, x, maps)
    for level, layers, scale_out in self._levels:
      maps = level.halved(maps)
      for layer, number in layers:
        x = report(layer, x, maps, number)
      x, factored = level.factor_out.split(x)
      if scale_out is not None:
        report(scale_out, factored, None)
    return result


def layer_report(
    distribution: types.TransformedDistribution,
    x: types.TensorLike,
    num_local_images: int = 1,
    num_steps: int = 16,
    bijector_kwargs: types.Kwargs | None = None,
) -> list[LayerReport]:
  """What each layer of a flow does to volume and to distances.

  For one look; `LayerReporter` is for many.

  #### Example

  ```python
  for layer in fo.diagnostics.layer_report(distribution, images[:4]):
    print(layer)
  ```

  Args:
    distribution: `tfd.TransformedDistribution` by an `ImageFlow`.
    x: As `LayerReporter.__call__` takes it.
    num_local_images: The same.
    num_steps: As the constructor of `LayerReporter` takes it.
    bijector_kwargs: As `distribution.log_prob` takes it.

  Returns:
    List of `LayerReport`, from the image to the latents.

  Raises:
    ValueError: If an argument has a wrong value, or a weight is not finite.
  """
  report = LayerReporter(distribution, num_steps)
  return report(x, num_local_images, bijector_kwargs)


def _layers_of(level, name, num_steps):
  """The layers of a `FlowLevel`, and that of what is factored out, or `None`.

  Each of a list with its number, where it is one of many.
  """
  layers, whole = [], level.whiten_whole
  if whole is not None:
    layers = [(_Layer(f'{name} whole', lambda _: [whole], num_steps), None)]
  whiten, restore = (
      _Layer(f'{name} {part}', lambda _, parts=parts: parts, num_steps)
      for part, parts in (
          ('whiten', [level.squeeze, level.whiten]),
          ('restore', [level.restore]),
      )
  )
  layers += [
      (whiten, None),
      *_steps_of(level.repeated_steps, f'{name} step', num_steps),
      (restore, None),
  ]
  scale_out = level.factor_out.scaling
  if scale_out is not None:
    scale_out = _scaling(f'{name} scale out', scale_out, num_steps)
  return layers, scale_out


def _steps_of(steps, name, num_steps):
  """The steps with their numbers: one graph for all of `RepeatedSteps`."""
  numbers = range(steps.num_steps)
  if isinstance(steps, separate_steps.SeparateSteps):
    layers = [
        _Layer(name, lambda _, k=k: steps.step(k), num_steps) for k in numbers
    ]
    return list(zip(layers, numbers, strict=True))
  layer = _Layer(name, steps.step, num_steps)
  return [(layer, k) for k in numbers]


def _scaling(name, cascade, num_steps):
  # Autodiff of the scalings, twice, takes three times as long to trace.
  return _Layer(
      name, lambda _: cascade.parts, num_steps, lambda _, x: cascade.tangents(x)
  )


class _Layer:
  """A layer of some bijectors of images, or several layers of one graph.

  `parts` maps a number to its bijectors, as they are now, the first of
  `inverse` first; `tangents`, a number and `x` to affine bijectors of the same
  Jacobians there, by default the parts.
  """

  def __init__(self, name, parts, num_steps, tangents=None):
    self._name = name
    self._parts = parts

    def estimate(x, index, maps):
      linearized = parts(index) if tangents is None else tangents(index, x)
      chain = tfp.bijectors.Chain(linearized)
      kwargs = {
          part.name: given
          for part in linearized
          if (given := conditioned.keywords(part, maps))
      }
      return local_constants.constants_at(chain, x, num_steps, kwargs=kwargs)

    self._estimate = estimate
    # By shape, made when they are asked for.
    self._graphs = {}

  def _local(self, x, *arguments):
    """Local constants, by a graph for all images of a shape."""
    shape = tuple(x.shape)
    if shape not in self._graphs:
      # Concrete: TensorFlow warns of a function that is made for each layer.
      self._graphs[shape] = tf.function(
          self._estimate, autograph=False
      ).get_concrete_function(x, *arguments)
    return self._graphs[shape](x, *arguments)

  def report(self, x, num_local_images, maps, number=None):
    """The `LayerReport` of a layer at `x`, and the outputs."""
    parts = self._parts(number)
    certified = bounds.bounds_of_parts(parts)
    local = [
        self._local(
            x[i : i + 1],
            tf.constant(number or 0),
            None if maps is None else maps[i : i + 1],
        )
        for i in range(num_local_images)
    ]
    y, log_det = x, 0.0
    for part in parts:
      y, part_log_det = bijectors.inverse_and_log_det(part, y, maps)
      log_det += np.mean(tf.cast(part_log_det, tf.float64))
    forward, inverse = (
        math.log(max(float(constants[side][0]) for constants in local))
        if local
        else None
        for side in (0, 1)
    )
    return (
        LayerReport(
            name=self._name if number is None else f'{self._name} {number}',
            size=x.shape[1:].num_elements(),
            log_det=float(log_det),
            certified_forward=bounds.log_constant(certified.forward),
            certified_inverse=bounds.log_constant(certified.inverse),
            local_forward=forward,
            local_inverse=inverse,
        ),
        y,
    )

"""Settings of an image flow, in the one place where they are written out."""

from collections.abc import Callable
import dataclasses
from typing import Any
from typing import Literal
from typing import get_args

import tensorflow as tf

from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types

__all__ = ['ImageFlowConfig']

_WHITENING = Literal['pointwise', 'coarse', 'dense']
_SQUEEZE = Literal['auto', 'wavelet', 'blocks']


@dataclasses.dataclass(frozen=True)
class ImageFlowConfig:
  """What an `ImageFlow` is made of, but for the shape of its images.

  The keywords of `ImageFlow` and `image_flow`, the flags of the example binary
  and the settings of a run are these fields.

  ```python
  config = fo.bijectors.ImageFlowConfig(num_levels=2, num_steps=4)
  flow = fo.bijectors.ImageFlow([32, 32, 3], config=config)
  ```

  Attributes:
    num_levels: Number of resolutions.
    num_steps: Number of flow steps at each resolution.
    hidden_channels: Width of the networks in the couplings, even.
    coupling: Kind of the couplings, `'affine'` or `'additive'`.
    lipschitz_budget: Bound of the logarithm of the Lipschitz constants of the
      non-linear part and of its inverse, in nats, whatever training does;
      `None` for no budget. It chooses the next three, which have the defaults
      1, 3 and 4 without one.
    scale_bound: Bound of the log-slopes of an affine coupling.
    tail_bound: Where the scaling of an affine coupling levels off.
    conditioner_lipschitz: Lipschitz constant of each network, `inf` for none.
    tile_sizes: Sides of the tiles of each `ScalingCascade`, in positions; where
      they do not divide an image, their greatest common divisor with its sides
      takes their place. Empty for no cascades.
    log_range: The scales and singular values of the linear maps of the steps
      can be trained within a factor `exp(log_range)` of their initial values;
      the whitening stays as it is.
    gaussianize_marginals: Whether values of images first pass through
      increasing curves (`MarginalGaussianization`), which
      `initialize_at_optimum` puts at their optimum for the data: for images
      with values of their own, such as a background; not for photographs.
    marginal_knots: Number of knots of these curves, more than `2**bits` values.
    squeeze: How pixels become channels at half the resolution, at each level.
      `'wavelet'`: subbands of neighbourhoods that overlap (`WaveletTransform`),
      so that samples have no borders between blocks. `'blocks'`: the pixels of
      blocks of 2 by 2 (`DepthToSpace`), as in Glow. By default wavelets, but
      for dense whitening and behind curves of values.
    whitening: What is whitened before training. `'pointwise'`: the channels of
      each level, the same at all positions. `'coarse'`: then the images of the
      coarsest of several levels as a whole, too (`DenseAffine`), where these
      have at most 3200 numbers: what is far apart in an image goes together in
      samples. Both are for images of any size and content. `'dense'`: first the
      image as a whole (`DenseAffine`), each class by a map of its own; and
      curves are those of each position. For images of a common layout, such as
      centred digits or faces: at most 2**25 numbers `K (H W C)^2`, `K` classes.
    conditioning: What the flow is conditioned on. A number of classes, for
      integer labels `[...]`; the shape `[F]` of vectors, or `[H, W, F]` of
      feature maps. By default nothing.
    memory: Whether gradients recompute what they need, in memory that does not
      grow with the number of steps (`'reversible'`), or keep it, which is
      faster (`'stored'`; `'unrolled'`, without loops: a little faster still,
      and slower to start). By default they keep it at those levels where the
      memory of the device is large enough; see `RepeatedSteps`.
    tolerance: Largest relative error of a recomputed input for which a gradient
      is used; see `ReconstructionMonitor`.
    compute_dtype: Type of what the networks compute, such as `tf.bfloat16`; by
      default `dtype`. Couplings and log-determinants are of type `dtype`.
    coupling_fn: Function `coupling_fn(event_shape, log_lipschitz)` that makes a
      coupling in the place of ours: a `tfb.Bijector` of images of the shape
      `event_shape`, a list `[H, W, C]`. `log_lipschitz` is its share of the
      budget: what the logarithms of its constants may be; `None` without one.
    conditioner_fn: Function `conditioner_fn(inputs, outputs, lipschitz)` that
      makes a network in the place of ours: a callable from images of `inputs`
      channels to `outputs` channels. `lipschitz` is the constant that it may
      have, and states as a property of that name. One that takes `conditioning`
      states the number of channels as `conditioning_channels`, or gets none.
    seed: Seed of the rotations and of the initial networks.
    dtype: Type of the variables, `tf.float32` or `tf.float64`.

  Raises:
    ValueError: If a setting has a wrong value.
  """

  num_levels: int = 3
  num_steps: int = 8
  hidden_channels: int = 128
  coupling: Literal['affine', 'additive'] = 'affine'
  lipschitz_budget: float | None = 7.0
  scale_bound: float | None = None
  tail_bound: float | None = None
  conditioner_lipschitz: float | None = None
  tile_sizes: tuple[int, ...] = (4, 2, 1)
  log_range: float = 1.0
  gaussianize_marginals: bool = False
  marginal_knots: int = 321
  squeeze: _SQUEEZE = 'auto'
  whitening: _WHITENING = 'coarse'
  conditioning: types.ConditioningSpec | None = None
  memory: types.Memory = 'auto'
  tolerance: float = 1e-4
  compute_dtype: Any = None
  coupling_fn: Callable[..., Any] | None = None
  conditioner_fn: Callable[..., Any] | None = None
  seed: int = 0
  dtype: Any = tf.float32

  def __post_init__(self):
    def put(name, check, *args, **kwargs):
      value = check(name, getattr(self, name), *args, **kwargs)
      object.__setattr__(self, name, value)

    for name in ('num_levels', 'num_steps', 'hidden_channels'):
      put(name, arguments.check_int)
    if self.hidden_channels % 2:
      raise ValueError(
          'Argument `hidden_channels` must be even, got '
          f'{self.hidden_channels}.'
      )
    put('coupling', arguments.check_choice, ('affine', 'additive'))
    for name in ('coupling_fn', 'conditioner_fn'):
      function = getattr(self, name)
      if function is not None and not callable(function):
        raise ValueError(
            f'Argument `{name}` must be a function, got {function!r}.'
        )
    if self.coupling_fn is not None and self.conditioner_fn is not None:
      raise ValueError(
          'Argument `conditioner_fn` makes networks of our couplings, and '
          '`coupling_fn` makes other couplings: give one of them.'
      )
    if self.lipschitz_budget is not None:
      put('lipschitz_budget', arguments.check_positive)
    for name in ('scale_bound', 'tail_bound', 'conditioner_lipschitz'):
      if None not in (self.lipschitz_budget, getattr(self, name)):
        raise ValueError(
            f'Argument `{name}` is chosen by the budget: give it, or '
            f'`lipschitz_budget`, got {getattr(self, name)} and '
            f'{self.lipschitz_budget}.'
        )
    put('tile_sizes', arguments.check_ints)
    put('log_range', arguments.check_positive)
    put('gaussianize_marginals', arguments.check_choice, (False, True))
    put('marginal_knots', arguments.check_int, least=2)
    put('squeeze', arguments.check_choice, get_args(_SQUEEZE))
    put('whitening', arguments.check_choice, get_args(_WHITENING))
    put('memory', arguments.check_choice, get_args(types.Memory))
    put('tolerance', arguments.check_positive)
    if self.compute_dtype is not None:
      put('compute_dtype', arguments.check_dtype)
    put('seed', arguments.check_int, least=0)
    put('dtype', arguments.check_dtype, (tf.float32, tf.float64))

"""Every bijector, small and with weights that are not trivial.

A new bijector adds one entry to `ENTRIES`; the contract test does the rest.
"""

from collections.abc import Callable
import dataclasses

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.lipschitz import bounds

fob = fo.bijectors


@dataclasses.dataclass(frozen=True)
class Entry:
  """A bijector of the registry.

  Attributes:
    make: Makes it, given a dtype; the same weights each time.
    data_shape: Shape of an event on the side of the data (`forward`'s output).
    sharp: How much of its certified constants the adversarial search must
      find: 1 for constants that these weights attain, little for those that
      only the worst weights would.
    num_networks: Number of networks inside.
  """

  make: Callable
  data_shape: tuple
  sharp: float = 0.0
  num_networks: int = 0


def randomize(module, scale=0.3, seed=0):
  """Moves all trained weights away from their initial values."""
  rng = np.random.default_rng(seed)
  for variable in module.trainable_variables:
    variable.assign_add(
        tf.cast(scale * rng.normal(size=variable.shape), variable.dtype)
    )
  return module


def rotation(size, seed):
  rng = np.random.default_rng(seed)
  return np.linalg.qr(rng.normal(size=(size, size)))[0]


def _conv1x1(dtype):
  bijector = fob.InvertibleConv1x1(4, dtype=dtype)
  bijector.initialize(
      left=rotation(4, 1),
      singular_values=[0.2, 0.9, 1.5, 3.0],
      right=rotation(4, 2),
      shift=[0.5, -1.0, 0.0, 2.0],
  )
  return randomize(bijector)


def _act_norm(dtype):
  bijector = fob.ActNorm(3, dtype=dtype)
  bijector.initialize([1.0, -2.0, 0.5], [0.25, 4.0, 1.0])
  return randomize(bijector)


class ConditionalShift(fob.ConditionalShift):
  """Under a condition of its own: the contract gives none."""

  _is_conditional = False

  def _shift_for(self, x, conditioning):
    del conditioning
    return super()._shift_for(x, 1)


fo.lipschitz.lipschitz_bounds.register(
    ConditionalShift, lambda _: fo.lipschitz.LipschitzBounds(1.0, 1.0)
)


class VectorFlow(fob.VectorFlow):
  """Of the class 1."""

  _is_conditional = False

  def features(self, conditioning=None, batch_shape=None):
    del conditioning, batch_shape
    return super().features(1)


fo.lipschitz.lipschitz_bounds.register(
    VectorFlow, lambda flow: bounds.bounds_of_parts(flow.parts)
)


def _vector_flow_of_classes(dtype):
  flow = VectorFlow(
      3, num_steps=1, hidden_units=4, conditioning=2, dtype=dtype
  )
  matrix = [[1.5, 0.2, 0.0], [0.2, 0.7, -0.3], [0.0, -0.3, 1.1]]
  flow.whiten_classes.initialize([np.eye(3), matrix], np.zeros([2, 3]))
  return randomize(flow, 0.03)


def _conditional_shift(dtype):
  matrix = np.arange(8.0).reshape([1, 4, 2])
  return ConditionalShift(
      tf.Variable(matrix, dtype=dtype),
      tf.Variable([[1.0, -2.0, 0.0, 5.0]], dtype=dtype),
      num_classes=2,
  )


def _dense_affine(dtype):
  bijector = fob.DenseAffine(3, dtype=dtype)
  matrix = [[2.0, 0.5, 0.0], [0.1, 0.7, -0.3], [0.0, 0.2, 1.1]]
  bijector.initialize([matrix], [[1.0, -2.0, 0.5]])
  return bijector


def _marginals(dtype, **kwargs):
  bijector = fob.MarginalGaussianization(2, num_knots=4, dtype=dtype, **kwargs)
  bijector.initialize(
      [[-1.0, -0.5, 0.5, 1.0], [-2.0, 0.0, 0.5, 3.0]],
      [[-2.0, -1.5, 1.5, 1.7], [-1.0, -0.2, 0.0, 2.0]],
  )
  return bijector


def _conditioner(inputs, outputs, dtype, lipschitz=2.0):
  network = fo.networks.ConvConditioner(
      inputs, 6, outputs, lipschitz=lipschitz, dtype=dtype
  )
  return randomize(network)


def _step(dtype, seed):
  """A step of a flow, with random weights."""
  parts = [
      fob.ActNorm(4, dtype=dtype),
      fob.InvertibleConv1x1(4, dtype=dtype),
      fob.AffineCoupling(_conditioner(2, 4, dtype)),
  ]
  return tfp.bijectors.Chain([randomize(part, 0.1, seed) for part in parts])


def _radial_scaling(dtype, **kwargs):
  bijector = fob.RadialScaling(
      num_terms=3, radius_range=(0.3, 3.0), dtype=dtype, **kwargs
  )
  # Slopes of one sign: then the constants are attained.
  bijector.log_slopes.variables[0].assign([0.05, 0.1, 0.03])
  return bijector


def _residual(dtype):
  network = fo.networks.DenseConditioner(
      3, 6, 3, lipschitz=0.7, activation='smooth_max_min', dtype=dtype
  )
  return fob.LipschitzResidual(randomize(network))


def _convex(dtype, layer, **kwargs):
  bijector = fob.ConvexPotentialResidual(layer, **kwargs)
  assert bijector.dtype == dtype
  return randomize(bijector, scale=0.5)


def _sequential(dtype):
  parts = [
      fob.ActNorm(2, dtype=dtype),
      tfp.bijectors.Scale(tf.constant([2.0, -0.5], dtype)),
      fob.AffineCoupling(
          fo.networks.DenseConditioner(
              1, 4, 2, lipschitz=1.0, conditioning_features=2, dtype=dtype
          ),
          event_ndims=1,
      ),
      # Events have one dimension from here on.
      tfp.bijectors.Reshape([2, 2, 2], event_shape_in=[8]),
  ]
  return randomize(fob.Sequential(parts))


def _factor_out(dtype):
  return fob.FactorOut(
      [4, 2, 5],
      num_factored=3,
      next_level=fob.ImageFlow(
          [4, 2, 2],
          num_levels=1,
          num_steps=1,
          hidden_channels=4,
          tile_sizes=(),
          dtype=dtype,
      ),
      scaling=_radial_scaling(dtype, tile_size=2),
  )


def _image_flow(dtype, **kwargs):
  kwargs = {'lipschitz_budget': 2.0, 'memory': 'reversible', **kwargs}
  flow = fob.ImageFlow(
      [8, 4, 2],
      num_levels=2,
      num_steps=1,
      hidden_channels=6,
      tile_sizes=(2,),
      dtype=dtype,
      **kwargs,
  )
  return randomize(flow, scale=0.2)


ENTRIES = {
    'DepthToSpace': Entry(
        lambda dtype: fob.DepthToSpace(2), (6, 4, 3), sharp=1.0
    ),
    'WaveletTransform': Entry(
        lambda dtype: fob.WaveletTransform(), (8, 6, 2), sharp=0.98
    ),
    'ActNorm': Entry(_act_norm, (4, 2, 3), sharp=1.0),
    'InvertibleConv1x1': Entry(_conv1x1, (2, 3, 4), sharp=1.0),
    'ConditionalShift': Entry(_conditional_shift, (3, 4), sharp=1.0),
    'DenseAffine': Entry(_dense_affine, (3,), sharp=0.9),
    'AdditiveCoupling': Entry(
        lambda dtype: fob.AdditiveCoupling(_conditioner(2, 3, dtype)),
        (4, 4, 5),
        sharp=0.3,
        num_networks=1,
    ),
    'AffineCoupling': Entry(
        lambda dtype: fob.AffineCoupling(_conditioner(2, 4, dtype)),
        (4, 4, 4),
        sharp=0.05,
        num_networks=1,
    ),
    'AffineCoupling, odd channels': Entry(
        lambda dtype: fob.AffineCoupling(
            _conditioner(2, 6, dtype), scale_bound=0.3, tail_bound=0.5
        ),
        (3, 2, 5),
        sharp=0.1,
        num_networks=1,
    ),
    'RadialScaling': Entry(
        lambda dtype: _radial_scaling(dtype, tile_size=1), (3, 2, 4), sharp=0.8
    ),
    'RadialScaling, tiles': Entry(
        lambda dtype: _radial_scaling(dtype, tile_size=2), (4, 6, 3), sharp=0.8
    ),
    'RadialScaling, groups': Entry(
        lambda dtype: _radial_scaling(dtype, tile_size=1, num_groups=2),
        (2, 4, 4),
        sharp=0.8,
    ),
    'LipschitzResidual': Entry(_residual, (3,), sharp=0.3),
    'ConvexPotentialResidual': Entry(
        lambda dtype: _convex(
            dtype,
            fo.lipschitz.LipschitzDense(3, 5, dtype=dtype),
            # Of no condition: what it adds is the same for all events.
            conditioner=fo.networks.DenseConditioner(
                0, 4, 8, conditioning_features=2, dtype=dtype
            ),
        ),
        (3,),
        sharp=0.5,
    ),
    'ScalingCascade': Entry(
        lambda dtype: randomize(
            fob.ScalingCascade(3, (2, 1), num_terms=2, dtype=dtype), scale=0.1
        ),
        (4, 2, 3),
    ),
    'FactorOut': Entry(_factor_out, (4, 2, 5), num_networks=1),
    'FactorOut, all': Entry(
        lambda dtype: fob.FactorOut([2, 3, 4]), (2, 3, 4), sharp=1.0
    ),
    'RepeatedSteps': Entry(
        lambda dtype: randomize(
            fob.RepeatedSteps(
                [_step(dtype, seed) for seed in range(2)], memory='reversible'
            )
        ),
        (4, 2, 4),
        num_networks=2,
    ),
    'FlowLevel': Entry(
        lambda dtype: _image_flow(dtype).levels[1], (4, 2, 4), num_networks=1
    ),
    'ActNorm, vectors': Entry(
        lambda dtype: randomize(fob.ActNorm(3, dtype=dtype, event_ndims=1)),
        (3,),
        sharp=1.0,
    ),
    'InvertibleConv1x1, vectors': Entry(
        lambda dtype: randomize(
            fob.InvertibleConv1x1(4, dtype=dtype, event_ndims=1)
        ),
        (4,),
        sharp=1.0,
    ),
    'MarginalGaussianization, vectors': Entry(
        lambda dtype: _marginals(dtype, event_ndims=1), (2,), sharp=0.99
    ),
    'MarginalGaussianization': Entry(_marginals, (2, 3, 2), sharp=0.99),
    'SplineCoupling': Entry(
        lambda dtype: fob.SplineCoupling(
            _conditioner(2, 12, dtype), num_bins=4, min_slope=0.2, max_slope=4.0
        ),
        (2, 2, 5),
        sharp=0.02,
        num_networks=1,
    ),
    'SplineCoupling, odd bins': Entry(
        lambda dtype: fob.SplineCoupling(
            randomize(
                fo.networks.DenseConditioner(1, 6, 10, 1, 2.0, dtype=dtype)
            ),
            num_bins=5,
            min_slope=0.5,
            max_slope=3.0,
        ),
        (3,),
        sharp=0.05,
    ),
    'MaskedAutoregressive': Entry(
        lambda dtype: fob.MaskedAutoregressive(
            randomize(fo.networks.MaskedConditioner(3, 6, 4, dtype=dtype)),
            num_bins=4,
            min_slope=0.2,
            max_slope=4.0,
        ),
        (3,),
    ),
    'Sequential': Entry(_sequential, (2, 2, 2)),
    'VectorFlow': Entry(
        lambda dtype: randomize(
            fob.VectorFlow(3, num_steps=2, hidden_units=4, dtype=dtype), 0.03
        ),
        (3,),
    ),
    'VectorFlow, classes': Entry(_vector_flow_of_classes, (3,)),
    'ImageFlow': Entry(_image_flow, (8, 4, 2), num_networks=2),
}

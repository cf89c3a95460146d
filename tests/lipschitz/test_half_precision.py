"""What certificates say of half precision, and what is refused in it.

A certificate is about exact arithmetic. Differences that are measured in half
precision have a rounding error for each value; one that starts at zero, where
nothing is rounded, is within the allowance for it.
"""

import numpy as np
import pytest
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

fob = fo.bijectors
lip = fo.lipschitz
tfb = tfp.bijectors
HALF = [tf.float16, tf.bfloat16]


class Affine(tf.Module):
  """A network of half precision, `r = 0.4` and `t = 0.7 x`."""

  def __init__(self, dtype, outputs):
    super().__init__()
    self.dtype = dtype
    self._outputs = outputs

  @property
  def lipschitz(self):
    return 0.7

  def __call__(self, x):
    shift = tf.cast(0.7, self.dtype) * x
    raw = tf.fill(x.shape, tf.cast(0.4, self.dtype))
    return shift if self._outputs == 1 else tf.concat([raw, shift], -1)


def _act_norm(dtype, scale):
  bijector = fob.ActNorm(2, dtype=dtype)
  bijector.initialize([0.0, 0.0], [scale**-2, scale**2])
  return bijector


def _radial(dtype, scale):
  bijector = fob.RadialScaling(num_terms=3, dtype=dtype)
  bijector.log_slopes.variables[0].assign(np.log([scale, 2.0, 1.1]) / 10)
  return bijector


def _marginals(dtype, scale):
  bijector = fob.MarginalGaussianization(2, num_knots=3, dtype=dtype)
  knots = np.array([[-1.0, 0.0, 1.0]] * 2)
  bijector.initialize(knots, scale * knots)
  return bijector


MAPS = {
    'ActNorm': _act_norm,
    'RadialScaling': _radial,
    'MarginalGaussianization': _marginals,
    'AdditiveCoupling': lambda dtype, _: fob.AdditiveCoupling(
        Affine(dtype, 1)
    ),
    'AffineCoupling': lambda dtype, scale: fob.AffineCoupling(
        Affine(dtype, 2), scale_bound=scale
    ),
    'Scale': lambda dtype, scale: tfb.Scale(tf.cast(scale, dtype)),
    'Scale, log': lambda dtype, scale: tfb.Scale(
        log_scale=tf.cast(np.log(scale), dtype)
    ),
    'Tanh': lambda *_: tfb.Tanh(),
    'Softsign': lambda *_: tfb.Softsign(),
}


@pytest.mark.parametrize('dtype', HALF, ids=lambda t: t.name)
@pytest.mark.parametrize('name', MAPS)
def test_measured_from_zero_nothing_exceeds_the_certificate(rng, name, dtype):
  worst = 0.0
  x = np.concatenate(
      [np.eye(2), rng.normal(size=(20, 2)) * rng.uniform(0.01, 3, (20, 1))]
  )
  pairs = tf.reshape(tf.cast(np.concatenate([0 * x, x]), dtype), [-1, 1, 1, 2])
  distance = np.linalg.norm(np.asarray(pairs[len(x):], np.float64), axis=-1)
  for scale in np.exp(rng.uniform(-1, 1, size=3)):
    bijector = MAPS[name](dtype, scale)
    constants = lip.lipschitz_bounds(bijector)
    for function, bound in (
        (bijector.forward, constants.forward),
        (bijector.inverse, constants.inverse),
    ):
      if np.isinf(bound):
        continue
      y = np.asarray(function(tf.identity(pairs)), np.float64)
      found = np.linalg.norm(y[len(x):] - y[: len(x)], axis=-1) / distance
      worst = max(worst, np.max(found) / bound)
  assert worst <= 1.0
  assert worst > 0.5  # and it is no bound of anything


@pytest.mark.parametrize('dtype', HALF, ids=lambda t: t.name)
@pytest.mark.parametrize('name', ['RadialScaling', 'AffineCoupling'])
def test_scalings_have_the_range(name, dtype):
  """Not NaN from 20 on: squares of 256 are beyond float16."""
  sizes = np.array([0.0, 1e-3, 20.0, 1e3]).reshape([-1, 1, 1, 1])
  wide = tf.cast(sizes * [1.0, -0.5], dtype)
  y = tf.cast(wide, tf.float64)
  narrow, exact = (MAPS[name](t, 1.5) for t in (dtype, tf.float64))
  for direction in ('inverse', 'forward'):
    x = getattr(narrow, direction)(wide)
    log_det = getattr(narrow, f'{direction}_log_det_jacobian')(wide, 3)
    assert x.dtype == log_det.dtype == dtype
    np.testing.assert_allclose(
        tf.cast(x, tf.float64), getattr(exact, direction)(y), rtol=0.06
    )
    np.testing.assert_allclose(
        tf.cast(log_det, tf.float64),
        getattr(exact, f'{direction}_log_det_jacobian')(y, 3),
        rtol=0.06,
        atol=0.06,
    )


@pytest.mark.parametrize('dtype', HALF, ids=lambda t: t.name)
def test_kernels_are_certified_as_they_are_rounded(rng, dtype):
  unit = 2.0**-8 if dtype == tf.bfloat16 else 2.0**-11
  x = tf.reshape(tf.constant([0.0, 1.0]), [2, 1, 1, 1])
  for lipschitz in rng.uniform(0.1, 2.0, size=10):
    layer = lip.LipschitzConv2D(
        1, 1, 1, lipschitz=lipschitz, compute_dtype=dtype
    )
    y = np.asarray(layer(x), np.float64)
    for constant in (layer.lipschitz, layer.current_lipschitz):
      assert abs(y[1] - y[0]) <= constant <= lipschitz * (1 + 4 * unit)
  # Many channels, orthonormal: rounding adds up.
  size = 64
  layer = lip.LipschitzConv2D(size, size, 1, compute_dtype=dtype)
  for _ in range(3):
    kernel = registry.rotation(size, rng)
    layer.trainable_variables[-1].assign(kernel[np.newaxis, np.newaxis])
    used = tf.cast(layer.effective_kernel()[0, 0], dtype)
    norm = np.linalg.norm(np.asarray(used, np.float64), ord=2)
    assert norm <= layer.current_lipschitz <= 1.03 * norm
    assert norm <= layer.lipschitz
  # The worst that it can add to entries of one size.
  worst = unit * np.linalg.norm(np.full([size, size], size**-0.5), ord=2)
  assert 1 + worst <= layer.lipschitz <= 1 + 1.2 * worst
  network = fo.networks.ConvConditioner(1, 2, 1, 2.0, compute_dtype=dtype)
  layers = [layer for layer in network.submodules if layer.name == (
      'lipschitz_conv2d')]
  product = np.prod([layer.lipschitz for layer in layers])
  assert len(layers) == 3
  assert network.lipschitz == pytest.approx(product, rel=1e-12)


@pytest.mark.filterwarnings('ignore:.*is emulated:UserWarning')
def test_a_budget_holds_in_half_precision():
  flow = fob.ImageFlow(
      [4, 4, 1],
      num_levels=1,
      num_steps=1,
      hidden_channels=4,
      lipschitz_budget=1.0,
      tile_sizes=(1,),
      compute_dtype=tf.bfloat16,
  )
  registry.randomize(flow, 3.0)
  assert np.log(max(flow.bounds_by_part().nonlinear)) <= 1.0


def test_what_certifies_nothing_in_half_precision_is_refused():
  for dtype in HALF:
    for make in (
        lambda dtype: lip.LipschitzDense(2, 2, dtype=dtype),
        lambda dtype: fo.networks.DenseConditioner(1, 2, 1, dtype=dtype),
        lambda dtype: fob.LipschitzResidual(Affine(dtype, 1)),
    ):
      with pytest.raises(ValueError, match='dtype'):
        make(dtype)
  with pytest.raises(ValueError, match='bfloat16'):
    fob.InvertibleConv1x1(2, dtype=tf.bfloat16)


@pytest.mark.parametrize(
    'dtype', [tf.bfloat16, tf.float16, tf.float32, tf.float64, tf.complex64]
)
def test_the_safety_factor_follows_from_the_type(dtype):
  from tfp_flowopt.lipschitz import rounding

  real = dtype.real_dtype.as_numpy_dtype
  unit = rounding.properties(dtype).unit
  # Rounding to nearest: 1 + u is half-way to the next number, so it is 1.
  assert real(1.0 + unit) == 1 < real(1.0 + 1.01 * unit)
  assert real(rounding.properties(dtype).smallest) > 0
  assert real(0.49 * rounding.properties(dtype).smallest) == 0
  factor = rounding.inflation(dtype)
  assert 1 + 8 * unit <= factor <= 1.04
  assert rounding.inflation(dtype, 10**5) == 1 + 1e5 * unit

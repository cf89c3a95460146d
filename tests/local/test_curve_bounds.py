"""Elementwise bijectors near their asymptotes, and of batches of parameters."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb = tfp.bijectors

# Slopes of the inverse at `edge - d`, or at `edge + d` where it is the lower
# one, exactly, of a distance `d`.
CURVES = {
    'Tanh': (tfb.Tanh(), 1.0, lambda d: 1.0 / (d * (2.0 - d))),
    'Sigmoid': (tfb.Sigmoid(), 1.0, lambda d: 1.0 / (d * (1.0 - d))),
    'Sigmoid to 255': (
        tfb.Sigmoid(0.0, 255.0), 255.0, lambda d: 255.0 / (d * (255.0 - d))
    ),
    'Softsign': (tfb.Softsign(), 1.0, lambda d: 1.0 / d**2),
    'Softplus from 3': (
        tfb.Softplus(low=3.0), -3.0, lambda d: -1.0 / np.expm1(-d)
    ),
}


@pytest.mark.parametrize('name', CURVES)
def test_the_end_of_a_ball_is_in_it(name):
  """Rounding an end towards the centre lost up to half of the slope."""
  bijector, edge, slope = CURVES[name]
  rng = np.random.default_rng(0)
  size = abs(edge)
  distance = size * 10.0 ** rng.uniform(-6.5, -1.0, 2000)
  center = np.float32(edge - distance)
  if edge < 0:  # the lower edge, from above
    center = np.float32(size + distance)
  distance = np.abs(size - center.astype(np.float64))
  radius = np.float32(rng.uniform(0.0, 0.9, 2000) * distance)
  found = fo.lipschitz.lipschitz_bounds(
      bijector, region=fo.lipschitz.Ball(center, radius)
  ).inverse.numpy()
  exact = slope(distance - radius)
  assert np.all(found >= exact)
  # And not far beyond, where the distance has digits.
  digits = distance - radius > 1e-3 * size
  assert digits.sum() > 300
  assert np.all(found[digits] <= exact[digits] * 1.01)


def test_slopes_below_the_range_of_the_type_are_not_0():
  ball = fo.lipschitz.Ball([-122.0], 14.0)
  assert fo.lipschitz.lipschitz_bounds(tfb.Log(), region=ball).inverse > 0.0


def test_curves_of_pieces_have_both_ends(rng):
  x = np.exp(rng.normal(size=[300, 1])).astype(np.float32)
  knots = fo.optimum.gaussian_curves(x, 9)
  curves = fo.bijectors.MarginalGaussianization(
      1, num_knots=9, event_ndims=1
  )
  curves.initialize(*knots)
  knot = np.float32(curves.inputs[0, 4])
  slopes = np.diff(curves.outputs[0]) / np.diff(curves.inputs[0])
  for steps in (1, 3, 100):
    center = knot
    for _ in range(steps):
      center = np.nextafter(center, np.float32(-1e3))
    radius = (knot - center) * np.float32(1.5)
    found = fo.lipschitz.lipschitz_bounds(
        curves, region=fo.lipschitz.Ball([[center]], [radius])
    )
    assert found.inverse[0] >= max(slopes[3:5]) * (1 - 1e-5)


PARAMETERS = {
    'Softplus': (
        lambda value: tfb.Softplus(hinge_softness=value), [[0.1], [3.0]]
    ),
    'Chain': (
        lambda value: tfb.Chain([tfb.Shift(value), tfb.Exp()]), [[0.0], [0.5]]
    ),
}


@pytest.mark.parametrize('name', PARAMETERS)
@pytest.mark.parametrize('num', [2, 3])
def test_batches_of_parameters_want_such_centres(name, num):
  make, parameters = PARAMETERS[name]
  x = np.linspace(0.7, 1.5, num).astype(np.float32)
  with pytest.raises(ValueError, match='the batch of parameters of '):
    fo.lipschitz.lipschitz_bounds(
        make(parameters), region=fo.lipschitz.Ball(x, 0.05)
    )
  with pytest.raises(ValueError, match='the batch of parameters of '):
    fo.lipschitz.lipschitz_bounds(
        make(parameters), region=fo.lipschitz.Ball(x[np.newaxis], 0.05)
    )
  both = fo.lipschitz.lipschitz_bounds(
      make(parameters),
      region=fo.lipschitz.Ball(np.stack([x, x]), 0.05),
  ).inverse
  assert both.shape == [2, num]
  for found, (value,) in zip(both, parameters, strict=True):
    expected = fo.lipschitz.lipschitz_bounds(
        make(value), region=fo.lipschitz.Ball(x, 0.05)
    ).inverse
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    'bijector',
    [
        tfb.Split(2),
        tfb.Invert(tfb.Split(2)),
        tfb.Chain([
            tfb.Invert(tfb.Split(2)),
            tfb.JointMap([tfb.Exp(), tfb.Tanh()]),
            tfb.Split(2),
        ]),
    ],
    ids=lambda bijector: bijector.name,
)
def test_events_of_several_parts_are_refused(bijector):
  assert fo.lipschitz.lipschitz_bounds(bijector).forward >= 1.0
  ball = fo.lipschitz.Ball(tf.constant([0.5, 0.9]), 0.05)
  with pytest.raises(TypeError, match='whose events have several parts'):
    fo.lipschitz.lipschitz_bounds(bijector, region=ball)

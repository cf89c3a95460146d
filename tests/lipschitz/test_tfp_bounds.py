import math

import numpy as np
import pytest
from support import adversary
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

tfb = tfp.bijectors


def f64(x):
  return tf.constant(x, tf.float64)


TRIL = f64([[0.5, 0.0, 0.0], [1.0, 2.0, 0.0], [-3.0, 0.1, 0.3]])

# Bijectors of events [3] and how much of each finite bound is attained.
BIJECTORS = {
    'Identity': (lambda: tfb.Identity(), 1.0),
    'Shift': (lambda: tfb.Shift(f64([1.0, 2.0, 3.0])), 1.0),
    'Scale': (lambda: tfb.Scale(f64([-3.0, 0.2, 1.0])), 1.0),
    'Scale, log': (lambda: tfb.Scale(log_scale=f64([-1.0, 0.2, 1.0])), 1.0),
    'ScaleMatvecDiag': (
        lambda: tfb.ScaleMatvecDiag(f64([2.0, -0.1, 1.0])),
        1.0,
    ),
    'ScaleMatvecTriL': (lambda: tfb.ScaleMatvecTriL(TRIL), 1.0),
    'ScaleMatvecLinearOperator': (
        lambda: tfb.ScaleMatvecLinearOperator(
            tf.linalg.LinearOperatorFullMatrix(TRIL + tf.transpose(TRIL))
        ),
        1.0,
    ),
    'ScaleMatvecLU': (lambda: tfb.ScaleMatvecLU(TRIL + 0.2, [2, 0, 1]), 1.0),
    'Permute': (lambda: tfb.Permute([2, 0, 1]), 1.0),
    'Reshape': (lambda: tfb.Reshape([3, 1], [3]), 1.0),
    'Sigmoid': (lambda: tfb.Sigmoid(), 0.99),
    'Sigmoid, scaled': (lambda: tfb.Sigmoid(f64(-1.0), f64(5.0)), 0.99),
    'Tanh': (lambda: tfb.Tanh(), 0.99),
    'Softplus': (lambda: tfb.Softplus(), 0.99),
    'Softsign': (lambda: tfb.Softsign(), 0.99),
    'Invert': (lambda: tfb.Invert(tfb.Scale(f64([4.0, 1.0, 0.5]))), 1.0),
    'Chain': (
        lambda: tfb.Chain([
            tfb.Scale(f64(3.0)),
            tfb.Invert(tfb.ScaleMatvecTriL(TRIL)),
            tfb.Shift(f64(1.0)),
        ]),
        1.0,
    ),
    'Blockwise': (
        lambda: tfb.Blockwise(
            [tfb.Scale(f64(3.0)), tfb.Scale(f64(0.1))], block_sizes=[1, 2]
        ),
        1.0,
    ),
}


@pytest.mark.parametrize('name', BIJECTORS)
def test_against_an_adversary(name):
  make, attained = BIJECTORS[name]
  bijector = make()
  bounds = fo.lipschitz.lipschitz_bounds(bijector)
  assert math.isfinite(bounds.forward)
  for function, bound in (
      (bijector.forward, bounds.forward),
      (bijector.inverse, bounds.inverse),
  ):
    if math.isinf(bound):
      continue
    shape = (3, 1) if name == 'Reshape' and function == bijector.inverse else (
        3,
    )
    # TFP 0.25's Sigmoid has the gradient NaN beyond 709.
    scale = 100.0 if name.startswith('Sigmoid') else 1e4
    found = max(
        adversary.largest_expansion(function, shape, 100, scale=scale),
        adversary.largest_local_expansion(function, shape, scale=scale),
    )
    assert attained * bound * (1 - 1e-3) <= found <= bound * (1 + 1e-6)


def test_several_parts():
  parallel = tfb.JointMap([tfb.Scale(f64(3.0)), tfb.Scale(f64([0.5, 4.0]))])
  assert fo.lipschitz.lipschitz_bounds(parallel) == (4.0, 2.0)
  split = tfb.Split([1, 2])
  chain = tfb.Chain([parallel, split])
  assert fo.lipschitz.lipschitz_bounds(chain) == (4.0, 2.0)
  transpose = tfb.Transpose([1, 0])
  assert fo.lipschitz.lipschitz_bounds(transpose) == (1.0, 1.0)


def test_no_constant_is_infinity_not_a_guess():
  inf = math.inf
  bounds = fo.lipschitz.lipschitz_bounds
  assert bounds(tfb.Exp()) == bounds(tfb.Log()) == (inf, inf)
  assert bounds(tfb.Scale(0.0)) == (0.0, inf)
  assert bounds(tfb.Invert(tfb.Tanh())) == (inf, 1.0)
  assert bounds(tfb.Chain([tfb.Exp(), tfb.Shift(1.0)])) == (inf, inf)
  # Not 0 times infinity.
  assert bounds(tfb.Chain([tfb.Exp(), tfb.Scale(0.0)])) == (inf, inf)


def test_weights_that_are_not_finite_have_no_certificate():
  flow = fo.bijectors.ImageFlow([8, 8, 3], 2, 1, 8)
  good = fo.lipschitz.lipschitz_bounds(flow)
  assert np.all(np.isfinite(good))
  for variable in flow.levels[1].trainable_variables:
    before = tf.identity(variable)
    variable.assign(tf.fill(variable.shape, math.nan))
    with pytest.raises(ValueError, match='not finite'):
      fo.lipschitz.lipschitz_bounds(flow)
    variable.assign(before)
  assert fo.lipschitz.lipschitz_bounds(flow) == good
  for parts in ([1.0, math.nan], [math.nan, 1.0]):
    blocks = tfb.Blockwise(
        [tfb.Scale(part) for part in parts], block_sizes=[1, 1]
    )
    with pytest.raises(ValueError, match='not finite'):
      fo.lipschitz.lipschitz_bounds(blocks)


def test_our_bijectors_inside_tfps():
  flow = fo.bijectors.ImageFlow([8, 8, 3], 1, 1, 8)
  bounds = fo.lipschitz.lipschitz_bounds
  assert bounds(tfb.Invert(flow)) == bounds(flow).inverted()
  chain = tfb.Chain([tfb.Scale(2.0), flow])
  assert bounds(chain).forward == pytest.approx(2 * bounds(flow).forward)


def test_an_unknown_class_is_an_error_that_says_how_to_register():
  class Mine(tfb.Scale):
    """May compute anything: what is known of Scale does not hold."""

  with pytest.raises(TypeError, match=r'Mine.*(?s:.*)register'):
    fo.lipschitz.lipschitz_bounds(Mine(2.0))
  with pytest.raises(TypeError, match='Mine'):
    fo.lipschitz.lipschitz_bounds(tfb.Chain([tfb.Exp(), Mine(2.0)]))

  @fo.lipschitz.lipschitz_bounds.register
  def _(bijector: Mine):
    scale = float(np.abs(bijector.scale))
    return fo.lipschitz.LipschitzBounds(scale, 1 / scale)

  assert fo.lipschitz.lipschitz_bounds(Mine(2.0)) == (2.0, 0.5)

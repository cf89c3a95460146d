"""The search for wrong operator norms, on fewer and smaller kernels."""

import math

from harness import kernel_families
from harness import symbol_norm
from measures import lipschitz_adversary
import numpy as np
import pytest
from support import convolutions
import tensorflow as tf

import tfp_flowopt as fo


def test_no_kernel_exceeds_its_certificate():
  ratios, violations = lipschitz_adversary.search(42, max_channels=4, seed=1)
  assert not violations
  assert set(ratios) == set(kernel_families.FAMILIES)
  for checks in ratios.values():
    # The bound is as tight as documented; so the search would find one that is
    # 2 % lower.
    assert min(checks['bound, float64']) > 1 / 1.02


def test_the_search_finds_wrong_claims(monkeypatch):
  kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 4))

  def wrong():
    results = lipschitz_adversary.examine(kernel, np.random.default_rng(0))
    return {check for check, ratio in results if not ratio <= 1 + 1e-12}

  assert not wrong()
  right = fo.lipschitz.operator_norm_bound
  monkeypatch.setattr(
      fo.lipschitz, 'operator_norm_bound', lambda k: 0.97 * right(k)
  )
  assert 'bound, float64' in wrong()
  monkeypatch.setattr(
      fo.lipschitz, 'operator_norm_bound', lambda k: math.nan * right(k)
  )
  assert 'bound, SAME' in wrong()
  monkeypatch.setattr(fo.lipschitz, 'almost_orthogonal', lambda k: k)
  assert {'rescaled, float32', 'rescaled, CIRCULAR'} <= wrong()


@pytest.mark.parametrize('family', kernel_families.FAMILIES)
def test_the_supremum_is_that_of_a_fine_grid(rng, family):
  for shape in [(3, 3, 2, 4), (1, 5, 3, 2), (4, 2, 1, 2), (1, 1, 3, 3)]:
    kernel = kernel_families.make_kernel(family, rng, shape)
    fine = convolutions.largest_symbol_norm(kernel, 96)
    for grid_factor in (4, 8):
      found, upper = symbol_norm.symbol_supremum(kernel, grid_factor)
      # 1.003: what a polynomial of degree 4 can rise between 96 frequencies.
      assert fine * (1 - 1e-12) <= found <= 1.003 * fine
      assert found <= upper * (1 + 1e-12) <= 1.18 * found


@pytest.mark.parametrize('family', ['power law', 'rank one', 'many sizes'])
def test_norms_of_symbols_are_singular_values(rng, family):
  kernel = kernel_families.make_kernel(family, rng, (3, 2, 20, 30))
  w = rng.uniform(0, 2 * np.pi, size=(2, 5))
  phases = np.exp(-1j * w[0, :, None] * np.arange(3))[:, :, None] * np.exp(
      -1j * w[1, :, None] * np.arange(2)
  )[:, None]
  symbols = np.einsum('npq,pqio->nio', phases, kernel)
  np.testing.assert_allclose(
      symbol_norm._norms(kernel, *w),
      np.linalg.norm(symbols, ord=2, axis=(1, 2)),
      rtol=1e-13,
  )


@pytest.mark.parametrize('padding', ['SAME', 'VALID', 'CIRCULAR'])
def test_operators_are_those_of_tensorflow(rng, padding):
  for shape in [(3, 3, 2, 4), (4, 2, 3, 1), (1, 5, 1, 2)]:
    kernel = rng.normal(size=shape)
    matrix = convolutions.operator(tf.constant(kernel), 6, padding)
    want = np.linalg.norm(matrix, ord=2)
    exact = symbol_norm.operator_norm(kernel, 6, 6, padding)
    arpack = symbol_norm.operator_norm(kernel, 6, 6, padding, largest_dense=0)
    assert exact == pytest.approx(want, rel=1e-12)
    assert arpack == pytest.approx(want, rel=1e-9)

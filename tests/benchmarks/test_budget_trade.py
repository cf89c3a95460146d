"""What a Lipschitz budget costs and buys: cases, constants, table, picture."""

from arms import digits_flowopt
import numpy as np
import pytest
from report import budget_trade
import suites
import tensorflow as tf

import tfp_flowopt as fo


def records():
  """Of two seeds; the budgets are out of order."""
  return [
      {
          'settings': {'flow': {'lipschitz_budget': budget}},
          'seed': seed,
          'values': {
              'start_bits_per_dim': 2.0,
              'bits_per_dim': bits + 0.25 * seed,
              'agreement': 0.9 + 0.02 * seed,
              'accuracy_of_real': 0.95,
              'log_nonlinear': [3.0, 4.0],
              'log_whole': [5.0, 6.0],
              'log_local': [1.0, 2.0 + seed],
          },
      }
      for budget, bits in ((None, 1.5), (7.0, 1.75), (2.0, 1.875))
      for seed in (0, 1)
  ]


def test_cases_differ_from_the_default_in_their_budget_alone():
  (default,) = (
      case['settings']['flow']
      for case in suites.cases('digits', ['seed=0'])
      if case['settings']['arm'] == 'ours'
  )
  cases = suites.cases('budget_trade')
  budgets = [c['settings']['flow'].pop('lipschitz_budget') for c in cases[::3]]
  assert budgets == [2, 3, 5, 7, 10, 14, 20, None]
  assert all(case['settings']['flow'] == default for case in cases[::3])
  assert [case['seed'] for case in cases[:3]] == [0, 1, 2]


def test_the_table_has_costs_of_the_same_seed():
  table = budget_trade.table(lambda suite: records()).splitlines()
  assert [row.split(' | ')[0] for row in table[2:]] == ['| 2', '| 7', '| none']
  assert table[2] == (
      '| 2 | 2.000 | 2.000 | +0.375 (+0.375 to +0.375) | '
      '91.0% (90.0% to 92.0%) | 3.0 / 4.0 | 5.0 / 6.0 | 1.0 / 2.5 |'
  )
  assert table[-1].startswith('| none | 2.000 | 1.625 |  | 91.0%')


def test_the_picture_has_means_of_seeds_and_none_apart(tmp_path):
  budget_trade.draw(tmp_path / 'x.png', records())
  assert (tmp_path / 'x.png').read_bytes().startswith(b'\x89PNG')
  bits, samples, constants = budget_trade.picture(records()).axes
  for axes in (bits, samples, constants):
    assert [x.get_text() for x in axes.get_xticklabels()] == ['2', '7', 'none']

  def curves(axes):
    return {
        line.get_label(): list(line.get_ydata())
        for line in axes.lines
        if not line.get_label().startswith('_')
    }

  assert curves(bits)['before training'] == [2.0, 2.0]
  assert curves(bits)['after (thin: each seed)'] == [2.0, 1.875]
  # And that without a budget, the last one drawn.
  assert bits.lines[-2].get_ydata() == [1.625]
  assert curves(samples)['samples'] == pytest.approx([91.0, 91.0])
  assert curves(samples)['real test digits'] == pytest.approx([95.0, 95.0])
  assert curves(constants) == {
      'certified: whole flow': [6.0, 6.0],
      'certified: non-linear part': [4.0, 4.0],
      'measured: whole flow': [2.5, 2.5],
      'the budget itself': [2.0, 7.0],
  }


def test_constants_of_a_flow():
  flow = fo.bijectors.ImageFlow(
      [2, 2, 1], num_levels=1, num_steps=1, hidden_channels=2, conditioning=2,
      lipschitz_budget=3.0, tile_sizes=(), seed=1,
  )
  rng = np.random.default_rng(0)
  for variable in flow.trainable_variables:
    variable.assign_add(rng.normal(0.0, 0.3, variable.shape))
  x, c = rng.normal(size=[3, 2, 2, 1]).astype(np.float32), np.array([0, 1, 1])
  found = digits_flowopt.constants(flow, x, c)
  bounds = fo.lipschitz.lipschitz_bounds(flow)
  np.testing.assert_allclose(np.exp(found['log_whole']), bounds, rtol=1e-6)
  bounds = flow.bounds_by_part().nonlinear
  np.testing.assert_allclose(np.exp(found['log_nonlinear']), bounds, rtol=1e-6)
  # Local ones: those of the worst image, by autodiff.
  x = tf.convert_to_tensor(x)
  with tf.GradientTape() as tape:
    tape.watch(x)
    z = flow.inverse(tf.identity(x), conditioning=c)
  jacobians = np.reshape(tape.batch_jacobian(z, x), [3, 4, 4])
  scales = np.linalg.svd(jacobians, compute_uv=False)
  np.testing.assert_allclose(
      np.exp(found['log_local']), [1 / scales.min(), scales.max()], rtol=1e-4
  )

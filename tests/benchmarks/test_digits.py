"""Digits for flows given the class: parts, units and the table."""

from measures import digits
import numpy as np
import pytest
from report import tables
from scipy import stats
from sklearn import datasets


def test_parts_share_no_digit_and_have_their_noise():
  images, labels = digits.parts(seed=1)
  assert {k: len(v) for k, v in images.items()} == {
      'test': 397, 'validation': 140, 'train': 1260
  }
  rows = np.concatenate(list(images.values()))
  everything = datasets.load_digits().data
  np.testing.assert_array_equal(
      rows[np.lexsort(rows.T)], everything[np.lexsort(everything.T)]
  )
  found = digits.vectors(images, labels, seed=1)
  x = found['test_x']
  assert x.shape == (256 * 397, 64) and found['train_x'].shape == (25200, 64)
  np.testing.assert_array_equal(
      np.floor((x + 0.5) * 32)[397:794], images['test']
  )
  noise = ((x[:2000] + 0.5) * 32) % 1.0
  assert stats.kstest(noise.ravel(), 'uniform').pvalue > 1e-3
  np.testing.assert_array_equal(
      found['test_c'][397:794].argmax(axis=1), labels['test']
  )


def test_bits_of_a_uniform_density_are_those_of_32_levels():
  # Density 1 on a unit cube of 32 levels a side.
  assert digits._bits(0.0, 64) == pytest.approx(5.0)
  # On half of each side: 16 levels.
  assert digits._bits(64 * np.log(2.0), 64) == pytest.approx(4.0)


def test_the_table_has_means_and_ranges():
  def results(name):
    assert name == 'digits'
    return [
        {
            'settings': {'arm': arm},
            'values': {
                'bits_per_dim': bits,
                'importance_weighted': bits - 0.1,
                'start_bits_per_dim': None,
                'agreement': 0.5,
                'cpu_seconds': 3.0,
            },
        }
        for arm, bits in (('a', 2.0), ('a', 2.2), ('b', 3.0))
    ]

  table = tables.digits(results)
  assert '2.100 (2.000 to 2.200) | 2.000 (1.900 to 2.100)' in table
  assert '| b |  | 3.000 | 2.900 | 50.0% | 3 |' in table

"""A run of training of an arm, with an arm that only counts."""

from harness import short_run
import numpy as np
import pytest


class Model:
  """Loses one at each step, up to a step at which it is not a number."""

  def __init__(self, fails_at=None):
    self.fails_at, self.rates = fails_at, []

  def restart(self):
    self.rates = []

  def step(self, x, learning_rate):
    self.rates.append(learning_rate)
    n = len(self.rates)
    return float('nan') if n == self.fails_at else 10.0 - n + (n == 7) * 5

  def bits_per_dim(self, x):
    return 10.0 - len(self.rates)

  def there_and_back(self, x):
    return x + 0.5

  def vector_jacobian(self, x, u):
    return u * np.arange(1.0, 6.0) * x[0]


class Crops:
  """No images."""

  event_size = 5

  def batch(self, step):
    return step

  def held_out(self):
    return [0.0]

  def out_of_distribution(self):
    return {'noise': 1.0}


def test_a_run():
  model = Model()
  result = short_run.run(
      model, Crops(), 0.1, warmup_steps=4, num_steps=10, eval_every=4
  )
  assert model.rates == pytest.approx([0.025, 0.05, 0.075] + [0.1] * 7)
  assert [(s, v) for s, _, v in result['held_out']] == [
      (0, 10.0), (4, 6.0), (8, 2.0), (10, 0.0)
  ]
  assert (result['start'], result['end']) == (10.0, 0.0)
  # From 4 at the sixth step to 8 at the seventh.
  assert result['worst_excursion'] == 4.0
  assert result['reconstruction'] == {'noise': 0.5}


def test_a_run_with_a_cosine():
  model = Model()
  short_run.run(
      model, Crops(), 0.1, warmup_steps=2, num_steps=4, schedule='cosine'
  )
  early, late = 0.05 * (1.0 + np.sqrt(0.5)), 0.05 * (1.0 - np.sqrt(0.5))
  assert model.rates == pytest.approx([0.05, early, 0.05, late])
  with pytest.raises(ValueError, match=r'schedule.*num_steps'):
    short_run.run(
        model, Crops(), 0.1, warmup_steps=2, seconds=1.0, schedule='cosine'
    )


def test_local_singular_values():
  class Kinds(Crops):

    def out_of_distribution(self):
      return {'held out': np.ones([2, 5]), 'noise': np.full([2, 5], np.nan)}

  result = short_run.run(
      Model(),
      Kinds(),
      0.1,
      warmup_steps=4,
      num_steps=4,
      eval_every=2,
      singular_values=True,
  )
  steps, values = zip(*result['log_singular_values'], strict=True)
  assert steps == (0, 2, 4)
  assert values[-1]['held out'] == pytest.approx(np.log([1.0, 3.0, 5.0]))
  assert values[-1]['noise'] == [None] * 3


def test_a_run_that_is_not_finite_ends():
  result = short_run.run(
      Model(fails_at=3), Crops(), 0.1, warmup_steps=4, num_steps=10
  )
  assert not result['finite'] and result['num_steps'] == 3
  assert result['end'] is result['worst_excursion'] is None
  assert result['reconstruction'] is None

"""docs/results.md says what benchmarks/results say."""

import pathlib
import re

import pytest
import results_page
import short_run
import stability_summary

DOCS = pathlib.Path(__file__).parents[2] / 'docs'


def run(arm='ours', rate=1e-3, seed=0, start=5.0, end=3.0, **kwargs):
  return {
      'size': 16,
      'depth': 4,
      'train_steps': 300,
      'arm': arm,
      'learning_rate': rate,
      'seed': seed,
      'parameters': 100,
      'finite': end is not None,
      'start': start,
      'end': end,
      'worst_excursion': 1.0,
      'reconstruction': {'held out': 1e-6, 'noise': 1e-5},
      **kwargs,
  }


def test_the_page_is_up_to_date():
  page = results_page.page()
  assert (DOCS / 'results.md').read_text() == page
  pictures = re.findall(r'!\[[^\]]*\]\(([^)]*)\)', page)
  assert pictures and all((DOCS / picture).is_file() for picture in pictures)


def test_summary_by_hand():
  runs = [
      run(rate=1e-3, end=3.0),
      run(rate=1e-3, seed=1, end=3.2),
      run(rate=1e-2, end=3.7, log_lipschitz={'nonlinear': [1.0, 2.5]}),
      run(rate=1e-2, seed=1, end=3.9, worst_excursion=4.0),
      # One seed ends above its start: the rates after it do not count.
      run(rate=1e-1, end=5.5, worst_excursion=9.0),
      run(rate=1e-1, seed=1, end=3.0),
      run(rate=1.0, end=None, worst_excursion=None, reconstruction=None),
      run(rate=1.0, seed=1, end=3.0),
      run(rate=10.0, end=3.5),
      run(rate=10.0, seed=1, end=3.5),
  ]
  ((key, (arm,)),) = stability_summary.summaries(runs).items()
  assert key == (16, 4, 300)
  assert (arm.num_runs, arm.num_seeds) == (10, 2)
  assert (arm.num_not_finite, arm.num_above_start) == (1, 1)
  assert arm.stable == [1e-3, 1e-2] and arm.width == pytest.approx(10)
  assert arm.useful == [1e-3] and arm.useful_width == 1
  assert (arm.best_rate, arm.best) == (1e-3, pytest.approx(3.1))
  assert arm.spread == pytest.approx(0.2)
  assert arm.worst_excursion == 4.0
  assert arm.log_lipschitz == 2.5
  assert arm.error == {'held out': 1e-6, 'noise': 1e-5}


def test_what_is_not_finite_is_never_the_largest_error():
  runs = [run(), run(seed=1, reconstruction={'held out': 0.0, 'noise': None})]
  ((arm,),) = stability_summary.summaries(runs).values()
  assert arm.error == {'held out': 1e-6, 'noise': None}


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


class Crops:
  """No images."""

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


def test_a_run_that_is_not_finite_ends():
  result = short_run.run(
      Model(fails_at=3), Crops(), 0.1, warmup_steps=4, num_steps=10
  )
  assert not result['finite'] and result['num_steps'] == 3
  assert result['end'] is result['worst_excursion'] is None
  assert result['reconstruction'] is None

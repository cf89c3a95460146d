"""docs/results.md says what benchmarks/results say."""

import json
import pathlib
import re

import numpy as np
import pytest
import results_page
import results_sections
import results_stability
import short_run
import stability_summary

DOCS = pathlib.Path(__file__).parents[2] / 'docs'


def run(arm='ours', rate=1e-3, seed=0, start=5.0, end=3.0, **kwargs):
  return {
      'size': 16,
      'depth': 4,
      'train_steps': 300,
      'schedule': 'constant',
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
  assert (arm.num_best, arm.spread) == (2, pytest.approx(0.2))
  assert arm.worst_excursion == 4.0
  assert arm.log_lipschitz == 2.5
  assert arm.error == {'held out': 1e-6, 'noise': 1e-5}


def test_one_seed_has_no_spread():
  runs = [run(end=3.1), run(seed=1, end=3.0), run(rate=1e-2, end=2.5)]
  ((key, arms),) = stability_summary.summaries(runs).items()
  section = results_stability.long_section(key, arms, runs)
  assert '2.500 (one seed)' in cells(section, 'ours')


def test_what_is_not_finite_is_never_the_largest_error():
  runs = [run(), run(seed=1, reconstruction={'held out': 0.0, 'noise': None})]
  ((arm,),) = stability_summary.summaries(runs).values()
  assert arm.error == {'held out': 1e-6, 'noise': None}


def cells(section, first):
  """The cells of the row of a table that starts with a cell."""
  (row,) = re.findall(rf'^\| {re.escape(first)} \|.*$', section, re.MULTILINE)
  return [cell.strip() for cell in row.strip('|').split('|')]


def test_long_runs_have_a_rate_each():
  runs = [
      run(train_steps=3000, start=5.0, end=2.0),
      run(train_steps=3000, start=5.5, end=2.5, seed=1),
      run('tfb.Glow', rate=3e-3, train_steps=3000, start=19.0, end=4.0),
  ]
  ((key, arms),) = stability_summary.summaries(runs).items()
  section = results_stability.long_section(key, arms, runs)
  assert '2 seeds (fewer of tfb.Glow)' in section
  assert cells(section, 'ours') == [
      'ours', '0.001', '0 of 2', '5.250', '2.250 (0.500)', '1.00', '1.0e-05'
  ]
  assert cells(section, 'tfb.Glow')[3:5] == ['19.000', '4.000']


def test_a_schedule_beside_the_constant_rate():
  runs = [
      run(rate=1e-2, end=2.5, schedule='cosine'),
      run('tfb.Glow', rate=1e-2, end=None, schedule='cosine'),
      run('tfb.Glow', rate=3e-3, end=3.5, schedule='cosine'),
  ]
  constant = [run(end=3.0), run('tfb.Glow', end=4.25)]
  ((key, arms),) = stability_summary.summaries(runs).items()
  ((_, others),) = stability_summary.summaries(constant).items()
  section = results_stability.schedule_section(key, arms, runs, others)
  assert cells(section, 'ours') == [
      'ours', '0 of 1', '2.500', '0.01', '3.000', '0.001', '0.500'
  ]
  assert cells(section, 'tfb.Glow') == [
      'tfb.Glow', '1 of 2', '3.500', '0.003', '4.250', '0.001', '0.750'
  ]


def test_runs_of_a_schedule(tmp_path):
  runs = [run(), run(seed=1, schedule='cosine'), run(seed=2)]
  path = tmp_path / 'runs.jsonl'
  path.write_text('\n'.join(map(json.dumps, runs)))
  for schedule, seeds in (('constant', [0, 2]), ('cosine', [1])):
    read = stability_summary.read_runs(path, schedule)
    assert [r['seed'] for r in read] == seeds


def test_time_includes_making_the_arm():
  timed = run(
      setup_seconds=5.0,
      num_steps=90,
      held_out=[[0, 0.0, 9.0], [30, 19.0, 7.0], [60, 21.0, 6.0]],
      reconstruction=None,
      end=None,
  )
  report = {'conditions': {'seconds': 100.0, 'machine': 'an abacus'}}
  section = results_sections.wall_clock_section(
      {**report, 'runs': [timed]}, 'crops', 'command', 'picture.png'
  )
  # 5 + 19 seconds is before a quarter, 5 + 21 after it.
  assert cells(section, 'ours') == [
      'ours', '100', '0.001', '90', '7.000', '6.000', 'not finite', 'not finite'
  ]
  assert 'an abacus' in section


def test_certified_parts_of_singular_values_multiply():
  conditions = {'image_size': 16, 'num_steps': 4, 'train_steps': 300}
  spectra = [
      [0, {'held out': [-1.0, 0.0, 1.0], 'noise': [0.0, 0.0, 0.0]}],
      [300, {'held out': [-2.0, 0.5, 3.0], 'noise': [-9.0, 1.0, None]}],
  ]
  bounds = {'linear': [5.0, 30.0], 'nonlinear': [7.0, 6.0]}
  runs = [
      run(log_singular_values=spectra, log_lipschitz=bounds),
      run('tfb.Glow', log_singular_values=spectra),
  ]
  section = results_sections.singular_values_section(
      {'conditions': conditions, 'runs': runs}, 'picture.png'
  )
  assert cells(section, 'ours') == [
      'ours', '-2.00', '0.50', '3.00', '-9.00', '1.00', 'not finite',
      '-12.00 to 36.00',
  ]
  assert cells(section, 'tfb.Glow')[-1] == 'none'


def test_large_photographs_beside_the_linear_optimum():
  report = {
      'conditions': {
          'image_size': 256,
          'num_levels': 5,
          'num_steps': 4,
          'batch_size': 2,
          'train_steps': 50,
          'circulant_optimum': {'train': 3.25, 'held_out': 3.5},
      },
      'runs': [
          run(
              held_out=[[0, 0.0, 5.0], [25, 50.0, 4.0], [50, 100.0, 3.0]],
              seconds=100.0,
              num_steps=50,
              peak_mib=2048.0,
          ),
          # Not finite at the tenth step.
          run(
              'tfb.Glow',
              start=20.0,
              end=None,
              worst_excursion=None,
              reconstruction=None,
              held_out=[[0, 0.0, 20.0], [10, 20.0, None]],
              seconds=20.0,
              num_steps=10,
              peak_mib=4096.0,
          ),
      ],
  }
  section = results_sections.high_resolution_section(report, 'command')
  assert '3.250 bits/dim of them and\n3.500' in section
  assert cells(section, 'ours')[3:] == [
      '5.000', '4.000', '3.000', '1.00', '1.0e-05', '2.0', '2,048'
  ]
  assert cells(section, 'tfb.Glow')[3:] == [
      '20.000', *['not finite'] * 4, '2.0', '4,096'
  ]


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


def test_arms_of_fewer_rates_are_named():
  runs = [
      *(run(rate=rate) for rate in (1e-3, 1e-2, 1e-1)),
      run('tfb.Glow', rate=1e-2),
      run('tfb.Glow', rate=1e-3),
  ]
  ((key, arms),) = stability_summary.summaries(runs).items()
  section = results_stability.stability_section(key, arms, runs)
  assert '1 seed. Of tfb.Glow only at 0.001, 0.01.' in section
  assert 'Of ours' not in section

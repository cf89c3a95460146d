"""The pages of docs/ say what benchmarks/results say."""

import copy
import re

import numpy as np
import pytest
from report import markdown
from report import pages
from report import pictures
from report import runs as runs_lib
from report import stability
from report import tables
from report import training
from report import vector_tables
from support import report_records

cells, record = report_records.cells, report_records.record

RATES = (16, 4, 300)


def run(*args, **kwargs):
  return runs_lib.flat(record(*args, **kwargs))


def results(records):
  """As the sections take it, whatever the suite is."""
  return lambda suite: copy.deepcopy(records)


def test_the_pages_are_up_to_date():
  names = []
  for path, text in pages.pages().items():
    assert path.read_text() == text, path
    names += re.findall('<!-- results: (.*) -->', text)
    for picture in re.findall(r'!\[[^\]]*\]\(([^)]*)\)', text):
      assert (path.parent / picture).is_file()
  # Nothing that is measured or can be shown is left out.
  assert {name.split()[0] for name in names} == set(pages.SECTIONS)
  shown = [tuple(name.split()) for name in names]
  for item in pages.results('stability'):
    values = runs_lib.flat(item)
    key = tuple(str(values[x]) for x in ('size', 'depth', 'train_steps'))
    kind = '_long' if values['train_steps'] > 300 else ''
    kind = '_cosine' if values['schedule'] == 'cosine' else kind
    assert (f'stability{kind}', *key) in shown


def test_parameters_are_within_five_percent():
  runs = map(runs_lib.flat, pages.results('stability'))
  for arms in runs_lib.summaries(runs).values():
    counts = [arm.runs[0]['parameters'] for arm in arms]
    assert max(counts) <= 1.05 * min(counts)


def test_pictures_are_drawn(tmp_path):
  pictures.draw(tmp_path, pages.results)
  drawn = {path.name for path in tmp_path.iterdir()}
  assert {'budget_frontier.png', 'optimum_claims.png', 'wall_clock.png',
          'stability_16_4_300.png'} <= drawn


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
  ((key, (arm,)),) = runs_lib.summaries(runs).items()
  assert key == (16, 4, 300)
  assert arm.stable == [1e-3, 1e-2] and arm.useful == [1e-3]
  assert (arm.best_rate, arm.best) == (1e-3, pytest.approx(3.1))
  assert arm.best_values == [3.0, 3.2]
  assert arm.at_stable_rates('worst_excursion') == [1.0, 1.0, 1.0, 4.0]
  assert arm.measured('log_lipschitz') == [{'nonlinear': [1.0, 2.5]}]
  assert arm.error('noise') == 1e-5


def test_one_seed_has_no_spread():
  runs = [record(end=3.1), record(seed=1, end=3.0), record(rate=1e-2, end=2.5)]
  section = stability.long_runs(results(runs), *RATES)
  assert '2.500 (one seed)' in cells(section, 'ours')


def test_what_is_not_finite_is_never_the_largest_error():
  runs = [run(), run(seed=1, reconstruction={'held out': 0.0, 'noise': None})]
  ((arm,),) = runs_lib.summaries(runs).values()
  assert arm.error('held out') == 1e-6 and arm.error('noise') is None


def test_stable_rates():
  runs = [
      record(rate=1e-3, log_lipschitz={'nonlinear': [1.0, 2.5]}),
      record(rate=1e-2, end=3.7, of_certified={'noise': 0.125}),
      record(rate=1e-1, end=None, worst_excursion=None, reconstruction=None),
      record('tfb.Glow', end=5.5),
  ]
  section = stability.rates(results(runs), *RATES)
  first, second = re.findall(r'^\| ours \|.*$', section, re.MULTILINE)
  assert first == (
      '| ours | 3.000 | 0.001 | 1 of 3 | 0 | 0.001 to 0.01 (10x) | '
      '0.001 to 0.001 (1x) | 1.00 | 100 |'
  )
  assert second.endswith('| 1.0e-05 | 2.50 | 1.2e-01 |')
  third = '| tfb.Glow | 5.500 | 0.001 | 0 of 1 | 1 | none | none |  | 100 |'
  assert third in section


def test_long_runs_have_a_rate_each():
  steps = {'train_steps': 3000}
  runs = [
      record(settings=steps, start=5.0, end=2.0),
      record(settings=steps, start=5.5, end=2.5, seed=1),
      record('tfb.Glow', rate=3e-3, settings=steps, start=19.0, end=4.0),
  ]
  section = stability.long_runs(results(runs), 16, 4, 3000)
  assert '2 seeds (fewer of tfb.Glow)' in section
  assert cells(section, 'ours') == [
      'ours', '2.250 (0.500)', '0.001', '5.250', '0 of 2', '1.00', '1.0e-05'
  ]
  assert cells(section, 'tfb.Glow')[1:4:2] == ['4.000', '19.000']


def test_a_schedule_beside_the_constant_rate():
  cosine = {'schedule': 'cosine'}
  runs = [
      record(rate=1e-2, end=2.5, settings=cosine),
      record('tfb.Glow', rate=1e-2, end=None, settings=cosine),
      record('tfb.Glow', rate=3e-3, end=3.5, settings=cosine),
      record(end=3.0),
      record('tfb.Glow', end=4.25),
  ]
  section = stability.schedule(results(runs), *RATES)
  assert '--set=schedule=cosine' in section
  assert cells(section, 'ours') == [
      'ours', '0 of 1', '2.500', '0.01', '3.000', '0.001', '0.500'
  ]
  assert cells(section, 'tfb.Glow') == [
      'tfb.Glow', '1 of 2', '3.500', '0.003', '4.250', '0.001', '0.750'
  ]


def test_arms_of_fewer_rates_are_named():
  runs = [
      *(record(rate=rate) for rate in (1e-3, 1e-2, 1e-1)),
      record('tfb.Glow', rate=1e-2),
      record('tfb.Glow', rate=1e-3),
  ]
  section = stability.rates(results(runs), *RATES)
  assert '1 seed. Of tfb.Glow only at 0.001, 0.01.' in section
  assert 'Of ours' not in section


def test_time_includes_making_the_arm():
  timed = record(
      settings={'seconds': 100.0},
      setup_seconds=5.0,
      num_steps=90,
      held_out=[[0, 0.0, 9.0], [30, 19.0, 7.0], [60, 21.0, 6.0]],
      reconstruction=None,
      end=None,
  )
  timed['machine'] = {'cores': 2, 'processor': 'an abacus'}
  timed['versions'] = {'python': '3.11'}
  timed['note'] = 'at night'
  peers = [record(name) for name in ('tfb.Glow', 'tfb.Glow with curves')]
  for peer, end in zip(peers, (7.5, 5.0), strict=True):
    peer['settings']['seconds'] = 100.0
    peer['values'].update(
        setup_seconds=1.0, num_steps=2, held_out=[[0, 0.0, 9.0]],
        reconstruction=None, end=end,
    )
  section = training.wall_clock(results([timed, *peers]))
  # 5 + 19 seconds is before a quarter, 5 + 21 after it; curves are ours.
  assert cells(section, 'ours') == [
      'ours', '100', '0.001', '90', '7.000', '6.000', 'not finite', '24',
      'not finite',
  ]
  assert cells(section, 'tfb.Glow')[-2] == 'never'
  assert 'seconds to 7.500' in section
  assert '2 cores of an abacus, Python 3.11, at night' in section


def test_what_was_not_noted_is_not_invented():
  assert 'was not noted' in runs_lib.machine(record())


def test_certified_parts_of_singular_values_multiply():
  spectra = [
      [0, {'held out': [-1.0, 0.0, 1.0], 'noise': [0.0, 0.0, 0.0]}],
      [300, {'held out': [-2.0, 0.5, 3.0], 'noise': [-9.0, 1.0, None]}],
  ]
  bounds = {'linear': [5.0, 30.0], 'nonlinear': [7.0, 6.0]}
  runs = [
      record(log_singular_values=spectra, log_lipschitz=bounds),
      record('tfb.Glow', log_singular_values=spectra),
  ]
  section = training.singular_values(results(runs))
  assert cells(section, 'ours') == [
      'ours', '-2.00', '0.50', '3.00', '-9.00', '1.00', 'not finite',
      '-12.00 to 36.00',
  ]
  assert cells(section, 'tfb.Glow')[-1] == 'none'
  assert 'has -1.00 0.00 1.00' in section


def test_large_photographs_beside_the_linear_optimum():
  optimum = {'settings': {}, 'values': {'train': 3.25, 'held_out': 3.5}}
  runs = [
      record(
          held_out=[[0, 0.0, 5.0], [25, 50.0, 4.0], [50, 100.0, 3.0]],
          seconds=100.0,
          num_steps=50,
          peak_mib=2048.0,
      ),
      # Not finite at the tenth step.
      record(
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
  ]
  section = training.high_resolution(results([optimum, *runs]), 'name')
  assert '3.250 bits/dim of the crops' in section and '3.500 of' in section
  assert cells(section, 'ours')[3:] == [
      '5.000', '4.000', '3.000', '1.00', '1.0e-05', '2.0', '2,048'
  ]
  assert cells(section, 'tfb.Glow')[3:] == [
      '20.000', *['not finite'] * 4, '2.0', '4,096'
  ]


def test_what_was_measured_again_takes_the_place():
  found = pages.results('input_pipeline')
  again = copy.deepcopy(found[1])
  again['values']['npy']['images_per_second'] = 123.0
  section = tables.input_pipeline(results([*found, again]))
  assert cells(section, 'npy') == ['npy', '7108', '123', '772']


def test_replicas_that_differ_are_called_so():
  found = copy.deepcopy(pages.results('replicas'))
  assert 'DIFFERENT' not in tables.replicas(results(found))
  found[0]['values']['4 processes']['checksums'].append('another')
  section = tables.replicas(results(found))
  assert cells(section, '4 devices, and 4 processes')[-1] == 'DIFFERENT'


def test_surrogates_are_shown_at_their_best_rates():
  runs = [
      {
          'settings': {'target': 'x', 'arm': arm, 'rate': rate},
          'values': {
              'finite': rate < 1, 'elbo': elbo, 'elbo_error': 0.5,
              'mean_error': elbo / 10, 'variance_error': None, 'seconds': 3.0,
          },
      }
      for arm, rate, elbo in (
          ('normal', 0.01, 4.0), ('flow', 0.01, 5.0), ('flow', 1.0, 6.0),
      )
  ]
  runs.append({
      'settings': {'target': 'x', 'arm': 'ASVI', 'rate': 0.01},
      'values': {'finite': None},
  })
  rows = vector_tables.inference_gym(results(runs)).splitlines()[2:]
  assert rows == [
      '| x | normal |  | 4.00 ± 0.50 | 0.40 | not finite | 3.0 |',
      '| x | flow | 1 | 6.00 ± 0.50 | 0.60 | not finite | 3.0 |',
  ]
  rates = vector_tables.inference_gym_rates(results(runs)).splitlines()
  assert rates[0] == '| target | surrogate | 0.01 | 1 |'
  assert rates[2:] == ['| x | flow | 5.00 | 6.00, not finite |']


def test_a_table_of_anything():
  few = [record(rate=rate, error={'noise': rate}) for rate in (1e-3, 1e-2)]
  section = tables.of_suite(few)
  assert cells(section, 'learning_rate')[1:] == ['0.001', '0.01']
  assert cells(section, 'error.noise')[1:] == ['0.001', '0.01']
  section = tables.of_suite([record(seed=i) for i in range(9)])
  assert cells(section, '8')[1:4] == ['100', 'True', '5']


def test_cells():
  table = markdown.table('a|b', [['1', '2']])
  assert table == '| a | b |\n|---|---|\n| 1 | 2 |'
  assert markdown.value(np.inf) == markdown.value(None) == 'not finite'

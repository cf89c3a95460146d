"""The table at the top of the results."""

from report import verdict
from support import report_records

cells, record = report_records.cells, report_records.record


def test_the_verdict_takes_the_best_arm_of_each_library():
  suites = {
      'stability': [
          record(arm=arm, rate=rate, end=end, **parts)
          for arm, end, parts in (
              ('ours', 3.0, {'log_lipschitz': {'nonlinear': [5.0, 4.0]}}),
              ('ours unbounded', 2.0, {}),
              ('tfb.Glow', 4.5, {}),
              ('normflows', 5.0, {}),
              ('normflows exp', 4.0, {}),
          )
          for rate in (1e-3, 1e-2)
      ],
      'wall_clock': [record(arm='ours', end=2.0), record(arm='tfb.Glow')],
      'wall_clock_fashion': [record(arm='ours', end=1.0)],
  }
  for name in ('wall_clock', 'wall_clock_fashion'):
    for run in suites[name]:
      run['values'] |= {
          'setup_seconds': 1.0, 'held_out': [[1, 20.0, run['values']['end']]]
      }
  table = verdict.verdict(suites.get)
  at_best = cells(table, '16x16 photographs, 300 steps, at the best rate')
  assert at_best[1:] == ['3.000', '4.500', '4.000']
  assert cells(table, 'seconds to 3.000, the best peer of ten minutes')[1:] == [
      '21', '21', 'not run'
  ]
  name = 'logarithm of the certified constants of the non-linear part'
  assert cells(table, name)[1:] == ['5.00', 'none', 'none']

"""Tables of other measurements, and of anything.

Sections take a function of the name of a suite that returns its records.
"""

from report import markdown
from report import runs as runs_lib

# A table of more cases has a row for each, and only single numbers.
_FEW = 6


def train_step(results):
  """Speed and memory, beside the peers."""
  row = (
      '{name}|{first_step_seconds:.1f}|{train_step_seconds:.2f}|'
      '{log_prob_seconds:.3f}|{sample_seconds:.3f}|{training_peak_mib:.0f}|'
      '{millions:.2f} M'
  )
  return markdown.table(
      '|first step s|step s|`log_prob` s|sample s|peak MiB|parameters',
      [
          row.format(
              name=f'`{name}`' if name == 'tfb.Glow' else name,
              millions=arm['parameters'] / 1e6,
              **arm,
          ).split('|')
          for name, arm in results('train_step')[-1]['values']['arms'].items()
      ],
  )


def digits(results):
  """Bits/dim and samples of digits; means and ranges over seeds."""
  found = {}
  for record in results('digits'):
    found.setdefault(record['settings']['arm'], []).append(record['values'])

  def cell(runs, name, spec):
    values = [run[name] for run in runs if run.get(name) is not None]
    return markdown.mean_and_range(values, spec) if values else ''

  return markdown.table(
      '|bits/dim before training|after|importance-weighted'
      '|samples of the right class|CPU s',
      [
          [
              arm,
              cell(runs, 'start_bits_per_dim', '.3f'),
              cell(runs, 'bits_per_dim', '.3f'),
              cell(runs, 'importance_weighted', '.3f'),
              cell(runs, 'agreement', '.1%'),
              cell(runs, 'cpu_seconds', '.0f'),
          ]
          for arm, runs in found.items()
      ],
  )


def budget_frontier(results):
  """What budgets cost; one seed has all of them."""
  found = runs_lib.newest(
      [r for r in results('budget_frontier') if r['seed'] == 0],
      'lipschitz_budget',
  )
  best, rows = found[None,]['values']['bits_per_dim'], []
  for (budget,), record in found.items():
    values = record['values']
    rows.append([
        markdown.value(budget, 'g', 'none'),
        f'{values["bits_per_dim"]:.3f}',
        f'{values["bits_per_dim"] - best:+.3f}',
        *(
            ' / '.join(f'{x:.1f}' for x in values[f'log_{name}'])
            for name in ('nonlinear', 'linear', 'whole', 'local')
        ),
    ])
  return markdown.table(
      'budget|bits/dim|cost|non-linear|linear|whole|at images', rows
  )


def input_pipeline(results):
  """Images a second out of each kind of files."""
  found = runs_lib.newest(results('input_pipeline'), 'image_size')
  values = [record['values'] for record in found.values()]
  names = {'photographs': 'photographs of 2560x1600'}
  return markdown.table(
      '|' + '|'.join(str(size) for (size,) in found),
      [
          [
              names.get(name, name),
              *(f'{own[name]["images_per_second"]:.0f}' for own in values),
          ]
          for name in values[0]
      ],
  )


def replicas(results):
  """How far runs on several devices are from one on one."""
  runs = runs_lib.newest(results('replicas'), 'arm', 'learning_rate')
  four = ('4 devices', '4 processes')
  rows = []
  for title, rate, names in (
      ('1 device, batch in 4 parts', 3e-3, ['1 device, in 4 parts']),
      ('2 devices, and 2 processes', 3e-3, ['2 devices', '2 processes']),
      ('4 devices, and 4 processes', 3e-3, four),
      ('the last one at `--learning_rate=3e-4`', 3e-4, four),
  ):
    found = [runs['ours', rate]['values'][name] for name in names]
    numbers = ('loss', 'held_out', 'weights_median')
    beyond = max(row['weights_beyond'] for row in found)
    same = all(len(row['checksums']) == 1 for row in found)
    rows.append([
        title,
        *(markdown.error(max(row[x] for row in found)) for x in numbers),
        f'{100 * beyond:.1f} %' if beyond else '0',
        'the same bits' if same else 'DIFFERENT',
    ])
  glow = runs['tfb.Glow', 1e-3]['values']['evaluations'][-1]
  differ = (
      '{variables_that_differ} of {variables} variables differ, by up to '
      '{largest_difference:.2f}'
  )
  rows.append([
      '`tfb.Glow`, 2 devices', '', '', '', '', differ.format_map(glow)
  ])
  return markdown.table(
      '|loss|held out|weights: median|beyond 1e-4|replicas', rows
  )


def of_suite(records):
  """Whatever was measured: by row for many cases, by column for few."""
  cases = [{**r['settings'], 'seed': r['seed']} for r in records]
  varying = [
      name
      for name in dict.fromkeys(name for case in cases for name in case)
      if any(case.get(name) != cases[0].get(name) for case in cases)
  ]
  columns = [
      {name: case.get(name) for name in varying} | _flat(record['values'])
      for case, record in zip(cases, records, strict=True)
  ]
  keys = list(dict.fromkeys(key for column in columns for key in column))
  if len(columns) <= _FEW:
    return markdown.table(
        '|' * len(columns),
        [[key, *(_cell(c.get(key)) for c in columns)] for key in keys],
    )
  keys = [key for key in keys if '.' not in key]
  return markdown.table(
      '|'.join(keys), [[_cell(c.get(key)) for key in keys] for c in columns]
  )


def _flat(values, prefix=''):
  """Single numbers and words in dictionaries of dictionaries."""
  found = {}
  for key, value in values.items():
    if isinstance(value, list) and value and isinstance(value[0], dict):
      value = dict(enumerate(value))
    if isinstance(value, dict):
      found |= _flat(value, f'{prefix}{key}.')
    elif not isinstance(value, list):
      found[f'{prefix}{key}'] = value
  return found


def _cell(value):
  return f'{value:.5g}' if isinstance(value, float) else str(value)


SECTIONS = {
    'train_step': train_step,
    'budget_frontier': budget_frontier,
    'input_pipeline': input_pipeline,
    'replicas': replicas,
    'digits': digits,
}

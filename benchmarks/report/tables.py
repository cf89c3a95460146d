"""Tables of other measurements, and of anything.

Sections take a function of the name of a suite that returns its records.
"""

from report import markdown

__all__ = ['SECTIONS', 'of_suite']

# A table of more cases has a row for each, and only single numbers.
_FEW = 6


def train_step(results):
  """Speed and memory, beside the peers."""
  arms = results('train_step')[-1]['values']['arms']
  return markdown.table(
      '|first step s|step s|`log_prob` s|sample s|peak MiB|parameters',
      [
          [
              f'`{name}`' if name == 'tfb.Glow' else name,
              f'{arm["first_step_seconds"]:.1f}',
              f'{arm["train_step_seconds"]:.2f}',
              f'{arm["log_prob_seconds"]:.3f}',
              f'{arm["sample_seconds"]:.3f}',
              f'{arm["training_peak_mib"]:.0f}',
              f'{arm["parameters"] / 1e6:.2f} M',
          ]
          for name, arm in arms.items()
      ],
  )


def budget_frontier(results):
  """What budgets cost; one seed has all of them."""
  records = [r for r in results('budget_frontier') if r['seed'] == 0]
  (best,) = [
      r['values']['bits_per_dim']
      for r in records
      if r['settings']['lipschitz_budget'] is None
  ]
  rows = []
  for record in records:
    values = record['values']
    rows.append([
        markdown.value(record['settings']['lipschitz_budget'], 'g', 'none'),
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
  records = results('input_pipeline')
  names = {'photographs': 'photographs of 2560x1600'}
  return markdown.table(
      '|' + '|'.join(str(r['settings']['image_size']) for r in records),
      [
          [
              names.get(name, name),
              *(
                  f'{r["values"][name]["images_per_second"]:.0f}'
                  for r in records
              ),
          ]
          for name in records[0]['values']
      ],
  )


def replicas(results):
  """How far runs on several devices are from one on one."""
  by_rate = {
      r['settings']['learning_rate']: r['values']
      for r in results('replicas')
      if r['settings']['arm'] == 'ours'
  }
  (glow,) = [
      r['values']['evaluations'][-1]
      for r in results('replicas')
      if r['settings']['arm'] == 'tfb.Glow'
  ]
  rows = []
  for title, rate, names in (
      ('1 device, batch in 4 parts', 3e-3, ['1 device, in 4 parts']),
      ('2 devices, and 2 processes', 3e-3, ['2 devices', '2 processes']),
      ('4 devices, and 4 processes', 3e-3, ['4 devices', '4 processes']),
      ('the last one at `--learning_rate=3e-4`', 3e-4,
       ['4 devices', '4 processes']),
  ):
    found = [by_rate[rate][name] for name in names]
    same = all(len(row['checksums']) == 1 for row in found)

    def largest(key, spec, found=found):
      return format(max(row[key] for row in found), spec)

    beyond = largest('weights_beyond', '.1%').replace('%', ' %')
    rows.append([
        title,
        largest('loss', '.1e').replace('e-0', 'e-'),
        largest('held_out', '.1e').replace('e-0', 'e-'),
        largest('weights_median', '.1e').replace('e-0', 'e-'),
        '0' if beyond == '0.0 %' else beyond,
        'the same bits' if same else 'DIFFERENT',
    ])
  rows.append([
      '`tfb.Glow`, 2 devices', '', '', '', '',
      f'{glow["variables_that_differ"]} of {glow["variables"]} variables '
      f'differ, by up to {glow["largest_difference"]:.2f}',
  ])
  return markdown.table(
      '|loss|held out|weights: median|beyond 1e-4|replicas', rows
  )


def of_suite(records):
  """Whatever was measured: by row for many cases, by column for few."""
  cases = [{**r['settings'], 'seed': r['seed']} for r in records]
  names = dict.fromkeys(name for case in cases for name in case)
  varying = [
      name
      for name in names
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
    if isinstance(value, dict):
      found |= _flat(value, f'{prefix}{key}.')
    elif isinstance(value, list) and value and isinstance(value[0], dict):
      for i, item in enumerate(value):
        found |= _flat(item, f'{prefix}{key}.{i}.')
    elif not isinstance(value, list):
      found[prefix + key] = value
  return found


def _cell(value):
  return f'{value:.5g}' if isinstance(value, float) else str(value)


SECTIONS = {
    'train_step': train_step,
    'budget_frontier': budget_frontier,
    'input_pipeline': input_pipeline,
    'replicas': replicas,
}

"""Sections on other runs of training.

Each takes a function of the name of a suite that returns its records.
"""

from report import markdown
from report import runs as runs_lib


def _runs(records):
  """The last run of each arm at each rate."""
  records = runs_lib.newest(records, 'arm', 'learning_rate')
  return [runs_lib.flat(record) for record in records.values()]


def singular_values(results):
  """Local singular values at the end, and before training for ours."""
  runs = _runs(results('singular_values'))
  rows = []
  for run in runs:
    _, values = run['log_singular_values'][-1]
    rows.append([
        run['arm'],
        *_two_digits([*values['held out'], *values['noise']]),
        _certified(run.get('log_lipschitz')),
    ])
  ours = next(run for run in runs if run['arm'] == 'ours')
  _, start = ours['log_singular_values'][0]
  table = markdown.table(
      'arm|held out: smallest|median|largest|noise: smallest|median|largest|'
      'certified of the whole flow',
      rows,
  )
  return (
      '`python benchmarks/run.py --suites=singular_values`: {size}x{size} '
      'crops, {depth} steps a level, after {train_steps} steps at a learning '
      'rate of {learning_rate:g}; before the first one ours, which starts at '
      'the optimum, has {before}.\n\n{table}'
  ).format(before=' '.join(_two_digits(start['held out'])), table=table, **ours)


def _two_digits(values):
  return [markdown.value(x, '.2f') for x in values]


def _certified(parts):
  """Between what all singular values of images to latents are."""
  if parts is None or any(None in part for part in parts.values()):
    return 'none'
  forward, inverse = map(sum, zip(*parts.values(), strict=True))
  return f'{-forward:.2f} to {inverse:.2f}'


_RUNS = {
    'arm': '{arm}'.format_map,
    'parameters': '{parameters:,}'.format_map,
    'learning rate': '{learning_rate:g}'.format_map,
    'steps': '{num_steps:,}'.format_map,
    'held-out bits/dim at the start': lambda run: markdown.value(run['start']),
    'at the end': lambda run: markdown.value(run['end']),
    'worst excursion': lambda run: markdown.value(
        run['worst_excursion'], '.2f'
    ),
    'round trip of noise images': lambda run: markdown.error(
        (run['reconstruction'] or {}).get('noise')
    ),
    'seconds a step': lambda run: f'{run["seconds"] / run["num_steps"]:.1f}',
    'peak MiB': '{peak_mib:,.0f}'.format_map,
}


def wall_clock(results, suite='wall_clock'):
  """A comparison at equal time."""
  runs = _runs(results(suite))
  seconds = runs[0]['limit']
  quarter, half = (
      (f'{title}after {seconds * part:g} s',
       lambda run, part=part: _at_second(run, seconds * part))
      for title, part in (('held-out bits/dim ', 0.25), ('', 0.5))
  )
  target = runs_lib.best_of_peers(runs)
  reached = (
      f'seconds to {target:.3f}, the best peer at the end',
      lambda run: markdown.value(
          runs_lib.seconds_to(run, target), '.0f', 'never'
      ),
  )
  table = markdown.columns(
      _RUNS,
      f'arm|parameters|learning rate|steps|{quarter[0]}|{half[0]}|at the end|'
      f'{reached[0]}|round trip of noise images',
      runs,
      quarter,
      half,
      reached,
  )
  folder = ' --fashion_mnist=FOLDER' if suite.endswith('fashion') else ''
  return (
      f'`python benchmarks/run.py --suites={suite}{folder}`: {seconds / 60:g} '
      f'minutes for each arm alone on {runs[0]["machine"]}.\n\n{table}\n\n'
      f'![bits/dim against seconds](images/{suite}.png)'
  )


def _at_second(run, seconds):
  """The last evaluation before a time; making the arm counts."""
  times = [
      value
      for _, when, value in run['held_out']
      if run['setup_seconds'] + when <= seconds
  ]
  return markdown.value(times[-1] if times else None)


def high_resolution(results, suite):
  """Large photographs of one size, beside the best circulant linear flow."""
  records = runs_lib.newest(results(suite), 'arm', 'learning_rate')
  optimum = records.pop((None, None))
  runs = _runs(records.values())
  most = max(runs, key=lambda run: len(run['held_out']))
  steps = [
      (f'step {step}', lambda run, step=step: _at_step(run, step))
      for step, _, _ in most['held_out'][1:]
  ]
  names = '|'.join(name for name, _ in steps)
  table = markdown.columns(
      _RUNS,
      f'arm|parameters|learning rate|held-out bits/dim at the start|{names}|'
      'worst excursion|round trip of noise images|seconds a step|peak MiB',
      runs,
      *steps,
  )
  return (
      '`python benchmarks/run.py --suites={suite} --photos=FOLDER`: {levels} '
      'levels of {depth} steps, batches of {batch}, {train_steps} steps. The '
      'best circulant linear flow reaches {train:.3f} bits/dim of the crops '
      'that all are trained on, and {held_out:.3f} of those held out.'
      '\n\n{table}'
  ).format(suite=suite, table=table, **{**runs[0], **optimum['values']})


def _at_step(run, step):
  values = {when: value for when, _, value in run['held_out']}
  return markdown.value(values.get(step))


def fashion_mnist(results):
  """The recipe."""
  record = results('fashion_mnist')[-1]
  values, cores = record['values'], record['machine']['cores']
  held_out = values['held_out']
  draws = record['settings']['draws']
  table = markdown.table(
      'step|' + '|'.join(str(step) for step, _, _ in held_out),
      [['bits/dim of 1024 test images',
        *(f'{value:.3f}' for _, _, value in held_out)]],
  )
  return (
      '{train_steps:,} steps of {batch_size}, {minutes:.0f} minutes on '
      '{cores}, evaluations included; {num_levels} levels of {num_steps} '
      'steps, width {hidden_channels}.\n\n{table}\n\n'
      'Of all {test_images:,} test images {mean:.4f} bits/dim, {noise} of '
      'uniform dequantisation noise{weighted}.{note}'
  ).format(
      **values['recipe'],
      **record['settings'],
      test_images=values['test_images'],
      mean=values['test_bits_per_dim'],
      minutes=values['seconds'] / 60,
      cores='one core' if cores == 1 else f'{cores} cores',
      table=table,
      noise='one draw' if draws == 1 else f'mean of {draws} draws',
      # A bound, as the mean is, and a tighter one.
      weighted=(
          f', and **{bound:.4f}** importance-weighted over them, a tighter '
          'bound of the same likelihood'
          if (bound := values['importance_weighted'])
          else ''
      ),
      # What has changed since, of a run that was not made again.
      note=f' {record["note"]}' if 'note' in record else '',
  )


def dequantization(results):
  """The demo with uniform and with learned noise, a row for each seed."""
  records = {
      (record['settings']['dequantization'], record['seed']): record
      for record in results('dequantization')
  }
  rows = []
  for noise, seed in sorted(records):
    values = records[noise, seed]['values']
    rows.append([
        noise,
        str(seed),
        *(
            f'{values[name]:.3f}'
            for name in ('bits_per_dim', 'importance_weighted')
        ),
        f'{values["block_steps"]:.2f}',
        f'{values["seconds"]:.0f}',
    ])
  settings = next(iter(records.values()))['settings']
  return markdown.table(
      'noise|seed|bits/dim, mean of {draws} draws|weighted over them|'
      'steps at borders of 8x8 tiles|seconds of {train_steps} steps, start '
      'and pictures included'.format(**settings),
      rows,
  )


def squeeze(results):
  """Blocks and wavelets, a row for each run."""
  rows = []
  for record in results('squeeze'):
    settings, values = record['settings'], record['values']
    side = settings.get('image_size', 32)
    rows.append([
        f'{"photographs" if "data" in settings else "demo"}, {side}x{side}',
        str(record['seed']),
        settings['squeeze'],
        *(f'{values[name]:.3f}' for name in ('start', 'bits_per_dim')),
        f'{values["block_steps"]:.2f} ({values["block_steps_of_real"]:.2f})',
    ])
  return markdown.table(
      'images|seed|squeeze|bits/dim at step 0|after training|steps at borders '
      'of 8x8 tiles (of other real images)',
      sorted(rows),
  )


SECTIONS = {
    'squeeze': squeeze,
    'singular_values': singular_values,
    'wall_clock': wall_clock,
    'high_resolution': high_resolution,
    'fashion_mnist': fashion_mnist,
    'dequantization': dequantization,
}

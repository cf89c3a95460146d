"""Sections on other runs of training.

Each takes a function of the name of a suite that returns its records.
"""

from report import markdown
from report import runs as runs_lib

__all__ = [
    'SECTIONS', 'fashion_mnist', 'high_resolution', 'singular_values',
    'wall_clock',
]


def singular_values(results):
  """Local singular values at the end, and before training for ours."""
  runs = [runs_lib.flat(record) for record in results('singular_values')]
  rows = []
  for run in runs:
    _, values = run['log_singular_values'][-1]
    rows.append([
        run['arm'],
        *(markdown.value(x, '.2f') for x in values['held out']),
        *(markdown.value(x, '.2f') for x in values['noise']),
        _certified(run.get('log_lipschitz')),
    ])
  ours = next(run for run in runs if run['arm'] == 'ours')
  _, start = ours['log_singular_values'][0]
  before = ' '.join(markdown.value(x, '.2f') for x in start['held out'])
  table = markdown.table(
      'arm|held out: smallest|median|largest|noise: smallest|median|largest|'
      'certified of the whole flow',
      rows,
  )
  return (
      f'`python benchmarks/run.py --suites=singular_values`: '
      f'{ours["size"]}x{ours["size"]} crops, {ours["depth"]} steps a level, '
      f'after {ours["train_steps"]} steps at a learning rate of '
      f'{ours["learning_rate"]:g}; before the first one ours, which starts at '
      f'the optimum, has {before}.\n\n{table}'
  )


def _certified(parts):
  """Between what all singular values of images to latents are."""
  if parts is None or any(None in part for part in parts.values()):
    return 'none'
  forward, inverse = map(sum, zip(*parts.values(), strict=True))
  return f'{-forward:.2f} to {inverse:.2f}'


def _noise_error(run):
  """What comes back of images of noise after a run."""
  errors = run['reconstruction']
  return markdown.error(errors['noise'] if errors else None)


def wall_clock(results, suite='wall_clock'):
  """A comparison at equal time."""
  runs = [runs_lib.flat(record) for record in results(suite)]
  seconds, rows = runs[0]['limit'], []
  for run in runs:
    rows.append([
        run['arm'],
        f'{run["parameters"]:,}',
        f'{run["learning_rate"]:g}',
        f'{run["num_steps"]:,}',
        markdown.value(_at_second(run, seconds / 4)),
        markdown.value(_at_second(run, seconds / 2)),
        markdown.value(run['end']),
        _noise_error(run),
    ])
  table = markdown.table(
      f'arm|parameters|learning rate|steps|held-out bits/dim after '
      f'{seconds / 4:g} s|after {seconds / 2:g} s|at the end|'
      'round trip of noise images',
      rows,
  )
  return (
      f'`python benchmarks/run.py --suites={suite}`: {seconds / 60:g} minutes '
      f'for each arm alone on {runs[0]["machine"]}.\n\n{table}\n\n'
      f'![bits/dim against seconds](images/{suite}.png)'
  )


def _at_second(run, seconds):
  """The last evaluation before a time; making the arm counts."""
  times = [
      value
      for _, when, value in run['held_out']
      if run['setup_seconds'] + when <= seconds
  ]
  return times[-1] if times else None


def high_resolution(results, suite):
  """Large photographs of one size, beside the best circulant linear flow."""
  optimum, *runs = results(suite)
  runs, rows = [runs_lib.flat(record) for record in runs], []
  most = max(runs, key=lambda run: len(run['held_out']))
  evaluated = [step for step, _, _ in most['held_out']][1:]
  for run in runs:
    values = {step: value for step, _, value in run['held_out']}
    rows.append([
        run['arm'],
        f'{run["parameters"]:,}',
        f'{run["learning_rate"]:g}',
        markdown.value(run['start']),
        *(markdown.value(values.get(step)) for step in evaluated),
        markdown.value(run['worst_excursion'], '.2f'),
        _noise_error(run),
        f'{run["seconds"] / run["num_steps"]:.1f}',
        f'{run["peak_mib"]:,.0f}',
    ])
  steps = '|'.join(f'step {step}' for step in evaluated)
  table = markdown.table(
      f'arm|parameters|learning rate|held-out bits/dim at the start|{steps}|'
      'worst excursion|round trip of noise images|seconds a step|peak MiB',
      rows,
  )
  text = (
      '`python benchmarks/run.py --suites={suite} --photos=FOLDER`: {levels} '
      'levels of {depth} steps, batches of {batch}, {train_steps} steps. The '
      'best circulant linear flow reaches {train:.3f} bits/dim of the crops '
      'that all are trained on, and {held_out:.3f} of those held out.'
  ).format(suite=suite, **{**runs[0], **optimum['values']})
  return f'{text}\n\n{table}'


def fashion_mnist(results):
  """The recipe."""
  record = results('fashion_mnist')[-1]
  values, settings = record['values'], record['settings']
  held_out = values['held_out']
  table = markdown.table(
      'step|' + '|'.join(str(step) for step, _, _ in held_out),
      [['bits/dim of 1024 test images',
        *(f'{value:.3f}' for _, _, value in held_out)]],
  )
  text = (
      '{train_steps:,} steps of {batch_size}, {minutes:.0f} minutes on {cores} '
      'cores, evaluations included; {num_levels} levels of {num_steps} steps, '
      'width {hidden_channels}.\n\n{table}\n\n**{latest:.4f} bits/dim** of all '
      '{test_images:,} test images, mean of {draws} draws of uniform '
      'dequantisation noise ({best:.4f} with the checkpoint that was best on '
      'the 1024).{note}'
  )
  return text.format(
      **values['recipe'],
      **values['test_bits_per_dim'],
      **settings,
      test_images=values['test_images'],
      minutes=values['seconds'] / 60,
      cores=record['machine']['cores'],
      table=table,
      # What has changed since, of a run that was not made again.
      note=f' {record["note"]}' if 'note' in record else '',
  )


SECTIONS = {
    'singular_values': singular_values,
    'wall_clock': wall_clock,
    'high_resolution': high_resolution,
    'fashion_mnist': fashion_mnist,
}

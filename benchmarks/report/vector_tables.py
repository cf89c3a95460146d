"""Tables of flows of vectors; functions as those of `tables`."""

import math

from report import markdown


def vectors(results):
  """Held-out nats of flows of vectors; means over seeds."""
  found = {}
  for record in results('vectors'):
    key = record['settings']['arm'], record['settings']['dataset']
    found.setdefault(key, []).append(record['values'])
  arms, datasets = (
      list(dict.fromkeys(names)) for names in zip(*found, strict=True)
  )
  rows = []
  for arm in arms:
    row = [arm]
    for dataset in datasets:
      runs = found.get((arm, dataset), [])
      if not runs:
        row.append('')
        continue
      test, error = (
          sum(run[name] for run in runs) / len(runs)
          for name in ('test', 'error')
      )
      # Those of the processor, where they were counted: machines are shared.
      seconds = [run.get('cpu_seconds') or run['seconds'] for run in runs]
      seconds = sum(seconds) / len(seconds)
      error /= len(runs) ** 0.5
      row.append(f'{test:.2f} ± {error:.2f} ({seconds:.0f} s)')
    rows.append(row)
  return markdown.table('|'.join(['', *datasets]), rows)


def vector_rates(results):
  """Learning rates: the best and the worst held-out nats, and failures."""
  found = {}
  for record in results('vector_rates'):
    settings, values = record['settings'], record['values']
    key = settings['dataset'], settings['arm']
    found.setdefault(key, {})[settings['rate']] = values
  rows = []
  for key, own in found.items():
    finite = {
        rate: values['test']
        for rate, values in own.items()
        if values['test'] is not None and math.isfinite(values['test'])
    }
    best = max(finite, key=finite.get)
    rows.append([
        *key,
        f'{finite[best]:.2f} ± {own[best]["error"]:.2f}',
        f'{best:g}',
        f'{min(finite.values()):.2f}',
        f'{sum(not values["finite"] for values in own.values())} of {len(own)}',
    ])
  return markdown.table(
      'data|flow|best nats|at rate|at the worst rate|not finite', rows
  )


def plane(results):
  """Distances of flows from known densities."""
  found, about, entropies = {}, {}, {}
  for record in results('plane'):
    settings, values = record['settings'], record['values']
    arm, target = settings['arm'], settings['target']
    entropies[target] = values['entropy']
    about[arm] = [f'{values["parameters"]:,}', str(settings['train_steps'])]
    found[arm, target] = (
        f'{values["distance"]:.3f} ± {values["distance_error"]:.3f} '
        f'({values["cpu_seconds"]:.0f} s)'
    )
  rows = [['entropy', '', '', *(f'{x:.3f}' for x in entropies.values())]]
  rows += [
      [arm, *own, *(found.get((arm, target), '') for target in entropies)]
      for arm, own in about.items()
  ]
  return markdown.table('|'.join(['', 'parameters', 'steps', *entropies]), rows)


def inference_gym(results):
  """Surrogate posteriors: each at the rate of its highest ELBO."""
  best = {}
  for record in results('inference_gym'):
    settings, values = record['settings'], record['values']
    key = settings['target'], settings['arm']
    if values.get('elbo') is not None and (
        key not in best or values['elbo'] > best[key]['values']['elbo']
    ):
      best[key] = record
  rows = []
  for (target, arm), record in sorted(best.items(), key=lambda x: x[0][0]):
    values = record['values']
    rows.append([
        target,
        arm,
        '' if arm == 'normal' else f'{record["settings"]["rate"]:g}',
        f'{values["elbo"]:.2f} ± {values["elbo_error"]:.2f}',
        *(
            markdown.value(values[name], '.2f')
            for name in ('mean_error', 'variance_error')
        ),
        f'{values["seconds"]:.1f}',
    ])
  return markdown.table(
      'target|surrogate|rate|ELBO|means|variances|seconds', rows
  )


def inference_gym_rates(results):
  """Learning rates: ELBO, or that a loss was not finite."""
  found = {}
  for record in results('inference_gym'):
    settings, values = record['settings'], record['values']
    if values.get('finite') is None or settings['arm'] == 'normal':
      continue
    key = settings['target'], settings['arm']
    elbo = values['elbo']
    text = markdown.value(elbo, '.2f' if abs(elbo or 0.0) < 1e6 else '.1e')
    if elbo is not None and not values['finite']:
      text += ', not finite'
    found.setdefault(key, {})[settings['rate']] = text
  found = {key: own for key, own in found.items() if len(own) > 1}
  rates = sorted({rate for own in found.values() for rate in own})
  return markdown.table(
      '|'.join(['target', 'surrogate', *(f'{rate:g}' for rate in rates)]),
      [
          [*key, *(own.get(rate, '') for rate in rates)]
          for key, own in found.items()
      ],
  )


# C2ST of neural posterior estimation after 10^3, 10^4 and 10^5 simulations:
# Lueckmann et al., "Benchmarking Simulation-Based Inference" (2021).
_PUBLISHED = {
    'two_moons': (0.725, 0.606, 0.542),
    'gaussian_linear': (0.694, 0.552, 0.506),
    'bernoulli_glm': (0.863, 0.678, 0.559),
    'slcp': (0.975, 0.901, 0.831),
    'sir': (0.815, 0.680, 0.585),
    'lotka_volterra': (0.999, 0.997, 0.981),
}


def sbibm(results):
  """Posteriors of simulators: distances, likelihoods and seconds.

  A row is ours with so many steps at most; beside it is zuko's one run.
  """
  found = {}
  for record in results('sbibm'):
    settings, values = record['settings'], record['values']
    steps = settings['train_steps'] if settings['arm'] == 'ours' else None
    runs = found.setdefault((settings['simulations'], settings['task']), {})
    # A run that was compared counts more than one that was timed alone.
    if values.get('c2st') or not runs.get(steps, {}).get('c2st'):
      runs[steps] = {**values, 'of': settings.get('observations', 10)}
  rows = []
  for (simulations, task), runs in sorted(found.items()):
    published = dict(
        zip((1000, 10000, 100000), _PUBLISHED.get(task, ()), strict=False)
    )
    other = runs.pop(None, {})
    for steps, own in sorted(runs.items()):
      rows.append([
          f'`{task}`',
          str(simulations),
          str(steps),
          _distance(own),
          markdown.value(published.get(simulations), missing=''),
          *(
              markdown.value(run.get(name), spec, '')
              for name, spec in (('test', '.2f'), ('cpu_seconds', '.0f'))
              for run in (own, other)
          ),
      ])
  return markdown.table(
      'task|simulations|steps at most|C2ST: ours|published NPE|nats: ours|'
      'zuko NSF|CPU s: ours|zuko NSF',
      rows,
  )


def _distance(run):
  """The C2ST of a run, and of how many observations unless it is all ten."""
  text = markdown.value(run.get('c2st'), missing='')
  return f'{text} ({run["of"]})' if text and run['of'] < 10 else text


SECTIONS = {
    'vectors': vectors,
    'vector_rates': vector_rates,
    'plane': plane,
    'inference_gym': inference_gym,
    'inference_gym_rates': inference_gym_rates,
    'sbibm': sbibm,
}

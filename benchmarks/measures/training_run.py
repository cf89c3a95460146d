"""A short run of training of an arm; all arms see the same images.

Runs of a case with `seconds` have the whole machine, one after the other, and
what an arm computes and compiles before its first step counts; imports and
evaluations do not. With `num_threads` nothing is timed: as many arms run beside
each other as there are cores for, and the runs of an arm share its process.
"""

from concurrent import futures
import json
import os
import pathlib
import tempfile

from arms import catalogue
from harness import images
from harness import serving

_OF_IMAGES = ('data', 'image_size', 'num_train', 'num_held_out')
# What runs in one process may differ in.
_OF_RUNS = ('learning_rate', 'schedule', 'train_steps')


def measure_cases(cases, context, add):
  """See `run.py`."""
  cells = {}
  for case in cases:
    alone = case['settings']['num_threads'] is None
    left_out = () if alone else _OF_RUNS
    key = {k: v for k, v in case['settings'].items() if k not in left_out}
    cells.setdefault(json.dumps([key, case['seed']]), []).append(case)
    if case['settings']['arm'].startswith('normflows'):
      serving.python_of_peers(context.peers)
  cores = os.cpu_count()
  threads = max(c['settings']['num_threads'] or cores for c in cases)
  with (
      tempfile.TemporaryDirectory() as folder,
      futures.ThreadPoolExecutor(max(1, cores // threads)) as pool,
  ):
    written, jobs = {}, []
    for cell in cells.values():
      settings = cell[0]['settings']
      key = tuple(settings[name] for name in _OF_IMAGES)
      if key not in written:
        path = str(pathlib.Path(folder) / f'{len(written)}.npz')
        written[key] = path, images.write(path, settings, context)
      jobs.append(pool.submit(_run_cell, cell, *written[key], context, add))
    for job in futures.as_completed(jobs):
      job.result()


def _run_cell(cell, crops, channels, context, add):
  """The runs of an arm in one process."""
  settings, seed = cell[0]['settings'], cell[0]['seed']
  arm = catalogue.start(
      settings['arm'],
      {**settings, 'crops': crops, 'channels': channels, 'seed': seed},
      context,
      equal_parameters=True,
      num_threads=settings['num_threads'],
  )
  try:
    own = {
        'parameters': arm.value('num_parameters'),
        'setup_seconds': arm.value('setup_seconds'),
    }
    for case in cell:
      settings = case['settings']
      seconds = settings['seconds']
      names = ('learning_rate', 'warmup_steps', 'eval_every', 'schedule',
               'singular_values')
      answer = arm.ask(
          'run',
          **{name: settings[name] for name in names},
          num_steps=settings['train_steps'],
          seconds=seconds and seconds - own['setup_seconds'],
      )
      if answer['error']:
        raise RuntimeError(f'{settings}: {answer["error"]}')
      add(case, {**own, **answer['value'], 'peak_mib': answer['peak_mib']})
  finally:
    arm.close()

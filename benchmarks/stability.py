"""Which learning rates a flow survives, beside its peers; and what makes it so.

Each arm trains on the same crops of photographs, in the same order, with the
same noise and about as many parameters, for each learning rate, depth and seed.
Two arms at a time, one thread each: nothing is timed. Each run is a line of the
output, which is appended to: a benchmark that was cut short goes on, and
`--sizes`, `--depths`, `--arms` and `--seeds` can add to it.

  python benchmarks/stability.py --output=stability.jsonl

`results_page.py` makes tables and pictures of it.
"""

import concurrent.futures
import itertools
import json
import pathlib
import tempfile
import threading

from absl import app
from absl import flags
import peers
import photograph_crops
import stability_arms

_OUTPUT = flags.DEFINE_string('output', 'stability.jsonl', 'Lines to add to.')
_PEERS = flags.DEFINE_string(
    'peers', '.venv-peers', 'Virtual environment of normflows.'
)
_ARMS = flags.DEFINE_list('arms', None, 'Which to run; by default all.')
_SIZES = flags.DEFINE_list('sizes', ['16', '32', '64'], 'Sides of the crops.')
_DEPTHS = flags.DEFINE_list('depths', ['4', '16', '32'], 'Steps of a level.')
_SEEDS = flags.DEFINE_list('seeds', ['0', '1', '2'], 'Seeds.')
_LEARNING_RATES = flags.DEFINE_list(
    'learning_rates',
    ['3e-4', '1e-3', '3e-3', '1e-2', '3e-2', '1e-1'],
    "Adam's, after a warm-up.",
)
_TRAIN_STEPS = flags.DEFINE_integer('train_steps', 300, 'Of a run.')
_SCHEDULE = flags.DEFINE_enum(
    'schedule',
    'constant',
    ['constant', 'cosine'],
    'Of the learning rate after the warm-up.',
)
_PARALLEL = flags.DEFINE_integer('parallel', 2, 'Arms at a time.')

_WARMUP_STEPS = 50
_NUM_TRAIN, _NUM_HELD_OUT = 4096, 512
# Coarsest latents of 4 x 4 positions.
_NUM_LEVELS = {8: 1, 16: 2, 32: 3, 64: 4}

_KEY = (
    'size',
    'depth',
    'arm',
    'seed',
    'learning_rate',
    'train_steps',
    'schedule',
)


def _start(cell, crops):
  """The process of an arm.

  Args:
    cell: Dictionary: `size`, `depth`, `arm`, `seed`.
    crops: Path of the crops.

  Returns:
    `serving.Arm`.
  """
  return stability_arms.start(
      cell['arm'],
      {
          'image_size': cell['size'],
          'batch_size': stability_arms.BATCH_SIZE,
          'crops': crops,
          'seed': cell['seed'],
      },
      _NUM_LEVELS[cell['size']],
      cell['depth'],
      _PEERS.value,
      num_threads=1,
  )


class _Results:
  """The lines of the output, one for each run."""

  def __init__(self, path):
    self._path = pathlib.Path(path)
    self._lock = threading.Lock()
    self._done = set()
    if self._path.exists():
      for line in self._path.read_text(encoding='utf-8').splitlines():
        self._done.add(_key(json.loads(line)))

  def __contains__(self, run):
    return _key(run) in self._done

  def add(self, run):
    """Writes a line."""
    with self._lock, self._path.open('a', encoding='utf-8') as f:
      f.write(json.dumps(_rounded(run)) + '\n')


def _key(run):
  return tuple(run[name] for name in _KEY)


def _rounded(value):
  """Floats with six digits, anywhere in lists and dictionaries."""
  if isinstance(value, dict):
    return {k: _rounded(v) for k, v in value.items()}
  if isinstance(value, list):
    return [_rounded(v) for v in value]
  return float(f'{value:.6g}') if isinstance(value, float) else value


def _measure(cell, learning_rates, crops, results):
  """Runs an arm with each learning rate, and adds the results."""
  arm = _start(cell, crops)
  try:
    parameters = arm.ask('num_parameters')
    _check(parameters, cell)
    for learning_rate in learning_rates:
      answer = arm.ask(
          'run',
          learning_rate=learning_rate,
          warmup_steps=_WARMUP_STEPS,
          num_steps=_TRAIN_STEPS.value,
          schedule=_SCHEDULE.value,
      )
      _check(answer, cell)
      run = {
          **cell,
          'learning_rate': learning_rate,
          'train_steps': _TRAIN_STEPS.value,
          'schedule': _SCHEDULE.value,
          'parameters': parameters['value'],
          **answer['value'],
      }
      results.add(run)
      print(
          f'{cell}, {learning_rate:g}: {run["start"]:.3f} -> {run["end"]} '
          f'bits/dim in {answer["seconds"]:.0f} s',
          flush=True,
      )
  finally:
    arm.close()


def _check(answer, cell):
  if answer['error']:
    raise RuntimeError(f'{cell}: {answer["error"]}')


def main(argv):
  """Measures and writes what is missing."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  names = stability_arms.NAMES if _ARMS.value is None else _ARMS.value
  for name in names:
    if name not in stability_arms.NAMES:
      raise app.UsageError(f'--arms: there is no {name!r}.')
  peers.python_of_peers(_PEERS.value)
  results = _Results(_OUTPUT.value)
  learning_rates = [float(rate) for rate in _LEARNING_RATES.value]
  with (
      tempfile.TemporaryDirectory() as folder,
      concurrent.futures.ThreadPoolExecutor(_PARALLEL.value) as pool,
  ):
    jobs = []
    for size in map(int, _SIZES.value):
      crops = str(pathlib.Path(folder) / f'{size}.npz')
      photograph_crops.write_split_crops(
          crops, size, _NUM_TRAIN, _NUM_HELD_OUT
      )
      for depth, seed, name in itertools.product(
          map(int, _DEPTHS.value), map(int, _SEEDS.value), names
      ):
        cell = {'size': size, 'depth': depth, 'arm': name, 'seed': seed}
        missing = [
            rate
            for rate in learning_rates
            if {
                **cell,
                'learning_rate': rate,
                'train_steps': _TRAIN_STEPS.value,
                'schedule': _SCHEDULE.value,
            }
            not in results
        ]
        if missing:
          jobs.append(pool.submit(_measure, cell, missing, crops, results))
    for job in concurrent.futures.as_completed(jobs):
      job.result()


if __name__ == '__main__':
  app.run(main)

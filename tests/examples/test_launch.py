"""The scripts that start several workers, with stand-ins for all programs."""

import json
import os
import pathlib
import signal
import subprocess
import textwrap
import time

import pytest
from support import programs
import tensorflow as tf

_LAUNCH = pathlib.Path(__file__).parents[2] / 'examples' / 'launch'
# Notes how it was called; `$PYTHON_DOES` is what it does then.
_PYTHON = """
echo "$TF_CONFIG" > "$LOGS/config-$$"; echo "$@" > "$LOGS/arguments-$$"
eval "${PYTHON_DOES:-}"
"""
# The last that it writes; `summary.json` comes before it.
_EXPORTS = """
mkdir -p "$WORKDIR/saved_model/9"; touch "$WORKDIR/saved_model/9/saved_model.pb"
"""


@pytest.fixture
def world(tmp_path):
  """Environment in which `python`, `srun` and `scontrol` are stand-ins."""
  programs, logs = tmp_path / 'bin', tmp_path / 'logs'
  workdir = tmp_path / 'run'
  for folder in (programs, logs, workdir):
    folder.mkdir()
  for name, script in (
      ('python', _PYTHON),
      ('srun', 'shift; exec "$@"'),
      (
          'scontrol',
          'if [[ $1 == show ]]; then printf "node9\\nnode10\\n"; '
          'else echo "$@" > "$LOGS/requeued"; fi',
      ),
  ):
    program = programs / name
    program.write_text(f'#!/bin/bash\n{script}\n', encoding='utf-8')
    program.chmod(0o755)
  return {
      'PATH': f'{programs}:{os.environ["PATH"]}',
      'LOGS': str(logs),
      'WORKDIR': str(workdir),
      'DATA_DIR': '/images',
      'SLURM_JOB_ID': '123456',
      'SLURM_JOB_NODELIST': 'node[9-10]',
      'SLURM_NNODES': '2',
      'SLURM_PROCID': '1',
      'NUM_WORKERS': '8',
      'JOB_COMPLETION_INDEX': '3',
  }


def _logged(world, name):
  """The texts of all calls of `python`."""
  paths = sorted(pathlib.Path(world['LOGS']).glob(f'{name}-*'))
  return [path.read_text(encoding='utf-8') for path in paths]


def _cluster(monkeypatch, config):
  """Workers and own index, as TensorFlow reads them."""
  monkeypatch.setenv('TF_CONFIG', config)
  resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
  assert resolver.task_type == 'worker'
  return resolver.cluster_spec().as_dict()['worker'], resolver.task_id


def _pod():
  """The script of the container in the Kubernetes manifest."""
  text = (_LAUNCH / 'kubernetes.yaml').read_text(encoding='utf-8')
  block = text.split('            - |\n')[1].split('          resources:')[0]
  return textwrap.dedent(block)


def _wait(pod):
  return pod.wait(timeout=programs.PATIENCE)


def _start_pod(world, **more):
  return subprocess.Popen(['bash', '-c', _pod()], env={**world, **more})


def test_slurm(world, monkeypatch):
  subprocess.run(['bash', _LAUNCH / 'slurm.sh'], env=world, check=True)
  (config,) = _logged(world, 'config')
  workers, index = _cluster(monkeypatch, config)
  # The order of ranks, which is not that of the names.
  assert workers == ['node9:23456', 'node10:23456']
  assert index == 1
  (arguments,) = _logged(world, 'arguments')
  assert f'--workdir={world["WORKDIR"]} --data=/images' in arguments
  assert '--batch_size=1024' in arguments


@pytest.mark.parametrize('done', [False, True])
def test_slurm_goes_on_until_done(world, done):
  # Stopped before the export, it is not done yet.
  world['PYTHON_DOES'] = 'touch "$WORKDIR/summary.json"'
  if done:
    world['PYTHON_DOES'] += _EXPORTS
  subprocess.run(['bash', _LAUNCH / 'slurm.sh'], env=world, check=True)
  assert (pathlib.Path(world['LOGS']) / 'requeued').exists() != done


def test_slurm_does_not_repeat_errors(world):
  world['PYTHON_DOES'] = 'exit 3'
  code = subprocess.run(['bash', _LAUNCH / 'slurm.sh'], env=world).returncode
  assert code == 3
  assert not (pathlib.Path(world['LOGS']) / 'requeued').exists()


def test_kubernetes(world, monkeypatch):
  assert _wait(_start_pod(world, PYTHON_DOES=_EXPORTS)) == 0
  (config,) = _logged(world, 'config')
  workers, index = _cluster(monkeypatch, config)
  assert workers == [f'flow-{i}.flow:2222' for i in range(8)]
  assert index == 3
  (arguments,) = _logged(world, 'arguments')
  assert '--batch_size=4096' in arguments
  # A pod that is started again does nothing.
  assert _wait(_start_pod(world, PYTHON_DOES='exit 3')) == 0
  assert len(_logged(world, 'config')) == 1


def test_kubernetes_errors(world):
  assert _wait(_start_pod(world, PYTHON_DOES='exit 3')) == 3


def test_kubernetes_stopped(world):
  # The trainer saves, and ends well; but the index is not done.
  program = """
    trap 'sleep 0.5; touch "$LOGS/saved"; exit 0' TERM
    touch "$LOGS/ready"
    while true; do sleep 0.1; done
  """
  logs = pathlib.Path(world['LOGS'])
  pod = _start_pod(world, PYTHON_DOES=program)
  deadline = time.monotonic() + programs.PATIENCE
  while not (logs / 'ready').exists() and time.monotonic() < deadline:
    time.sleep(0.05)
  pod.send_signal(signal.SIGTERM)
  assert _wait(pod) == 75
  assert (logs / 'saved').exists()


def test_two_workers(world, monkeypatch):
  script = _LAUNCH / 'two_workers.sh'
  subprocess.run(
      ['bash', script, '--workdir=/tmp/two'], env=world, check=True
  )
  clusters = [_cluster(monkeypatch, c) for c in _logged(world, 'config')]
  assert clusters[0][0] == clusters[1][0]
  assert sorted(index for _, index in clusters) == [0, 1]
  for arguments in _logged(world, 'arguments'):
    assert '--strategy=multi_worker --workdir=/tmp/two' in arguments


def test_two_workers_fails_if_one_does(world):
  world['PYTHON_DOES'] = 'if [[ $TF_CONFIG == *": 1}"* ]]; then exit 3; fi'
  script = _LAUNCH / 'two_workers.sh'
  assert subprocess.run(['bash', script], env=world).returncode == 3


def test_manifest_counts_its_workers():
  text = (_LAUNCH / 'kubernetes.yaml').read_text(encoding='utf-8')
  value = text.split('name: NUM_WORKERS\n')[1].split('value: ')[1].split()[0]
  count = json.loads(json.loads(value))
  assert f'completions: {count}  # as NUM_WORKERS' in text
  assert f'parallelism: {count}\n' in text

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from support import toy_runs

import tfp_flowopt as fo
from tfp_flowopt.training import replicas
from tfp_flowopt.training import run_lock


def holder_in(workdir):
  return json.loads((workdir / 'lock.json').read_text())


def test_one_at_a_time(tmp_path):
  first, second = run_lock.RunLock(tmp_path), run_lock.RunLock(tmp_path)
  first.acquire()
  assert first.held
  assert holder_in(tmp_path)['process'] == os.getpid()
  for _ in range(2):
    with pytest.raises(
        fo.training.WorkdirInUseError, match=f'process {os.getpid()} on .*since'
    ):
      second.acquire()
  assert not second.held
  second.release()  # it has none, and takes none away
  with pytest.raises(fo.training.WorkdirInUseError):
    second.acquire()
  first.release()
  assert not list(tmp_path.iterdir())
  second.acquire()
  second.release()


def test_the_file_can_be_deleted_while_another_one_waits(tmp_path, monkeypatch):
  """Who locks a file that was deleted in the meantime has locked nothing."""
  first, second = run_lock.RunLock(tmp_path), run_lock.RunLock(tmp_path)
  first.acquire()
  flock = fcntl.flock

  def late(*arguments):
    first.release()
    return flock(*arguments)

  monkeypatch.setattr(fcntl, 'flock', late)
  second.acquire()
  assert holder_in(tmp_path)['process'] == os.getpid()
  monkeypatch.undo()
  with pytest.raises(fo.training.WorkdirInUseError):
    first.acquire()
  second.release()


def test_it_ends_with_kill_9(tmp_path):
  """The victim locks as `RunLock` does, without the time TensorFlow takes."""
  program = (
      'import fcntl, sys, time\n'
      'f = open(sys.argv[1], "w")\n'
      'fcntl.flock(f, fcntl.LOCK_EX)\n'
      'print(flush=True)\n'
      'time.sleep(600)\n'
  )
  with subprocess.Popen(
      [sys.executable, '-S', '-c', program, str(tmp_path / 'lock.json')],
      stdout=subprocess.PIPE,
  ) as victim:
    try:
      victim.stdout.readline()
      lock = run_lock.RunLock(tmp_path)
      # It has not said who it is.
      with pytest.raises(fo.training.WorkdirInUseError, match='another proc'):
        lock.acquire()
    finally:
      victim.send_signal(signal.SIGKILL)
      victim.wait()
  assert (tmp_path / 'lock.json').exists()
  lock.acquire()
  assert holder_in(tmp_path)['process'] == os.getpid()
  lock.release()


def test_a_child_does_not_keep_it(tmp_path):
  """A worker that is forked, and lives on after its parent was killed."""
  lock = run_lock.RunLock(tmp_path)
  lock.acquire()
  ready = os.pipe()
  reader, writer = os.pipe()
  child = os.fork()
  if not child:
    os.write(ready[1], b'.')
    os.close(writer)
    os.read(reader, 1)  # until the parent has seen enough
    os._exit(int(lock.held))
  os.close(reader)
  os.read(ready[0], 1)
  # As the system does when a process ends.
  lock.close()
  other = run_lock.RunLock(tmp_path)
  other.acquire()
  other.release()
  os.close(writer)
  assert os.waitpid(child, 0) == (child, 0)
  for descriptor in ready:
    os.close(descriptor)


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_there_is_a_warning(tmp_path, monkeypatch, number):
  def flock(*_):
    raise OSError(number, 'none here')

  monkeypatch.setattr(fcntl, 'flock', flock)
  lock = run_lock.RunLock(tmp_path)
  with pytest.warns(UserWarning, match='has no locks.*none here'):
    lock.acquire()
  lock.release()
  monkeypatch.setattr(run_lock, 'fcntl', None)
  with pytest.warns(UserWarning, match='has no locks'):
    lock.acquire()


def test_a_second_run_is_refused_and_the_first_goes_on(tmp_path):
  first, second = toy_runs.ToyRun(tmp_path), toy_runs.ToyRun(tmp_path)
  with first.files.lock():
    with pytest.raises(fo.training.WorkdirInUseError, match='is in use'):
      second.train()
    first.train()  # inside of a lock of one's own
    assert (tmp_path / 'lock.json').exists()
  assert not (tmp_path / 'lock.json').exists()
  # Nor may it go on from where the other one was.
  with pytest.raises(fo.training.WorkdirInUseError, match='Make a new one'):
    second.train()
  assert [int(row['step']) for row in first.rows()] == list(range(12))
  again = toy_runs.ToyRun(tmp_path)
  again.train(14)
  with pytest.raises(fo.training.WorkdirInUseError, match='Make a new one'):
    first.train(14)
  assert [int(row['step']) for row in again.rows()] == list(range(14))


def test_going_back_is_going_on(tmp_path):
  """The other one is at the same step, after going back with half the rate."""
  first = toy_runs.ToyRun(tmp_path)
  first.train(4)
  second = toy_runs.ToyRun(tmp_path)
  with second.files.lock():
    second.files.rollbacks.record(6, 4)
  with pytest.raises(fo.training.WorkdirInUseError, match='Make a new one'):
    first.train()


class Workers(replicas.Replicas):
  """A process of two, which hears what the chief has said before."""

  def __init__(self, is_chief, heard):
    super().__init__()
    self.num_processes, self.is_chief, self.heard = 2, is_chief, heard

  def broadcast(self, values):
    values = np.asarray(values, np.float64)
    if self.is_chief:
      self.heard.append(values)
      return values
    return self.heard.pop(0)


def test_all_workers_hear_that_the_chief_was_refused(tmp_path):
  heard = []
  chief = toy_runs.ToyRun(tmp_path, replicas=Workers(True, heard))
  other = toy_runs.ToyRun(tmp_path, replicas=Workers(True, []))
  other.files._replicas = Workers(False, heard)
  heard.clear()
  with toy_runs.ToyRun(tmp_path).files.lock():
    with pytest.raises(fo.training.WorkdirInUseError, match='process'):
      chief.train()
    with pytest.raises(fo.training.WorkdirInUseError, match='the chief'):
      other.train()
  assert not heard

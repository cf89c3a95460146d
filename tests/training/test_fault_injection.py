"""A short version of the benchmark of that name.

Damaged checkpoints and full disks are in `test_resuming`, SIGTERM is in
`test_interruption`, and damaged images are in `test_image_dataset` and
`test_train_image_flow`, in one process.
"""

from harness import cluster
from measures import fault_injection
import pytest
from support import programs


def start(command, outputs):
  """As `cluster.start`, of processes that find TensorFlow imported."""
  return [programs.Program(*command, output=path) for path in outputs]


@pytest.mark.slow
def test_a_killed_run_ends_like_an_unbroken_one(monkeypatch):
  monkeypatch.setattr(cluster, 'start', start)
  values = fault_injection.measure(
      {'rounds': 1, 'steps': 20, 'kinds': ['kill -9 while saving']}, 0, None
  )
  assert not fault_injection.failures(values)
  (done,) = values['rounds']
  assert 'or later, left' in done['what']

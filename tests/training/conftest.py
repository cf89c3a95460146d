"""A run that many tests look at."""

import pytest
from support import runs


@pytest.fixture
def without_pictures():
  """Drawing takes longer than these runs, and is tested by `straight`."""
  with runs.no_pictures():
    yield


@pytest.fixture(scope='session')
def straight(tmp_path_factory):
  """An uninterrupted run."""
  workdir = tmp_path_factory.mktemp('straight')
  trainer, distribution = runs.make_trainer(workdir)
  summary = trainer.train()
  return workdir, summary, runs.weights(distribution)


@pytest.fixture(scope='session')
def simple(tmp_path_factory):
  """The same of a flow whose density is a stand-in."""
  workdir = tmp_path_factory.mktemp('simple')
  trainer, distribution = runs.make_simple_trainer(workdir)
  with runs.no_pictures():
    summary = trainer.train()
  return workdir, summary, runs.weights(distribution)

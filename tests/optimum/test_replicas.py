"""The optimum of data that several replicas read."""

from harness import cluster
import numpy as np
import pytest
from support import programs

import tfp_flowopt as fo

PROGRAM = programs.ROOT / 'tests' / 'support' / 'replicas.py'


@pytest.fixture
def batches(rng):
  """Seven, of sizes and means of their own."""
  return [
      (rng.normal(size=(n, 4, 5, 2)) + [n, 1e3]).astype(np.float64)
      for n in (3, 1, 8, 5, 2, 9, 4)
  ]


def start(path, output, structure, mirrored, **environment):
  return programs.Program(
      PROGRAM, path, output, structure, mirrored, **environment
  )


def check(output, batches, structure, replicas_here):
  want = fo.likelihood_optimum(np.concatenate(batches), structure)
  log_likelihood = want.log_likelihood
  with np.load(output) as got:
    np.testing.assert_allclose(
        got['log_likelihood'], log_likelihood, rtol=1e-9
    )
    np.testing.assert_allclose(got['restored'], log_likelihood, rtol=1e-9)
    assert got['inside'].shape == (replicas_here,)
    np.testing.assert_allclose(got['inside'], log_likelihood, rtol=1e-9)
    assert got['count'] == sum(map(len, batches))
    np.testing.assert_allclose(
        got['eigenvalues'], want.eigenvalues, rtol=1e-9
    )
    assert 'all_reduce' in str(got['early'])
    assert 'scope' in str(got['refused'])


# In a process each: what strategies add up has numbers, which begin anew with
# each strategy, and devices keep those of an earlier one.
@pytest.mark.parametrize(
    'structure, num_replicas', [('dense', 2), ('circulant', 4)]
)
def test_mirrored(batches, structure, num_replicas, tmp_path):
  if structure == 'dense':
    batches = [batch[:, 0].reshape(len(batch), -1) for batch in batches]
  np.savez(tmp_path / 'data.npz', *batches)
  output = tmp_path / 'output.npz'
  run = start(tmp_path / 'data.npz', output, structure, num_replicas)
  text, _ = run.communicate()
  assert run.returncode == 0, text
  check(output, batches, structure, num_replicas)


def test_two_workers(batches, tmp_path):
  np.savez(tmp_path / 'data.npz', *batches)
  outputs = [tmp_path / f'{i}.npz' for i in range(2)]
  runs = [
      start(tmp_path / 'data.npz', output, 'circulant', 0, **environment)
      for output, environment in zip(
          outputs, cluster.environments(2), strict=True
      )
  ]
  for run in runs:
    text, _ = run.communicate()
    assert run.returncode == 0, text
  for output in outputs:
    check(output, batches, 'circulant', 1)

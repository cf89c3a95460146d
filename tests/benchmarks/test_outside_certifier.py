"""The measure of constants beside those of another certifier."""

import types

from harness import serving
from measures import outside_certifier
import numpy as np
import pytest


class Products:
  """Stands for the other certifier: the product of the norms."""

  def __init__(self, *arguments):
    del arguments

  def value(self, command, kernels, method):
    assert (command, method) == ('estimate', 'product')
    norms = [np.linalg.norm(kernel, 2) for kernel in kernels]
    return {'constant': np.prod(norms), 'seconds': 0.0}

  def close(self):
    pass


def test_ours_is_the_product_of_the_norms_and_above_what_is_found(
    monkeypatch,
):
  monkeypatch.setattr(serving, 'Arm', Products)
  monkeypatch.setattr(serving, 'python_of_eclipse', lambda peers: peers)
  settings = {
      'width': 6, 'num_hidden_layers': 2, 'trained': 20, 'methods': ['product']
  }
  context = types.SimpleNamespace(peers='nowhere')
  found = outside_certifier.measure(settings, 0, context)
  assert found['ours'] == pytest.approx(found['product'], rel=1e-3)
  assert found['product'] <= found['ours']
  assert 0.1 < found['measured'] <= found['ours']

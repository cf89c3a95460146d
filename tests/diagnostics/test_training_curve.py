"""Scale and order of the curve of a run."""

import numpy as np

import tfp_flowopt as fo
from tfp_flowopt.diagnostics import figures


def drawn(monkeypatch, train, held_out=((0, 3.0), (99, 2.0))):
  """The axes, and the names in the legend."""
  found = []
  monkeypatch.setattr(figures, 'save', lambda figure, _: found.append(figure))
  fo.diagnostics.plot_training_curve('curve.png', train, held_out)
  (axes,) = found[0].axes
  return axes, [line.get_label() for line in axes.get_lines()]


def falling(num=100):
  return [(step, 2.0 + np.exp(-step / 20)) for step in range(num)]


def test_a_single_batch_sets_no_scale(monkeypatch):
  for wrong in (1e6, -1e6):
    train = falling()
    train[50] = (50, wrong)
    low, high = drawn(monkeypatch, train)[0].get_ylim()
    assert 1.5 < low < 2.0 and 3.0 < high < 3.5


def test_what_rises_is_in_the_picture(monkeypatch):
  """A run that begins high, and one that ends there."""
  train = falling()
  train[0] = (0, 40.0)
  assert drawn(monkeypatch, train)[0].get_ylim()[1] > 40.0
  train = falling()
  train[-10:] = [(step, 30.0) for step in range(90, 100)]
  assert drawn(monkeypatch, train)[0].get_ylim()[1] > 30.0
  axes, _ = drawn(monkeypatch, [(0, 2.0)] * 3, [(0, 2.0)])
  assert axes.get_ylim()[0] < 2.0 < axes.get_ylim()[1]


def test_steps_in_any_order(monkeypatch):
  axes, names = drawn(monkeypatch, falling()[::-1], [(99, 2.0), (0, 3.0)])
  assert all(np.all(np.diff(line.get_xdata()) >= 0) for line in axes.lines[:3])
  assert names[1:3] == [
      'training batches (step 0: 3.00)',
      'held-out images (step 0: 3.00, step 99: 2.00)',
  ]

"""Rows of images in a picture."""

import numpy as np

import tfp_flowopt as fo
from tfp_flowopt.diagnostics import figures


def test_all_images_of_all_rows_are_drawn(tmp_path, monkeypatch):
  made, new_figure = [], figures.new_figure

  def kept(*args):
    made.append(new_figure(*args))
    return made[-1]

  monkeypatch.setattr(figures, 'new_figure', kept)
  rows = [
      (f'{num} images', np.zeros([num, 2, 2, 3], np.uint8)) for num in (3, 8, 1)
  ]
  fo.diagnostics.plot_samples(tmp_path / 'samples.png', rows)
  (axes,) = made[0].axes
  assert len(axes.images) == 12
  # The last one of the longest row is not cut off.
  assert axes.get_xlim()[1] > 7.5

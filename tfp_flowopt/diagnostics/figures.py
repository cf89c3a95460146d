"""Figures, without a display. They need matplotlib (the `[plot]` extra)."""

from tfp_flowopt.internal import arguments

__all__ = ['DPI', 'HELD_OUT', 'TRAIN', 'new_figure', 'save']

DPI = 100
# Colours.
TRAIN, HELD_OUT = '#4c78a8', '#e45756'


def new_figure(width, height):
  """A figure of a size in inches."""
  # Imported here: the library works without it, and it takes a second.
  from matplotlib.backends import backend_agg
  from matplotlib.figure import Figure

  # No pyplot: it keeps global state and picks a display.
  figure = Figure(figsize=(width, height), layout='constrained')
  backend_agg.FigureCanvasAgg(figure)
  return figure


def save(figure, path):
  """Writes a figure, as a PNG file."""
  for axes in figure.axes:
    axes.spines[['top', 'right']].set_visible(False)
  figure.savefig(arguments.check_path('path', path), dpi=DPI)

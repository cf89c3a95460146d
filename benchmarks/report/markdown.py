"""Tables and cells in Markdown."""

import math


def table(header, rows):
  """A table; the header is a string with `|` between the cells."""
  header = header.split('|')
  lines = [f'| {" | ".join(row)} |' for row in (header, *rows)]
  return '\n'.join([lines[0], '|' + '---|' * len(header), *lines[1:]])


def columns(cells, names, items, *more):
  """A table of items.

  Args:
    cells: Dictionary from names of columns to functions of an item.
    names: Those wanted, with `|` between them; a name may be one of `more`.
    items: A row each.
    *more: Pairs as in `cells`, of this table alone.

  Returns:
    Text, without a last newline.
  """
  cells = {**cells, **dict(more)}
  rows = [[cells[name](x) for name in names.split('|')] for x in items]
  return table(names, rows)


def value(x, spec='.3f', missing='not finite'):
  """A number; something else for one that is not finite or missing."""
  return format(x, spec) if x is not None and math.isfinite(x) else missing


def mean_and_range(values, spec):
  """The mean of numbers, and the lowest and the highest if there are more."""
  mean = format(sum(values) / len(values), spec)
  if len(values) == 1:
    return mean
  return f'{mean} ({min(values):{spec}} to {max(values):{spec}})'


def error(x):
  """A reconstruction error."""
  return value(x, '.1e')

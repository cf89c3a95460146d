"""Constants of networks of ReLU, beside those of another certifier."""

from report import markdown


def table(results):
  """A row for each network."""
  rows = []
  for record in results('outside_certifier'):
    settings, values = record['settings'], record['values']
    trained = settings['trained']
    rows.append([
        f"{settings['num_hidden_layers']} of {settings['width']}",
        f'{trained} steps' if trained else 'as it starts',
        f"{values['measured']:.3f}",
        _cell(values, 'ECLipsE'),
        _cell(values, 'ECLipsE_Fast'),
        _cell(values, 'ours'),
    ])
  return markdown.table(
      'hidden layers|trained|found at least|ECLipsE|ECLipsE-Fast|ours', rows
  )


def _cell(values, name):
  """A constant and its seconds."""
  if values.get(name) is None:
    return 'not run'
  return f"{values[name]:.3f} ({values[f'{name} seconds']:.2f} s)"


SECTIONS = {'outside_certifier': table}

"""Sections of docs/scaling.md.

Each takes a function of the name of a suite that returns its records.
"""

from report import markdown
from report import runs as runs_lib

_COSTS = (
    ('weights', '{parameters:,} in {num_variables} variables'),
    ('memory of weights, Adam, averages (MB)',
     '{mb:.0f} + {twice:.0f} + {mb:.0f}'),
    ('gradients that are all-reduced, float32 (MB)', '{mb:.0f}'),
    ('GFLOP for an image of 256x256', '{flops_per_image:.3g}'),
    ('GB read and written for it', '{bytes_per_image:.1f}'),
    ('GFLOP of weights, whatever the batch', '{flops_of_weights:.0f}'),
    ('GB of weights', '{bytes_of_weights:.1f}'),
    ('operations that a device runs', '{counted[operations]:,}'),
)


def _flow(results, width):
  """Values of the flow of a width."""
  found = runs_lib.newest(results('scaling'), 'hidden_channels')
  return found[width,]['values']


def costs(results):
  """What a step costs."""
  flows = []
  for width in (64, 512):
    flow = _flow(results, width)
    mb = 4 * flow['parameters'] / 1e6
    giga = {name: number / 1e9 for name, number in flow['counted'].items()}
    flows.append({**giga, **flow, 'mb': mb, 'twice': 2 * mb})
  return markdown.table(
      '|width 64|width 512',
      [[name, *map(cell.format_map, flows)] for name, cell in _COSTS],
  )


def _steps(results, kind, *columns):
  """Rows for each number of GPUs; columns have a width, a size and cells."""
  cells = []
  for width, size, text in columns:
    steps = _flow(results, width)['predicted'][size][kind]
    for step in steps:
      for name in ('step', 'waiting', 'all_reduce'):
        step[f'{name}_ms'] = 1e3 * step[f'{name}_seconds']
    cells.append([text.format_map(step) for step in steps])
  return ['|'.join(row).split('|') for row in zip(*cells, strict=True)]


def fixed_for_each(results):
  """Steps with a fixed batch for each GPU."""
  rate, efficiency = '{images_per_second:,.0f}', '{efficiency:.2f}'
  return markdown.table(
      'GPUs|step ms, width 64|of that waiting, all-reduce|images/s at 256|'
      'at 1024|efficiency|width 512: step ms|images/s at 256|at 1024|'
      'efficiency',
      _steps(
          results,
          'fixed_for_each',
          (64, '256', '{gpus:,}|{step_ms:.0f}|'
           '{waiting_ms:.0f}, {all_reduce_ms:.1f}|' + rate),
          (64, '1024', rate),
          (64, '256', efficiency),
          (512, '256', '{step_ms:.0f}|' + rate),
          (512, '1024', rate),
          (512, '256', efficiency),
      ),
  )


def fixed_for_all(results):
  """Steps with a fixed batch for all GPUs."""
  rate, efficiency = '{images_per_second:,.0f}', '{efficiency:.2f}'
  return markdown.table(
      'GPUs|images on each|width 64, 256: images/s|efficiency|'
      'width 64, 1024: images/s|efficiency|width 512, 256: efficiency|'
      'width 512, 1024: efficiency',
      _steps(
          results,
          'fixed_for_all',
          (64, '256', f'{{gpus:,}}|{{local_batch:,}}|{rate}|{efficiency}'),
          (64, '1024', f'{rate}|{efficiency}'),
          (512, '256', efficiency),
          (512, '1024', efficiency),
      ),
  )


def sensitivity(results):
  """What else could be true."""
  found = _flow(results, 64)['predicted']['256']['sensitivity']
  return markdown.table(
      'if|efficiency|step of one GPU, ms',
      [
          [x['change'], f'{x["weak"]:.2f}', f'{1e3 * x["step_seconds"]:.0f}']
          for x in found
      ],
  )


SECTIONS = {
    'scaling_costs': costs,
    'scaling_fixed_for_each': fixed_for_each,
    'scaling_fixed_for_all': fixed_for_all,
    'scaling_sensitivity': sensitivity,
}

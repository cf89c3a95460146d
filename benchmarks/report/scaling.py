"""Sections of docs/scaling.md.

Each takes a function of the name of a suite that returns its records.
"""

from report import markdown
from report import runs as runs_lib

__all__ = ['SECTIONS']


def _flow(results, width):
  """Values of the flow of a width."""
  found = runs_lib.newest(results('scaling'), 'hidden_channels')
  return found[width,]['values']


def costs(results):
  """What a step costs."""
  rows = [
      ['weights'],
      ['memory of weights, Adam, averages (MB)'],
      ['gradients that are all-reduced, float32 (MB)'],
      ['GFLOP for an image of 256x256'],
      ['GB read and written for it'],
      ['GFLOP of weights, whatever the batch'],
      ['GB of weights'],
      ['operations that a device runs'],
  ]
  for width in (64, 512):
    flow = _flow(results, width)
    counted, mb = flow['counted'], 4 * flow['parameters'] / 1e6
    for row, cell in zip(rows, (
        f'{flow["parameters"]:,} in {flow["num_variables"]} variables',
        f'{mb:.0f} + {2 * mb:.0f} + {mb:.0f}',
        f'{mb:.0f}',
        f'{counted["flops_per_image"] / 1e9:.3g}',
        f'{counted["bytes_per_image"] / 1e9:.1f}',
        f'{counted["flops_of_weights"] / 1e9:.0f}',
        f'{counted["bytes_of_weights"] / 1e9:.1f}',
        f'{counted["operations"]:,}',
    ), strict=True):
      row.append(cell)
  return markdown.table('|width 64|width 512', rows)


def _steps(results, kind):
  """For each number of GPUs: steps of (64, 256), (64, 1024), (512, 256), ..."""
  return zip(
      *(
          _flow(results, width)['predicted'][size][kind]
          for width in (64, 512)
          for size in ('256', '1024')
      ),
      strict=True,
  )


def fixed_for_each(results):
  """Steps with a fixed batch for each GPU."""
  rows = []
  for a, b, c, d in _steps(results, 'fixed_for_each'):
    rows.append([
        f'{a["gpus"]:,}',
        f'{1e3 * a["step_seconds"]:.0f}',
        f'{1e3 * a["waiting_seconds"]:.0f}, '
        f'{1e3 * a["all_reduce_seconds"]:.1f}',
        *(f'{step["images_per_second"]:,.0f}' for step in (a, b)),
        f'{a["efficiency"]:.2f}',
        f'{1e3 * c["step_seconds"]:.0f}',
        *(f'{step["images_per_second"]:,.0f}' for step in (c, d)),
        f'{c["efficiency"]:.2f}',
    ])
  return markdown.table(
      'GPUs|step ms, width 64|of that waiting, all-reduce|images/s at 256|'
      'at 1024|efficiency|width 512: step ms|images/s at 256|at 1024|'
      'efficiency',
      rows,
  )


def fixed_for_all(results):
  """Steps with a fixed batch for all GPUs."""
  rows = []
  for a, b, c, d in _steps(results, 'fixed_for_all'):
    rows.append([
        f'{a["gpus"]:,}',
        f'{a["local_batch"]:,}',
        f'{a["images_per_second"]:,.0f}',
        f'{a["efficiency"]:.2f}',
        f'{b["images_per_second"]:,.0f}',
        *(f'{step["efficiency"]:.2f}' for step in (b, c, d)),
    ])
  return markdown.table(
      'GPUs|images on each|width 64, 256: images/s|efficiency|'
      'width 64, 1024: images/s|efficiency|width 512, 256: efficiency|'
      'width 512, 1024: efficiency',
      rows,
  )


def sensitivity(results):
  """What else could be true."""
  found = _flow(results, 64)['predicted']['256']['sensitivity']
  rows = [
      [x['change'], f'{x["weak"]:.2f}', f'{1e3 * x["step_seconds"]:.0f}']
      for x in found
  ]
  return markdown.table('if|efficiency|step of one GPU, ms', rows)


SECTIONS = {
    'scaling_costs': costs,
    'scaling_fixed_for_each': fixed_for_each,
    'scaling_fixed_for_all': fixed_for_all,
    'scaling_sensitivity': sensitivity,
}

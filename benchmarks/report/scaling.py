"""Sections of docs/scaling.md.

Each takes a function of the name of a suite that returns its records.
"""

from report import markdown

__all__ = ['SECTIONS']


def _flows(results):
  """Values of the flow of width 64, and of 512."""
  flows = {
      r['settings']['hidden_channels']: r['values'] for r in results('scaling')
  }
  return flows[64], flows[512]


def costs(results):
  """What a step costs."""
  flows = _flows(results)

  def row(title, text):
    return [title, *(text(f, f['counted'], 4 * f['parameters'] / 1e6)
                     for f in flows)]

  return markdown.table('|width 64|width 512', [
      row('weights', lambda f, c, mb: (
          f'{f["parameters"]:,} in {f["num_variables"]} variables')),
      row('memory of weights, Adam, averages (MB)', lambda f, c, mb: (
          f'{mb:.0f} + {2 * mb:.0f} + {mb:.0f}')),
      row('gradients that are all-reduced, float32 (MB)',
          lambda f, c, mb: f'{mb:.0f}'),
      row('GFLOP for an image of 256x256', lambda f, c, mb: (
          f'{c["flops_per_image"] / 1e9:.3g}')),
      row('GB read and written for it', lambda f, c, mb: (
          f'{c["bytes_per_image"] / 1e9:.1f}')),
      row('GFLOP of weights, whatever the batch', lambda f, c, mb: (
          f'{c["flops_of_weights"] / 1e9:.0f}')),
      row('GB of weights', lambda f, c, mb: (
          f'{c["bytes_of_weights"] / 1e9:.1f}')),
      row('operations that a device runs', lambda f, c, mb: (
          f'{c["operations"]:,}')),
  ])


def _steps(flow, size, kind):
  return flow['predicted'][size][kind]


def fixed_for_each(results):
  """Steps with a fixed batch for each GPU."""
  narrow, wide = _flows(results)
  rows = []
  for a, b, c, d in zip(
      *(_steps(flow, size, 'fixed_for_each')
        for flow in (narrow, wide) for size in ('256', '1024')),
      strict=True,
  ):
    rows.append([
        f'{a["gpus"]:,}',
        f'{1e3 * a["step_seconds"]:.0f}',
        f'{1e3 * a["waiting_seconds"]:.0f}, '
        f'{1e3 * a["all_reduce_seconds"]:.1f}',
        f'{a["images_per_second"]:,.0f}',
        f'{b["images_per_second"]:,.0f}',
        f'{a["efficiency"]:.2f}',
        f'{1e3 * c["step_seconds"]:.0f}',
        f'{c["images_per_second"]:,.0f}',
        f'{d["images_per_second"]:,.0f}',
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
  narrow, wide = _flows(results)
  rows = []
  for a, b, c, d in zip(
      *(_steps(flow, size, 'fixed_for_all')
        for flow in (narrow, wide) for size in ('256', '1024')),
      strict=True,
  ):
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
  narrow, _ = _flows(results)
  return markdown.table('if|efficiency|step of one GPU, ms', [
      [
          row['change'],
          f'{row["weak"]:.2f}',
          f'{1e3 * row["step_seconds"]:.0f}',
      ]
      for row in _steps(narrow, '256', 'sensitivity')
  ])


SECTIONS = {
    'scaling_costs': costs,
    'scaling_fixed_for_each': fixed_for_each,
    'scaling_fixed_for_all': fixed_for_all,
    'scaling_sensitivity': sensitivity,
}

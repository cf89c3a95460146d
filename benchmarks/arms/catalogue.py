"""The arms by name: ours, its ablations, and peers."""

import sys

from harness import serving

# Wider by so much, by side of the images, a peer has within 5 % as many
# parameters as ours of width 64, at any number of steps.
_WIDER = {
    'tfb_glow.py': {32: 4, 64: 9},
    'normflows_glow.py': {64: 5},
}
_INFINITY = float('inf')


def _ours(flow=(), **settings):
  return 'flowopt.py', {**settings, 'flow': dict(flow)}


def _peer(program, **settings):
  return f'{program}_glow.py', settings


# What is compared in training runs.
_ARMS = {
    'ours': _ours(),
    'ours budget 4': _ours({'lipschitz_budget': 4.0}),
    'ours budget 2': _ours({'lipschitz_budget': 2.0}),
    'ours from ActNorm': _ours(act_norm=True),
    # Each layer has constants; there is no budget for the whole.
    'ours without budget': _ours({'lipschitz_budget': None}),
    'ours unbounded': _ours({
        'lipschitz_budget': None, 'scale_bound': 10.0, 'tail_bound': 1e4,
        'conditioner_lipschitz': _INFINITY, 'log_range': 10.0,
    }),
    'ours unclipped': _ours(clip_norm=None),
    'ours without scalings': _ours({'tile_sizes': ()}),
    'tfb.Glow': _peer('tfb'),
    'tfb.Glow unclipped': _peer('tfb', clip_norm=None),
    'normflows': _peer('normflows'),
    'normflows unclipped': _peer('normflows', clip_norm=None),
    'normflows exp': _peer('normflows', scale_map='exp'),
    'normflows exp unclipped': _peer(
        'normflows', scale_map='exp', clip_norm=None
    ),
}
NAMES = list(_ARMS)
# For images of a common layout.
_ARMS['ours whole without budget'] = _ours(
    {'lipschitz_budget': None, 'whitening': 'dense'}, init_images=20000
)
# Variants whose speed and memory is compared.
_ARMS |= {
    'ours reversible': _ours({'memory': 'reversible'}),
    'ours stored': _ours({'memory': 'stored'}),
    'ours unrolled': _ours({'memory': 'unrolled'}),
    'ours stored without scalings': _ours(
        {'memory': 'stored', 'tile_sizes': ()}
    ),
    'ours bfloat16': _ours({'memory': 'unrolled', 'compute_dtype': 'bfloat16'}),
    # The training step alone is compiled by it.
    'ours XLA': _ours({'memory': 'reversible'}, jit_compile=True),
    'ours plain kernels': _ours(
        {'lipschitz_budget': None, 'conditioner_lipschitz': _INFINITY}
    ),
}
# With this at the end of a name, the curves of `MarginalGaussianization` come
# between images and flow; not for normflows, which has no TensorFlow.
_CURVES = ' with curves'


def start(name, settings, context, equal_parameters=False, num_threads=None):
  """Starts the process of an arm.

  Args:
    name: One of those above, maybe with ' with curves'.
    settings: Of `short_run.Model`.
    context: Of `run.py`, for the virtual environment of normflows.
    equal_parameters: Whether peers are a little wider.
    num_threads: As for `serving.Arm`.

  Returns:
    `serving.Arm`.

  Raises:
    ValueError: If there is no such arm.
  """
  curves, name = name.endswith(_CURVES), name.removesuffix(_CURVES)
  if name not in _ARMS:
    raise ValueError(f'There is no arm {name!r}.')
  program, own = _ARMS[name]
  settings = {**settings, **own, 'curves': curves}
  python = sys.executable
  if program == 'flowopt.py':
    shape = ('num_levels', 'num_steps', 'hidden_channels')
    settings['flow'] = {
        **{key: settings[key] for key in shape},
        'gaussianize_marginals': curves,
        **own['flow'],
    }
  elif equal_parameters:
    wider = _WIDER[program].get(settings['image_size'], 0)
    settings['hidden_channels'] += wider
  if program == 'normflows_glow.py':
    python = serving.python_of_peers(context.peers)
  return serving.Arm(python, program, settings, num_threads)

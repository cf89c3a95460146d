"""The arms by name: ours, its ablations, and peers."""

import sys

from harness import serving

__all__ = ['NAMES', 'start']

# Wider by so much, by side of the images, a peer has within 5 % as many
# parameters as ours of width 64, at any number of steps.
_WIDER = {
    'tfb_glow.py': {32: 4, 64: 9},
    'normflows_glow.py': {64: 5},
}

_OURS = {
    'ours': {},
    'ours budget 4': {'flow': {'lipschitz_budget': 4.0}},
    'ours budget 2': {'flow': {'lipschitz_budget': 2.0}},
    'ours from ActNorm': {'act_norm': True},
    # Each layer has constants; there is no budget for the whole.
    'ours without budget': {'flow': {'lipschitz_budget': None}},
    'ours unbounded': {
        'flow': {
            'lipschitz_budget': None,
            'scale_bound': 10.0,
            'tail_bound': 1e4,
            'conditioner_lipschitz': float('inf'),
            'log_range': 10.0,
        }
    },
    'ours unclipped': {'clip_norm': None},
    'ours without scalings': {'flow': {'tile_sizes': ()}},
}
_PEERS = {
    'tfb.Glow': ('tfb_glow.py', {}),
    'tfb.Glow unclipped': ('tfb_glow.py', {'clip_norm': None}),
    'normflows': ('normflows_glow.py', {}),
    'normflows unclipped': ('normflows_glow.py', {'clip_norm': None}),
    'normflows exp': ('normflows_glow.py', {'scale_map': 'exp'}),
    'normflows exp unclipped': (
        'normflows_glow.py',
        {'scale_map': 'exp', 'clip_norm': None},
    ),
}
# What is compared in training runs.
NAMES = [*_OURS, *_PEERS]
# Variants whose speed and memory is compared.
_VARIANTS = {
    'ours reversible': {'flow': {'memory': 'reversible'}},
    'ours stored': {'flow': {'memory': 'stored'}},
    'ours stored without scalings': {
        'flow': {'memory': 'stored', 'tile_sizes': ()}
    },
    'ours bfloat16': {
        'flow': {'memory': 'stored', 'compute_dtype': 'bfloat16'}
    },
    # The training step alone is compiled by it.
    'ours XLA': {
        'flow': {'memory': 'reversible'},
        'jit_compile': True,
    },
    'ours plain kernels': {
        'flow': {
            'lipschitz_budget': None,
            'conditioner_lipschitz': float('inf'),
        }
    },
}
# With this at the end of a name, the curves of `MarginalGaussianization` come
# between images and flow; not for normflows, which has no TensorFlow.
_CURVES = ' with curves'


def start(name, settings, context, equal_parameters=False, num_threads=None):
  """Starts the process of an arm.

  Args:
    name: One of those above, maybe with ' with curves'.
    settings: `image_size`, `batch_size`, `crops` (path of an .npz file),
      `seed`, `num_levels`, `num_steps`, `hidden_channels`; optional:
      `channels` (3), `learning_rate` of steps that are only timed.
    context: Of `run.py`, for the virtual environment of normflows.
    equal_parameters: Whether peers are a little wider.
    num_threads: As for `serving.Arm`.

  Returns:
    `serving.Arm`.

  Raises:
    ValueError: If there is no such arm.
  """
  curves, name = name.endswith(_CURVES), name.removesuffix(_CURVES)
  own = {**_OURS, **_VARIANTS}.get(name)
  if own is not None:
    shape = ('num_levels', 'num_steps', 'hidden_channels')
    flow = {
        **{key: settings[key] for key in shape},
        'gaussianize_marginals': curves,
        **own.get('flow', {}),
    }
    settings = {**settings, **own, 'flow': flow}
    return serving.Arm(sys.executable, 'flowopt.py', settings, num_threads)
  if name not in _PEERS:
    raise ValueError(f'There is no arm {name!r}.')
  program, own = _PEERS[name]
  python = sys.executable
  if program == 'normflows_glow.py':
    python = serving.python_of_peers(context.peers)
  settings = {**settings, **own, 'curves': curves}
  if equal_parameters:
    wider = _WIDER[program].get(settings['image_size'], 0)
    settings['hidden_channels'] += wider
  return serving.Arm(python, program, settings, num_threads)

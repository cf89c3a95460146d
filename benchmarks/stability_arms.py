"""The arms that are trained side by side: ours, its ablations, and peers."""

import sys

import peers
import serving

__all__ = ['BATCH_SIZE', 'NAMES', 'start']

BATCH_SIZE = 32
_HIDDEN_CHANNELS = 64
# Wider by so much, by side of the images, a peer has within 5 % as many
# parameters as ours, at any number of steps.
_WIDER = {
    'tfb_glow.py': {32: 4, 64: 9},
    'normflows_glow.py': {64: 5},
}
_INIT_IMAGES = 4096

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
NAMES = [*_OURS, *_PEERS]
# With this at the end of a name, the curves of `MarginalGaussianization` come
# between images and flow; not for normflows, which has no TensorFlow.
_CURVES = ' with curves'


def start(
    name, settings, num_levels, num_steps, peers_path, num_threads=None
):
  """Starts the process of an arm.

  Args:
    name: One of `NAMES`, maybe with ' with curves'.
    settings: `image_size`, `batch_size`, `crops`, `seed`; optional: `channels`
      (3), `init_images` (4096), of which ours is initialised.
    num_levels: Number of resolutions.
    num_steps: Flow steps of a level.
    peers_path: Directory of the virtual environment of normflows.
    num_threads: As for `serving.Arm`.

  Returns:
    `serving.Arm`.
  """
  architecture = {
      'num_levels': num_levels,
      'num_steps': num_steps,
      'hidden_channels': _HIDDEN_CHANNELS,
  }
  curves, name = name.endswith(_CURVES), name.removesuffix(_CURVES)
  if name in _OURS:
    own = dict(_OURS[name])
    architecture['gaussianize_marginals'] = curves
    settings = {
        # The peers' initialisation takes one batch, in their first step.
        'init_images': _INIT_IMAGES,
        **settings,
        'flow': {**architecture, **own.pop('flow', {})},
        **own,
    }
    return serving.Arm(sys.executable, 'flowopt.py', settings, num_threads)
  program, own = _PEERS[name]
  python = (
      sys.executable
      if program == 'tfb_glow.py'
      else peers.python_of_peers(peers_path)
  )
  if curves:
    own = {**own, 'curves': True}
  architecture['hidden_channels'] += _WIDER[program].get(
      settings['image_size'], 0
  )
  settings = {**settings, **architecture, **own}
  return serving.Arm(python, program, settings, num_threads)

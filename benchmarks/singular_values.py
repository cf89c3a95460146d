"""Local singular values of flows while they are trained.

The Jacobian of the normalising map, images to latents, at an image that is held
out and at one of noise, whole, from as many vector-Jacobian products; all its
singular values in float64. At a learning rate at which none of the arms fails,
but close to it.

  python benchmarks/singular_values.py --output=singular_values.json

`results_page.py` makes a picture of it.
"""

import pathlib
import tempfile

from absl import app
from absl import flags
import arm_runs
import machine
import photograph_crops
import stability_arms

_OUTPUT = flags.DEFINE_string('output', 'singular_values.json', 'JSON.')
_PEERS = flags.DEFINE_string(
    'peers', '.venv-peers', 'Virtual environment of normflows.'
)
_ARMS = flags.DEFINE_list(
    'arms',
    [
        f'{name}=1e-2'
        for name in (
            'ours',
            'ours unbounded',
            'tfb.Glow',
            'normflows',
            'normflows exp',
        )
    ],
    'Arms and their learning rates.',
)
_TRAIN_STEPS = flags.DEFINE_integer('train_steps', 300, 'Training steps.')
_EVAL_EVERY = flags.DEFINE_integer('eval_every', 50, 'Steps.')
# The size and depth of stability.py's first table.
_IMAGE_SIZE, _NUM_LEVELS, _NUM_STEPS = 16, 2, 4


def main(argv):
  """Measures and writes what is missing."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  with tempfile.TemporaryDirectory() as folder:
    path = str(pathlib.Path(folder) / 'crops.npz')
    photograph_crops.write_split_crops(path, _IMAGE_SIZE, 4096, 512)
    arm_runs.add_runs(
        _OUTPUT.value,
        {
            'machine': machine.description(),
            'image_size': _IMAGE_SIZE,
            'num_levels': _NUM_LEVELS,
            'num_steps': _NUM_STEPS,
            'train_steps': _TRAIN_STEPS.value,
        },
        _ARMS.value,
        {
            'image_size': _IMAGE_SIZE,
            'batch_size': stability_arms.BATCH_SIZE,
            'crops': path,
            'seed': 0,
        },
        _NUM_LEVELS,
        _NUM_STEPS,
        _PEERS.value,
        lambda _: {
            'num_steps': _TRAIN_STEPS.value,
            'eval_every': _EVAL_EVERY.value,
            'singular_values': True,
        },
    )


if __name__ == '__main__':
  app.run(main)

"""How close the claimed operator norms of convolutions are to the truth.

For a set of 3x3 kernels, from 3 to 512 channels, the ratio claim / truth of

* `operator_norm_bound`, a certificate: never below 1;
* its `method='power'`, labelled an estimate;
* Keras' `SpectralNormalization`, which takes the norm of the reshaped kernel;
* normflows' `InducedNormConv2d`, power iteration at 32x32 pixels (part of what
  it lacks is that larger images are amplified more).

Below 1 the claim is false: the convolution amplifies more than it says. The
truth is the supremum of the symbol over all frequencies, in float64
(`symbol_norm.py`): what was found, by which the ratios are, and the column
`truth <=` the upper limit that follows from the grid, over what was found. The
certificate must stay below 1.05 up to 128 channels and below 1.18 beyond; the
exit status is 1 if it does not. Prints a table and writes JSON. normflows runs
in a virtual environment of its own, which the script makes.

  python benchmarks/lipschitz_tightness.py --output=tightness.json
"""

import json
import pathlib
import subprocess
import tempfile
import time

from absl import app
from absl import flags
import kernel_families
import numpy as np
import peers
import symbol_norm
import tensorflow as tf

import tfp_flowopt as fo

_OUTPUT = flags.DEFINE_string(
    'output', 'lipschitz_tightness.json', 'JSON file to write.'
)
_PEERS = flags.DEFINE_string(
    'peers', '.venv-peers', 'Virtual environment of the peers; "" for none.'
)
_SHAPES = ((3, 3, 3, 16), (3, 3, 6, 64), (3, 3, 32, 32), (3, 3, 64, 12),
           (3, 3, 64, 64), (3, 3, 128, 128), (3, 3, 256, 256),
           (3, 3, 256, 512), (3, 3, 512, 512))
# With more channels on the thinner side the grid of the truth is coarser.
_THIN = 128
_FAMILIES = ('gaussian', 'power law', 'rank one')

# What normflows claims, after convergence at 32x32 pixels.
_NORMFLOWS = """
import json, sys
import numpy as np, torch
from normflows.nets.lipschitz import InducedNormConv2d
torch.manual_seed(0)
claims = []
kernels = np.load(sys.argv[1])
for i in range(len(kernels.files)):
  kernel = kernels[str(i)]
  layer = InducedNormConv2d(
      kernel.shape[2], kernel.shape[3], 3, 1, 1, bias=False, n_iterations=5)
  layer.weight.data = torch.tensor(kernel.transpose(3, 2, 0, 1)).float()
  with torch.no_grad():
    layer(torch.zeros(1, kernel.shape[2], 32, 32))
    for _ in range(20):  # training steps, five iterations each
      layer.compute_weight(update=True)
  claims.append(float(layer.scale))
print(json.dumps(claims))
"""


def _keras_claim(kernel):
  """The norm that Keras divides a kernel by, to make its norm 1."""
  layer = tf.keras.layers.SpectralNormalization(
      tf.keras.layers.Conv2D(
          kernel.shape[-1], 3, padding='same', use_bias=False
      ),
      power_iterations=200,
  )
  x = tf.zeros([1, 4, 4, kernel.shape[2]])
  layer(x)
  layer.layer.kernel.assign(kernel)
  layer(x, training=True)
  return np.linalg.norm(kernel) / np.linalg.norm(layer.layer.kernel.numpy())


def _normflows_claims(kernels):
  """Claims of normflows, or `None` for each if there is no environment."""
  if not _PEERS.value:
    return [None] * len(kernels)
  python = peers.python_of_peers(_PEERS.value)
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'kernels.npz'
    np.savez(path, **{str(i): kernel for i, kernel in enumerate(kernels)})
    output = subprocess.run(
        [python, '-c', _NORMFLOWS, path],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
  return json.loads(output.stdout.splitlines()[-1])


def main(argv):
  """Measures, prints and writes."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  rng = np.random.default_rng(0)
  cases = [(family, shape) for shape in _SHAPES for family in _FAMILIES]
  kernels = [
      kernel_families.make_kernel(family, rng, shape) for family, shape in cases
  ]
  normflows_claims = _normflows_claims(kernels)
  columns = ('certified', 'power', 'Keras', 'normflows')
  names = ''.join(f'{name:>11}' for name in columns)
  print(f'{"kernel":<28}{names}{"truth <=":>11}{"ms":>9}')
  rows = []
  too_loose = []
  for (family, shape), kernel, normflows in zip(
      cases, kernels, normflows_claims, strict=True
  ):
    wide = min(shape[2:]) > _THIN
    truth, upper = symbol_norm.symbol_supremum(
        kernel, grid_factor=8 if wide else 16, num_peaks=2
    )
    start = time.monotonic()
    certified = float(fo.lipschitz.operator_norm_bound(tf.constant(kernel)))
    milliseconds = 1e3 * (time.monotonic() - start)
    claims = {
        'certified': certified,
        'power': float(
            fo.lipschitz.operator_norm_bound(
                tf.constant(kernel), method='power'
            )
        ),
        'Keras': _keras_claim(kernel),
        'normflows': normflows,
    }
    ratios = {
        name: None if claim is None else float(claim / truth)
        for name, claim in claims.items()
    }
    rows.append({
        'family': family,
        'shape': shape,
        'truth': float(truth),
        'truth_upper_limit': float(upper),
        'claim_over_truth': ratios,
        'certified_milliseconds': milliseconds,
    })
    print(
        f'{family:<10} {shape!s:<17}'
        + ''.join(
            f'{"-" if ratio is None else format(ratio, ".4f"):>11}'
            for ratio in ratios.values()
        )
        + f'{upper / truth:>11.4f}{milliseconds:>9.1f}',
        flush=True,
    )
    if not 1 <= ratios['certified'] <= (1.18 if wide else 1.05):
      too_loose.append((family, shape))
  pathlib.Path(_OUTPUT.value).write_text(
      json.dumps(rows, indent=2) + '\n', encoding='utf-8'
  )
  print(f'\nBelow 1 a claim is false. Written: {_OUTPUT.value}')
  if too_loose:
    print(f'Certificates below 1 or above their limits: {too_loose}')
  return 1 if too_loose else 0


if __name__ == '__main__':
  app.run(main)

"""How close the claimed operator norms of convolutions are to the truth.

For a set of 3x3 kernels, the ratio claim / truth of

* `operator_norm_bound`, a certificate: never below 1;
* its `method='power'`, labelled an estimate;
* Keras' `SpectralNormalization`, which takes the norm of the reshaped kernel;
* normflows' `InducedNormConv2d`, power iteration at 32x32 pixels (part of what
  it lacks is that larger images are amplified more).

Below 1 the claim is false: the convolution amplifies more than it says. The
truth is the largest singular value of the symbol on a fine grid of frequencies,
in float64. Prints a table and writes JSON. normflows runs in a virtual
environment of its own, which the script makes.

  python benchmarks/lipschitz_tightness.py --output=tightness.json
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import app
from absl import flags
import numpy as np
import tensorflow as tf

import tfp_flowopt as fo

_OUTPUT = flags.DEFINE_string(
    'output', 'lipschitz_tightness.json', 'JSON file to write.'
)
_PEERS = flags.DEFINE_string(
    'peers', '.venv-peers', 'Virtual environment of the peers; "" for none.'
)
_PEER_PACKAGES = ['torch==2.13.0', 'normflows==1.7.3', 'numpy<2.4']
_SHAPES = ((3, 3, 3, 16), (3, 3, 6, 64), (3, 3, 32, 32), (3, 3, 64, 12),
           (3, 3, 64, 64))
_FAMILIES = ('random', 'power law', 'rank one')

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


def _kernel(family, shape, rng):
  kernel = rng.normal(size=shape)
  if family == 'power law':
    # A spectrum as training leaves it.
    matrix = kernel.reshape(-1, shape[-1])
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    kernel = (u * (s[0] / np.arange(1, len(s) + 1))) @ v
  if family == 'rank one':
    factors = [rng.normal(size=n) for n in shape]
    kernel = np.einsum('a,b,c,d->abcd', *factors)
  return kernel.reshape(shape) / np.abs(kernel).max()


def _truth(kernel, num_frequencies=48):
  """Largest singular value of the symbol: coarse grid, then a fine one."""
  taps = np.arange(3)

  def norms(wy, wx):
    ey, ex = (np.exp(-1j * np.outer(w, taps)) for w in (wy, wx))
    symbols = np.einsum('ap,bq,pqio->abio', ey, ex, kernel, optimize=True)
    return np.linalg.norm(symbols, ord=2, axis=(2, 3))

  step = 2 * np.pi / num_frequencies
  wy = step * np.arange(num_frequencies)
  wx = step * np.arange(num_frequencies // 2 + 1)
  values = norms(wy, wx)
  i, j = np.unravel_index(values.argmax(), values.shape)
  fine = step * np.linspace(-1, 1, 21)
  return max(values.max(), norms(wy[i] + fine, wx[j] + fine).max())


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
  python = pathlib.Path(_PEERS.value) / 'bin' / 'python'
  if not python.exists():
    print(f'Installing {_PEER_PACKAGES} in {_PEERS.value} ...', flush=True)
    subprocess.run([sys.executable, '-m', 'venv', _PEERS.value], check=True)
    subprocess.run(
        [python, '-m', 'pip', 'install', '--quiet', *_PEER_PACKAGES],
        check=True,
    )
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
  kernels = [_kernel(family, shape, rng) for family, shape in cases]
  normflows_claims = _normflows_claims(kernels)
  columns = ('certified', 'power', 'Keras', 'normflows')
  names = ''.join(f'{name:>11}' for name in columns)
  print(f'{"kernel":<28}{names}{"ms":>9}')
  rows = []
  for (family, shape), kernel, normflows in zip(
      cases, kernels, normflows_claims, strict=True
  ):
    truth = _truth(kernel)
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
        'claim_over_truth': ratios,
        'certified_milliseconds': milliseconds,
    })
    print(
        f'{family:<10} {shape!s:<17}'
        + ''.join(
            f'{"-" if ratio is None else format(ratio, ".4f"):>11}'
            for ratio in ratios.values()
        )
        + f'{milliseconds:>9.1f}',
        flush=True,
    )
  pathlib.Path(_OUTPUT.value).write_text(
      json.dumps(rows, indent=2) + '\n', encoding='utf-8'
  )
  print(f'\nBelow 1 a claim is false. Written: {_OUTPUT.value}')


if __name__ == '__main__':
  app.run(main)

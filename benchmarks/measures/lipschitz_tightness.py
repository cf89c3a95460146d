"""How close the claimed operator norms of convolutions are to the truth.

For a set of 3x3 kernels the ratio claim / truth of

* `operator_norm_bound`, a certificate: never below 1;
* its `method='power'`, labelled an estimate;
* Keras' `SpectralNormalization`, which takes the norm of the reshaped kernel;
* normflows' `InducedNormConv2d`, power iteration at 32x32 pixels (part of what
  it lacks is that larger images are amplified more).

Below 1 the claim is false: the convolution amplifies more than it says. The
truth is the supremum of the symbol over all frequencies, in float64 (see
`symbol_norm`): what was found, and the upper limit that follows from the grid.
The certificate must stay below 1.05 up to 128 channels and below 1.18 beyond.
"""

import json
import pathlib
import subprocess
import tempfile
import time

from harness import kernel_families
from harness import serving
from harness import symbol_norm
import numpy as np
import tensorflow as tf

import tfp_flowopt as fo

# What normflows claims, after convergence at 32x32 pixels.
_NORMFLOWS = """
import json, sys
import numpy as np, torch
from normflows.nets.lipschitz import InducedNormConv2d
torch.manual_seed(0)
claims = []
for kernel in np.load(sys.argv[1]).values():
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


def measure(settings, seed, context):
  """See `run.py`; without `--peers` nothing is said of normflows."""
  rng, kernels, rows = np.random.default_rng(seed), [], []
  for shape in settings['shapes']:
    for family in settings['families']:
      kernels.append(kernel_families.make_kernel(family, rng, shape))
      rows.append({'family': family, 'shape': shape})
  for row, kernel, normflows in zip(
      rows, kernels, _normflows_claims(kernels, context.peers), strict=True
  ):
    truth, upper = symbol_norm.symbol_supremum(
        kernel, grid_factor=8 if _is_wide(row['shape']) else 16, num_peaks=2
    )
    bound, constant = fo.lipschitz.operator_norm_bound, tf.constant(kernel)
    start = time.monotonic()
    certified = float(bound(constant))
    row['certified_milliseconds'] = 1e3 * (time.monotonic() - start)
    claims = {
        'certified': certified,
        'power': float(bound(constant, method='power')),
        'Keras': _keras_claim(kernel),
        'normflows': normflows,
    }
    row |= {
        'truth': truth,
        'truth_upper_limit': upper,
        'claim_over_truth': {
            name: claim and claim / truth for name, claim in claims.items()
        },
    }
    print(row, flush=True)
  return {'kernels': rows}


def failures(values):
  """Certificates below 1, or above their limits."""
  return [
      f'certificate of {row["family"]} {row["shape"]}'
      for row in values['kernels']
      if not 1
      <= row['claim_over_truth']['certified']
      <= (1.18 if _is_wide(row['shape']) else 1.05)
  ]


def _is_wide(shape):
  """Whether the grid of the truth is coarser, and the limit higher."""
  return min(shape[2:]) > 128


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


def _normflows_claims(kernels, peers):
  """Claims of normflows, or `None` for each if there is no environment."""
  if not peers:
    return [None] * len(kernels)
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'kernels.npz'
    np.savez(path, *kernels)
    output = subprocess.run(
        [serving.python_of_peers(peers), '-c', _NORMFLOWS, path],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
  return json.loads(output.stdout.splitlines()[-1])

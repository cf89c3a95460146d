"""The constants that `eclipse-nn` finds, in an environment of its own."""

import contextlib
import io
import time

from eclipse_nn.LipConstEstimator import LipConstEstimator
from harness import serving
import torch


class Certifier:
  """Bounds networks of ReLU."""

  def __init__(self, settings):
    del settings

  def estimate(self, kernels, method):
    """A constant, of kernels `[out, in]`, and seconds; None if it found none.

    Where the programme of a layer has no solution within its bounds, the
    package takes the closed form there, and says so.
    """
    weights = [torch.tensor(k, dtype=torch.float64) for k in kernels]
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
      found = LipConstEstimator(weights=weights).estimate(method)
    return {
        'constant': None if found is None else float(found),
        'seconds': time.perf_counter() - start,
    }


if __name__ == '__main__':
  serving.serve(Certifier)

"""The best circulant linear flow of crops of photographs, in closed form.

Fitted to the same crops as the flows are trained on: bits/dim of these, and of
those that are held out.
"""

import pathlib
import tempfile

from harness import images
from harness import short_run
import numpy as np

import tfp_flowopt as fo


def measure(settings, seed, context):
  """See `run.py`."""
  batch_size = settings['batch_size']
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'crops.npz'
    images.write(path, settings, context)
    crops = short_run.Crops(path, batch_size, seed)
  train = crops.first(settings['num_train'])
  moments = fo.AutoCorrelation('circulant', train.shape[1:])
  for i in range(0, len(train), batch_size):
    moments.update(train[i : i + batch_size])
  flow = moments.linear_flow()
  held_out = np.concatenate([flow.log_prob(x) for x in crops.held_out()])
  return {
      name: float(fo.bits_per_dim(np.mean(value), crops.event_size))
      for name, value in (
          ('train', moments.optimum().log_likelihood), ('held_out', held_out)
      )
  }

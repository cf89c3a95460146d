"""Configuration of a training run."""

import dataclasses
from typing import Literal

import numpy as np

from tfp_flowopt.internal import arguments

__all__ = ['TrainConfig']

# Smallest and largest ints, where the smallest is not 0.
_RANGES = {
    'batch_size': [1],
    'accumulation': [1],
    'eval_every': [1],
    'eval_images': [2],
    'checkpoint_every': [1],
    'checkpoints_to_keep': [1],
    'max_skipped': [1],
    'init_images': [2],
    'bits': [1, 8],
    'seed': [0, 2**63 - 1],
}


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """How to train; see `Trainer`.

  Attributes:
    train_steps: Number of optimiser steps.
    batch_size: Examples in a step, on all devices together.
    accumulation: Number of parts of a batch whose gradients each device
      computes one after the other, in the memory of one part.
    learning_rate: Of the optimiser, after the warm-up.
    optimizer: `'adam'`; or `'muon'`, with which the kernels of networks go
      along their orthogonalised momentum (Jordan et al. 2024), and all else as
      Adam has it. Of the demo, 2.602 (at twice the rate) and 2.623
      bits/dim, in 15 % more time.
    dequantization: Noise of images within their bins: `'uniform'`; or
      `'variational'`, `flows.VariationalDequantization`, trained with the flow.
      Losses are the tighter bounds that it gives.
    warmup_steps: Steps over which the learning rate rises linearly from 0.
    schedule: Course of the learning rate after the warm-up: `'cosine'`, half a
      cosine down to 0 at `train_steps`; or `'constant'`, with which a run can
      go on after its last step. Of the demo, 2.629 and 2.638 bits/dim.
    clip_norm: Bound of the global norm of the gradient of the loss, which is
      in bits/dim, or in nats of vectors (take 10 there, as `fit` does).
    ema_decay: Decay of the moving average of the weights that evaluation,
      pictures and export use; it ramps up as `(1 + n) / (10 + n)`.
    eval_every: Steps between evaluations.
    eval_images: Number of held-out images, the same ones each time.
    checkpoint_every: Steps between checkpoints.
    checkpoints_to_keep: Number of latest checkpoints on disk; the best one by
      held-out loss is kept beside them.
    max_skipped: So many steps in a row that are not finite are too many: the
      run goes back to its latest checkpoint, with half the learning rate.
    max_rollbacks: How often it does; after that it is an error.
    init_images: Number of training images for the initialisation and for the
      optimum.
    bits: Bits of an image value.
    jit_compile: Whether XLA compiles the training step.
    tensorboard: Whether to write what TensorBoard shows; to look at it takes
      the tensorboard package.
    local_constants: Whether the picture of the layers, at the end, has
      Lipschitz constants that were found at an image beside the certified
      ones; they take longer than all else there.
    seed: Seed of all that is random: order of images, noise, samples.
  """

  train_steps: int = 2000
  batch_size: int = 32
  accumulation: int = 1
  learning_rate: float = 3e-3
  optimizer: Literal['adam', 'muon'] = 'adam'
  dequantization: Literal['uniform', 'variational'] = 'uniform'
  warmup_steps: int = 50
  schedule: Literal['constant', 'cosine'] = 'cosine'
  clip_norm: float = 1.0
  ema_decay: float = 0.995
  eval_every: int = 250
  eval_images: int = 1024
  checkpoint_every: int = 250
  checkpoints_to_keep: int = 3
  max_skipped: int = 10
  max_rollbacks: int = 3
  init_images: int = 4096
  bits: int = 8
  jit_compile: bool = False
  tensorboard: bool = True
  local_constants: bool = True
  seed: int = 0

  def __post_init__(self):
    for field in dataclasses.fields(self):
      name, value = field.name, getattr(self, field.name)
      if isinstance(value, np.generic):  # JSON has none of NumPy's numbers
        value = value.item()
        object.__setattr__(self, name, value)
      if field.type is int:
        arguments.check_int(name, value, *_RANGES.get(name, [0]))
      elif field.type is bool:
        arguments.check_instance(name, value, bool, 'a bool')
    for name in ('learning_rate', 'clip_norm'):
      arguments.check_positive(name, getattr(self, name))
    arguments.check_number(
        'ema_decay', self.ema_decay, lambda v: 0 <= v < 1, 'in [0, 1)'
    )
    arguments.check_choice('schedule', self.schedule, ('constant', 'cosine'))
    arguments.check_choice('optimizer', self.optimizer, ('adam', 'muon'))
    arguments.check_choice(
        'dequantization', self.dequantization, ('uniform', 'variational')
    )

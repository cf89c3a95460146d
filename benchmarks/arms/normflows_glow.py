"""normflows' Glow, for benchmarks; runs in an environment of its own."""

import copy

from harness import serving
from harness import short_run
import normflows as nf
import numpy as np
import torch


class Glow(short_run.Model):
  """normflows' Glow of the same shape, with its default settings.

  One more setting: `scale_map`, `'sigmoid'` (its default) or `'exp'`.
  """

  def __init__(self, settings):
    """Creates the flow."""
    super().__init__(settings)
    torch.manual_seed(settings['seed'])
    self._model = make_model(settings)
    self._initial = None
    self._optimizer = torch.optim.Adam(self._model.parameters())

  def _loss(self, x):
    log_prob = self._model.log_prob(channels_first(x), None)
    return 8 - log_prob.mean() / (self._crops.event_size * np.log(2.0))

  def restart(self):
    """Back to the weights from before training."""
    if self._initial is None:
      # Its ActNorm is initialised at the first call.
      self.bits_per_dim(self._x)
      self._initial = copy.deepcopy(
          [self._model.state_dict(), self._optimizer.state_dict()]
      )
    model, optimizer = copy.deepcopy(self._initial)
    self._model.load_state_dict(model)
    self._optimizer.load_state_dict(optimizer)

  def step(self, x, learning_rate):
    """One step; bits/dim before it."""
    for group in self._optimizer.param_groups:
      group['lr'] = learning_rate
    self._optimizer.zero_grad()
    loss = self._loss(x)
    loss.backward()
    if self._clip_norm is not None:
      torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._clip_norm)
    self._optimizer.step()
    return loss.item()

  def bits_per_dim(self, x):
    """Mean bits/dim."""
    with torch.no_grad():
      return self._loss(x).item()

  def there_and_back(self, x):
    """`x` after its flow and back."""
    with torch.no_grad():
      z, _ = self._model.inverse_and_log_det(channels_first(x))
      x, _ = self._model.forward_and_log_det(z)
      return x.numpy().transpose(0, 2, 3, 1)

  def vector_jacobian(self, x, u):
    """Gradient of the products of `u`, `[B, D]`, and the latents of `x`."""
    x = channels_first(x).requires_grad_()
    z, _ = self._model.inverse_and_log_det(x)
    z = torch.cat([part.flatten(1) for part in z], 1)
    (gradient,) = torch.autograd.grad(z, x, torch.from_numpy(u))
    return gradient.numpy().transpose(0, 2, 3, 1)

  def num_parameters(self):
    """Number of trained numbers."""
    return sum(p.numel() for p in self._model.parameters() if p.requires_grad)

  def log_prob(self):
    """Mean bits/dim of the batch."""
    return self.bits_per_dim(self._x)

  def sample(self):
    """Images from noise; the largest value."""
    with torch.no_grad():
      return self._model.sample(len(self._x))[0].max().item()


def make_model(settings):
  """Glow of normflows: of `image_size`, `num_levels`, `num_steps` and so on."""
  size, levels = settings['image_size'], settings['num_levels']
  bases, merges, flows = [], [], []
  for i in range(levels):
    # Its levels count from the coarsest.
    channels = settings.get('channels', 3) * 2 ** (levels + 1 - i)
    blocks = [
        nf.flows.GlowBlock(
            channels,
            settings['hidden_channels'],
            scale_map=settings.get('scale_map', 'sigmoid'),
            split_mode='channel',
        )
        for _ in range(settings['num_steps'])
    ]
    flows.append([*blocks, nf.flows.Squeeze()])
    if i > 0:
      merges.append(nf.flows.Merge())
      channels //= 2
    side = size // 2 ** (levels - i)
    bases.append(
        nf.distributions.DiagGaussian((channels, side, side), trainable=False)
    )
  return nf.MultiscaleFlow(bases, flows, merges, class_cond=False)


def channels_first(x):
  """PyTorch's order of the axes."""
  return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


if __name__ == '__main__':
  serving.serve(Glow)

"""normflows' Glow, for benchmarks; runs in an environment of its own."""

import normflows as nf
import numpy as np
import serving
import torch


class Glow:
  """normflows' Glow of the same shape, with its default settings."""

  def __init__(self, settings):
    """Creates the flow.

    Args:
      settings: As for `tfb_glow.Glow`.
    """
    torch.manual_seed(0)
    torch.set_num_threads(settings['num_threads'])
    size, levels = settings['image_size'], settings['num_levels']
    self._size = 3 * size**2
    bases, merges, flows = [], [], []
    for i in range(levels):
      # Its levels count from the coarsest.
      channels = 3 * 2 ** (levels + 1 - i)
      flows.append(
          [
              nf.flows.GlowBlock(
                  channels, settings['hidden_channels'], split_mode='channel'
              )
              for _ in range(settings['num_steps'])
          ]
          + [nf.flows.Squeeze()]
      )
      side = size // 2 ** (levels - i)
      if i > 0:
        merges.append(nf.flows.Merge())
        shape = (channels // 2, side, side)
      else:
        shape = (channels, side, side)
      bases.append(nf.distributions.DiagGaussian(shape, trainable=False))
    self._model = nf.MultiscaleFlow(bases, flows, merges, class_cond=False)
    images = np.load(settings['images'])[: settings['batch_size']]
    noise = np.random.default_rng(0).random(images.shape)
    x = (images + noise) / 256 - 0.5
    self._x = torch.tensor(x.transpose(0, 3, 1, 2), dtype=torch.float32)
    self._initialized = False
    self._optimizer = torch.optim.Adam(
        self._model.parameters(), settings['learning_rate']
    )

  def _loss(self):
    log_prob = self._model.log_prob(self._x, None)
    return 8 - log_prob.mean() / (self._size * np.log(2.0))

  def num_parameters(self):
    """Number of trained numbers."""
    return sum(p.numel() for p in self._model.parameters() if p.requires_grad)

  def train_step(self):
    """One step; bits/dim before it."""
    self._optimizer.zero_grad()
    loss = self._loss()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
    self._optimizer.step()
    return loss.item()

  def log_prob(self):
    """Mean bits/dim of the batch."""
    with torch.no_grad():
      return self._loss().item()

  def sample(self):
    """Images from noise; the largest value."""
    with torch.no_grad():
      return self._model.sample(len(self._x))[0].max().item()

  def round_trip(self):
    """Largest error of an image after `inverse` and `forward`."""
    with torch.no_grad():
      z, _ = self._model.inverse_and_log_det(self._x)
      x, _ = self._model.forward_and_log_det(z)
      return (x - self._x).abs().max().item()


if __name__ == '__main__':
  serving.serve(Glow)

"""Glow of normflows, trained, and attacked within balls."""

from harness import serving
import numpy as np
import torch

from arms import normflows_glow

_BATCH = 100


class Attacked:
  """A Glow, and densities of what projected gradient steps find.

  Settings: those of `normflows_glow.make_model`, `seed`, `train_steps`, and
  `path` of arrays `train`, `normal` and `anomalies`, `[N, D]`.
  """

  def __init__(self, settings):
    torch.manual_seed(settings['seed'])
    self._settings = settings
    with np.load(settings['path']) as arrays:
      self._arrays = dict(arrays)
    self._model = normflows_glow.make_model(settings)

  def _log_prob(self, x):
    size = self._settings['image_size']
    return self._model.log_prob(x.reshape([-1, 1, size, size]), None)

  def train(self):
    """Adam, as `tfb.Glow` beside it; the last loss, in nats."""
    x = torch.from_numpy(self._arrays['train'])
    rng = np.random.default_rng(self._settings['seed'])
    self._log_prob(x[:64])  # initialises ActNorm
    optimizer = torch.optim.Adam(self._model.parameters(), 1e-3)
    for _ in range(self._settings['train_steps']):
      loss = -self._log_prob(x[rng.integers(len(x), size=64)]).mean()
      optimizer.zero_grad()
      loss.backward()
      torch.nn.utils.clip_grad_norm_(self._model.parameters(), 100.0)
      optimizer.step()
    self._model.eval()
    return loss.item()

  def log_prob(self, part):
    """Log-densities of `part`, nats."""
    with torch.no_grad():
      return self._batched(self._log_prob, part)

  def attacked(self, part, radius, sign, steps):
    """The worst ones in balls; see `certified_anomaly.py`."""

    def climb(x):
      point, best = x, None
      for i in range(steps + 1):
        point = point.detach().requires_grad_()
        value = sign * self._log_prob(point)
        (slope,) = torch.autograd.grad(value.sum(), point)
        best = value if best is None else torch.maximum(best, value)
        unit = slope / slope.norm(dim=1, keepdim=True).clamp(min=1e-30)
        moved = point + radius * (1.0 - i / steps) * unit - x
        size = moved.norm(dim=1, keepdim=True).clamp(min=1e-30)
        point = x + moved * torch.clamp(radius / size, max=1.0)
      return sign * best.detach()

    return self._batched(climb, part)

  def _batched(self, function, part):
    x = torch.from_numpy(self._arrays[part])
    return torch.cat([function(v) for v in x.split(_BATCH)]).tolist()


if __name__ == '__main__':
  serving.serve(Attacked)

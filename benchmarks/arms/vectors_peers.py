"""Flows of vectors of zuko and normflows, trained as their pages show it.

Adam, batches, early stopping on validation data; the weights that were best
there are evaluated.
"""

import copy
import math
import time

from harness import serving
import numpy as np
import torch

# Evaluations without a new best one, after which training ends.
_PATIENCE = 20
_EVAL_EVERY = 100
# Rows whose log-likelihood is computed at once.
_CHUNK = 4096


class _OfZuko(torch.nn.Module):
  """`zuko.flows`, by the name of a class there."""

  def __init__(self, name, size, num_features, **kwargs):
    super().__init__()
    import zuko

    self._flow = getattr(zuko.flows, name)(size, num_features, **kwargs)

  def log_prob(self, x, c=None):
    return self._flow(c).log_prob(x)

  def sample(self, num, c):
    return self._flow(c).sample([num])


class _OfNormflows(torch.nn.Module):
  """Autoregressive splines and linear maps, as in normflows' examples."""

  def __init__(self, size, num_features, hidden=64):
    super().__init__()
    import normflows

    flows = []
    for _ in range(5):
      flows += [
          normflows.flows.AutoregressiveRationalQuadraticSpline(
              size, 2, hidden, num_context_channels=num_features or None
          ),
          normflows.flows.LULinearPermute(size),
      ]
    base = normflows.distributions.DiagGaussian(size, trainable=False)
    make = normflows.NormalizingFlow
    if num_features:
      make = normflows.ConditionalNormalizingFlow
    self._flow = make(base, flows)

  def log_prob(self, x, c=None):
    return self._flow.log_prob(x) if c is None else self._flow.log_prob(x, c)

  def sample(self, num, c):
    return self._flow.sample(num, c.expand(num, -1))[0]


class Vectors:
  """A flow of vectors; settings as for `vectors_flowopt.py`.

  With `standardize`, `x` and `c` are standardised in here; `model` has further
  arguments of the model, `schedule` is `'cosine'` or constant.
  """

  def __init__(self, settings):
    torch.manual_seed(settings['seed'])
    torch.set_num_threads(settings['num_threads'])
    self._settings = settings
    with np.load(settings['path']) as arrays:
      self._arrays = {
          name: torch.from_numpy(array.astype(np.float32))
          for name, array in arrays.items()
      }
    self._center, self._scale = torch.tensor(0.0), torch.tensor(1.0)
    if settings.get('standardize'):
      self._standardize()
    size = self._arrays['train_x'].shape[1]
    num_features = 0
    if 'train_c' in self._arrays:
      num_features = self._arrays['train_c'].shape[1]
    kwargs = settings.get('model', {})
    if settings['arm'] == 'normflows':
      self._model = _OfNormflows(size, num_features, **kwargs)
    else:
      name = settings['arm'].removeprefix('zuko ')
      self._model = _OfZuko(name, size, num_features, **kwargs)

  def _standardize(self):
    arrays = self._arrays
    for name in ('x', 'c'):
      if f'train_{name}' not in arrays:
        continue
      train = arrays[f'train_{name}']
      center, scale = train.mean(dim=0), train.std(dim=0)
      # What does not vary is left alone.
      scale = torch.where(scale > 0, scale, 1.0)
      for key in arrays:
        if key.endswith(f'_{name}') or (name == 'c' and key == 'observations'):
          arrays[key] = (arrays[key] - center) / scale
      if name == 'x':
        self._center, self._scale = center, scale

  def _log_prob(self, part, rows=slice(None)):
    x = self._arrays[f'{part}_x'][rows]
    c = self._arrays.get(f'{part}_c')
    return self._model.log_prob(x, None if c is None else c[rows])

  def _mean(self, part):
    self._model.eval()
    with torch.no_grad():
      value = self._log_prob(part).double().mean().item()
    self._model.train()
    return value

  def train(self):
    """Trains; what was reached."""
    settings = self._settings
    optimizer = torch.optim.Adam(self._model.parameters(), settings['rate'])
    schedule = None
    if settings.get('schedule') == 'cosine':
      schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
          optimizer, settings['train_steps']
      )
    num = len(self._arrays['train_x'])
    size = min(settings['batch_size'], num)
    every = settings.get('eval_every', _EVAL_EVERY)
    best, best_state, since, began = -math.inf, None, 0, time.perf_counter()
    cpu_began = time.process_time()
    finite, order = True, torch.randperm(num)
    step = 0
    while step < settings['train_steps'] and since < _PATIENCE:
      if step % every == 0:
        value = self._mean('validation')
        since += 1
        if value > best:
          best, since = value, 0
          best_state = copy.deepcopy(self._model.state_dict())
      start = step * size % num
      if start + size > num:
        order, start = torch.randperm(num), 0
      rows = order[start : start + size]
      loss = -self._log_prob('train', rows).mean()
      if not math.isfinite(loss.item()):
        finite = False
        break
      optimizer.zero_grad()
      loss.backward()
      optimizer.step()
      if schedule is not None:
        schedule.step()
      step += 1
    seconds = time.perf_counter() - began
    cpu_seconds = time.process_time() - cpu_began
    if best_state is not None:
      self._model.load_state_dict(best_state)
    with torch.no_grad():
      test = torch.cat([
          self._log_prob('test', slice(i, i + _CHUNK))
          for i in range(0, len(self._arrays['test_x']), _CHUNK)
      ]) - self._scale.log().sum()
      test = test.double().numpy()
    if 'values' in settings:
      np.save(settings['values'], test)
    return {
        'finite': finite,
        'num_steps': step,
        'seconds': seconds,
        'cpu_seconds': cpu_seconds,
        'parameters': sum(p.numel() for p in self._model.parameters()),
        'validation': best,
        'test': float(test.mean()),
        'error': float(test.std() / math.sqrt(len(test))),
    }

  def draw(self, num, path):
    """Writes draws `[O, num, D]` given each of `observations`.

    Those outside of the support are drawn again.
    """
    with torch.no_grad():
      np.save(path, torch.stack([
          self._draw(num, c) for c in self._arrays['observations']
      ]).numpy())

  def _draw(self, num, c):
    kind, *box = self._settings['support'] or [None]
    found, count, tries = [], 0, 0
    while count < num:
      draws = self._model.sample(num, c) * self._scale + self._center
      if kind == 'positive':
        draws = draws[(draws > 0).all(dim=1)]
      elif kind == 'box':
        draws = draws[((draws > box[0]) & (draws < box[1])).all(dim=1)]
      found.append(draws)
      count, tries = count + len(draws), tries + 1
      if tries > 10000:
        raise RuntimeError(f'{count} of {tries * num} draws in the support')
    return torch.cat(found)[:num]


if __name__ == '__main__':
  serving.serve(Vectors)

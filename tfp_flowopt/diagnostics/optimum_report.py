"""How far a flow is from the optimum of linear flows, and what that means."""

import dataclasses
import math
import textwrap

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import lipschitz
from tfp_flowopt import optimum
from tfp_flowopt.diagnostics import balance
from tfp_flowopt.diagnostics import linear_baselines

__all__ = ['OptimumReport', 'optimum_report']

# Held-out numbers, and events at least, of which the volume balance is taken.
_BALANCE_NUMBERS, _BALANCE_EVENTS = 2**20, 64
# A statement needs so many standard errors.
_SIGNIFICANT = 3.0
# Nats per dimension that are worth a warning, and that are worth a word.
_NOTABLE, _NEGLIGIBLE = 0.01, 1e-4


@dataclasses.dataclass(frozen=True)
class OptimumReport:
  """A flow beside the best linear flows; `str()` is a table with findings.

  Attributes:
    log_likelihood: Mean held-out log-likelihood of the flow, nats per event.
    standard_error: Of that mean.
    bits_per_dim: The same mean in bits/dim.
    baselines: A dictionary for each structure: `name`; `train_optimum` (`L*`),
      `constrained_optimum` (within `linear_range`) and `held_out`, all three
      also in bits/dim (`..._bits_per_dim`).
    reference: Name of the baseline that is best on held-out data, other than
      individual ones, which are no single flow.
    gap: Nats per event by which the flow is better than the reference, both on
      held-out data.
    gap_standard_error: Of the gap, from pairs.
    gap_bits_per_dim: The gap in bits/dim.
    linear_range: `[m, M]`, singular values that the certified constants of the
      flow's linear part allow; `[0, inf]` if they are not known.
    price: Nats per event that the reference's `L*` loses within that range.
    volume_balance: See `diagnostics.volume_balance`; of the first
      held-out events (a million numbers).
    findings: What it means, a sentence each.
  """

  log_likelihood: float
  standard_error: float
  bits_per_dim: float
  baselines: list
  reference: str
  gap: float
  gap_standard_error: float
  gap_bits_per_dim: float
  linear_range: list
  price: float
  volume_balance: float
  findings: list

  def __str__(self):
    lines = [
        'Bits/dim (lower is better)        training  held-out',
        f'  {"the flow":<32}{"":8}{self.bits_per_dim:10.3f}',
    ]
    for baseline in self.baselines:
      name = 'best linear, ' + baseline['name']
      lines.append(
          f'  {name:<32}{baseline["train_optimum_bits_per_dim"]:8.3f}'
          f'{baseline["held_out_bits_per_dim"]:10.3f}'
      )
    findings = (
        textwrap.fill(
            finding,
            79,
            initial_indent='* ',
            subsequent_indent='  ',
            break_on_hyphens=False,
        )
        for finding in self.findings
    )
    return '\n'.join([*lines, '', *findings])


def optimum_report(
    distribution,
    data,
    held_out=None,
    bits=8,
    noise_variance=0.0,
    log_prob=None,
    bijector_kwargs=None,
):
  """Compares a flow with the closed-form optimum, and says what the gap means.

  The best linear flow of each structure is fitted to the training data, in
  closed form, and both are evaluated on held-out data. Gaussians have the
  largest entropy for their second moments, so a perfect flow is never below:

  * below a linear flow: the flow has not reached what one matrix can do;
  * above: so many nats of structure that is not Gaussian it has captured.

  Args:
    distribution: `tfd.TransformedDistribution` with a standard normal base.
    data: Preprocessed training data, array `[N, D]` or `[N, H, W, C]`; a
      thousand images are plenty.
    held_out: Preprocessed held-out data; `None`: `data`, and then a flow that
      only memorised looks good.
    bits: Bits of the data before scaling by `2**-bits`; 0 for data that were
      never quantised (bits/dim are then `-log_likelihood / (D ln 2)`).
    noise_variance: See `likelihood_optimum`; 0 if noise was drawn.
    log_prob: Function from a batch to log-likelihoods, if there is a graph
      already; by default `distribution.log_prob`.
    bijector_kwargs: Further argument of `log_prob`, `Tensor`s with an entry for
      each of `held_out`.

  Returns:
    `OptimumReport`.

  Raises:
    ValueError: If `data` have the wrong shape or are too few.
    InvalidArgumentError: If data are not finite, or singular (constant or
      duplicated dimensions without noise).
  """
  event_shape = distribution.event_shape.as_list()
  held_out = data if held_out is None else held_out
  data = _checked(data, 'data', event_shape, distribution.dtype)
  held_out = _checked(held_out, 'held_out', event_shape, distribution.dtype)
  size = math.prod(event_shape)
  linear_range = _linear_range(distribution)
  baselines = linear_baselines.linear_baselines(
      data, held_out, linear_range, noise_variance
  )
  log_prob = log_prob or distribution.log_prob
  kwargs = {'bijector_kwargs': bijector_kwargs} if bijector_kwargs else {}
  values = np.concatenate([
      log_prob(tf.constant(batch), **more)
      for batch, more in _batches(held_out, kwargs)
  ]).astype(np.float64)
  reference = max(
      (b for b in baselines if b.structure != 'individual'),
      key=lambda b: b.held_out.mean(),
  )
  mean = values.mean()
  differences = values - reference.held_out
  # Some hundred images tell it; a whole set would take minutes.
  some = held_out[: max(_BALANCE_EVENTS, _BALANCE_NUMBERS // size)]
  volume = np.average(
      [
          balance.volume_balance(distribution, batch, **more)
          for batch, more in _batches(some, kwargs)
      ],
      weights=[len(batch) for batch, _ in _batches(some, kwargs)],
  )

  def in_bits(nats):
    return float(optimum.bits_per_dim(nats, size, bits))

  report = OptimumReport(
      log_likelihood=float(mean),
      standard_error=_standard_error(values),
      bits_per_dim=in_bits(mean),
      baselines=[
          {
              'name': b.name,
              'train_optimum': b.train,
              'train_optimum_bits_per_dim': in_bits(b.train),
              'constrained_optimum': b.constrained,
              'constrained_optimum_bits_per_dim': in_bits(b.constrained),
              'held_out': float(b.held_out.mean()),
              'held_out_bits_per_dim': in_bits(b.held_out.mean()),
          }
          for b in baselines
      ],
      reference=reference.name,
      gap=float(differences.mean()),
      gap_standard_error=_standard_error(differences),
      gap_bits_per_dim=float(differences.mean() / (size * math.log(2.0))),
      linear_range=linear_range,
      price=reference.train - reference.constrained,
      volume_balance=float(volume),
      findings=[],
  )
  return dataclasses.replace(
      report, findings=_findings(report, reference, size)
  )


def _checked(x, name, event_shape, dtype):
  """`x` as an array of events of the flow's shape and type."""
  x = np.asarray(x)
  if len(x) < 2 or list(x.shape[1:]) != event_shape:
    raise ValueError(
        f'Argument `{name}` must have shape [N] + {event_shape}, N > 1, got '
        f'{list(x.shape)}.'
    )
  if not np.issubdtype(x.dtype, np.floating):
    raise ValueError(
        f'Argument `{name}` must be preprocessed (floating-point), got '
        f'{x.dtype}.'
    )
  return x.astype(dtype.as_numpy_dtype)


def _standard_error(values):
  return float(optimum.standard_error(tf.constant(values)))


def _batches(x, kwargs):
  """Pairs of a batch of events and what belongs to them of `kwargs`."""
  start = 0
  for batch in linear_baselines.batches_of(x):
    rows = slice(start, start + len(batch))
    yield batch, tf.nest.map_structure(lambda t, rows=rows: t[rows], kwargs)
    start = rows.stop


def _linear_range(distribution):
  """Singular values that the constants of the linear part allow."""
  flow = distribution.bijector
  try:
    if isinstance(flow, bijectors.ImageFlow):
      bounds, _ = flow.bounds_by_part()
    else:
      bounds = lipschitz.lipschitz_bounds(flow)
  except TypeError:  # a bijector without registered constants
    return [0.0, math.inf]
  return [1.0 / bounds.forward, bounds.inverse]


def _findings(report, reference, size):
  """A plain sentence for each thing that the numbers say."""
  if not math.isfinite(report.log_likelihood):
    return [
        'Broken: the log-likelihood of held-out data is not finite '
        f'({report.log_likelihood}).'
    ]
  low, high = report.linear_range
  gap, price = report.gap, report.price
  amount = f'{abs(gap):.4g} nats ({abs(report.gap_bits_per_dim):.3f} bits/dim)'
  findings = []
  error = max(_SIGNIFICANT * report.gap_standard_error, _NEGLIGIBLE * size)
  if gap < -error:
    findings.append(
        f'Undertrained: {amount} below the best linear flow '
        f'({reference.name}), which one closed formula reaches.'
    )
    if price > 0.1 * abs(gap):
      findings.append(
          f'A bound is too tight: singular values within [{low:.3g}, '
          f'{high:.3g}] alone cost {price:.4g} nats of that.'
      )
  elif gap > error:
    findings.append(
        f'Captured {amount} of non-Gaussian structure beyond the best linear '
        f'flow ({reference.name}).'
    )
  else:
    findings.append(
        'As good as the best linear flow '
        f'({reference.name}), within the error of {len(reference.held_out)} '
        'held-out events.'
    )
  if [low, high] == [0.0, math.inf]:
    findings.append('The constants of its linear part are not known.')
  elif price > _NOTABLE * size and gap >= -error:
    findings.append(
        f'Its linear part may have singular values within [{low:.3g}, '
        f'{high:.3g}] only, which costs a linear flow {price:.4g} nats.'
    )
  elif price <= _NOTABLE * size:
    findings.append(
        'Its linear bounds are wide enough: they cost '
        f'{max(price, 0.0):.2g} nats.'
    )
  imbalance = report.volume_balance
  gain = 0.5 * size * (imbalance - math.log1p(imbalance))
  if gain > _NOTABLE * size:
    word = 'expands' if imbalance > 0 else 'contracts'
    findings.append(
        f'It {word} too much: mean |z|^2 is {1 + imbalance:.3f} D, and one '
        f'scale for all latents would gain {gain:.3g} nats.'
    )
  else:
    findings.append(
        f'Expansion and contraction balance: mean |z|^2 is {1 + imbalance:.3f} '
        'D.'
    )
  loss = reference.train - reference.held_out.mean()
  error = _standard_error(reference.held_out)
  if loss > max(_NOTABLE * size, _SIGNIFICANT * error):
    findings.append(
        f'Even the best linear flow ({reference.name}) loses {loss:.4g} nats '
        'from training to held-out data: too few training data, or held-out '
        'data of another kind.'
    )
  return findings

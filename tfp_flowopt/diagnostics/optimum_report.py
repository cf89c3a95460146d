"""Report of a flow beside the best linear flows."""

from collections.abc import Callable
import dataclasses
import functools
import math
import textwrap
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import lipschitz
from tfp_flowopt import optimum
from tfp_flowopt.bijectors.multiscale import conditioning as conditioning_lib
from tfp_flowopt.diagnostics import balance
from tfp_flowopt.diagnostics import findings as findings_lib
from tfp_flowopt.diagnostics import linear_baselines
from tfp_flowopt.diagnostics import mean_error
from tfp_flowopt.flows import flow_of
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import types

__all__ = ['OptimumReport', 'optimum_report']

# Held-out numbers, and events at least, of which the volume balance is taken.
_BALANCE_NUMBERS, _BALANCE_EVENTS = 2**20, 64


@dataclasses.dataclass(frozen=True)
class OptimumReport:
  """A flow beside the best linear flows; `str()` is a table with findings.

  Attributes:
    log_likelihood: Mean held-out log-likelihood of the flow, nats per event.
    standard_error: Of that mean, over independent events.
    bits_per_dim: The same mean in bits/dim.
    standard_error_bits_per_dim: Its standard error, likewise.
    num_held_out: Number of held-out events.
    num_independent: How many of them are independent: errors count these.
    baselines: A dictionary for each structure: `name`; `train_optimum` (`L*`),
      `constrained_optimum` (within `linear_range`), `held_out`: the flow that
      is best for the training data on held-out data, and
      `held_out_standard_error`, all also in bits/dim (`..._bits_per_dim`);
      `vectors_per_dim`: independent training vectors for each of their
      dimensions, enough from 10 on.
    reference: Name of the baseline that is best on held-out data, other than
      individual ones: they are fitted to each held-out event itself, and are
      no single flow.
    gain_bits_per_dim: Bits/dim by which the flow is better than the reference,
      both on held-out data: positive is better.
    gain_standard_error_bits_per_dim: Of the gain, from pairs.
    gap: The gain in nats per event: positive is better.
    gap_standard_error: Of the gap.
    gap_bits_per_dim: The same as `gain_bits_per_dim`, its older name.
    linear_range: `[m, M]`, singular values that the certified constants of the
      flow's linear part allow; `[0, inf]` if they are not known.
    price: Nats per event that the reference's `L*` loses within that range.
    volume_balance: See `diagnostics.volume_balance`; of the first
      held-out events (a million numbers).
    volume_balance_standard_error: Of that.
    findings: What it means, and what to do, a few sentences each.
    unit: Of the table and the findings: `'bits/dim'`, or `'nats'` of vectors.

  Standard errors of a single independent event are NaN.
  """

  log_likelihood: float
  standard_error: float
  bits_per_dim: float
  standard_error_bits_per_dim: float
  num_held_out: int
  num_independent: int
  baselines: list
  reference: str
  gain_bits_per_dim: float
  gain_standard_error_bits_per_dim: float
  gap: float
  gap_standard_error: float
  gap_bits_per_dim: float
  linear_range: list
  price: float
  volume_balance: float
  volume_balance_standard_error: float
  findings: list
  unit: str = 'bits/dim'

  def __str__(self):
    end = '' if self.unit == 'nats' else '_bits_per_dim'
    title = 'Bits/dim (lower is better)'
    own = self.bits_per_dim, self.standard_error_bits_per_dim
    if self.unit == 'nats':
      title = 'log p in nats (higher is better)'
      own = self.log_likelihood, self.standard_error
    lines = [f'{title:<34}training  held-out +- error']
    lines.append(_row('the flow', '', *own))
    notes = {}
    for baseline in self.baselines:
      mark = ''
      if baseline['name'].startswith('individual'):
        mark = '*'
        notes[mark] = 'fitted to each image itself: no flow for other images'
      elif baseline['vectors_per_dim'] < linear_baselines.ENOUGH_VECTORS:
        mark = '!'
        notes[mark] = (
            'fitted to less than '
            f'{linear_baselines.ENOUGH_VECTORS:g} vectors a dimension: '
            f'flatters training {findings_lib.events_of(self)}'
        )
      lines.append(
          _row(
              f'best linear, {baseline["name"]} {mark}',
              f'{baseline["train_optimum" + end]:.3f}',
              baseline['held_out' + end],
              baseline['held_out_standard_error' + end],
          )
      )
    lines += [f'  {mark} {note}' for mark, note in notes.items()]
    lines.append(f'  Held out: {self.num_held_out}')
    if self.num_independent < self.num_held_out:
      lines[-1] += f', {self.num_independent} of them independent'
    fill = textwrap.TextWrapper(
        79,
        initial_indent='* ',
        subsequent_indent='  ',
        break_on_hyphens=False,
    ).fill
    return '\n'.join([*lines, '', *map(fill, self.findings)])


def optimum_report(
    distribution: types.TransformedDistribution,
    data: types.TensorLike,
    held_out: types.TensorLike | None = None,
    bits: int | None = None,
    noise_variance: float = 0.0,
    log_prob: Callable[..., tf.Tensor] | None = None,
    bijector_kwargs: types.Kwargs | None = None,
    num_data: int | None = None,
    num_held_out: int | None = None,
    conditioning: types.TensorLike | None = None,
) -> OptimumReport:
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
      never quantised (bits/dim are then `-log_likelihood / (D ln 2)`). By
      default 8 of images, and 0 of vectors.
    noise_variance: See `likelihood_optimum`; 0 if noise was drawn.
    log_prob: Function from a batch to log-likelihoods, if there is a graph
      already; by default `distribution.log_prob`.
    bijector_kwargs: Further argument of `log_prob`; `conditioning` is one for
      all of `held_out`, or one for each.
    num_data: Number of independent events of `data`, by default all: fewer
      where they are crops of fewer images, or come more than once. It tells
      which linear flows they determine.
    num_held_out: The same of `held_out`: standard errors count these.
    conditioning: What each of `data` is conditioned on, for a flow of vectors:
      then the linear flows are given it, too, and `bijector_kwargs` have that
      of `held_out`.

  Returns:
    `OptimumReport`.

  Raises:
    ValueError: If `data` have the wrong shape or are too few, or if a number is
      out of range.
    InvalidArgumentError: If data are not finite, or singular (constant or
      duplicated dimensions without noise).
  """
  flow_of.check_single(distribution)
  event_shape = distribution.event_shape.as_list()
  is_vector = len(event_shape) == 1
  if bits is None:
    bits = 0 if is_vector else 8
  bits = arguments.check_int('bits', bits, least=0)
  nothing_held_out = held_out is None
  if nothing_held_out:
    held_out, num_held_out = data, num_held_out or num_data
  data = _checked(data, 'data', event_shape, distribution.dtype)
  held_out = _checked(held_out, 'held_out', event_shape, distribution.dtype)
  num_data, num_held_out = (
      len(x) if num is None else arguments.check_int(name, num, most=len(x))
      for name, num, x in (
          ('num_data', num_data, data),
          ('num_held_out', num_held_out, held_out),
      )
  )
  size = math.prod(event_shape)
  linear_range = _linear_range(distribution)
  log_prob = log_prob or distribution.log_prob
  bijector_kwargs, kwargs = dict(bijector_kwargs or {}), {}
  if nothing_held_out and is_vector:
    if conditioning is not None:
      bijector_kwargs.setdefault('conditioning', conditioning)
    elif np.shape(bijector_kwargs.get('conditioning', 0))[:1] == (len(data),):
      conditioning = bijector_kwargs['conditioning']
  if bijector_kwargs:
    kwargs['bijector_kwargs'] = conditioning_lib.of_each_event(
        distribution.bijector, bijector_kwargs, len(held_out)
    )
  given = _given(distribution, data, conditioning, kwargs)
  baselines = linear_baselines.linear_baselines(
      data, held_out, linear_range, noise_variance, num_data, given
  )
  values = _by_batches(log_prob, held_out, kwargs)
  reference = max(
      (b for b in baselines if b.structure.has_flow),
      key=lambda b: b.held_out.mean(),
  )
  # Some hundred images tell it; a whole set would take minutes.
  some = held_out[: max(_BALANCE_EVENTS, _BALANCE_NUMBERS // size)]
  balances = _by_batches(
      functools.partial(balance.event_balances, distribution), some, kwargs
  )

  def in_bits(nats):
    return float(optimum.bits_per_dim(nats, size, bits))

  def mean_and_error(values):
    """Of nats; the error in bits/dim, too."""
    error = mean_error.standard_error(values, min(len(values), num_held_out))
    return float(values.mean()), error, error / (size * math.log(2.0))

  mean, error, error_bits = mean_and_error(values)
  gap, gap_error, gap_error_bits = mean_and_error(values - reference.held_out)
  gain = gap / (size * math.log(2.0))
  volume, volume_error, _ = mean_and_error(balances)
  report = OptimumReport(
      log_likelihood=mean,
      standard_error=error,
      bits_per_dim=in_bits(mean),
      standard_error_bits_per_dim=error_bits,
      num_held_out=len(held_out),
      num_independent=num_held_out,
      baselines=[
          _as_dictionary(b, in_bits, *mean_and_error(b.held_out))
          for b in baselines
      ],
      reference=str(reference.structure),
      gain_bits_per_dim=gain,
      gain_standard_error_bits_per_dim=gap_error_bits,
      gap=gap,
      gap_standard_error=gap_error,
      gap_bits_per_dim=gain,
      linear_range=linear_range,
      price=reference.train - reference.constrained,
      volume_balance=volume,
      volume_balance_standard_error=volume_error,
      findings=[],
      unit='nats' if is_vector else 'bits/dim',
  )
  given_more = given is None and 'conditioning' in bijector_kwargs
  found = findings_lib.findings(report, size, nothing_held_out, given_more)
  return dataclasses.replace(report, findings=found)


def _row(name, train, held_out, error):
  error = '' if math.isnan(error) else f' +- {error:.3f}'
  return f'  {name:<32}{train:>8}{held_out:10.3f}{error}'


def _as_dictionary(baseline, in_bits, mean, error, error_bits):
  return {
      'name': str(baseline.structure),
      'vectors_per_dim': baseline.vectors_per_dim,
      'train_optimum': baseline.train,
      'train_optimum_bits_per_dim': in_bits(baseline.train),
      'constrained_optimum': baseline.constrained,
      'constrained_optimum_bits_per_dim': in_bits(baseline.constrained),
      'held_out': mean,
      'held_out_bits_per_dim': in_bits(mean),
      'held_out_standard_error': error,
      'held_out_standard_error_bits_per_dim': error_bits,
  }


def _given(distribution, data, conditioning, kwargs):
  """What linear flows are given, too, or `None`; see `linear_baselines`."""
  if conditioning is None:
    return None
  spec = getattr(distribution.bijector, 'conditioning', None)
  held_out = kwargs.get('bijector_kwargs', {}).get('conditioning')
  if data.ndim != 2 or spec is None or held_out is None:
    raise ValueError(
        'Argument `conditioning` is for a flow of vectors with a condition, '
        'with that of the held-out data in `bijector_kwargs`.'
    )
  conditioning = np.asarray(conditioning)
  if len(conditioning) != len(data):
    raise ValueError(
        f'Argument `conditioning` must be one for each of {len(data)} events, '
        f'got shape {list(conditioning.shape)}.'
    )
  return spec.argument, conditioning, np.asarray(held_out)


def _checked(x: Any, name: str, event_shape: Any, dtype: Any) -> np.ndarray:
  """`x` as an array of events of the flow's shape and type."""
  x = np.asarray(x)
  if not x.ndim or len(x) < 2 or list(x.shape[1:]) != event_shape:
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


def _by_batches(function, x, kwargs):
  """What a function makes of events, and of what belongs to them, `[N]`."""
  values, start = [], 0
  for batch in linear_baselines.batches_of(x):
    rows = slice(start, start + len(batch))
    more = conditioning_lib.of_some_events(kwargs, rows)
    values.append(function(tf.constant(batch), **more))
    start = rows.stop
  return np.concatenate(values).astype(np.float64)


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

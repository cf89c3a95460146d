"""Findings: what the numbers of an `OptimumReport` mean."""

import math

from tfp_flowopt.diagnostics import linear_baselines
from tfp_flowopt.diagnostics import mean_error

__all__ = ['events_of', 'findings']

# Nats per dimension that are worth a warning, and that are worth a word.
_NOTABLE, _NEGLIGIBLE = 0.01, 1e-4


def findings(report, size, nothing_held_out=False, given_more=False):
  """Sentences for each thing that the numbers of a report say.

  A mean is a finding where it is off by more than its `error_margin`. `size` is
  the number of dimensions of an event; `given_more` is true of a flow that is
  given a condition where linear flows are not.
  """
  if not math.isfinite(report.log_likelihood):
    return [
        'Broken: the log-likelihood of held-out data is not finite '
        f'({report.log_likelihood}). Look for the {events_of(report)} whose '
        '`log_prob` is not, go back to an earlier checkpoint, and train with a '
        'smaller learning rate.'
    ]
  rows = {row['name']: row for row in report.baselines}
  reference = rows[report.reference]
  margin = mean_error.error_margin(
      report.gap_standard_error, report.num_independent
  )
  # NaN, the margin of a single image, is below nothing.
  worse = report.gap < -max(margin, _NEGLIGIBLE * size)
  better = report.gap > max(margin, _NEGLIGIBLE * size)
  if math.isnan(margin):
    worse = better = False
  return [
      *(
          _no_reference(report, reference, size)
          if better and _is_overfitted(report, reference)
          else _comparison(report, worse, better, margin, size, given_more)
      ),
      *_excluded(report, rows),
      *_bounds(report, worse, size),
      _balance(report, size),
      *_generalization(report, reference, size),
      *_held_out(report, nothing_held_out),
  ]


def events_of(report):
  """What a report calls events."""
  return 'vectors' if report.unit == 'nats' else 'images'


def _events(report):
  number, name = report.num_independent, events_of(report)
  return f'{number} independent held-out {name if number > 1 else name[:-1]}'


def _bits(nats, size):
  return nats / (size * math.log(2.0))


def _amount(report, nats, size, error=math.nan):
  """Nats, and for images bits/dim before them; `error` is in nats."""
  if report.unit == 'nats':
    error = '' if math.isnan(error) else f' +- {error:.3g}'
    return f'{nats:.4g}{error} nats'
  error = '' if math.isnan(error) else f' +- {_bits(error, size):.3f}'
  return f'{_bits(nats, size):.3f}{error} bits/dim ({nats:.4g} nats)'


def _comparison(report, worse, better, margin, size, given_more):
  """Whether the flow is better than the best linear flow."""
  name = f'the best linear flow ({report.reference})'
  amount = _amount(report, abs(report.gap), size, report.gap_standard_error)
  if worse:
    return [
        f'Undertrained: {amount} worse than {name}, which one closed formula '
        'reaches. Train longer; if that does not help, take a flow of more '
        + (
            'steps or hidden units.'
            if report.unit == 'nats'
            else 'steps, levels or hidden channels.'
        )
    ]
  if better:
    structure = 'non-Gaussian structure'
    if given_more:
      structure = f'what the condition says and of {structure}'
    return [
        f'Captured {amount} of {structure} beyond {name}: better '
        'than each single linear flow above. Train on while held-out '
        + ('nats rise.' if report.unit == 'nats' else 'bits/dim fall.')
    ]
  if abs(report.gap) + margin <= _NOTABLE * size:
    return [
        f'As good as {name}: the difference is {amount}. Train longer to go '
        'beyond it.'
    ]
  sign = 'better' if report.gap > 0 else 'worse'
  chance = f'{_bits(margin, size):.3f}'
  if report.unit == 'nats':
    chance = f'{margin:.3g}'
  reason = f'up to {chance} may be chance'
  if report.num_independent < mean_error.FEW_IMAGES:
    reason = 'it may be chance'
  return [
      f'Undecided: {amount} {sign} than {name}, but with '
      f'{_events(report)} {reason}. Hold out more {events_of(report)}.'
  ]


def _is_overfitted(report, reference):
  """Whether a linear flow loses on held-out data what the flow has gained."""
  loss = reference['train_optimum'] - reference['held_out']
  few = reference['vectors_per_dim'] < linear_baselines.ENOUGH_VECTORS
  return few and loss > report.gap


def _no_reference(report, reference, size):
  amount = _amount(report, report.gap, size, report.gap_standard_error)
  return [
      f'Better by {amount} than the best linear flow ({report.reference}), '
      f'which {reference["vectors_per_dim"]:.3g} {events_of(report)} for each '
      'dimension are too few to fit: it says nothing of non-Gaussian '
      'structure. Give more `data`.'
  ]


def _excluded(report, rows):
  """Why a row that is better than the flow is not what it is compared with."""
  return [
      f'The row {row["name"]} is better than the flow, and left out of the '
      'comparison: it fits a matrix to each held-out image itself, so it is no '
      'density, and no flow for images not seen. It shows that images differ '
      'in their covariances. Train longer, or with more levels or steps, to '
      'learn how.'
      for row in rows.values()
      if row['name'].startswith('individual')
      and row['held_out_bits_per_dim'] < report.bits_per_dim
  ]


def _bounds(report, worse, size):
  """What the constants of the linear part cost."""
  (low, high), price = report.linear_range, report.price
  if [low, high] == [0.0, math.inf]:
    return [
        'The constants of its linear part are not known, nor what they cost. '
        'Register them with `lipschitz.lipschitz_bounds.register`.'
    ]
  within = f'singular values within [{low:.3g}, {high:.3g}]'
  amount = _amount(report, price, size)
  advice = (
      'a wider `log_range` of the flow, or wider `lipschitz` bounds of '
      '`initialize_at_optimum`.'
  )
  if worse and price > 1.1 * abs(report.gap):
    # Scalings have singular values of their own.
    return [
        f'Its linear part has {within}. A linear flow within would be {amount} '
        'behind the best one; this flow is less far behind: they do not hold '
        'it back.'
    ]
  if worse and price > 0.1 * abs(report.gap):
    return [
        f'A bound is too tight: {within} alone cost {amount} of that. Give it '
        f'{advice}'
    ]
  if price > _NOTABLE * size:
    return [
        f'Its linear part may have {within} only, which costs a linear flow '
        f'{amount}. If training stalls, give it {advice}'
    ]
  cost = max(price, 0.0)
  cost = (
      f'{cost:.2g} nats'
      if report.unit == 'nats'
      else f'{_bits(cost, size):.2g} bits/dim'
  )
  return [f'Its linear bounds are wide enough: they cost {cost}. Leave them.']


def _balance(report, size):
  """Whether its latents are as large as they should be."""
  balance, error = report.volume_balance, report.volume_balance_standard_error
  gain = 0.5 * size * (balance - math.log1p(balance))
  measured = f'mean |z|^2 is {1 + balance:.3f} D'
  if not math.isnan(error):
    measured = f'mean |z|^2 is ({1 + balance:.3f} +- {error:.3f}) D'
  if gain <= _NOTABLE * size:
    return f'Expansion and contraction balance: {measured}. Leave it.'
  amount = (
      f'one scale for all latents would gain {_amount(report, gain, size)}'
  )
  margin = mean_error.error_margin(error, report.num_independent)
  if not abs(balance) > margin:
    return (
        f'Expansion and contraction are undecided: {measured}, with '
        f'{_events(report)}. Hold out more {events_of(report)}.'
    )
  word = 'expands' if balance > 0 else 'contracts'
  return (
      f'It {word} too much: {measured}, and {amount}. Train longer, if '
      f'held-out {events_of(report)} are of the same kind as those it learns '
      'from.'
  )


def _generalization(report, reference, size):
  """Whether a linear flow, too, loses on held-out data."""
  loss = reference['train_optimum'] - reference['held_out']
  margin = mean_error.error_margin(
      reference['held_out_standard_error'], report.num_independent
  )
  if not loss > max(_NOTABLE * size, margin) or math.isnan(margin):
    return []
  few = reference['vectors_per_dim'] < linear_baselines.ENOUGH_VECTORS
  return [
      f'Even the best linear flow ({report.reference}) loses '
      f'{_amount(report, loss, size)} from training to '
      'held-out data: too few training data, or held-out data of another kind. '
      + (
          f'Train on more {events_of(report)}.'
          if few
          else f'Look at both, and train on more {events_of(report)}, of the '
          'kind held out.'
      )
  ]


def _held_out(report, nothing_held_out):
  """Whether there is much that held-out numbers can say."""
  if nothing_held_out:
    return [
        'Nothing was held out: both columns are of the data that the linear '
        'flows were fitted to, and a flow that memorised them looks good. Give '
        '`held_out`.'
    ]
  if report.num_independent < mean_error.FEW_IMAGES:
    return [
        f'Only {_events(report)}: others may give very '
        f'different numbers. Hold out {mean_error.FEW_IMAGES} or more.'
    ]
  return []

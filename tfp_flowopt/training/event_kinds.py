"""What a run is of, images or vectors: its data, its loss and its unit."""

import tensorflow as tf

from tfp_flowopt import bijectors
from tfp_flowopt import diagnostics
from tfp_flowopt import flows
from tfp_flowopt import optimum
from tfp_flowopt.data import dataset_examples
from tfp_flowopt.data import example_batches
from tfp_flowopt.data import labelled
from tfp_flowopt.training import linear_optima

__all__ = ['Images', 'Vectors', 'kind_of']

# Elements among which the next one of a `tf.data.Dataset` is drawn.
_SHUFFLE_BUFFER = 10000


def kind_of(distribution, config):
  """`Vectors` or `Images`, by the shape of an event."""
  kind = Vectors if distribution.event_shape.rank == 1 else Images
  return kind(distribution, config)


class Images:
  """uint8 images, in bits/dim.

  Attributes:
    unit: What a loss is called; smaller is better.
    key: The same in names of columns.
    events: What examples are called.
    bits: Bits of an image value.
    batches: Makes the `ExampleBatches`.
    flow: Class of the bijectors that start at the optimum.
  """

  unit, key, events = 'bits/dim', 'bits_per_dim', 'images'
  batches = example_batches.ExampleBatches
  flow: type = bijectors.ImageFlow

  def __init__(self, distribution, config):
    self._distribution = distribution
    self.bits = config.bits
    self._size = distribution.event_shape.num_elements()

  def examples(self, data):
    """What a `Trainer` is given, as `Examples`."""
    return data

  def check(self, data, name):
    """Refuses `Examples` that do not belong to the distribution."""
    labelled.check(self._distribution, data, name)

  def check_values(self, examples, name):
    """Refuses `ExampleBatches` that nothing can be measured on."""
    del examples, name  # bytes are all alike

  def losses(self, log_likelihoods):
    """Nats in the unit of the loss."""
    return optimum.bits_per_dim(log_likelihoods, self._size, self.bits)

  def training_loss(self):
    """The `loss` of `TrainStep`."""
    return None

  def initialize(self, examples):
    """Puts the flow at the optimum; the loss that this predicts."""
    return flows.initialize_at_optimum(
        self._distribution, examples.dequantized(self.bits), bits=self.bits
    )

  def optima(self, examples, held_out):
    """Losses of the best linear flows, see `pointwise_optima`."""
    return linear_optima.pointwise_optima(examples, held_out, self.bits)

  @staticmethod
  def optimum_name(key):
    """What the best of these flows is called."""
    return f'best linear flow, pointwise {key}x{key}'

  def report(self, examples, held_out, log_prob):
    """The `diagnostics.OptimumReport`."""
    # Of large sets, about the first examples.
    data, given = examples.array(self.bits)
    x, kwargs = held_out.array(self.bits)
    return diagnostics.optimum_report(
        self._distribution,
        data,
        x,
        log_prob=log_prob,
        num_data=min(len(data), examples.num_disjoint),
        num_held_out=min(len(x), held_out.num_independent),
        **self._report_arguments(given),
        **kwargs,
    )

  def _report_arguments(self, given):
    del given
    return {'bits': self.bits}


class Vectors(Images):
  """Vectors, with a condition or without, in nats: -log p."""

  unit, key, events = 'nats (-log p)', 'nll', 'vectors'
  batches = example_batches.VectorBatches
  flow = bijectors.VectorFlow

  def examples(self, data):
    """A `tf.data.Dataset` as `DatasetExamples`."""
    if isinstance(data, tf.data.Dataset):
      return dataset_examples.DatasetExamples(
          data, shuffle_buffer=_SHUFFLE_BUFFER
      )
    return data

  def check(self, data, name):
    """See `Images`."""
    wanted = getattr(self._distribution.bijector, 'conditioning', None)
    spec = getattr(data, 'conditioning_spec', None)
    if not hasattr(self._distribution.bijector, 'conditioning'):
      return  # one of TFP's
    if (wanted is None) != (spec is None) or (
        wanted is not None
        and not wanted.spec.shape[1:].is_compatible_with(spec.shape)
    ) or (wanted is not None and wanted.is_labels != spec.dtype.is_integer):
      raise ValueError(
          f'Argument `{name}` must hold '
          + (f'pairs of vectors and {wanted}' if wanted else 'vectors alone')
          + f', as the flow is conditioned on, got conditioning {spec}.'
      )

  def check_values(self, examples, name):
    """See `Images`."""
    if examples.num < 2:
      raise ValueError(f'Argument `{name}` must hold two vectors or more.')
    support = getattr(self._distribution.bijector, 'support', None)
    wanted = getattr(self._distribution.bijector, 'conditioning', None)
    for _, batch in examples:
      x, kwargs = labelled.split(batch)
      if wanted is not None:
        wanted.check_values(name, _condition(kwargs))
      for problem, values in (
          ('be finite', x),
          ('be inside of the support', support and support.inverse(x)),
      ):
        if values is None:
          continue
        axes = list(range(1, values.shape.rank))
        wrong = tf.where(~tf.reduce_all(tf.math.is_finite(values), axes))
        if len(wrong):
          raise ValueError(
              f'Argument `{name}` must {problem}, got a vector '
              f'{x[wrong[0, 0]].numpy()}.'
          )

  def losses(self, log_likelihoods):
    """See `Images`."""
    return -log_likelihoods

  def training_loss(self):
    """See `Images`."""

    def loss(examples, seed, first):
      del seed, first  # nothing is random
      x, kwargs = labelled.split(examples)
      return -tf.reduce_mean(self._distribution.log_prob(x, **kwargs))

    return loss

  def initialize(self, examples):
    """See `Images`."""
    x, kwargs = examples.array()
    return -flows.initialize_at_optimum(
        self._distribution, x, conditioning=_condition(kwargs)
    )

  def optima(self, examples, held_out):
    """See `Images`; of dense linear flows, given the condition."""
    x, kwargs = examples.array()
    other, other_kwargs = held_out.array()
    spec = getattr(self._distribution.bijector, 'conditioning', None)
    stream = optimum.AutoCorrelation(
        'dense', self._size, conditioning=spec and spec.argument
    )
    stream.update(x, _condition(kwargs))
    try:
      best, flow = stream.optimum().log_likelihood, stream.linear_flow()
    except tf.errors.InvalidArgumentError:
      values = {}, {}  # singular: there is no best one
    else:
      held = tf.reduce_mean(flow.log_prob(other, _condition(other_kwargs)))
      values = {'dense': -float(best)}, {'dense': -float(held)}
    return {
        'train_optimum': values[0],
        'held_out_optimum': values[1],
        'vectors_per_dim': {'dense': examples.num_disjoint / self._size},
    }

  @staticmethod
  def optimum_name(key):
    """See `Images`."""
    del key
    return 'best linear flow'

  def _report_arguments(self, given):
    return {'bits': 0, 'conditioning': _condition(given)}


def _condition(kwargs):
  return kwargs.get('bijector_kwargs', {}).get('conditioning')

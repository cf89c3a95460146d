"""Bijectors that compute value and log-determinant together."""

import abc
import inspect
from typing import Any
from typing import Self

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt.bijectors import conditioned
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import call_cache
from tfp_flowopt.internal import floats
from tfp_flowopt.internal import module_tree
from tfp_flowopt.internal import types

__all__ = [
    'JointBijector',
    'check_event',
    'compose',
    'forward_and_log_det',
    'inverse_and_log_det',
    'num_positions',
    'shape_of',
]


class JointBijector(call_cache.WeightedBijector, metaclass=abc.ABCMeta):
  """A bijector whose value and log-determinant come from one evaluation.

  `TransformedDistribution.log_prob` asks for the inverse at `y` and then for
  the *forward* log-determinant at the recovered point. With TFP's plain cache a
  network runs twice for that; here both directions keep the log-determinant
  beside the value until `log_prob` returns. Likewise in
  `experimental_sample_and_log_prob`, in a `tfb.Chain` or `tfb.Invert`, and in
  `tfp.mcmc.TransformedTransitionKernel`.

  Nothing is kept for longer: weights change. Who needs both calls
  `forward_and_log_det` or `inverse_and_log_det`, which take any bijector;
  `inverse` and then `inverse_log_det_jacobian` evaluate twice. Integers and
  booleans are refused, unless they are Python's own numbers.

  Subclasses implement `_forward_and_log_det` and `_inverse_and_log_det`, each
  returning the value and the log-determinant of its own direction, reduced
  over the minimal event dimensions. Those that depend on more than their input
  set `_is_conditional`: both methods have an argument `conditioning`, `None` by
  default, as have all methods of TFP's that pass keyword arguments on.
  """

  _is_conditional = False
  # Of those whose networks would take none for zeros.
  _needs_conditioning = False

  def __init__(
      self,
      event_ndims: int | None = None,
      dtype: types.DType | None = None,
      parameters: dict[str, Any] | None = None,
      name: str | None = None,
      **kwargs: Any,
  ) -> None:
    """As `tfb.Bijector`, for events of `event_ndims` dimensions both ways.

    `dtype`, `name` and what else there is are TFP's; `parameters` are the
    arguments of the subclass's constructor, `validate_args` among them.
    """
    if event_ndims is not None:
      kwargs.setdefault('forward_min_event_ndims', event_ndims)
    kwargs.setdefault(
        'validate_args', (parameters or {}).get('validate_args', False)
    )
    super().__init__(dtype=dtype, parameters=parameters, name=name, **kwargs)

  @property
  def _conditioning_ndims(self):
    """Number of dimensions of the conditioning of a single event."""
    return self.inverse_min_event_ndims

  @abc.abstractmethod
  def _forward_and_log_det(self, x, **kwargs):
    """Returns `forward(x)` and `log|det d forward / dx|`."""

  @abc.abstractmethod
  def _inverse_and_log_det(self, y, **kwargs):
    """Returns `inverse(y)` and `log|det d inverse / dy|`."""

  def _checked(self, x, num_channels=None, any_rank=False):
    """`check_event` of a bijector with an argument `event_ndims`."""
    ndims = self.forward_min_event_ndims
    wanted = [*[None] * (ndims - 1), num_channels]
    few = x.shape.rank is not None and 1 <= x.shape.rank < ndims
    advice = ' For vectors, make it with `event_ndims=1`.' if few else ''
    return check_event(x, wanted, self.name, any_rank, advice)

  def _num_positions(self, x):
    return num_positions(x, self.forward_min_event_ndims)

  def _inverse_with_gradients(self, result, forward, tape, **kwargs):
    """Goes back from a value, and the same way again under a tape that records.

    A reversible flow walks back so, from results to gradients. What both ways
    need (the network of a coupling) may be computed once. `forward` says
    whether `result` is the value of `forward`, or of `inverse`.

    Returns:
      A list of `Tensor`s, the input in parts along the last axis; the value and
      the log-determinant, recorded as functions of them.
    """
    there, back = self._inverse_and_log_det, self._forward_and_log_det
    if forward:
      there, back = back, there
    with tape.stop_recording():
      x, _ = back(result, **kwargs)
    tape.watch(x)
    return [x], *there(x, **kwargs)

  @classmethod
  def _parameter_properties(cls, dtype, num_classes=None):
    del dtype, num_classes
    return {}

  def _configure(self):
    """Sets what copies may change; subclasses name it as their arguments."""

  def _configure_by(self, parameters):
    settings = inspect.signature(self._configure).parameters
    self._configure(**{key: parameters[key] for key in settings})

  def copy(self, **override_parameters_kwargs: Any) -> Self:
    """A bijector that shares the weights of this one, with other arguments.

    It is made without the constructor. Only where a bijector has no weights but
    those of its arguments, as a coupling, may all arguments change.

    Args:
      **override_parameters_kwargs: Constructor arguments to change.

    Raises:
      TypeError: If there is no such argument.
      ValueError: If an argument cannot change without other weights, or has a
        wrong value.
    """
    changed = override_parameters_kwargs
    parameters = dict(self.parameters or {}, **changed)
    settings = inspect.signature(self._configure).parameters.keys()
    fixed = sorted(changed.keys() - settings - {'name', 'validate_args'})
    if fixed:
      unknown = sorted(set(fixed) - set(self.parameters or {}))
      if unknown:
        raise TypeError(
            f'A copy of {type(self).__name__} got {unknown}, which are not '
            'arguments of its constructor.'
        )
      if self._made_weights():
        raise ValueError(
            f'A copy of {type(self).__name__} shares its weights, so {fixed} '
            'cannot change; make a new one.'
        )
      return super().copy(**changed)
    result = object.__new__(type(self))
    tfp.bijectors.Bijector.__init__(
        result,
        is_constant_jacobian=self.is_constant_jacobian,
        validate_args=changed.get('validate_args', self.validate_args),
        dtype=self.dtype,
        forward_min_event_ndims=self.forward_min_event_ndims,
        inverse_min_event_ndims=self.inverse_min_event_ndims,
        parameters=parameters,
        name=changed.get('name', self.name),
    )
    for key, value in vars(self).items():
      if key not in vars(result) and not module_tree.is_state(key):
        setattr(result, key, value)
    if changed.keys() & settings:
      result._configure_by(parameters)
    return result

  def __getitem__(self, slices: Any) -> Self:
    # One bijector, not a batch of them; TFP would run the constructor again.
    del slices
    return self.copy()

  def _made_weights(self):
    """Whether it holds weights that are not from its arguments."""
    given = {id(leaf) for leaf in module_tree.leaves(self.parameters)}
    return any(id(leaf) not in given for leaf in module_tree.leaves(self))


# A user's `tf.function` would translate the whole flow, which takes twice as
# long as to trace it.
@tf.autograph.experimental.do_not_convert
def forward_and_log_det(
    bijector: types.Bijector,
    x: types.TensorLike,
    conditioning: types.TensorLike | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
  """`forward(x)` and its log-determinant, in one evaluation.

  Args:
    bijector: Any `tfb.Bijector`.
    x: `Tensor` of at least `bijector.forward_min_event_ndims` dimensions.
    conditioning: `Tensor` for a bijector that depends on one; others do not
      see it.

  Returns:
    The value, and the log-determinant in nats per event.

  Raises:
    ValueError: If `bijector` is none, the shape does not fit, or `x` holds
      integers or booleans.
  """
  x = _as_input(x, bijector, 'x')
  if isinstance(bijector, call_cache.CallCachedBijector):
    return bijector._forward_and_log_det(  # pylint: disable=protected-access
        x, **conditioned.keywords(bijector, conditioning)
    )
  # A tensor that TFP's cache has not seen.
  x = tf.identity(x)
  kwargs = conditioned.keywords(bijector, conditioning)
  return (
      bijector.forward(x, **kwargs),
      bijector.forward_log_det_jacobian(x, **kwargs),
  )


@tf.autograph.experimental.do_not_convert
def inverse_and_log_det(
    bijector: types.Bijector,
    y: types.TensorLike,
    conditioning: types.TensorLike | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
  """`inverse(y)` and its log-determinant, in one evaluation.

  Args:
    bijector: Any `tfb.Bijector`.
    y: `Tensor` of at least `bijector.inverse_min_event_ndims` dimensions.
    conditioning: As for `forward_and_log_det`.

  Returns:
    The value, and the log-determinant in nats per event.

  Raises:
    ValueError: As `forward_and_log_det`.
  """
  y = _as_input(y, bijector, 'y')
  if isinstance(bijector, call_cache.CallCachedBijector):
    return bijector._inverse_and_log_det(  # pylint: disable=protected-access
        y, **conditioned.keywords(bijector, conditioning)
    )
  # A tensor that TFP's cache has not seen.
  y = tf.identity(y)
  kwargs = conditioned.keywords(bijector, conditioning)
  return (
      bijector.inverse(y, **kwargs),
      bijector.inverse_log_det_jacobian(y, **kwargs),
  )


def _as_input(value, bijector, name):
  arguments.check_instance(
      'bijector', bijector, tfp.bijectors.Bijector, 'a tfb.Bijector'
  )
  return floats.as_floats(value, bijector.dtype, name)


def compose(evaluate, bijectors, x, conditioning=None):
  """The last value of bijectors in turn, and the sum of their log-determinants.

  `evaluate` is `forward_and_log_det` or `inverse_and_log_det`.
  """
  total = None
  for bijector in bijectors:
    x, log_det = evaluate(bijector, x, conditioning)
    total = log_det if total is None else total + log_det
  return x, tf.zeros([], x.dtype) if total is None else total


def check_event(x, event_shape, name, any_rank=False, advice=''):
  """`x`, whose last dimensions must have a shape, `None` in it for any size.

  The static shape is refined; dimensions that are not known yet are checked as
  it runs. With `any_rank` the rank need not be known. A `ValueError` calls the
  bijector `name`, and ends with `advice`.
  """
  event_shape = tf.TensorShape(event_shape)
  if any_rank and x.shape.rank is None:
    return x
  # Negative for a rank that is too low: then that is another one.
  batch_ndims = (x.shape.rank or 0) - event_shape.rank
  shape = x.shape[: max(batch_ndims, 0)].concatenate(event_shape)
  if x.shape.rank is None or not x.shape.is_compatible_with(shape):
    sizes = ', '.join(str(n) for n in event_shape.as_list())
    raise ValueError(
        f'{name} needs inputs of a known rank, and of shape [..., {sizes}], '
        f'got {x.shape}.{advice}'
    )
  # No operation where nothing is left to check: there are hundreds of calls.
  known = x.shape.merge_with(shape).as_list() == x.shape.as_list()
  return x if known else tf.ensure_shape(x, shape)


def num_positions(x, event_ndims=3):
  """Number of positions `H W` of images `[..., H, W, C]`, in their type.

  In general, of all dimensions of an event but the last; 1 for vectors.
  """
  positions = x.shape[-event_ndims:-1].num_elements()
  if positions is None:
    return tf.cast(tf.reduce_prod(tf.shape(x)[-event_ndims:-1]), x.dtype)
  return tf.constant(positions, x.dtype)


def shape_of(x):
  """The shape of a `Tensor`, as a list or `TensorShape` if it is known."""
  return x.shape if x.shape.is_fully_defined() else tf.shape(x)

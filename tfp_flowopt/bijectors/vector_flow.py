"""VectorFlow bijector."""

import tensorflow as tf

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import invertible_conv1x1
from tfp_flowopt.bijectors import supports
from tfp_flowopt.bijectors import vector_layers
from tfp_flowopt.bijectors import vector_storeys
from tfp_flowopt.bijectors.repeated import repeated_steps
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import conditions
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['VectorFlow']


class VectorFlow(base.JointBijector):
  """A flow of vectors that can start at the closed-form optimum.

  In the order of `inverse`, from data to latents:

  1. `support`, onto all of R^D;
  2. `marginals`: a curve for each column (`MarginalGaussianization`);
  3. `shift`: what the condition predicts linearly, `y - B c`
     (`ConditionalShift`);
  4. `whiten`: a linear map (`InvertibleConv1x1`);
  5. `whiten_classes`: another one for each class (`DenseAffine`), if the
     condition is labels and the maps have at most 2**25 numbers;
  6. `radius`: vectors far out come nearer (`RadialScaling`);
  7. `steps`: `num_steps` times a linear map and a coupling, a residual layer or
     the gradient of a convex potential.

  A new flow only rotates. `tfp_flowopt.initialize_at_optimum` puts 2 to 6 at
  their optimum: an elliptical copula, given the condition. The steps start as
  rotations, which a standard normal does not see, and are trained.

  Conditions are class labels or vectors. They shift in 3, choose the map in 5
  and enter the networks of 7; constants are those for any condition.

  Lipschitz constants: the products of those of the parts; `lipschitz_budget`
  bounds those of the layers in 7. Without a budget each has constants of its
  own. Curves and linear maps have those that the data choose.

  #### Example

  ```python
  flow = fo.bijectors.VectorFlow(6, conditioning=[2])
  y, c = tf.ones([5, 6]), tf.ones([5, 2])
  flow.inverse(y, conditioning=c)
  ```
  """

  _is_conditional = True

  def __init__(
      self,
      event_size: int,
      num_steps: int = 6,
      hidden_units: int = 64,
      coupling: types.VectorCoupling = 'spline',
      conditioning: types.ConditioningSpec | None = None,
      support: types.Bijector | None = None,
      lipschitz_budget: float | None = None,
      conditioner_lipschitz: float | None = None,
      num_bins: int = 16,
      gaussianize_marginals: bool | None = None,
      gaussianize_radius: bool = True,
      marginal_knots: int = 33,
      log_range: float = 1.0,
      seed: int = 0,
      dtype: types.DType = tf.float32,
      validate_args: bool = False,
      name: str = 'vector_flow',
  ) -> None:
    """Creates the flow.

    Args:
      event_size: Number of components of a vector, `D`. With one, couplings are
        curves that depend on the condition alone.
      num_steps: Number of steps; 0 for the closed form alone.
      hidden_units: Width of the networks, even. With `'convex'` also the number
        of units of a potential, of which there are `2 D` at least.
      coupling: `'affine'`, `'spline'`, `'autoregressive'`, `'residual'` or
        `'convex'`: what the steps are made of.
      conditioning: What the flow depends on: a number of classes, whose labels
        are integers, or a shape `[F]` of features; `None` for nothing.
      support: `tfb.Bijector` from R^D to where the data are, elementwise or of
        vectors, such as `tfb.Sigmoid(low, high)` or `tfb.Exp()`.
      lipschitz_budget: Positive Python `float`: the logarithm of the Lipschitz
        constants of all steps together and of their inverse stays below it;
        `None` for no budget.
      conditioner_lipschitz: Positive Python `float`, the constant of each
        network of a coupling; not with a budget, which chooses it.
      num_bins: Number of bins of each spline, at least 2.
      gaussianize_marginals: Whether there are curves; `None`: as the data that
        it is initialised with suggest (`initialize_at_optimum`).
      gaussianize_radius: Whether there is `radius`, for heavy tails.
      marginal_knots: Number of knots of each.
      log_range: Range of the singular values of the linear maps (`whiten` and
        those of the steps), see `InvertibleConv1x1`.
      seed: Python `int`, of the rotations and the initial networks.
      dtype: Type of the variables, float32 or float64.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If an argument has a wrong value.
    """
    parameters = dict(locals())
    event_size = arguments.check_int('event_size', event_size)
    num_steps = arguments.check_int('num_steps', num_steps, least=0)
    check = arguments.check_choice
    check('gaussianize_marginals', gaussianize_marginals, (None, False, True))
    check('gaussianize_radius', gaussianize_radius, (False, True))
    marginal_knots = arguments.check_int('marginal_knots', marginal_knots, 2)
    seed = arguments.check_int('seed', seed, least=0)
    budget = lipschitz_budget
    if budget is not None:
      budget = arguments.check_positive('lipschitz_budget', budget)
    dtype = arguments.check_dtype('dtype', dtype, (tf.float32, tf.float64))
    with tf.name_scope(name) as name:
      self._conditioning, num_features = None, 0
      if conditioning is not None:
        self._conditioning = conditions.Condition(conditioning, dtype)
        num_features = self._conditioning.num_channels
      self._event_size = event_size
      self._support = support
      size = event_size
      if support is not None:
        size = supports.latent_size(support, event_size, dtype)
      self._gaussianize_marginals = gaussianize_marginals
      storeys = vector_storeys.build_storeys(
          size,
          self._conditioning,
          marginal_knots if gaussianize_marginals is not False else None,
          marginal_knots,
          gaussianize_radius,
          log_range,
          dtype,
      )
      self._marginals, self._condition_curves, self._shift = storeys[:3]
      self._whiten, self._whiten_classes, self._radius = storeys[3:]
      layers = vector_layers.VectorLayers(
          size,
          coupling,
          hidden_units,
          num_features,
          budget and budget / max(1, num_steps),
          conditioner_lipschitz,
          dtype,
          num_bins,
      )
      make = layers.make_steps if num_steps else lambda *_: None
      self._steps = make(num_steps, log_range, seed)
      self._initialized = tf.Variable(False, False, name='initialized')
      super().__init__(1, dtype, parameters, name)

  @property
  def event_shape(self) -> tf.TensorShape:
    """Shape of a vector, `[D]`."""
    return tf.TensorShape([self._event_size])

  @property
  def event_size(self) -> int:
    """Its number of components."""
    return self._event_size

  @property
  def latent_size(self) -> int:
    """Number of components of a latent: fewer on a simplex, say."""
    return self._whiten.shift.shape[0]

  @property
  def conditioning(self) -> conditions.Condition | None:
    """The `Condition` that the flow was made with, or `None`."""
    return self._conditioning

  @property
  def condition_curves(self) -> types.Bijector | None:
    """The `MarginalGaussianization` of features, or `None`."""
    return self._condition_curves

  @property
  def support(self) -> types.Bijector | None:
    """The bijector onto the support, or `None`."""
    return self._support

  @property
  def marginals(self) -> types.Bijector | None:
    """The `MarginalGaussianization` of each component, or `None`."""
    return self._marginals

  @property
  def gaussianize_marginals(self) -> bool | None:
    """Whether there are curves; `None` if data choose."""
    return self._gaussianize_marginals

  @property
  def shift(self) -> types.Bijector | None:
    """The `ConditionalShift`, or `None` without a condition."""
    return self._shift

  @property
  def whiten(self) -> invertible_conv1x1.InvertibleConv1x1:
    """The `InvertibleConv1x1` that whitens."""
    return self._whiten

  @property
  def whiten_classes(self) -> types.Bijector | None:
    """The `DenseAffine` of each class, or `None`."""
    return self._whiten_classes

  @property
  def radius(self) -> types.Bijector | None:
    """The `RadialScaling` of whole vectors, or `None`."""
    return self._radius

  @property
  def steps(self) -> repeated_steps.RepeatedSteps | None:
    """The `RepeatedSteps`, or `None` without steps."""
    return self._steps

  @property
  def initialized(self) -> tf.Variable:
    """Boolean variable: whether the flow was initialised from data."""
    return self._initialized

  def mark_initialized(self) -> None:
    """Notes that the weights were set from data."""
    self._initialized.assign(True)

  @property
  def parts(self) -> list[types.Bijector]:
    """The bijectors in the order of `inverse`, the support among them."""
    parts = [self._support, *self.parts_of_unconstrained]
    return parts[self._support is None :]

  @property
  def parts_of_unconstrained(self) -> list[types.Bijector]:
    """The same without the support."""
    parts = [
        self._marginals,
        self._shift,
        self._whiten,
        self._whiten_classes,
        self._radius,
        self._steps,
    ]
    return [part for part in parts if part is not None]

  def bounds_by_part(self) -> flow_bounds.FlowBounds:
    """The `FlowBounds`: certified constants of linear and non-linear part.

    Raises:
      TypeError: If it is of a subclass without `lipschitz_bounds` of its own.
    """
    return flow_bounds.bounds_by_part(self)

  @property
  def _conditioning_ndims(self):
    return self._conditioning.event_ndims if self._conditioning else None

  def _shape(self, method, shape):
    if self._support is None:
      return shape
    return getattr(self._support, method)(shape)

  def _forward_event_shape(self, input_shape):
    return self._shape('forward_event_shape', input_shape)

  def _inverse_event_shape(self, output_shape):
    return self._shape('inverse_event_shape', output_shape)

  def _forward_event_shape_tensor(self, input_shape):
    return self._shape('forward_event_shape_tensor', input_shape)

  def _inverse_event_shape_tensor(self, output_shape):
    return self._shape('inverse_event_shape_tensor', output_shape)

  def features(
      self,
      conditioning: types.TensorLike | None = None,
      batch_shape: types.Shape | None = None,
  ) -> tf.Tensor | None:
    """Conditioning, as `inverse` takes it, as the parts take it.

    `Tensor` `[..., F]`: one-hot labels or features, after `condition_curves`;
    `None` for a flow without.

    Raises:
      ValueError: If it is missing, or does not fit.
    """
    if self._conditioning is not None:
      features = self._conditioning.features(
          conditioning, self.dtype, conditions.WITH_DISTRIBUTION
      )
      if batch_shape is not None:
        self._conditioning.check_batch(features.shape[:-1], batch_shape)
      return base.inverse_and_log_det(self._condition_curves, features)[0]
    if conditioning is not None:
      raise ValueError('Argument `conditioning`: the flow was made without it.')
    return None

  def _forward_and_log_det(self, x, conditioning=None):
    x = base.check_event(x, [self.latent_size], self.name)
    features = self.features(conditioning, x.shape[:-1])
    parts = reversed(self.parts_of_unconstrained)
    y, log_det = base.compose(base.forward_and_log_det, parts, x, features)
    if self._support is None:
      return y, log_det
    # Another tensor, which TFP's cache has not seen.
    y = tf.identity(y)
    return (
        self._support.forward(y),
        log_det + self._support.forward_log_det_jacobian(y, event_ndims=1),
    )

  def _inverse_and_log_det(self, y, conditioning=None):
    y = base.check_event(y, [self._event_size], self.name)
    features = self.features(conditioning, y.shape[:-1])
    before = tf.zeros([], y.dtype)
    if self._support is not None:
      y = tf.identity(y)
      before = self._support.inverse_log_det_jacobian(y, event_ndims=1)
      y = self._support.inverse(y)
    x, log_det = base.compose(
        base.inverse_and_log_det, self.parts_of_unconstrained, y, features
    )
    return x, before + log_det


@bounds.lipschitz_bounds.register
def _(bijector: VectorFlow):
  own = bounds.bounds_of_parts(bijector.parts_of_unconstrained)
  return own.then(vector_storeys.support_bounds(bijector.support))


@flow_bounds.bounds_by_part.register
def _(bijector: VectorFlow):
  # Support and radius are none of what a budget bounds.
  radius = bijector.radius
  others = vector_storeys.support_bounds(bijector.support)
  parts = [x for x in bijector.parts_of_unconstrained if x is not radius]
  if radius is not None:
    others = others.then(bounds.lipschitz_bounds(radius))
  own = flow_bounds.bounds_of_parts(parts)
  return own._replace(linear=own.linear.then(others))

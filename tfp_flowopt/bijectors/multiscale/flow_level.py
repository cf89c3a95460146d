"""FlowLevel bijector."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors.multiscale import conditioning as conditioning_lib
from tfp_flowopt.internal import arguments
from tfp_flowopt.lipschitz import bounds
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['FlowLevel']


class FlowLevel(base.JointBijector):
  """One resolution of a multi-scale flow.

  In direction `inverse`, from an image to a flat latent:

  ```none
  scaling -> squeeze -> whiten -> (ActNorm -> 1x1 -> couplings) x K -> restore
         -> factor out
  ```

  `scaling`, of the channels that came from a finer level, and that of
  `factor_out`, of those that leave, scale them by their local energy.
  `whiten` is the linear map that `initialize_at_optimum` puts at the
  closed-form optimum. The steps rotate the channels between couplings;
  `restore` undoes their rotations, so that the order of the whitened channels
  (by eigenvalue) is known where they are factored out. What travels on is the
  image that the next level (`factor_out.travel`) sees. So does `conditioning`,
  `[..., H, W, F]` or `[..., 1, 1, F]`: the steps and the next level see it at
  half the resolution.

  `ImageFlow` trains neither `whiten` nor `restore`, but the ActNorm and the
  linear map of each step, which come after whitening. In `A = U diag(s) V^T`
  of images, `s` differs by factors of hundreds between directions: turning `V`
  by a small angle `a` changes a latent of unit variance by up to
  `a max(s) / min(s)`, and a small change `d` of the shift by `d max(s)`. After
  whitening the same steps change all latents by about `a` and `d`, so that a
  learning rate suits all of them.
  """

  def __init__(
      self,
      squeeze,
      whiten,
      steps,
      restore,
      factor_out,
      scaling=None,
      validate_args=False,
      name='flow_level',
  ):
    """Creates the level from its parts.

    Args:
      squeeze: `DepthToSpace`.
      whiten: `InvertibleConv1x1`.
      steps: `RepeatedSteps` of bijectors of images.
      restore: `InvertibleConv1x1`.
      factor_out: `FactorOut`.
      scaling: `ScalingCascade` of the images that arrive; by default none.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If a part is no bijector.
    """
    parameters = dict(locals())
    parts = {
        'squeeze': squeeze,
        'whiten': whiten,
        'steps': steps,
        'restore': restore,
        'factor_out': factor_out,
    }
    if scaling is not None:
      parts['scaling'] = scaling
    for key, value in parts.items():
      arguments.check_instance(
          key, value, tfp.bijectors.Bijector, 'a bijector'
      )
    with tf.name_scope(name) as name:
      self._squeeze = squeeze
      self._whiten = whiten
      self._repeated_steps = steps
      self._restore = restore
      self._factor_out = factor_out
      self._scaling = scaling
      super().__init__(
          forward_min_event_ndims=1,
          inverse_min_event_ndims=3,
          dtype=whiten.dtype,
          validate_args=validate_args,
          parameters=parameters,
          name=name,
      )

  _is_conditional = True

  @property
  def squeeze(self):
    """The `DepthToSpace`."""
    return self._squeeze

  @property
  def whiten(self):
    """The linear map that the closed-form optimum initialises."""
    return self._whiten

  @property
  def repeated_steps(self):
    """The steps, as one `RepeatedSteps`."""
    return self._repeated_steps

  @property
  def steps(self):
    """The steps, lists of bijectors in the order of direction `inverse`.

    To look at; `repeated_steps.assign` changes one.
    """
    return self._repeated_steps.steps

  @property
  def restore(self):
    """The linear map that undoes the rotations of the steps."""
    return self._restore

  @property
  def factor_out(self):
    """The `FactorOut` that holds the next level."""
    return self._factor_out

  @property
  def scaling(self):
    """The `ScalingCascade` of the images that arrive, or `None`."""
    return self._scaling

  @property
  def parts_after_whitening(self):
    """Steps and `restore` in the order of `inverse`: at first, the identity."""
    return [*self._repeated_steps.parts, self._restore]

  @property
  def parts(self):
    """All bijectors in the order of direction `inverse`, but `factor_out`."""
    return [*self.parts_before_steps, *self.parts_after_whitening]

  @property
  def parts_before_steps(self):
    """Scaling, squeeze and `whiten`, in the order of `inverse`."""
    scaling = [] if self._scaling is None else [self._scaling]
    return [*scaling, self._squeeze, self._whiten]

  @property
  def _joint_parts(self):
    """All bijectors in the order of direction `inverse`, the steps as one."""
    return [
        *self.parts_before_steps,
        self._repeated_steps,
        self._restore,
        self._factor_out,
    ]

  def halved(self, conditioning):
    """Conditioning as the steps and the next level see it.

    Args:
      conditioning: `Tensor` `[..., H, W, F]` or `[..., 1, 1, F]`, or `None`.

    Returns:
      Means of 2 by 2 positions; the second kind, and `None`, as they are.
    """
    return conditioning_lib.halved(conditioning)

  def _forward_and_log_det(self, x, conditioning=None):
    return base.compose(
        base.forward_and_log_det,
        reversed(self._joint_parts),
        x,
        self.halved(conditioning),
    )

  def _inverse_and_log_det(self, y, conditioning=None):
    return base.compose(
        base.inverse_and_log_det,
        self._joint_parts,
        y,
        self.halved(conditioning),
    )

  def _forward_event_shape(self, input_shape):
    return self._squeeze.forward_event_shape(
        self._factor_out.forward_event_shape(input_shape)
    )

  def _inverse_event_shape(self, output_shape):
    return self._factor_out.inverse_event_shape(
        self._squeeze.inverse_event_shape(output_shape)
    )

  def _forward_event_shape_tensor(self, input_shape):
    return self._squeeze.forward_event_shape_tensor(
        self._factor_out.forward_event_shape_tensor(input_shape)
    )

  def _inverse_event_shape_tensor(self, output_shape):
    return self._factor_out.inverse_event_shape_tensor(
        self._squeeze.inverse_event_shape_tensor(output_shape)
    )


@bounds.lipschitz_bounds.register
def _(bijector: FlowLevel):
  result = bounds.lipschitz_bounds(bijector.factor_out)
  for part in bijector.parts:
    result = result.then(bounds.lipschitz_bounds(part))
  return result


@flow_bounds.bounds_by_part.register
def _(bijector: FlowLevel):
  return flow_bounds.bounds_of_parts([bijector.factor_out, *bijector.parts])

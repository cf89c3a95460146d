"""FlowLevel bijector."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flowopt.bijectors import base
from tfp_flowopt.bijectors import invertible_conv1x1
from tfp_flowopt.bijectors.multiscale import factor_out as factor_out_lib
from tfp_flowopt.bijectors.multiscale import flat_latents
from tfp_flowopt.bijectors.repeated import repeated_steps as repeated_steps_lib
from tfp_flowopt.internal import arguments
from tfp_flowopt.internal import image_batch
from tfp_flowopt.internal import types
from tfp_flowopt.lipschitz import flow_bounds

__all__ = ['FlowLevel']


class FlowLevel(flat_latents.FlatLatents):
  """One resolution of a multi-scale flow.

  In direction `inverse`, from an image to a flat latent:

  ```none
  whiten as a whole -> squeeze -> whiten -> (ActNorm -> 1x1 -> couplings) x K
         -> restore -> factor out
  ```

  `squeeze` makes channels of pixels, at half the resolution: the subbands of a
  wavelet transform, or the pixels of blocks of 2 by 2. `whiten` is the linear
  map of each position that `initialize_at_optimum` puts at the closed-form
  optimum; before it, at the coarsest level, `whiten_whole` is that of all
  positions together. The steps rotate the channels between couplings; `restore`
  undoes their rotations, so that the order of the whitened channels (by
  eigenvalue) is known where they are factored out. What travels on is the image
  that the next level (`factor_out.next_level`) sees. So does `conditioning`,
  `[..., H, W, F]` or `[..., 1, 1, F]`, at half the resolution.

  `ImageFlow` trains neither of the whitenings, nor `restore`. In `A = U diag(s)
  V^T` of images, `s` differs by factors of hundreds: turning `V` by an angle
  `a` changes a latent of unit variance by up to `a max(s) / min(s)`. The steps
  come after whitening, where it is about `a`, so one learning rate suits all of
  them.
  """

  def __init__(
      self,
      squeeze: types.Bijector,
      whiten: invertible_conv1x1.InvertibleConv1x1,
      steps: repeated_steps_lib.RepeatedSteps,
      restore: invertible_conv1x1.InvertibleConv1x1,
      factor_out: factor_out_lib.FactorOut,
      whiten_whole: types.Bijector | None = None,
      validate_args: bool = False,
      name: str = 'flow_level',
  ) -> None:
    """Creates the level from its parts.

    Args:
      squeeze: `WaveletTransform` or `DepthToSpace`.
      whiten: `InvertibleConv1x1`.
      steps: `RepeatedSteps` of bijectors of images.
      restore: `InvertibleConv1x1`.
      factor_out: `FactorOut`.
      whiten_whole: Linear bijector of the images that arrive, as a whole; by
        default none.
      validate_args: Python `bool`.
      name: Python `str`.

    Raises:
      ValueError: If a part is no bijector.
    """
    parameters = dict(locals())
    names = ['squeeze', 'whiten', 'steps', 'restore', 'factor_out']
    if whiten_whole is not None:
      names.append('whiten_whole')
    for key in names:
      arguments.check_instance(
          key, parameters[key], tfp.bijectors.Bijector, 'a bijector'
      )
    with tf.name_scope(name) as name:
      self._squeeze = squeeze
      self._whiten = whiten
      self._repeated_steps = steps
      self._restore = restore
      self._factor_out = factor_out
      self._whiten_whole = whiten_whole
      super().__init__(whiten.dtype, parameters, name)

  @property
  def event_shape(self) -> tf.TensorShape:
    """Shape of the images that arrive, `[H, W, C]`."""
    return self._squeeze.forward_event_shape(self._factor_out.event_shape)

  @property
  def squeeze(self) -> types.Bijector:
    """What makes channels of pixels, at half the resolution."""
    return self._squeeze

  @property
  def whiten(self) -> invertible_conv1x1.InvertibleConv1x1:
    """The linear map that the closed-form optimum initialises."""
    return self._whiten

  @property
  def repeated_steps(self) -> repeated_steps_lib.RepeatedSteps:
    """The steps, as one `RepeatedSteps`."""
    return self._repeated_steps

  @property
  def steps(self) -> list[list[types.Bijector]]:
    """The steps, lists of bijectors in the order of direction `inverse`.

    To look at; `repeated_steps.assign` changes one.
    """
    return self._repeated_steps.steps

  @property
  def restore(self) -> invertible_conv1x1.InvertibleConv1x1:
    """The linear map that undoes the rotations of the steps."""
    return self._restore

  @property
  def factor_out(self) -> factor_out_lib.FactorOut:
    """The `FactorOut` that holds the next level."""
    return self._factor_out

  @property
  def whiten_whole(self) -> types.Bijector | None:
    """The linear map of images as a whole, or `None`."""
    return self._whiten_whole

  @property
  def parts_after_whitening(self) -> list[types.Bijector]:
    """Steps and `restore` in the order of `inverse`: at first, the identity."""
    return [*self._repeated_steps.parts, self._restore]

  @property
  def parts(self) -> list[types.Bijector]:
    """All bijectors in the order of direction `inverse`, but `factor_out`."""
    return [*self.parts_before_steps, *self.parts_after_whitening]

  @property
  def parts_before_steps(self) -> list[types.Bijector]:
    """`whiten_whole`, squeeze and `whiten`, in the order of `inverse`."""
    whole = [] if self._whiten_whole is None else [self._whiten_whole]
    return [*whole, self._squeeze, self._whiten]

  def halved(self, conditioning: tf.Tensor | None) -> tf.Tensor | None:
    """Conditioning as the steps and the next level see it: means of 2 by 2.

    What has one position, `[..., 1, 1, F]`, and `None` stay as they are.
    """
    if conditioning is None or conditioning.shape[-2] == 1:
      return conditioning
    return image_batch.on_image_batch(
        lambda x: tf.nn.avg_pool2d(x, 2, 2, 'VALID'), conditioning
    )

  def _forward_and_log_det(self, x, conditioning=None):
    return self._evaluate(base.forward_and_log_det, -1, x, conditioning)

  def _inverse_and_log_det(self, y, conditioning=None):
    return self._evaluate(base.inverse_and_log_det, 1, y, conditioning)

  def _evaluate(self, evaluate, order, x, conditioning):
    parts = [
        *self.parts_before_steps,
        self._repeated_steps,
        self._restore,
        self._factor_out,
    ]
    return base.compose(evaluate, parts[::order], x, self.halved(conditioning))


flow_bounds.register_parts(
    FlowLevel, lambda bijector: [bijector.factor_out, *bijector.parts]
)

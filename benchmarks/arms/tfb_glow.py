"""TFP's own Glow, for benchmarks."""

import functools

from harness import serving
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from arms import trained
import tfp_flowopt as fo

tfb, tfd = tfp.bijectors, tfp.distributions


def make_glow(size, channels, num_levels, num_steps, hidden_channels, seed=0):
  """`tfb.Glow` with its default networks."""
  return tfb.Glow(
      output_shape=(size, size, channels),
      num_glow_blocks=num_levels,
      num_steps_per_block=num_steps,
      coupling_bijector_fn=functools.partial(
          tfb.GlowDefaultNetwork, num_hidden=hidden_channels
      ),
      exit_bijector_fn=tfb.GlowDefaultExitNetwork,
      seed=seed,
  )


class Glow(trained.Trained):
  """`tfb.Glow` with a standard normal.

  One more setting: `curves`, for our `MarginalGaussianization` between images
  and flow.
  """

  def __init__(self, settings):
    """Creates the flow."""
    super().__init__(settings)
    seed, channels = settings['seed'], settings.get('channels', 3)
    tf.random.set_seed(seed)
    shape = ('num_levels', 'num_steps', 'hidden_channels')
    glow = make_glow(
        settings['image_size'], channels, *map(settings.get, shape), seed
    )
    if settings.get('curves'):
      curves = _curves(self._crops.value_counts(), channels)
      glow = tfb.Chain([curves, glow])
    self._distribution = tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(0.0, 1.0), [self._crops.event_size]), glow
    )
    self._optimizer = tf_keras.optimizers.Adam(0.0)

  @functools.cached_property
  def _variables(self):
    # Its ActNorm is initialised at the first call, and some networks are built
    # there.
    self._distribution.log_prob(self._x)
    variables = self._distribution.bijector.trainable_variables
    self._optimizer.build(variables)
    return variables


def _curves(counts, channels):
  """The optimal curves for values that were counted, `[C, 256]`."""
  curves = fo.bijectors.MarginalGaussianization(channels)
  num_knots = curves.inputs.shape[-1]
  knots = [fo.optimum.gaussian_knots(row, num_knots) for row in counts]
  curves.initialize(*(np.stack(rows) for rows in zip(*knots, strict=True)))
  return curves


if __name__ == '__main__':
  serving.serve(Glow)

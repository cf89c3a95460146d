"""Our flow, for benchmarks that hold it against its peers."""

import math

from harness import serving
import tensorflow as tf
import tf_keras

from arms import trained
import tfp_flowopt as fo

# Crops that ours is initialised of; the peers take one batch, in their first
# step.
_INIT_IMAGES = 4096
# Images whose errors are held beside their bounds.
_NUM_CERTIFIED = 8


class Flow(trained.Trained):
  """An `image_flow`, trained as `Trainer` does.

  More settings: `flow`, arguments of `image_flow`, `compute_dtype` as a string;
  `act_norm`, for Glow's initialisation in place of the optimum; `init_images`.
  """

  _scope = staticmethod(fo.lipschitz.shared_rescaling)

  def __init__(self, settings):
    """Creates the flow, initialised at the optimum."""
    super().__init__(settings)
    size, channels = settings['image_size'], settings.get('channels', 3)
    flow = dict(settings['flow'])
    if 'compute_dtype' in flow:
      flow['compute_dtype'] = tf.as_dtype(flow['compute_dtype'])
    self._distribution = fo.image_flow(
        [size, size, channels], **flow, seed=settings['seed']
    )
    x = self._crops.first(settings.get('init_images', _INIT_IMAGES))
    if settings.get('act_norm'):
      fo.flows.initialize_act_norm(self._distribution, x)
    else:
      # Not from a generator: Python on TensorFlow's threads made all later
      # steps take 1.45 times as long.
      batches = tf.data.Dataset.from_tensor_slices(x)
      fo.initialize_at_optimum(
          self._distribution, batches.batch(settings['batch_size'])
      )
    self._variables = self._distribution.trainable_variables
    self._optimizer = tf_keras.optimizers.legacy.Adam(0.0)
    # Else the step would be traced twice.
    self._optimizer._create_all_weights(self._variables)  # pylint: disable=protected-access

  def _timed(self, method, x):
    """As served: with the rescaled kernels of now."""
    with fo.lipschitz.frozen(self._distribution):
      return tf.function(method, autograph=False).get_concrete_function(
          tf.TensorSpec.from_tensor(x)
      )

  def run(self, **settings):
    """A run of training: `short_run.run`, and what is certified."""
    row = super().run(**settings)
    row['fallbacks'] = self.num_fallbacks()
    if row['finite']:
      parts = self._distribution.bijector.bounds_by_part()._asdict()
      row['log_lipschitz'] = {
          part: [_log_or_none(bounds.forward), _log_or_none(bounds.inverse)]
          for part, bounds in parts.items()
      }
      row['of_certified'] = {
          kind: self._error_of_certified(x[:_NUM_CERTIFIED])
          for kind, x in self._crops.out_of_distribution().items()
      }
    return row

  def _error_of_certified(self, x):
    """The largest error of a level's steps, divided by its bound."""
    levels = fo.diagnostics.reconstruction_errors(
        self._distribution, tf.constant(x)
    )
    return max(level.measured / level.bound for level in levels)

  def num_fallbacks(self):
    """Gradients not used because of an error of a recomputed input."""
    return int(self._distribution.bijector.monitor.num_fallbacks)


def _log_or_none(constant):
  """JSON has no infinity."""
  return math.log(constant) if math.isfinite(constant) else None


if __name__ == '__main__':
  serving.serve(Flow)

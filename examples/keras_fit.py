"""Trains a flow with `tf_keras.Model.fit`, callbacks and all.

For those whose pipeline is Keras. The model returns bits/dim of its input,
which is the loss; everything else is Keras: optimiser, callbacks, history,
weights in a file. With `--conditional` the flow is conditioned on the labels.
The data are scikit-learn's 8x8 handwritten digits (1797 images of 4 bits).

  python examples/keras_fit.py --conditional --picture=/tmp/digits.png

`Trainer` does more (averaged weights, resuming bit for bit, many devices,
reports); this is to show that nothing hinders Keras.
"""

import pathlib
import tempfile

from absl import flags
import digits
import keras_model
import numpy as np
import onednn  # noqa: F401
import programs
import tensorflow as tf
import tf_keras

import tfp_flowopt as fo

_PICTURE = programs.define_outputs()
_CONDITIONAL = flags.DEFINE_bool(
    'conditional', False, 'Whether to condition the flow on the digit.'
)
_EPOCHS = flags.DEFINE_integer(
    'epochs', 15, 'Largest number of epochs.', lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 32, 'Images in a batch.', lower_bound=1
)
_LEARNING_RATE = flags.DEFINE_float(
    'learning_rate', 3e-3, "Adam's learning rate.", lower_bound=0
)
_SEED = flags.DEFINE_integer(
    'seed', 0, 'Seed of data and weights.', lower_bound=0
)

_INITIAL_DRAWS = 10


def make_dataset(images, labels, batch_size, seed):
  """Batches for `fit`, with new noise in each epoch.

  Args:
    images: uint8 `[N, H, W, C]` of `digits.BITS` bits.
    labels: int64 `[N]`, or `None`.
    batch_size: Number of images.
    seed: Python `int`; `None` for batches in order with the same noise always.

  Returns:
    `tf.data.Dataset` of inputs and of targets, which nothing looks at.
  """
  parts = {'images': images}
  if labels is not None:
    parts['conditioning'] = labels
  dataset = tf.data.Dataset.from_tensor_slices(parts)
  shuffled = seed is not None
  if shuffled:
    dataset = dataset.shuffle(len(images), seed)
  noise = tf.data.Dataset.random(
      seed + 1 if shuffled else 0, rerandomize_each_iteration=shuffled
  )

  def prepared(part, number):
    noise = fo.flows.dequantization_noise(
        tf.shape(part['images']), tf.stack([number, 0])
    )
    x = fo.flows.dequantize(part['images'], digits.BITS, noise)
    return {**part, 'images': x}, tf.zeros(tf.shape(x)[:1])

  return tf.data.Dataset.zip((dataset.batch(batch_size), noise)).map(prepared)


def _draw(path, distribution, conditional, data, seed):
  """Data above, samples below: a column for each digit, if it sees them."""
  images, labels = data
  rows = [
      ('data', images[[np.flatnonzero(labels == k)[0] for k in range(10)]])
  ]
  kwargs = {'conditioning': tf.range(10)} if conditional else {}
  for temperature in (0.5, 0.7, 1.0):
    x = fo.flows.sample_at_temperature(
        distribution, 10, [seed, 2], temperature, kwargs
    )
    samples = fo.flows.quantize(x, digits.BITS)
    rows.append((f'T = {temperature}', samples))
  # Without classes a column of samples is of no digit in particular.
  columns = list('0123456789') if conditional else None
  fo.diagnostics.plot_samples(path, rows, columns)


def main(argv):
  """Trains, prints and draws."""
  del argv
  seed = _SEED.value
  tf_keras.utils.set_random_seed(seed)
  train, held_out = digits.load()
  distribution = fo.image_flow(
      train[0].shape[1:],
      num_levels=1,
      num_steps=4,
      hidden_channels=32,
      gaussianize_marginals=True,
      # The same place of all digits means the same.
      whitening='dense',
      conditioning=10 if _CONDITIONAL.value else None,
      seed=seed,
  )
  datasets = [
      make_dataset(
          images,
          labels if _CONDITIONAL.value else None,
          _BATCH_SIZE.value,
          own_seed,
      )
      for (images, labels), own_seed in ((train, seed), (held_out, None))
  ]
  # Several draws of noise: the digits are few.
  with fo.training.under_way('Initialising the flow'):
    predicted = fo.initialize_at_optimum(
        distribution,
        datasets[0].repeat(_INITIAL_DRAWS).map(
            lambda inputs, _: (inputs['images'], inputs['conditioning'])
            if _CONDITIONAL.value
            else inputs['images']
        ),
        bits=digits.BITS,
    )
  model = keras_model.FlowModel(distribution, digits.BITS)
  optimizer = tf_keras.optimizers.Adam(_LEARNING_RATE.value, clipnorm=1.0)
  # Else the step would be traced twice.
  optimizer.build(distribution.trainable_variables)
  model.compile(
      optimizer,
      loss=lambda _, bits_per_dim: bits_per_dim,
  )
  with fo.training.under_way('Evaluating the flow'):
    start = model.evaluate(datasets[1], verbose=0)
  with (
      tempfile.TemporaryDirectory() as folder,
      fo.training.under_way(f'Training for {_EPOCHS.value} epochs at most'),
  ):
    best = pathlib.Path(folder) / keras_model.WEIGHTS_FILE
    # No epoch may be better.
    model.save_weights(best)
    history = model.fit(
        datasets[0],
        validation_data=datasets[1],
        epochs=_EPOCHS.value,
        verbose=2,
        callbacks=[
            tf_keras.callbacks.ReduceLROnPlateau(patience=2, factor=0.3),
            tf_keras.callbacks.ModelCheckpoint(
                best,
                save_best_only=True,
                save_weights_only=True,
                initial_value_threshold=start,
            ),
        ],
    )
    model.load_weights(best)
  results = {
      'predicted': predicted,
      'start': start,
      'held_out': model.evaluate(datasets[1], verbose=0),
      'history': history.history['val_loss'],
      'weights': len(model.trainable_weights),
      'weights_of_the_flow': len(distribution.trainable_variables),
  }
  print(
      f'\nThe closed form predicted {predicted:.3f} bits/dim of the training '
      f'images.\nHeld-out digits: {start:.3f} before training, '
      f'{results["held_out"]:.3f} at the best of {len(results["history"])} '
      'epochs.'
  )
  programs.write_results(results)
  if _PICTURE.value:
    _draw(_PICTURE.value, distribution, _CONDITIONAL.value, held_out, seed)
    print(f'Written: {_PICTURE.value}')


if __name__ == '__main__':
  programs.run(main)

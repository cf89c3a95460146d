"""Finds images of classes that a flow has not seen.

A flow is trained on some classes. The rest are anomalies, to be told from held-
out images of the classes that it knows, by one score an image:

* `likelihood`: `-log p(x)`. It takes simple images for normal ones, whatever
  they show (Nalisnick et al. 2019);
* `linear`: the same of the best linear flow of the images, in closed form: no
  training at all;
* `typicality`: how far `|z|^2 / D` is from 1.

Prints the area under the ROC curve of each (1/2 is a guess, 1 perfect). By
default on scikit-learn's 8x8 digits; `--data` takes a folder of the MNIST
family (idx files).

  python examples/anomaly.py --picture=/tmp/anomaly.png
  python examples/anomaly.py --data=fashion-mnist --num_levels=2
"""

from absl import flags
import anomaly_scores
import digits
import fitting
import idx_files
import numpy as np
import onednn  # noqa: F401
import programs
import tensorflow as tf

import tfp_flowopt as fo

_DATA = flags.DEFINE_string(
    'data', None, 'Folder of train-* and t10k-* idx files; default: digits.'
)
_NORMAL = flags.DEFINE_list(
    'normal', ['0', '1', '2', '3', '4'], 'Classes to train on.'
)
_NUM_LEVELS = flags.DEFINE_integer(
    'num_levels', 1, 'Number of resolutions.', lower_bound=1
)
_NUM_STEPS = flags.DEFINE_integer(
    'num_steps', 4, 'Flow steps at each resolution.', lower_bound=1
)
_TRAIN_STEPS = flags.DEFINE_integer(
    'train_steps', 1500, 'Steps of training.', lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 32, 'Images in a batch, all at most.', lower_bound=1
)
_PICTURE = programs.define_outputs()
_SEED = flags.DEFINE_integer(
    'seed', 0, 'Seed of data and weights.', lower_bound=0
)

flags.register_validator(
    _NORMAL,
    lambda classes: classes and all(c.isdecimal() for c in classes),
    message='--normal must be numbers of classes',
)

_SHOWN = 10


def _draw(path, images, scores, is_normal):
  """The ends of both kinds, by their scores."""

  def chosen(mask, order):
    own = np.flatnonzero(mask)
    return images[own[np.argsort(order * scores[own])][:_SHOWN]]

  fo.diagnostics.plot_samples(
      path,
      [
          ('most normal', chosen(is_normal, 1.0)),
          ('false alarms', chosen(is_normal, -1.0)),
          ('found first', chosen(~is_normal, -1.0)),
          ('missed', chosen(~is_normal, 1.0)),
      ],
  )


def main(argv):
  """Trains, scores, prints and draws."""
  del argv
  bits = 8 if _DATA.value else digits.BITS
  (train_images, train_labels), (images, labels) = (
      idx_files.load(_DATA.value) if _DATA.value else digits.load()
  )
  normal = np.array([int(c) for c in _NORMAL.value])
  is_normal = np.isin(labels, normal)
  if is_normal.all() or not is_normal.any():
    raise SystemExit(
        '--normal must be some of the classes '
        f'{np.unique(labels).tolist()}, and not all, got {normal.tolist()}.'
    )
  train_images = train_images[np.isin(train_labels, normal)]
  noise = fo.flows.dequantization_noise(train_images.shape, [_SEED.value, 1])
  data = fo.flows.dequantize(train_images, bits, noise)
  distribution = fo.image_flow(
      data.shape[1:],
      num_levels=_NUM_LEVELS.value,
      num_steps=_NUM_STEPS.value,
      hidden_channels=32,
      gaussianize_marginals=True,
      seed=_SEED.value,
  )
  with fo.training.under_way('Initialising the flow'):
    fo.initialize_at_optimum(distribution, data, bits=bits)
  moments = fo.AutoCorrelation('dense', [data.shape[1:].num_elements()])
  moments.update(tf.reshape(data, [len(data), -1]))
  linear = moments.linear_flow()
  print(f'Training on {len(data)} images of the classes {normal.tolist()}')
  batches = tf.data.Dataset.from_tensor_slices(train_images)
  batches = batches.shuffle(len(train_images), _SEED.value).repeat()
  batches = batches.batch(
      min(_BATCH_SIZE.value, len(train_images)), drop_remainder=True
  )
  fitting.fit(distribution, batches, _TRAIN_STEPS.value, _SEED.value, bits)
  with fo.training.under_way(f'Scoring {len(images)} images'):
    scores = anomaly_scores.score(distribution, linear, images, bits)
  kinds = {'all': ~is_normal}
  kinds.update((str(k), labels == k) for k in np.unique(labels[~is_normal]))
  areas = {
      name: {
          kind: anomaly_scores.area_under_roc(values[is_normal], values[mask])
          for kind, mask in kinds.items()
      }
      for name, values in scores.items()
  }
  print('\nArea under the ROC curve, all anomalies and each class:')
  for name, values in areas.items():
    print(
        f'  {name:<12}'
        + '  '.join(f'{k}: {value:.3f}' for k, value in values.items())
    )
  programs.write_results({'normal': normal.tolist(), 'areas': areas})
  if _PICTURE.value:
    best = max(areas, key=lambda name: areas[name]['all'])
    _draw(_PICTURE.value, images, scores[best], is_normal)
    print(f'Written: {_PICTURE.value} (by {best})')


if __name__ == '__main__':
  programs.run(main)

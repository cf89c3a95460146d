"""As `argument_table`, of reports on samples."""

import numpy as np
from support import argument_kinds as kinds

import tfp_flowopt as fo

__all__ = ['ENTRIES']

_SHAPE = [6, 4, 5, 1]
_LABELS = np.arange(6) % 2
_WRONG = (
    'x',
    3.0,
    np.zeros([6, 4, 5]),
    np.zeros([1, 4, 5, 1]),
    np.zeros([6, 3, 5, 1]),
    np.zeros([6, 5, 4, 1]),
    np.zeros(_SHAPE, int),
    np.zeros(_SHAPE, complex),
    np.full(_SHAPE, kinds.NAN),
    [[1.0], [1.0, 2.0]],
)
_WRONG_LABELS = ('x', 3, _LABELS[:5], 1.0 * _LABELS, _LABELS[:, np.newaxis])
_CLASSES = (*_WRONG_LABELS, None, 0 * _LABELS)


def _right():
  x = np.random.default_rng(0).normal(size=[3, *_SHAPE])
  return {
      'samples': x[0],
      'real': x[1],
      'train': x[2],
      'labels': _LABELS,
      'real_labels': _LABELS,
      'train_labels': _LABELS,
      'tile_size': 2,
      'max_images': 4,
      'seed': 1,
  }


ENTRIES = {
    'diagnostics.sample_report': kinds.Entry(
        fo.diagnostics.sample_report,
        _right,
        {
            'samples': (*_WRONG, None),
            # An array of another shape or type: the others do not fit it.
            'real': (*_WRONG[:5], *_WRONG[7:], None),
            'train': (*_WRONG, None),
            'labels': _CLASSES,
            'real_labels': (*_WRONG_LABELS, None),
            'train_labels': _CLASSES,
            'classifier_fn': (3, 'svm', []),
            'tile_size': (0, 1, 5, 2.5, 'ab', [1], [2, 5], True, [[2]]),
            'max_images': (*kinds.COUNT, 1),
            'seed': (*kinds.SEED, -1),
        },
        ('tile_size', 'max_images', 'seed'),
    ),
}

"""As `argument_table`, of the functions that draw."""

import numpy as np
from support import argument_kinds as kinds

import tfp_flowopt as fo

__all__ = ['ENTRIES']

# A place that is there wherever tests run, and holds nothing.
_PATH = '/dev/null'
_WRONG_PATH = (None, 3, [])
_CURVE = (None, 3, 'ab', [], [1.0], [(0, kinds.NAN)], [(0, 1.0, 2.0)])
_NUMBER = ('1', [1], kinds.NAN, kinds.INF)
_ARRAYS = (None, [], {}, {'a': []}, {'a': 'b'}, {'a': 1.0}, {'a': [[1.0]]})


def _layer():
  return fo.diagnostics.LayerReport('level 0 step 1', 3, 1.0, 1.0, 1.0)


ENTRIES = {
    'diagnostics.plot_layers': kinds.Entry(
        fo.diagnostics.plot_layers,
        lambda: {'path': _PATH, 'layers': [_layer()]},
        {
            'path': _WRONG_PATH,
            'layers': (None, 3, [], ['layer'], [_layer(), None], _layer()),
        },
    ),
    'diagnostics.plot_price': kinds.Entry(
        fo.diagnostics.plot_price,
        lambda: {
            'path': _PATH,
            'bounds': [1.0, 2.0],
            'curves': {'a': [2.0, 1.0]},
        },
        {
            'path': _WRONG_PATH,
            'bounds': (None, 3.0, 'ab', [], [2.0, 1.0], [0.0, 1.0]),
            'curves': (*_ARRAYS, {'a': [1.0]}),
        },
    ),
    'diagnostics.plot_samples': kinds.Entry(
        fo.diagnostics.plot_samples,
        lambda: {
            'path': _PATH,
            'rows': [('a', np.zeros([1, 2, 2, 1], np.uint8))],
        },
        {
            'path': _WRONG_PATH,
            'columns': ('a', [], ['a', 'b'], [1], 3),
            'rows': (
                None,
                3,
                [],
                ['abc'],
                [('a', np.zeros([2, 2, 1], np.uint8))],
                [('a', np.zeros([1, 2, 2, 2], np.uint8))],
                [('a', np.zeros([0, 2, 2, 1], np.uint8))],
                [('a', np.zeros([1, n, 2, 1], np.uint8)) for n in (1, 2)],
                [('a', np.full([1, 2, 2, 1], 256, np.uint16))],
                [('a', np.zeros([1, 2, 2, 1]))],
            ),
        },
    ),
    'diagnostics.plot_spectra': kinds.Entry(
        fo.diagnostics.plot_spectra,
        lambda: {
            'path': _PATH,
            'spectra': {'a': [2.0, 1.0]},
            'noise_variance': 0.1,
        },
        {
            'path': _WRONG_PATH,
            'spectra': _ARRAYS,
            'noise_variance': (*_NUMBER, None, -1.0),
        },
    ),
    'diagnostics.plot_training_curve': kinds.Entry(
        fo.diagnostics.plot_training_curve,
        lambda: {
            'path': _PATH,
            'train': [(0, 1.0)],
            'held_out': [(0, 1.0)],
            'train_optimum': 1.0,
        },
        {
            'path': _WRONG_PATH,
            'train': _CURVE,
            'held_out': _CURVE,
            'train_optimum': _NUMBER,
            'held_out_optimum': _NUMBER,
        },
    ),
}

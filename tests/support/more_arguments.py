"""As `argument_table`, of all that is public beside bijectors."""

import numpy as np
from support import argument_kinds as kinds
import tensorflow as tf

import tfp_flowopt as fo

__all__ = ['ENTRIES']

_KERNEL = (
    'kernel',
    None,
    tf.zeros([]),
    tf.zeros([3]),
    tf.zeros([1, 2, 3]),
    tf.zeros([2, 2], tf.int32),
)
_PAIRS = ('x', None, tf.zeros([]), tf.zeros([2, 3]), tf.zeros([2], tf.int32))
_DISTRIBUTION = kinds.OBJECT_OR_NONE
# Not [N, 2, 2, 1].
_EVENTS = (3.0, tf.zeros([2, 2, 1]), tf.zeros([2, 2, 3, 1]))
_LINEAR = {
    'lipschitz': kinds.POSITIVE_OR_NONE,
    'normalization': kinds.CHOICE,
    'dtype': kinds.FLOAT32_OR_64,
    'seed': (*kinds.SEED, -1),
}

ENTRIES = {
    'export.save': kinds.Entry(
        fo.export.save,
        lambda: {'distribution': kinds.initialized_flow(), 'path': '/dev/null'},
        {
            'distribution': _DISTRIBUTION,
            'path': (None, 3, '', b'bytes', 'gs://bucket'),
            'bits': (*kinds.BITS, 0, 9),
        },
    ),
    'export.save_onnx': kinds.Entry(
        fo.export.save_onnx,
        lambda: {
            'distribution': kinds.initialized_flow(),
            'path': '/dev/null/file',
        },
        {
            'distribution': _DISTRIBUTION,
            'path': (None, 3, '', b'bytes', 'gs://bucket', '/dev/null'),
        },
    ),
    'flows.VariationalDequantization': kinds.Entry(
        fo.flows.VariationalDequantization,
        lambda: {'event_shape': [2, 2, 1], 'bits': 8, 'hidden_channels': 2},
        {
            'event_shape': ('ab', None, 2.5, [2], [2, 2], [2, 2, 0]),
            'bits': (*kinds.BITS, 0, 9),
            'hidden_channels': kinds.COUNT,
            'seed': ('ab', None, 1.5, -1),
        },
        ('bits', 'hidden_channels'),
    ),
    'flows.dequantization_noise': kinds.Entry(
        fo.flows.dequantization_noise,
        lambda: {'shape': [2], 'seed': [0, 1]},
        {
            'shape': ('ab', None, 2.5, [2.5], 3),
            'seed': (None, 'ab', 1.5, [1], [1, 2, 3], [0.5, 1.5]),
        },
    ),
    'flows.dequantize': kinds.Entry(
        fo.flows.dequantize,
        lambda: {'images': np.zeros([2, 2, 1], np.uint8), 'bits': 8},
        {
            'images': ('ab', None, 1.5, tf.zeros([2, 2, 1]), [0.5]),
            'bits': (*kinds.BITS, 0, 9),
            'noise': ('ab', None, tf.constant(1)),
        },
        ('bits',),
    ),
    'flows.quantize': kinds.Entry(
        fo.flows.quantize,
        lambda: {'x': tf.zeros([2, 2, 1]), 'bits': 8},
        {
            'x': ('ab', None, tf.zeros([2], tf.uint8), np.zeros([2], int)),
            'bits': (*kinds.BITS, 0, 9),
        },
        ('bits',),
    ),
    'flows.initialize_act_norm': kinds.Entry(
        fo.flows.initialize_act_norm,
        lambda: {'distribution': kinds.flow(), 'images': kinds.x()},
        {'distribution': _DISTRIBUTION, 'bits': ('8', True, None, 0, 2.5)},
    ),
    'initialize_at_optimum': kinds.Entry(
        fo.initialize_at_optimum,
        lambda: {'distribution': kinds.flow(), 'data': kinds.x()},
        {'distribution': _DISTRIBUTION, 'bits': ('8', True, None, 0, 2.5)},
    ),
    'flows.sample_at_temperature': kinds.Entry(
        fo.flows.sample_at_temperature,
        lambda: {
            'distribution': kinds.flow(), 'num_samples': 1, 'seed': [0, 1]
        },
        {
            'distribution': _DISTRIBUTION,
            'temperature': ('1', [1.0], {}, 1j, None, True),
        },
        ('num_samples',),
    ),
    'lipschitz.AnchoredLogScale': kinds.Entry(
        fo.lipschitz.AnchoredLogScale,
        lambda: {'size': 2, 'log_range': 1.0, 'rate': 1.0},
        {
            'size': kinds.COUNT,
            'log_range': kinds.POSITIVE,
            'rate': kinds.POSITIVE,
            'dtype': kinds.DTYPE,
        },
        ('size', 'log_range', 'rate'),
    ),
    'lipschitz.FrozenKernels': kinds.Entry(
        fo.lipschitz.FrozenKernels,
        lambda: {'module': kinds.layer()},
        {'module': kinds.OBJECT_OR_NONE},
    ),
    'lipschitz.LipschitzBudget': kinds.Entry(
        fo.lipschitz.LipschitzBudget,
        lambda: {'log_lipschitz': 1.0},
        {'log_lipschitz': kinds.POSITIVE},
        ('log_lipschitz',),
    ),
    'lipschitz.LipschitzConv2D': kinds.Entry(
        fo.lipschitz.LipschitzConv2D,
        lambda: {
            'in_channels': 1,
            'out_channels': 1,
            'kernel_size': 1,
            'lipschitz': 1.0,
            'rate': 1.0,
            'seed': 0,
        },
        {
            'in_channels': kinds.COUNT,
            'out_channels': kinds.COUNT,
            'kernel_size': kinds.COUNT,
            'compute_dtype': kinds.DTYPE,
            'rate': kinds.POSITIVE,
            **_LINEAR,
        },
        (
            'in_channels',
            'out_channels',
            'kernel_size',
            'lipschitz',
            'rate',
            'seed',
        ),
    ),
    'lipschitz.LipschitzDense': kinds.Entry(
        fo.lipschitz.LipschitzDense,
        lambda: {
            'in_features': 1, 'out_features': 1, 'lipschitz': 1.0, 'seed': 0
        },
        {
            'in_features': (*kinds.SEED, -1),
            'out_features': kinds.COUNT,
            'mask': (2, [1.0], np.full([1, 1], 2), 'mask'),
            **_LINEAR,
        },
        ('in_features', 'out_features', 'lipschitz', 'seed'),
    ),
    'lipschitz.LogSlopes': kinds.Entry(
        fo.lipschitz.LogSlopes,
        lambda: {'num_slopes': 1, 'bound': 1.0},
        {
            'num_slopes': kinds.COUNT,
            'bound': kinds.POSITIVE,
            'dtype': kinds.DTYPE,
        },
        ('num_slopes', 'bound'),
    ),
    'lipschitz.Orthogonal': kinds.Entry(
        fo.lipschitz.Orthogonal,
        lambda: {'size': 2, 'rate': 1.0},
        {
            'size': kinds.COUNT, 'rate': kinds.POSITIVE, 'dtype': kinds.DTYPE
        },
        ('size', 'rate'),
    ),
    'lipschitz.almost_orthogonal': kinds.Entry(
        fo.lipschitz.almost_orthogonal, dict, {'kernel': _KERNEL}
    ),
    'lipschitz.frozen': kinds.Entry(
        lambda module: fo.lipschitz.frozen(module).__enter__(),
        lambda: {'module': kinds.layer()},
        {'module': kinds.OBJECT_OR_NONE},
    ),
    'lipschitz.lipschitz_bounds': kinds.Entry(
        fo.lipschitz.lipschitz_bounds,
        lambda: {'bijector': fo.bijectors.ActNorm(1)},
        {'bijector': kinds.OBJECT_OR_NONE},
    ),
    'lipschitz.max_min': kinds.Entry(
        fo.lipschitz.max_min, dict, {'x': _PAIRS}
    ),
    'lipschitz.operator_norm_bound': kinds.Entry(
        fo.lipschitz.operator_norm_bound,
        lambda: {'kernel': tf.ones([1, 1])},
        {
            'kernel': (*_KERNEL, tf.zeros([0, 2])),
            'padding': kinds.CHOICE,
            'method': kinds.CHOICE,
        },
    ),
    'lipschitz.reconstruction_error_bound': kinds.Entry(
        fo.lipschitz.reconstruction_error_bound,
        lambda: {
            'layers': [fo.lipschitz.LipschitzBounds(1.0, 1.0)],
            'norms': [1.0, 1.0],
            'dtype': tf.float32,
            'rounding': 4.0,
        },
        {
            'layers': ('layers', 3, None, [None], ['layer']),
            'norms': ('norms', None, 1.0, [1.0], [1.0, -1.0], [1.0, kinds.NAN]),
            'dtype': kinds.DTYPE,
            'rounding': kinds.POSITIVE,
        },
        ('rounding',),
    ),
    'lipschitz.smooth_max_min': kinds.Entry(
        fo.lipschitz.smooth_max_min, dict, {'x': _PAIRS}
    ),
    'diagnostics.LayerReporter': kinds.Entry(
        fo.diagnostics.LayerReporter,
        lambda: {'distribution': kinds.flow(), 'num_steps': 2},
        {'distribution': _DISTRIBUTION, 'num_steps': kinds.COUNT},
        ('num_steps',),
    ),
    'diagnostics.layer_report': kinds.Entry(
        fo.diagnostics.layer_report,
        lambda: {'distribution': kinds.flow(), 'x': kinds.x()},
        {
            'distribution': _DISTRIBUTION,
            'x': _EVENTS,
            'num_local_images': (*kinds.SEED, -1, 3),
            'num_steps': kinds.COUNT,
        },
    ),
    'diagnostics.CertifiedLogProb': kinds.Entry(
        fo.diagnostics.CertifiedLogProb,
        lambda: {'distribution': kinds.flow()},
        {'distribution': _DISTRIBUTION},
    ),
    'diagnostics.certified_log_prob': kinds.Entry(
        fo.diagnostics.certified_log_prob,
        lambda: {'distribution': kinds.flow(), 'x': kinds.x(), 'radius': 0.1},
        {
            'distribution': _DISTRIBUTION,
            'x': (3.0, tf.zeros([2, 2]), tf.zeros([2, 2, 3, 1])),
            'radius': ('1', [1], {}, 1j, None, True),
        },
        ('radius',),
    ),
    'diagnostics.local_lipschitz': kinds.Entry(
        fo.diagnostics.local_lipschitz,
        lambda: {
            'bijector': fo.bijectors.ActNorm(1), 'x': kinds.x(), 'num_steps': 2
        },
        {
            'bijector': kinds.OBJECT_OR_NONE,
            'x': (3.0, tf.zeros([2, 2, 1])),
            'num_steps': kinds.COUNT_OR_NONE,
            'seed': (None, 'ab', 1.5, [1], [1, 2, 3], [0.5, 1.5]),
        },
    ),
    'diagnostics.optimum_report': kinds.Entry(
        fo.diagnostics.optimum_report,
        lambda: {'distribution': kinds.flow(), 'data': np.zeros([2, 2, 2, 1])},
        {
            'distribution': _DISTRIBUTION,
            'data': _EVENTS,
            'held_out': ('x', 3.0, tf.zeros([2, 2, 1])),
            'bits': ('8', [8], tf.constant(8), True, -1, 2.5),
        },
    ),
    'diagnostics.reconstruction_errors': kinds.Entry(
        fo.diagnostics.reconstruction_errors,
        lambda: {'distribution': kinds.flow(), 'x': kinds.x()},
        {'distribution': _DISTRIBUTION, 'x': _EVENTS},
    ),
    'diagnostics.volume_balance': kinds.Entry(
        fo.diagnostics.volume_balance,
        lambda: {'distribution': kinds.flow(), 'x': kinds.x()},
        {'distribution': _DISTRIBUTION, 'x': (3.0,)},
    ),
}

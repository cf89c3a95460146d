"""For each public callable: arguments that are right, and wrong ones.

First those that bijectors are made of; others are in `more_arguments`.
"""

import numpy as np
from support import argument_kinds as kinds
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo

__all__ = ['ENTRIES']

ENTRIES = {
    'bijectors.SplineCoupling': kinds.Entry(
        fo.bijectors.SplineCoupling,
        lambda: {
            'conditioner': kinds.layer(),
            'num_bins': 2,
            'min_slope': 0.5,
            'max_slope': 2.0,
            'bound': 1.0,
            'event_ndims': 1,
        },
        {
            'conditioner': kinds.OBJECT_OR_NONE,
            'num_bins': (*kinds.COUNT, 1),
            'min_slope': (*kinds.POSITIVE, 1e-4, 1.0),
            'max_slope': (*kinds.POSITIVE, 1.0, 1e4),
            'bound': kinds.POSITIVE,
            'event_ndims': kinds.COUNT_OR_NONE,
        },
        ('num_bins', 'bound', 'event_ndims'),
    ),
    'bijectors.MaskedAutoregressive': kinds.Entry(
        fo.bijectors.MaskedAutoregressive,
        lambda: {
            'network': fo.networks.MaskedConditioner(2, 2, 2),
            'num_bins': 2,
            'min_slope': 0.5,
            'max_slope': 2.0,
            'bound': 1.0,
        },
        {
            'network': (*kinds.OBJECT_OR_NONE, kinds.layer),
            'num_bins': (*kinds.COUNT, 1, 3),
            'min_slope': (*kinds.POSITIVE, 1e-4, 1.0),
            'max_slope': (*kinds.POSITIVE, 1.0, 1e4),
            'bound': kinds.POSITIVE,
        },
        ('num_bins', 'bound'),
    ),
    'bijectors.Sequential': kinds.Entry(
        fo.bijectors.Sequential,
        lambda: {'bijectors': [fo.bijectors.ActNorm(1)]},
        {'bijectors': (*kinds.OBJECT_OR_NONE, [fo.bijectors.ActNorm])},
    ),
    'bijectors.ActNorm': kinds.Entry(
        fo.bijectors.ActNorm,
        lambda: {'num_channels': 2, 'log_range': 1.0, 'rate': 1.0},
        {
            'num_channels': kinds.COUNT,
            'log_range': kinds.POSITIVE,
            'rate': kinds.POSITIVE,
            'event_ndims': kinds.COUNT,
            'dtype': kinds.DTYPE,
        },
        ('num_channels', 'log_range', 'rate'),
    ),
    'bijectors.AdditiveCoupling': kinds.Entry(
        fo.bijectors.AdditiveCoupling,
        lambda: {'conditioner': kinds.layer(), 'event_ndims': 1},
        {
            'conditioner': kinds.OBJECT_OR_NONE,
            'event_ndims': kinds.COUNT_OR_NONE,
        },
        ('event_ndims',),
    ),
    'bijectors.AffineCoupling': kinds.Entry(
        fo.bijectors.AffineCoupling,
        lambda: {
            'conditioner': kinds.layer(),
            'event_ndims': 1,
            'scale_bound': 1.0,
            'tail_bound': 1.0,
        },
        {
            'conditioner': kinds.OBJECT_OR_NONE,
            'event_ndims': kinds.COUNT_OR_NONE,
            'scale_bound': (*kinds.POSITIVE, 41),
            'tail_bound': kinds.POSITIVE_OR_INF,
        },
        ('event_ndims', 'scale_bound', 'tail_bound'),
    ),
    'bijectors.ConditionalShift': kinds.Entry(
        fo.bijectors.ConditionalShift,
        lambda: {'matrix': np.ones([2, 3]), 'num_classes': 3},
        {
            'matrix': ('x', None, 1.0, np.ones([3]), np.ones([2, 3], int)),
            'shift': ('x', 1.0, np.ones([3]), np.ones([2], np.float32)),
            'num_classes': (*kinds.COUNT_OR_NONE, 2),
        },
        ('num_classes',),
    ),
    'bijectors.DenseAffine': kinds.Entry(
        fo.bijectors.DenseAffine,
        lambda: {'event_size': 2, 'num_classes': 3},
        {
            'event_size': kinds.COUNT,
            'num_classes': kinds.COUNT_OR_NONE,
            'dtype': kinds.DTYPE,
        },
        ('event_size', 'num_classes'),
    ),
    'bijectors.ConvexPotentialResidual': kinds.Entry(
        fo.bijectors.ConvexPotentialResidual,
        lambda: {
            'layer': kinds.layer(),
            'smallest': 0.5,
            'largest': 2.0,
            'num_terms': 2,
            'num_probes': 1,
            'seed': 0,
            'tolerance': 1e-3,
            'max_iterations': 10,
        },
        {
            'conditioner': kinds.OBJECT,
            'layer': kinds.OBJECT_OR_NONE,
            'smallest': (*kinds.POSITIVE, 2.0),
            'largest': (*kinds.POSITIVE, 0.5),
            'log_det': kinds.CHOICE,
            'num_terms': kinds.COUNT,
            'num_probes': kinds.COUNT,
            'seed': ('1', 1.5, [1], [1, 2, 3], None),
            'tolerance': kinds.POSITIVE_OR_NONE,
            'max_iterations': kinds.COUNT,
        },
        (
            'smallest',
            'largest',
            'num_terms',
            'num_probes',
            'seed',
            'tolerance',
            'max_iterations',
        ),
    ),
    'bijectors.DepthToSpace': kinds.Entry(
        fo.bijectors.DepthToSpace,
        lambda: {'block_size': 2},
        {'block_size': kinds.COUNT},
        ('block_size',),
    ),
    'bijectors.FactorOut': kinds.Entry(
        fo.bijectors.FactorOut,
        lambda: {'event_shape': [2, 2, 3], 'num_factored': 3},
        {
            'event_shape': kinds.IMAGE_SHAPE,
            'num_factored': (*kinds.COUNT_OR_NONE, 4),
            'next_level': kinds.OBJECT,
            'scaling': kinds.OBJECT,
        },
        ('num_factored',),
    ),
    'bijectors.FlowLevel': kinds.Entry(
        fo.bijectors.FlowLevel,
        lambda: {
            name: getattr(kinds.flow().bijector.levels[0], attribute)
            for name, attribute in (
                ('squeeze', 'squeeze'),
                ('whiten', 'whiten'),
                ('steps', 'repeated_steps'),
                ('restore', 'restore'),
                ('factor_out', 'factor_out'),
            )
        },
        {
            'squeeze': kinds.OBJECT_OR_NONE,
            'whiten': kinds.OBJECT_OR_NONE,
            'steps': kinds.OBJECT_OR_NONE,
            'restore': kinds.OBJECT_OR_NONE,
            'factor_out': kinds.OBJECT_OR_NONE,
            'whiten_whole': kinds.OBJECT,
        },
    ),
    'bijectors.InvertibleConv1x1': kinds.Entry(
        fo.bijectors.InvertibleConv1x1,
        lambda: {'num_channels': 2, 'log_range': 1.0, 'rate': 1.0},
        {
            'num_channels': kinds.COUNT,
            'log_range': kinds.POSITIVE,
            'rate': kinds.POSITIVE,
            'event_ndims': kinds.COUNT,
            'dtype': kinds.DTYPE,
        },
        ('num_channels', 'log_range', 'rate'),
    ),
    'bijectors.LipschitzResidual': kinds.Entry(
        fo.bijectors.LipschitzResidual,
        lambda: {
            'network': fo.lipschitz.LipschitzDense(1, 1, lipschitz=0.5),
            'event_ndims': 1,
            'num_terms': 2,
            'num_probes': 1,
            'stop_probability': 0.5,
            'seed': 0,
            'tolerance': 1e-3,
            'max_iterations': 10,
        },
        {
            'network': (*kinds.OBJECT_OR_NONE, abs),
            'event_ndims': kinds.COUNT,
            'log_det': kinds.CHOICE,
            'num_terms': kinds.COUNT,
            'num_probes': kinds.COUNT,
            'stop_probability': (*kinds.POSITIVE_OR_NONE, 1.0),
            'seed': ('1', 1.5, [1], [1, 2, 3], None),
            'tolerance': kinds.POSITIVE_OR_NONE,
            'max_iterations': kinds.COUNT,
        },
        (
            'event_ndims',
            'num_terms',
            'num_probes',
            'stop_probability',
            'seed',
            'tolerance',
            'max_iterations',
        ),
    ),
    'bijectors.MarginalGaussianization': kinds.Entry(
        fo.bijectors.MarginalGaussianization,
        lambda: {'num_channels': 1, 'num_knots': 3},
        {
            'num_channels': kinds.COUNT,
            'num_knots': (*kinds.COUNT, 1),
            'event_ndims': kinds.COUNT,
            'dtype': kinds.DTYPE,
        },
        ('num_channels', 'num_knots'),
    ),
    'bijectors.RadialScaling': kinds.Entry(
        fo.bijectors.RadialScaling,
        lambda: {
            'tile_size': 1,
            'num_terms': 2,
            'slope_bound': 1.0,
            'num_groups': 1,
        },
        {
            'tile_size': kinds.COUNT,
            'num_terms': kinds.COUNT,
            'slope_bound': kinds.POSITIVE,
            'radius_range': (
                None,
                1.0,
                'ab',
                [1.0],
                [0.0, 1.0],
                [2.0, 1.0],
                [kinds.NAN, 1.0],
                [1.0, kinds.INF],
                [1.0, 2.0, 3.0],
                tf.constant([1.0, 2.0]),
            ),
            'num_groups': kinds.COUNT_OR_NONE,
            'dtype': kinds.DTYPE,
        },
        ('tile_size', 'num_terms', 'slope_bound', 'num_groups'),
    ),
    'bijectors.ReconstructionMonitor': kinds.Entry(
        fo.bijectors.ReconstructionMonitor,
        lambda: {'tolerance': 1e-4},
        {'tolerance': kinds.POSITIVE_OR_INF},
        ('tolerance',),
    ),
    'bijectors.RepeatedSteps': kinds.Entry(
        fo.bijectors.RepeatedSteps,
        lambda: {
            'step': fo.bijectors.ActNorm(1),
            'num_steps': 2,
            'tolerance': 1e-3,
        },
        {
            'step': (*kinds.OBJECT_OR_NONE, tfp.bijectors.Exp()),
            'num_steps': kinds.COUNT,
            'memory': kinds.CHOICE,
            'tolerance': kinds.POSITIVE_OR_INF,
        },
        ('num_steps', 'tolerance'),
    ),
    'bijectors.ScalingCascade': kinds.Entry(
        fo.bijectors.ScalingCascade,
        lambda: {
            'num_channels': 1,
            'num_terms': 1,
            'slope_bound': 1.0,
            'log_range': 1.0,
        },
        {
            'num_channels': kinds.COUNT,
            'tile_sizes': (
                None,
                2,
                'ab',
                (),
                [0],
                [2.5],
                [[1]],
                tf.constant([1]),
            ),
            'num_terms': kinds.COUNT,
            'slope_bound': kinds.POSITIVE,
            'log_range': kinds.POSITIVE,
            'dtype': kinds.DTYPE,
        },
        ('num_channels', 'num_terms', 'slope_bound', 'log_range'),
    ),
    'bijectors.forward_and_log_det': kinds.Entry(
        fo.bijectors.forward_and_log_det,
        lambda: {'bijector': fo.bijectors.ActNorm(1), 'x': kinds.x()},
        {'bijector': kinds.OBJECT_OR_NONE},
    ),
    'bijectors.inverse_and_log_det': kinds.Entry(
        fo.bijectors.inverse_and_log_det,
        lambda: {'bijector': fo.bijectors.ActNorm(1), 'y': kinds.x()},
        {'bijector': kinds.OBJECT_OR_NONE},
    ),
}

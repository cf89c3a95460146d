"""As `argument_table`, of optimum and training; and what has no entry."""

import numpy as np
from support import argument_kinds as kinds
import tensorflow as tf

import tfp_flowopt as fo

__all__ = ['ENTRIES', 'LEFT_OUT']

_CONSTRAINT = {
    'rank': ('1', 0, -1, 2.5, [1]),
    'lipschitz': ('ab', 3.0, [1.0], [2.0, 1.0], [-1.0, 1.0], [kinds.NAN, 1.0]),
    'noise_variance': (-1.0, kinds.NAN, kinds.INF, [1.0, 2.0]),
}
_EIGENVALUES = {'lipschitz': _CONSTRAINT['lipschitz']}

ENTRIES = {
    'AutoCorrelation': kinds.Entry(
        fo.AutoCorrelation,
        lambda: {'structure': 'dense', 'event_shape': 2},
        {
            'structure': kinds.CHOICE,
            'event_shape': (None, [None]),
            'block_size': ('1', [1], None, 0, -1, 2.5),
            'conditioning': ('x', 0, -1, 2.5, [], [1, 2], [None]),
        },
        ('event_shape',),
    ),
    'likelihood_optimum': kinds.Entry(
        fo.likelihood_optimum,
        lambda: {'x': np.random.default_rng(0).normal(size=[9, 2])},
        {
            'x': (
                'x',
                3.0,
                np.zeros([9]),
                np.zeros([9, 2], int),
                np.zeros([0, 2]),
                np.full([9, 2], kinds.NAN),
            ),
            'structure': kinds.CHOICE,
            'block_size': ('1', [1], None, 0, -1, 2.5, 2),
            'frequency_pool': (*kinds.COUNT_OR_NONE, 1),
            'conditioning': (
                'x',
                1.0,
                np.zeros([9]),
                np.zeros([8, 1]),
                np.zeros([1, 2]),
                np.zeros([9, 2], int),
                np.full([9, 1], kinds.NAN),
                np.full([9, 1], kinds.INF),
            ),
            'num_classes': (*kinds.COUNT_OR_NONE, 2),
            **_CONSTRAINT,
        },
    ),
    'bits_per_dim': kinds.Entry(
        fo.bits_per_dim,
        lambda: {'log_likelihood': 1.0, 'event_size': 2, 'bits': 8},
        {
            'event_size': kinds.POSITIVE,
            'bits': ('1', [1], None, True, -1, kinds.NAN, kinds.INF),
        },
        ('log_likelihood', 'event_size', 'bits'),
    ),
    'optimum.gaussian_curves': kinds.Entry(
        fo.optimum.gaussian_curves,
        lambda: {
            'x': np.arange(6.0).reshape([3, 2]),
            'num_knots': 5,
            'min_slope': 0.1,
            'max_slope': 10.0,
        },
        {
            'x': ('x', None, [1.0, 2.0], np.zeros([1, 2]), [[kinds.NAN]] * 2),
            'num_knots': (*kinds.COUNT, 1),
            'min_slope': (*kinds.POSITIVE, 1.0),
            'max_slope': (*kinds.POSITIVE, 1.0),
        },
        ('num_knots', 'min_slope', 'max_slope'),
    ),
    'optimum.gaussian_knots': kinds.Entry(
        fo.optimum.gaussian_knots,
        lambda: {'counts': [1, 2], 'num_knots': 3},
        {
            'counts': ([0, 0], [-1, -1], [kinds.NAN, 1]),
            'num_knots': (*kinds.COUNT, 2),
        },
        ('num_knots',),
    ),
    'optimum.optimal_log_scales': kinds.Entry(
        fo.optimum.optimal_log_scales,
        lambda: {'eigenvalues': tf.constant([2.0, 1.0])},
        _EIGENVALUES,
    ),
    'optimum.spectral_optimum': kinds.Entry(
        fo.optimum.spectral_optimum,
        lambda: {'eigenvalues': tf.constant([2.0, 1.0])},
        _EIGENVALUES,
    ),
    'optimum.standard_error': kinds.Entry(
        fo.optimum.standard_error,
        dict,
        {'log_prob': (None, 'ab', [1, 2])},
    ),
    'training.TensorBoardWriter': kinds.Entry(
        fo.training.TensorBoardWriter,
        lambda: {'directory': '/dev/null/nowhere'},
        {'resume_step': (*kinds.SEED, -1)},
    ),
    'training.TrainConfig': kinds.Entry(
        fo.training.TrainConfig,
        lambda: {'train_steps': 1, 'batch_size': 2, 'learning_rate': 1e-3},
        {
            'train_steps': ('1', [1], None, -1, 2.5),
            'batch_size': ('1', [1], None, 0, -1, 2.5),
            'learning_rate': kinds.POSITIVE,
            'schedule': kinds.CHOICE,
            'optimizer': kinds.CHOICE,
            'clip_norm': kinds.POSITIVE,
            'ema_decay': ('1', [1], None, True, 1.0, -1.0, kinds.NAN),
            'bits': ('1', [1], None, 0, 9, 2.5),
            'jit_compile': ('1', [1], None, 1),
        },
        ('train_steps', 'batch_size', 'learning_rate'),
    ),
    'training.ImageDataset': kinds.Entry(
        fo.training.ImageDataset,
        lambda: {'path': '/nowhere', 'image_size': 2},
        {
            'image_size': (0, -1),
            'crop': kinds.CHOICE,
            'channels': (2, '3', None, [3]),
            'bad_images': kinds.CHOICE,
        },
    ),
    'data.read_array': kinds.Entry(
        fo.data.read_array, dict, {'path': (None, 3, [])}
    ),
    'data.DatasetExamples': kinds.Entry(
        fo.data.DatasetExamples,
        lambda: {
            'dataset': tf.data.Dataset.from_tensors(
                tf.zeros([2, 2, 1], tf.uint8)
            )
        },
        {
            'dataset': (None, [], np.zeros([3, 2, 2, 1], np.uint8)),
            'shuffle_buffer': (*kinds.SEED, -1),
            'class_names': (['a', 'b'],),
        },
    ),
    'training.convert_images': kinds.Entry(
        fo.training.convert_images,
        lambda: {'path': '/nowhere', 'output': '/nowhere/either'},
        {'image_format': ('other', 3), 'bad_images': kinds.CHOICE},
    ),
}

_RESULT = 'is what the library returns: it is not for users to make'
_ABSTRACT = 'is abstract: its subclasses check their arguments'
_ERROR = 'is an error: its argument is a message or a step'
_IMAGES = 'reads images: see tests/data/test_image_arguments.py'

# Why there is no entry.
LEFT_OUT = {
    'bijectors.FlowBounds': _RESULT,
    'data.Examples': _ABSTRACT,
    'data.ImageStore': _ABSTRACT,
    'bijectors.WaveletTransform': 'has no arguments',
    'bijectors.VectorFlow': 'is given all arguments of `vector_flow`',
    'bijectors.ImageFlow': 'is given all arguments of `image_flow`',
    'bijectors.ImageFlowConfig': 'is given all arguments of `image_flow`',
    'bijectors.JointBijector': _ABSTRACT,
    'diagnostics.LayerReport': _RESULT,
    'diagnostics.LevelReconstruction': _RESULT,
    'diagnostics.LocalLipschitz': _RESULT,
    'diagnostics.LogProbRange': _RESULT,
    'diagnostics.OptimumReport': _RESULT,
    'diagnostics.SampleReport': _RESULT,
    'LikelihoodOptimum': _RESULT,
    'lipschitz.Ball': 'is checked where it is used',
    'lipschitz.Box': 'is checked where it is used',
    'lipschitz.DerivedWeights': _ABSTRACT,
    'lipschitz.LipschitzBounds': _RESULT,
    'lipschitz.frozen_in_use': 'has no arguments',
    'lipschitz.shared_rescaling': 'has no arguments',
    'parameters.Parametrization': _ABSTRACT,
    'parameters.cached': 'has no arguments',
    'optimum.LinearFlow': _RESULT,
    'training.DivergedError': _ERROR,
    'training.FitResult': _RESULT,
    'training.ImageCrops': _IMAGES,
    'training.ImageSource': _IMAGES,
    'training.OtherConversionError': _ERROR,
    'training.OtherRunError': _ERROR,
    'training.Progress': 'draws a bar',
    'training.Trainer': 'has tests of its own in tests/training',
    'training.TrainingInterrupted': _ERROR,
    'training.WorkdirError': _ERROR,
    'training.WorkdirInUseError': _ERROR,
    'training.WorkerLostError': _ERROR,
    'training.fit': 'has tests of its own in tests/training',
    'training.image_tiles': _IMAGES,
    'training.load_images': _IMAGES,
    'training.open_images': _IMAGES,
    'training.restore': 'has a test of its own in tests/training',
    'training.split_columns': _IMAGES,
    'training.under_way': 'says how long something takes',
}

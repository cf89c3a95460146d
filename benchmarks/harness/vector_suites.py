"""Suites of flows of vectors: tables, planes, posteriors."""

from harness import simulators
from harness import suite_cases

__all__ = ['SUITES']

Cases, Suite = suite_cases.Cases, suite_cases.Suite

# One seed; the closed-form start needs no steps.
_SURROGATES = {'train_steps': 1000, 'sample_size': 16, 'num_threads': 1}
_SURROGATES_OF_TFP = ['mean-field', 'affine', 'ASVI']
_SIMULATORS = {'draws': 10000, 'observations': 10, 'batch_size': 128,
               'num_threads': 1, 'flow': {}}

SUITES = {
    'vectors': Suite(
        'held-out nats of flows of vectors, beside zuko and normflows',
        [Cases('vectors', {
            'train_steps': 3000, 'batch_size': 128, 'num_threads': 1,
        }, {
            'dataset': ['breast cancer (30-D)', 'digits (64-D)',
                        'wine (13-D)', 'two moons (2-D)',
                        'conditional (2-D given 2-D)'],
            'arm,rate': [
                ('Gaussian', None), ('copula', None), ('kernels', None),
                ('ours', 3e-3),
                ('ours affine', 3e-3), ('ours autoregressive', 3e-3),
                ('zuko NSF', 1e-3), ('zuko MAF', 1e-3), ('normflows', 1e-3),
            ],
        }), Cases('vectors', {
            'dataset': 'galaxies (7-D)', 'batch_size': 512, 'num_threads': 1,
        }, {'arm,rate,train_steps': [
            ('Gaussian', None, 0), ('copula', None, 0), ('pzflow', None, 0),
            ('ours', 3e-3, 4000), ('ours autoregressive', 3e-3, 4000),
            ('zuko NSF', 1e-3, 4000), ('zuko MAF', 1e-3, 8000),
        ]}), Cases('vectors', {'batch_size': 512, 'num_threads': 1}, {
            'dataset': ['diamonds (7-D)', 'flights (3-D given 4-D)'],
            'arm,rate,train_steps': [
                ('Gaussian', None, 0), ('copula', None, 0),
                ('ours', 3e-3, 4000), ('ours autoregressive', 3e-3, 4000),
                ('zuko NSF', 1e-3, 4000), ('zuko MAF', 1e-3, 8000),
            ],
        })],
    ),
    'vector_rates': Suite(
        'which learning rates flows of vectors survive, beside their peers',
        [Cases('vectors', {
            'train_steps': 1000, 'batch_size': 128, 'num_threads': 1,
        }, {
            'dataset': ['two moons (2-D)', 'conditional (2-D given 2-D)',
                        'breast cancer (30-D)'],
            'arm': ['ours', 'ours autoregressive', 'zuko NSF', 'zuko MAF',
                    'normflows'],
            'rate': [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
        })],
    ),
    'plane': Suite(
        'distances in nats from known densities of the plane, beside peers',
        [Cases('plane', {
            'num': 50000, 'batch_size': 512, 'num_threads': 1,
        }, {
            'target': ['eight Gaussians', 'checkerboard', 'two spirals',
                       'pinwheel', 'rings'],
            # About as many parameters, and seconds of the processor.
            'arm,rate,train_steps,model': [
                ('ours', 5e-3, 3000, {'num_bins': 64, 'hidden_units': 48}),
                ('zuko NSF', 1e-3, 1700, {'transforms': 5}),
                ('normflows', 3e-3, 1100, {'hidden': 37}),
            ],
        })],
    ),
    'inference_gym': Suite(
        'surrogate posteriors of the Inference Gym, beside those of TFP',
        [
            Cases('inference_gym', {**_SURROGATES, 'rate': 1e-2}, {
                'target': [
                    'Banana', 'NealsFunnel', 'EightSchools',
                    'IllConditionedGaussian',
                    'VectorizedStochasticVolatilityLogSP500Small',
                    'SyntheticLogGaussianCoxProcess',
                    'BrownianMotionMissingMiddleObservations',
                    'BrownianMotionUnknownScalesMissingMiddleObservations',
                    'ConvectionLorenzBridge',
                    'ConvectionLorenzBridgeUnknownScales',
                    'SyntheticItemResponseTheory',
                ],
                'arm': ['normal', 'flow', *_SURROGATES_OF_TFP],
            }),
            Cases('inference_gym', _SURROGATES, {
                'target': ['NealsFunnel', 'EightSchools'],
                'rate': [3e-4, 1e-3, 3e-3, 3e-2, 1e-1],
                'arm': ['flow', *_SURROGATES_OF_TFP],
            }),
        ],
    ),
    'sbibm': Suite(
        'posteriors of the simulators of sbibm, beside zuko',
        [
            Cases('sbibm', _SIMULATORS, {
                'simulations': simulations,
                'task': list(simulators.SIMULATORS),
                # Steps at most; both stop early.
                'arm,rate,train_steps': [
                    ('ours', 3e-3, steps), ('zuko NSF', 1e-3, 5 * steps // 2),
                ],
            })
            for simulations, steps in (([1000, 10000], 4000), ([100000], 12000))
        ],
    ),
}

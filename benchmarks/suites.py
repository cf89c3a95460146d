"""What can be measured: suites of cases, arms x data x grid x measure."""

from arms import catalogue
from harness import certificate_suites
from harness import suite_cases
from harness import vector_suites

Cases, Suite = suite_cases.Cases, suite_cases.Suite


def _flow(levels, steps, width, batch_size, **others):
  return {
      'num_levels': levels, 'num_steps': steps, 'hidden_channels': width,
      'batch_size': batch_size, **others,
  }


_PAIRS = 'arm,learning_rate'
_SAMPLES = {'data': 'sample photographs'}
# Steps that are timed; normflows and tfb.Glow have about as many parameters.
_STEPS = {
    'data': 'whole sample photographs', 'num_train': 64, 'num_held_out': 32,
    'learning_rate': 1e-4, 'commands': ['train_step'],
}
_STEPS_64 = {**_STEPS, **_flow(3, 8, 128, 16, image_size=64)}
# Short runs of training.
_RUNS = {
    **_SAMPLES, 'num_train': 4096, 'num_held_out': 512, 'hidden_channels': 64,
    'batch_size': 32, 'warmup_steps': 50, 'train_steps': None, 'seconds': None,
    'eval_every': None, 'schedule': 'constant', 'singular_values': False,
    'num_threads': None,
}
_TEN_MINUTES = {
    **_RUNS, 'num_held_out': 1024, 'seconds': 600.0, 'eval_every': 30.0
}
_SHORT = {**_RUNS, 'train_steps': 300}
_LARGE = {**_RUNS, 'train_steps': 100, 'eval_every': 25}
_PHOTOS_256 = {
    'data': 'photos', 'image_size': 256, 'num_train': 256, 'num_held_out': 32,
    'batch_size': 4,
}
_PHOTOS_1024 = {
    **_PHOTOS_256, 'image_size': 1024, 'num_train': 48, 'num_held_out': 8,
    'batch_size': 1,
}
# Of `Trainer`: the demo's flow.
_TRAINER = {
    **_SAMPLES, 'image_size': 32, 'num_levels': 3, 'num_steps': 4,
    'hidden_channels': 64, 'compute_dtype': 'float32', 'num_local': 0,
    'gradients': False, 'lipschitz_budget': 7.0,
}
# Of scaling on paper. The GPU: an H100 SXM by its data sheet, and what of that
# is reached (bfloat16: 989 TFLOP/s). Links: NVLink and InfiniBand.
_CLUSTER = {
    'num_levels': 6, 'num_steps': 8, 'gpus': [1, 8, 64, 256, 1024],
    'local_batch': {'256': 64, '1024': 4}, 'global_batch': 1024,
    'peak_tflops': 495.0, 'product_share': 0.3, 'memory_gbs': 3350.0,
    'memory_share': 0.7, 'memory_gb': 80.0, 'dispatch_us': 8.0,
    'gpus_per_host': 8, 'host_gbs': 450.0, 'network_gbs': 50.0,
    'link_share': 0.7, 'host_latency_us': 3.0, 'network_latency_us': 10.0,
    'exposed': 1.0, 'small_reduces': 3, 'jitter': 0.01, 'input_cores': 16,
    'input_format': 'TFRecord of PNG', 'check_pixels': False,
}
_DIGITS = {'num_levels': 1, 'num_steps': 4, 'hidden_channels': 64,
           'gaussianize_marginals': True, 'whitening': 'dense'}

SUITES = {
    'train_step': Suite(
        'a training step, likelihoods and samples, beside the peers',
        [Cases('train_step', {
            **_STEPS_64,
            'arms': ['ours reversible', 'ours stored', 'ours unrolled',
                     'ours bfloat16', 'tfb.Glow', 'normflows'],
            'commands': ['train_step', 'log_prob', 'sample'],
            'num_timings': 9,
        })],
    ),
    'bounds_overhead': Suite(
        'what certified bounds cost in a training step',
        [Cases('train_step', {
            **_STEPS_64, 'arms': ['ours', 'ours plain kernels'],
            'num_timings': 20,
        })],
    ),
    'depth': Suite(
        'memory, start-up and time of a training step by depth',
        [Cases('train_step', {
            **_STEPS, **_flow(5, None, 64, 2, image_size=256),
            'num_timings': 3,
        }, {'arm': ['ours reversible', 'ours stored'],
            'num_steps': [4, 16, 48]})],
    ),
    'gradient_accuracy': Suite(
        'what recomputed inputs and bfloat16 networks cost in accuracy',
        [Cases('trainer_run', {**_TRAINER, 'train_steps': 200}, {
            'compute_dtype,gradients': [('float32', True), ('bfloat16', False)]
        })],
    ),
    'memory_over_time': Suite(
        'whether what runs for long keeps the memory it has (--photos)',
        [Cases('memory_over_time', {'steps': 2000, 'repeats': 400}, {'row': [
            *(f'read {x}' for x in ('jpeg', 'png', 'records', 'npy', 'idx')),
            'read labels', 'read examples jpeg', 'read examples records',
            'train jpeg', 'train records', 'evaluate', 'evaluate draws',
            'sample', 'initialise', 'checkpoints', 'tensorboard',
            '4096 crops of 16', '4096 crops of 64',
        ]})],
    ),
    'input_pipeline': Suite(
        'images a second out of each kind of files (--photos)',
        [Cases('input_pipeline', {'seconds': 4.0}, {
            'image_size,num_images,batch_size': [
                (64, 1000, 64), (256, 150, 16), (1024, 16, 4),
            ]
        })],
    ),
    'optimum': Suite(
        'speed and memory of the closed-form optimum, beside scikit-learn',
        [
            Cases('optimum', {'num_timings': 5},
                  {'shape': ['60000x784', '5000x768', '5000x3072']}),
            Cases('optimum', {'num_timings': 5, 'image_size': 1024,
                              'memory_of': [0, 5, 20, 80]}),
        ],
    ),
    'optimum_claims': Suite(
        'the curves of docs/likelihood_optimum.md',
        [Cases('optimum_claims', {}, {
            'panel': ['ascent', 'structures', 'ranks', 'bias']
        })],
    ),
    'replicas': Suite(
        'the same run on one device, on several, and in several processes',
        [Cases('replicas', {'steps': 50}, {
            _PAIRS: [('ours', 3e-3), ('ours', 3e-4), ('tfb.Glow', 1e-3)]
        })],
    ),
    'fault_injection': Suite(
        'runs that are broken in every way, and started again',
        [Cases('fault_injection', {'rounds': 33, 'steps': 60, 'kinds': []})],
    ),
    'lipschitz_adversary': Suite(
        'a search for kernels whose certified norm is wrong',
        [Cases('lipschitz_adversary',
               {'num_kernels': 2100, 'max_channels': 64})],
    ),
    'lipschitz_tightness': Suite(
        'claimed norms of convolutions over the true ones, beside the peers',
        [Cases('lipschitz_tightness', {
            'shapes': [[3, 3, *channels] for channels in (
                (3, 16), (6, 64), (32, 32), (64, 12), (64, 64), (128, 128),
                (256, 256), (256, 512), (512, 512),
            )],
            'families': ['gaussian', 'power law', 'rank one'],
        })],
    ),
    'budget_frontier': Suite(
        'what a Lipschitz budget costs in likelihood',
        [Cases('trainer_run', {**_TRAINER, 'train_steps': 600, 'num_local': 4},
               {'lipschitz_budget': [4.0, 5.0, 7.0, 10.0, 16.0, None]},
               (0, 1))],
    ),
    'stability': Suite(
        'which learning rates a flow survives, beside its peers',
        [Cases('training_run', {**_SHORT, 'num_threads': 1}, {
            # Coarsest latents of 4 x 4 positions.
            'image_size,num_levels': [(16, 2), (32, 3), (64, 4)],
            'num_steps': [4, 16, 32],
            'arm': catalogue.NAMES,
            'learning_rate': [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
        }, (0, 1, 2))],
    ),
    'singular_values': Suite(
        'local singular values of flows while they are trained',
        [Cases('training_run', {
            **_SHORT, **_flow(2, 4, 64, 32, image_size=16), 'eval_every': 50,
            'singular_values': True,
        }, {_PAIRS: [(arm, 1e-2) for arm in (
            'ours', 'ours unbounded', 'tfb.Glow', 'normflows', 'normflows exp'
        )]})],
    ),
    **vector_suites.SUITES,
    'digits': Suite(
        "samples and likelihoods of scikit-learn's digits, given the class",
        [Cases('digits', {
            'draws': 200, 'batch_size': 128, 'num_threads': 1,
        }, {'arm,kind,rate,train_steps,flow': [
            ('ours', 'image', 3e-3, 1000, _DIGITS),
            ('ours without budget', 'image', 3e-3, 1000,
             {**_DIGITS, 'lipschitz_budget': None, 'num_steps': 8}),
            ('ours, of vectors', 'vector', 3e-3, 1000, {}),
            ('zuko NSF', 'peer', 1e-3, 3000, {}),
            ('normflows', 'peer', 1e-3, 1000, {}),
        ]}, (0, 1, 2))],
    ),
    'budget_trade': Suite(
        'what a Lipschitz budget costs and buys: digits, given the class',
        [Cases('digits', {
            'arm': 'ours', 'kind': 'image', 'rate': 3e-3, 'train_steps': 1000,
            'draws': 200, 'batch_size': 128, 'num_threads': 1,
        }, {'flow': [
            {**_DIGITS, 'lipschitz_budget': budget}
            for budget in (2.0, 3.0, 5.0, 7.0, 10.0, 14.0, 20.0, None)
        ]}, (0, 1, 2))],
    ),
    **certificate_suites.SUITES,
    'wall_clock': Suite(
        'bits/dim against seconds of training, beside the peers',
        [Cases('training_run', {
            **_TEN_MINUTES, **_flow(3, 4, 64, 32, image_size=32),
            'num_train': 16384,
        }, {_PAIRS: [('ours', 3e-3), ('tfb.Glow', 3e-3), ('normflows', 1e-2),
                     ('normflows exp', 3e-3)]})],
    ),
    'wall_clock_fashion': Suite(
        'the same on Fashion-MNIST (--fashion_mnist)',
        [Cases('training_run', {
            **_TEN_MINUTES, **_flow(2, 4, 64, 32, image_size=28),
            'data': 'fashion_mnist', 'num_train': None,
        }, {_PAIRS: [
            *((f'ours{kind} with curves', 3e-3) for kind in (
                '', ' without budget', ' whole without budget')),
            *((f'tfb.Glow{kind}', 3e-3) for kind in ('', ' with curves')),
            *(('normflows', rate) for rate in (1e-2, 3e-3)),
        ]})],
    ),
    'high_resolution_256': Suite(
        '256x256 photographs, beside the peers (--photos)',
        [
            Cases('linear_optimum', _PHOTOS_256),
            Cases('training_run',
                  {**_LARGE, **_flow(5, 4, 64, **_PHOTOS_256)},
                  {_PAIRS: [(arm, rate) for rate in (3e-4, 1e-3, 3e-3)
                            for arm in ('ours', 'tfb.Glow', 'normflows exp')]}),
        ],
    ),
    'high_resolution_1024': Suite(
        '1024x1024 photographs (--photos)',
        [
            Cases('linear_optimum', _PHOTOS_1024),
            Cases('training_run', {
                **_LARGE, **_flow(6, 8, 64, **_PHOTOS_1024)
            }, {_PAIRS: [('ours', 3e-4)]}),
        ],
    ),
    'fashion_mnist': Suite(
        'the recipe for Fashion-MNIST (--fashion_mnist)',
        [Cases('fashion_mnist', {'train_steps': 18_500, 'draws': 64})],
    ),
    'dequantization': Suite(
        'learned dequantisation noise beside uniform noise: the demo',
        [Cases('example_run', {'train_steps': 800, 'draws': 8}, {
            'dequantization': ['uniform', 'variational'],
        }, seeds=(0, 1, 2))],
    ),
    'squeeze': Suite(
        'wavelets beside blocks of pixels: the demo, and --photos',
        [Cases('example_run', {'train_steps': 700, 'draws': 8}, {
            'squeeze': ['blocks', 'wavelet'],
        }, seeds=(0, 1)), Cases('example_run', {
            'train_steps': 300, 'draws': 2, 'data': 'photos', 'image_size': 64,
            'num_levels': 4,
        }, {'squeeze': ['blocks', 'wavelet']})],
    ),
    'scaling': Suite(
        'on paper: what a step costs, and many GPUs would make of it',
        [Cases('scaling', _CLUSTER, {'hidden_channels,measured': [
            # Size, batch, timings of steps that are taken here.
            (64, [[256, 2, 4], [256, 8, 3]]), (512, []),
        ]})],
    ),
}


def cases(name, overrides=()):
  """The cases of a suite, see `suite_cases.expanded`."""
  return suite_cases.expanded(name, SUITES[name], overrides)

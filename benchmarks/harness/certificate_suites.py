"""Suites about what certificates buy and how tight they are."""

from harness import suite_cases

__all__ = ['SUITES']

Cases, Suite = suite_cases.Cases, suite_cases.Suite

SUITES = {
    'certified_anomaly': Suite(
        'anomalies that no perturbation hides (--fashion_mnist)',
        [Cases('certified_anomaly', {
            'anomaly': 8, 'radii': [0.1, 0.25, 0.5], 'num_test': 400,
            'attack_steps': 20, 'train_steps': 600,
        }, {'arm,largest,budget': [
            *((arm, k, None) for arm in ('closed form', 'elliptical')
              for k in (2.0, 5.0, 10.0, 20.0, 50.0)),
            *(('image flow', 10.0, budget) for budget in (0.1, 0.25, 1.0)),
            ('tfb.Glow', None, None),
            ('normflows', None, None),
        ]})],
    ),
    'outside_certifier': Suite(
        'constants of networks of ReLU, beside eclipse-nn',
        [Cases('outside_certifier', {}, {
            'width,num_hidden_layers,methods': [
                *((64, n, ['ECLipsE', 'ECLipsE_Fast']) for n in (1, 2, 4)),
                (256, 2, ['ECLipsE_Fast']),  # the other takes minutes
            ],
            'trained': [0, 500],
        })],
    ),
}

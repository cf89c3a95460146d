"""Arguments of surrogate posteriors that are right, and that are wrong."""

from support import argument_kinds as kinds
import tensorflow as tf

import tfp_flowopt as fo

ENTRIES = {
    'flows.surrogate_posterior': kinds.Entry(
        fo.flows.surrogate_posterior,
        lambda: {
            'event': 2,
            'num_steps': 1,
            'hidden_units': 2,
            'conditioner_lipschitz': 2.0,
            'seed': 0,
        },
        {
            'event': (None, 0, -1, 2.5, 'ab', [None], [2.5], True, {}),
            'num_steps': (*kinds.SEED, -1),
            'hidden_units': (*kinds.COUNT, 3),
            'coupling': kinds.CHOICE,
            'support': kinds.OBJECT,
            'covariance': kinds.CHOICE,
            'lipschitz_budget': kinds.POSITIVE_OR_NONE,
            'conditioner_lipschitz': kinds.POSITIVE_OR_NONE,
            'seed': (*kinds.SEED, -1),
            'dtype': kinds.FLOAT32_OR_64,
        },
        ('event', 'num_steps', 'seed'),
    ),
    'flows.initialize_surrogate': kinds.Entry(
        fo.flows.initialize_surrogate,
        lambda: {
            'surrogate': fo.flows.surrogate_posterior(2, num_steps=0),
            'target_log_prob_fn': lambda x: -tf.reduce_sum(x**2, axis=-1),
            'num_draws': 8,
            'max_iterations': 1,
            'tolerance': 1.0,
        },
        {
            'surrogate': kinds.OBJECT_OR_NONE,
            'num_draws': (*kinds.COUNT_OR_NONE, 2),
            'max_iterations': (*kinds.SEED, -1),
            'tolerance': kinds.POSITIVE,
            'seed': (*kinds.OBJECT_OR_NONE, [1.0, 2.0]),
        },
        ('num_draws', 'max_iterations', 'tolerance'),
    ),
    'flows.latent_map': kinds.Entry(
        fo.flows.latent_map,
        lambda: {'surrogate': fo.flows.surrogate_posterior(2, num_steps=0)},
        {'surrogate': kinds.OBJECT_OR_NONE},
    ),
}

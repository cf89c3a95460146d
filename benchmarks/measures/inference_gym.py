"""Surrogate posteriors of targets whose truth comes with the Inference Gym.

Errors are root mean squares over all numbers of a posterior: of means in its
standard deviations, `(mean - truth) / deviation`, and of variances in the
variance, `variance / truth - 1`, by 20,000 draws.
"""

import sys

from harness import serving

# Targets that are no model with a prior.
_WITHOUT_PRIOR = (
    'Banana',
    'IllConditionedGaussian',
    'NealsFunnel',
    'SyntheticLogGaussianCoxProcess',
)


def measure(settings, seed, context):
  """See `run.py`; `target`, `arm` and `rate`."""
  if settings['arm'] == 'ASVI' and settings['target'] in _WITHOUT_PRIOR:
    return {'finite': None}
  arm = serving.Arm(
      sys.executable,
      'inference_gym_surrogate.py',
      {
          **settings,
          'seed': seed,
          'packages': str(serving.inference_gym(context.peers)),
      },
      num_threads=settings['num_threads'],
  )
  try:
    return arm.value('fit')
  finally:
    arm.close()

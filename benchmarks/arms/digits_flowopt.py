"""Our flows of images of digits, beside flows of vectors."""

import math

from harness import serving
import numpy as np

from arms import vectors_flowopt
import tfp_flowopt as fo

_SIDE = 8
# Each test image once; after them come other draws of noise.
_NUM_LOCAL = 397


class Digits(vectors_flowopt.Vectors):
  """An `image_flow` given the class; settings as for vectors.

  `flow` are arguments of `image_flow`. Vectors of the file are images of `bits`
  bits, and `labels` is true.
  """

  def _given(self, part):
    x, c = super()._given(part)
    return x.reshape([-1, _SIDE, _SIDE, 1]), c

  def _started(self, x, c):
    distribution = fo.image_flow(
        x.shape[1:],
        conditioning=self._arrays['train_c'].shape[1],
        seed=self._settings['seed'],
        **self._settings['flow'],
    )
    bits = fo.initialize_at_optimum(
        distribution, x, bits=self._settings['bits'], conditioning=c
    )
    # As nats of vectors.
    return distribution, -np.log(2.0) * x[0].size * (
        bits - self._settings['bits']
    )

  def train(self):
    """Also `constants` of the flow, the local ones at all test images."""
    values = super().train()
    x, c = (part[:_NUM_LOCAL] for part in self._given('test'))
    return values | constants(self._distribution.bijector, x, c)

  def draw(self, num, path):
    """Writes draws `[K, num, D]` of each class."""
    num_classes = self._arrays['train_c'].shape[1]
    labels = np.repeat(np.arange(num_classes), num)
    draws = self._distribution.sample(
        len(labels),
        seed=[self._settings['seed'], 0],
        bijector_kwargs={'conditioning': labels},
    )
    np.save(path, np.reshape(draws, [num_classes, num, -1]))


def constants(flow, x, c):
  """Logarithms of Lipschitz constants: to images, and to latents.

  Certified ones of the non-linear part and of the whole flow, and the largest
  local ones at images of classes.
  """
  pairs = {
      'nonlinear': flow.bounds_by_part().nonlinear,
      'whole': fo.lipschitz.lipschitz_bounds(flow),
      'local': fo.diagnostics.local_lipschitz(
          flow, x, bijector_kwargs={'conditioning': c}
      ),
  }
  return {
      f'log_{name}': [math.log(np.max(constant)) for constant in pair]
      for name, pair in pairs.items()
  }


if __name__ == '__main__':
  serving.serve(Digits)

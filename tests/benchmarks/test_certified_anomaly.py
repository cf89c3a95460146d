"""The measure of anomalies that no perturbation hides."""

import gzip
import types

from measures import certified_anomaly
import numpy as np
import pytest


def write(folder, part, images, labels):
  for kind, values in (('images-idx3', images), ('labels-idx1', labels)):
    head = np.array(
        [0x800 + values.ndim, *values.shape], dtype='>i4'
    ).tobytes()
    with gzip.open(folder / f'{part}-{kind}-ubyte.gz', 'wb') as file:
      file.write(head + values.astype(np.uint8).tobytes())


@pytest.mark.parametrize('arm', ['closed form', 'elliptical'])
def test_what_is_certified_an_attack_does_not_undo(arm, tmp_path, rng):
  for part, count in (('train', 200), ('t10k', 60)):
    labels = rng.integers(3, size=count)
    images = 100 + 10 * rng.normal(size=[count, 4, 4])
    # One class has more contrast than the others.
    images[labels == 2] += 20 * rng.normal(size=[sum(labels == 2), 4, 4])
    write(tmp_path, part, np.clip(images, 0, 255), labels)
  settings = {
      'arm': arm, 'anomaly': 2, 'largest': 20.0, 'num_test': 30,
      'radii': [0.01, 0.03], 'attack_steps': 10,
  }
  context = types.SimpleNamespace(folder=lambda name: tmp_path)
  found = certified_anomaly.measure(settings, 0, context)
  assert found['finite'] and found['area'] > 0.8
  for radius in settings['radii']:
    certified, attacked = (
        found[f'{kind} {radius}'] for kind in ('certified', 'attacked')
    )
    assert certified <= attacked <= found['area']
    # Of a normal distribution bounds are exact, up to second order.
    assert attacked - certified < 0.05


def test_the_area_is_the_share_of_ordered_pairs(rng):
  normal, anomalies = rng.integers(9, size=40), rng.integers(9, size=30)
  pairs = np.sign(normal[:, np.newaxis] - anomalies)
  expected = 0.5 + 0.5 * pairs.mean()
  area = certified_anomaly._area(normal + 0.0, anomalies + 0.0)
  assert area == pytest.approx(expected)
  # What is not a number counts as the worst.
  assert certified_anomaly._area(np.array([np.nan]), np.zeros(3)) == 0.0

"""What the curve of a histogram costs, without sampling."""

import numpy as np
import pytest

import tfp_flowopt as fo


def cost(counts, num_knots):
  """Bits/dim above the entropy of the histogram, piece by piece."""
  inputs, outputs = fo.optimum.gaussian_knots(counts, num_knots)
  num_bins = len(counts)
  p = counts / counts.sum()
  middle = 0.5 * (inputs[1:] + inputs[:-1])
  density = num_bins * p[np.floor((middle + 0.5) * num_bins).astype(int)]
  a, b = outputs[:-1], outputs[1:]
  slopes = (b - a) / np.diff(inputs)
  # The mean of log phi(z) for z uniform between a and b.
  log_normal = -0.5 * ((a * a + a * b + b * b) / 3 + np.log(2 * np.pi))
  mean = np.sum(density * np.diff(inputs) * (np.log(slopes) + log_normal))
  entropy = -np.sum(p[p > 0] * np.log(num_bins * p[p > 0]))
  return (-mean - entropy) / np.log(2)


@pytest.mark.parametrize('num_bins', [2, 32, 256])
def test_the_documented_cost_is_never_passed(rng, num_bins):
  histograms = [np.ones(num_bins), 0.5 ** np.arange(num_bins)]
  for peak in (0, num_bins // 2, num_bins - 1):
    one = np.zeros(num_bins)
    one[peak] = 1.0
    histograms += [one, one + 1e-3 / num_bins, one + one[::-1]]
  for _ in range(5):
    histograms.append(rng.gamma(rng.choice([0.01, 0.1, 1.0]), size=num_bins))
  costs = [cost(counts, num_bins + 65) for counts in histograms]
  assert 0.0 <= min(costs) and max(costs) <= 0.02
  assert max(cost(counts, num_bins + 1) for counts in histograms) <= 1.05

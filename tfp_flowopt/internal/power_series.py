"""Power series of `log det(I + J)`, for `J` of operator norm below 1."""

import math

import tensorflow as tf

from tfp_flowopt.internal import stochastic_log_det

__all__ = ['num_roulette_terms', 'power_series', 'series_bias_bound']


def power_series(linear, probes, event_ndims, num_terms, weight):
  """Weighted partial sums of the series of the log-determinant and inverse.

  ```none
  log det(I + J) = E sum_{k>=1} (-1)^(k+1) / k  v^T J^k v
  (I + J)^-T v   =   sum_{k>=1} (-J^T)^(k-1) v
  ```

  with the weight of term `k` in both, so that the second gives the gradient of
  the first. `linear` is the `Linearization` of the residual branch; the probes
  `v` are `[num_probes, batch..., event]`; `weight` maps the float `k` to the
  weight. Returns `[num_probes, batch...]`, and a `Tensor` like the probes.
  """

  def term(k, power, log_det, inverse):
    order = tf.cast(k, probes.dtype)
    c = weight(order)
    inverse += c * power
    power = tf.ensure_shape(-linear.vjp(power), probes.shape)
    dot = stochastic_log_det.event_sum(power * probes, event_ndims)
    return k + 1, power, log_det - c / order * dot, inverse

  zero = stochastic_log_det.event_sum(tf.zeros_like(probes), event_ndims)
  _, _, log_det, inverse = tf.while_loop(
      lambda k, *_: k <= num_terms,
      term,
      [tf.constant(1), probes, zero, tf.zeros_like(probes)],
  )
  return log_det, inverse


def num_roulette_terms(num_exact, stop_probability, seed):
  """How many terms Russian roulette computes, an int32 scalar `Tensor`.

  After the exact ones, each next term is computed with probability
  `q = 1 - stop_probability`, so term `k` is with probability
  `q^max(0, k - num_exact)`; that is what its weight must undo.
  """
  uniform = tf.random.stateless_uniform([], seed, dtype=tf.float64)
  more = tf.math.log1p(-uniform) / math.log1p(-stop_probability)
  return num_exact + tf.cast(tf.math.floor(more), tf.int32)


def series_bias_bound(event_size, lipschitz, num_terms):
  """Bound of the terms beyond the first `n` of a power series, in nats.

  ```none
  |sum_{k>n} (-1)^(k+1) tr(J^k) / k| <= D sum_{k>n} L^k / k
                                     <= D L^(n+1) / ((n+1) (1-L))
  ```

  for `D` dimensions and a Lipschitz constant `L < 1` of the residual branch.
  """
  return (
      event_size
      * math.exp((num_terms + 1) * math.log(max(lipschitz, 1e-300)))
      / ((num_terms + 1) * (1.0 - lipschitz))
  )

"""What a served flow answers, and what it does not."""

import concurrent.futures

import numpy as np
import pytest
from support import images
import tensorflow as tf

SAMPLE = {
    'num_samples': tf.constant(1),
    'seed': tf.constant([0, 1]),
    'temperature': tf.constant(1.0),
}


@pytest.mark.parametrize(
    ('signature', 'argument', 'value'),
    [
        ('log_prob', 'images', tf.zeros([1, 8, 9, 3], tf.uint8)),
        ('log_prob', 'images', tf.zeros([1, 8, 8, 1], tf.uint8)),
        ('encode', 'images', tf.zeros([1, 4, 8, 3], tf.uint8)),
        ('encode', 'images', tf.zeros([8, 8, 3], tf.uint8)),
        ('encode', 'images', tf.zeros([1, 1, 8, 8, 3], tf.uint8)),
        ('decode', 'latents', tf.zeros([1, 2 * 192])),
        ('decode', 'latents', tf.zeros([1, 191])),
        ('decode', 'latents', tf.zeros([192])),
        ('decode', 'latents', tf.zeros([1, 1, 192])),
        ('decode', 'latents', tf.fill([1, 192], np.float32('nan'))),
        ('decode', 'latents', tf.one_hot([3], 192, -np.inf, 0.0)),
        ('sample', 'num_samples', tf.constant(-1)),
        ('sample', 'num_samples', tf.constant([1])),
        ('sample', 'seed', tf.constant([0, 1, 2])),
        ('sample', 'seed', tf.constant(0)),
        ('sample', 'temperature', tf.constant(-1.0)),
        ('sample', 'temperature', tf.constant(np.nan, tf.float32)),
        ('sample', 'temperature', tf.constant(np.inf, tf.float32)),
        # Finite, but not times most numbers.
        ('sample', 'temperature', tf.constant(3e38)),
        ('sample', 'temperature', tf.constant([1.0])),
    ],
)
def test_what_a_served_flow_does_not_answer(
    signatures, signature, argument, value
):
  inputs = SAMPLE if signature == 'sample' else {}
  with pytest.raises(
      tf.errors.InvalidArgumentError, match=f'Argument `{argument}`'
  ):
    signatures[signature](**{**inputs, argument: value})


def test_what_a_served_flow_answers_at_the_ends_of_the_ranges(signatures):
  for none in (
      signatures['sample'](**{**SAMPLE, 'num_samples': tf.constant(0)}),
      signatures['decode'](latents=tf.zeros([0, 192])),
  ):
    assert none['images'].shape == [0, 8, 8, 3]
  mode = signatures['sample'](**{**SAMPLE, 'temperature': tf.constant(0.0)})
  want = signatures['decode'](latents=tf.zeros([1, 192]))
  np.testing.assert_array_equal(mode['images'], want['images'])


def test_many_requests_at_once(signatures):
  """Of batches of 1 and 64, from eight threads."""
  log_prob = signatures['log_prob']
  x = images.crops().draw(64, [3, 3])
  expected = log_prob(images=x)['log_prob'].numpy()

  def ask(i):
    if i % 2:
      return np.abs(log_prob(images=x)['log_prob'] - expected).max()
    one = log_prob(images=x[i : i + 1])['log_prob']
    return np.abs(one[0] - expected[i])

  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    errors = list(pool.map(ask, range(32)))
  assert max(errors) < 1e-4 * np.abs(expected).max()

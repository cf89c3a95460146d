import math
import warnings

import numpy as np
import pytest
from support import images
from support import jacobians
from support import registry
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo


def distribution_of(flow):
  base = tfp.distributions.Normal(tf.zeros([], flow.dtype), 1.0)
  return tfp.distributions.TransformedDistribution(
      tfp.distributions.Sample(base, flow.event_size), flow
  )


def make_flow(num_levels, num_steps, tile_sizes, event_shape=(8, 4, 2)):
  flow = fo.bijectors.ImageFlow(
      event_shape,
      num_levels,
      num_steps,
      hidden_channels=4,
      tile_sizes=tile_sizes,
      dtype=tf.float64,
  )
  return registry.randomize(flow, 0.2)


def whiten(flow, rng):
  """Maps that are not trained are somewhere, too."""
  for level in flow.levels:
    for linear in (level.whiten, level.restore):
      size = linear.shift.shape[0]
      linear.initialize(singular_values=np.exp(rng.normal(size=size)))
    if level.whiten_whole is not None:
      whole = level.whiten_whole.bijector
      whole.initialize(
          rng.normal(size=whole.matrices.shape),
          rng.normal(size=whole.shifts.shape),
      )


def test_log_dets_and_bounds_are_those_of_the_flow(rng):
  flow = make_flow(num_levels=2, num_steps=3, tile_sizes=(2,))
  whiten(flow, rng)
  x = tf.constant(rng.normal(size=(5, 8, 4, 2)))
  layers = fo.diagnostics.layer_report(distribution_of(flow), x, 0)
  assert [layer.name for layer in layers] == [
      'level 0 whiten',
      'level 0 step 0',
      'level 0 step 1',
      'level 0 step 2',
      'level 0 restore',
      'level 0 scale out',
      'level 1 whole',
      'level 1 whiten',
      'level 1 step 0',
      'level 1 step 1',
      'level 1 step 2',
      'level 1 restore',
      'level 1 scale out',
  ]
  assert [layer.size for layer in layers] == [64] * 5 + [32] * 8
  np.testing.assert_allclose(
      sum(layer.log_det for layer in layers),
      np.mean(flow.inverse_log_det_jacobian(x)),
      rtol=1e-12,
  )
  for layer in layers:
    assert layer.log_det != 0
    assert layer.log_det_per_dim == layer.log_det / layer.size
    assert -layer.certified_forward < layer.log_det_per_dim
    assert layer.log_det_per_dim < layer.certified_inverse
    assert layer.local_forward is layer.local_inverse is None
    assert layer.name in str(layer) and 'local' not in str(layer)
  # What is factored out of level 0 passes its scaling, beside level 1.
  whole = fo.lipschitz.lipschitz_bounds(flow)
  for side in ('forward', 'inverse'):
    logs = [getattr(layer, f'certified_{side}') for layer in layers]
    total = sum(logs[:5]) + max(logs[5], sum(logs[6:]))
    assert total == pytest.approx(math.log(getattr(whole, side)), rel=1e-9)


def singular_values(parts, x):
  """Of the Jacobian of some bijectors, one after the other, and the output."""

  def evaluate(x):
    for part in parts:
      x = part.inverse(x)
    return x

  matrices = jacobians.jacobian_of(evaluate)(x)
  return np.linalg.svd(matrices, compute_uv=False), evaluate(x)


def test_local_constants_are_those_of_the_jacobian(rng):
  flow = make_flow(1, 2, tile_sizes=(1,), event_shape=(4, 4, 2))
  whiten(flow, rng)
  x = tf.constant(rng.normal(size=(3, 4, 4, 2))[::-1])
  # The third image has no part in it.
  reporter = fo.diagnostics.LayerReporter(
      distribution_of(flow), num_steps=32
  )
  layers = reporter(x, 2)
  (level,) = flow.levels
  parts = [
      [level.squeeze, level.whiten],
      *level.steps,
      [level.restore],
      [level.factor_out.scaling],
  ]
  y = x[:2]
  for layer, part in zip(layers, parts, strict=True):
    want, y = singular_values(part, y)
    np.testing.assert_allclose(
        layer.local_inverse, np.log(want[:, 0].max()), rtol=1e-6
    )
    np.testing.assert_allclose(
        layer.local_forward, -np.log(want[:, -1].min()), rtol=1e-6
    )
    assert layer.local_inverse <= layer.certified_inverse + 1e-9
    assert layer.local_forward <= layer.certified_forward + 1e-9
    assert f'local {layer.local_forward:.3f}' in str(layer)
  assert layers[1].local_inverse != layers[2].local_inverse
  y = x
  for layer, part in zip(reporter(x, 3), parts, strict=True):
    want, y = singular_values(part, y)
    np.testing.assert_allclose(
        layer.local_inverse, np.log(want[:, 0].max()), rtol=1e-6
    )
  # Another call sees the weights as they are then.
  registry.randomize(flow, 0.2, seed=1)
  again = reporter(x, 2)
  want, _ = singular_values(parts[0], x[:2])
  np.testing.assert_allclose(
      again[0].local_inverse, np.log(want[:, 0].max()), rtol=1e-6
  )
  assert again[1].local_inverse != layers[1].local_inverse


def test_a_flow_at_the_optimum():
  x = images.preprocessed(200)
  distribution = fo.image_flow([8, 8, 3], 1, 1, 8, tile_sizes=())
  predicted = fo.initialize_at_optimum(distribution, x)
  whiten, step, restore = fo.diagnostics.layer_report(distribution, x, 0)
  # All of the volume is in the whitening; the rest is a rotation at first.
  assert whiten.log_det > 100
  assert abs(step.log_det) < 1e-3 and abs(restore.log_det) < 1e-3
  np.testing.assert_allclose(
      predicted,
      fo.bits_per_dim(
          whiten.log_det - 96 * (1 + math.log(2 * math.pi)), 192
      ),
      atol=1e-3,
  )


def test_a_layer_without_a_bound_has_none():
  flow = fo.bijectors.ImageFlow(
      [4, 4, 2],
      num_levels=1,
      num_steps=1,
      hidden_channels=4,
      lipschitz_budget=None,
      conditioner_lipschitz=np.inf,
      tile_sizes=(),
  )
  _, step, restore = fo.diagnostics.layer_report(
      distribution_of(flow), tf.ones([1, 4, 4, 2]), 0
  )
  assert math.isinf(step.certified_forward)
  assert math.isinf(step.certified_inverse)
  assert math.isfinite(restore.certified_inverse)


def some_layers(num_levels, num_steps, local):
  names = ['whiten', *(f'step {k}' for k in range(num_steps)), 'restore']
  return [
      fo.diagnostics.LayerReport(
          f'level {level} {name}', 100, 50.0 * (-1) ** i, 0.8, 1.2, *local
      )
      for level in range(num_levels)
      for i, name in enumerate(names)
  ]


def test_picture(tmp_path):
  pixels = {}
  for name, layers in {
      'deep': some_layers(6, 8, (0.7, 0.9)),
      'shallow': some_layers(1, 1, (0.7, 0.9)),
      'without': some_layers(1, 1, ()),
      'unbounded': [
          layer._replace(certified_forward=math.inf)
          for layer in some_layers(1, 1, (0.7, 0.9))
      ],
  }.items():
    with warnings.catch_warnings():
      warnings.simplefilter('error')
      fo.diagnostics.plot_layers(tmp_path / f'{name}.png', layers)
    data = (tmp_path / f'{name}.png').read_bytes()
    pixels[name] = tf.io.decode_png(data, channels=3).numpy()
  # As wide as its labels need; other bars are another picture.
  widths = {name: image.shape[1] for name, image in pixels.items()}
  assert widths.pop('deep') > 1000 and set(widths.values()) == {750}
  assert np.any(pixels['shallow'] != pixels['without'])
  # A bound that is infinite is a bar out of the picture, not none.
  light = {
      name: np.all(image == [0x9E, 0xCA, 0xE9], axis=-1).sum()
      for name, image in pixels.items()
  }
  assert light['unbounded'] > light['shallow'] > 1000


@pytest.mark.parametrize(
    'shape, num_local_images, match',
    [
        ((4, 4, 2), 0, '`x`'),
        ((1, 4, 4, 3), 0, '`x`'),
        ((0, 4, 4, 2), 0, '`x`'),
        ((2, 4, 4, 2), 3, 'num_local_images'),
        ((2, 4, 4, 2), -1, 'num_local_images'),
    ],
)
def test_bad_arguments_are_named(shape, num_local_images, match):
  flow = make_flow(1, 1, (), event_shape=(4, 4, 2))
  with pytest.raises(ValueError, match=match):
    fo.diagnostics.layer_report(
        distribution_of(flow), tf.zeros(shape, tf.float64), num_local_images
    )


def test_another_distribution_is_refused():
  with pytest.raises(ValueError, match='ImageFlow'):
    fo.diagnostics.LayerReporter(tfp.distributions.Normal(0.0, 1.0))

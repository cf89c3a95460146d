"""Slips that others would take, or call by names of their own."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flowopt as fo

X = np.random.default_rng(0).normal(size=(50, 3))
PIXELS = np.zeros([1, 12, 12, 3], np.uint8)


@pytest.fixture(scope='module', name='flow')
def _flow():
  return fo.image_flow([4, 4, 1], 1, 1, 4)


@pytest.mark.parametrize(
    ('name', 'kwargs'),
    [
        ('seed', {'seed': 3}),
        ('seed', {'seed': [0.5, 1.0]}),
        ('num_samples', {'num_samples': [2, 3]}),
        ('num_samples', {'num_samples': -1}),
        ('num_samples', {'num_samples': 2.0}),
    ],
)
def test_samples_at_a_temperature(flow, name, kwargs):
  with pytest.raises(ValueError, match=f'`{name}` must be'):
    fo.flows.sample_at_temperature(
        flow, **{'num_samples': 2, 'seed': [0, 1], **kwargs}
    )
  found = fo.flows.sample_at_temperature(flow, tf.constant(2), [0, 1])
  assert found.shape == [2, 4, 4, 1]


@pytest.mark.parametrize(
    ('name', 'arguments'), [('seed', (3, 0)), ('num', (-1, [0, 1]))]
)
def test_crops(name, arguments):
  with pytest.raises(ValueError, match=f'`{name}` must be'):
    fo.training.ImageCrops(PIXELS, 8).draw(*arguments)


@pytest.mark.parametrize(
    ('name', 'images', 'noise'),
    [
        ('images', PIXELS.astype(np.uint16), 0.5),
        ('noise', PIXELS, 2.0),
        ('noise', PIXELS, -0.1),
    ],
)
def test_dequantization(name, images, noise):
  with pytest.raises(ValueError, match=f'`{name}` must'):
    fo.flows.dequantize(images, noise=noise)


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('noise_variance', None),
        ('noise_variance', 'a'),
        ('noise_variance', -1.0),
        ('centered', 'no'),
    ],
)
def test_optimum(name, value):
  with pytest.raises(ValueError, match=f'`{name}` must be'):
    fo.likelihood_optimum(X, **{name: value})
  with pytest.raises(ValueError, match=f'`{name}` must be'):
    fo.AutoCorrelation('dense', 3, **{name: value})
  fo.likelihood_optimum(X, noise_variance=np.array(0.1))


def test_pictures_of_scaled_images(tmp_path):
  path = tmp_path / 'a.png'
  with pytest.raises(ValueError, match=r'`rows` must be .* of uint8'):
    fo.diagnostics.plot_samples(path, [('scaled', PIXELS - 0.5)])
  assert not path.exists()

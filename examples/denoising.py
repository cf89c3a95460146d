"""Denoises photographs with a flow as the prior in a `JointDistribution`.

```none
image ~ flow,   observed | image ~ Normal(image, noise)
```

Before training the flow is the best linear one, so the prior is a Gaussian and
the most probable image is what a Wiener filter makes; training adds what is not
Gaussian. Held-out crops with noise are restored by the most probable image, and
by the posterior mean, from Hamiltonian Monte Carlo in the flow's latent space.
Beside them is the Wiener filter of all second moments of the crops.

  python examples/denoising.py --picture=/tmp/denoising.png
"""

from absl import flags
import fitting
import numpy as np
import onednn  # noqa: F401
import photographs
import programs
import restoration
import tensorflow as tf

import tfp_flowopt as fo

_PICTURE = programs.define_outputs()
_NOISE = flags.DEFINE_float(
    'noise', 0.05, 'Standard deviation, as a part of the range.', 1e-3, 1.0
)
_IMAGE_SIZE = flags.DEFINE_integer(
    'image_size',
    16,
    'Side of the crops, divisible by 4.',
    lower_bound=4,
    upper_bound=160,  # what is held out is no wider
)
_NUM_STEPS = flags.DEFINE_integer(
    'num_steps', 4, 'Flow steps of each of 2 levels.', lower_bound=1
)
_TRAIN_STEPS = flags.DEFINE_integer(
    'train_steps', 600, 'Steps of training.', lower_bound=0
)
_NUM_IMAGES = flags.DEFINE_integer(
    'num_images', 32, 'Crops to restore.', lower_bound=1
)
_MAP_STEPS = flags.DEFINE_integer(
    'map_steps', 100, 'Steps towards the most probable image.', lower_bound=1
)
_SAMPLES = flags.DEFINE_integer(
    'samples', 60, 'Posterior samples for the mean; 0 for none.', lower_bound=0
)
_SEED = flags.DEFINE_integer(
    'seed', 0, 'Seed of data and weights.', lower_bound=0
)

flags.register_validator(
    _IMAGE_SIZE,
    lambda size: size % 4 == 0,
    message='--image_size must be divisible by 4',
)

_BATCH_SIZE = 32
_NUM_CROPS = 4096


def _preprocessed(crops, num, seed):
  """Dequantised crops, float32 `[num, S, S, 3]`."""
  images = crops.draw(num, [seed, 0])
  noise = fo.flows.dequantization_noise(tf.shape(images), [seed, 1])
  return fo.flows.dequantize(images, noise=noise)


def _draw(path, rows):
  fo.diagnostics.plot_samples(
      path, [(name, fo.flows.quantize(images[:8])) for name, images in rows]
  )


def main(argv):
  """Trains, restores, prints and draws."""
  del argv
  seed, noise = _SEED.value, _NOISE.value
  left, right = fo.training.split_columns(photographs.load_photographs())
  train_crops, held_out = (
      fo.training.ImageCrops(part, _IMAGE_SIZE.value) for part in (left, right)
  )
  data = _preprocessed(train_crops, _NUM_CROPS, seed + 1)
  truth = _preprocessed(held_out, _NUM_IMAGES.value, seed + 2)
  observed = truth + noise * tf.random.stateless_normal(
      truth.shape, [seed, 3]
  )

  def make_prior(**kwargs):
    result = fo.image_flow(
        truth.shape[1:],
        num_levels=2,
        num_steps=_NUM_STEPS.value,
        hidden_channels=64,
        seed=seed,
        **kwargs,
    )
    with fo.training.under_way('Initialising the prior'):
      fo.initialize_at_optimum(result, data)
    return result

  prior = make_prior()
  model = restoration.make_model(prior, noise)
  posterior = model.experimental_pin(observed=observed)
  flow, restored = prior.bijector, {'observed': observed}
  objective = restoration.make_objective(posterior, flow)
  restored['Wiener filter'] = restoration.wiener(data, observed, noise)
  # Without scalings the start is linear, and its prior a normal.
  linear = make_prior(tile_sizes=())
  restored['flow at the optimum'], _ = restoration.most_probable(
      restoration.make_objective(
          restoration.make_model(linear, noise).experimental_pin(
              observed=observed
          ),
          linear.bijector,
      ),
      linear.bijector,
      observed,
      _MAP_STEPS.value,
  )
  print(f'Training the prior on {_NUM_CROPS} crops')
  fitting.fit(
      prior,
      train_crops.batches(_BATCH_SIZE, seed),
      _TRAIN_STEPS.value,
      seed,
  )
  restored['trained, most probable'], _ = restoration.most_probable(
      objective, flow, observed, _MAP_STEPS.value
  )
  results = {'noise': noise}
  if _SAMPLES.value:
    print('Sampling the posterior')
    # Not from the most probable image: the mode of a density with heavy tails
    # is far from where its mass is, and a chain leaves it slowly.
    mean, deviation, results['acceptance'] = restoration.posterior_mean(
        posterior,
        flow,
        flow.inverse(tf.identity(restored['flow at the optimum'])),
        _SAMPLES.value,
        seed,
    )
    restored['trained, mean'] = mean
    # Of one, if the posterior knows how wrong its mean is.
    results['error_by_deviation'] = float(
        np.sqrt(np.mean(np.square(mean - truth)))
        / np.sqrt(np.mean(np.square(deviation)))
    )
  results['psnr'] = {
      name: restoration.psnr(image, truth) for name, image in restored.items()
  }
  print(f'\nNoise of {noise:g}, PSNR in dB:')
  for name, value in results['psnr'].items():
    print(f'  {name:<24}{value:6.2f}')
  if _SAMPLES.value:
    print(
        f'The mean is off by {results["error_by_deviation"]:.2f} posterior '
        f'standard deviations; {results["acceptance"]:.0%} of the proposals '
        'were accepted.'
    )
  programs.write_results(results)
  if _PICTURE.value:
    _draw(_PICTURE.value, [*restored.items(), ('truth', truth)])
    print(f'Written: {_PICTURE.value}')


if __name__ == '__main__':
  programs.run(main)

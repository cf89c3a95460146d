"""What makes a run what it is comes from its model, images and settings."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flowopt as fo
from tfp_flowopt.training import run_settings

tfb, tfd = tfp.bijectors, tfp.distributions


class Images:
  """What settings are made of."""

  def __init__(self, class_names=None):
    self.fingerprint = 'a'
    self.class_names = class_names


def settings(distribution=None, description=None, train=None, held_out=None):
  return run_settings.run_settings(
      fo.training.TrainConfig(),
      description,
      train or Images(),
      held_out or Images(),
      distribution and run_settings.model_settings(distribution),
  )


def differences(before, now):
  """The lines of the error; none if there is none."""
  try:
    run_settings.check_same_run(before, now, 'here')
  except fo.training.OtherRunError as e:
    return [line.strip() for line in str(e).splitlines()[1:]]
  return []


@pytest.mark.parametrize('key, was, is_now', [
    ('optimizer', 'adam', 'muon'),
    ('dequantization', 'uniform', 'variational'),
    ('model.squeeze', 'blocks', 'auto'),
])
def test_runs_of_before_had_what_there_was(key, was, is_now):
  assert not differences({'seed': 0}, {'seed': 0, key: was})
  assert differences({'seed': 0}, {'seed': 0, key: is_now}) == [
      f'{key}: was {was}, is {is_now}'
  ]
  # Those of other models have no such setting.
  assert not differences({'seed': 0}, {'seed': 0})


def small_flow(**kwargs):
  return fo.image_flow(
      **{
          'event_shape': [4, 4, 1],
          'num_levels': 1,
          'num_steps': 1,
          'hidden_channels': 2,
          'tile_sizes': (2,),
          **kwargs,
      }
  )


@pytest.fixture(scope='module')
def of_small_flow():
  return settings(small_flow())


@pytest.mark.parametrize(
    ('name', 'was', 'now'),
    [
        ('lipschitz_budget', 7.0, 0.2),
        ('lipschitz_budget', 7.0, None),
        ('hidden_channels', 2, 4),
        ('coupling', 'affine', 'additive'),
        ('tile_sizes', [2], [1]),
        ('squeeze', 'auto', 'wavelet'),
        ('log_range', 1.0, 0.5),
        ('num_steps', 1, 2),
        ('gaussianize_marginals', False, True),
        ('conditioning', None, 3),
        ('compute_dtype', None, 'bfloat16'),
        ('event_shape', [4, 4, 1], [4, 8, 1]),
    ],
)
@pytest.mark.filterwarnings('ignore:.*is emulated:UserWarning')
def test_each_argument_of_a_flow_counts(of_small_flow, name, was, now):
  other = settings(small_flow(**{name: now}))
  lines = differences(of_small_flow, other)
  assert f'model.{name}: was {was}, is {now}' in lines
  # That it has other variables, and a base of another size, goes without
  # saying.
  assert {line.partition(':')[0] for line in lines} <= {
      f'model.{name}', 'base.sample_shape'
  }


@pytest.mark.parametrize(
    'same',
    [
        # The initial weights are in the checkpoint; rounding may change.
        {'seed': 5, 'memory': 'stored'},
        {'tile_sizes': np.array([2])},
        {'lipschitz_budget': 7, 'hidden_channels': np.int64(2)},
        {'event_shape': tf.TensorShape([4, 4, 1])},
        {'name': 'another', 'validate_args': True},
    ],
)
def test_what_does_not_change_the_run_is_accepted(of_small_flow, same):
  assert differences(of_small_flow, settings(small_flow(**same))) == []


def flow_of(*parts, scale=1.0):
  base = tfd.Sample(tfd.Normal(tf.zeros([]), scale), [4])
  return tfd.TransformedDistribution(base, tfb.Chain(parts))


class Opaque(tfb.Bijector):
  """A bijector of which the argument is all that can be known."""

  def __init__(self, argument):
    super().__init__(
        forward_min_event_ndims=1, parameters={'argument': argument}
    )


@pytest.mark.parametrize(
    ('make', 'before', 'now', 'name'),
    [
        (tfb.Scale, 2.0, 3.0, 'bijectors.0.scale'),
        (lambda n: [tfb.Exp()] * n, 1, 2, 'bijectors'),
        (lambda cls: cls(), tfb.Exp, tfb.Tanh, 'bijectors'),
        # Constants are in no checkpoint.
        (
            tfb.Permute,
            [0, 1, 2, 3],
            [0, 1, 3, 2],
            'bijectors.0.permutation',
        ),
        (Opaque, np.eye(5), -np.eye(5), 'bijectors.0.argument'),
        (Opaque, tf.nn.relu, tf.nn.tanh, 'bijectors.0.argument'),
        (
            lambda x: tfb.Shift(tf.Variable(x)),
            [1.0, 2.0],
            [1.0, 2.0, 3.0],
            'bijectors.0.shift',
        ),
        # Of what nothing else is known.
        (
            lambda x: tfb.Scale(tfp.util.TransformedVariable(x, tfb.Exp())),
            2.0,
            [2.0],
            'variables',
        ),
    ],
)
def test_bijectors_of_other_kinds_are_compared(make, before, now, name):
  before, now = (
      settings(flow_of(*np.ravel(make(value)))) for value in (before, now)
  )
  (line,) = differences(before, now)
  assert line.startswith(f'model.{name}: was ')
  assert differences(before, before) == differences(now, now) == []


def test_values_of_weights_and_of_the_base(of_small_flow):
  one, two = (
      settings(flow_of(tfb.Shift(tf.Variable(x)))) for x in (1.0, 2.0)
  )
  assert differences(one, two) == []
  wide = settings(flow_of(tfb.Shift(tf.Variable(1.0)), scale=2.0))
  assert differences(one, wide) == [
      'base.distribution.scale: was 1.0, is 2.0'
  ]
  assert of_small_flow['model.class'] == 'ImageFlow'


def test_runs_of_older_versions_go_on():
  now = settings(small_flow(squeeze='blocks'))
  old = {k: v for k, v in now.items() if '.' not in k}
  assert differences(old, now) == []
  # They had their model described by hand, and may have it still.
  described = {**old, 'num_steps': 1, 'lipschitz_budget': 7.0}
  assert differences(described, now) == []
  assert differences({**described, 'note': 'x'}, now) == [
      'note: was x, is None'
  ]
  assert differences({**described, 'num_steps': 2}, now) == [
      'num_steps: was 2, is None'
  ]
  # A name of one's own is no part of the model.
  assert settings(small_flow(), {'model': 'glow'})['model'] == 'glow'


@pytest.mark.parametrize(
    'value',
    [
        math.nan,
        math.inf,
        {'a': [math.nan, {'b': math.nan}]},
        (1, 2),
        np.float32('nan'),
        np.int64(3),
        {'a': (np.float64(0.5), None)},
        {3: 'three'},
    ],
)
def test_descriptions_that_json_holds_are_those_they_were(value):
  before, now = (settings(None, {'x': value}) for _ in range(2))
  assert differences(before, now) == []
  assert differences(before, settings(None, {'x': 'other'})) != []
  assert differences(settings(None, {'x': 0.25}), before) != []


@pytest.mark.parametrize(
    ('description', 'message'),
    [
        ({'a': 1, 'b': {2, 3}}, "'b': {2, 3}"),
        ({'a': np.zeros(2)}, "'a': array"),
        ({'a': [1, tf.constant(2)]}, "'a': .*Tensor"),
        ({'a': b'x'}, "'a': b'x'"),
        ({('a', 'b'): 1}, r"\('a', 'b'\): 1"),
        ([1, 2], 'must be a dictionary, got list'),
        ('x', 'must be a dictionary, got str'),
        ({'seed': 3}, r"\['seed'\] are settings"),
    ],
)
def test_bad_descriptions_name_the_key(description, message):
  with pytest.raises(ValueError, match=f'`description`.*{message}'):
    settings(None, description)


@pytest.mark.parametrize('which', ['train', 'held_out'])
@pytest.mark.parametrize(
    'other', [['dog', 'cat', 'fox'], ['cat', 'dog'], ['cat', 'dog', 'wolf']]
)
def test_names_of_classes_are_those_of_the_run(which, other):
  """With the same images and numbers of classes: folders were renamed."""
  names = ['cat', 'dog', 'fox']
  same = {'train': Images(names), 'held_out': Images(tuple(names))}
  before = settings(**same)
  assert differences(before, settings(**same)) == []
  now = settings(**{**same, which: Images(np.array(other))})
  name = f'{which}_images.class_names'
  assert differences(before, now) == [f'{name}: was {names}, is {other}']
  # Runs that have not written them down go on.
  old = {k: v for k, v in before.items() if not k.endswith('class_names')}
  assert differences(old, now) == []


class Broken:
  """Images without one of the things that they must have."""

  def __init__(self, without):
    for name in {'event_shape', 'fingerprint', 'examples', 'batches'}:
      if name != without:
        setattr(self, name, [4, 4, 1])


@pytest.fixture(scope='module')
def flow():
  return small_flow()


def crops(size, channels):
  image = np.zeros([9, 9, channels], np.uint8)
  return fo.training.ImageCrops([image], size)


ARRAY = np.zeros([9, 4, 4, 1], np.uint8)


@pytest.mark.parametrize(
    ('argument', 'value', 'needs'),
    [
        *(
            (argument, value, 'event_shape, fingerprint, examples, batches')
            for argument in ('train_images', 'held_out_images')
            for value in (
                tf.data.Dataset.from_tensor_slices(ARRAY).batch(4),
                ARRAY,
                [ARRAY],
                tf.constant(ARRAY),
                None,
                'folder',
                Broken('batches'),
                Broken('fingerprint'),
            )
        ),
        ('train_images', crops(8, 1), r'\[4, 4, 1\], got \[8, 8, 1\]'),
        ('held_out_images', crops(4, 3), r'got \[4, 4, 3\]'),
        ('config', None, 'TrainConfig.*None'),
        ('config', {'train_steps': 3}, 'TrainConfig'),
        ('workdir', None, 'path of a directory of the file system, got None'),
        ('workdir', 3, 'path of a directory of the file system, got 3'),
        ('workdir', b'run', 'path of a directory'),
        ('workdir', '', 'path of a directory'),
        ('distribution', None, '`image_flow` makes it, got None'),
        ('distribution', lambda flow: flow.bijector, 'got .*ImageFlow'),
        ('distribution', lambda flow: flow.distribution, 'got .*Sample'),
        ('distribution', lambda _: small_flow(dtype=tf.float64), 'float32'),
        ('description', 3, 'dictionary, got int'),
        ('description', {'x': {1}}, "'x': {1}"),
    ],
)
def test_bad_arguments_of_the_trainer_are_named(
    argument, value, needs, tmp_path, flow
):
  if argument == 'distribution' and value is not None:
    value = value(flow)
  arguments = {
      'distribution': flow,
      'train_images': crops(4, 1),
      'held_out_images': crops(4, 1),
      'workdir': tmp_path / 'run',
      'config': fo.training.TrainConfig(),
      argument: value,
  }
  with pytest.raises(ValueError, match=f'(?s)^Argument `{argument}`.*{needs}'):
    fo.training.Trainer(**arguments)
  assert not (tmp_path / 'run').exists()

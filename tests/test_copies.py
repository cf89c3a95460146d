"""Copies of all that is public are equal and apart, or refused with advice."""

import copy
import inspect
import pickle

import numpy as np
import pytest
from support import argument_kinds as kinds
from support import registry
import tensorflow as tf
from test_public_names import packages
from test_public_names import public

import tfp_flowopt as fo

COPIES = {
    'deepcopy': copy.deepcopy,
    'pickle': lambda value: pickle.loads(pickle.dumps(value)),
}
FLOAT64 = tf.float64


def layer(size=2):
  return fo.lipschitz.LipschitzDense(1, size, dtype=FLOAT64)


def budget():
  result = fo.lipschitz.LipschitzBudget(1.0)
  result.add_path([fo.lipschitz.LogSlopes(1, dtype=FLOAT64)], 0.5)
  return result


def linear_flow():
  moments = fo.AutoCorrelation('dense', 2)
  moments.update(np.array([[1.0, 2.0], [2.0, 1.0], [0.0, 0.0]]))
  return moments.linear_flow()


@pytest.fixture
def images(tmp_path):
  path = tmp_path / 'images.npy'
  np.save(path, np.arange(96, dtype=np.uint8).reshape([2, 4, 4, 3]))
  return path


def new_flow():
  return fo.image_flow([2, 2, 1], 1, 1, hidden_channels=2, tile_sizes=())


def of_bijector(name):
  """How to make one, and what it computes."""
  entry = registry.ENTRIES[name]
  x = np.random.default_rng(0).normal(size=[2, *entry.data_shape])
  return (
      lambda: entry.make(FLOAT64),
      lambda bijector: bijector.inverse(tf.constant(x)),
  )


# Pairs of a function that makes one and one of what it is, in numbers.
MODULES = {
    **{
        f'bijectors.{name}': of_bijector(name)
        for name in registry.ENTRIES
        if ',' not in name
    },
    # Small ones: what they are made of is in the registry.
    'bijectors.FlowLevel': (
        lambda: new_flow().bijector.levels[0],
        lambda bijector: bijector.inverse(kinds.x() + 0.1),
    ),
    'bijectors.ImageFlow': (
        lambda: new_flow().bijector,
        lambda bijector: bijector.inverse(kinds.x() + 0.1),
    ),
    'bijectors.ReconstructionMonitor': (
        fo.bijectors.ReconstructionMonitor,
        lambda monitor: [monitor.error, monitor.tolerance],
    ),
    'flows.VariationalDequantization': (
        lambda: fo.flows.VariationalDequantization([2, 2, 1], 8, 2),
        lambda m: m(tf.fill([1, 2, 2, 1], 0.123))[0],
    ),
    'lipschitz.AnchoredLogScale': (
        lambda: fo.lipschitz.AnchoredLogScale(2, 1.0), lambda m: m()
    ),
    'lipschitz.LipschitzBudget': (budget, lambda m: [m.factor()]),
    'lipschitz.LipschitzConv2D': (
        lambda: fo.lipschitz.LipschitzConv2D(1, 2, 1),
        lambda m: m(tf.ones([1, 2, 2, 1])),
    ),
    'lipschitz.LipschitzDense': (layer, lambda m: m(np.ones([3, 1]))),
    'lipschitz.LogSlopes': (
        lambda: fo.lipschitz.LogSlopes(2), lambda m: m()
    ),
    'lipschitz.Orthogonal': (lambda: fo.lipschitz.Orthogonal(2), lambda m: m()),
    'networks.ConvConditioner': (
        lambda: fo.networks.ConvConditioner(1, 2, 1),
        lambda m: m(tf.ones([1, 2, 2, 1])),
    ),
    'networks.DenseConditioner': (
        lambda: fo.networks.DenseConditioner(1, 2, 1),
        lambda m: m(tf.ones([3, 1])),
    ),
    'networks.MaskedConditioner': (
        lambda: fo.networks.MaskedConditioner(2, 2),
        lambda m: m(tf.ones([3, 2])),
    ),
}

# What holds no weights.
VALUES = {
    'LikelihoodOptimum': (
        lambda: fo.LikelihoodOptimum(tf.ones([]), tf.ones([]), tf.ones([2])),
        lambda value: tf.concat([value.eigenvalues, [value.log_det]], 0),
    ),
    'bijectors.FlowBounds': (
        lambda: fo.bijectors.FlowBounds(
            *2 * [fo.lipschitz.LipschitzBounds(2.0, 3.0)]
        ),
        lambda value: value,
    ),
    'bijectors.ImageFlowConfig': (
        lambda: fo.bijectors.ImageFlowConfig(num_steps=3),
        lambda value: [value.num_steps],
    ),
    'diagnostics.LayerReport': (
        lambda: fo.diagnostics.LayerReport('a', 1, 2.0, 3.0, 4.0),
        lambda value: value[1:5],
    ),
    'diagnostics.LevelReconstruction': (
        lambda: fo.diagnostics.LevelReconstruction(1, 2, 3.0, 4.0),
        lambda value: value,
    ),
    'diagnostics.LogProbRange': (
        lambda: fo.diagnostics.LogProbRange(tf.zeros([2]), tf.ones([2])),
        lambda value: value,
    ),
    'lipschitz.Ball': (
        lambda: fo.lipschitz.Ball(tf.ones([2]), 3.0),
        lambda value: [*value.center, value.radius],
    ),
    'lipschitz.Box': (
        lambda: fo.lipschitz.Box(tf.zeros([2]), tf.ones([2])),
        lambda value: value,
    ),
    'diagnostics.LocalLipschitz': (
        lambda: fo.diagnostics.LocalLipschitz(tf.ones([2]), tf.ones([2])),
        lambda value: value.condition,
    ),
    'diagnostics.OptimumReport': (
        lambda: fo.diagnostics.OptimumReport(
            **dict.fromkeys(
                inspect.signature(fo.diagnostics.OptimumReport).parameters, 1.0
            )
        ),
        lambda value: list(vars(value).values()),
    ),
    'diagnostics.SampleReport': (
        lambda: fo.diagnostics.SampleReport(8, {'spectrum': {}}, {}, 1.0, 0.5),
        lambda value: list(vars(value).values()),
    ),
    'training.FitResult': (
        lambda: fo.training.FitResult([{'step': 0}], 0, -1.0, 0, 'steps'),
        lambda value: [value.best_step, value.validation],
    ),
    'lipschitz.LipschitzBounds': (
        lambda: fo.lipschitz.LipschitzBounds(2.0, 3.0), lambda value: value
    ),
    'optimum.LinearFlow': (
        linear_flow, lambda value: value.log_prob(np.ones([3, 2]))
    ),
    'training.TrainConfig': (
        lambda: fo.training.TrainConfig(batch_size=3),
        lambda value: [value.batch_size, value.seed],
    ),
}

LEFT_OUT = {
    'AutoCorrelation': 'has a test beside its others',
    'bijectors.JointBijector': 'is abstract',
    'data.DatasetExamples': 'is as its dataset',
    'data.Examples': 'is abstract',
    'data.ImageStore': 'is abstract',
    'lipschitz.DerivedWeights': 'is abstract',
    'parameters.Parametrization': 'is abstract',
}


@pytest.mark.parametrize('how', COPIES)
@pytest.mark.parametrize('name', MODULES)
def test_copies_of_modules_are_equal_and_apart(name, how):
  make, numbers = MODULES[name]
  module = make()
  before = [np.array(number) for number in numbers(module)]
  copied = COPIES[how](module)
  np.testing.assert_array_equal(numbers(copied), before)
  own = {id(v) for v in module.variables}
  assert len(own) == len(copied.variables)
  assert not own & {id(v) for v in copied.variables}
  for variable in copied.variables:
    if variable.dtype.is_floating:
      variable.assign(0.5 * variable + 0.25)
  np.testing.assert_array_equal(numbers(module), before)


@pytest.mark.parametrize('how', COPIES)
@pytest.mark.parametrize('name', VALUES)
def test_copies_of_values_are_equal(name, how):
  make, numbers = VALUES[name]
  value = make()
  copied = COPIES[how](value)
  assert type(copied) is type(value)
  np.testing.assert_array_equal(numbers(copied), numbers(value))


@pytest.mark.parametrize('how', COPIES)
def test_copies_of_images_give_the_same_images(how, images):
  for value in (
      fo.training.ImageDataset(images, 2),
      fo.training.ImageCrops(list(np.load(images)), 2),
  ):
    copied = COPIES[how](value)
    assert copied.fingerprint == value.fingerprint
    np.testing.assert_array_equal(
        next(iter(copied.batches(2, 3))), next(iter(value.batches(2, 3)))
    )
  source = fo.training.ImageSource(images)
  np.testing.assert_array_equal(
      list(COPIES[how](source)), list(source)
  )


def errors():
  return {
      name: value
      for name, value in public('tfp_flowopt.training').items()
      if inspect.isclass(value) and issubclass(value, Exception)
  }


@pytest.mark.parametrize('how', COPIES)
@pytest.mark.parametrize('name', errors())
def test_copies_of_errors_say_the_same(name, how):
  """They come from other processes pickled."""
  error = errors()[name](3)
  copied = COPIES[how](error)
  assert (str(copied), vars(copied)) == (str(error), vars(error))


def refused(tmp_path):
  """What cannot be copied, and a word of what to do instead."""
  trainer = object.__new__(fo.training.Trainer)
  return {
      'diagnostics.CertifiedLogProb': (
          fo.diagnostics.CertifiedLogProb(kinds.flow()), 'make a new one'
      ),
      'diagnostics.LayerReporter': (
          fo.diagnostics.LayerReporter(kinds.flow()), 'make a new one'
      ),
      'lipschitz.FrozenKernels': (
          fo.lipschitz.FrozenKernels(layer()), 'freeze the copy'
      ),
      'training.Progress': (fo.training.Progress(2, 1), 'make a new one'),
      'training.TensorBoardWriter': (
          fo.training.TensorBoardWriter(tmp_path), 'resume_step'
      ),
      'training.Trainer': (trainer, 'workdir'),
  }


@pytest.mark.parametrize('how', COPIES)
def test_what_is_not_copied_says_what_to_do(how, tmp_path):
  for value, advice in refused(tmp_path).values():
    with pytest.raises(TypeError, match=advice):
      COPIES[how](value)


def test_a_flow_is_copied_by_its_bijector():
  """As the docstring of `image_flow` says, for TFP copies no distribution."""
  distribution = kinds.flow()
  copied = copy.deepcopy(distribution.bijector)
  x = kinds.x() + 0.1
  np.testing.assert_array_equal(
      distribution.copy(bijector=copied).log_prob(x),
      distribution.log_prob(tf.identity(x)),
  )
  assert not {id(v) for v in copied.variables} & {
      id(v) for v in distribution.variables
  }


def test_no_public_class_is_missed(tmp_path):
  classes = {
      f'{package}.{name}'.removeprefix(f'{fo.__name__}.'): value
      for package in packages()
      for name, value in public(package).items()
      if inspect.isclass(value)
  }
  known = {*MODULES, *VALUES, *LEFT_OUT, *refused(tmp_path)}
  known |= {f'training.{name}' for name in errors()}
  known |= {'training.ImageCrops', 'training.ImageDataset'}
  known |= {'training.ImageSource'}
  assert known <= {*classes}
  # What several packages show is there once.
  seen = {classes[name] for name in known}
  assert not [name for name, value in classes.items() if value not in seen]

"""Wrong arguments are named in the error; NumPy's numbers are right."""

import numbers

import numpy as np
import pytest
from support import argument_kinds as kinds
from support import argument_table
from support import data_arguments
from support import model_arguments
from support import more_arguments
from support import picture_arguments
from support import sample_arguments
import tensorflow as tf
from test_public_names import packages
from test_public_names import public

import tfp_flowopt as fo

ENTRIES = {
    **argument_table.ENTRIES,
    **more_arguments.ENTRIES,
    **data_arguments.ENTRIES,
    **picture_arguments.ENTRIES,
    **model_arguments.ENTRIES,
    **sample_arguments.ENTRIES,
}
# How a user is told: of a type, a value, or by a graph.
ERRORS = (ValueError, TypeError, tf.errors.InvalidArgumentError)


def problem(entry, right, argument, value):
  """What is unclear about the error for a wrong value, or `None`."""
  try:
    entry.function(**{**right, argument: value})
    found = 'it is accepted'
  except Exception as e:  # anything may come that a user should not see
    if isinstance(e, ERRORS) and f'`{argument}`' in str(e):
      return None
    found = repr(e)[:200]
  return f'{argument}={value!r}: {found}'


@pytest.mark.parametrize('name', ENTRIES)
def test_a_wrong_argument_is_named(name):
  entry = ENTRIES[name]
  right = entry.right()
  problems = [
      problem(entry, right, argument, value)
      for argument, values in entry.wrong.items()
      for value in values
  ]
  assert problems
  assert not any(problems), '\n'.join(filter(None, problems))


@pytest.mark.parametrize(
    'name', [name for name, entry in ENTRIES.items() if entry.numbers]
)
def test_numbers_of_numpy_are_numbers(name):
  entry = ENTRIES[name]
  right = entry.right()
  for argument in entry.numbers:
    value = right[argument]
    kind = np.int64 if isinstance(value, numbers.Integral) else np.float32
    right[argument] = kind(value)
  assert entry.function(**right) is not None


def test_nothing_public_is_missed():
  names = {
      f'{package}.{name}'.removeprefix(f'{fo.__name__}.'): value
      for package in packages()
      for name, value in public(package).items()
      if callable(value)
  }
  names['export.save'] = fo.export.save
  known = {**{k: e.function for k, e in ENTRIES.items()}}
  left_out = [names[name] for name in data_arguments.LEFT_OUT if name in names]
  entries = {*known, *data_arguments.LEFT_OUT}
  shorts = {name.rpartition('.')[-1] for name in entries}
  for name, value in names.items():
    # What several packages show is there once.
    if name not in entries and name.rpartition('.')[-1] not in shorts:
      assert value in [*known.values(), *left_out], name
  assert {*known, *data_arguments.LEFT_OUT} <= {*names}
  assert not {*known} & {*data_arguments.LEFT_OUT}


BIJECTORS = {
    'ActNorm': lambda: fo.bijectors.ActNorm(1),
    'AdditiveCoupling': lambda: fo.bijectors.AdditiveCoupling(
        kinds.layer(), event_ndims=1
    ),
    'AffineCoupling, images': lambda: fo.bijectors.AffineCoupling(
        fo.networks.ConvConditioner(1, 2, 2)
    ),
    'ConditionalShift': lambda: fo.bijectors.ConditionalShift(tf.ones([2, 3])),
    'ConvexPotentialResidual': lambda: fo.bijectors.ConvexPotentialResidual(
        fo.lipschitz.LipschitzDense(2, 2)
    ),
    'DenseAffine': lambda: fo.bijectors.DenseAffine(3),
    'DepthToSpace': lambda: fo.bijectors.DepthToSpace(2),
    'FactorOut': lambda: fo.bijectors.FactorOut([2, 2, 1]),
    'WaveletTransform': fo.bijectors.WaveletTransform,
    'FlowLevel': lambda: kinds.flow().bijector.levels[0],
    'ImageFlow': lambda: kinds.flow().bijector,
    'LipschitzResidual': lambda: fo.bijectors.LipschitzResidual(
        fo.lipschitz.LipschitzDense(2, 2, lipschitz=0.5)
    ),
    'MaskedAutoregressive': lambda: fo.bijectors.MaskedAutoregressive(
        fo.networks.MaskedConditioner(2, 2, 16)
    ),
    'RadialScaling': lambda: fo.bijectors.RadialScaling(),
    'RepeatedSteps': lambda: fo.bijectors.RepeatedSteps(
        fo.bijectors.AdditiveCoupling(kinds.layer(), event_ndims=1), 1
    ),
    'ScalingCascade': lambda: fo.bijectors.ScalingCascade(1),
    'SplineCoupling': lambda: fo.bijectors.SplineCoupling(
        fo.networks.ConvConditioner(1, 2, 16)
    ),
    'Sequential': lambda: fo.bijectors.Sequential([
        fo.bijectors.InvertibleConv1x1(2)
    ]),
}


@pytest.mark.parametrize('name', BIJECTORS)
@pytest.mark.parametrize('direction', ['forward', 'inverse'])
def test_what_is_no_event_is_named(name, direction):
  """Also where nothing is known of a shape, or only its rank."""
  bijector = BIJECTORS[name]()
  ndims = getattr(bijector, f'{direction}_min_event_ndims')
  shapes = [None, [], *([2] * n for n in range(1, ndims))]
  if name in ('DepthToSpace', 'WaveletTransform'):
    shapes.append([3, 3, 3])
  for shape in shapes:

    def evaluate(x):
      return getattr(bijector, direction)(x)

    function = tf.function(evaluate, autograph=False)
    if name == 'ActNorm' and shape is None:
      assert function.get_concrete_function(tf.TensorSpec(shape))
      continue
    with pytest.raises(ValueError, match=r'needs inputs|divisible'):
      function.get_concrete_function(tf.TensorSpec(shape))


@pytest.mark.parametrize('name', ['AdditiveCoupling', 'AffineCoupling'])
@pytest.mark.parametrize('outputs', [1, 3, 5])
def test_a_conditioner_with_another_number_of_outputs(name, outputs):
  """One for all channels, too: its constant is not that of the coupling."""
  bijector = getattr(fo.bijectors, name)(
      fo.lipschitz.LipschitzDense(2, outputs), event_ndims=1
  )
  for evaluate in (bijector.forward, bijector.inverse):
    with pytest.raises(ValueError, match=r'`conditioner` must .* outputs'):
      evaluate(tf.ones([3, 4]))

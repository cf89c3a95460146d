"""The binary that trains image flows, as a module, and images for it."""

import importlib.util
import sys

from absl import flags
import pytest
from support import images
from support import programs
import tensorflow as tf


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('images')
  for i in range(3):
    image = images.smooth_noise(i, 40 + i, 50)
    (path / f'{i}.png').write_bytes(tf.io.encode_png(image).numpy())
  return path


@pytest.fixture(scope='session')
def binary():
  """The binary as a module: once a process, for its flags stay defined."""
  path = programs.ROOT / 'examples' / 'train_image_flow.py'
  sys.path.insert(0, str(path.parent))
  spec = importlib.util.spec_from_file_location('train_image_flow', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.fixture
def parse(binary):
  saved = {name: flags.FLAGS[name].value for name in flags.FLAGS}

  def parse_flags(*arguments):
    return binary.image_flow_flags.parse(['train_image_flow', *arguments])

  yield parse_flags
  flags.FLAGS.unparse_flags()
  for name, value in saved.items():
    flags.FLAGS[name].value = value

"""Number types that a processor has instructions for."""

import warnings

import pytest
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.internal import native_types


def listed(monkeypatch, tmp_path, text):
  path = tmp_path / 'cpuinfo'
  if text is not None:
    path.write_text(text)
  monkeypatch.setattr(native_types, '_CPU_INFO', path)
  native_types.is_emulated.cache_clear()


@pytest.fixture(autouse=True)
def _forget():
  yield
  native_types.is_emulated.cache_clear()


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('processor : 0\nflags : fma avx2 avx512f\n', True),
        ('processor : 0\nflags : avx512f avx512_bf16\n', False),
        ('Features\t: fp asimd bf16\n', False),
        ('Features\t: fp asimd\n', True),
        ('cpu : POWER9\n', False),  # nothing is known
        (None, False),
    ],
)
@pytest.mark.skipif(
    bool(tf.config.list_physical_devices('GPU')), reason='GPUs have them'
)
def test_emulation_is_told(monkeypatch, tmp_path, text, expected):
  listed(monkeypatch, tmp_path, text)
  assert native_types.is_emulated(tf.bfloat16) == expected
  assert not native_types.is_emulated(tf.float32)
  small = {'num_levels': 1, 'num_steps': 1, 'hidden_channels': 2}
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    fo.image_flow([4, 4, 1], compute_dtype=tf.bfloat16, **small)
    fo.bijectors.ImageFlow([4, 4, 1], **small)
  texts = [str(w.message) for w in caught]
  assert [t for t in texts if 'bfloat16 is emulated' in t] == texts
  assert len(texts) == expected

"""The memory of devices, and of containers."""

import os

from tensorflow.python.client import device_lib

from tfp_flowopt.internal import device_memory


def test_a_host_has_what_its_container_may_use(monkeypatch, tmp_path):
  physical = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  limit = tmp_path / 'memory.max'
  monkeypatch.setattr(device_memory, '_CGROUP', limit)
  uncached = device_memory.host_memory.__wrapped__
  assert uncached() == physical
  for text, expected in (('1048576\n', 2**20), ('max\n', physical)):
    limit.write_text(text, encoding='ascii')
    assert uncached() == expected


def test_without_a_gpu_it_is_that_of_the_host():
  assert device_memory.device_memory() == device_memory.host_memory()


def test_tensorflow_still_states_the_memory_of_devices():
  (device, *_) = device_lib.list_local_devices()
  assert device.memory_limit > 0
  assert device.device_type == 'CPU'

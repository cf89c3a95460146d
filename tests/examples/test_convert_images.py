import numpy as np
from support import images
from support import programs

import tfp_flowopt as fo

BINARY = programs.ROOT / 'examples' / 'convert_images.py'


def test_an_array_becomes_records(tmp_path):
  array = np.stack([images.smooth_noise(i, 16, 16) for i in range(5)])
  np.save(tmp_path / 'x.npy', array)
  arguments = [
      BINARY,
      f'--data={tmp_path / "x.npy"}',
      f'--output={tmp_path / "out"}',
      '--num_shards=2',
  ]
  result = programs.run(*arguments)
  assert result.returncode == 0, result.stderr
  assert f'5 images in {tmp_path / "out"}, 0 left out.' in result.stdout
  records = fo.training.open_images(tmp_path / 'out')
  np.testing.assert_array_equal([records.image(i) for i in range(5)], array)
  result = programs.run(*arguments, '--image_size=8')
  assert result.returncode == 1
  assert 'image_size: was 0, is 8' in result.stderr
  assert 'Traceback' not in result.stderr

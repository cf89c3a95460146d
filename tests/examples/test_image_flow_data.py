"""What is said of the images that are held out."""

import re
import shutil

import numpy as np
import pytest

from tfp_flowopt.data import scan

SMALL = ['--image_size=4', '--num_levels=1']


@pytest.mark.parametrize(
    'num, side, arguments, held_out, few',
    [
        (21, 4, [], '2 of 21 images', True),
        (19, 4, [], '1 of 19 images', True),
        (199, 4, [], '19 of 199 images', True),
        (200, 4, [], '20 of 200 images', False),
        # Parts of few images are not many.
        (13, 16, ['--crop=tile'], '20 of 208 squares', True),
    ],
)
def test_how_many_images_are_held_out(
    num, side, arguments, held_out, few, binary, parse, tmp_path
):
  path = tmp_path / 'images.npy'
  np.save(path, np.zeros([num, side, side, 3], np.uint8))
  parse(f'--workdir={tmp_path}', f'--data={path}', *SMALL, *arguments)
  said = []
  binary.image_flow_data.load(said.append)
  assert any(line.startswith(held_out) for line in said)
  warned = [line for line in said if 'independent image' in line]
  assert len(warned) == few


@pytest.mark.parametrize('num, few', [(5, True), (20, False)])
def test_images_given_to_hold_out_are_counted_too(
    num, few, binary, parse, tmp_path
):
  for name, count in (('train', 30), ('held_out', num)):
    np.save(tmp_path / f'{name}.npy', np.zeros([count, 4, 4, 3], np.uint8))
  parse(
      f'--workdir={tmp_path}',
      f'--data={tmp_path / "train.npy"}',
      f'--held_out={tmp_path / "held_out.npy"}',
      *SMALL,
  )
  said = []
  binary.image_flow_data.load(said.append)
  warned = [line for line in said if 'independent image' in line]
  assert len(warned) == few
  assert all(re.match(rf'Held out: only {num} ', line) for line in warned)


def test_images_that_have_not_changed_are_decoded_once(
    binary, parse, tmp_path, monkeypatch
):
  path, scanned = tmp_path / 'images.npy', []
  np.save(path, np.zeros([30, 4, 4, 3], np.uint8))
  inspect = scan._inspect
  monkeypatch.setattr(
      scan,
      '_inspect',
      lambda store, i: (scanned.append(i), inspect(store, i))[1],
  )
  data = binary.image_flow_data
  workdir = tmp_path / 'run'
  parse(f'--workdir={workdir}', f'--data={path}', '--flip', *SMALL)
  train, held_out = data.load(len)
  # Once for both, though one is mirrored and the other is not.
  assert sorted(scanned) == list(range(30))
  # Nothing is written before the run is known to be one.
  assert not workdir.exists()
  workdir.mkdir()
  data.keep_scans(workdir)
  # Started again, in another process.
  shutil.copytree(workdir, tmp_path / 'again')
  parse(f'--workdir={tmp_path / "again"}', f'--data={path}', '--flip', *SMALL)
  same = data.load(len)
  assert len(scanned) == 30
  assert [x.fingerprint for x in same] == [
      train.fingerprint, held_out.fingerprint
  ]
  np.save(path, np.ones([30, 4, 4, 3], np.uint8))
  data.load(len)
  assert len(scanned) == 60

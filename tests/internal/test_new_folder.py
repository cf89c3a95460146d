import os
import pathlib
import threading

import pytest

from tfp_flowopt.internal import new_folder


def write(path, content='whole', fail=None, during=None):
  """What `save` does: a folder, two files, the last of them the whole."""
  with new_folder.new_folder(path, last='whole') as unfinished:
    unfinished.mkdir()
    (unfinished / 'weights').mkdir()
    (unfinished / 'weights' / 'w').write_text(content)
    (unfinished / 'whole').write_text(content)
    if during:
      during()
    if fail:
      raise fail


def tree(folder):
  return sorted(
      str(path.relative_to(folder)) for path in pathlib.Path(folder).rglob('*')
  )


WHOLE = ['weights', 'weights/w', 'whole']


def target_of(kind, root):
  """Makes a place to write to; returns its name, and where it leads."""
  empty, link = root / 'empty', root / 'link'
  if kind in ('empty', 'link', 'dot'):
    empty.mkdir()
  if kind in ('link', 'dangling'):
    link.symlink_to(empty, target_is_directory=True)
    return link, empty
  if kind == 'dot':
    os.chdir(empty)
    return '.', empty
  if kind == 'relative':
    os.chdir(root)
    return 'a/../b/c/', root / 'b' / 'c'
  if kind == 'trailing slash':
    return f'{root}/new/', root / 'new'
  return (empty, empty) if kind == 'empty' else (root / 'x' / 'y', root / 'x/y')


KINDS = (
    'new', 'empty', 'link', 'dangling', 'dot', 'relative', 'trailing slash'
)


@pytest.mark.parametrize('kind', KINDS)
def test_it_is_there_as_a_whole_or_not_at_all(kind, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  # Whatever the temporary names are, these are the user's.
  for name in ('.tmp-empty', '.tmp-new', '.tmp-link'):
    (tmp_path / name).mkdir()
    (tmp_path / name / 'precious').touch()
  path, target = target_of(kind, tmp_path)
  before = tree(tmp_path)

  def nothing_yet():
    assert not (target / 'whole').exists()

  with pytest.raises(KeyboardInterrupt):
    write(path, fail=KeyboardInterrupt(), during=nothing_yet)
  assert tree(tmp_path) == before
  write(path, during=nothing_yet)
  assert tree(target) == WHOLE
  if kind in ('link', 'dangling'):
    assert pathlib.Path(path).is_symlink()
  if kind == 'dot':
    assert tree('.') == WHOLE
  # As any folder: a server runs as somebody else.
  (tmp_path / 'usual').mkdir()
  assert target.stat().st_mode == (tmp_path / 'usual').stat().st_mode
  after = tree(tmp_path)
  with pytest.raises(ValueError, match='not empty'):
    write(path, content='other')
  assert tree(tmp_path) == after
  assert (target / 'weights' / 'w').read_text() == 'whole'


@pytest.mark.parametrize('kind', ['new', 'empty'])
def test_two_at_once(kind, tmp_path):
  path, target = target_of(kind, tmp_path)
  with pytest.raises(ValueError, match='not empty'):
    write(path, 'first', during=lambda: write(path, 'second'))
  # The first one ends first where both may begin.
  assert tree(target) in (WHOLE, [])
  if kind == 'new':
    assert (target / 'whole').read_text() == 'second'
  assert not list(tmp_path.rglob('.tmp-*'))


def test_many_at_once_leave_one_whole(tmp_path):
  done, barrier = [], threading.Barrier(8)

  def one(number):
    try:
      write(tmp_path / 'new', str(number), during=barrier.wait)
      done.append(str(number))
    except ValueError:
      pass
    except BaseException:
      barrier.abort()
      raise

  threads = [threading.Thread(target=one, args=[i]) for i in range(8)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  (winner,) = done
  assert (tmp_path / 'new' / 'weights' / 'w').read_text() == winner
  assert (tmp_path / 'new' / 'whole').read_text() == winner
  assert tree(tmp_path) == ['new', *(f'new/{name}' for name in WHOLE)]


def test_what_is_no_place_for_a_folder(tmp_path):
  (tmp_path / 'file').write_text('precious')
  (tmp_path / 'round').symlink_to(tmp_path / 'round')
  before = tree(tmp_path)
  for path, error in (
      (tmp_path / 'file', ValueError),
      (tmp_path / 'file' / 'in' / 'it', OSError),
      (tmp_path / 'round', ValueError),
      ('gs://bucket/model', ValueError),
      ('', ValueError),
      (b'bytes', ValueError),
      (None, TypeError),
      (3, TypeError),
  ):
    with pytest.raises(error, match=r'path|file'):
      write(path)
  assert tree(tmp_path) == before
  assert (tmp_path / 'file').read_text() == 'precious'


def test_where_nothing_can_be_written(tmp_path, monkeypatch):
  # Not by permissions, which root does not have to mind.
  def full(*args, **kwargs):
    raise PermissionError('not here')

  monkeypatch.setattr(new_folder.tempfile, 'mkdtemp', full)
  with pytest.raises(PermissionError, match='not here'):
    write(tmp_path / 'made' / 'for' / 'it')
  assert tree(tmp_path) == []

"""Progress bar for the terminal, plain lines for a file."""

import sys
import time
from typing import TextIO

from tfp_flowopt.internal import not_copied

__all__ = ['Progress']

_WIDTH = 20


def _duration(seconds):
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02}:{seconds:02}' if hours else (
      f'{minutes}:{seconds:02}'
  )


class Progress(not_copied.NotCopied):
  """Shows steps done of `total`, speed, time left and a few numbers.

  A step is of `images_per_step` images, or what else `unit` says, and `stream`
  is a text stream, by default `sys.stdout`. On a terminal one line is redrawn;
  elsewhere a line is printed now and then. The clock starts at the first
  update: before it lies the compilation.
  """

  def __init__(
      self,
      total: int,
      images_per_step: int,
      stream: TextIO | None = None,
      unit: str = 'images',
  ) -> None:
    self._total = total
    self._images_per_step = images_per_step
    self._unit = unit
    self._stream = sys.stdout if stream is None else stream
    self._redraws = self._stream.isatty()
    self._interval = 0.2 if self._redraws else 10.0
    self._first: int | None = None
    self._start = self._shown = 0.0
    self._length = 0

  def update(self, done: int, **values: float) -> None:
    """Shows the state after `done` steps, if it is time to, with `values`."""
    now = time.monotonic()
    if self._first is None:
      self._first, self._start, self._shown = done, now, now
    if now - self._shown < self._interval and done < self._total:
      return
    self._shown = now
    speed = (done - self._first) / max(now - self._start, 1e-9)
    rate = speed * self._images_per_step
    filled = _WIDTH * done // max(self._total, 1)
    remaining = (self._total - done) / speed if speed > 0 else 0.0
    fields = [
        f'{done:>{len(str(self._total))}}/{self._total} '
        f'[{"#" * filled}{"." * (_WIDTH - filled)}]',
        *(
            f'{name} {value if isinstance(value, int) else f"{value:.3f}"}'
            for name, value in values.items()
        ),
        f'{rate:{".0f" if rate >= 10 else ".2g"}} {self._unit}/s',
        f'ETA {_duration(remaining)}',
    ]
    line = '  '.join(fields)
    if self._redraws:
      self._stream.write(f'\r{line:<{self._length}}')
      self._length = len(line)
    else:
      self._stream.write(line + '\n')
    self._stream.flush()

  def print(self, text: str) -> None:
    """Prints a line above the bar."""
    if self._redraws:
      self._stream.write('\r' + ' ' * self._length + '\r')
    self._stream.write(text + '\n')
    self._stream.flush()

  def close(self) -> None:
    """Ends the line of the bar."""
    if self._redraws and self._length:
      self._stream.write('\n')
      self._stream.flush()

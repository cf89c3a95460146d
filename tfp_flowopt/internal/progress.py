"""Progress bar for the terminal, plain lines for a file."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import sys
import threading
import time
from typing import TextIO

from tfp_flowopt.internal import not_copied

__all__ = ['Progress', 'under_way']

_WIDTH = 20
# Seconds after which the time left is foretold, and which it must exceed.
_MEASURED, _LONG = 2.0, 20.0
# Seconds until the first word on what is under way, and between others.
_WAIT, _INTERVAL = 5.0, 15.0


def _duration(seconds):
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02}:{seconds:02}' if hours else (
      f'{minutes}:{seconds:02}'
  )


@contextlib.contextmanager
def under_way(
    text: str,
    quiet: bool = False,
    stream: TextIO | None = None,
    wait: float = _WAIT,
    interval: float = _INTERVAL,
) -> Iterator[None]:
  """Context of what has no steps to count: says now and then that it goes on.

  Lines such as `Writing ... 0:20`; none if it is done within `wait` seconds.

  Args:
    text: What is being done.
    quiet: Whether to say nothing.
    stream: Text stream; by default `sys.stdout`.
    wait: Seconds until the first line.
    interval: Seconds between others.

  Yields:
    Nothing.
  """
  if quiet:
    yield
    return
  stream = sys.stdout if stream is None else stream
  ended, began = threading.Event(), time.monotonic()

  def tell():
    seconds = wait
    while not ended.wait(seconds):
      seconds = interval
      passed = _duration(time.monotonic() - began)
      stream.write(f'{text} ... {passed}\n')
      stream.flush()

  thread = threading.Thread(target=tell, daemon=True)
  thread.start()
  try:
    yield
  finally:
    ended.set()
    thread.join()


class Progress(not_copied.NotCopied):
  """Shows steps done of `total`, speed, time left and a few numbers.

  A step is of `images_per_step` images, or what else `unit` says, and `stream`
  is a text stream, by default `sys.stdout`. On a terminal one line is redrawn;
  elsewhere a line is printed now and then. The clock starts at the first
  update: before it lies the compilation. It stands still while `paused`; if
  that comes again every `pause_every` steps, the time left counts it. As soon
  as the speed is known, a line foretells how long it all will take. `clock` is
  a function of nothing, in seconds.
  """

  def __init__(
      self,
      total: int,
      images_per_step: int,
      stream: TextIO | None = None,
      unit: str = 'images',
      pause_every: int | None = None,
      clock: Callable[[], float] = time.monotonic,
  ) -> None:
    self._total = total
    self._images_per_step = images_per_step
    self._unit = unit
    self._stream = sys.stdout if stream is None else stream
    self._pause_every = pause_every
    self._clock = clock
    self._redraws = self._stream.isatty()
    self._interval = 0.2 if self._redraws else 10.0
    self._first: int | None = None
    self._start = self._shown = 0.0
    self._length = 0
    # The shortest pause of each kind: the first one may trace graphs.
    self._pauses: dict[str, float] = {}
    self._foretold = False

  @contextlib.contextmanager
  def paused(self, text: str) -> Iterator[None]:
    """Context of what is no step, and does not count as time of steps.

    Args:
      text: What it is; said if it takes long.

    Yields:
      Nothing.
    """
    began = self._clock()
    try:
      with under_way(text, stream=self._stream):
        yield
    finally:
      seconds = self._clock() - began
      self._start += seconds
      self._pauses[text] = min(seconds, self._pauses.get(text, seconds))

  def update(self, done: int, **values: float) -> None:
    """Shows the state after `done` steps, if it is time to, with `values`."""
    now = self._clock()
    if self._first is None:
      self._first, self._start, self._shown = done, now, now
    seconds = now - self._start
    speed = (done - self._first) / max(seconds, 1e-9)
    if not self._foretold and speed > 0 and seconds >= _MEASURED:
      self._foretold = True
      self._foretell(done, speed)
    if now - self._shown < self._interval and done < self._total:
      return
    self._shown = now
    rate = speed * self._images_per_step
    filled = _WIDTH * done // max(self._total, 1)
    fields = [
        f'{done:>{len(str(self._total))}}/{self._total} '
        f'[{"#" * filled}{"." * (_WIDTH - filled)}]',
        *(
            f'{name} {value if isinstance(value, int) else f"{value:.3f}"}'
            for name, value in values.items()
        ),
    ]
    if speed > 0:  # more was done than at the first call
      fields += [
          f'{rate:{".0f" if rate >= 10 else ".2g"}} {self._unit}/s',
          f'ETA {_duration(self._left(done, speed))}',
      ]
    line = '  '.join(fields)
    if self._redraws:
      self._stream.write(f'\r{line:<{self._length}}')
      self._length = len(line)
    else:
      self._stream.write(line + '\n')
    self._stream.flush()

  def _left(self, done, speed):
    """Seconds left, pauses included."""
    steps = (self._total - done) / speed if speed > 0 else 0.0
    return steps + self._pauses_left(done) * sum(self._pauses.values())

  def _pauses_left(self, done):
    """Number of pauses before steps still to be taken."""
    if self._pause_every is None:
      return 0
    return max(0, (self._total - 1) // self._pause_every) - max(
        0, (done - 1) // self._pause_every
    )

  def _foretell(self, done, speed):
    """Says how long the rest will take, if that is long."""
    left = self._left(done, speed)
    if left < _LONG:
      return
    steps = self._total - done
    text = f'About {_duration(left)} to go: {steps} steps of {1 / speed:.2g} s'
    if pauses := self._pauses_left(done):
      what = ', '.join(name[0].lower() + name[1:] for name in self._pauses)
      text += f', and {pauses} pauses ({what}) of up to '
      text += f'{sum(self._pauses.values()):.2g} s'
    self.print(text)

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

"""Objects that refuse to be copied."""

__all__ = ['NotCopied']


class NotCopied:
  """An object that `copy` and `pickle` refuse, with what to do instead.

  Subclasses say it in `_instead`: a sentence without its end.
  """

  _instead = 'make a new one'

  def __reduce_ex__(self, protocol):
    raise TypeError(
        f'{type(self).__name__} cannot be copied or pickled: {self._instead}.'
    )

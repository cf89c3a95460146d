"""Objects that refuse to be copied."""

__all__ = ['NotCopied']


class NotCopied:
  """An object that `copy` and `pickle` refuse; `_instead` says what to do."""

  _instead = 'make a new one'

  def __reduce_ex__(self, protocol):
    raise TypeError(
        f'{type(self).__name__} cannot be copied or pickled: {self._instead}.'
    )

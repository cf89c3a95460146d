"""Functions of a bijector that each class joins with a function of its own."""

from collections.abc import Callable
from typing import Any
from typing import Protocol
from typing import TypeVar
from typing import cast

from tfp_flowopt.internal import types

__all__ = ['Registered', 'with_register_of']

_Result = TypeVar('_Result', covariant=True)


class Registered(Protocol[_Result]):
  """A function whose `register` is a decorator, as of `singledispatch`."""

  register: Callable[..., Any]

  def __call__(
      self, bijector: types.Bijector, *args: Any, **kwargs: Any
  ) -> _Result:
    """The result for a bijector."""


def with_register_of(
    rules: Any,
) -> Callable[[Callable[..., _Result]], Registered[_Result]]:
  """Decorator: the function gets the `register` of a `singledispatch`."""

  def decorate(function: Callable[..., _Result]) -> Registered[_Result]:
    result = cast(Registered[_Result], function)
    result.register = rules.register
    return result

  return decorate

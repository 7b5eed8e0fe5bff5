"""What a task is: a transformation of a function to compute, and each contestant's way to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..case import Raced, Size
from ..timing import Run

Way = Callable[..., Run]
"""``way(module, *args)`` makes a contestant ready, over the module of its package."""


@dataclass(frozen=True, kw_only=True)
class Task(Raced):
    """A derivative other than one gradient, or a step that contains one.

    Attributes
    ----------
    ways
        What each contestant does, by its name; where it has several ways, the fastest one races.
    only
        The labels of the sizes at which a contestant takes part, where those are not all.
    read
        ``read(result)`` gives the arrays of a result that are compared.
    is_steady
        Whether a call's memory is of interest: not where each call compiles.
    """

    ways: Mapping[str, Way | Mapping[str, Way]]
    only: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    read: Callable[[Any], Any] | None = None
    is_steady: bool = True

    def has(self, contestant: str, size: Size) -> bool:
        """Whether a contestant, by name, takes part at `size`."""
        return contestant in self.ways and size.label in self.only.get(contestant, (size.label,))

    def compared(self, result: Any) -> Any:
        """Give the arrays of a contestant's result that are held to those by hand."""
        return result if self.read is None else self.read(result)

    def ways_of(self, contestant: str) -> Mapping[str, Way]:
        """Give the ways of a contestant by their names; the name of an only one is empty."""
        found = self.ways[contestant]
        return found if isinstance(found, Mapping) else {"": found}


def once(make: Callable[[Any], Callable[..., Any]]) -> Way:
    """Call the function that ``make(module)`` gives, made once."""

    def way(module: Any, *args: Any) -> Run:
        return partial(make(module), *args)

    return way


def anew(make: Callable[[Any], Callable[..., Any]]) -> Way:
    """Call the function that ``make(module)`` gives, made for each call: its compilation counts."""

    def way(module: Any, *args: Any) -> Run:
        return lambda: make(module)(*args)

    return way


def by_hand(function: Callable[..., Any]) -> Way:
    """Call a function of NumPy."""
    return once(lambda _: function)


def carrying(step: Callable[..., Any], state: Sequence[Any], data: Sequence[Any]) -> Run:
    """Make the call that advances a state: ``step(*state, *data)`` gives the next one."""
    now = tuple(state)

    def advance() -> Any:
        nonlocal now
        now = tuple(step(*now, *data))
        return now

    return advance

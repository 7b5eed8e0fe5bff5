"""Drivers that run loops and branches as plain Python does, outside of any trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any


class PlainDriver:
    """A loop or branch that is never staged."""

    unpack = False
    values: tuple[Any, ...] = ()
    missing: frozenset[str] = frozenset()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        return None


class PlainLoop(PlainDriver):
    """A `for`, or a `while` where there is no iterable."""

    def __init__(self, flag: str | None, iterable: Iterable[Any] | None) -> None:
        self.flag = flag
        self.iterator: Iterator[Any] | None = None if iterable is None else iter(iterable)
        self.is_over = False
        self.item: Any = None
        self.started = False

    def go(self, names: Mapping[str, Any]) -> bool:
        """Say whether the body runs."""
        if self.started and (self.is_over or (self.flag is not None and names.get(self.flag))):
            return False
        self.started = True
        if self.iterator is not None:
            try:
                self.item = next(self.iterator)
            except StopIteration:
                return False
        return True

    def test(self, value: Any) -> bool:
        """Take the value of a `while`'s test; say whether the body runs."""
        self.is_over = not value
        return not self.is_over


class PlainBranch(PlainDriver):
    """An `if`."""

    def __init__(self, condition: Any) -> None:
        self.then = bool(condition)
        self.has_run = False

    def go(self, names: Mapping[str, Any]) -> bool:
        """Say whether a branch runs."""
        runs = not self.has_run
        self.has_run = True
        return runs


def plain_chain(left: Any, *parts: Any) -> Any:
    """Compare one after the other: `left < b < c`, the operands being evaluated as needed."""
    result = left
    for compare, operand in zip(parts[::2], parts[1::2], strict=True):
        right = operand()
        result = compare(left, right)
        if compare is not parts[-2] and not result:
            break
        left = right
    return result


def plain_and(value: Any, *others: Any) -> Any:
    """Evaluate `value and other and ...`."""
    for other in others:
        if not value:
            break
        value = other()
    return value


def plain_or(value: Any, *others: Any) -> Any:
    """Evaluate `value or other or ...`."""
    for other in others:
        if value:
            break
        value = other()
    return value


def plain_assert(value: Any, message: Any) -> None:
    """Do `assert value, message`."""
    if not value:
        text = message()
        raise AssertionError if text is None else AssertionError(text)


PLAIN: dict[str, Callable[..., Any]] = {
    "__pb_for__": lambda site, line, column, iterable: PlainLoop(site[4], iterable),
    "__pb_while__": lambda site, line, column: PlainLoop(site[4], None),
    "__pb_if__": lambda site, line, column, condition: PlainBranch(condition),
    "__pb_ifexp__": lambda condition, body, other: body() if condition else other(),
    "__pb_and__": plain_and,
    "__pb_or__": plain_or,
    "__pb_not__": lambda value: not value,
    "__pb_chain__": plain_chain,
    "__pb_assert__": plain_assert,
    "__pb_locals__": locals,
}
"""What the hooks of control flow do outside of a trace."""

__all__ = ["PLAIN", "PlainBranch", "PlainDriver", "PlainLoop"]

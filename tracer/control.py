"""What the user's control flow does while it is traced: hooks of loops, branches and tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..ir.types import Kind
from .array import TracedArray
from .branch_driver import BranchDriver
from .driving import truth
from .loop_driver import LoopDriver
from .plain import PLAIN, plain_assert
from .state import current

_getframe = sys._getframe  # pyright: ignore[reportPrivateUsage]


def _for(site: Sequence[Any], line: int, column: int, iterable: Any) -> Any:
    if current() is None:
        return PLAIN["__pb_for__"](site, line, column, iterable)
    place = (_getframe(1).f_code, line, column)
    return LoopDriver(site, place, iterable, is_for=True)


def _while(site: Sequence[Any], line: int, column: int) -> Any:
    if current() is None:
        return PLAIN["__pb_while__"](site, line, column)
    return LoopDriver(site, (_getframe(1).f_code, line, column), None, is_for=False)


def _if(site: Sequence[Any], line: int, column: int, condition: Any) -> Any:
    if current() is None:
        return PLAIN["__pb_if__"](site, line, column, condition)
    return BranchDriver(site, (_getframe(1).f_code, line, column), condition)


_VALUE = (("value",), ("value",), ("value",), (), None)


def _chosen(
    condition: Any, body: Callable[[], Any], other: Callable[[], Any], names: Mapping[str, Any]
) -> Any:
    """Return the value of `body() if condition else other()`, both staged where it is traced."""
    known = truth(condition)
    if not isinstance(known, TracedArray):
        return body() if known else other()
    place = (getattr(body, "__code__", body), "value")
    driver = BranchDriver(_VALUE, place, known)
    found: dict[str, Any] = {**names}
    found.pop("value", None)
    while driver.go(found):
        if driver.unpack:
            found.pop("value", None)
        with driver:
            found["value"] = body() if driver.then else other()
    return driver.values[0] if driver.unpack else found["value"]


def _ternary(condition: Any, body: Callable[[], Any], other: Callable[[], Any]) -> Any:
    return _chosen(condition, body, other, _getframe(1).f_locals)


def _and(value: Any, *others: Callable[[], Any]) -> Any:
    return _joined(value, others, False, _getframe(1).f_locals)


def _or(value: Any, *others: Callable[[], Any]) -> Any:
    return _joined(value, others, True, _getframe(1).f_locals)


def _joined(
    value: Any, others: Sequence[Callable[[], Any]], stops: bool, names: Mapping[str, Any]
) -> Any:
    """Return the first value whose truth is `stops`, or the last one."""
    if not others:
        return value
    first, *rest = others
    known = truth(value)
    if not isinstance(known, TracedArray):
        return value if known is stops else _joined(first(), rest, stops, names)

    def here() -> Any:
        return known if _is_bool(value) else value

    def further() -> Any:
        found = _joined(first(), rest, stops, names)
        return truth(found) if _is_bool(value) and _is_bool(found) else found

    return _chosen(known, here if stops else further, further if stops else here, names)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool | np.bool_) or (
        isinstance(value, TracedArray) and value.dtype.kind == "b"
    )


def _not(value: Any) -> Any:
    known = truth(value)
    if not isinstance(known, TracedArray):
        return not known
    opposite: Any = np.logical_not(known)
    return TracedArray(opposite._atom, Kind.PYTHON, opposite._trace)


def _chain(left: Any, *parts: Any) -> Any:
    names = _getframe(1).f_locals

    def step(value: Any, k: int) -> Any:
        right = parts[k + 1]()
        result = parts[k](value, right)
        if k + 2 == len(parts):
            return result
        return _joined(result, [lambda: step(right, k + 2)], False, names)

    return step(left, 0)


def _assert(value: Any, message: Callable[[], Any]) -> None:
    known = truth(value)
    if not isinstance(known, TracedArray):
        plain_assert(known, message)
        return
    names = {**_getframe(1).f_locals}
    driver = BranchDriver(((), (), (), (), None), (message.__code__, "assert"), known)
    while driver.go(names):
        with driver:
            plain_assert(driver.then, message)


CONTROL: dict[str, Callable[..., Any]] = {
    "__pb_for__": _for,
    "__pb_while__": _while,
    "__pb_if__": _if,
    "__pb_ifexp__": _ternary,
    "__pb_and__": _and,
    "__pb_or__": _or,
    "__pb_not__": _not,
    "__pb_chain__": _chain,
    "__pb_assert__": _assert,
}

__all__ = ["CONTROL"]

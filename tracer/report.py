"""Errors in the user's terms: the expression at fault, its place, and the types involved.

An error that pullback raises while the user's function is traced passes through `explain`, once,
where the trace began. The traceback still has the user's frame: its line gives the excerpt, and its
variables give the types.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from ..ir.core import Atom
from ..ir.errors import PullbackError, UnsupportedError
from ..ir.location import Location, excerpt
from ..ir.types import ArrayType
from .source import current_location, find_user_frame

NO_SOURCE: weakref.WeakKeyDictionary[types.CodeType, str] = weakref.WeakKeyDictionary()
"""Code of the user's functions that could not be rewritten -> the sentence that says why."""

LONGEST = 72
"""Characters of an expression that are shown in a sentence; the excerpt has all of it."""

E = TypeVar("E", bound=Exception)

_OWN = f"{__name__.partition('.')[0]}."
_FOREIGN = tuple(
    [f"{__name__.rpartition('.')[0]}.{n}" for n in ("hooks", "loads", "builtins", "recursion")]
)
"""The modules that call the user's and the libraries' functions: what those raise is theirs."""


def expression_here() -> str:
    """Return the user's expression that runs now, in backquotes, or a neutral phrase."""
    location = current_location()
    expression = _expression(location) if location is not None else ""
    return f"`{expression}`" if expression else "this expression"


def _expression(location: Location) -> str:
    text = " ".join(location.expression.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def located(text: str, location: Location, known: Iterable[tuple[str, str]] = ()) -> str:
    """Return a message with the expression, the excerpt and what is known after its first line."""
    head, _, advice = text.partition("\n")
    expression = _expression(location)
    head = head.removeprefix(f"`{expression}`: ")
    if expression and f"`{expression}`" not in head:
        head = f"{expression}: {head}"
    rows = list(known)
    width = max((len(name) for name, _ in rows), default=0)
    lines = [head, "", excerpt(location), *[f"  {name:<{width}} : {what}" for name, what in rows]]
    return "\n".join([*lines, advice] if advice else lines)


def definition(function: Callable[..., Any]) -> Location | None:
    """Return where a function of the user's is defined, None where that is not known."""
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial | types.MethodType):
        function = function.func if isinstance(function, functools.partial) else function.__func__
    code = getattr(function, "__code__", None)
    if code is None or str(getattr(function, "__module__", "")).startswith(_OWN):
        return None
    line = code.co_firstlineno
    while linecache.getline(code.co_filename, line).lstrip().startswith("@"):
        line += 1
    return Location(code.co_filename, line, code.co_qualname)


def defined(text: str, where: Location | None) -> str:
    """Return a message about what a function returns, with the line that defines it."""
    if where is None:
        return text
    head, _, advice = text.partition("\n")
    return "\n".join([head, "", excerpt(where), *([advice] if advice else [])])


def explain(error: Exception, describe: Callable[[Atom], str]) -> None:
    """Complete the message of an error that pullback raised under the user's expression.

    What the user's own code raised, or a library that it called, stays as it is.

    Parameters
    ----------
    describe
        What an atom of the trace is to the user, "argument 0" for example; empty for nothing
        special.
    """
    found = _user_frame(error)
    if found is None or getattr(error, "is_explained", False):
        return
    frame, offset, raiser = found
    if not isinstance(error, PullbackError) and raiser in ("", *_FOREIGN):
        return
    location = Location.at(frame.f_code, offset)
    text = located(str(error), location, _known(location, frame, describe))
    missing = NO_SOURCE.get(frame.f_code)
    if missing is not None and isinstance(error, UnsupportedError):
        text += (
            f"\n  `{frame.f_code.co_name}` was traced without its source: {missing}. Loops and "
            "branches on traced values,\n  float(x), math.sin(x) and what else NumPy does not "
            "dispatch can then not be traced: define it in a file."
        )
    restated(error, text)


class _Message(str):
    """A message that shows itself, line by line, where Python shows the repr of one."""

    def __repr__(self) -> str:
        return str(self)


def restated(error: E, text: str) -> E:
    """Return an error with another message, and marked as explained; class and traceback stay."""
    error.args = (_Message(text) if isinstance(error, KeyError) else text,)
    if isinstance(error, np.exceptions.AxisError):
        error._msg, error.axis, error.ndim = text, None, None  # type: ignore[attr-defined]
    vars(error)["is_explained"] = True
    return error


def _user_frame(error: Exception) -> tuple[types.FrameType, int, str] | None:
    """Return the innermost frame of the user's in a traceback, its instruction, and who raised.

    That is the innermost module of pullback's inside of that frame; empty where there is none.
    """
    traceback = error.__traceback__
    found: tuple[types.FrameType, int, str] | None = None
    while traceback is not None:
        frame = traceback.tb_frame
        module = str(frame.f_globals.get("__name__", ""))
        if find_user_frame(frame) is frame:
            found = (frame, traceback.tb_lasti, "")
        elif found is not None and module.startswith(_OWN):
            found = (*found[:2], module)
        traceback = traceback.tb_next
    return found


def _known(
    location: Location, frame: types.FrameType, describe: Callable[[Atom], str]
) -> Iterator[tuple[str, str]]:
    """Yield the arrays of an expression: the text that reads them, and their type."""
    try:
        tree = ast.parse(location.expression.strip())
    except SyntaxError:
        return
    seen = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            text = ast.unparse(node)
            value = _value(node, frame)
            if text not in seen and _is_array(value):
                seen.add(text)
                yield text, _array_type(value, describe)


def _value(node: ast.expr, frame: types.FrameType) -> Any:
    """Return the value of a name or attribute, without running any of the user's code."""
    if isinstance(node, ast.Name):
        return frame.f_locals.get(node.id, frame.f_globals.get(node.id))
    if isinstance(node, ast.Attribute):
        owner = _value(node.value, frame)
        found = getattr(owner, "__dict__", {})
        return found.get(node.attr) if isinstance(found, dict) else None
    return None


def _is_array(value: Any) -> bool:
    return (
        type(value) is np.ndarray
        or isinstance(value, np.generic)
        or hasattr(type(value), "__pullback_leaf__")
    )


def _array_type(value: Any, describe: Callable[[Atom], str]) -> str:
    atom: Atom | None = getattr(value, "_atom", None)
    if atom is None:
        return str(ArrayType(value.dtype, value.shape))
    what = describe(atom)
    return f"{atom.type}    {what}" if what else str(atom.type)

"""Where text goes: `print`, logging and warnings, done at every run of the program."""

from __future__ import annotations

import builtins
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.core import Atom
from ..ir.errors import UnsupportedError
from ..ir.ops.effects import Print
from .array import TracedArray
from .report import expression_here
from .source import current_location
from .state import current, locate, require
from .text import Shown, TracedText, make, mark, options_here, percent, text_of


def _operand(value: Any) -> Any:
    """Return an object of outside that shows itself at every run, None for any other value."""
    trace = current()
    assert trace is not None
    if isinstance(value, TracedArray | TracedText | str | type | tuple | list | dict | set):
        return None
    if value is None or isinstance(value, int | float | complex | np.generic | np.ndarray):
        return None
    inputs = trace.root.inputs
    if inputs.path_of(value) is None or callable(value):
        return None
    return Shown(inputs.opaque(value), "object", options_here())


def _piece(value: Any) -> str:
    """Return the text of an argument of print, with marks."""
    shown = _operand(value)
    return str(value) if shown is None else mark(shown)


def _write(text: Any, target: Atom | None = None, **fields: Any) -> None:
    """Emit the op that writes a text."""
    trace = require("text")
    trace.builder.provenance = locate(trace)
    if isinstance(text, str):
        text = TracedText((text,), ())
    values = text.values
    forms = tuple([v.form for v in values])
    options = tuple([v.options for v in values]) if any(v.options for v in values) else ()
    op = Print(text.pieces, forms, options=options, **fields)
    operands = [*([target] if target is not None else []), *[v.atom for v in values]]
    trace.builder.emit(op, operands)


def traced_print(
    *args: Any,
    sep: Any = None,
    end: Any = None,
    file: Any = None,
    flush: Any = False,
) -> None:
    """Print at every run what `print` would print then."""
    for name, value in (("sep", sep), ("end", end)):
        if not isinstance(value, str | TracedText | None):
            raise TypeError(f"{name} must be None or a string, not {type(value).__name__}")
    between = " " if sep is None else sep
    last = "\n" if end is None else end
    text = make(lambda: str(between).join(map(_piece, args)) + str(last))
    stream = _stream(file)
    _write(text, stream[1], to=stream[0], flush=bool(flush))


def _stream(file: Any) -> tuple[str, Atom | None]:
    if file is None or file is sys.stdout:
        return "stdout", None
    if file is sys.stderr:
        return "stderr", None
    trace = require("print")
    if trace.root.inputs.path_of(file) is None:
        raise UnsupportedError(
            f"{expression_here()} prints to a file that the function itself makes, which would be "
            "made while the function is traced.\n  Make it outside of the function, and pass it as "
            "an argument."
        )
    return "file", trace.root.inputs.opaque(file)


def _place() -> tuple[str, int]:
    location = current_location()
    return ("", 0) if location is None else (location.file, location.line)


def traced_warn(message: Any, category: Any = None, stacklevel: int = 1, **kwargs: Any) -> None:
    """Warn at every run."""
    if isinstance(message, Warning):
        category, message = type(message), message.args[0] if message.args else ""
    category = UserWarning if category is None else category
    trace = require("a warning")
    text = message if isinstance(message, TracedText) else make(lambda: str(message))
    _write(text, trace.root.inputs.opaque(category), to="warn", place=_place())


def _log(level: int) -> Callable[..., None]:
    def function(logger: Any, message: Any, *args: Any, **kwargs: Any) -> None:
        log(logger, level, message, *args, **kwargs)

    return function


def log(logger: Any, level: int, message: Any, *args: Any, **kwargs: Any) -> None:
    """Log at every run."""
    if kwargs:
        raise UnsupportedError(
            f"{expression_here()}: logging with {', '.join(kwargs)}= is not traced.\n"
            "  Log the text alone."
        )
    trace = require("logging")
    if args:
        values = args[0] if len(args) == 1 and isinstance(args[0], dict) else args
        text = percent(str(message), values)
    else:
        text = message if isinstance(message, TracedText) else make(lambda: str(message))
    _write(text, trace.root.inputs.opaque(logger), to="log", level=level, place=_place())


LEVELS = {
    "debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING,
    "error": logging.ERROR, "critical": logging.CRITICAL,
}  # fmt: skip


def _root(level: int) -> Callable[..., None]:
    return lambda message, *args, **kwargs: log(logging.root, level, message, *args, **kwargs)


TEXT_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    str: text_of(str),
    repr: text_of(repr),
    ascii: text_of(ascii),
    format: text_of(format),
    builtins.print: traced_print,
    warnings.warn: traced_warn,
    **{getattr(logging, name): _root(level) for name, level in LEVELS.items()},
}
"""Functions that make text or write it -> their traced form."""

TEXT_METHODS: dict[Any, Callable[..., Any]] = {
    logging.Logger.log: log,
    **{getattr(logging.Logger, name): _log(level) for name, level in LEVELS.items()},
}
"""Methods, as functions of their class -> their traced form, called with the object first."""

__all__ = ["TEXT_FUNCTIONS", "TEXT_METHODS"]

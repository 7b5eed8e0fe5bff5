"""What a command is about: FUNCTION of FILE.py, at the arguments that an expression gives.

Only the command line imports this module: it needs click.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from .arguments import Spec
from .ir.errors import PullbackError

PACKAGE = __name__.partition(".")[0]


def called(target: str, expression: str, transform: str | None) -> tuple[Any, tuple[Any, ...]]:
    """Return the transformed function that a command is about, and its arguments."""
    import pullback as pb

    module, function = _load(target)
    if not hasattr(function, "inspect"):
        function = getattr(pb, transform or "grad")(function)
    elif transform is not None:
        raise click.UsageError(f"{target} is decorated already: leave --transform out.")
    names = {"np": np, "pb": pb, "Spec": Spec} | vars(module)
    return function, _evaluate(expression, names)


def check_arrays(arguments: tuple[Any, ...]) -> None:
    """Raise for a `Spec`, of which only `inspect` makes something."""
    if any(isinstance(a, Spec) for a in arguments):
        raise click.UsageError("This runs the function: give arrays in place of Spec.")


def run(target: str, call: Callable[[], Any]) -> Any:
    """Return what a call returns; what it raises is the user's."""
    try:
        return call()
    except PullbackError as error:
        raise click.ClickException(str(error)) from error
    except Exception as error:
        raise click.ClickException(f"{target} raised {_summary(error)}") from error


def _load(target: str) -> tuple[Any, Any]:
    """Import FILE and find FUNCTION (dots lead into classes) in it."""
    file, colon, name = target.rpartition(":")
    if not colon or not name or not file:
        raise click.UsageError(f"{target!r} is not FILE.py:FUNCTION.")
    path = Path(file)
    if not path.is_file():
        raise click.UsageError(f"There is no file {file!r}.")
    # As `python FILE` would, so that it can import its neighbours.
    sys.path.insert(0, str(path.resolve().parent))
    # A name that hides no other module, whatever the file is called.
    spec = importlib.util.spec_from_file_location(f"inspected_{path.stem}", path.resolve())
    if spec is None or spec.loader is None:
        raise click.UsageError(f"{file!r} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise click.ClickException(f"{file} cannot be imported: {_summary(error)}") from error
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        known = ", ".join(k for k, v in vars(module).items() if _is_own(v, module)) or "none"
        raise click.UsageError(f"{file} has no function {name!r}. Its functions: {known}.")
    return module, found


def _is_own(value: Any, module: Any) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _evaluate(expression: str, names: dict[str, Any]) -> tuple[Any, ...]:
    """Evaluate the user's own expression to a tuple of arguments."""
    try:
        value = eval(compile(expression, "--args", "eval"), names)
    except Exception as error:
        raise click.UsageError(f"--args {expression!r}: {_summary(error)}") from error
    return value if isinstance(value, tuple) else (value,)


def _summary(error: Exception) -> str:
    """Say what went wrong and in which of the user's lines, without a traceback."""
    text = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, SyntaxError):
        place = f"{error.filename}:{error.lineno}" if error.filename != "--args" else ""
    else:
        place = next(
            (
                f"{frame.f_code.co_filename}:{line}"
                for frame, line in reversed(list(traceback.walk_tb(error.__traceback__)))
                if not _is_ours(frame.f_globals.get("__name__"))
            ),
            "",
        )
    return f"{text} ({place})" if place and not place.startswith("--args") else text


def _is_ours(module: Any) -> bool:
    """Whether a frame is no code of the user's or of a library."""
    name = str(module)
    return name == PACKAGE or name.startswith((f"{PACKAGE}.", "importlib"))


__all__ = ["called", "check_arrays", "run"]

"""Blocks of the user's function: `with np.errstate(...)`, `with np.printoptions(...)`, `try`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from typing import Any

import numpy as np

from ..ir.errors import EscapedError, UnsupportedError
from ..ir.location import excerpt
from ..ir.op import Effect
from .functions.lazy import implements_lazily
from .report import expression_here
from .state import current, require

_KEYS = ("divide", "over", "under", "invalid")


@implements_lazily("numpy.errstate", always=True)
@contextlib.contextmanager
def _errstate(**given: Any) -> Generator[None]:
    """Treat floating-point errors in a block as it says, when the program runs."""
    inputs = require("np.errstate").root.inputs
    if "call" in given or set(given.values()) & {"call", "print", "log"}:
        raise UnsupportedError(
            f"{expression_here()}: floating-point errors in a traced function are ignored, warned "
            "of or raised.\n  Set a handler outside of the function."
        )
    modes = {k: v for k, v in given.items() if k != "all" and v is not None}
    if given.get("all") is not None:
        modes = {**dict.fromkeys(_KEYS, given["all"]), **modes}
    outer = inputs.errors
    with np.errstate(**given):
        inputs.errors = {**outer, **modes}
        try:
            yield
        finally:
            inputs.errors = outer


@implements_lazily("numpy.printoptions", always=True)
@contextlib.contextmanager
def _printoptions(**given: Any) -> Generator[None]:
    """Show arrays in a block as it says, when the program runs."""
    inputs = require("np.printoptions").root.inputs
    if not all(isinstance(v, bool | int | float | str | None) for v in given.values()):
        raise UnsupportedError(
            f"{expression_here()}: print options of a traced function are numbers and texts.\n"
            "  Set a formatter outside of the function."
        )
    outer = inputs.print_options
    with np.printoptions(**given):
        inputs.print_options = {**outer, **given}
        try:
            yield
        finally:
            inputs.print_options = outer


# ---- try -----------------------------------------------------------------------------------------

_KNOWN_WHILE_TRACED = frozenset(
    {
        *("KeyError", "AttributeError", "ImportError", "ModuleNotFoundError", "NameError"),
        *("OSError", "FileNotFoundError", "StopIteration", "AssertionError", "TypeError"),
        *("NotImplementedError", "UnboundLocalError", "RecursionError"),
    }
)
"""Exceptions that come from Python and never from what is computed at the run."""


@contextlib.contextmanager
def tried(names: str) -> Generator[None]:
    """Run the body of a `try` whose handlers catch the exceptions `names`, "" for all.

    Raises
    ------
    UnsupportedError
        Where it computes what may raise one of them at the run, where no handler is.
    """
    trace = current()
    if trace is None:
        yield
        return
    before = trace.builder.eqns[-1] if trace.builder.eqns else None
    caught = {n.strip(" ()").rpartition(".")[2] for n in names.split(",")}
    inputs = trace.root.inputs
    guards = getattr(inputs, "guards", None)
    if guards is None:
        yield
    else:
        guards.fixed += 1
        inputs.catching.append(frozenset(caught if names else ()))
        try:
            yield
        finally:
            guards.fixed -= 1
            inputs.catching.pop()
    if names and caught <= _KNOWN_WHILE_TRACED:
        return
    for eqn in reversed(trace.builder.eqns):
        if eqn is before:
            break
        if eqn.op.effect is Effect.MAY_RAISE:
            location = eqn.provenance.location
            where = f"\n\n{excerpt(location)}" if location is not None else ""
            raise UnsupportedError(
                f"{eqn.op.name} in a `try` may raise when the program runs, where no `except` "
                f"catches it.{where}\n"
                "  Call it outside of `try`, or test before what makes it raise."
            )


def caught() -> None:
    """Pass on, from a handler of the user's, what only tracing raises: plain Python would not."""
    error = sys.exception()
    if isinstance(error, UnsupportedError | EscapedError):
        raise error


__all__ = ["caught", "tried"]

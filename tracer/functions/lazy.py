"""Traced forms of functions in libraries that are imported only where the user's code does so.

A form is registered under its qualified name, such as `"scipy.signal.lfilter"`: the first two parts
name the module, the rest are attributes of it; `"numpy.vectorize"` is one of NumPy itself. The
object is looked up when the module has been imported by somebody, never by us. Ufuncs then dispatch
by themselves, whatever else is called is found by the hook of calls in `tracer/hooks.py`.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ir.errors import UnsupportedError
from ..array import UFUNCS
from ..report import expression_here

Implementation = Callable[..., Any]
Setup = Callable[[types.ModuleType], None]

_WAITING: dict[str, list[Setup]] = {}
"""Module -> what is done once it is there."""

_FOUND: dict[Any, Implementation] = {}
"""Function, bound method, class or other callable -> its traced form."""

NAMES: dict[str, str] = {}
"""All names that are registered -> why one is refused; empty for those that are traced."""

_ALWAYS: set[Any] = set()
"""Those that have no plain form while tracing, even where no argument is traced."""


def when_imported(module: str) -> Callable[[Setup], Setup]:
    """Call a function with the module, once, as soon as the module is there and a trace runs."""

    def register(setup: Setup) -> Setup:
        _WAITING.setdefault(module, []).append(setup)
        return setup

    return register


def implements_lazily(
    *names: str, always: bool = False
) -> Callable[[Implementation], Implementation]:
    """Register the traced form of functions, methods, ufuncs or classes by qualified name.

    A method given by its class is called with the object first, and also where no argument is
    traced, since the object may hold traced arrays. A name that the installed version of
    the library does not have is left out.

    Parameters
    ----------
    names
        Such as `"scipy.stats.norm.pdf"` or `"scipy.stats.rv_continuous.pdf"`.
    always
        Call the traced form even where no argument is traced.
    """

    def register(implementation: Implementation) -> Implementation:
        for name in names:
            NAMES.setdefault(name, "")
            top, part, *path = name.split(".")
            if top == "numpy" and not isinstance(getattr(np, part, None), types.ModuleType):
                when_imported(top)(_entry([part, *path], implementation, always))
                continue
            when_imported(f"{top}.{part}")(_entry(path, implementation, always))
        return implementation

    return register


def _entry(path: list[str], implementation: Implementation, always: bool) -> Setup:
    def setup(module: types.ModuleType) -> None:
        target: Any = module
        for attribute in path:
            target = getattr(target, attribute, None)
        if target is None:
            return
        if isinstance(target, np.ufunc):
            UFUNCS[target] = implementation
        else:
            _FOUND[target] = implementation
            if always:
                _ALWAYS.add(target)

    return setup


def register(
    name: str,
    target: Any,
    implementation: Implementation,
    *,
    refusal: str = "",
    always: bool = False,
) -> None:
    """Register the traced form of a callable that is there already, or why it has none."""
    NAMES[name] = refusal
    _FOUND[target] = implementation
    if always:
        _ALWAYS.add(target)


def register_loaded() -> None:
    """Do what waits for modules that have been imported meanwhile."""
    for name in [name for name in _WAITING if name in sys.modules]:
        for setup in _WAITING.pop(name):
            setup(sys.modules[name])


def find(function: Any) -> Implementation | None:
    """Return the traced form of a library's callable, or None."""
    register_loaded()
    try:
        return _FOUND.get(function)
    except TypeError:  # an unhashable callable
        return None


def is_always(function: Any) -> bool:
    """Whether a function that `find` knows is traced even without traced arguments."""
    return function in _ALWAYS


def refuse(*names: str, instead: str, why: str) -> None:
    """Let functions raise UnsupportedError: one sentence says why, one what to write instead."""

    def refused(name: str) -> Implementation:
        def implementation(*args: Any, **kwargs: Any) -> Any:
            raise UnsupportedError(
                f"{expression_here()}: {name} cannot be traced.\n  {why}\n  {instead}"
            )

        return implementation

    for name in names:
        NAMES[name] = f"{why} {instead}"
        implements_lazily(name, always=True)(refused(name))


__all__ = [
    "NAMES",
    "find",
    "implements_lazily",
    "is_always",
    "refuse",
    "register",
    "register_loaded",
    "when_imported",
]

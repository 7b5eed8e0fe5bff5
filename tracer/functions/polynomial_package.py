"""`numpy.polynomial`: its functions are Python, and traced as the user's own code is.

What they trim by values has a form here: traced coefficients must not end in zeros, or the size of
the result would depend on them.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ir.errors import UnsupportedError
from ..array import is_traced
from ..refusals import Refusal, refused
from . import lazy
from .create import array
from .known import array_of, known, require
from .shape import constant

FAMILIES = {
    "polynomial": "poly",
    "chebyshev": "cheb",
    "legendre": "leg",
    "hermite": "herm",
    "hermite_e": "herme",
    "laguerre": "lag",
}
"""Modules of the package, and what the names of their functions begin with."""

_SIZE = "The size of its result depends on values."

REFUSED = {
    "fit": (
        "It warns where values make the fit poor.",
        "Write np.polyfit, or np.linalg.lstsq of the Vandermonde matrix.",
    ),
    "trim": (_SIZE, "Leave small coefficients out of the argument."),
    "div": (_SIZE, "Write np.polydiv, which has the highest power first."),
    "2poly": (_SIZE, "Multiply by the matrix that converts, made outside of the function."),
    "poly2": (_SIZE, "Multiply by the matrix that converts, made outside of the function."),
}
"""Parts of names of functions that are not traced -> why, and what to write instead."""


def _traced(function: types.FunctionType) -> Callable[..., Any]:
    def implementation(*args: Any, **kwargs: Any) -> Any:
        from ..hooks import HOOKS
        from ..rewrite import rewrite

        return (rewrite(function, HOOKS) or function)(*args, **kwargs)

    return implementation


def _trimmed(seq: Any) -> Any:
    """As `polyutils.trimseq`."""
    found = known(seq)
    if found is not None:
        from numpy.polynomial import polyutils

        return constant(np.asarray(polyutils.trimseq(found)))
    if len(seq) < 2:
        return seq
    return require(
        seq,
        seq[-1] != 0,
        UnsupportedError,
        "numpy.polynomial drops last coefficients of zero, which changes the size of its result.\n"
        "  Leave them out of the argument.",
    )


def _as_series(alist: Any, trim: bool = True) -> list[Any]:
    """As `polyutils.as_series`."""
    series = [array(array_of(a), ndmin=1) for a in alist]
    for a in series:
        if 0 in a.shape:
            raise ValueError("Coefficient array is empty")
        if a.ndim != 1:
            raise ValueError("Coefficient array is not 1-d")
    if trim:
        series = [_trimmed(a) for a in series]
    dtype = np.common_type(*series)
    return [array(a, dtype) for a in series]


@lazy.when_imported("numpy.polynomial")
def _register(package: types.ModuleType) -> None:
    utilities: Any = vars(package)["polyutils"]
    for name, function in vars(utilities).items():
        if isinstance(function, types.FunctionType) and name not in ("_fit", "trimcoef"):
            lazy.register(f"numpy.polynomial.polyutils.{name}", function, _traced(function))
    lazy.register("numpy.polynomial.polyutils.trimseq", utilities.trimseq, _trimmed)
    lazy.register("numpy.polynomial.polyutils.as_series", utilities.as_series, _as_series)
    for family in FAMILIES:
        module = vars(package)[family]
        for name, function in vars(module).items():
            is_function = callable(function) and not inspect.isclass(function)
            if is_function and name.startswith((FAMILIES[family], "poly2", "_")):
                _register_one(f"{module.__name__}.{name}", function)
    call = vars(package)["_polybase"].ABCPolyBase.__call__
    lazy.register("numpy.polynomial._polybase.ABCPolyBase.__call__", call, _traced(call))


def _register_one(name: str, function: Any) -> None:
    last = name.rpartition(".")[2]
    for part in REFUSED:
        if last.endswith(part) or last.startswith(part):
            refusal = Refusal(*REFUSED[part])
            lazy.register(name, function, _refusing(name, refusal), refusal=" ".join(refusal))
            return
    form = _traced(getattr(function, "_implementation", function))
    form = _line(name, form) if last.endswith("line") else form
    lazy.register(name, function, form, always=last.endswith("interpolate"))


def _line(name: str, form: Callable[..., Any]) -> Callable[..., Any]:
    def implementation(off: Any, scl: Any) -> Any:
        if is_traced(scl):
            raise refused(name, Refusal(_SIZE, "Write the coefficients as np.array([off, scl])."))
        return form(off, scl)

    return implementation


def _refusing(name: str, refusal: Refusal) -> Callable[..., Any]:
    def implementation(*args: Any, **kwargs: Any) -> Any:
        raise refused(name, refusal)

    return implementation


__all__ = ["FAMILIES"]

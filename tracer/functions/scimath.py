"""`numpy.emath`, whose results are complex where a value is outside of the real domain."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import implements
from ..refusals import Refusal, refused
from .known import array_of

_VALUES = "Whether its result is complex depends on the values of real arguments."


def _complex(name: str, *values: Any) -> list[Any]:
    """Return the arguments as arrays.

    Raises
    ------
    UnsupportedError
        Where all are real.
    """
    arrays = [array_of(v) for v in values]
    if all(a.dtype.kind != "c" for a in arrays):
        instead = f"Write np.{name} for real results, or of x.astype(complex) for complex ones."
        raise refused(f"numpy.emath.{name} of real numbers", Refusal(_VALUES, instead))
    return arrays


def _form(name: str) -> Any:
    def function(x: Any) -> Any:
        (array,) = _complex(name, x)
        return getattr(np, name)(array)

    return function


for _name in ("sqrt", "log", "log2", "log10", "arccos", "arcsin", "arctanh"):
    implements(getattr(np.emath, _name))(_form(_name))


@implements(np.emath.power)
def power(x: Any, p: Any) -> Any:
    """As `np.emath.power` of complex numbers."""
    x, p = array_of(x), array_of(p)
    _complex("power", x)
    return np.power(x, p)


@implements(np.emath.logn)
def logn(n: Any, x: Any) -> Any:
    """As `np.emath.logn` of complex numbers, to a complex base or a static one."""
    n = n if isinstance(n, int | float) and n > 0 else _complex("log", n)[0]
    (x,) = _complex("log", x)
    return np.log(x) / np.log(n)


__all__ = ["logn", "power"]

"""Promotion, as NumPy does it: the dtypes that a ufunc's loop takes for what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.core import Atom, Literal
from ..ir.errors import DTypeError
from ..ir.op import Elementwise
from ..ir.types import DTYPE_NAMES, Kind
from .report import expression_here

PYTHON_TYPES: dict[str, type] = {"b": bool, "i": int, "f": float, "c": complex}


_resolved: dict[Any, tuple[tuple[np.dtype, ...], np.dtype]] = {}


def resolve(op: Elementwise, keys: tuple[Any, ...]) -> tuple[np.dtype, ...]:
    """Return the dtypes that a ufunc's loop takes for dtypes and weak Python types."""
    found = _resolved.get((op, keys))
    if found is None:
        try:
            if all(isinstance(k, type) for k in keys):
                keys_ = tuple(np.dtype(k) for k in keys)
            else:
                keys_ = keys
            dtypes = op.ufunc.resolve_dtypes((*keys_, None))
        except TypeError as error:
            names = " and ".join(_dtype_name(k) for k in keys)
            raise DTypeError(f"{op.name} is not defined for {names}") from error
        found = _resolved[(op, keys)] = (dtypes[:-1], dtypes[-1])
    return found[0]


def _dtype_name(key: Any) -> str:
    return key.__name__ if isinstance(key, type) else DTYPE_NAMES.get(key, str(key))


def check_dtype(dtype: np.dtype) -> None:
    """Raise where arrays of a dtype are not traced."""
    if dtype.kind not in "biufc":
        raise DTypeError(
            f"{expression_here()}: arrays of dtype {dtype} are not traced; only booleans, "
            "integers, and real and complex floating point are."
        )


def promotion_keys(lifted: Sequence[tuple[Atom, Kind]]) -> tuple[Any, ...]:
    """Return what decides on a ufunc's loop: dtypes, and Python types for weak numbers."""
    return tuple(
        [
            PYTHON_TYPES[a.type.dtype.kind]
            if k is Kind.PYTHON and a.type.dtype.kind != "b"  # bools are not weak
            else a.type.dtype
            for a, k in lifted
        ]
    )


def is_python(op: Elementwise, lifted: Sequence[tuple[Atom, Kind]]) -> bool:
    """Whether Python's own operator takes operands without axes: it gives a Python number.

    Raises
    ------
    TypeError
        As Python, where complex numbers are ordered.
    """
    dtypes = [a.type.dtype for a, _ in lifted]
    kinds = [k for _, k in lifted]
    if kinds == [Kind.PYTHON, Kind.SCALAR] and dtypes == [np.complex128, np.float64]:
        # np.float64 is a float, which Python's complex numbers take as their own.
        return op.ufunc not in _COMPARISONS[2:]
    if not all(k is Kind.PYTHON for _, k in lifted):
        return False
    if op.ufunc in _COMPARISONS[2:] and any(d.kind == "c" for d in dtypes):
        names = " and ".join(repr(PYTHON_TYPES[d.kind].__name__) for d in dtypes)
        raise TypeError(f"{op.infix!r} not supported between instances of {names}")
    return True


_COMPARISONS = (
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal
)  # fmt: skip


def holding(
    op: Elementwise, lifted: Sequence[tuple[Atom, Kind]], dtypes: tuple[np.dtype, ...]
) -> tuple[np.dtype, ...]:
    """Return the dtypes, wider where a comparison has a Python int beyond them.

    Raises
    ------
    OverflowError
        As NumPy, where the dtype of another operation does not hold the int.
    """
    for (atom, kind), dtype in zip(lifted, dtypes, strict=True):
        if kind is not Kind.PYTHON or dtype.kind not in "iu" or not isinstance(atom, Literal):
            continue
        limits = np.iinfo(dtype)
        if limits.min <= int(atom.value) <= limits.max:
            continue
        if op.ufunc in _COMPARISONS and dtype != np.uint64:
            return (atom.type.dtype,) * len(dtypes)
        raise OverflowError(f"Python integer {int(atom.value)} out of bounds for {dtype}")
    return dtypes

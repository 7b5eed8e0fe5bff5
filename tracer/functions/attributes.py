"""The rest of ndarray's methods and attributes, and what of NumPy is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ir.dims import Dim
from ...ir.ops.select import MakeComplex
from ...ir.types import Kind, c_strides
from ..array import TracedArray, emit, method
from ..refusals import EFFECTS, REFUSALS, Refusal, refused
from .create import asarray
from .known import require
from .lazy import implements_lazily
from .order import argpartition
from .shape import as_scalar, cast, constant, traced


class Flags:
    """As the flags of an ndarray: what its strides say is known while tracing."""

    def __init__(self, array: TracedArray) -> None:
        object.__setattr__(self, "_array", array)

    def _known(self) -> Any:
        """Return the flags of an array of these strides, without memory behind it."""
        a = self._array
        if a._kind is not Kind.ARRAY:
            return np.zeros((), a.dtype)[()].flags
        if any(isinstance(d, Dim) for d in a.type.shape):
            raise refused("numpy.ndarray.flags", _UNKNOWN_SIZE)
        strides = a._layout or c_strides(a.itemsize, a.type.shape)
        writeable = a._view is None or a._view.writeable
        return np.lib.stride_tricks.as_strided(
            np.empty(1, a.dtype), a.shape, strides, writeable=writeable
        ).flags

    def __getattr__(self, name: str) -> Any:
        if name in ("owndata", "writebackifcopy", "num"):
            raise refused("numpy.ndarray.flags", REFUSALS["numpy.ndarray.base"])
        return getattr(self._known(), name)

    def __setattr__(self, name: str, value: bool) -> None:
        if name != "writeable":
            raise refused(f"numpy.ndarray.flags.{name}")
        self._array.setflags(write=value)

    def __getitem__(self, key: str) -> Any:
        return getattr(self, _FLAGS.get(key, key.lower()))

    def __setitem__(self, key: str, value: bool) -> None:
        setattr(self, _FLAGS.get(key, key.lower()), value)


_UNKNOWN_SIZE = Refusal(
    "How an array lies in memory depends on its size, which only the run knows.",
    "Write np.ascontiguousarray(x) or np.asfortranarray(x) where the order matters.",
)

_FLAGS = {
    "C": "c_contiguous", "CONTIGUOUS": "c_contiguous", "F": "f_contiguous", "O": "owndata",
    "FORTRAN": "f_contiguous", "W": "writeable", "A": "aligned", "X": "writebackifcopy",
    "B": "behaved", "CA": "carray", "FA": "farray",
}  # fmt: skip


def _to_device(self: TracedArray, device: Any, /, *, stream: Any = None) -> Any:
    if stream is not None:
        raise ValueError("The stream argument in to_device() is not supported")
    if device != "cpu":
        raise ValueError(f"Unsupported device: {device}. Only 'cpu' is accepted.")
    return self


def _namespace(self: TracedArray, *, api_version: Any = None) -> Any:
    return np.empty(0).__array_namespace__(api_version=api_version)


def _refused_method(self: TracedArray, *args: Any) -> Any:
    raise refused("numpy.ndarray.__reduce__")


def _refused_function(name: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise refused(name)

    return function


# ---- scalar types as functions, and what an iterator gives --------------------------------------


def _scalar_type(dtype: np.dtype) -> Callable[..., Any]:
    """Return the traced form of a scalar type such as `np.float32`, called with a value."""

    def function(value: Any, *imaginary: Any) -> Any:
        if imaginary:
            parts = [cast(v, np.dtype(f"f{dtype.itemsize // 2}")) for v in (value, *imaginary)]
            return emit(MakeComplex(), parts)
        value = traced(asarray(value) if isinstance(value, list | tuple) else value)
        if value._kind is Kind.PYTHON and value.dtype.kind == "c" and dtype.kind in "iuf":
            name = "float" if dtype.kind == "f" else "int"
            raise TypeError(f"{name}() argument must be a string or a real number, not 'complex'")
        if value._kind is Kind.PYTHON and dtype.kind in "iu" and value.dtype.kind != "b":
            limits = np.iinfo(dtype)
            if value.dtype.kind == "f":
                message = "cannot convert float NaN to integer"
                value = require(value, ~np.isnan(value), ValueError, message)
            whole = np.trunc(value)
            fits = (whole >= float(limits.min)) & (whole < float(limits.max) + 1)
            message = f"Python integer out of bounds for {dtype}"
            value = require(value, fits, OverflowError, message)
        return as_scalar(cast(value, dtype))

    return function


@implements_lazily("numpy.fromiter", always=True)
def fromiter(iter: Any, dtype: Any, count: int = -1, *, like: Any = None) -> Any:
    """As `np.fromiter`, of numbers; the iterator runs while tracing."""
    values = list(iter) if count < 0 else list(itertools.islice(iter, count))
    if len(values) < count:
        raise ValueError(
            f"iterator too short: Expected {count} but iterator had only {len(values)} items."
        )
    if any(isinstance(v, TracedArray) for v in values):
        return asarray(values, dtype)
    return constant(np.fromiter(values, dtype))


method("argpartition", argpartition)
method("flags", property(Flags))
method("device", property(lambda self: "cpu"))
method("to_device", _to_device)
method("__array_namespace__", _namespace)
method("__reduce_ex__", _refused_method)
for _type in {t for t in np.sctypeDict.values() if issubclass(t, np.number | np.bool_)}:
    if np.dtype(_type).kind in "biufc":
        implements_lazily(f"numpy.{_type.__name__}")(_scalar_type(np.dtype(_type)))
for _name in REFUSALS:
    if not _name.startswith("numpy.ndarray."):
        implements_lazily(_name, always=_name in EFFECTS)(_refused_function(_name))

__all__ = ["Flags", "fromiter"]

"""Builtins and functions of `math` on traced values: they do at the run what Python would do."""

from __future__ import annotations

import builtins
import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.dims import maximum, minimum
from ..ir.op import ELEMENTWISE
from ..ir.ops.select import MakeComplex
from ..ir.ops.shape import Reshape
from ..ir.types import Kind
from .array import TracedArray, apply_elementwise, emit, unsupported
from .functions.create import where
from .functions.generators import TracedGenerator
from .functions.known import require
from .functions.shape import cast, traced
from .iterables import staged_enumerate, staged_reversed, staged_zip, traced_range
from .loads import attribute, lifted
from .python_errors import DOMAINS, OVERFLOWING
from .size import TracedSize, size_of, user_size
from .state import current
from .stores import delete_attribute, set_attribute
from .text import TracedText
from .writing import TEXT_FUNCTIONS


def _scalar(value: TracedArray, dtype: Any, what: str) -> TracedArray:
    if value.size != 1:
        raise TypeError("only length-1 arrays can be converted to Python scalars")
    if value.dtype.kind == "c" and dtype is float:
        raise TypeError("float() argument must be a string or a real number, not 'complex'")
    result = value if not value.shape else emit(Reshape((), value.ndim), (value,))
    result = cast(result, dtype)
    return TracedArray(result._atom, Kind.PYTHON, result._trace)


def _float(*args: Any) -> Any:
    if len(args) == 1 and isinstance(args[0], TracedArray):
        return _scalar(args[0], float, "float")
    return float(*args)


def _complex(*args: Any) -> Any:
    if len(args) == 1 and isinstance(args[0], TracedArray):
        return _scalar(args[0], complex, "complex")
    if len(args) == 2 and builtins.any(isinstance(a, TracedArray) for a in args):
        parts = [_part(a) for a in args]
        made = emit(MakeComplex(), parts)
        return TracedArray(made._atom, Kind.PYTHON, made._trace)
    return complex(*args)


def _part(value: Any) -> TracedArray:
    """Return the real or imaginary part that is given to `complex`, a float."""
    if isinstance(value, TracedArray) and value.dtype.kind == "c":
        raise unsupported(
            "complex(...) of two numbers of which one is complex", "Write a + 1j * b."
        )
    number = value if isinstance(value, TracedArray) else np.float64(value)
    return _scalar(traced(number), float, "float")


def _isinstance(value: Any, classes: Any, /) -> bool:
    if isinstance(value, TracedArray):
        return issubclass(_class_of(value), classes)
    if isinstance(value, TracedText | TracedGenerator):
        return issubclass(_type(value), classes)
    return isinstance(value, classes)


def _class_of(value: TracedArray) -> type:
    if value._kind is Kind.PYTHON:
        return {"b": bool, "i": int, "c": complex}.get(value.dtype.kind, float)
    return value.dtype.type if value._kind is Kind.SCALAR else np.ndarray


def _type(*args: Any, **kwargs: Any) -> Any:
    if len(args) == 1 and isinstance(args[0], TracedArray):
        return _class_of(args[0])
    if len(args) == 1 and isinstance(args[0], TracedText):
        return str
    if len(args) == 1 and isinstance(args[0], TracedGenerator):
        return args[0].cls
    return type(*args, **kwargs)


def _math(name: str, ufunc: np.ufunc) -> Callable[..., Any]:
    native = getattr(math, name)

    def function(*args: Any) -> Any:
        if not builtins.any(isinstance(a, TracedArray) for a in args):
            return native(*args)
        converted = [_float(a) if isinstance(a, TracedArray) else float(a) for a in args]
        if name in DOMAINS:
            holds = DOMAINS[name](*converted)
            k = builtins.next(k for k, c in enumerate(converted) if isinstance(c, TracedArray))
            converted[k] = require(converted[k], holds, ValueError, "math domain error")
        result = apply_elementwise(ELEMENTWISE[ufunc], converted)
        if name in OVERFLOWING:
            is_given = [np.isfinite(c) for c in converted]
            holds = np.logical_or(np.isfinite(result), ~functools.reduce(np.logical_and, is_given))
            result = require(result, holds, OverflowError, "math range error")
        return TracedArray(result._atom, Kind.PYTHON, result._trace)

    return function


def _getattr(owner: Any, name: str, *default: Any) -> Any:
    try:
        return attribute(owner, name)
    except AttributeError:
        if not default:
            raise
        _hasattr(owner, name)
        return default[0]


def _hasattr(owner: Any, name: str) -> bool:
    found = hasattr(owner, name)
    trace = current()
    path = trace.root.inputs.path_of(owner) if trace is not None else None
    if (
        trace is not None
        and path is not None
        and not trace.root.inputs.commits.has_set(owner, name)
    ):
        trace.root.inputs.check(f"hasattr({path}, {name!r}) is not {found}")
    return found


def _len(value: Any, /) -> Any:
    if isinstance(value, TracedArray) and value.shape:
        return user_size(value.type.shape[0])
    size = len(value)
    trace = current()
    path = trace.root.inputs.path_of(value) if trace is not None else None
    if trace is not None and path is not None and not trace.root.inputs.commits.has_changed(value):
        trace.root.inputs.check(f"len({path}) != {size}")
    return size


def _extreme(
    native: Any, choose: Callable[[Any, Any], Any], exceeds: Callable[[Any, Any], Any]
) -> Callable[..., Any]:
    """Return `max` or `min`: of sizes it stays exact, of traced numbers it is a choice."""

    def function(*args: Any, **kwargs: Any) -> Any:
        values = list(args)
        if len(values) == 1 and not kwargs and isinstance(values[0], list | tuple | TracedArray):
            if isinstance(values[0], TracedArray) and values[0].ndim != 1:
                return native(values[0])
            values = list(values[0])
        sizes = [a for a in values if isinstance(a, TracedSize) or type(a) is int]
        if len(sizes) == len(values) > 1 and len(args) > 1 and not kwargs:
            return user_size(functools.reduce(choose, map(size_of, sizes)))
        if not kwargs and len(values) > 1 and builtins.any(map(_is_number, values)):
            chosen = _chosen(values, exceeds)
            if chosen is not None:
                return chosen
        trace = current()
        assert trace is not None
        return native(*[lifted(a, trace.root.inputs) for a in args], **kwargs)

    return function


def _is_number(value: Any) -> bool:
    return isinstance(value, TracedArray) and not value.shape and not isinstance(value, TracedSize)


_LONGEST_CHOICE = 64


def _chosen(values: list[Any], exceeds: Callable[[Any, Any], Any]) -> Any:
    """Return the first of the values that no other exceeds, as Python compares them.

    None where the type of the result would depend on which it is: all must be numbers that one
    dtype holds exactly. An int counts as a float of its value beside floats.
    """
    traced = [v for v in values if _is_number(v)]
    dtype, kinds = traced[0].dtype, {v._kind for v in traced}
    if len(values) > _LONGEST_CHOICE or any(v.dtype != dtype for v in traced):
        return None
    for value in values:
        if not _is_number(value):
            if not isinstance(value, bool | int | float | np.generic):
                return None
            if np.asarray(value).dtype.kind not in ("iuf" if dtype.kind == "f" else "iu"):
                return None
            if isinstance(value, np.generic) and value.dtype != dtype:
                return None
            if dtype.type(value).item() != value:
                return None
            kinds.add(Kind.SCALAR if isinstance(value, np.generic) else Kind.PYTHON)
    constants = [v if _is_number(v) else dtype.type(v) for v in values]
    best = constants[0]
    for value in constants[1:]:
        best = where(exceeds(value, best), value, best)
    kind = Kind.PYTHON if kinds == {Kind.PYTHON} else Kind.SCALAR
    return TracedArray(best._atom, kind, best._trace)


def _vars(*owner: Any) -> Any:
    return attribute(owner[0], "__dict__") if owner else vars()


def getter(function: Any, read: Callable[[Any, Any], Any], value: Any) -> Any:
    """Read what an `operator.attrgetter` or `itemgetter` reads, through our loads."""
    found: tuple[Any, ...] = tuple(read(value, key) for key in function.__reduce__()[1])
    return found[0] if len(found) == 1 else found


def dotted(value: Any, path: str) -> Any:
    """Read attributes of attributes, as `operator.attrgetter` does."""
    return functools.reduce(attribute, path.split("."), value)


_MATH = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p, "sqrt": np.sqrt, "cbrt": np.cbrt, "sin": np.sin, "cos": np.cos,
    "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "atan2": np.arctan2, "sinh": np.sinh,
    "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "pow": np.power, "fabs": np.fabs, "hypot": np.hypot, "fmod": np.fmod, "copysign": np.copysign,
    "degrees": np.degrees, "radians": np.radians,
}  # fmt: skip


def _math_log(x: Any, *base: Any) -> Any:
    result = _math("log", np.log)(x)
    return result / _math("log", np.log)(*base) if base else result


def _iterating(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what makes an iterator, with the arrays in the containers that it is given traced."""

    def made(*args: Any, **kwargs: Any) -> Any:
        trace = current()
        assert trace is not None
        return function(*[lifted(a, trace.root.inputs) for a in args], **kwargs)

    return made


BUILTINS: dict[Any, Callable[..., Any]] = {
    **TEXT_FUNCTIONS,
    range: traced_range,
    zip: _iterating(staged_zip),
    enumerate: _iterating(staged_enumerate),
    reversed: _iterating(staged_reversed),
    float: _float,
    complex: _complex,
    isinstance: _isinstance,
    type: _type,
    getattr: _getattr,
    setattr: set_attribute,
    delattr: delete_attribute,
    hasattr: _hasattr,
    len: _len,
    max: _extreme(max, maximum, operator.gt),
    min: _extreme(min, minimum, operator.lt),
    vars: _vars,
    math.log: _math_log,
    **{getattr(math, n): _math(n, u) for n, u in _MATH.items() if hasattr(math, n)},
}

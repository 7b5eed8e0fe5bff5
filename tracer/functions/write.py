"""Writes into arrays: assignment, augmented assignment, and NumPy's functions that write."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ir.core import Atom, Literal
from ...ir.errors import ShapeError, UnsupportedError
from ...ir.op import broadcast
from ...ir.ops.index import Index, index_shape
from ...ir.types import Kind
from ..array import TracedArray, convert, emit, implements, is_traced, lift, method, unsupported
from ..promotion import PYTHON_TYPES
from ..regions import is_inside
from ..report import expression_here
from ..size import match
from ..source import current_location
from ..state import Trace, require
from ..state import locate as provenance
from .create import where
from .index import Place, compress, locate, take
from .shape import as_array, traced


def store(a: TracedArray, index: Any, value: Any) -> None:
    """Do `a[index] = value`: the last of repeated positions wins; the value is cast to `a.dtype`.

    Raises
    ------
    IndexError, ValueError, TypeError
        As NumPy: an index out of bounds, shapes that do not broadcast, a read-only array, a complex
        number into a real array.
    """
    if a._kind is not Kind.ARRAY:
        name = "float" if a._kind is Kind.PYTHON else a.dtype.type.__name__
        raise TypeError(f"'{name}' object does not support item assignment")
    trace = check_writeable(a)
    if isinstance(index, TracedArray) and index.dtype.kind == "b" and index.shape == a.shape:
        chosen = _fill(a, index, value)
        if chosen is not None:
            put(a, chosen)
            return
    place = locate(a, index)
    if _is_there(a, place, value):
        return
    atom = _fitting(a, place, cast_to(value, a.dtype, trace), trace)
    write(place, atom, trace)


def _is_there(a: TracedArray, place: Place, value: Any) -> bool:
    """Whether a place holds the value already: `x[i:] += v` ends with `x[i:] = x[i:]`."""
    if place.gather or not isinstance(value, TracedArray) or value._view is None:
        return False
    if a._as_view().storage is not value._view.storage or value.shape == ():
        return False
    held = (
        place.array if place.is_whole else emit(Index(place.spec), (place.array, *place.operands))
    )
    return held._atom is value._atom


def put(a: TracedArray, value: Any) -> None:
    """Do `a[...] = value`."""
    trace = check_writeable(a)
    place = locate(a, Ellipsis)
    write(place, _fitting(a, place, cast_to(value, a.dtype, trace), trace), trace)


def write(place: Place, atom: Atom, trace: Trace) -> None:
    """Make a value, already of the right dtype, the content of a place."""
    target = place.array
    positions = [lift(p, trace)[0] for p in place.operands]
    trace.builder.provenance = provenance(trace)
    view = target._as_view()
    view.write(trace.builder, place.spec, positions, atom)
    storage = view.storage
    if storage.written is None:
        storage.written = current_location()


def check_writeable(a: TracedArray) -> Trace:
    """Return the trace that a write into an array goes to.

    Raises
    ------
    ValueError
        For a read-only array, as NumPy.
    UnsupportedError
        For an array of outside a loop body or function that is traced apart.
    """
    trace = require("a write", (a,))
    lift(a, trace)
    view = a._as_view()
    if not view.writeable:
        raise ValueError("assignment destination is read-only")
    if not is_inside(trace, view.storage.trace):
        raise UnsupportedError(
            f"{expression_here()} writes, within a function given to a loop or a derivative, into "
            "an array that is made outside of it.\n"
            "  Pass the array in and return it: as the carry of the loop, or as an argument."
        )
    return trace


def cast_to(value: Any, dtype: np.dtype, trace: Trace) -> Atom:
    """Return a value as an atom of a dtype, cast as an assignment casts.

    Raises
    ------
    TypeError, OverflowError
        As NumPy, for a complex Python number into a real array, an int beyond the dtype.
    """
    if isinstance(value, list | tuple | range) and not _holds_traced(value):
        value = np.asarray(value)
    atom, kind = lift(value, trace)
    if kind is Kind.PYTHON and isinstance(atom, Literal):
        target = np.zeros((), dtype)
        target[()] = value if not is_traced(value) else atom.value.item()
        return Literal(target[()])
    if kind is Kind.PYTHON and atom.type.dtype.kind == "c" and dtype.kind not in "cb":
        name = PYTHON_TYPES[dtype.kind].__name__
        raise TypeError(f"{name}() argument must be a string or a real number, not 'complex'")
    return convert(atom, dtype, trace)


def _holds_traced(values: Any) -> bool:
    return any(is_traced(v) or (isinstance(v, list | tuple) and _holds_traced(v)) for v in values)


def _fitting(a: TracedArray, place: Place, atom: Atom, trace: Trace) -> Atom:
    """Return the value in a shape that broadcasts to that of the selection.

    Raises
    ------
    ValueError
        As NumPy, where it does not.
    """
    positions = [lift(p, trace)[0].type for p in place.operands]
    shape = index_shape(place.spec, place.array.type, positions)
    found = atom.type.shape
    extra = len(found) - len(shape)
    if extra > 0 and all(d == 1 for d in found[:extra]):
        return lift(np.reshape(TracedArray(atom, Kind.ARRAY, trace), found[extra:]), trace)[0]
    try:
        fits = broadcast([shape, found]) == shape
    except ShapeError:
        fits = False
    if not fits:
        sizes = [d for d in (*shape, *found) if not isinstance(d, int)]
        if sizes:
            return lift(match(TracedArray(atom, Kind.ARRAY, trace), shape), trace)[0]
        if not shape and not place.keeps_array and not place.is_whole:
            raise ValueError("setting an array element with a sequence.")
        shown = [str(s).replace(" ", "") for s in (found, shape)]
        raise ValueError(
            f"could not broadcast input array from shape {shown[0]} into shape {shown[1]}"
        )
    return atom


def shorter(value: Any, ndim: int) -> Any:
    """Return a value without leading axes of size 1 that its target of `ndim` axes lacks."""
    extra = value.ndim - ndim
    if extra > 0 and all(d == 1 for d in value.shape[:extra]):
        return value.reshape(value.shape[extra:])
    return value


def fitted(place: Place, value: Any, trace: Trace) -> TracedArray:
    """Return a value in a shape that broadcasts to that of a selection, or raise as NumPy."""
    atom = _fitting(place.array, place, lift(value, trace)[0], trace)
    return TracedArray(atom, Kind.ARRAY, trace)


def _fill(a: TracedArray, mask: TracedArray, value: Any) -> Any:
    """Return `a` with a value without axes where a mask is true, None for any other value."""
    trace = require("a write")
    atom = cast_to(value, a.dtype, trace)
    if atom.type.shape:
        return None
    return where(mask, TracedArray(atom, Kind.SCALAR, trace), a)


def augment(old: TracedArray, result: Any, name: str) -> TracedArray:
    """Do `old op= ...`, where `result` is `old op ...` by the ufunc `name`; return `old`.

    Raises
    ------
    TypeError
        As NumPy (`UFuncTypeError`), where the result's dtype cannot be cast to that of the array.
    """
    trace = check_writeable(old)
    result = traced(result)
    if not np.can_cast(result.dtype, old.dtype, "same_kind"):
        raise TypeError(
            f"Cannot cast ufunc '{name}' output from {result.dtype!r} to {old.dtype!r} with "
            "casting rule 'same_kind'"
        )
    if result.shape != old.shape:
        shown = [str(s).replace(" ", "") for s in (old.shape, result.shape)]
        raise ValueError(
            f"non-broadcastable output operand with shape {shown[0]} doesn't match the broadcast "
            f"shape {shown[1]}"
        )
    place = locate(old, Ellipsis)
    write(place, convert(lift(result, trace)[0], old.dtype, trace), trace)
    return old


# ---- `out=` --------------------------------------------------------------------------------------


def destination(out: Any) -> TracedArray:
    """Return the traced array that an `out=` argument, or the first of a function, stands for.

    Raises
    ------
    TypeError, ValueError
        As NumPy, where it is no array, or a read-only one.
    """
    if type(out) is np.ndarray:
        inputs = require("an array to write into").root.inputs
        if not inputs.holds(out):
            raise unsupported(
                "a write into an array that was made while the function is traced, in code that "
                "pullback does not see into",
                "Make the array in your own function, or pass it in.",
            )
        out = inputs.lift(out)
    if not isinstance(out, TracedArray) or out._kind is not Kind.ARRAY:
        raise TypeError("return arrays must be of ArrayType")
    check_writeable(out)
    return out


def deliver(out: TracedArray, value: Any, casting: Any = "unsafe", name: str = "") -> TracedArray:
    """Write a result, which has the very shape of `out`, into it, and return it.

    Raises
    ------
    ValueError, TypeError
        As NumPy, where the shapes differ or the cast is not allowed.
    """
    value = as_array(traced(value))
    if value.ndim != out.ndim or any(
        isinstance(n, int) and isinstance(m, int) and n != m
        for n, m in zip(value.shape, out.shape, strict=True)
    ):
        raise ShapeError(
            f"the output has shape {out.shape}, and the result{' of ' + name if name else ''} "
            f"{value.shape}"
        )
    check_cast(value.dtype, out.dtype, casting, name)
    put(out, value)
    return out


def check_cast(found: np.dtype, wanted: np.dtype, casting: Any, name: str = "") -> None:
    """Raise TypeError, as NumPy, where a casting rule does not allow a conversion."""
    if not np.can_cast(found, wanted, casting):
        what = f"ufunc {name!r} output" if name else "array data"
        raise TypeError(
            f"Cannot cast {what} from {found!r} to {wanted!r} with casting rule {casting!r}"
        )


def reduce_into(out: Any, function: Any, ufunc: np.ufunc, array: Any, dtype: Any, **kw: Any) -> Any:
    """Do a `reduce`, `accumulate` or `reduceat` with `out=`, whose dtype is part of the loop's."""
    if isinstance(out, tuple) and len(out) == 1:
        (out,) = out
    out, a = destination(out), traced(array)
    if dtype is None and ufunc not in (np.logical_and, np.logical_or, np.logical_xor):
        given = (out.dtype, a.dtype, None)
        dtype = ufunc.resolve_dtypes(given, reduction=True, casting="unsafe")[0]
    return deliver(out, function(ufunc, a, dtype=dtype, **kw))


def with_out(rule: Callable[[TracedArray, Any], TracedArray]) -> Callable[[Any], Any]:
    """Return a decorator: the function computes its result, and `rule(out, result)` writes it."""

    def decorate(function: Any) -> Any:
        code = function.__code__
        names = code.co_varnames[: code.co_argcount]
        place = names.index("out") if "out" in names else -1

        @functools.wraps(function)
        def implementation(*args: Any, **kwargs: Any) -> Any:
            out = kwargs.pop("out", None)
            if 0 <= place < len(args):
                out = args[place]
                args = (*args[:place], None, *args[place + 1 :])
            if out is None:
                return function(*args, **kwargs)
            return rule(destination(out), function(*args, **kwargs))

        return implementation

    return decorate


def same_dtype(out: TracedArray, result: Any) -> TracedArray:
    """Write a result into an array of its dtype.

    Raises
    ------
    UnsupportedError
        For another one: NumPy computes some of the steps in the dtype of `out`.
    """
    result = traced(result)
    if out.dtype != result.dtype:
        raise unsupported(
            f"out= of dtype {out.dtype} for a result of dtype {result.dtype}",
            "NumPy computes some of the steps in the dtype of out=. Write out[...] = result.",
        )
    return deliver(out, result)


def same_kind(out: TracedArray, result: Any) -> TracedArray:
    """Write a result into an array of its dtype or of a narrower one of its kind."""
    return deliver(out, result, "same_kind")


def cast_back(out: TracedArray, result: Any) -> TracedArray:
    """Write a result as NumPy's C functions do that cast `out` first, and back at the end."""
    result = traced(result)
    if out.shape == result.shape:
        check_cast(out.dtype, result.dtype, "safe")
    return deliver(out, result)


def any_dtype(out: TracedArray, result: Any) -> TracedArray:
    """Write a result into an array of any dtype; another shape is a TypeError, as in `choose`."""
    if traced(result).shape != out.shape:
        raise TypeError("choose: invalid shape for output array.")
    return deliver(out, result)


def c_array(out: TracedArray, result: Any) -> TracedArray:
    """Write a result into a C-contiguous array of its dtype and shape, as `np.dot` asks for."""
    result = traced(result)
    if out.dtype != result.dtype or out.shape != result.shape or out._layout is not None:
        raise ValueError(
            "output array is not acceptable (must have the right datatype, number of dimensions, "
            "and be a C-Array)"
        )
    return deliver(out, result)


_take, _compress = with_out(cast_back)(take), with_out(cast_back)(compress)
implements(np.take)(_take)
implements(np.compress)(_compress)
method("take", _take)
method("compress", lambda self, condition, *rest, **kw: _compress(condition, self, *rest, **kw))

__all__ = [
    "any_dtype",
    "augment",
    "c_array",
    "cast_back",
    "check_cast",
    "check_writeable",
    "deliver",
    "destination",
    "fitted",
    "put",
    "reduce_into",
    "same_dtype",
    "same_kind",
    "shorter",
    "store",
    "with_out",
    "write",
]

"""Calls of ufuncs with keywords: `out`, `where`, `casting`, `dtype`, `signature`, `order`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.dims import Dim
from ...ir.errors import ShapeError
from ...ir.op import ELEMENTWISE, Elementwise, broadcast
from ..array import UFUNCS, TracedArray, apply_elementwise, is_traced, lift, ufunc_name, unsupported
from ..promotion import promotion_keys
from ..state import require
from .core_dims import call_with_core_dims
from .create import in_order, where
from .shape import as_array, broadcast_to, cast, traced
from .write import check_cast, destination, put, shorter


def call_ufunc(ufunc: np.ufunc, inputs: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """Call a ufunc on traced arrays as NumPy would.

    Raises
    ------
    UnsupportedError
        For `where=` without `out=`: elements that NumPy leaves uninitialised have no value.
    """
    options = dict(keywords)
    outs = _outputs(ufunc, options.pop("out", None))
    op = ELEMENTWISE.get(ufunc)
    if op is None:
        return _composed(ufunc, inputs, outs, options)
    mask = options.pop("where", True)
    casting, order = options.pop("casting", "same_kind"), options.pop("order", "K")
    options.pop("subok", True)
    signature = _signature(ufunc, options)
    out = outs[0]
    trace = require(ufunc_name(ufunc), inputs)
    lifted = [lift(v, trace) for v in inputs]
    given = (*promotion_keys(lifted), None if out is None else out.dtype)
    loop: Any = {} if signature is None else {"signature": signature}
    dtypes = ufunc.resolve_dtypes(given, casting=casting, **loop)
    if out is not None:
        check_cast(dtypes[-1], out.dtype, casting, ufunc.__name__)
    values = [TracedArray(a, k, trace) for a, k in lifted]
    if isinstance(mask, bool | np.bool_) and mask:
        result = apply_elementwise(op, values, dtypes=dtypes[:-1])
        if out is None:
            return (
                result if order == "K" or not result.shape else in_order(result, None, order, None)
            )
        return _into(out, result, ufunc)
    if out is None:
        raise unsupported(
            f"{ufunc_name(ufunc)} with where= and without out=",
            "The elements left out would have no value. Give out= an array that holds what stays, "
            "or write np.where(mask, result, other).",
        )
    return _masked(op, values, dtypes[:-1], mask, out)


def _outputs(ufunc: np.ufunc, out: Any) -> list[TracedArray | None]:
    given = out if isinstance(out, tuple) else (out,)
    if len(given) != ufunc.nout:
        if ufunc.nout > 1 and out is None:
            return [None] * ufunc.nout
        raise ValueError(
            "The 'out' tuple must have exactly one entry per ufunc output"
            if isinstance(out, tuple)
            else f"'out' must be a tuple of arrays for {ufunc.__name__}"
        )
    return [None if o is None else destination(o) for o in given]


def _signature(ufunc: np.ufunc, options: dict[str, Any]) -> Any:
    """Return the signature for the loop, from `dtype` or `signature`.

    Raises
    ------
    TypeError
        As NumPy, for both, and for keywords that are left.
    """
    dtype = options.pop("dtype", None)
    signature = options.pop("signature", options.pop("sig", None))
    if options:
        raise TypeError(
            f"{ufunc.__name__}() got an unexpected keyword argument {next(iter(options))!r}"
        )
    if dtype is None:
        if isinstance(signature, str):
            left, _, right = signature.partition("->")
            signature = tuple(np.dtype(c) for c in left + right)
        return signature
    if signature is not None:
        raise TypeError("cannot specify both 'signature' and 'dtype'")
    return (*[None] * ufunc.nin, np.dtype(dtype))


def _into(out: TracedArray, result: Any, ufunc: np.ufunc) -> TracedArray:
    """Write a result, broadcast to the shape of `out`."""
    result = as_array(result)
    _check_fits(out, [result.shape], ufunc)
    put(out, result)
    return out


def _check_fits(out: TracedArray, shapes: Sequence[Any], ufunc: np.ufunc) -> None:
    known = all(not isinstance(d, Dim) for s in (out.shape, *shapes) for d in s)
    shape = broadcast([*shapes, out.shape]) if known else out.shape
    if shape != out.shape:
        raise ShapeError(
            f"non-broadcastable output operand with shape {out.shape} doesn't match the broadcast "
            f"shape {shape} of {ufunc_name(ufunc)}"
        )


def _masked(
    op: Elementwise, values: Sequence[Any], dtypes: Sequence[np.dtype], mask: Any, out: TracedArray
) -> TracedArray:
    """Write where a mask is true.

    Elsewhere the ufunc runs on numbers of its domain: NumPy does not run it there, so nothing may
    be reported of what stands there, and nothing of it may reach the gradient.
    """
    if not is_traced(mask):
        mask = np.asarray(mask)
    mask = traced(mask)
    check_cast(mask.dtype, np.dtype(bool), "safe")
    chosen = []
    for value, dtype, (low, high) in zip(values, dtypes, op.domain, strict=True):
        fill = low + 0.59 * (high - low) if dtype.kind in "fc" else 1
        chosen.append(where(mask, cast(value, dtype), dtype.type(fill)))
    result = cast(as_array(apply_elementwise(op, chosen, dtypes=tuple(dtypes))), out.dtype)
    _check_fits(out, [result.shape, mask.shape], op.ufunc)
    put(out, where(mask, result, out))
    return out


def _composed(
    ufunc: np.ufunc, inputs: Sequence[Any], outs: list[TracedArray | None], options: dict[str, Any]
) -> Any:
    """Call a ufunc of several results or with core dims."""
    function = UFUNCS.get(ufunc)
    if function is None:
        raise unsupported(ufunc_name(ufunc))
    if ufunc.signature is not None:
        result = call_with_core_dims(ufunc, function, inputs, options)
        (out,) = outs
        if out is None:
            return result
        check_cast(result.dtype, out.dtype, options.get("casting", "same_kind"), ufunc.__name__)
        return _into(out, shorter(result, out.ndim), ufunc)
    mask, casting = options.pop("where", True), options.pop("casting", "same_kind")
    if mask is not True:
        raise unsupported(f"{ufunc_name(ufunc)} with where=", "Write np.where of the results.")
    if options.get("order", "K") == "K":
        options.pop("order", None)
    options.pop("subok", None)
    if casting != "same_kind" and all(o is None for o in outs):
        options["casting"] = casting
    if options.get("dtype") is None:
        options.pop("dtype", None)
    results = function(*inputs, **options)
    found = results if isinstance(results, tuple) else (results,)
    for out, result in zip(outs, found, strict=True):
        if out is not None:
            check_cast(result.dtype, out.dtype, casting, ufunc.__name__)
    if len(found) > 1:
        shape = broadcast([found[0].shape, *[o.shape for o in outs if o is not None]])
        if shape != found[0].shape:
            found = tuple([broadcast_to(r, shape).copy() for r in found])
    written = [r if o is None else _into(o, r, ufunc) for o, r in zip(outs, found, strict=True)]
    return tuple(written) if isinstance(results, tuple) else written[0]


__all__ = ["call_ufunc"]

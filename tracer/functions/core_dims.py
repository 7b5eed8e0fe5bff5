"""Keywords of ufuncs with core dims, such as `matmul`: `axes`, `axis`, `keepdims`, and the loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...ir.dims import Dim
from ..array import unsupported
from .create import in_order
from .known import array_of
from .shape import as_array, cast, expand_dims


def call_with_core_dims(
    ufunc: np.ufunc, function: Callable[..., Any], inputs: Sequence[Any], options: dict[str, Any]
) -> Any:
    """Call the traced form of a ufunc with core dims, with any of NumPy's keywords.

    NumPy itself is asked, on arrays of few elements with sizes that are equal where these are, what
    it thinks of the keywords and which dtype it computes in.

    Raises
    ------
    TypeError, ValueError
        As NumPy.
    """
    arrays = [array_of(v) for v in inputs]
    options = {k: v for k, v in options.items() if v is not None or k == "dtype"}
    trial = ufunc(*_small(ufunc, arrays), **options)
    loop = {k: options[k] for k in ("signature", "sig", "dtype") if options.get(k) is not None}
    arrays = [cast(a, d) for a, d in zip(arrays, _dtypes(ufunc, arrays, loop), strict=True)]
    if options.get("keepdims") or not {"axes", "axis"}.isdisjoint(options):
        result = _moved(ufunc, function, arrays, options)
    else:
        result = function(*arrays)
    assert np.ndim(result) == np.ndim(trial)
    order = options.get("order", "K")
    return result if order == "K" or not result.shape else in_order(result, None, order, None)


def _small(ufunc: np.ufunc, arrays: Sequence[Any]) -> list[Any]:
    """Return arrays of few elements, of equal sizes where the given ones are of equal sizes."""
    sizes: dict[Any, int] = {0: 0, 1: 1}
    for a in arrays:
        for d in a.type.shape:
            if isinstance(d, Dim):
                raise unsupported(
                    f"np.{ufunc.__name__} with keywords, of sizes known only at run time",
                    "Write np.moveaxis and the plain call.",
                )
            sizes.setdefault(d, len(sizes))
    return [np.zeros([sizes[d] for d in a.shape], a.dtype) for a in arrays]


def _dtypes(ufunc: np.ufunc, arrays: Sequence[Any], loop: dict[str, Any]) -> Sequence[np.dtype]:
    """Return the dtypes of the loop; that its casts are allowed has been asked."""
    if "dtype" in loop:
        loop = {"signature": (*[None] * ufunc.nin, np.dtype(loop["dtype"]))}
    elif loop:
        (signature,) = loop.values()
        if isinstance(signature, str):
            left, _, right = signature.partition("->")
            signature = tuple(np.dtype(c) for c in left + right)
        loop = {"signature": signature}
    given = (*[a.dtype for a in arrays], *[None] * ufunc.nout)
    return ufunc.resolve_dtypes(given, casting="unsafe", **loop)[: ufunc.nin]


def _moved(
    ufunc: np.ufunc, function: Callable[..., Any], arrays: Sequence[Any], options: dict[str, Any]
) -> Any:
    """Call on the core axes moved to the end, and move those of the result where they belong."""
    names = _core_names(ufunc, arrays)
    axes, axis = options.get("axes"), options.get("axis")
    if axis is not None:
        axes = [axis] * (len(arrays) + bool(options.get("keepdims")))
    lists = [_listed(a) for a in axes or ()]
    moved = []
    for k, a in enumerate(arrays):
        count = len(names[k])
        moved.append(np.moveaxis(a, lists[k], range(-count, 0)) if lists and count else a)
    result = as_array(function(*moved))
    count = len(names[-1])
    if options.get("keepdims"):
        count = len(names[0])
        result = expand_dims(result, tuple(range(-count, 0)))
    if count and len(lists) > len(arrays):
        result = np.moveaxis(result, range(-count, 0), lists[-1])
    return result if result.ndim else result[()]


def _listed(axes: Any) -> list[int]:
    return list(axes) if isinstance(axes, tuple) else [axes]


def _core_names(ufunc: np.ufunc, arrays: Sequence[Any]) -> list[list[str]]:
    """Return the names of the core dims of operands and result, without those that are absent."""
    left, _, right = str(ufunc.signature).partition("->")
    operands = [part.strip("()").split(",") for part in left.split("),(")]
    absent: set[str] = set()
    for names, a in zip(operands, arrays, strict=True):
        if a.ndim < len(names):
            absent.update(n for n in names if n.endswith("?"))
    result = right.strip("()").split(",") if right != "()" else []
    return [[n for n in names if n not in absent] for names in (*operands, result)]


__all__ = ["call_with_core_dims"]

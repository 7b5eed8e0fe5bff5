"""`np.einsum`: subscripts are read here, so that the op has a label for each axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from ...ir.ops.einsum import Einsum
from ...ir.types import Kind
from ..array import TracedArray, emit, implements, unsupported
from .linalg import strong
from .shape import cast
from .write import deliver, destination

SYMBOLS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""The labels that NumPy takes; the list form counts along them."""


@implements(np.einsum)
def einsum(
    *operands: Any,
    out: Any = None,
    dtype: Any = None,
    order: str = "K",
    casting: str = "safe",
    optimize: Any = False,
) -> Any:
    """As `np.einsum`, in the string form and in the list form."""
    if order not in ("K", "A") or casting not in ("safe", "same_kind"):
        raise unsupported("np.einsum with order= or casting=", "Assign the result instead.")
    text, given = _string_form(operands)
    arrays = [strong(x) for x in given]
    if out is not None:
        return _einsum_into(destination(out), text, arrays, dtype, casting, optimize)
    inputs, output = parse_subscripts(text, [a.ndim for a in arrays])
    common = np.result_type(*[a.dtype for a in arrays])
    result = common if dtype is None else np.dtype(dtype)
    for a in arrays:
        if not np.can_cast(a.dtype, result, casting):  # type: ignore[arg-type]
            raise TypeError(
                f"Iterator operand could not be cast from {a.dtype} to {result} "
                f"according to the rule '{casting}'"
            )
    if result != common:
        arrays = [cast(a, result) for a in arrays]
    summed = emit(Einsum(tuple(inputs), output, _frozen(optimize)), arrays)
    return summed if output else TracedArray(summed._atom, Kind.SCALAR, summed._trace)


def _einsum_into(
    out: Any, text: str, arrays: Sequence[Any], dtype: Any, casting: Any, optimize: Any
) -> Any:
    """Write the result into an array, whose dtype takes part in the choice of the common one."""
    if dtype is None:
        dtype = np.result_type(out.dtype, *[a.dtype for a in arrays])
    result = einsum(text, *arrays, dtype=dtype, casting=casting, optimize=optimize)
    return deliver(out, result, casting)


def _frozen(optimize: Any) -> Any:
    """Return NumPy's `optimize` argument as a hashable value."""
    if isinstance(optimize, list | tuple):
        return tuple(tuple(x) if isinstance(x, list | tuple) else x for x in optimize)
    return bool(optimize) if optimize in (None, 0, 1) else optimize


def _string_form(operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return subscripts and operands; the list form alternates operands and lists of numbers."""
    if not operands:
        raise ValueError("No input operands")
    if isinstance(operands[0], str):
        return operands[0].replace(" ", ""), list(operands[1:])
    pairs = len(operands) // 2
    text = ",".join(_letters(operands[2 * k + 1]) for k in range(pairs))
    if len(operands) % 2:
        text += "->" + _letters(operands[-1])
    return text, [operands[2 * k] for k in range(pairs)]


def _letters(labels: Sequence[Any]) -> str:
    found: list[str] = []
    for label in labels:
        if label is Ellipsis:
            found.append("...")
        elif not hasattr(label, "__index__"):
            raise TypeError("For this input type lists must contain either int or Ellipsis")
        else:
            found.append(SYMBOLS[label.__index__()])
    return "".join(found)


def parse_subscripts(text: str, ndims: Sequence[int]) -> tuple[list[str], str]:
    """Return a label for each axis of each operand, and the labels of the result.

    An ellipsis gets labels of its own, aligned from the right. Without `->` the result has the axes
    of the ellipsis and then, in alphabetical order, the labels that appear once.

    Raises
    ------
    ValueError
        For what NumPy refuses.
    """
    left, arrow, right = text.partition("->")
    if "-" in left or ">" in left or "-" in right or ">" in right:
        raise ValueError("Subscripts can only contain one '->'.")
    parts = left.split(",")
    for c in left + right:
        if c not in SYMBOLS and c not in ".,":
            raise ValueError(f"Character {c} is not a valid symbol.")
    if len(parts) != len(ndims):
        raise ValueError("Number of einsum subscripts must be equal to the number of operands.")
    named = [part.replace("...", "", 1) for part in parts]
    rest = right.replace("...", "", 1)
    if "." in "".join(named) + rest or "," in rest:
        raise ValueError("Invalid Ellipses.")
    spans = [ndim - len(of) if "..." in part else 0 for part, of, ndim in _zip(parts, named, ndims)]
    for part, of, ndim, span in _zip(parts, named, ndims, spans):
        if len(of) + span != ndim or span < 0:
            raise ShapeError(
                f"einsum: the subscripts {part!r} do not fit an operand of {ndim} axes"
            )
    unused = [c for c in SYMBOLS if c not in text]
    if max(spans) > len(unused):
        raise ValueError("einsum: more axes than there are labels")
    names = "".join(unused[: max(spans)])
    inputs = [part.replace("...", names[len(names) - span :]) for part, span in _zip(parts, spans)]
    if arrow:
        if "..." not in right and names:
            raise ValueError(
                "output has an ellipsis missing: the axes of the operands' ellipsis are not summed"
            )
        output = right.replace("...", names)
    else:
        everything = "".join(named)
        output = names + "".join(c for c in sorted(set(everything)) if everything.count(c) == 1)
    for c in output:
        if output.count(c) != 1:
            raise ValueError(f"Output character {c} appeared more than once in the output.")
        if c not in "".join(inputs):
            raise ValueError(f"Output character {c} did not appear in the input")
    return inputs, output


def _zip(*sequences: Sequence[Any]) -> list[tuple[Any, ...]]:
    return list(zip(*sequences, strict=True))

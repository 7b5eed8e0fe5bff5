"""Branches that the user writes as functions, with JAX's names and meanings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..ir.builder import Builder
from ..ir.closing import Open, close_together
from ..ir.core import Atom, Literal, Value
from ..ir.dims import Dim
from ..ir.errors import ArgumentError, DTypeError, ShapeError, StructureError
from ..ir.op import ELEMENTWISE
from ..ir.ops.cond import BOOL, Cond
from ..ir.ops.control import INDEX
from ..ir.ops.select import Convert
from ..ir.types import Kind
from .array import TracedArray, apply_elementwise, lift
from .functions.shape import cast
from .loops import _carried, _own
from .nested import inline_call, trace_region
from .promotion import PYTHON_TYPES
from .report import expression_here
from .state import Trace, current, locate
from .tree import LEAF, Structure, flatten, paths, unflatten


def cond(
    pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any
) -> Any:
    """Return `true_fun(*operands)` where `pred` holds, `false_fun(*operands)` where it does not.

    Only the chosen function runs. Its operands may be written into; those passed stay as they are.

    Parameters
    ----------
    pred
        A bool or number without axes; a number holds where it is not 0.
    true_fun, false_fun
        Functions that return values of one structure, with the same shapes and dtypes. A Python
        number takes the dtype that the other function returns.
    *operands
        Containers of arrays.

    Raises
    ------
    StructureError, ShapeError, DTypeError
        Where the functions return other structures, shapes or dtypes.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> def root(x):
    ...     return pb.cond(x > 0, np.sqrt, lambda x: 0.0 * x, x)
    >>> pb.grad(root)(4.0), pb.grad(root)(-4.0)
    (0.25, 0.0)
    """
    functions = (true_fun, false_fun)
    trace = current()
    known = _known(pred, trace)
    if known is not None:
        return _run(functions[0 if known else 1], operands, trace)
    assert trace is not None
    predicate = _scalar(pred, trace, "the predicate of cond is a bool or a number without axes")
    if predicate.dtype != BOOL:
        predicate = apply_elementwise(ELEMENTWISE[np.not_equal], (predicate, 0))
    roles = [_named(role, f) for role, f in zip(("true_fun", "false_fun"), functions, strict=True)]
    return _branches(trace, "cond", predicate._atom, roles, functions, operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """Return `branches[index](*operands)`; an index outside of the branches takes the nearest.

    Parameters
    ----------
    index
        An integer without axes.
    branches
        Functions that return values of one structure, with the same shapes and dtypes, as for
        `cond`.
    *operands
        Containers of arrays, which the branch may write into; those passed stay as they are.

    Raises
    ------
    StructureError, ShapeError, DTypeError
        Where the functions return other structures, shapes or dtypes.
    ArgumentError
        Where there is no branch.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> def activated(kind, x):
    ...     return pb.switch(kind, [np.sin, np.cos, np.exp], x)
    >>> pb.grad(activated, argnums=1)(np.int64(0), 0.0)
    1.0
    """
    functions = tuple(branches)
    if not functions:
        raise ArgumentError(f"{expression_here()}: switch needs at least one branch")
    trace = current()
    known = _known(index, trace)
    if known is not None:
        if np.asarray(known).dtype.kind not in "iu":
            raise _no_index(np.asarray(known).dtype)
        return _run(functions[min(max(int(known), 0), len(functions) - 1)], operands, trace)
    assert trace is not None
    chosen = _scalar(index, trace, "the index of switch is an integer without axes")
    if chosen.dtype.kind not in "iu":
        raise _no_index(chosen.dtype)
    if len(functions) == 1:
        return _run(functions[0], operands, trace)
    if chosen.dtype == np.uint64:  # beyond int64 it would be negative
        chosen = apply_elementwise(ELEMENTWISE[np.minimum], (chosen, np.uint64(len(functions))))
    roles = [_named(f"branch {k}", f) for k, f in enumerate(functions)]
    return _branches(trace, "switch", cast(chosen, INDEX)._atom, roles, functions, operands)


def _no_index(dtype: np.dtype) -> DTypeError:
    return DTypeError(f"{expression_here()}: the index of switch is an integer, not {dtype}")


def _known(value: Any, trace: Trace | None) -> Any:
    """Return a predicate or index that is known now, else None."""
    if isinstance(value, np.ndarray) and value.shape:
        raise ShapeError(f"{expression_here()}: expected no axes, found the shape {value.shape}")
    if trace is None:
        return value.item() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(value, Dim | np.ndarray | TracedArray):
        atom, _ = lift(value, trace)
        return atom.value.item() if isinstance(atom, Literal) and atom.is_scalar else None
    return value.item() if isinstance(value, np.generic) else value


def _scalar(value: Any, trace: Trace, what: str) -> TracedArray:
    atom, _ = lift(value, trace)
    if atom.type.shape:
        raise ShapeError(f"{expression_here()}: {what}, not {atom.type}")
    return TracedArray(atom, Kind.SCALAR, trace)


def _run(function: Callable[..., Any], operands: Sequence[Any], trace: Trace | None) -> Any:
    """Call one function, on arrays of its own."""
    if trace is None:
        return function(*[_own(o) for o in operands])
    leaves: list[Any] = []
    structure = flatten(tuple(operands), leaves)
    arrays = [
        TracedArray(*lift(a, trace), trace) if isinstance(a, TracedArray | np.ndarray) else a
        for a in leaves
    ]
    return inline_call(function, unflatten(structure, iter(arrays)), {})


Returned = tuple[Builder, Structure, list[tuple[Atom, Kind]]]


def _branches(
    trace: Trace,
    what: str,
    predicate: Atom,
    names: Sequence[str],
    functions: Sequence[Callable[..., Any]],
    operands: Sequence[Any],
) -> Any:
    """Trace every function and emit the choice among them."""
    leaves: list[Any] = []
    structure = flatten(tuple(operands), leaves)
    inputs = [lift(leaf, trace) for leaf in leaves]
    opened: list[list[Value]] = []
    returned: list[Returned] = []
    for function in functions:
        params = [Value(a.type, a.hint, layout=a.layout) for a, _ in inputs]
        opened.append(params)
        builder, (found, results) = trace_region(
            params, [k for _, k in inputs], partial(_call, function, structure)
        )
        returned.append((builder, found, results))
    _agree(what, names, returned)
    regions = [
        Open(
            getattr(function, "__name__", "branch"),
            params,
            builder.eqns,
            [a for a, _ in results],
            [k for _, k in inputs],
        )
        for function, params, (builder, _, results) in zip(functions, opened, returned, strict=True)
    ]
    closed, captured, dims = close_together(regions)
    trace.builder.provenance = locate(trace)
    made = trace.builder.emit(
        Cond(tuple(closed), dims), [predicate, *[a for a, _ in inputs], *captured]
    )
    _, found, results = returned[0]
    values = [TracedArray(v, k, trace) for v, (_, k) in zip(made, results, strict=True)]
    return unflatten(found, iter(values))


def _call(
    function: Callable[..., Any], structure: Structure, arrays: list[TracedArray]
) -> tuple[Structure, list[tuple[Atom, Kind]]]:
    """Call a branch inside its region; return the structure of its result and its leaves."""
    trace = current()
    assert trace is not None
    output = inline_call(function, unflatten(structure, iter(arrays)), {})
    found, leaves = _carried(output)
    return found, [lift(leaf, trace) for leaf in leaves]


def _named(role: str, function: Callable[..., Any]) -> str:
    """Return what errors call a branch."""
    name = getattr(function, "__name__", "<lambda>")
    return role if name == "<lambda>" else f"{role} `{name}`"


def _agree(what: str, names: Sequence[str], returned: Sequence[Returned]) -> None:
    """Give the results of all branches one type each, in place.

    Raises
    ------
    StructureError, ShapeError, DTypeError
        With what two branches return.
    """
    first = returned[0][1]
    for name, (_, found, _) in zip(names[1:], returned[1:], strict=True):
        if found != first:
            raise StructureError(
                f"{expression_here()}: the branches of {what} must return one structure.\n"
                f"  {names[0]} returns {first}\n  {name} returns {found}"
            )
    labels = [p for p, _ in paths(unflatten(first, iter([LEAF] * len(returned[0][2]))), "result")]
    for k in range(len(returned[0][2])):
        leaves = [results[k] for _, _, results in returned]
        dtype, kind = _settled(leaves)
        for builder, _, results in returned:
            atom, own = results[k]
            if own is Kind.PYTHON and atom.type.dtype != dtype:
                results[k] = (_cast(builder, atom, dtype), kind)
            elif own is Kind.PYTHON:
                results[k] = (atom, kind)
        base, base_kind = returned[0][2][k]
        for name, (_, _, results) in zip(names[1:], returned[1:], strict=True):
            atom, kind = results[k]
            if atom.type == base.type and kind is base_kind:
                continue
            both = (
                f"  {names[0]} returns {_shown(base, base_kind)}\n"
                f"  {name} returns {_shown(atom, kind)}"
            )
            message = f"{expression_here()}: the branches of {what} return other types"
            where = f" as {labels[k]}" if k < len(labels) and first != LEAF else ""
            error = (
                ShapeError
                if atom.type.shape != base.type.shape
                else DTypeError
                if atom.type != base.type
                else StructureError
            )
            raise error(f"{message}{where}.\n{both}")


def _settled(leaves: Sequence[tuple[Atom, Kind]]) -> tuple[np.dtype, Kind]:
    """Return the dtype and kind that Python numbers take beside what other branches return."""
    others = [(a, k) for a, k in leaves if k is not Kind.PYTHON]
    numbers = [a.type.dtype for a, k in leaves if k is Kind.PYTHON]
    if not others:
        return np.result_type(*numbers), Kind.PYTHON
    dtype, kind = others[0][0].type.dtype, others[0][1]
    weak = [PYTHON_TYPES[d.kind](0) if d.kind != "b" else np.bool_(0) for d in numbers]
    return np.result_type(dtype, *weak), kind


def _cast(builder: Builder, atom: Atom, dtype: np.dtype) -> Atom:
    if isinstance(atom, Literal):
        return Literal(np.asarray(atom.value).astype(dtype)[()])
    return builder.one(Convert(dtype), atom)


def _shown(atom: Atom, kind: Kind) -> str:
    text = str(atom.type)
    return f"{text} (a Python number)" if kind is Kind.PYTHON else f"{text} ({kind.value})"


__all__ = ["cond", "switch"]

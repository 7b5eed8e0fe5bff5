"""Loops that the user writes as functions, with JAX's names and meanings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.closing import close, region_dims
from ..ir.core import Atom, Literal, Value
from ..ir.dims import Dim, Size, Symbol, maximum
from ..ir.errors import ArgumentError, ShapeError, StructureError, with_article
from ..ir.ops.control import INDEX, Loop
from ..ir.types import ArrayType, Kind
from .array import TracedArray, lift
from .functions.control import stop_gradient_if
from .functions.shape import cast
from .nested import inline_call, trace_region
from .promotion import PYTHON_TYPES
from .report import expression_here
from .size import TracedSize
from .state import Trace, current, locate, require
from .tree import LEAF, Node, Structure, children_of, flatten, is_leaf, paths, unflatten


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """Run `val = body_fun(i, val)` for i from `lower` to `upper` - 1, as one loop of the program.

    The body may write into `val`; the arrays of `init_val` stay as they are.

    Parameters
    ----------
    lower, upper
        Python ints or integer arrays without axes.
    body_fun
        `body_fun(i, val)`, returning a value of the structure, shapes and dtypes of `val`.
    init_val
        A container of arrays.

    Raises
    ------
    StructureError, ShapeError
        Where the body returns another structure, or other shapes or dtypes, than it takes.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> def power(x, n):
    ...     return pb.fori_loop(0, n, lambda i, value: value * x, 1.0)
    >>> pb.grad(power)(2.0, np.int64(5))
    80.0
    """
    trace = current()
    if trace is None:
        value = _own(init_val)
        for i in range(int(lower), int(upper)):
            value = body_fun(i, value)
        return value
    structure, leaves = _carried(init_val)

    def step(i: TracedArray, carried: list[Any]) -> tuple[list[Any], list[Any], Structure]:
        output = inline_call(body_fun, (i, unflatten(structure, iter(carried))), {})
        after, out = _carried(output)
        _same_structure("the body of fori_loop", structure, after)
        return out, [], structure

    names = [p for p, _ in paths(unflatten(structure, iter(leaves)), "init_val")]
    carried, _, _ = _loop(trace, lower, upper, leaves, names, step, "fori_loop")
    return unflatten(structure, iter(carried))


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    *,
    truncate: int | None = None,
) -> tuple[Any, Any]:
    """Run `carry, y = f(carry, x)` over the rows of `xs`; return the last carry and the stacked ys.

    Parameters
    ----------
    f
        `f(carry, x) -> (carry, y)`; the carry keeps its structure, shapes and dtypes. It may write
        into the carry, whose initial arrays stay as they are, and not into `x`.
    init
        The first carry, a container of arrays.
    xs
        A container of arrays of one leading size; None with `length`.
    length
        The number of steps, where there are no `xs`.
    reverse
        Run from the last row to the first; the ys stay in the order of the xs.
    truncate
        Cut the gradient every so many steps: before steps k, 2k, ... the carry passes through
        `stop_gradient`, so that the gradient is that of truncated backpropagation through time.

    Raises
    ------
    StructureError, ShapeError
        Where the carry changes its structure, shape or dtype, or the leading sizes differ.
    ArgumentError
        Where `truncate` is no positive int.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> def smoothed(rate, xs):
    ...     def step(mean, x):
    ...         mean = mean + rate * (x - mean)
    ...         return mean, mean
    ...     return pb.scan(step, 0.0, xs)
    >>> smoothed(0.5, np.array([1.0, 1.0, 1.0]))
    (np.float64(0.875), array([0.5  , 0.75 , 0.875]))
    >>> pb.grad(lambda rate: smoothed(rate, np.ones(3))[0])(0.5)
    0.75
    """
    if truncate is not None and (type(truncate) is not int or truncate < 1):
        raise ArgumentError(f"scan: truncate={truncate!r} is no positive int")
    rows: list[Any] = []
    rows_structure = flatten(xs, rows)
    sizes = {np.shape(r)[0] if np.ndim(r) else None for r in rows}
    if None in sizes or len(sizes) > 1 or (not sizes and length is None):
        shown = f"the shapes are {', '.join(str(np.shape(r)) for r in rows)}"
        if not rows:
            shown = "there are no arrays, and no length"
        raise ShapeError(f"the xs need one leading size; {shown}.")
    count = sizes.pop() if sizes else length
    if length is not None and count != length:
        raise ShapeError(f"scan: length is {length}, but the leading size of xs is {count}")
    trace = current()
    if trace is None:
        return _plain_scan(f, init, rows, rows_structure, int(count or 0), reverse)
    structure, leaves = _carried(init)
    lifted = [TracedArray(*lift(r, trace), trace) for r in rows]

    def step(i: TracedArray, carried: list[Any]) -> tuple[list[Any], list[Any], Structure]:
        if truncate is not None:
            carried = _truncated(carried, i, count, truncate, reverse)
        x = unflatten(rows_structure, iter([_row_at(r, i) for r in lifted]))
        output = inline_call(f, (unflatten(structure, iter(carried)), x), {})
        after, out = _carried(_pair(output)[0])
        _same_structure("the function of scan", structure, after)
        ys_structure, ys = _carried(output[1])
        return out, ys, ys_structure

    names = [p for p, _ in paths(unflatten(structure, iter(leaves)), "init")]
    carried, ys, ys_structure = _loop(
        trace, 0, count, leaves, names, step, "scan", backward=reverse
    )
    return unflatten(structure, iter(carried)), unflatten(ys_structure, iter(ys))


def _truncated(
    carried: Sequence[Any], i: TracedArray, count: Any, truncate: int, reverse: bool
) -> list[Any]:
    """Return the carry as an iteration sees it where the gradient is cut every so many steps."""
    number: Any = TracedArray(i._atom, Kind.SCALAR, i._trace)
    if reverse:
        number = (count - 1) - number
    stops = (number % truncate == 0) & (number > 0)
    return [stop_gradient_if(leaf, stops) for leaf in carried]


def _row_at(xs: TracedArray, i: TracedArray) -> Any:
    row = xs[i]
    if row.shape:
        row.set_read_only()
    return row


def _pair(output: Any) -> tuple[Any, Any]:
    """Return what the function of a scan returned.

    Raises
    ------
    StructureError
        Where it is no pair.
    """
    if isinstance(output, tuple) and len(output) == 2:
        return output
    what = "one array or number" if is_leaf(output) else with_article(type(output).__name__)
    if isinstance(output, tuple):
        what = f"a tuple of {len(output)}"
    raise StructureError(
        f"{expression_here()}: the function of scan returns a pair (carry, y), and this one "
        f"returns {what}.\n  Write  return carry, y  there, or  return carry, None  without ys."
    )


def _plain_scan(
    f: Any, init: Any, rows: Sequence[Any], structure: Structure, count: int, reverse: bool
) -> tuple[Any, Any]:
    carry, collected = _own(init), []
    order = range(count)
    for k in reversed(order) if reverse else order:
        carry, y = _pair(f(carry, unflatten(structure, iter([_row(r, k) for r in rows]))))
        collected.append(y)
    if not collected:
        raise ShapeError("scan over no rows outside of a traced function has no ys to show")
    collected = collected[::-1] if reverse else collected
    parts: list[list[Any]] = []
    shape: Structure | None = None
    for y in collected:
        shape, leaves = _carried(y)
        parts.append(leaves)
    assert shape is not None
    return carry, unflatten(shape, iter([np.stack(p) for p in zip(*parts, strict=True)]))


def _own(init: Any) -> Any:
    """Return a carry whose arrays the body may write into: the caller keeps the initial one."""
    leaves: list[Any] = []
    structure = flatten(init, leaves)
    return unflatten(
        structure, iter([a.copy() if isinstance(a, np.ndarray) else a for a in leaves])
    )


def _row(xs: Any, k: int) -> Any:
    row = xs[k]
    if isinstance(row, np.ndarray):
        row.flags.writeable = False
    return row


class _Int(int):
    """A Python int that is carried, and so not part of the structure."""

    __pullback_leaf__ = True


def _carried(value: Any) -> tuple[Structure, list[Any]]:
    """Return the structure and leaves of a carried or stacked value; Python ints are leaves."""
    leaves: list[Any] = []

    def visit(part: Any) -> Structure:
        if type(part) is int:
            leaves.append(_Int(part))
            return LEAF
        found = None if is_leaf(part) else children_of(part)
        if found is None:
            return flatten(part, leaves)
        static, children = found
        return Node(type(part), static, tuple([visit(c) for c in children]))

    return visit(value), leaves


def _same_structure(what: str, before: Structure, after: Structure) -> None:
    if before != after:
        raise StructureError(
            f"{expression_here()}: {what} must return the structure that it takes.\n"
            f"  it takes   {before}\n  it returns {after}"
        )


Step = Callable[[TracedArray, list[Any]], tuple[list[Any], list[Any], Structure]]


def _loop(
    trace: Trace,
    lower: Any,
    upper: Any,
    leaves: Sequence[Any],
    names: Sequence[str],
    step: Step,
    name: str,
    *,
    backward: bool = False,
) -> tuple[list[Any], list[Any], Structure]:
    """Trace a loop body and emit the loop; the carries take the types that the body returns."""
    inits = [lift(leaf, trace) for leaf in leaves]
    bounds = [_bound(lower, trace), _bound(upper, trace)]
    symbol = _index(lower, upper)
    tries = 4
    while True:
        params = [Value(ArrayType(INDEX, ()), "i")]
        params += [Value(a.type, a.hint, layout=None) for a, _ in inits]
        kinds = [Kind.PYTHON, *[k for _, k in inits]]
        builder, (results, outputs, ys_structure) = trace_region(
            params, kinds, lambda arrays: _body(step, symbol, arrays)
        )
        settled = [_settled(i, r, trace) for i, r in zip(inits, results, strict=True)]
        is_settled = all(a is b for (a, _), (b, _) in zip(settled, inits, strict=True))
        inits = settled
        tries -= 1
        if is_settled or not tries:
            break
    _check_carries(name, names, inits, [a for a, _ in results])
    kinds = [Kind.SCALAR, *[k for _, k in inits]]
    closed, captured = close(
        f"{name}_body",
        params,
        builder.eqns,
        [*[a for a, _ in results], *outputs],
        dims=(symbol,),
        param_kinds=kinds,
    )
    static = all(isinstance(b, Literal) for b in bounds)
    trips: Any = (
        max(0, int(bounds[1].value) - int(bounds[0].value)) if static else _trips(lower, upper)  # type: ignore[union-attr]
    )
    op = Loop(closed, len(inits), trips, backward=backward, dims=region_dims(closed))
    trace.builder.provenance = locate(trace)
    made = trace.builder.emit(
        op, [*bounds, Literal(np.int64(1)), *[a for a, _ in inits], *captured]
    )
    carried = [TracedArray(v, k, trace) for v, (_, k) in zip(made, inits, strict=False)]
    stacked = [TracedArray(v, Kind.ARRAY, trace) for v in made[len(inits) :]]
    return carried, stacked, ys_structure


def _body(
    step: Step, symbol: Symbol, arrays: list[TracedArray]
) -> tuple[list[tuple[Atom, Kind]], list[Atom], Structure]:
    """Run a body inside its region; return its carries, its outputs and their structure."""
    trace = require("a loop")
    index = TracedSize(Dim.of(symbol), arrays[0]._atom, trace)
    out, ys, ys_structure = step(index, arrays[1:])
    after = [lift(o, trace) for o in out]
    return after, [lift(y, trace)[0] for y in ys], ys_structure


def _index(lower: Any, upper: Any) -> Symbol:
    """Return the symbol of a loop's index, with the limits that its range gives it."""
    low, high = _known(lower), _known(upper)
    return Symbol.between("i", low, None if high is None else high - 1)


def _trips(lower: Any, upper: Any) -> Size | Symbol:
    """Return how often a loop runs: a size that is known by name, or a new one."""
    low, high = _known(lower), _known(upper)
    return Symbol("n") if low is None or high is None else maximum(high - low, 0)


def _known(bound: Any) -> Size | None:
    """Return a bound of a range as a size, None for one that only the run knows."""
    size = bound.dim if isinstance(bound, TracedSize) else bound
    if isinstance(size, Dim):
        return size
    return int(size) if isinstance(size, int | np.integer) else None


def _bound(value: Any, trace: Trace) -> Atom:
    if isinstance(value, int):
        return Literal(np.int64(value))
    atom, _ = lift(value, trace)
    if atom.type.dtype.kind not in "iu" or atom.type.shape:
        raise StructureError(
            f"{expression_here()}: a bound of a loop is an integer, not {atom.type}"
        )
    bound: TracedArray = cast(TracedArray(atom, Kind.SCALAR, trace), INDEX)
    return bound._atom


def _settled(init: tuple[Atom, Kind], after: tuple[Atom, Kind], trace: Trace) -> tuple[Atom, Kind]:
    """Return an initial carry in the type that an iteration gives it, where it may take it.

    A Python number takes the dtype that it has after an iteration, as it would in plain NumPy; a
    constant array is widened. Anything else keeps its type.
    """
    atom, kind = init
    found = after[0].type.dtype
    dtype = atom.type.dtype
    if kind is Kind.PYTHON and after[1] is not Kind.PYTHON:
        number = PYTHON_TYPES[dtype.kind](0)
        dtype, kind = np.result_type(found, number), Kind.SCALAR
    elif kind is Kind.PYTHON or isinstance(atom, Literal):
        dtype = np.result_type(dtype, found)
    if dtype == atom.type.dtype:
        return atom, kind
    made: TracedArray = cast(TracedArray(atom, kind, trace), dtype)
    return made._atom, kind


def _check_carries(
    name: str, names: Sequence[str], inits: Sequence[tuple[Atom, Kind]], after: Sequence[Atom]
) -> None:
    for label, (init, _), result in zip(names, inits, after, strict=True):
        if init.type != result.type:
            raise ShapeError(
                f"{expression_here()}: the body of {name} changes the type of a carried value.\n"
                f"  {label} : {init.type} before, {result.type} after an iteration\n"
                "  Give the initial value the shape and dtype that the body returns."
            )


__all__ = ["fori_loop", "scan"]

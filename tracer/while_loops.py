"""Loops until a condition fails, and maps over rows, written as functions with JAX's names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..ir.builder import Builder
from ..ir.closing import Open, close_together
from ..ir.core import Atom, Value
from ..ir.dims import Symbol
from ..ir.errors import ShapeError, StructureError
from ..ir.op import ELEMENTWISE
from ..ir.ops.cond import BOOL
from ..ir.ops.control import Loop
from ..ir.types import Kind
from .array import TracedArray, apply_elementwise, lift
from .loops import _carried, _check_carries, _own, _same_structure, _settled, scan
from .nested import inline_call, trace_region
from .report import expression_here
from .state import Trace, current, locate, require
from .tree import Structure, paths, unflatten

Carries = list[tuple[Atom, Kind]]


def while_loop(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any
) -> Any:
    """Run `val = body_fun(val)` for as long as `cond_fun(val)` holds, as one loop of the program.

    The body may write into `val`; the arrays of `init_val` stay as they are. The gradient runs the
    loop backward as often as the forward run did.

    Parameters
    ----------
    cond_fun
        `cond_fun(val)`, returning a bool or number without axes; a number holds where it is not 0.
    body_fun
        `body_fun(val)`, returning a value of the structure, shapes and dtypes of `val`.
    init_val
        A container of arrays.

    Raises
    ------
    StructureError, ShapeError
        Where the body returns another structure, or other shapes or dtypes, than it takes, or the
        condition has axes.

    Examples
    --------
    >>> import pullback as pb
    >>> def halved(x):
    ...     return pb.while_loop(lambda x: x > 1.0, lambda x: x / 2, x)
    >>> pb.value_and_grad(halved)(6.0)
    (0.75, 0.125)
    """
    trace = current()
    if trace is None:
        value = _own(init_val)
        while cond_fun(value):
            value = body_fun(value)
        return value
    structure, leaves = _carried(init_val)
    if not leaves:
        raise StructureError(f"{expression_here()}: while_loop needs a value that changes")
    inits = [lift(leaf, trace) for leaf in leaves]
    tries = 4
    while True:
        params, builder, results = _region(inits, partial(_body, body_fun, structure))
        settled = [_settled(i, r, trace) for i, r in zip(inits, results, strict=True)]
        is_settled = all(a is b for (a, _), (b, _) in zip(settled, inits, strict=True))
        inits = settled
        tries -= 1
        if is_settled or not tries:
            break
    names = [p for p, _ in paths(unflatten(structure, iter(leaves)), "init_val")]
    _check_carries("while_loop", names, inits, [a for a, _ in results])
    seen, test, held = _region(inits, partial(_test, cond_fun, structure))
    kinds = [k for _, k in inits]
    (body, ends), captured, dims = close_together(
        [
            Open("while_loop_body", params, builder.eqns, [a for a, _ in results], kinds),
            Open("while_loop_test", seen, test.eqns, [a for a, _ in held], kinds),
        ]
    )
    op = Loop(body, len(inits), Symbol("n"), ranged=False, test=ends, dims=dims)
    trace.builder.provenance = locate(trace)
    made = trace.builder.emit(op, [*[a for a, _ in inits], *captured])
    carried = [TracedArray(v, k, trace) for v, k in zip(made, kinds, strict=True)]
    return unflatten(structure, iter(carried))


def _region(
    inits: Carries, call: Callable[[list[TracedArray]], Carries]
) -> tuple[list[Value], Builder, Carries]:
    """Trace the body or the condition on parameters of the carries' types."""
    params = [Value(a.type, a.hint, layout=None) for a, _ in inits]
    builder, results = trace_region(params, [k for _, k in inits], call)
    return params, builder, results


def _body(
    body_fun: Callable[[Any], Any], structure: Structure, arrays: list[TracedArray]
) -> Carries:
    trace = require("while_loop")
    after, out = _carried(inline_call(body_fun, (unflatten(structure, iter(arrays)),), {}))
    _same_structure("the body of while_loop", structure, after)
    return [lift(leaf, trace) for leaf in out]


def _test(
    cond_fun: Callable[[Any], Any], structure: Structure, arrays: list[TracedArray]
) -> Carries:
    trace: Trace = require("while_loop")
    found = inline_call(cond_fun, (unflatten(structure, iter(arrays)),), {})
    atom, kind = lift(found, trace)
    if atom.type.shape:
        raise ShapeError(
            f"{expression_here()}: the condition of while_loop is a bool or a number without axes, "
            f"not {atom.type}"
        )
    if atom.type.dtype != BOOL:
        held = apply_elementwise(
            ELEMENTWISE[np.not_equal], (TracedArray(atom, Kind.SCALAR, trace), 0)
        )
        return [lift(held, trace)]
    return [(atom, kind)]


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """Return `f(x)` for each row `x` of `xs`, stacked, as one loop of the program.

    Parameters
    ----------
    f
        A function of a row, returning a container of arrays; it may not write into the row.
    xs
        A container of arrays of one leading size.

    Raises
    ------
    ShapeError
        Where the leading sizes differ.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> pb.map(lambda row: np.sum(row**2), np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([ 5., 25.])
    """

    def step(carry: int, x: Any) -> tuple[int, Any]:
        return carry, f(x)

    return scan(step, 0, xs)[1]


__all__ = ["map", "while_loop"]

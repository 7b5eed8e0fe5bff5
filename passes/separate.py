"""Copies of results that NumPy makes anew, where a rewrite gave several of them another's memory.

Equal expressions are one value, and `x * 1.0` is `x`: the program then returns one array where
NumPy returns two. A single result is copied as it leaves. Where several share memory among
themselves, such as an array and a view of it, they must go on sharing the copy, which this pass
makes.

Before, where `y` and `z` are `np.tanh(x)` twice, and `z[1:]` is returned beside `z`::

    def f(x: f64[10]) -> (f64[10], f64[10], f64[9]):
        y  : f64[10] = tanh(x)
        t1 : f64[9]  = y[1:]
        return y, y, t1

After::

    def f(x: f64[10]) -> (f64[10], f64[10], f64[9]):
        y  : f64[10] = tanh(x)
        t1 : f64[9]  = y[1:]
        t2 : f64[10] = copy(y)
        t3 : f64[9]  = t2[1:]
        return y, t2, t3
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ..ir.core import Atom, Eqn, Function, Provenance, Value
from ..ir.ops.effects import WriteBack
from ..ir.ops.shape import Copy, Reshape, reshapes_in_place
from ..ir.plan import Fresh
from .protect import shares_memory


def separate(function: Function, fresh: Mapping[int, Fresh]) -> Function:
    """Return the function with memory of its own for each owner of several results.

    `fresh` says by position which results NumPy makes anew, and which of them are views of one
    array.
    """
    shared = {o for o, n in Counter(f.owner for f in fresh.values()).items() if n > 1}
    if not shared:
        return function
    producers = {e.results[0]: e for e in function.eqns if shares_memory(e)}
    # The last content of an argument may be computed in the argument's memory.
    contents = [e.operands[1] for e in function.eqns if isinstance(e.op, WriteBack)]
    callers = [v for v in (*function.params, *contents) if isinstance(v, Value)]
    claimed: dict[Value, int | None] = dict.fromkeys(callers)
    results = list(function.results)
    copies: dict[tuple[int, Value], Value] = {}
    made: list[Eqn] = []
    for k, result in enumerate(function.results):
        if not isinstance(result, Value) or not result.type.shape:
            continue
        root, steps = _path(result, producers)
        owner = fresh[k].owner if k in fresh else None
        if claimed.setdefault(root, owner) == owner or owner is None or owner not in shared:
            continue
        key = owner, root
        if (owner, result) in copies:
            results[k] = copies[owner, result]
            continue
        if key not in copies:
            layouts = Copy().layouts([root.type], [root.layout])
            copies[key] = Value(root.type, None, None, layouts[0] if layouts else None)
            made.append(Eqn(Copy(), (root,), (copies[key],), Provenance()))
        results[k] = copies[owner, result] = _again(copies[key], steps, made)
    if not made:
        return function
    eqns = list(function.eqns)
    place = next((n for n, e in enumerate(eqns) if isinstance(e.op, WriteBack)), len(eqns))
    eqns[place:place] = made
    return function.replace(eqns=eqns, results=results, result_kinds=function.result_kinds)


def _path(value: Value, producers: Mapping[Value, Eqn]) -> tuple[Value, list[Eqn]]:
    """Return the value in whose memory another lies, and the views that lead to that."""
    steps: list[Eqn] = []
    while value in producers and isinstance(producers[value].operands[0], Value):
        if _copies(producers[value]):
            break
        steps.append(producers[value])
        value = steps[-1].operands[0]  # type: ignore[assignment]
    return value, steps[::-1]


def _copies(eqn: Eqn) -> bool:
    """Whether a view takes a copy after all."""
    op, whole = eqn.op, eqn.operands[0]
    return isinstance(op, Reshape) and not reshapes_in_place(op, whole.type, whole.layout)


def _again(value: Value, steps: list[Eqn], made: list[Eqn]) -> Value:
    """Take views of another value."""
    for step in steps:
        operands: tuple[Atom, ...] = (value, *step.operands[1:])
        layouts = step.op.layouts([a.type for a in operands], [a.layout for a in operands])
        old = step.results[0]
        value = Value(old.type, None, None, layouts[0] if layouts else None)
        made.append(Eqn(step.op, operands, (value,), step.provenance))
    return value


__all__ = ["separate"]

"""What may be written in place in the memory of an argument, or over what it reads itself.

`donate` gives results the memory of arguments that the caller does not need any more: such a result
is written back into the argument, as if the user's function had written there. `in_place` finds
what can be computed there at once.

Before, where `x` is donated::

    def f(x: f64[1000], g: f64[1000]) -> f64[1000]:
        t1 : f64[1000] = 0.1 * g
        t2 : f64[1000] = x - t1
        return t2

After::

    def f(x: f64[1000], g: f64[1000]) -> f64[1000]:
        t1 : f64[1000] = 0.1 * g
        t2 : f64[1000] = x - t1
        t3 : f64[1000] = write_back(x, t2)
        return t3
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..ir.core import Atom, Eqn, Function, Provenance, Value
from ..ir.op import Effect
from ..ir.ops.control import Fused
from ..ir.ops.effects import WriteBack
from ..ir.ops.index import AT, Index, IndexAdd, IndexUpdate, Item, Span
from ..ir.plan import Fresh
from ..ir.types import Kind, c_strides


def donate(
    function: Function, positions: Collection[int], fresh: Sequence[Fresh | None], outputs: int
) -> tuple[Function, dict[int, int]]:
    """Return the function that gives results in donated memory.

    Parameters
    ----------
    positions
        The parameters that are donated.
    fresh
        For each result what is known where NumPy makes it anew; no other one is considered.
    outputs
        How many results the function returns; those behind are stored outside.

    Returns
    -------
    function, dict
        The dict has for each result that is given in an argument's memory the parameter's position.
    """
    free = _free_params(function, positions)
    takers = [k for k in _takers(function, fresh) if k < outputs]
    makers: dict[Atom, Eqn] = {r: e for e in function.eqns for r in e.results}
    pairs: dict[int, Value] = {}
    for only_near in (True, False):  # what is computed from the argument entry by entry is first
        for k in [k for k in takers if k not in pairs]:
            result = function.results[k]
            near = _near(result, makers) if only_near else free
            found = next((p for p in free if p in near and p.type == result.type), None)
            if found is not None:
                pairs[k] = found
                del free[found]
    if not pairs:
        return function, {}
    eqns, results = list(function.eqns), list(function.results)
    for k, param in pairs.items():
        old = results[k]
        new = Value(old.type, param.hint)
        provenance = makers[old].provenance if old in makers else Provenance()
        eqns.append(Eqn(WriteBack(), (param, old), (new,), provenance))
        results[k] = new
    numbers = {p: n for n, p in enumerate(function.params)}
    made = function.replace(eqns=eqns, results=results, result_kinds=function.result_kinds)
    return made, {k: numbers[p] for k, p in pairs.items()}


def _free_params(function: Function, positions: Collection[int]) -> dict[Value, None]:
    """Return the donated arrays in C order that no result is or views, and nothing writes into."""
    bases: dict[Atom, Atom] = {e.results[0]: e.operands[0] for e in function.eqns if e.op.is_view}
    taken: set[Atom] = {e.operands[0] for e in function.eqns if isinstance(e.op, WriteBack)}
    for atom in function.results:
        while atom in bases:
            atom = bases[atom]
        taken.add(atom)
    return {
        p: None
        for k, (p, kind) in enumerate(zip(function.params, function.param_kinds, strict=True))
        if k in positions and kind is Kind.ARRAY and _is_plain(p) and p not in taken
    }


def _takers(function: Function, fresh: Sequence[Fresh | None]) -> list[int]:
    """Return the results that are arrays of their own: each one only once."""
    owners = [f.owner for f in fresh if f is not None]
    found: dict[Atom, int] = {}
    for k, (result, kind) in enumerate(zip(function.results, function.result_kinds, strict=True)):
        known = fresh[k]
        if known is None or known.spread or owners.count(known.owner) > 1:
            continue
        if kind is Kind.ARRAY and isinstance(result, Value) and _is_plain(result):
            found.setdefault(result, k)
    return list(found.values())


def _is_plain(value: Value) -> bool:
    type = value.type
    return bool(type.shape) and type.is_static and 0 not in type.shape and value.layout is None


def _near(result: Atom, makers: Mapping[Atom, Eqn]) -> set[Atom]:
    """Return what a result is made of by operations that can write over their operand."""
    seen: set[Atom] = set()
    left = [result]
    while left:
        atom = left.pop()
        if atom in seen or atom.type != result.type:
            continue
        seen.add(atom)
        if atom in makers:
            left += _written_over(makers[atom])
    return seen


def _written_over(eqn: Eqn) -> list[Value]:
    """Return the operands whose memory an equation can write its results into."""
    op = eqn.op
    return [
        a
        for k, a in enumerate(eqn.operands)
        if isinstance(a, Value) and (op.is_elementwise or k == op.updates)
    ]


def in_place(function: Function, ends: Mapping[Value, int]) -> dict[Value, set[Value]]:
    """Return the values that may be computed in the memory of arguments, with these arguments.

    They lie between an argument and the content that is written back into it, are not read after
    that, and from the first of them on nothing can raise: a call that fails leaves its arguments as
    they were. `ends` says by number where each value is read for the last time.
    """
    backs: dict[Atom, set[Value]] = {
        e.operands[1]: {e.operands[0]}
        for e in function.eqns
        if isinstance(e.op, WriteBack) and isinstance(e.operands[0], Value)
    }
    if not backs:
        return {}
    contents = frozenset(backs)
    first = next(k for k, e in enumerate(function.eqns) if isinstance(e.op, WriteBack))
    found: dict[Value, set[Value]] = {}
    for eqn in reversed(function.eqns):
        if _may_raise(eqn):
            break
        for result in eqn.results:
            params = backs.get(result)
            if params is None or eqn.op.is_view:
                continue
            if result not in contents and ends.get(result, -1) >= first:
                continue
            if isinstance(eqn.op, Fused):
                # Over what the region itself reads: see `memory_tiles.py`.
                found[result] = params
                continue
            for operand in _written_over(eqn):
                if operand.type == result.type:
                    found[result] = params
                    if operand not in contents:  # which has a place of its own
                        backs.setdefault(operand, set()).update(params)
    return found


def _may_raise(eqn: Eqn) -> bool:
    if isinstance(eqn.op, WriteBack):
        return False
    if isinstance(eqn.op, Index | IndexUpdate | IndexAdd) and AT in eqn.op.index:
        return True
    return eqn.op.effect is not Effect.PURE


def assigns_safely(eqn: Eqn) -> bool:
    """Whether NumPy's assignment looks after a value that overlaps with what it is assigned to.

    It does not where one axis is read and written in different steps of the same direction:
    `x[::2] = x[:3]` reads what it has written before.
    """
    if not isinstance(eqn.op, IndexUpdate):
        return False
    target, value = eqn.operands[:2]
    lead = target.type.ndim - eqn.op.axes
    items: list[Item] = [Span(0, d, 1) for d in target.type.shape[:lead]]
    items += [i for i in eqn.op.index if i is not None]
    kept = [(k, i) for k, i in enumerate(items) if isinstance(i, Span)]
    is_gather = AT in items and any(a.type.shape for a in eqn.operands[2:])
    if len(kept) != 1 or is_gather or not value.type.shape:
        return True
    ((axis, span),) = kept
    strides, read = [
        a.layout or c_strides(a.type.dtype.itemsize, a.type.typical.shape) for a in (target, value)
    ]
    written = strides[axis] * span.step
    return written == read[-1] or written * read[-1] < 0

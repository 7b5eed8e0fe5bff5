"""Arrays that a loop writes in place, and how the reversed loop gets their older versions back.

The versions of a carried array form a chain: the parameter, then a version for each
`index_update`, `index_add`, copy or reshape, or for a loop or branch inside that changes it, up to
the result. The reversed loop starts from the last version and walks down: where
`p1 = index_update(p0, v, i)` stands, it has `p1` and makes `p0 = index_update(p1, saved, i)`, where
the forward loop has saved `p0[i]`. A loop or branch inside is undone by its own adjoint, which
returns the version from before it.

What is restored is an ordinary value, which equals the older version, entry for entry. So the
reversed loop can be differentiated again as it stands: an update moves values, and its derivative
is exact. (Stacks and tapes hold the saved parts; they are values too.)

Where no write that runs before a read in the reversed loop touches what is read, the last version
serves as it is (`settled`): nothing is saved and nothing put back. A Cholesky factorisation writes
each entry of its result once, so that its reversed loop reads the result itself.

Before, in a reversed loop whose reads of `r` are settled::

    def adjoint(i: i64, dx: f64, r: f64[9], xs: f64[9], *, dims=(i,)) -> (f64, f64[9]):
        x  : f64    = xs[i]
        y  : f64    = r[i]
        da : f64    = dx * y
        r2 : f64[9] = index_update(r, x, i, index=(AT,))
        return da, r2

After::

    def adjoint(i: i64, dx: f64, xs: f64[9], r: f64[9], *, dims=(i,)) -> f64:
        x  : f64 = xs[i]
        y  : f64 = r[i]
        da : f64 = dx * y
        return da
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

from ..ir.core import Atom, Eqn, Function, Value
from ..ir.ops.cond import Cond
from ..ir.ops.control import Loop
from ..ir.ops.index import IndexAdd, IndexUpdate
from ..ir.ops.shape import Copy, Reshape
from .footprints import Tracker, is_untouched
from .recompute import is_in_checkpoint


@dataclass
class Chain:
    """The versions of one array, the parameter first, and the equations between them."""

    versions: list[Value]
    links: list[Eqn]


def chain_of(start: Value, end: Atom, producers: Mapping[Value, Eqn]) -> Chain | None:
    """Return the chain from a parameter to a result, None where there is none."""
    versions: list[Value] = []
    links: list[Eqn] = []
    value: Atom | None = end
    while isinstance(value, Value) and value.type.shape:
        versions.append(value)
        if value is start:
            return Chain(versions[::-1], links[::-1]) if links else None
        eqn = producers.get(value)
        if eqn is None:
            return None
        value = older_of(eqn, value)
        links.append(eqn)
    return None


def older_of(eqn: Eqn, value: Value) -> Atom | None:
    """Return the operand of which a result is the next version, None where it is of none."""
    op = eqn.op
    if isinstance(op, IndexUpdate | IndexAdd | Copy | Reshape):
        return eqn.operands[0]
    if runs_again(eqn):  # it starts from the older version
        return None
    number = eqn.results.index(value)
    if isinstance(op, Loop) and number < op.carries:
        return eqn.operands[op.head + number]
    if isinstance(op, Cond):
        found = {origin_of(branch, branch.results[number]) for branch in op.branches}
        only = found.pop()
        if only is not None and not found:
            return eqn.operands[1 + only]
    return None


def origin_of(branch: Function, result: Atom) -> int | None:
    """Return the parameter of which a result is the last version, or which it is."""
    producers = {r: e for e in branch.eqns for r in e.results}
    value: Atom | None = result
    while isinstance(value, Value) and value.type.shape:
        if value in branch.params:
            return branch.params.index(value)
        eqn = producers.get(value)
        value = None if eqn is None else older_of(eqn, value)
    return None


def runs_again(eqn: Eqn) -> bool:
    """Whether an equation is a loop that the reversed loop around it runs again."""
    if not isinstance(eqn.op, Loop):
        return False
    return eqn.op.recompute or is_in_checkpoint(eqn)


def nested_links(region: Function, arrays: Mapping[int, tuple[Value, Atom]]) -> set[Eqn]:
    """Return the loops and branches in a region that are links of a chain of one of its arrays."""
    producers = {r: e for e in region.eqns for r in e.results}
    chains = [chain_of(param, after, producers) for param, after in arrays.values()]
    return {e for c in chains if c is not None for e in c.links if e.op.regions}


# ---- reading the last version --------------------------------------------------------------------


def settle(
    eqns: list[Eqn], restored: Mapping[Value, Value], open: Container[Value]
) -> tuple[list[Eqn], dict[Value, Atom]]:
    """Return equations in which reversed loops do not put back what nobody reads after it.

    `restored` are the results of reversed loops that are older versions, none of which is read
    but those in `open`.

    Returns
    -------
    eqns, scope
        The equations, and what stands for results that are gone.
    """
    wanted = {v for v in restored.values() if v not in open}
    scope: dict[Value, Atom] = {}
    if not wanted:
        return eqns, scope
    made: list[Eqn] = []
    for eqn in eqns:
        eqn = _mapped(eqn, scope)
        for result in [r for r in eqn.results if r in wanted]:
            if _reads_last(eqn, result):
                older = older_of(eqn, result)
                assert older is not None
                scope[result] = older
                eqn = _without(eqn, result)
        made.append(eqn)
    return made, scope


def _mapped(eqn: Eqn, scope: Mapping[Value, Atom]) -> Eqn:
    operands = tuple([scope.get(a, a) if isinstance(a, Value) else a for a in eqn.operands])
    return eqn if operands == eqn.operands else Eqn(eqn.op, operands, eqn.results, eqn.provenance)


def _reads_last(eqn: Eqn, result: Value) -> bool:
    """Whether all that a reversed loop or branch reads of an array is in what it starts from."""
    start = older_of(eqn, result)
    if not isinstance(start, Value):
        return False
    tracker = Tracker()
    versions = tracker.body([eqn], start, (), (), {})
    if tracker.is_lost or any(r in versions for r in eqn.results if r is not result):
        return False
    writes = [a for a in tracker.accesses if a.writes]
    return all(is_untouched(a, writes, before=True) for a in tracker.accesses if not a.writes)


def _without(eqn: Eqn, result: Value) -> Eqn:
    """Return a loop or branch that reads an array, and does not write into it."""
    op, number = eqn.op, eqn.results.index(result)
    results = tuple([r for r in eqn.results if r is not result])
    if isinstance(op, Cond):
        branches = []
        for branch in op.branches:
            origin = origin_of(branch, branch.results[number])
            assert origin is not None
            eqns = _unwritten(branch, branch.params[origin], branch.results[number])
            branches.append(branch.replace(eqns=eqns, results=_cut(branch.results, number)))
        return Eqn(op.with_regions(branches), eqn.operands, results, eqn.provenance)
    assert isinstance(op, Loop)
    head = 1 if op.ranged else 0
    param = op.body.params[head + number]
    body = op.body.replace(
        params=[*[p for p in op.body.params if p is not param], param],
        eqns=_unwritten(op.body, param, op.body.results[number]),
        results=_cut(op.body.results, number),
    )
    return Eqn(
        replace(op, body=body, carries=op.carries - 1),
        (*_cut(eqn.operands, op.head + number), eqn.operands[op.head + number]),
        results,
        eqn.provenance,
    )


def _cut(values: Sequence[Atom], number: int) -> list[Atom]:
    return [v for k, v in enumerate(values) if k != number]


def _unwritten(region: Function, param: Value, end: Atom) -> list[Eqn]:
    """Return the equations of a region without the writes into a parameter."""
    chain = chain_of(param, end, {r: e for e in region.eqns for r in e.results})
    after = {} if chain is None else dict(zip(chain.links, chain.versions[1:], strict=True))
    scope: dict[Value, Atom] = {}
    made: list[Eqn] = []
    for original in region.eqns:
        eqn = _mapped(original, scope)
        if original in after:
            scope[after[original]] = param
            if not original.op.regions:
                continue
            eqn = _without(eqn, after[original])
        made.append(eqn)
    return made


__all__ = ["Chain", "chain_of", "nested_links", "older_of", "runs_again", "settle"]

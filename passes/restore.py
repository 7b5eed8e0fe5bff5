"""Arrays that a loop writes in place, and how the reversed loop gets their older versions back.

The versions of a carried array form a chain: the parameter, then a version for each
`index_update` or `index_add`, or for a loop inside that carries it, up to the result. The reversed
loop starts from the last version and walks down: where `p1 = index_update(p0, v, i)` stands, it
has `p1` and makes `p0 = index_update(p1, saved, i)`, where the forward loop has saved `p0[i]`. A
loop inside is undone by its own reversed loop, which returns the version from before it.

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

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

from ..ir.core import Atom, Eqn, Value
from ..ir.ops.control import Loop
from ..ir.ops.index import IndexAdd, IndexUpdate
from .footprints import Tracker, inside, is_untouched, level_of


@dataclass
class Chain:
    """The versions of one carried array, the parameter first, and the equations between them."""

    carry: int
    versions: list[Value]
    links: list[Eqn]


def chain_of(carry: int, start: Value, end: Atom, producers: Mapping[Value, Eqn]) -> Chain | None:
    """Return the chain from a carry's parameter to its result, None where there is none."""
    versions: list[Value] = []
    links: list[Eqn] = []
    value = end
    while isinstance(value, Value) and value.type.shape:
        versions.append(value)
        if value is start:
            return Chain(carry, versions[::-1], links[::-1]) if links else None
        eqn = producers.get(value)
        if eqn is None:
            return None
        if isinstance(eqn.op, IndexUpdate | IndexAdd):
            value = eqn.operands[0]
        elif (
            isinstance(eqn.op, Loop)
            and not eqn.op.recompute  # it runs again, and starts from the older version
            and value in eqn.results[: eqn.op.carries]
        ):
            value = eqn.operands[eqn.op.head + eqn.results.index(value)]
        else:
            return None
        links.append(eqn)
    return None


def runs_again(eqn: Eqn) -> bool:
    """Whether an equation is a loop that the reversed loop around it runs again."""
    return isinstance(eqn.op, Loop) and eqn.op.recompute


def nested_links(op: Loop) -> set[Eqn]:
    """Return the loops in a body that are links of a chain of an array that it carries."""
    head = 1 if op.ranged else 0
    producers = {r: e for e in op.body.eqns for r in e.results}
    found: set[Eqn] = set()
    for k in range(op.carries):
        chain = chain_of(k, op.body.params[head + k], op.body.results[k], producers)
        if chain is not None:
            found |= {e for e in chain.links if isinstance(e.op, Loop)}
    return found


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
            k = eqn.results.index(result)
            if _reads_last(eqn, k):
                scope[result] = eqn.operands[_loop(eqn).head + k]
                eqn = _without(eqn, k)
        made.append(eqn)
    return made, scope


def _loop(eqn: Eqn) -> Loop:
    assert isinstance(eqn.op, Loop)
    return eqn.op


def _mapped(eqn: Eqn, scope: Mapping[Value, Atom]) -> Eqn:
    operands = tuple([scope.get(a, a) if isinstance(a, Value) else a for a in eqn.operands])
    return eqn if operands == eqn.operands else Eqn(eqn.op, operands, eqn.results, eqn.provenance)


def _reads_last(eqn: Eqn, k: int) -> bool:
    """Whether all that a reversed loop reads of carry `k` is in its initial value."""
    op = _loop(eqn)
    start = op.body.params[(1 if op.ranged else 0) + k]
    tracker = Tracker()
    level = level_of(eqn, op)
    known = inside(op, eqn.operands[op.head :], level.symbol, {})
    versions = tracker.body(op.body.eqns, start, (level,), (), known)
    results = [r for n, r in enumerate(op.body.results) if n != k]
    if tracker.is_lost or any(r in versions for r in results):
        return False
    writes = [a for a in tracker.accesses if a.writes]
    return all(is_untouched(a, writes, before=True) for a in tracker.accesses if not a.writes)


def _without(eqn: Eqn, k: int) -> Eqn:
    """Return a loop that captures what it carried at `k`, and does not write into it."""
    op = _loop(eqn)
    head = 1 if op.ranged else 0
    param = op.body.params[head + k]
    chain = chain_of(k, param, op.body.results[k], {r: e for e in op.body.eqns for r in e.results})
    assert chain is not None
    after = dict(zip(chain.links, chain.versions[1:], strict=True))
    scope: dict[Value, Atom] = {}
    made: list[Eqn] = []
    for original in op.body.eqns:
        inner = _mapped(original, scope)
        if original in after:
            scope[after[original]] = param
            if not isinstance(original.op, Loop):
                continue
            inner = _without(inner, original.results.index(after[original]))
        made.append(inner)
    params = [p for p in op.body.params if p is not param]
    body = op.body.replace(
        params=[*params, param],
        eqns=made,
        results=[r for n, r in enumerate(op.body.results) if n != k],
    )
    operands = [a for n, a in enumerate(eqn.operands) if n != op.head + k]
    return Eqn(
        replace(op, body=body, carries=op.carries - 1),
        (*operands, eqn.operands[op.head + k]),
        tuple([r for n, r in enumerate(eqn.results) if n != k]),
        eqn.provenance,
    )


__all__ = ["Chain", "chain_of", "nested_links", "runs_again", "settle"]

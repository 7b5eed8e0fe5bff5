"""Dead code elimination: what no result needs is dropped, in loops and branches too.

An equation is live if a result of it is read, a dim that it binds is mentioned, or it has an
ordered effect. With `keep_raising` an
equation that may raise stays, as exact mode wants. Of a loop, stacked outputs that nobody reads,
carries that only feed themselves, and captured values that the regions do not read are removed;
of branches, the results that nobody reads and the operands that no branch reads.

Before::

    def f(x: f64[3]) -> f64:
        y : f64[3] = tanh(x)
        z : f64[3] = exp(x)
        s : f64    = sum(y, axes=(-1,))
        return s

After::

    def f(x: f64[3]) -> f64:
        y : f64[3] = tanh(x)
        s : f64    = sum(y, axes=(-1,))
        return s
"""

from __future__ import annotations

import operator
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from ..ir.binding import has_bindings, mentioned, symbols_of
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.op import Effect, Op
from ..ir.ops.cond import Cond
from ..ir.ops.control import Fused, Loop
from ..ir.ops.recursion import Recursion


@dataclass(frozen=True)
class Dce:
    """Drop what no result needs."""

    keep_raising: bool = False
    name = "dce"

    def __call__(self, function: Function) -> Function:
        live = {r for r in function.results if isinstance(r, Value)}
        binds = has_bindings(function)
        sizes = {s for r in function.results for s in symbols_of(r.type)} if binds else set()
        kept: list[Eqn] = []
        for eqn in reversed(function.eqns):
            is_read = not (live.isdisjoint(eqn.results) and sizes.isdisjoint(eqn.op.binds))
            if not is_read and not self.stays(eqn.op):
                continue
            if isinstance(eqn.op, Loop) and is_read:
                eqn = self.loop(eqn, eqn.op, live)
            elif isinstance(eqn.op, Fused):
                eqn = self.fused(eqn, eqn.op, live)
            elif isinstance(eqn.op, Cond):
                eqn = self.cond(eqn, eqn.op, live)
            elif isinstance(eqn.op, Recursion):
                body = self(eqn.op.body)
                if body is not eqn.op.body:
                    eqn = _with(eqn, eqn.op.with_regions([body]))
            kept.append(eqn)
            if binds:
                sizes |= mentioned(eqn)
            live.update([a for a in eqn.operands if isinstance(a, Value)])
        if len(kept) == len(function.eqns) and all(map(operator.is_, kept, function.eqns[::-1])):
            return function
        return function.replace(eqns=kept[::-1])

    def stays(self, op: Op) -> bool:
        """Whether an equation stays for the effect of its op, whatever is read of it."""
        return op.effect is Effect.ORDERED or (self.keep_raising and op.effect is Effect.MAY_RAISE)

    def fused(self, eqn: Eqn, op: Fused, live: set[Value]) -> Eqn:
        """Drop the results of a region that nobody reads, and operands that only they needed."""
        keep = [k for k, r in enumerate(eqn.results) if r in live]
        body = op.body.replace(results=[op.body.results[k] for k in keep])
        body = self(body)
        read = _read(body)
        params = [k for k, p in enumerate(body.params) if p in read]
        if len(keep) == len(eqn.results) and len(params) == len(body.params):
            return eqn if body.eqns == op.body.eqns else _with(eqn, replace(op, body=body))
        body = body.replace(params=[body.params[k] for k in params])
        return Eqn(
            replace(op, body=body),
            tuple([eqn.operands[k] for k in params]),
            tuple([eqn.results[k] for k in keep]),
            eqn.provenance,
        )

    def cond(self, eqn: Eqn, op: Cond, live: set[Value]) -> Eqn:
        """Drop the results that nobody reads, and the operands that no branch reads."""
        keep = [k for k, r in enumerate(eqn.results) if r in live]
        branches = list(op.branches)
        if len(keep) < len(eqn.results):
            branches = [b.replace(results=[b.results[k] for k in keep]) for b in branches]
        branches = [self(b) for b in branches]
        read = [_read(b) for b in branches]
        params = [
            k
            for k in range(len(branches[0].params))
            if any(b.params[k] in r for b, r in zip(branches, read, strict=True))
        ]
        if len(params) < len(branches[0].params):
            branches = [b.replace(params=[b.params[k] for k in params]) for b in branches]
        if all(map(operator.is_, branches, op.branches)):
            return eqn
        return Eqn(
            op.with_regions(branches),
            (eqn.operands[0], *[eqn.operands[1 + k] for k in params]),
            tuple([eqn.results[k] for k in keep]),
            eqn.provenance,
        )

    def loop(self, eqn: Eqn, op: Loop, live: set[Value]) -> Eqn:
        """Drop dead outputs, carries and captured values of a loop."""
        head = 1 if op.ranged else 0
        carries, outputs = self.live_results(eqn, op, live)
        order = [*carries, *outputs]
        body = op.body.replace(results=[op.body.results[k] for k in order])
        body = self(body)
        test = op.test if op.test is None else self(op.test)
        read = _read(body) | (_read(test) if test is not None else set())
        regions = [body] if test is None else [body, test]
        total = len(op.body.params) - head
        dead = set(range(op.carries)) - set(carries)
        keep = []
        for k in range(total):
            captured = k >= op.carries
            used = any(r.params[head + k] in read for r in regions) if captured else k not in dead
            if used:
                keep.append(k)
        if len(keep) == total and len(order) == len(op.body.results):
            same = body.eqns == op.body.eqns and test is op.test
            return eqn if same else _with(eqn, replace(op, body=body, test=test))
        cut = [
            r.replace(
                params=[*r.params[:head], *[r.params[head + k] for k in keep]], results=r.results
            )
            for r in regions
        ]
        new = replace(
            op, body=cut[0], test=cut[1] if test is not None else None, carries=len(carries)
        )
        results = [eqn.results[k] for k in order]
        if op.counts:
            results.append(eqn.results[-1])
        operands = [*eqn.operands[: op.head], *[eqn.operands[op.head + k] for k in keep]]
        return Eqn(new, tuple(operands), tuple(results), eqn.provenance)

    def live_carries(self, eqn: Eqn, op: Loop, live: Container[Value]) -> list[int]:
        """Return the carries that a live result, output, effect or the test depends on."""
        head = 1 if op.ranged else 0
        wanted = {k for k in range(op.carries) if eqn.results[k] in live}
        roots: list[Atom] = [
            op.body.results[k]
            for k in range(op.carries, len(op.body.results))
            if eqn.results[k] in live
        ]
        position = {p: k for k, p in enumerate(op.body.params[head : head + op.carries])}
        if op.test is not None:
            read = _read(op.test)
            for k, p in enumerate(op.test.params[head : head + op.carries]):
                if p in read:
                    wanted.add(k)
        while True:
            after = [op.body.results[k] for k in sorted(wanted)]
            needed = self.needed(op.body, [*roots, *after])
            found = wanted | {k for p, k in position.items() if p in needed}
            if found == wanted:
                return sorted(wanted)
            wanted = found

    def live_results(
        self, eqn: Eqn, op: Loop, live: Container[Value]
    ) -> tuple[list[int], list[int]]:
        """Return the carries and the outputs of a loop that stay."""
        carries = self.live_carries(eqn, op, live)
        outputs = [k for k in range(op.carries, len(op.body.results)) if eqn.results[k] in live]
        if carries or outputs or op.counts or not eqn.results:
            return carries, outputs
        # A loop with effects or a size alone keeps a result, by which the memory plan knows it.
        first = {eqn.results[0]}
        return (self.live_carries(eqn, op, first), []) if op.carries else ([], [0])

    def needed(self, function: Function, roots: Sequence[Atom]) -> set[Value]:
        """Return the values that `roots` and what stays for its effect depend on."""
        sizes = {s for r in roots for s in symbols_of(r.type)}
        needed = {r for r in roots if isinstance(r, Value)}
        for eqn in reversed(function.eqns):
            is_read = any(r in needed for r in eqn.results) or any(s in sizes for s in eqn.op.binds)
            if is_read or self.stays(eqn.op):
                sizes |= mentioned(eqn)
                operands = None
                if isinstance(eqn.op, Loop) and is_read:  # else it stays as it is
                    operands = self.loop_reads(eqn, eqn.op, needed)
                needed.update(a for a in operands or eqn.operands if isinstance(a, Value))
        return needed

    def loop_reads(self, eqn: Eqn, op: Loop, live: Container[Value]) -> list[Atom]:
        """Return the operands of a loop that its live results depend on."""
        head = 1 if op.ranged else 0
        carries, outputs = self.live_results(eqn, op, live)
        read = self.needed(op.body, [op.body.results[k] for k in (*carries, *outputs)])
        tested = set() if op.test is None else _read(op.test)
        found = list(eqn.operands[: op.head])
        for k, operand in enumerate(eqn.operands[op.head :]):
            in_test = op.test is not None and op.test.params[head + k] in tested
            if k in carries or in_test or (k >= op.carries and op.body.params[head + k] in read):
                found.append(operand)
        return found


def _with(eqn: Eqn, op: Op) -> Eqn:
    return Eqn(op, eqn.operands, eqn.results, eqn.provenance)


def _read(function: Function) -> set[Value]:
    read = {r for r in function.results if isinstance(r, Value)}
    for eqn in function.eqns:
        read.update(a for a in eqn.operands if isinstance(a, Value))
    return read

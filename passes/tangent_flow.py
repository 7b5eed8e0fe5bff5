"""Which values have tangents: those through which a derivative with respect to others flows.

Tangents run beside the primal values, also through loops, branches and recursions. A carry of a
loop has one where the value before the loop has, or that after an iteration. A tape is one object
from the first push to the last pop: where anything that is pushed has a tangent, the tape has a
tape of tangents beside it from the start, so that for tapes and records activity flows backwards
too.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple, TypeVar

from ..ir.core import Atom, Eqn, Function, Value
from ..ir.op import Op
from ..ir.ops.cond import Cond
from ..ir.ops.control import Fused, Loop
from ..ir.ops.recursion import Recur, Recursion
from ..ir.types import is_tape

T = TypeVar("T")


class Ports(NamedTuple):
    """The numbers of the operands and results of something that have tangents."""

    operands: frozenset[int] = frozenset()
    results: frozenset[int] = frozenset()


class Places:
    """Where tangents stand: those of the first `cut` values right after these, the others last.

    Each of the values `moving` has `each` of them.
    """

    def __init__(self, moving: Iterable[int], cut: int, each: int = 1) -> None:
        self.moving = tuple(sorted(moving))
        self.cut = cut
        self.each = each

    @property
    def early(self) -> int:
        """The number of the first values and of their tangents."""
        return self.cut + self.each * sum(k < self.cut for k in self.moving)

    def joined(self, values: Sequence[T], tangents: Callable[[int], Sequence[T]]) -> list[T]:
        """Return values with their tangents, which `tangents` gives by the number of the value."""
        found = [(k, list(tangents(k))) for k in self.moving]
        return [
            *values[: self.cut],
            *[x for k, part in found if k < self.cut for x in part],
            *values[self.cut :],
            *[x for k, part in found if k >= self.cut for x in part],
        ]

    def separated(self, flat: Sequence[T], count: int) -> list[list[T]]:
        """Return `count` values, each with its tangents, and after them what else there is.

        It is the inverse of `joined`.
        """
        numbers = self.joined(range(count), lambda k: [k] * self.each)
        groups: list[list[T]] = [[] for _ in range(count)]
        for number, atom in zip(numbers, flat, strict=False):
            groups[number].append(atom)
        return [*groups, *[[atom] for atom in flat[len(numbers) :]]]


class Flow:
    """The analysis; `labels` says what is known of the recursions under way."""

    def __init__(self, labels: dict[str, Ports] | None = None) -> None:
        self.labels: dict[str, Ports] = dict(labels or {})

    def active(self, function: Function, wrt: Iterable[Value]) -> set[Value]:
        """Return the values of a function that have tangents, where those of `wrt` have."""
        active = {v for v in wrt if v.type.is_inexact}
        eqns: Sequence[Eqn] = function.eqns
        while self._pass(eqns, active):  # a tape has grown active after it was made
            eqns = eqns[::-1]
        return active

    def _pass(self, eqns: Sequence[Eqn], active: set[Value]) -> bool:
        """Go through equations once; return whether that shows more of those gone through."""
        grown = False
        for eqn in eqns:
            before = self.around(eqn, active)
            if not self.concerns(eqn, before):
                continue
            after = self.through(eqn, before)
            active.update(_chosen(eqn.results, after.results))
            # An array without a tangent starts from zeros; a tape is one from the start.
            found = [v for v in _chosen(eqn.operands, after.operands) if is_tape(v.type)]
            found = [v for v in found if v not in active]
            active.update(found)
            grown = grown or bool(found)
        return grown

    def around(self, eqn: Eqn, active: set[Value]) -> Ports:
        """Return what of an equation is among the active values."""
        return Ports(
            frozenset([k for k, a in enumerate(eqn.operands) if a in active]),
            frozenset([k for k, r in enumerate(eqn.results) if r in active]),
        )

    def concerns(self, eqn: Eqn, ports: Ports) -> bool:
        """Whether an equation takes or gives tangents: also one that calls a recursion that does.

        Each call of a recursion has the signature of its body, whatever it is called with.
        """
        if ports.operands or ports.results:
            return True
        return bool(self.labels) and _calls(eqn.op, self.labels)

    def through(self, eqn: Eqn, ports: Ports) -> Ports:
        """Return what of an equation has tangents where that of `ports` has."""
        op = eqn.op
        if isinstance(op, Loop):
            return self._loop(op, ports)
        if isinstance(op, Cond):
            return self._cond(op, ports)
        if isinstance(op, Fused):
            return self._region(op.body, ports)
        if isinstance(op, Recursion):
            return self._recursion(op, ports)
        if isinstance(op, Recur):
            known = self.labels[op.label]
            merged = Ports(known.operands | ports.operands, known.results | ports.results)
            self.labels[op.label] = merged
            return merged
        operands, results = set(ports.operands), set(ports.results)
        if operands and (op.has_gradient or op.regions):
            results.update([k for k, r in enumerate(eqn.results) if r.type.is_inexact])
        if any(is_tape(eqn.results[k].type) for k in results):
            operands.update(
                [k for k, a in enumerate(eqn.operands) if is_tape(a.type) and a.type.is_inexact]
            )
        return Ports(frozenset(operands), frozenset(results))

    def _region(self, function: Function, ports: Ports) -> Ports:
        """Return what of a region's parameters and results has tangents."""
        wrt = [function.params[k] for k in ports.operands]
        wrt += [
            r
            for k in ports.results
            if isinstance(r := function.results[k], Value) and is_tape(r.type)
        ]
        active = self.active(function, wrt)
        params = [k for k, p in enumerate(function.params) if p in active]
        results = [k for k, r in enumerate(function.results) if r in active]
        return Ports(ports.operands | set(params), ports.results | set(results))

    def _loop(self, op: Loop, ports: Ports) -> Ports:
        index = op.body.params[: 1 if op.ranged else 0]
        body = op.body.replace(params=op.body.params[len(index) :])
        count = len(op.body.results)
        now = Ports(
            frozenset([k - op.head for k in ports.operands]),
            frozenset([k for k in ports.results if k < count]),
        )
        while True:
            found = self._region(body, now)
            carried = {k for k in found.operands | found.results if k < op.carries}
            after = Ports(found.operands | carried, found.results | carried)
            if carried <= now.operands:
                return Ports(frozenset([k + op.head for k in after.operands]), after.results)
            now = after

    def _cond(self, op: Cond, ports: Ports) -> Ports:
        now = Ports(frozenset([k - 1 for k in ports.operands]), ports.results)
        while True:
            before = now
            for branch in op.branches:
                now = self._region(branch, now)
            if not _is_wider(op.branches[0], now, before):
                break
        return Ports(frozenset([k + 1 for k in now.operands]), now.results)

    def _recursion(self, op: Recursion, ports: Ports) -> Ports:
        outside = self.labels.get(op.label)
        now = ports
        while True:
            carried = {k for k in now.operands | now.results if k < op.carries}
            now = Ports(now.operands | carried, now.results | carried)
            self.labels[op.label] = now
            found, called = self._region(op.body, now), self.labels[op.label]
            after = Ports(found.operands | called.operands, found.results | called.results)
            if after == now:
                break
            now = after
        if outside is None:
            del self.labels[op.label]
        else:
            self.labels[op.label] = outside
        return now


def _calls(op: Op, labels: Container[str]) -> bool:
    """Whether an op calls one of these recursions, or has a region that does."""
    if isinstance(op, Recur):
        return op.label in labels
    return any(_calls(eqn.op, labels) for region in op.regions for eqn in region.eqns)


def _is_wider(branch: Function, now: Ports, before: Ports) -> bool:
    """Whether a branch has found tapes active that another one must know of."""
    operands = [branch.params[k] for k in now.operands - before.operands]
    results = [branch.results[k] for k in now.results - before.results]
    return any(is_tape(a.type) for a in (*operands, *results))


def _chosen(atoms: Sequence[Atom], numbers: Iterable[int]) -> list[Value]:
    return [a for k in numbers if isinstance(a := atoms[k], Value)]


__all__ = ["Flow", "Places", "Ports"]

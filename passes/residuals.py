"""What the adjoint of a loop's body reads of the primal body, and where each value comes from.

Each value that the adjoint equations read is one of:

* free: the index, captured values;
* a version of an array that is restored (`restore`), or a part of it: a value that was written into
  such an array is read back from there;
* a result of a loop that runs again (`Loop.recompute`), or of what lies in a `checkpoint`;
* computed again: views, copies, constants, index arithmetic, and cheap elementwise work on what is
  there anyway. The cost is that of `Op.cost` for one element, summed up over what is computed
  again for the value, and at most `AGAIN_COST`: four additions, or one division. Values are decided
  in the order of the primal body, so each is decided once, in linear time;
* saved: pushed on a tape or stacked.

A part of an array that would have to be saved whole is saved itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..ir.binding import mentioned, symbols_of
from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Value
from ..ir.dims import Dim, Symbol
from ..ir.op import Cost, Effect
from ..ir.ops.control import Call
from ..ir.ops.dynamic import Extent
from ..ir.ops.index import Index, IndexAdd, IndexUpdate
from ..ir.ops.recursion import Recur
from ..ir.ops.shape import Copy
from ..ir.types import is_tape
from .footprints import Access, Level, Tracker, is_untouched
from .recompute import is_in_checkpoint
from .residual_obstacles import place_overwritten, read_too_late
from .restore import Chain, chain_of, runs_again

AGAIN_COST = int(Cost.DIVISION)


@dataclass
class Body:
    """A region and its adjoint in one builder, before they are cut apart.

    `arrays` are by number what it may write in place: a parameter, and the result that holds its
    last content. The parameters in `changing` are not there any more when the adjoint runs.
    """

    builder: Builder
    params: list[Value]
    primal: int
    """How many of the builder's equations are primal."""
    results: list[Atom]
    """The cotangents that it returns."""
    arrays: dict[int, tuple[Value, Atom]]
    changing: set[Value]
    undone: dict[Value, Value]
    """For the result of a loop or branch inside, the version from before it that its adjoint
    returns."""


def find_chains(body: Body, producers: Mapping[Value, Eqn]) -> dict[int, Chain]:
    """Return the chains of arrays that can be restored."""
    found: dict[int, Chain] = {}
    for k, (param, after) in body.arrays.items():
        chain = chain_of(param, after, producers)
        if chain is not None and all(
            v in body.undone
            for v, e in zip(chain.versions[1:], chain.links, strict=True)
            if e.op.regions
        ):
            found[k] = chain
    return found


class Residuals:
    """Decides where each primal value that the adjoint reads comes from."""

    def __init__(self, body: Body, is_nested: bool, level: Level | None = None) -> None:
        self.body = body
        self.level = level
        self.is_nested = is_nested
        self.primal = body.builder.eqns[: body.primal]
        self.adjoint = body.builder.eqns[body.primal :]
        self.producers = {r: e for e in self.primal for r in e.results}
        self.place = {e: k for k, e in enumerate(self.primal)}
        self.binders = {s: e for e in self.primal for s in e.op.binds}
        self.forced: set[Value] = set()
        """Parts that cannot be read in time from a restored array."""
        self.chains = find_chains(body, self.producers)
        self.extents: dict[Symbol, Value] = {}
        """The trip counts of loops inside that are saved, as new values of the primal body."""
        self.added: list[tuple[int, Eqn]] = []
        """New primal equations and before which they stand: overwritten parts, trip counts."""
        while not self._decide():
            pass
        self._save_parts()

    # -- the arrays that are restored --------------------------------------------------------------

    def _index_versions(self) -> None:
        self.version: dict[Value, tuple[int, int]] = {}
        self.written: dict[Value, tuple[int, int]] = {}
        for k, chain in self.chains.items():
            for number, value in enumerate(chain.versions):
                self.version[value] = (k, number)
            for number, eqn in enumerate(chain.links, 1):
                if _is_readable(eqn):
                    self.written.setdefault(eqn.operands[1], (k, number))  # type: ignore[arg-type]
        for eqn in self.primal:
            if isinstance(eqn.op, Copy) and eqn.operands[0] in self.version:
                # As good as what it is a copy of.
                self.version.setdefault(eqn.results[0], self.version[eqn.operands[0]])  # type: ignore[index]

    # -- decisions ---------------------------------------------------------------------------------

    def _decide(self) -> bool:
        """Decide anew; say whether everything can be had in time."""
        self._index_versions()
        self.saved: dict[Value, None] = {}
        self.again: set[Eqn] = set()
        self.read_back: dict[Value, tuple[int, int]] = {}
        self.needed_chains: set[int] = set()
        self.settled: dict[tuple[int, int], bool] = {}
        direct = list(dict.fromkeys(self._demands()))
        direct.sort(key=lambda v: self.place.get(self.producers.get(v), -1))  # type: ignore[arg-type]
        for value in direct:
            if value in self.version and value not in self.forced:
                self.needed_chains.add(self.version[value][0])
        for value in direct:
            self.need(value)
        for eqn in self.adjoint:
            self.sizes(eqn)
        obstacle = read_too_late(self) or place_overwritten(self)
        if obstacle is None:
            return True
        if obstacle.chain is not None:
            del self.chains[obstacle.chain]
        self.forced.update(obstacle.values)
        return False

    def _demands(self) -> Iterator[Value]:
        values = {*self.body.params, *self.producers}
        for eqn in self.adjoint:
            for operand in eqn.operands:
                if operand in values:
                    yield operand  # type: ignore[misc]
        for result in self.body.results:
            if result in values:
                yield result  # type: ignore[misc]

    def need(self, atom: Atom) -> None:
        """Decide where a value comes from."""
        if not isinstance(atom, Value) or atom in self.saved or atom in self.read_back:
            return
        if atom in self.forced:
            self.saved[atom] = None
            return
        if atom in self.version:
            self.needed_chains.add(self.version[atom][0])
            return
        eqn = self.producers.get(atom)
        if eqn is None:
            if atom in self.body.changing:
                self.saved[atom] = None
            return
        if eqn in self.again:
            return
        # What was popped from a tape is not there a second time.
        is_marked = is_in_checkpoint(eqn) and not eqn.op.regions and not _uses_tape(eqn)
        if self._is_free_work(eqn) or runs_again(eqn) or is_marked:
            self._compute_again(eqn)
        elif atom in self.written and self._reads_back(atom):
            self.read_back[atom] = self.written[atom]
            self.needed_chains.add(self.written[atom][0])
            link = self.link(*self.written[atom])
            for position in link.operands[2:]:
                self.need(position)
        elif self._work(atom, AGAIN_COST) is not None:
            self._compute_again(eqn)
        else:
            self.saved[atom] = None
            self._known_sizes(symbols_of(atom.type))

    def _compute_again(self, eqn: Eqn) -> None:
        self.again.add(eqn)
        for operand in eqn.operands:
            self.need(operand)
        self.sizes(eqn)

    def link(self, chain: int, number: int) -> Eqn:
        """Return the write that makes a version of an array."""
        return self.chains[chain].links[number - 1]

    def _is_free_work(self, eqn: Eqn) -> bool:
        """Whether a value is a view, a constant, index arithmetic, or of a size made inside."""
        op = eqn.op
        if (
            op.regions
            or op.effect is Effect.ORDERED
            or op.makes_new
            or isinstance(op, Call | Recur)
            or is_tape(eqn.results[0].type)
        ):
            return False
        if _is_same(eqn):
            return not self._is_part_of_saved(eqn)
        if not any(isinstance(a, Value) for a in eqn.operands) or self._is_position(eqn):
            return True
        found = {s for r in eqn.results for s in symbols_of(r.type)}
        return any(s in self.binders and not self.binders[s].op.regions for s in found)

    def _is_part_of_saved(self, eqn: Eqn) -> bool:
        """Whether a view is of an array that would have to be saved, and smaller."""
        root: Atom = eqn.operands[0]
        while isinstance(root, Value) and root not in self.version:
            if root in self.saved or root in self.read_back:
                return False
            made = self.producers.get(root)
            if made is None:
                if root not in self.body.changing:
                    return False
                break
            if not _is_same(made):
                if not made.operands or self._work(root, AGAIN_COST) is not None:
                    return False
                break
            root = made.operands[0]
        if not isinstance(root, Value) or root in self.version:
            return False
        return not eqn.results[0].type.shape or eqn.results[0].type.size < root.type.size

    def _is_position(self, eqn: Eqn) -> bool:
        """Whether a value is integer arithmetic on what is free, such as `i - 1`."""
        if not eqn.op.is_elementwise or any(
            a.type.shape or a.type.dtype.kind not in "iu" for a in (*eqn.operands, *eqn.results)
        ):
            return False
        return all(self._is_free_position(a) for a in eqn.operands if isinstance(a, Value))

    def _is_free_position(self, atom: Value) -> bool:
        eqn = self.producers.get(atom)
        if eqn is None:
            return atom not in self.body.changing
        return not eqn.operands or self._is_position(eqn)

    def _work(self, atom: Atom, limit: int) -> int | None:
        """Return the cost of computing a value again, without saving more; None: too much."""
        if not isinstance(atom, Value) or atom in self.saved or atom in self.read_back:
            return 0
        if atom in self.forced:
            return None
        if atom in self.version:
            # A whole array is read where a part of it would do otherwise.
            return 0 if self.version[atom][0] in self.needed_chains else None
        eqn = self.producers.get(atom)
        if eqn is None:
            return None if atom in self.body.changing else 0
        if eqn in self.again:
            return 0
        op = eqn.op
        if op.regions or op.effect is not Effect.PURE or len(eqn.results) != 1:
            return None
        rest = eqn.operands
        if _is_same(eqn):
            total = 0
        elif not eqn.operands:
            return 0
        elif op.is_elementwise:
            total = int(op.cost)
        else:
            return None
        for operand in rest:
            more = self._work(operand, limit - total) if total <= limit else None
            if more is None:
                return None
            total += more
        return total if total <= limit else None

    def _reads_back(self, atom: Value) -> bool:
        """Whether a written value is read from the array: it is restored anyway, or settled."""
        key = self.written[atom]
        if key[0] in self.needed_chains:
            return True
        if key not in self.settled:
            self.settled[key] = self._is_settled(*key)
        return self.settled[key]

    def _is_settled(self, carry: int, number: int) -> bool:
        """Whether no later write in this loop touches what a link of a chain has written."""
        if self.level is None:
            return False
        chain, tracker = self.chains[carry], Tracker()
        known: dict[Atom, Dim] = {}
        if self.level.symbol is not None:
            known[self.body.params[0]] = Dim.of(self.level.symbol)
        tracker.body(self.primal, chain.versions[0], (self.level,), ((0,),), known)
        if tracker.is_lost:
            return False
        link = chain.links[number - 1]
        (own,) = [a for a in tracker.accesses if a.eqn is link and a.writes]
        writes = [a for a in tracker.accesses if a.writes]
        read = Access(False, own.part, own.path, own.order, link)
        return is_untouched(read, writes, before=False)

    # -- sizes -------------------------------------------------------------------------------------

    def sizes(self, eqn: Eqn) -> None:
        """Compute again what binds the sizes that an equation mentions."""
        self._known_sizes(mentioned(eqn))

    def _known_sizes(self, found: set[Symbol]) -> None:
        for symbol in sorted(found, key=lambda s: s.number):
            binder = self.binders.get(symbol)
            if binder is None or binder in self.again:
                continue
            if not binder.op.regions or runs_again(binder):
                self._compute_again(binder)
            elif symbol not in self.extents:
                op = Extent(Dim.of(symbol))
                value = Value(op.infer()[0], symbol.name)
                self.extents[symbol] = value
                self._add(self.place[binder] + 1, Eqn(op, (), (value,), binder.provenance))
            if symbol in self.extents:
                self.saved.setdefault(self.extents[symbol])

    def _add(self, place: int, eqn: Eqn) -> None:
        self.added.append((place, eqn))
        self.producers[eqn.results[0]] = eqn

    # -- what is overwritten -----------------------------------------------------------------------

    def _save_parts(self) -> None:
        """Save what is overwritten in the arrays that are restored."""
        self.parts: dict[tuple[int, int], Value] = {}
        if not self.is_nested:
            self.chains = {k: c for k, c in self.chains.items() if k in self.needed_chains}
        known = {(e.op, e.operands): e for e in self.primal if isinstance(e.op, Index)}
        for k, chain in self.chains.items():
            for number, eqn in enumerate(chain.links, 1):
                op = eqn.op
                if not isinstance(op, IndexUpdate | IndexAdd):
                    continue
                positions = eqn.operands[2:]
                read = Index(op.index, op.is_gather([a.type for a in positions]))
                operands = (eqn.operands[0], *positions)
                same = known.get((read, operands))
                if same is not None and self.place[same] < self.place[eqn]:
                    value = same.results[0]
                    self.again.discard(same)
                else:
                    (type,) = read.infer(*[a.type for a in operands])
                    value = Value(type)
                    self._add(self.place[eqn], Eqn(read, operands, (value,), eqn.provenance))
                self.parts[k, number] = value
                self.saved.setdefault(value)
                self._known_sizes(symbols_of(value.type))
                for position in positions:
                    self.need(position)


def _uses_tape(eqn: Eqn) -> bool:
    return any(is_tape(a.type) for a in (*eqn.operands, *eqn.results))


def _is_same(eqn: Eqn) -> bool:
    """Whether a value is a view, or a copy that can be read where the original is."""
    return len(eqn.results) == 1 and (eqn.op.is_view or isinstance(eqn.op, Copy))


def _is_readable(eqn: Eqn) -> bool:
    """Whether a value that is written can be read back from where it was written."""
    op = eqn.op
    if not isinstance(op, IndexUpdate) or not isinstance(eqn.operands[1], Value):
        return False
    base, value, *positions = eqn.operands
    if op.is_gather([a.type for a in positions]):
        return False
    (type,) = Index(op.index).infer(base.type, *[a.type for a in positions])
    return type == value.type


__all__ = ["AGAIN_COST", "Body", "Residuals"]

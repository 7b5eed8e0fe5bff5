"""Programs that time themselves: the clock is read around each equation.

The source is that of the program with lines in between, so what is timed is what runs:

    started = clock()
    tanh(x, out)
    note(3, started, clock())

Around a loop, a branch or a call of a recursion, `enter` and `leave` tell what it takes itself from
what the equations in it take. What the clock takes is measured, and taken off.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any, NamedTuple

from ..ir.binding import renamed_type, symbols_of
from ..ir.core import Atom, Eqn, Value
from ..ir.dims import Size, Symbol
from ..ir.ops.index import Index
from ..ir.ops.recursion import Recur
from ..ir.plan import Fresh, Plan
from ..ir.types import ArrayType
from .emit import Source, Writer
from .frames import Frame
from .program import Program

KEPT = 1000
"""Runs of an equation, or iterations of a loop, that are kept one by one in a call."""
PROGRAM = 0
"""The number under which the whole program is noted; equations follow."""


class Span(NamedTuple):
    """One run of an equation, or of an iteration of a loop, by the clock in nanoseconds."""

    number: int
    start: int
    end: int
    is_iteration: bool = False


class Tally:
    """What one thread has noted in a call; times in nanoseconds.

    `own` is the time of each equation without those inside it, `total` with them; `covered` is the
    time of all equations so far, `notes` how often the clock was read around something. `sizes`
    counts the runs of equations whose sizes only the run knows.
    """

    __slots__ = (
        "calls",
        "covered",
        "iterations",
        "notes",
        "own",
        "sizes",
        "spans",
        "total",
    )

    def __init__(self, count: int) -> None:
        self.calls = [0] * count
        self.own = [0.0] * count
        self.total = [0.0] * count
        self.iterations = [0] * count
        self.spans: list[Span] = []
        self.sizes: dict[tuple[int, tuple[int, ...]], int] = {}
        self.covered = 0.0
        self.notes = 0

    def add(self, number: int, start: int, end: int, own: float, total: float) -> None:
        """Add the run of an equation, and keep it, if not too many are kept already."""
        self.own[number] += own
        self.total[number] += total
        self.calls[number] += 1
        self.notes += 1
        if self.calls[number] <= KEPT:
            self.spans.append(Span(number, start, end))


class Recorder:
    """Takes the notes of a program that runs; `clear` starts a new call."""

    def __init__(self) -> None:
        self.count = 1
        self.tallies: dict[int, Tally] = {}
        self.clock_cost = 0.0
        self.note_cost = 0.0

    def calibrate(self, count: int) -> None:
        """Measure what reading the clock takes, and a whole note; `count` numbers are noted."""
        self.count = count
        batches, size = 5, 400
        found: list[tuple[float, float]] = []
        for _ in range(batches):
            self.clear()
            begun = perf_counter_ns()
            for _ in range(size):
                started = perf_counter_ns()
                self.note(0, started, perf_counter_ns())
            whole = perf_counter_ns() - begun
            found.append((self.tally().own[0] / size, whole / size))
        self.clock_cost = min(clock for clock, _ in found)
        self.note_cost = min(note for _, note in found)
        self.clear()

    def clear(self) -> None:
        """Forget all notes."""
        self.tallies.clear()

    def tally(self) -> Tally:
        """Return the notes of the present thread."""
        key = threading.get_ident()
        found = self.tallies.get(key)
        if found is None:
            found = self.tallies[key] = Tally(self.count)
        return found

    def note(self, number: int, start: int, end: int, sizes: tuple[int, ...] | None = None) -> None:
        """Note one run of an equation."""
        tally = self.tally()
        duration = max(end - start - self.clock_cost, 0.0)
        tally.add(number, start, end, duration, duration)
        tally.covered += duration
        if sizes is not None:
            tally.sizes[number, sizes] = tally.sizes.get((number, sizes), 0) + 1

    def iteration(self, number: int, start: int, end: int) -> None:
        """Note one iteration of the loop of a number."""
        tally = self.tally()
        tally.notes += 1
        tally.iterations[number] += 1
        if tally.iterations[number] <= KEPT:
            tally.spans.append(Span(number, start, end, True))

    def enter(self) -> tuple[float, int, dict[int, float]]:
        """Begin what has equations inside; `leave` takes what this returns."""
        tally = self.tally()
        tally.notes += 1
        others = {k: t.covered for k, t in list(self.tallies.items()) if t is not tally}
        return tally.covered, tally.notes, others

    def leave(
        self, number: int, start: int, entered: tuple[float, int, dict[int, float]], end: int
    ) -> None:
        """Note the end of what has equations inside."""
        tally = self.tally()
        covered, notes, others = entered
        total = max(end - start - self.clock_cost - (tally.notes - notes) * self.note_cost, 0.0)
        inside = tally.covered - covered
        # Other threads work while this one waits for them.
        for key, other in list(self.tallies.items()):
            if other is not tally:
                inside = max(inside, other.covered - others.get(key, 0.0))
        tally.add(number, start, end, max(total - inside, 0.0), total)
        tally.covered = covered + total


@dataclass(frozen=True)
class Timed:
    """An equation of a timed program.

    `parent` is the number of what it stands in; `merged` is an equation that is computed with it;
    `is_copied` says that it writes into a copy of its operand. `symbols` are the sizes that each
    run notes.
    """

    eqn: Eqn | None
    parent: int = -1
    merged: Eqn | None = None
    is_copied: bool = False
    symbols: tuple[Symbol, ...] = ()

    def work(self, sizes: Sequence[int] = ()) -> tuple[int, int]:
        """Return the bytes that one run reads and writes, and its floating-point operations."""
        eqn = self.eqn
        if eqn is None or eqn.op.regions or isinstance(eqn.op, Recur):
            return 0, 0  # what is inside counts
        binding: dict[Symbol, Size] = dict(zip(self.symbols, sizes, strict=False))
        operands = _types(eqn.operands, binding)
        results = _types(eqn.results, binding)
        moved = self._moved(eqn, operands, results)
        flops = eqn.op.flops(operands, results)
        if self.merged is not None:
            read = _types(self.merged.operands, binding)
            made = _types(self.merged.results, binding)
            # What it makes is neither stored nor read again.
            moved += sum(t.nbytes for t in read) - sum(t.nbytes for t in made)
            flops += self.merged.op.flops(read, made)
        return moved, flops

    def _moved(self, eqn: Eqn, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        op = eqn.op
        if op.is_view:
            return 0
        if op.updates is not None:
            base = operands[op.updates].nbytes
            rest = [t.nbytes for k, t in enumerate(operands) if k != op.updates]
            part = max(rest, default=0)
            return sum(rest) + part + (2 * base if self.is_copied else 0)
        written = sum(t.nbytes for t in results)
        if isinstance(op, Index):
            return written + min(operands[0].nbytes, written) + sum(t.nbytes for t in operands[1:])
        return written + sum(t.nbytes for t in operands)


def _types(atoms: Sequence[Atom], binding: Mapping[Symbol, Size]) -> list[ArrayType]:
    return [renamed_type(a.type, binding) if binding else a.type for a in atoms]


class ProfiledWriter(Writer):
    """Writes the program with the clock around each equation."""

    def __init__(
        self,
        recorder: Recorder,
        plan: Plan,
        owned: frozenset[int],
        fresh: Mapping[int, Fresh],
        exact: bool,
        numbers: bool,
    ) -> None:
        super().__init__(plan, owned, fresh, exact, numbers)
        self.timed: list[Timed] = [Timed(None)]
        self.around: list[int] = [PROGRAM]
        self.begun: list[str] = []
        self.clock = self.bind(perf_counter_ns, "clock")
        self.note = self.bind(recorder.note, "note")
        self.iteration = self.bind(recorder.iteration, "iteration")
        self.entering = self.bind(recorder.enter, "enter")
        self.leaving = self.bind(recorder.leave, "leave")
        self.started = self.fresh("started")

    def equation(self, eqn: Eqn) -> None:
        number = len(self.timed)
        self.timed.append(Timed(eqn, self.around[-1]))
        body, first = self.body, len(self.body)
        if eqn.op.regions or isinstance(eqn.op, Recur):
            entered, started = self.fresh("entered"), self.fresh("started")
            before = [f"{entered} = {self.entering}()", f"{started} = {self.clock}()"]
            after = f"{self.leaving}({number}, {started}, {entered}, {self.clock}())"
            self.around.append(number)
            super().equation(eqn)
            self.around.pop()
        else:
            before = [f"{self.started} = {self.clock}()"]
            super().equation(eqn)
            self.timed[number] = timed = self._timed(eqn)
            sizes = "".join(f"{self.dims[s]}, " for s in timed.symbols)
            more = f", ({sizes.rstrip()})" if sizes else ""
            after = f"{self.note}({number}, {self.started}, {self.clock}(){more})"
        if len(body) > first:
            indent = "    " * self.indent
            body[first:first] = [(f"{indent}{text}", None, "") for text in before]
            body.append((f"{indent}{after}", None, ""))

    def _timed(self, eqn: Eqn) -> Timed:
        position = eqn.op.updates
        merged, is_copied = None, False
        if position is not None:
            base, value = eqn.operands[position], eqn.operands[1 if len(eqn.operands) > 1 else 0]
            merged = self.waiting.get(value) if isinstance(value, Value) else None
            cells = self.plan.cells
            cell = cells.get(eqn.results[0])
            is_copied = not (isinstance(base, Value) and cells.get(base) is cell)
        atoms = (*eqn.operands, *eqn.results, *(merged.operands if merged is not None else ()))
        found = sorted({s for a in atoms for s in symbols_of(a.type)}, key=lambda s: s.number)
        symbols = tuple(found) if all(s in self.dims for s in found) else ()
        return Timed(eqn, self.around[-1], merged, is_copied, symbols)

    def open_loop(self, counter: str, trips: int | None) -> Frame:
        frame = super().open_loop(counter, trips)
        self.begun.append(self.fresh("begun"))
        self.line(f"{self.begun[-1]} = {self.clock}()")
        return frame

    def close_loop(self) -> list[Any]:
        begun = self.begun.pop()
        if len(self.body) > 1:
            self.line(f"{self.iteration}({self.around[-1]}, {begun}, {self.clock}())")
        else:
            self.body.clear()
        return super().close_loop()


@dataclass
class Recording:
    """The notes of one call of a program, by thread; `timed` says what the numbers stand for."""

    timed: Sequence[Timed]
    tallies: Mapping[int, Tally]
    thread: int
    start: int
    end: int
    note_cost: float
    sizes: dict[tuple[int, tuple[int, ...]], int] = field(init=False)

    def __post_init__(self) -> None:
        self.sizes = {}
        for tally in self.tallies.values():
            for key, count in tally.sizes.items():
                self.sizes[key] = self.sizes.get(key, 0) + count

    @property
    def notes(self) -> int:
        """How often the clock was read around something."""
        return sum(t.notes for t in self.tallies.values())

    @property
    def nanoseconds(self) -> float:
        """What the program took, the clock taken off."""
        return max(self.end - self.start - self.tallies[self.thread].notes * self.note_cost, 0.0)

    def sum(self, part: Callable[[Tally], Sequence[float]], number: int) -> float:
        """Return a figure of an equation over all threads."""
        return sum(part(t)[number] for t in self.tallies.values())


class ProfiledProgram(Program):
    """A program that times its equations: `last` is the recording of the last call.

    One call at a time: calls from several threads would be noted as one.
    """

    __slots__ = ("last", "recorder", "timed")

    last: Recording | None
    recorder: Recorder
    timed: list[Timed]

    @classmethod
    def of(cls, program: Program) -> ProfiledProgram:
        """Return a program's variant that times itself."""
        return cls(*program._variant.args[:4])

    def _written(
        self, owned: frozenset[int], fresh: Mapping[int, Fresh], exact: bool, numbers: bool
    ) -> Source:
        self.last = None
        self.recorder = Recorder()
        writer = ProfiledWriter(self.recorder, self.plan, owned, fresh, exact, numbers)
        source = writer.write()
        self.timed = writer.timed
        self.recorder.calibrate(len(self.timed))
        return source

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        recorder = self.recorder
        recorder.clear()
        recorder.tally()
        start = perf_counter_ns()
        entered = recorder.enter()
        results = super().__call__(*arrays)
        end = perf_counter_ns()
        strict = self._strict
        if recorder.tally().notes == 1 and isinstance(strict, ProfiledProgram):
            self.last = strict.last  # which has run in place of this one
        else:
            recorder.leave(PROGRAM, start, entered, end)
            self.last = Recording(
                self.timed,
                dict(recorder.tallies),
                threading.get_ident(),
                start,
                end,
                recorder.note_cost,
            )
        return results


__all__ = ["KEPT", "PROGRAM", "ProfiledProgram", "Recording", "Span", "Tally", "Timed"]

"""What a profile found: times and bytes, by equation and by the user's line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .ir.core import Provenance
from .ir.location import place_of
from .ir.printer import equation_rows
from .runtime.profiled import ProfiledProgram, Recording, Timed
from .tables import Table, amount, duration, percent, rate
from .timeline import to_chrome

SHOWN = 40
"""Equations in the printed table; `Profile.equations` has all."""


class EquationTime(NamedTuple):
    """What one equation took in a call, the mean of all calls.

    `seconds` leaves out what the equations inside it took, `inside` says how deep it stands;
    `nbytes` are read and written, `flops` are predicted from the op's declaration.
    """

    text: str
    type: str
    file: str
    line: int
    source: str
    direction: str
    inside: int
    calls: float
    seconds: float
    nbytes: float
    flops: float

    @property
    def place(self) -> str:
        """The user's line, as `model.py:12`."""
        return place_of(self.file, self.line)


class LineTime(NamedTuple):
    """What the equations of one line of the user's took, forward and backward."""

    file: str
    line: int
    source: str
    forward: float
    backward: float
    nbytes: float
    flops: float

    @property
    def seconds(self) -> float:
        """Both directions."""
        return self.forward + self.backward

    @property
    def place(self) -> str:
        """The line, as `model.py:12`."""
        return place_of(self.file, self.line) or "elsewhere"


class StageTime(NamedTuple):
    """A stage of the compilation and its milliseconds."""

    name: str
    milliseconds: float


class Lines(tuple[LineTime, ...]):
    """Times by line, the dearest first; prints as a table."""

    def table(self) -> Table:
        """Return the table that prints."""
        total = sum(row.seconds for row in self) or 1.0
        rows = [
            [
                row.place,
                duration(row.forward),
                duration(row.backward),
                percent(row.seconds / total),
                amount(row.nbytes),
                rate(row.nbytes, row.flops, row.seconds),
                row.source,
            ]
            for row in self
        ]
        heads = ["line", ">forward", ">backward", ">share", ">bytes", ">rate", "source"]
        return Table(heads, rows, ["forward and backward time of each line"])

    def __str__(self) -> str:
        return str(self.table())


class Profile:
    """Where the time of a call went; prints as a table of equations.

    Attributes
    ----------
    result
        What the call returned; the last one, where there were several.
    equations
        Every equation that ran, in the order of the program.
    seconds
        What a call took, the clock's own time taken off; `program` is the part in the generated
        program, the rest is reading arguments, checking guards and building the result.
    overhead
        What the clock took in a call: the calls were that much slower than they are without it.
    threads
        How many threads the equations ran on; their times are added up.
    compilation
        The stages of the compilation, as of the program without a clock.
    """

    def __init__(
        self,
        name: str,
        result: Any,
        recordings: Sequence[Recording],
        seconds: float,
        compilation: Sequence[StageTime],
        program: ProfiledProgram,
    ) -> None:
        self.name = name
        self.result = result
        self.calls = len(recordings)
        self.compilation = tuple(compilation)
        self.program = sum(r.nanoseconds for r in recordings) / self.calls / 1e9
        self.overhead = sum(r.notes * r.note_cost for r in recordings) / self.calls / 1e9
        self.seconds = self.program + seconds
        self._recordings = tuple(recordings)
        texts = equation_rows(program.plan.function)
        for tiles in program.plan.tiles.values():
            texts |= equation_rows(tiles.body)
        self.threads = max(len(r.tallies) for r in recordings)
        self._rows: list[EquationTime | None] = []
        for number, timed in enumerate(recordings[0].timed):
            row = texts.get(timed.eqn) if timed.eqn is not None else None
            text = "" if row is None else row.text
            if row is not None and row.name:
                text = f"{row.name} = {text}"
            self._rows.append(self._time(number, timed, text, row.type or row.note if row else ""))
        self.equations = tuple(row for row in self._rows if row is not None)

    def _time(self, number: int, timed: Timed, text: str, type: str) -> EquationTime | None:
        recordings = self._recordings
        calls = sum(r.sum(lambda t: t.calls, number) for r in recordings)
        if not calls or timed.eqn is None:
            return None
        nbytes = flops = 0.0
        known: list[tuple[tuple[int, tuple[int, ...]], float]] = [((number, ()), calls)]
        if timed.symbols:
            known = [item for r in recordings for item in r.sizes.items() if item[0][0] == number]
        for (_, sizes), count in known:
            work = timed.work(sizes)
            nbytes += count * work[0]
            flops += count * work[1]
        depth, parent = 0, timed.parent
        while parent > 0:
            depth, parent = depth + 1, recordings[0].timed[parent].parent
        provenance = timed.eqn.provenance
        file, line, source = _place(provenance)
        own = sum(r.sum(lambda t: t.own, number) for r in recordings)
        return EquationTime(
            text,
            type,
            file,
            line,
            source,
            "backward" if provenance.is_adjoint else "forward",
            depth,
            calls / self.calls,
            own / self.calls / 1e9,
            nbytes / self.calls,
            flops / self.calls,
        )

    @property
    def around(self) -> float:
        """Seconds outside of all equations: reading arguments, guards, moves, the result."""
        return max(self.seconds - sum(row.seconds for row in self.equations), 0.0)

    def by_line(self) -> Lines:
        """Return the times of the user's lines, the dearest first."""
        found: dict[tuple[str, int], LineTime] = {}
        for row in self.equations:
            key = (row.file, row.line)
            old = found.get(key) or LineTime(row.file, row.line, row.source, 0.0, 0.0, 0.0, 0.0)
            is_backward = row.direction == "backward"
            found[key] = old._replace(
                forward=old.forward + (0.0 if is_backward else row.seconds),
                backward=old.backward + (row.seconds if is_backward else 0.0),
                nbytes=old.nbytes + row.nbytes,
                flops=old.flops + row.flops,
            )
        return Lines(sorted(found.values(), key=lambda row: -row.seconds))

    def table(self) -> Table:
        """Return the table that prints: the dearest equations, in the order of the program."""
        dearest = sorted(self.equations, key=lambda row: -row.seconds)
        chosen = set(map(id, dearest[:SHOWN]))
        # Of several threads the times add up to more than the call took.
        total = max(self.seconds, sum(row.seconds for row in self.equations)) or 1.0
        rows = [
            [
                "  " * row.inside + row.text,
                row.type if len(row.type) <= 24 else f"{row.type[:23]}…",
                row.place,
                {"backward": "∂"}.get(row.direction, ""),
                f"{row.calls:,.6g}",
                duration(row.seconds),
                percent(row.seconds / total),
                amount(row.nbytes),
                rate(row.nbytes, row.flops, row.seconds),
            ]
            for row in self.equations
            if id(row) in chosen
        ]
        left = dearest[SHOWN:]
        if left:
            seconds = sum(row.seconds for row in left)
            text = f"… {len(left):,} more equations"
            rows.append([text, *[""] * 4, duration(seconds), percent(seconds / total), "", ""])
        text = "around: arguments, guards, moves, the result"
        rows.append([text, *[""] * 4, duration(self.around), percent(self.around / total), "", ""])
        heads = ["equation", "type", "line", "", ">calls", ">time", ">share", ">bytes", ">rate"]
        compiled = sum(stage.milliseconds for stage in self.compilation)
        slowest = sorted(self.compilation, key=lambda stage: -stage.milliseconds)[:4]
        stages = ", ".join(f"{s.name} {s.milliseconds:.1f}" for s in slowest)
        mean = f", the mean of {self.calls}" if self.calls > 1 else ""
        took, clock = duration(self.seconds), duration(self.overhead)
        notes = [f"{self.name}: a call took {took}{mean}; the clock took {clock}, taken off here"]
        if self.threads > 1:
            notes.append(f"equations ran on {self.threads} threads, whose times are added up")
        if slowest:
            notes.append(f"compiled in {compiled:.1f} ms, of these {stages}")
        return Table(heads, rows, notes)

    def __str__(self) -> str:
        return str(self.table())

    def __rich__(self) -> Any:
        return self.table().rich()

    def show(self) -> None:
        """Print the tables of equations and lines, in colour where rich is installed."""
        self.table().show()
        self.by_line().table().show()

    def to_chrome(self) -> dict[str, Any]:
        """Return the calls as trace events, for Perfetto and chrome://tracing."""
        return to_chrome(self.name, self._recordings, self._rows, self.compilation)

    def json(self) -> str:
        """Return the trace events as JSON."""
        import json

        return json.dumps(self.to_chrome())

    def trace(self, path: str | os.PathLike[str]) -> None:
        """Write the trace events of the calls to a JSON file, which Perfetto opens."""
        Path(path).write_text(self.json(), encoding="utf-8")

    def __repr__(self) -> str:
        return f"<profile of {self.name}: {duration(self.seconds)}>"


def _place(provenance: Provenance) -> tuple[str, int, str]:
    location = provenance.location
    if location is None:
        return "", 0, ""
    return location.file, location.line, location.text.strip()


__all__ = ["EquationTime", "LineTime", "Lines", "Profile", "StageTime"]

"""`memory=`: a budget in bytes, and the table of what was chosen for it."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from math import isfinite
from pathlib import Path

from .ir.core import Function, Value
from .ir.errors import ArgumentError, BudgetError
from .ir.location import Location
from .passes.checkpoint import Kept
from .passes.fit import Choice, Least, fit
from .passes.memory import plan_memory
from .passes.pipeline import Pass, run
from .passes.residual_rows import Residual
from .passes.straight_line import Line, unmarked
from .tables import duration

_UNITS = {"": 1, "b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}


def bytes_of(memory: int | str | None) -> int | None:
    """Return a budget in bytes: an int, or text such as "64MB" (64 · 2²⁰) or "1.5 GiB".

    Raises
    ------
    ArgumentError
    """
    if memory is None:
        return None
    if isinstance(memory, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?(b?)\s*", memory, re.IGNORECASE)
        if found is not None:
            number, letter, _ = found.groups()
            return int(float(number) * _UNITS[f"{letter}b".lower()])
    elif not isinstance(memory, bool) and memory >= 0:
        return int(memory)
    raise ArgumentError(
        f'memory={memory!r} is no number of bytes.\n  Write an int, or text such as "64MB".'
    )


def planned_peak(function: Function, late: Sequence[Pass]) -> int:
    """Return the planned peak of a function in bytes, once the passes `late` have run."""
    return plan_memory(run(function, late, [])).peak_bytes


def fitted(joint: Function, late: Sequence[Pass], budget: int) -> tuple[Function, dict[Value, str]]:
    """Return a joint function whose planned peak is within a budget, and why values are kept.

    Parameters
    ----------
    joint
        With the mark of `straight_line.marked`, before the passes `late`.

    Raises
    ------
    BudgetError
        Where that cannot be met; it names the least that can. With loops the budget is for what
        they keep, and what is around them keeps as little as it can.
    """
    function, forward = unmarked(joint)

    has_loops = any(e.op.regions for e in function.eqns)
    if has_loops and Line(function, forward).droppable_bytes < 0.1 * planned_peak(function, late):
        return function, {}  # what is around the loops makes no difference
    try:
        choice = fit(function, forward, budget, lambda candidate: planned_peak(candidate, late))
    except Least as found:
        if has_loops:
            return found.choice.function, _reasons(found.choice)
        name = function.name.removesuffix("_grad")
        raise BudgetError(
            f"memory={budget:,} bytes is too little for {name}: it needs at least "
            f"{found.choice.peak:,} bytes at its peak, results included.\n  That is the least that "
            "was found with values kept here and there and what is between them computed again."
        ) from None
    return choice.function, _reasons(choice)


def _reasons(choice: Choice) -> dict[Value, str]:
    if not choice.dropped:
        return {}
    return dict.fromkeys(choice.borders, "a segment starts from it")


class KeptTable:
    """What is kept for the gradient, and what is computed again; it prints as tables.

    `rows` hold the numbers of loops under a budget, `residuals` those of the rest of the program.
    """

    def __init__(self, rows: Sequence[Kept], residuals: Sequence[Residual] = ()) -> None:
        self.rows = tuple(rows)
        self.residuals = tuple(residuals)

    @property
    def peak(self) -> float:
        """The bytes that all loops together keep at most."""
        return sum(r.kept for r in self.rows if not r.depth)

    def __str__(self) -> str:
        texts = []
        if self.rows:
            texts.append(self._loops())
        if self.residuals:
            texts.append(self._line())
        return "\n\n".join(texts) or "nothing is kept for the gradient"

    def _loops(self) -> str:
        head = ("loop", "trips", "a state", "a step", "saved", "keeps", "of", "runs again")
        lines = _aligned([head, *[_cells(r) for r in self.rows]], left=(0, 4))
        return "\n".join([*lines, f"predicted peak: {_size(self.peak)}"])

    def _line(self) -> str:
        head = ("value", "made at", "", "times", "bytes", "about", "why")
        lines = _aligned([head, *map(_residual, self.residuals)], left=(0, 1, 2, 6))
        saved = sum(r.nbytes for r in self.residuals if r.is_saved)
        time = duration(sum(r.seconds for r in self.residuals)) or "0 µs"
        return "\n".join([*lines, f"saved: {_size(saved)}; computed again: about {time}"])


def _aligned(rows: Sequence[tuple[str, ...]], left: Container[int]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if k in left else text.rjust(width)
            for k, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _residual(row: Residual) -> tuple[str, ...]:
    return (
        row.op,
        _place(row.location),
        "saved" if row.is_saved else "computed again",
        f"{row.count:,}",
        _size(row.nbytes),
        "" if row.is_saved else duration(row.seconds),
        row.why,
    )


def _place(location: Location | None) -> str:
    return "" if location is None else f"{Path(location.file).name}:{location.line}"


def _cells(row: Kept) -> tuple[str, ...]:
    saved = "everything"
    if row.lengths:
        saved = f"a state in {row.lengths[-1]}: " + " × ".join(map(str, row.lengths))
        saved += f" + {row.rest}" if row.rest else ""
        saved += f", {row.rows - 1} at a time" if row.rows else ""
    return (
        "  " * row.depth + _place(row.location),
        "?" if row.trips is None else f"{row.trips:,}",
        _size(row.state) if row.lengths else "",
        _size(row.step) if row.lengths else "",
        saved,
        _size(row.kept),
        _size(row.everything),
        f"{row.extra:.2f}x" if row.lengths else "",
    )


def _size(count: float) -> str:
    if not isfinite(count):
        return "any"
    for unit in ("B", "KB", "MB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} GB"


__all__ = ["KeptTable", "bytes_of", "fitted", "planned_peak"]

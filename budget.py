"""`memory=`: a budget in bytes, and the table of what was chosen for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from .ir.errors import ArgumentError
from .passes.checkpoint import Kept

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


class KeptTable:
    """What loops keep for the gradient; `rows` hold the numbers, and it prints as a table."""

    def __init__(self, rows: Sequence[Kept]) -> None:
        self.rows = tuple(rows)

    @property
    def peak(self) -> float:
        """The bytes that all loops together keep at most."""
        return sum(r.kept for r in self.rows if not r.depth)

    def __str__(self) -> str:
        if not self.rows:
            return "no loop keeps anything, or there is no memory= budget"
        head = ("loop", "trips", "a state", "a step", "saved", "keeps", "of", "runs again")
        cells = [head, *[_cells(r) for r in self.rows]]
        widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
        lines = [
            "  ".join(
                text.ljust(width) if k in (0, 4) else text.rjust(width)
                for k, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        return "\n".join([*lines, f"predicted peak: {_size(self.peak)}"])


def _cells(row: Kept) -> tuple[str, ...]:
    place = "" if row.location is None else f"{Path(row.location.file).name}:{row.location.line}"
    saved = "everything"
    if row.lengths:
        saved = f"a state in {row.lengths[-1]}: " + " × ".join(map(str, row.lengths))
        saved += f" + {row.rest}" if row.rest else ""
        saved += f", {row.rows - 1} at a time" if row.rows else ""
    return (
        "  " * row.depth + place,
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


__all__ = ["KeptTable", "bytes_of"]

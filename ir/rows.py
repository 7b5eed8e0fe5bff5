"""Lays out printed lines: columns of names and types, and the margin with the source lines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from .core import Eqn, Provenance

MARGIN_COLUMN = 72
"""Longer lines push their margin out instead of everybody's."""


@dataclass
class Row:
    """One line: an equation, or other code with `name` and `type` empty."""

    depth: int
    name: str
    type: str
    text: str
    eqn: Eqn | None = None
    note: str = ""
    block: int = 0

    @property
    def is_single(self) -> bool:
        """Whether it has one name, which stands in the column of names."""
        return bool(self.name) and "," not in self.name

    def code(self, name_width: int, type_width: int) -> str:
        """Return the line, its columns padded."""
        head = ""
        if self.is_single:
            head = f"{self.name:<{name_width}} "
            if self.type:
                head += f": {self.type:<{type_width}} "
        elif self.name:
            head = f"{self.name} "
        tail = f"  # {self.note}" if self.note else ""
        return f"{'    ' * self.depth}{head}{'= ' if self.name else ''}{self.text}{tail}"


def lay_out(rows: Sequence[Row], margin: bool) -> list[str]:
    """Return the lines, aligned within each block."""
    widths: dict[int, tuple[int, int]] = {}
    for row in rows:
        if row.is_single:
            name, type = widths.get(row.block, (0, 0))
            widths[row.block] = (max(name, len(row.name)), max(type, len(row.type)))
    lines = [row.code(*widths.get(row.block, (0, 0))) for row in rows]
    notes = _margin(rows) if margin else [""] * len(rows)
    noted = [len(line) for line, note in zip(lines, notes, strict=True) if note]
    column = min(max(noted, default=0), MARGIN_COLUMN)
    return [
        f"{line:<{column}}  # {note}" if note else line
        for line, note in zip(lines, notes, strict=True)
    ]


def _margin(rows: Sequence[Row]) -> list[str]:
    """Return each row's source line: with its text the first time, and once for a run of rows."""
    places = [_place(row.eqn.provenance) if row.eqn is not None else None for row in rows]
    several = len({place[0] for place in places if place is not None}) > 1
    marks = [_mark(place, several) if place is not None else "" for place in places]
    width = max([2, *map(len, marks)])
    shown: set[tuple[str, int]] = set()
    notes: list[str] = []
    previous = ""
    for row, place, mark in zip(rows, places, marks, strict=True):
        if place is None or mark == previous or row.text.startswith("with fused("):
            notes.append("")
            continue
        file, line, _, text = place
        first = (file, line) not in shown and bool(text)
        shown.add((file, line))
        notes.append(f"{mark:>{width}}{f'  {text}' if first else ''}")
        previous = mark
    return notes


def _place(provenance: Provenance) -> tuple[str, int, bool, str] | None:
    location = provenance.location
    if location is None:
        return None
    text = "".join(c if c.isprintable() else " " for c in location.text).strip()
    return location.file, location.line, provenance.is_adjoint, text


def _mark(place: tuple[str, int, bool, str], several: bool) -> str:
    file, line, adjoint, _ = place
    where = f"{os.path.basename(file)}:{line}" if several else str(line)
    return f"{'∂' if adjoint else ''}{where}"

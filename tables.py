"""Tables of times and bytes: in plain text, or by rich where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDEST = 60
"""Columns of a cell in plain text; longer ones are cut."""
COMPUTING = 4.0
"""Operations for each byte from which on a rate is that of computing."""


@dataclass(frozen=True)
class Table:
    """Rows of text under heads, of which those with `>` in front stand to the right."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        heads = [head.removeprefix(">") for head in self.heads]
        rows = [[_cut(cell) for cell in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        lines = [
            "  ".join(
                f"{cell:>{width}}" if head.startswith(">") else f"{cell:<{width}}"
                for cell, width, head in zip(row, widths, self.heads, strict=True)
            ).rstrip()
            for row in [heads, ["─" * width for width in widths], *rows]
        ]
        return "\n".join([*self.notes, *lines])

    def rich(self) -> Any:
        """Return the table as rich draws it."""
        from rich.console import Group
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=None, header_style="bold", pad_edge=False)
        for head in self.heads:
            name = head.removeprefix(">")
            if head.startswith(">"):
                table.add_column(name, justify="right", no_wrap=True)
            else:
                table.add_column(name, overflow="ellipsis", no_wrap=True)
        for row in self.rows:
            table.add_row(*[Text(cell) for cell in row])
        return Group(*[Text(note, style="dim") for note in self.notes], table, "")

    def show(self) -> None:
        """Print the table, by rich where it is installed and there is a terminal."""
        if sys.stdout.isatty() and importlib.util.find_spec("rich") is not None:
            from rich.console import Console

            Console().print(self.rich())
        else:
            print(f"{self}\n")


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def duration(seconds: float) -> str:
    """Return a time with its unit, three digits; nothing for none."""
    if seconds <= 0:
        return ""
    name, length = unit(seconds)
    return f"{digits(seconds / length)} {name}"


def unit(seconds: float) -> tuple[str, float]:
    """Return the unit that suits a time, and its length in seconds."""
    if seconds >= 1:
        return "s", 1.0
    return ("ms", 1e-3) if seconds >= 1e-3 else ("µs", 1e-6)


def digits(number: float) -> str:
    """Return a number with three digits, or with those before the point."""
    return f"{number:.3g}" if number < 999.5 else f"{number:.0f}"


def amount(nbytes: float) -> str:
    """Return a number of bytes with its unit, three digits."""
    if nbytes <= 0:
        return ""
    for power, name in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if nbytes >= 1024**power:
            return f"{digits(nbytes / 1024**power)} {name}"
    return f"{nbytes:.0f} B"


def percent(share: float) -> str:
    """Return a share in per cent."""
    return f"{100 * share:.1f} %"


def rate(nbytes: float, flops: float, seconds: float) -> str:
    """Return the rate at which memory was read and written, or, of dense work, of operations."""
    if seconds <= 0 or nbytes <= 0:
        return ""
    if flops > COMPUTING * nbytes:
        return f"{flops / seconds / 1e9:.3g} GFLOP/s"
    return f"{nbytes / seconds / 1e9:.3g} GB/s"


__all__ = ["Table", "amount", "digits", "duration", "percent", "rate", "unit"]

"""A race as tables: one for each case and size, as soon as it is measured."""

from typing import Any

from .contestants import PULLBACK
from .figures import comparison, duration, frame, optional, share, size_in_bytes, span
from .machine import machine_lines, missing
from .results import RATIOS, Measurement, Result

WIDTH = 120
"""Columns of the table: wider than rich takes a file to be."""


EXPLAINED = (
    "Times are medians per call. first: making a contestant ready and its first call; with "
    "import: in a new process.\nmemory: the peak of a call beyond inputs and results. bound: "
    "the least time in which the inputs and results can move,\nor the products be computed, "
    "by the rates above, as a share of the time per call."
)


def heading(facts: dict[str, Any], explained: str = EXPLAINED) -> str:
    """Say in a few lines on what and against whom the race is run, and what columns mean."""
    return "\n".join([*machine_lines(facts), *filter(None, [missing()]), explained])


def table(result: Result, suite: str = "models") -> Any:
    """Make a rich table of one case at one size; a column that a suite never fills is left out."""
    columns = [column for column in COLUMNS if suite == "models" or column not in OF_MODELS]
    found = frame(f"{result.label} ({result.facts['dtype']})", *columns)
    for m in result.measurements:
        style = "bold" if m.contestant == PULLBACK.name else None
        name = f"{m.contestant} {m.note}".rstrip()
        cells = _cells(result, m, suite)
        found.add_row(name, *(cells[column] for column in columns), style=style)
    return found


COLUMNS = (
    *("per call", "quartiles", "pullback is", "first", "with import", "memory", "bound", "error"),
)
OF_MODELS = frozenset({"with import", "bound"})


def _cells(result: Result, m: Measurement, suite: str) -> dict[str, str]:
    if not m.samples:
        return {**dict.fromkeys(COLUMNS, ""), "per call": "[red]failed[/]"}
    texts = (
        duration(m.median),
        span(*m.quartiles),
        _compared(result, m, suite),
        optional(duration, m.first_call),
        optional(duration, m.first_with_import),
        optional(size_in_bytes, m.peak_bytes),
        (nearness(result) or "") if m.contestant == PULLBACK.name else "",
        optional(lambda error: f"{error:.0e}", m.error),
    )
    return dict(zip(COLUMNS, texts, strict=True))


def _compared(result: Result, m: Measurement, suite: str) -> str:
    """Compare with pullback: a peer by speed, a forward by its cost."""
    for what, (over, under) in RATIOS[suite].items():
        ratio = result.ratio(over, under)
        if ratio is not None and over == m.contestant and under == PULLBACK.name:
            return comparison(ratio)
        if ratio is not None and under == m.contestant and what.startswith("gradient"):
            return f"{ratio:.3g}x its time"
    return ""


def nearness(result: Result) -> str | None:
    """Say which part of its time a call of pullback must take, and by which rate."""
    ours, bound = result.of(PULLBACK.name), result.facts.get("bound_s")
    if ours is None or bound is None:
        return None
    return f"{share(bound / ours.median)} {result.facts['bound_by']}"

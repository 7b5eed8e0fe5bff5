"""The race of models as tables: one for each case and size, as soon as it is measured."""

from typing import Any

from .contestants import PULLBACK
from .figures import comparison, duration, frame, optional, share, size_in_bytes, span
from .machine import machine_lines, missing
from .results import RATIOS, Measurement, Result

WIDTH = 120
"""Columns of the table: wider than rich takes a file to be."""


def heading(facts: dict[str, Any]) -> str:
    """Say in a few lines on what and against whom the race is run, and what columns mean."""
    explained = (
        "Times are medians per call. first: making a contestant ready and its first call; with "
        "import: in a new process.\nmemory: the peak of a call beyond inputs and results. bound: "
        "the least time in which the inputs and results can move,\nor the products be computed, "
        "by the rates above, as a share of the time per call."
    )
    return "\n".join([*machine_lines(facts), *filter(None, [missing()]), explained])


def table(result: Result) -> Any:
    """Make a rich table of one case at one size."""
    found = frame(
        f"{result.label} ({result.facts['dtype']})",
        *("per call", "quartiles", "pullback is", "first", "with import", "memory", "bound"),
        "error",
    )
    for m in result.measurements:
        style = "bold" if m.contestant == PULLBACK.name else None
        name = f"{m.contestant} {m.note}".rstrip()
        found.add_row(name, *_cells(result, m), style=style)
    return found


def _cells(result: Result, m: Measurement) -> list[str]:
    if not m.samples:
        return ["[red]failed[/]", *[""] * 7]
    return [
        duration(m.median),
        span(*m.quartiles),
        _compared(result, m),
        optional(duration, m.first_call),
        optional(duration, m.first_with_import),
        optional(size_in_bytes, m.peak_bytes),
        (nearness(result) or "") if m.contestant == PULLBACK.name else "",
        optional(lambda error: f"{error:.0e}", m.error),
    ]


def _compared(result: Result, m: Measurement) -> str:
    """Compare with the gradient of pullback: a peer by speed, a forward by its cost."""
    for what, (over, under) in RATIOS["models"].items():
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

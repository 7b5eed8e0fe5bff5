"""What `loops` measured, as tables by family, geometric means, and JSON to keep."""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from .corpus.program import Program
from .loops import Row, measure
from .report import duration, environment, size_in_bytes

WIDTH = 136
"""Columns of the table: wider than most terminals, and than rich takes a file to be."""

RATIOS = {
    "compiled against plain": ("plain", "forward"),
    "gradient to compiled forward": ("gradient", "forward"),
    "gradient to plain forward": ("gradient", "plain"),
    "forward against JAX": ("jax forward", "forward"),
    "gradient against JAX": ("jax gradient", "gradient"),
}
"""What is compared: how many times as long as the second the first takes."""

GROUPS = {"array bodies": ("array",), "scalar bodies": ("scalar",), "all": ("array", "scalar")}


def run(programs: Sequence[Program], quick: bool) -> list[Row]:
    """Measure programs and print each family's table when it is done, then the means."""
    from rich.console import Console

    console = Console(width=max(Console().width, WIDTH))
    console.print(heading(quick), markup=False, highlight=False)
    rows: list[Row] = []
    for family, part in groupby(measure(programs, quick=quick), key=lambda row: row.family):
        found = list(part)
        rows += found
        console.print(table(family, found))
        for row in found:
            if row.error:
                console.print(f"  {row.name}: {row.error}", style="red", markup=False)
    console.print(means_table(rows))
    failed = [row.name for row in rows if row.error]
    if failed:
        console.print(f"{len(failed)} of {len(rows)} failed: {', '.join(failed)}", style="red")
    return rows


def heading(quick: bool) -> str:
    """Say where and how it is measured."""
    facts = environment()
    jax = facts["peers"].get("jax")
    sizes = "small" if quick else "large"
    return (
        f"{facts['processor']}, {facts['threads']} threads, float64, {sizes} sizes; "
        f"Python {facts['python']}, NumPy {facts['numpy']}, "
        + (f"jax {jax}" if jax else "jax is not installed, so left out")
        + "\nTimes are medians per call. compile: the first gradient less a later one. "
        "plain/, /fwd, /plain: ratios to the compiled forward,\nof the gradient to it and to plain "
        "NumPy. JAX: how many times as long its forward and gradient take."
    )


def table(family: str, rows: Sequence[Row]) -> Any:
    """Make a rich table of one family."""
    result = _empty(family)
    result.add_column("", no_wrap=True)
    for name in ("lines", "compile", "plain", "compiled", "plain/", "gradient", "/fwd", "/plain"):
        result.add_column(name, justify="right", no_wrap=True)
    for name in ("JAX fwd", "JAX grad", "JAX compile", "memory"):
        result.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        cells = [
            _optional(duration, row.compile),
            *(_optional(duration, row.seconds(name)) for name in ("plain", "forward")),
            _ratio(row, "compiled against plain"),
            _optional(duration, row.seconds("gradient")),
            *(_ratio(row, f"gradient to {what} forward") for what in ("compiled", "plain")),
            *(_ratio(row, f"{what} against JAX") for what in ("forward", "gradient")),
            _optional(duration, row.jax_compile),
            _optional(size_in_bytes, row.peak_bytes),
        ]
        if row.error:
            cells = ["[red]failed[/]", *[""] * (len(cells) - 1)]
        result.add_row(row.name, str(row.lines), *cells)
    return result


def means_table(rows: Sequence[Row]) -> Any:
    """Make a rich table of the geometric means of the ratios, by group, and the worst of each."""
    result = _empty("geometric means (median; least to most)")
    result.add_column("", no_wrap=True)
    for group in GROUPS:
        result.add_column(group, justify="right", no_wrap=True)
    for what, contestants in RATIOS.items():
        cells = [
            _summary([row.ratio(*contestants) for row in rows if row.body in bodies])
            for bodies in GROUPS.values()
        ]
        result.add_row(what, *cells)
    sooner = [
        _summary([_sooner(row) for row in rows if row.body in bodies]) for bodies in GROUPS.values()
    ]
    result.add_row("compile against JAX", *sooner)
    return result


def geometric_mean(values: Sequence[float]) -> float:
    """Mean of ratios: that of the inverse ratios is its inverse."""
    return float(np.exp(np.mean(np.log(values))))


def to_json(rows: Iterable[Row], quick: bool) -> str:
    """Write every row with the environment that it was measured in."""
    results = [
        {
            "program": row.name,
            "family": row.family,
            "body": row.body,
            "lines": row.lines,
            "error": row.error,
            "compile_s": row.compile,
            "jax_compile_s": row.jax_compile,
            "peak_bytes": row.peak_bytes,
            "median_s": {name: row.seconds(name) for name in row.samples},
            "ratios": {what: row.ratio(*of) for what, of in RATIOS.items()},
            "samples_s": row.samples,
        }
        for row in rows
    ]
    facts = environment() | {"dtype": "float64", "quick": quick}
    return json.dumps({"environment": facts, "results": results}, indent=2) + "\n"


def _empty(title: str) -> Any:
    from rich import box
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def _optional(write: Any, value: Any) -> str:
    return "" if value is None else str(write(value))


def _ratio(row: Row, what: str) -> str:
    return _optional(lambda r: f"{r:.2f}", row.ratio(*RATIOS[what]))


def _sooner(row: Row) -> float | None:
    if row.compile is None or row.jax_compile is None:
        return None
    # A first call may take no longer than a later one by the clock.
    return row.jax_compile / max(row.compile, 1e-6)


def _summary(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    middle, low, high = np.median(known), min(known), max(known)
    return f"{geometric_mean(known):.2f} ({middle:.2f}; {low:.2f} to {high:.3g})"

"""What `loops` measured, as tables by family and geometric means."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .figures import duration, frame, optional, size_in_bytes
from .machine import machine_lines, missing
from .results import RATIOS, Document, Result, geometric_mean, known

WIDTH = 144
"""Columns of the table: wider than most terminals, and than rich takes a file to be."""

GROUPS = {"array bodies": ("array",), "scalar bodies": ("scalar",), "all": ("array", "scalar")}


def heading(facts: dict[str, Any]) -> str:
    """Say where and how it is measured."""
    explained = (
        f"float64, {'small' if facts['quick'] else 'large'} sizes. Times are medians per call. "
        "compile: the first gradient less a later one. "
        "kept: plain, where malloc keeps its pages.\n"
        "plain/, /fwd, /plain: ratios to the compiled forward, of the gradient to it and to plain "
        "NumPy. JAX: how many times as long\nits forward and gradient take. "
        "memory: the peak of a gradient beyond arguments and results."
    )
    return "\n".join([*machine_lines(facts), *filter(None, [missing()]), explained])


def table(family: str, results: Sequence[Result]) -> Any:
    """Make a rich table of one family."""
    found = frame(
        family,
        *("lines", "compile", "plain", "kept", "compiled", "plain/", "gradient", "/fwd", "/plain"),
        *("JAX fwd", "JAX grad", "JAX compile", "memory"),
    )
    for result in results:
        cells = [
            optional(duration, compile_seconds(result)),
            *(_seconds(result, name) for name in ("plain", "plain, pages kept", "forward")),
            _ratio(result, "compiled against plain"),
            _seconds(result, "gradient"),
            *(_ratio(result, f"gradient to {what} forward") for what in ("compiled", "plain")),
            *(_ratio(result, f"{what} against JAX") for what in ("forward", "gradient")),
            optional(duration, jax_compile_seconds(result)),
            optional(size_in_bytes, peak_bytes(result)),
        ]
        if result.failure:
            cells = ["[red]failed[/]", *[""] * (len(cells) - 1)]
        found.add_row(result.case, str(result.facts["lines"]), *cells)
    return found


def compile_seconds(result: Result) -> float | None:
    """Give the seconds that the gradient (or, without one, the forward) was compiled in."""
    found = result.of("gradient") or result.of("forward")
    return None if found is None else found.first_call


def jax_compile_seconds(result: Result) -> float | None:
    """Give the seconds that JAX compiled its gradient in."""
    return result.first_call("jax gradient")


def peak_bytes(result: Result) -> int | None:
    """Give the bytes that the gradient (or, without one, the forward) needs at once."""
    found = result.of("gradient") or result.of("forward")
    return None if found is None else found.peak_bytes


def means_table(results: Sequence[Result]) -> Any:
    """Make a rich table of the geometric means of the ratios, by group, and the worst of each."""
    found = frame("geometric means (median; least to most)", *GROUPS)

    def row(what: str, value: Any) -> None:
        cells = [
            _summary(known(value(r) for r in results if r.facts["body"] in bodies))
            for bodies in GROUPS.values()
        ]
        found.add_row(what, *cells)

    for what, pair in RATIOS["loops"].items():
        row(what, lambda result, pair=pair: result.ratio(*pair))
    row("compile against JAX", _sooner)
    return found


def lines(document: Document) -> list[str]:
    """Say what failed."""
    failed = [result.case for result in document.results if result.failures]
    if not failed:
        return []
    return [f"{len(failed)} of {len(document.results)} failed: {', '.join(failed)}"]


def _seconds(result: Result, contestant: str) -> str:
    found = result.of(contestant)
    return "" if found is None else duration(found.median)


def _ratio(result: Result, what: str) -> str:
    return optional(lambda r: f"{r:.2f}", result.ratio(*RATIOS["loops"][what]))


def _sooner(result: Result) -> float | None:
    ours, theirs = compile_seconds(result), jax_compile_seconds(result)
    if ours is None or theirs is None:
        return None
    # A first call may take no longer than a later one by the clock.
    return theirs / max(ours, 1e-6)


def _summary(values: Iterable[float]) -> str:
    found = list(values)
    if not found:
        return ""
    middle, low, high = np.median(found), min(found), max(found)
    return f"{geometric_mean(found):.2f} ({middle:.2f}; {low:.2f} to {high:.3g})"

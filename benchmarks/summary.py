"""What all cases together say: means against each contestant, the worst, and what misses a mark."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from .contestants import PULLBACK
from .figures import duration, frame, size_in_bytes
from .results import RATIOS, Document, Result, geometric_mean, known, present


def peers_of(suite: str) -> dict[str, tuple[str, str]]:
    """Give the ratios to other contestants: how many times as long as pullback they take."""
    return {what: pair for what, pair in RATIOS[suite].items() if pair[1] == PULLBACK.name}


PEERS = peers_of("models")
"""The ratios to other gradients."""

LARGE = 10_000
"""Entries of its inputs from which on a case's gradient should cost a few forwards."""

MOST = 3.5
"""Forwards that a gradient of a large case should cost at most."""

SOON, SOONER = {"models": 0.015, "transforms": 0.06}, 8.0
"""Seconds of a first call, or how many times sooner than JAX's: one of both should hold."""

MORE_MEMORY, MORE_BYTES = 1.1, 4 * 2**20
"""A call should need at most so many times JAX's memory, or so many bytes more."""


def tables(document: Document) -> list[Any]:
    """Make the rich tables of the summary."""
    peers = peers_of(document.suite)
    return [peers_table(document.results, peers), families_table(document.results, peers)]


Peers = Mapping[str, tuple[str, str]]


def peers_table(results: Sequence[Result], peers: Peers = PEERS) -> Any:
    """Make a table of the ratios to each contestant over all cases."""
    found = frame(
        "pullback against each, over all cases and sizes",
        *("rows", "geometric mean", "of cases", "median", "under 1", "under 0.7", "worst"),
    )
    for name, pair in peers.items():
        ratios = {r.label: ratio for r in results if (ratio := r.ratio(*pair)) is not None}
        if not ratios:
            continue
        values = list(ratios.values())
        worst = min(ratios, key=lambda label: ratios[label])
        found.add_row(
            name,
            str(len(values)),
            f"{geometric_mean(values):.2f}x",
            f"{geometric_mean(_of_cases(results, pair)):.2f}x",
            f"{np.median(values):.2f}x",
            str(sum(v < 1 for v in values)),
            str(sum(v < 0.7 for v in values)),
            f"{ratios[worst]:.2f}x {worst}",
        )
    return found


def _of_cases(results: Sequence[Result], pair: tuple[str, str]) -> list[float]:
    """Give the mean over the sizes of each case: one with many sizes then weighs no more."""
    by_case: dict[str, list[float]] = {}
    for result in results:
        ratio = result.ratio(*pair)
        if ratio is not None:
            by_case.setdefault(result.case, []).append(ratio)
    return [geometric_mean(values) for values in by_case.values()]


def families_table(results: Sequence[Result], peers: Peers = PEERS) -> Any:
    """Make a table of the geometric means by family."""
    peers = present(results, peers)
    found = frame("geometric means by family", "rows", *peers)
    for family in dict.fromkeys(result.family for result in results):
        part = [result for result in results if result.family == family]
        cells: list[str] = []
        for pair in peers.values():
            values = known(result.ratio(*pair) for result in part)
            cells.append(f"{geometric_mean(values):.2f}x" if values else "")
        found.add_row(family, str(len(part)), *cells)
    return found


def lines(document: Document) -> list[str]:
    """Say which cases are behind a contestant, or miss another mark, and what failed."""
    results = document.results
    found = [
        _named(f"Slower than {name}", results, partial(_behind, pair))
        for name, pair in present(results, peers_of(document.suite)).items()
    ]
    found += [_first_calls(document), _costs(results), _memory(results), _failed(results)]
    return [line for line in found if line]


def _behind(pair: tuple[str, str], result: Result) -> str:
    ratio = result.ratio(*pair)
    return f"{ratio:.3g}x" if ratio is not None and ratio < 1 else ""


def _named(title: str, results: Iterable[Result], missed: Callable[[Result], str]) -> str:
    names = [f"{r.label} ({text})" for r in results if (text := missed(r))]
    return f"{title}: {'; '.join(names) or 'none'}."


def _first_calls(document: Document) -> str:
    """Compare first calls with JAX's, imports excluded."""
    results, soon = document.results, SOON[document.suite]

    def ours(result: Result) -> float | None:
        return result.first_call(PULLBACK.name)

    def sooner(result: Result) -> float | None:
        jax, first = result.first_call("jax"), ours(result)
        return None if jax is None or first is None else jax / first

    def missed(result: Result) -> str:
        first, ratio = ours(result), sooner(result)
        if first is None or first < soon or (ratio is not None and ratio >= SOONER):
            return ""
        return duration(first) + ("" if ratio is None else f", {ratio:.2g}x sooner than JAX")

    ratios, firsts = known(map(sooner, results)), known(map(ours, results))
    if not firsts:
        return ""
    what = "First gradient" if document.suite == "models" else "First call"
    title = f"{what}: {duration(float(np.median(firsts)))} by the median"
    if ratios:
        title += f", {geometric_mean(ratios):.2g}x sooner than JAX by the geometric mean"
    return _named(
        f"{title}; neither under {duration(soon)} nor {SOONER:g}x sooner", results, missed
    )


def _costs(results: Sequence[Result]) -> str:
    """Say what gradients of large cases cost in forwards."""
    large = [r for r in results if r.facts.get("entries", 0) > LARGE]
    pair = RATIOS["models"]["gradient to plain forward"]
    costs = known(r.ratio(*pair) for r in large)
    if not costs:
        return ""

    def missed(result: Result) -> str:
        cost = result.ratio(*pair)
        return f"{cost:.2f}x" if cost is not None and cost > MOST else ""

    return _named(
        f"Gradient to plain forward, inputs over 10^4 entries: {geometric_mean(costs):.2f}x by the "
        f"geometric mean, at most {max(costs):.2f}x; over {MOST}",
        large,
        missed,
    )


def _memory(results: Sequence[Result]) -> str:
    """Name the cases that need more memory than JAX."""

    def peaks(result: Result) -> list[float]:
        return known(map(result.peak_bytes, (PULLBACK.name, "jax")))

    compared = [result for result in results if len(peaks(result)) == 2]
    if not compared:
        return ""

    def missed(result: Result) -> str:
        ours, theirs = peaks(result)
        if ours <= max(MORE_MEMORY * theirs, theirs + MORE_BYTES):
            return ""
        return f"{size_in_bytes(ours)} against {size_in_bytes(theirs)}"

    return _named("More memory than JAX's by over 10 % and 4 MiB", compared, missed)


def _failed(results: Sequence[Result]) -> str:
    failed = [f"{r.label} ({', '.join(r.failures)})" for r in results if r.failures]
    return f"Failed: {'; '.join(failed)}." if failed else ""

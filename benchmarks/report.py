"""What the harness measured, as a table to read and as JSON to keep."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .contestants import CONTESTANTS, PULLBACK, threads
from .harness import Measurement

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")


def environment() -> dict[str, Any]:
    """Give what the figures depend on: machine, threads, versions."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name', '?')} {blas.get('version', '?')}",
        "threads": threads(),
        "thread_variables": {v: os.environ[v] for v in THREAD_VARIABLES if v in os.environ},
        "dtype": "float32",
        "peers": {c.name: c.version for c in CONTESTANTS if c.package and c.is_installed},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor()


def missing() -> str:
    """Say which peers are not installed and how to get them; empty if all are there."""
    absent = [c.name for c in CONTESTANTS if not c.is_installed]
    if not absent:
        return ""
    extras = {"bench-torch" if name == "torch" else "bench" for name in absent}
    return (
        f"Not installed, so left out: {', '.join(absent)}."
        f"  pip install 'pullback[{','.join(sorted(extras))}]'"
    )


def heading() -> str:
    """Say in a few lines on what and against whom the race is run."""
    facts = environment()
    versions = {"Python": facts["python"], "NumPy": facts["numpy"], **facts["peers"]}
    lines = [
        f"{facts['processor']}, {facts['threads']} threads, {facts['dtype']}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    return "\n".join(filter(None, [*lines, missing()]))


def ratio_to_pullback(race: Sequence[Measurement], measurement: Measurement) -> float | None:
    """How many times as long as pullback's a contestant's call takes."""
    for other in race:
        if other.contestant == PULLBACK.name:
            return measurement.median / other.median
    return None


def to_json(races: Iterable[Sequence[Measurement]]) -> str:
    """Write every measurement with the environment that it was made in."""
    results = [
        {
            "case": m.case,
            "size": m.size,
            "contestant": m.contestant,
            "note": m.note,
            "first_call_s": m.first_call,
            "median_s": m.median,
            "quartiles_s": m.quartiles,
            "times_pullback": ratio_to_pullback(race, m),
            "peak_bytes": m.peak_bytes,
            "gradient_error": m.error,
            "samples_s": m.samples,
        }
        for race in races
        for m in race
    ]
    return json.dumps({"environment": environment(), "results": results}, indent=2) + "\n"


def table(race: Sequence[Measurement]) -> Any:
    """Make a rich table of one case at one size, 80 columns wide."""
    from rich import box
    from rich.table import Table

    title = f"{race[0].case}: {race[0].size}"
    result = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    result.add_column("", no_wrap=True)
    for heading in ("per call", "quartiles", "pullback is", "first call", "memory", "error"):
        result.add_column(heading, justify="right", no_wrap=True)
    for m in race:
        ratio = ratio_to_pullback(race, m)
        mine = m.contestant == PULLBACK.name
        result.add_row(
            f"{m.contestant} {m.note}".rstrip(),
            duration(m.median),
            span(*m.quartiles),
            "" if mine or ratio is None else comparison(ratio),
            duration(m.first_call),
            size_in_bytes(m.peak_bytes),
            f"{m.error:.0e}",
            style="bold" if mine else None,
        )
    return result


def comparison(ratio: float) -> str:
    """Say how much faster pullback is than one that takes `ratio` times as long."""
    if ratio >= 1:
        return f"[green]{ratio:.3g}x faster[/]"
    return f"[red]{1 / ratio:.3g}x slower[/]"


def unit(seconds: float) -> tuple[str, float]:
    """Choose the unit that suits a time, and its length in seconds."""
    if seconds >= 1:
        return "s", 1.0
    return ("ms", 1e-3) if seconds >= 1e-3 else ("µs", 1e-6)


def duration(seconds: float) -> str:
    """Write a time with three digits."""
    name, length = unit(seconds)
    return f"{seconds / length:.3g} {name}"


def span(low: float, high: float) -> str:
    """Write two times in one unit."""
    name, length = unit(high)
    return f"{low / length:.3g}-{high / length:.3g} {name}"


def size_in_bytes(count: int) -> str:
    """Write a size in the unit that suits it."""
    for unit, scale in (("MiB", 2**20), ("KiB", 2**10)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} B"

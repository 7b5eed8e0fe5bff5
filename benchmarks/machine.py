"""The machine: what it is, what is installed, and how fast its memory and its BLAS are."""

import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np

from .contestants import CONTESTANTS, threads
from .work import Rates

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")

TILE = 65536
"""Elements of a tile of the triad: its scratch stays in the second cache, ufuncs stay long."""


@cache
def rates(quick: bool = False) -> Rates:
    """Measure the machine, once."""
    count, n, seconds = (2**22, 512, 0.15) if quick else (2**23, 1536, 1.0)
    return Rates(
        bandwidth=triad(count, seconds),
        blas={dtype: product(n, dtype, seconds) for dtype in ("float32", "float64")},
    )


def triad(count: int, seconds: float) -> float:
    """Measure bytes a second in ``a = b + s * c``, as STREAM counts them (McCalpin 1995).

    Arrays of float64 far larger than the caches, in one pass by tiles, over all threads.
    """
    a, b, c = np.zeros(count), np.ones(count), np.ones(count)
    workers = threads()
    bounds = np.linspace(0, count, workers + 1).astype(int)

    def part(low: int, high: int) -> None:
        scratch = np.empty(TILE)
        for start in range(low, high, TILE):
            stop = min(start + TILE, high)
            tile = scratch[: stop - start]
            np.multiply(c[start:stop], 3.0, tile)
            np.add(b[start:stop], tile, a[start:stop])

    with ThreadPoolExecutor(workers) as pool:

        def run() -> None:
            list(pool.map(part, bounds[:-1], bounds[1:]))

        return 3 * 8 * count / fastest(run, seconds)


def product(n: int, dtype: str, seconds: float) -> float:
    """Measure operations a second in the product of two square matrices."""
    a, b = np.ones((n, n), dtype), np.ones((n, n), dtype)
    c = np.empty_like(a)
    return 2 * n**3 / fastest(lambda: np.matmul(a, b, c), seconds)


def fastest(run: Callable[[], Any], seconds: float) -> float:
    """Give the time of the fastest call among those of some seconds, after one that warms up."""
    run()
    best, stop = float("inf"), time.perf_counter() + seconds
    while (start := time.perf_counter()) < stop or best == float("inf"):
        run()
        best = min(best, time.perf_counter() - start)
    return max(best, 1e-9)


def environment(measured: Rates | None = None) -> dict[str, Any]:
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
        "peers": {c.name: c.version for c in CONTESTANTS if c.package and c.is_installed},
        "rates": None if measured is None else asdict(measured),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor()


def machine_lines(facts: dict[str, Any]) -> list[str]:
    """Say in a few lines what a document's figures were measured on."""
    versions = {"Python": facts["python"], "NumPy": facts["numpy"], **facts["peers"]}
    lines = [
        f"{facts['processor']}, {facts['threads']} threads; {facts['blas']}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    if facts.get("rates"):
        blas = {dtype: rate / 1e9 for dtype, rate in facts["rates"]["blas"].items()}
        lines.append(
            f"memory {facts['rates']['bandwidth'] / 1e9:.3g} GB/s (triad); products "
            f"{blas['float32']:.3g} GFLOP/s in float32, {blas['float64']:.3g} in float64"
        )
    if facts["thread_variables"]:
        lines.append(", ".join(f"{k}={v}" for k, v in facts["thread_variables"].items()))
    return lines


def missing() -> str:
    """Say which peers are not installed and how to get them; empty if all are there."""
    absent = [c.name for c in CONTESTANTS if not c.is_installed and c.package]
    if not absent:
        return ""
    extras = {"bench-torch" if name == "torch" else "bench" for name in absent}
    return (
        f"Not installed, so left out: {', '.join(absent)}."
        f"  pip install 'pullback[{','.join(sorted(extras))}]'"
    )

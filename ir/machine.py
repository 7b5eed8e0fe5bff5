"""What the compiler knows of the machine: cores and cache sizes, on which schedules depend."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1 << 10, "M": 1 << 20}
_CYCLES = 2.5
"""Cycles of a processor in a nanosecond."""


@dataclass(frozen=True)
class Machine:
    """Cores that this process may run on, bytes of the second-level and last-level caches.

    After a product, BLAS's threads wait busily for the next one for `blas_wait` nanoseconds.
    """

    cores: int = 1
    l2: int = 1 << 20
    l3: int = 8 << 20
    blas_wait: float = 2.7e7


@cache
def machine() -> Machine:
    """Return the machine that this process runs on; common sizes where they cannot be read."""
    sizes = dict(_cache_sizes())
    default = Machine()
    l2 = sizes.get(2, default.l2)
    return Machine(_cores(), l2, sizes.get(3, max(l2, default.l3)), _blas_wait())


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _blas_wait() -> float:
    """Return how long OpenBLAS's threads wait: 2**26 cycles unless its settings say otherwise."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name) == "1":
            return 0.0
    try:
        exponent = int(os.environ["OPENBLAS_THREAD_TIMEOUT"])
    except (KeyError, ValueError):
        return Machine().blas_wait
    return float(1 << min(max(exponent, 4), 30)) / _CYCLES


def _cache_sizes() -> list[tuple[int, int]]:
    """Return levels and bytes of the data caches, as Linux lists them."""
    found: list[tuple[int, int]] = []
    try:
        for folder in sorted(_CACHES.glob("index*")):
            size = (folder / "size").read_text().strip()
            if (folder / "type").read_text().strip() != "Instruction":
                scale = _UNITS.get(size[-1])
                nbytes = int(size[:-1]) * scale if scale else int(size)
                found.append((int((folder / "level").read_text()), nbytes))
    except (OSError, ValueError):
        return []
    return found

"""Runs contestants against each other: interleaved, after a warm-up, checked for agreement.

Every round gives each contestant, in a new random order, one slice of calls. What disturbs the
machine for a while then disturbs all of them. A slice is long enough for the clock to be exact and
starts with an untimed call, which brings the contestant's data and code back into the caches; a
pause before it lets the worker threads of the one before stop spinning. A round's time is its mean
per call; reported are the median of the rounds and their quartiles.
"""

import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from . import memory
from .case import Arguments, Case, Size, leaves
from .cases import logistic
from .contestants import CONTESTANTS, Contestant, Prepared, Run

TOLERANCE = 1e-3
"""Largest error, relative to the largest entry of a gradient, that float32 rounding may cause."""


class DisagreementError(AssertionError):
    """A contestant computes another gradient than the one written by hand."""


@dataclass(frozen=True)
class Effort:
    """How long to measure: more and longer slices give narrower quartiles."""

    rounds: int
    slice_seconds: float
    pause_seconds: float


FULL = Effort(rounds=25, slice_seconds=0.03, pause_seconds=0.03)
QUICK = Effort(rounds=7, slice_seconds=0.01, pause_seconds=0.005)


@dataclass
class Measurement:
    """What one contestant did on one case at one size; times in seconds, memory in bytes."""

    case: str
    size: str
    contestant: str
    note: str
    first_call: float
    error: float
    peak_bytes: int
    samples: list[float] = field(default_factory=list[float])

    @property
    def median(self) -> float:
        """Median time per call over the rounds."""
        return float(np.median(self.samples))

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile of the time per call."""
        low, high = np.quantile(self.samples, (0.25, 0.75))
        return float(low), float(high)


def measure(
    cases: Sequence[Case],
    *,
    quick: bool = False,
    contestants: Sequence[Contestant] = CONTESTANTS,
    effort: Effort | None = None,
) -> Iterator[list[Measurement]]:
    """Measure every case at every size (the quick one alone on demand), a list for each."""
    present = [contestant for contestant in contestants if contestant.is_installed]
    effort = effort or (QUICK if quick else FULL)
    # Imports and what a package does once are not the first case's to pay.
    for contestant in present:
        contestant.prepare(logistic.CASE, logistic.CASE.arguments(logistic.CASE.sizes[0])).run()
    for case in cases:
        for size in case.sizes:
            if size.quick or not quick:
                yield race(case, size, present, effort)


def race(
    case: Case, size: Size, contestants: Sequence[Contestant], effort: Effort
) -> list[Measurement]:
    """Measure `contestants` on `case` at `size`.

    Raises
    ------
    DisagreementError
        If one's value or gradient is not that of the gradient written by hand.
    """
    args = case.arguments(size)
    expected = case.by_hand(*args)
    runs: list[Run] = []
    measurements: list[Measurement] = []
    for contestant in contestants:
        prepared, first_call, result = _first_call(contestant, case, args)
        error = disagreement(result, expected)
        if not error <= TOLERANCE:
            raise DisagreementError(
                f"{contestant.name} on {case.name}, {size.label}: its value or gradient is off "
                f"from the one written by hand by {error:.2g} of the largest entry."
            )
        runs.append(prepared.run)
        measurements.append(
            Measurement(
                case=case.name,
                size=size.label,
                contestant=contestant.name,
                note=prepared.note,
                first_call=first_call,
                error=error,
                peak_bytes=_peak_bytes(contestant, prepared, case, args),
            )
        )
    for measurement, samples in zip(measurements, interleave(runs, effort), strict=True):
        measurement.samples = samples
    return measurements


def _peak_bytes(contestant: Contestant, prepared: Prepared, case: Case, args: Arguments) -> int:
    if prepared.peak is not None:
        return prepared.peak()
    # Made again under the trace, which then sees what is allocated once and kept.
    return memory.traced_peak(lambda: contestant.prepare(case, args).run)


def disagreement(result: Any, expected: Any) -> float:
    """Largest difference of value and gradient, each relative to its array's largest entry."""
    worst = 0.0
    for got, want in zip(leaves(result), leaves(expected), strict=True):
        got, want = np.asarray(got), np.asarray(want)
        if got.shape != want.shape:
            return float("inf")
        scale = max(float(np.max(np.abs(want))), float(np.finfo(np.float32).tiny))
        # A NaN would lose every comparison; here it wins.
        worst = float(np.maximum(worst, np.max(np.abs(got - want)) / scale))
    return worst


def _first_call(contestant: Contestant, case: Case, args: Arguments) -> tuple[Prepared, float, Any]:
    start = time.perf_counter()
    prepared = contestant.prepare(case, args)
    ready = time.perf_counter()
    result = prepared.run()
    end = time.perf_counter()
    # jax tries its variants while it prepares, which no user waits for.
    return prepared, end - (ready if prepared.note else start), result


def interleave(runs: Sequence[Run], effort: Effort, seed: int = 0) -> list[list[float]]:
    """Time `runs` in rounds of random order; gives each one's seconds per call, by round."""
    calls = [_calls_per_slice(run, effort.slice_seconds) for run in runs]
    samples: list[list[float]] = [[] for _ in runs]
    order = list(range(len(runs)))
    random = Random(seed)
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for _ in range(effort.rounds):
            random.shuffle(order)
            for i in order:
                time.sleep(effort.pause_seconds)
                samples[i].append(_seconds_per_call(runs[i], calls[i]))
    finally:
        if collecting:
            gc.enable()
    return samples


def _calls_per_slice(run: Run, seconds: float) -> int:
    for _ in range(3):
        run()
    return max(1, round(seconds / _seconds_per_call(run, 3)))


def _seconds_per_call(run: Run, calls: int) -> float:
    run()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls

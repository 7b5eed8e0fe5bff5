"""Runs contestants on a case: checked for agreement, timed in turn, and asked for their memory.

One that fails, disagrees, or takes too long gets a row that says so, and the others go on.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import Any

import numpy as np

from . import child, memory
from .case import Arguments, Raced, Size, leaves
from .cases import logistic
from .contestants import CONTESTANTS, PULLBACK, Contestant, Prepared
from .machine import rates
from .results import Measurement, Result
from .timing import (
    Effort,
    OutOfTimeError,
    Timer,
    failure_of,
    first_call,
    interleave,
    time_limit,
)
from .work import Rates, Work

TOLERANCES = {"float32": 1e-3, "float64": 1e-8}
"""Largest error, relative to the largest entry of a gradient, that rounding may cause."""

FULL = Effort(rounds=25, slice_seconds=0.03, pause_seconds=0.03)
QUICK = Effort(rounds=7, slice_seconds=0.01, pause_seconds=0.005, most_seconds=1.0)

SECONDS = 300.0
"""How long a contestant may take to get ready: an unrolled loop is compiled for minutes."""


class DisagreementError(AssertionError):
    """A contestant computes something else than what is written by hand."""


def measure(
    cases: Sequence[Raced],
    *,
    quick: bool = False,
    contestants: Sequence[Contestant] = CONTESTANTS,
    effort: Effort | None = None,
    imports: bool | None = None,
    first: Raced = logistic.CASE,
) -> Iterator[Result]:
    """Measure every case at every size (the quick one alone on demand).

    `imports` says whether first gradients are timed in new processes too: all but the quick ones.
    `first` is computed once before all, unmeasured.
    """
    present = [contestant for contestant in contestants if contestant.is_installed]
    effort = effort or (QUICK if quick else FULL)
    imports = not quick if imports is None else imports
    warm_up(present, first)
    for case in cases:
        for size in case.sizes:
            if size.quick or not quick:
                racers = [c for c in present if case.has(c.name, size)]
                yield race(case, size, racers, effort, rates=rates(quick), imports=imports)


def warm_up(contestants: Sequence[Contestant], case: Raced = logistic.CASE) -> None:
    """Do what a package does once, imports first, which is not the first case's to pay."""
    size = case.sizes[0]
    args = case.arguments(size)
    for contestant in contestants:
        if not case.has(contestant.name, size):
            continue
        # What fails here fails in the rows of the cases too, where it is shown.
        with suppress(Exception):
            contestant.prepare(case, args).run()


def race(
    case: Raced,
    size: Size,
    contestants: Sequence[Contestant],
    effort: Effort,
    *,
    rates: Rates | None = None,
    imports: bool = False,
) -> Result:
    """Measure `contestants` on `case` at `size`; whatever one raises is in its row."""
    result = Result(case.name, size.label, case.family, {"dtype": size.dtype})
    try:
        args = case.arguments(size)
        expected = case.by_hand(*args)
        result.facts |= facts_of(args, expected)
        with ExitStack() as contexts:
            for contestant in contestants:
                contexts.enter_context(contestant.precision(args))
            timers: dict[int, Timer] = {}
            for contestant in contestants:
                measurement, prepared = enter(contestant, case, size, args, expected)
                if prepared is not None:
                    timers[len(result.measurements)] = prepared.timed
                result.measurements.append(measurement)
                if prepared is not None and prepared.products is not None and rates is not None:
                    work = Work(result.facts["moved_bytes"], prepared.products())
                    bound, rate = work.bound(rates, size.dtype)
                    result.facts |= asdict(work) | {"bound_s": bound, "bound_by": rate}
            samples = interleave(list(timers.values()), effort)
        for index, found in zip(timers, samples, strict=True):
            result.measurements[index].samples = found
        for measurement in result.measurements:
            if imports and measurement.samples and measurement.contestant in IMPORTED:
                _time_with_import(measurement, case, args)
    except Exception as error:
        result.failure = failure_of(error)
    return result


IMPORTED = frozenset({PULLBACK.name, *(c.name for c in CONTESTANTS if c.package)})
"""The contestants whose first gradient is timed with the import of a package."""


def _time_with_import(measurement: Measurement, case: Raced, args: Arguments) -> None:
    try:
        measurement.first_with_import = child.first_gradient_with_import(
            measurement.contestant, case, args, measurement.note
        )
    except child.ChildError as error:
        measurement.failure = str(error)


def facts_of(args: Arguments, expected: Any) -> dict[str, Any]:
    """Count parameters, the entries of all inputs, and the bytes of inputs and results."""
    arrays = [np.asarray(leaf) for leaf in leaves(args)]
    results = [np.asarray(leaf) for leaf in leaves(expected)]
    return {
        "parameters": sum(np.size(leaf) for leaf in leaves(args[0])),
        "entries": sum(a.size for a in arrays),
        "moved_bytes": sum(a.nbytes for a in (*arrays, *results)),
    }


def enter(
    contestant: Contestant, case: Raced, size: Size, args: Arguments, expected: Any
) -> tuple[Measurement, Prepared | None]:
    """Make a contestant ready, time its first call, check its result, and ask for its memory."""
    measurement = Measurement(contestant.name)
    try:
        with time_limit(SECONDS):
            ready, prepared = first_call(lambda: contestant.prepare(case, args))
            called, result = first_call(prepared.run)
            if prepared.timer is None:
                # jax tries its variants while it prepares, which no user waits for.
                measurement.first_call = called if prepared.note else ready + called
            measurement.note = prepared.note
            measurement.error = check(contestant, case.compared(result), expected, size.dtype)
            if contestant.is_measured_for_memory:
                measurement.peak_bytes = _peak_bytes(contestant, prepared, case, args)
    except (Exception, OutOfTimeError) as error:
        # Without what was measured before it failed, which would enter the means.
        return Measurement(contestant.name, failure=failure_of(error)), None
    return measurement, prepared


def _peak_bytes(
    contestant: Contestant, prepared: Prepared, case: Raced, args: Arguments
) -> int | None:
    if prepared.peak is not None:
        return prepared.peak()
    # Made again under the trace, which then sees what is allocated once and kept.
    return memory.traced_peak(lambda: contestant.prepare(case, args).run)


def check(contestant: Contestant, result: Any, expected: Any, dtype: str) -> float:
    """Give the error of a result.

    Raises
    ------
    DisagreementError
        If it is larger than rounding explains, or if the result is of another dtype.
    """
    if contestant.is_forward:
        expected = expected[0]
    error = disagreement(result, expected)
    if not error <= TOLERANCES[dtype]:
        raise DisagreementError(
            f"its result is off from the one written by hand by {error:.2g} of the largest entry"
        )
    found = {np.asarray(leaf).dtype.name for leaf in leaves(result)}
    if found != {dtype}:
        raise DisagreementError(f"its results are {' and '.join(sorted(found))}, not {dtype}")
    return error


def disagreement(result: Any, expected: Any) -> float:
    """Largest difference of the arrays of two results, relative to the largest entry of each."""
    worst = 0.0
    for got, want in zip(leaves(result), leaves(expected), strict=True):
        got, want = np.asarray(got), np.asarray(want)
        if got.shape != want.shape:
            return float("inf")
        scale = max(float(np.max(np.abs(want))), float(np.finfo(np.float32).tiny))
        # A NaN would lose every comparison; here it wins.
        worst = float(np.maximum(worst, np.max(np.abs(got - want)) / scale))
    return worst

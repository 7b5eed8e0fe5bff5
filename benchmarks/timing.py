"""Times calls against each other: interleaved, after a warm-up, in rounds.

Every round gives each contestant, in a new random order, one slice of calls. What disturbs the
machine for a while then disturbs all of them. A slice is long enough for the clock to be exact and
starts with an untimed call, which brings the contestant's data and code back into the caches; a
pause before it lets the worker threads of the one before stop spinning. A round's time is its mean
per call; reported are the median of the rounds and their quartiles.
"""

import gc
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from types import FrameType
from typing import Any

Run = Callable[[], Any]

Timer = Callable[[int], float]
"""``timer(calls)`` gives the seconds that a call takes, as the mean of some."""

LONG = 0.05
"""Seconds from which on a call is long: it needs no other one to fill the caches before it."""

FEWEST = 5
"""Rounds that even the slowest contestant gets, so that it has quartiles."""


@dataclass(frozen=True)
class Effort:
    """How long to measure: more and longer slices give narrower quartiles.

    `most_seconds` bounds the time for one contestant, by fewer rounds of the slow ones.
    """

    rounds: int
    slice_seconds: float
    pause_seconds: float
    most_seconds: float = 8.0


def timer_of(run: Run) -> Timer:
    """Make the timer of calls in this process."""
    is_long = False

    def seconds_per_call(calls: int) -> float:
        nonlocal is_long
        if not is_long:
            run()
        start = time.perf_counter()
        for _ in range(calls):
            run()
        seconds = (time.perf_counter() - start) / calls
        is_long = seconds > LONG
        return seconds

    return seconds_per_call


def interleave(timers: Sequence[Timer], effort: Effort, seed: int = 0) -> list[list[float]]:
    """Time in rounds of random order; gives each one's seconds per call, by round."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        plans = [_plan(timer, effort) for timer in timers]
        samples: list[list[float]] = [[] for _ in timers]
        order = list(range(len(timers)))
        random = Random(seed)
        for _ in range(max((rounds for _, rounds in plans), default=0)):
            random.shuffle(order)
            for i in order:
                calls, rounds = plans[i]
                if len(samples[i]) < rounds:
                    time.sleep(effort.pause_seconds)
                    samples[i].append(timers[i](calls))
    finally:
        if collecting:
            gc.enable()
    return samples


def _plan(timer: Timer, effort: Effort) -> tuple[int, int]:
    """Choose the calls in a slice, and the rounds."""
    seconds = timer(1)
    if seconds <= LONG:
        seconds = timer(3)
    calls = max(1, round(effort.slice_seconds / max(seconds, 1e-9)))
    affordable = int(effort.most_seconds / max(calls * seconds, 1e-9))
    return calls, min(effort.rounds, max(affordable, FEWEST))


def first_call(run: Run) -> tuple[float, Any]:
    """Time a call, and give its result too."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


class OutOfTimeError(BaseException):
    """Something took too long; no handler of ordinary errors, in a tracer say, holds it up."""


@contextmanager
def time_limit(seconds: float) -> Generator[None, None, None]:
    """Raise `OutOfTimeError` inside after some time; without limit where alarms do not exist."""
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise OutOfTimeError(f"not done in {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def failure_of(error: BaseException) -> str:
    """Say in one line what went wrong."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

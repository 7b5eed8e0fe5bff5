"""Recorded calls as trace events, the JSON that Perfetto and chrome://tracing open.

Complete events (`ph` is `X`) nest by their times: the call, its program, loops, iterations,
equations. Times are in microseconds, as recorded: the clock's own time shows as gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .runtime.profiled import KEPT, PROGRAM, Recording, Span, Tally

if TYPE_CHECKING:
    from .times import EquationTime, StageTime

CALLS, COMPILATION = 1, 2
"""The numbers of the processes."""

Event = dict[str, Any]


def to_chrome(
    name: str,
    recordings: Sequence[Recording],
    rows: Sequence[EquationTime | None],
    stages: Sequence[StageTime],
) -> Event:
    """Return the trace of some calls and of the compilation before them."""
    origin = min(r.start for r in recordings)
    events = [_named("process_name", CALLS, 0, f"pullback: {name}")]
    threads: dict[int, int] = {}
    for recording in recordings:
        for ident in (recording.thread, *recording.tallies):
            if ident not in threads:
                threads[ident] = len(threads) + 1
                text = "calls" if len(threads) == 1 else f"worker {len(threads) - 1}"
                events.append(_named("thread_name", CALLS, threads[ident], text))
    for number, recording in enumerate(recordings):
        own = threads[recording.thread]
        call = Span(PROGRAM, recording.start, recording.end)
        events.append(_event(f"call {number + 1}", "call", call, origin, own, {}))
        for ident, tally in recording.tallies.items():
            events += _spans(tally, rows, origin, threads[ident])
    events += _compilation(stages)
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"function": name, "kept_of_each_equation": KEPT},
    }


def _named(kind: str, process: int, thread: int, text: str) -> Event:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": text}}


def _event(
    name: str,
    category: str,
    span: Span,
    origin: int,
    thread: int,
    args: dict[str, Any],
    process: int = CALLS,
) -> Event:
    return {
        "ph": "X",
        "name": name,
        "cat": category,
        "ts": (span.start - origin) / 1e3,
        "dur": (span.end - span.start) / 1e3,
        "pid": process,
        "tid": thread,
        "args": args,
    }


def _spans(
    tally: Tally, rows: Sequence[EquationTime | None], origin: int, thread: int
) -> list[Event]:
    """Return the events of one thread in one call."""
    events: list[Event] = []
    last: dict[int, int] = {}
    counts: dict[int, int] = {}
    for span in tally.spans:
        row = rows[span.number]
        if span.is_iteration:
            counts[span.number] = counts.get(span.number, 0) + 1
            last[span.number] = span.end
            label = f"iteration {counts[span.number]}"
            events.append(_event(label, "iteration", span, origin, thread, {}))
        elif row is not None:
            events.append(_event(row.text, row.direction, span, origin, thread, _args(row)))
            missing = tally.iterations[span.number] - KEPT
            if missing > 0 and tally.calls[span.number] == 1:
                rest = Span(span.number, last[span.number], span.end)
                label = f"{missing:,} more iterations"
                events.append(_event(label, "iteration", rest, origin, thread, {}))
    return events


def _args(row: EquationTime) -> dict[str, Any]:
    """Return what the viewer shows of an equation."""
    calls = row.calls or 1
    args: dict[str, Any] = {"type": row.type, "line": row.place, "source": row.source}
    args |= {"bytes": round(row.nbytes / calls), "operations": round(row.flops / calls)}
    return args


def _compilation(stages: Sequence[StageTime]) -> list[Event]:
    """Return the stages one after the other, as a process of their own."""
    if not stages:
        return []
    events = [
        _named("process_name", COMPILATION, 0, "pullback: compilation"),
        _named("thread_name", COMPILATION, 1, "stages"),
    ]
    start = 0
    for stage in stages:
        end = start + max(round(1e6 * stage.milliseconds), 0)
        span = Span(PROGRAM, start, end)
        events.append(_event(stage.name, "compilation", span, 0, 1, {}, COMPILATION))
        start = end
    return events


__all__ = ["to_chrome"]

"""What `explain` returns: what became of each loop and branch, and why each program was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .entries import GuardedEntry
from .ir.location import Location
from .tracer.guards import SPECIALISED, Decision

LONGEST = 48
"""Characters of the user's code that a row shows."""


class Row(NamedTuple):
    """A loop or branch, or a value that Python needed: its place, and what happened to it."""

    file: str
    line: int
    code: str
    what: str
    why: str


class Retrace(NamedTuple):
    """Why a program was made: what differs from the nearest of those before it."""

    number: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """Loops and branches met while tracing, in their order, and the programs of the function.

    It prints as a table.
    """

    name: str
    rows: tuple[Row, ...]
    retraces: tuple[Retrace, ...]

    def __str__(self) -> str:
        lines = [f"{self.name}: {_counted(len(self.rows), 'loop or branch', 'loops and branches')}"]
        places = [f"{Path(r.file).name}:{r.line}" for r in self.rows]
        codes = [_cut(r.code) for r in self.rows]
        widths = [max(map(len, column), default=0) for column in (places, codes)]
        for row, place, code in zip(self.rows, places, codes, strict=True):
            text = f"  {place:<{widths[0]}}  {code:<{widths[1]}}  {row.what}"
            lines.append(f"{text}: {row.why}" if row.why else text)
        lines.append(_counted(len(self.retraces), "program", "programs"))
        for retrace in self.retraces:
            first, *others = retrace.reasons
            lines.append(f"  {retrace.number}  {first}")
            lines += [f"  {'':<{len(str(retrace.number))}}  {other}" for other in others]
        return "\n".join(lines)

    __repr__ = __str__


def _code(location: Location) -> str:
    """Return the user's code at a place: the expression, or the line of a statement."""
    found = location.expression.partition("\n")[0].strip() or location.text.strip()
    return found.rstrip(":")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}" if count else f"no {many}"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def explained(
    name: str, decisions: Sequence[Decision], entries: Sequence[GuardedEntry]
) -> Explanation:
    """Return the explanation of a function for one call.

    Parameters
    ----------
    decisions
        What became of loops and branches, as the call was traced.
    entries
        The function's programs, the first made first.
    """
    retraces = [Retrace(k + 1, _reasons(e, entries[:k])) for k, e in enumerate(entries)]
    return Explanation(name, tuple(_rows(decisions)), tuple(retraces))


def _rows(decisions: Sequence[Decision]) -> list[Row]:
    """Return a row for each place; what happened several times there is counted."""
    places: dict[Location, dict[tuple[str, str], int]] = {}
    for location, what, why in decisions:
        counts = places.setdefault(location, {})
        counts[what, why] = counts.get((what, why), 0) + 1
    rows = []
    for location, counts in places.items():
        whats: dict[str, int] = {}
        for (what, _), count in counts.items():
            whats[what] = whats.get(what, 0) + count
        shown = [what if n == 1 else f"{what} ({n} times)" for what, n in whats.items()]
        whys = dict.fromkeys(why for _, why in counts if why)
        rows.append(
            Row(
                location.file,
                location.line,
                _code(location),
                ", ".join(shown),
                "; ".join(whys),
            )
        )
    return rows


def _reasons(entry: GuardedEntry, earlier: Sequence[GuardedEntry]) -> tuple[str, ...]:
    """Return how a program differs from the nearest of the earlier ones."""
    if not earlier:
        return ("the first call",)
    found = [_differences(entry, e) for e in earlier]
    return min(reversed(found), key=len)


def _differences(entry: GuardedEntry, other: GuardedEntry) -> tuple[str, ...]:
    differences = _arguments(entry.arguments, other.arguments)
    if differences:
        return differences
    branch = _branch(entry.traced.decisions, other.traced.decisions)
    if branch is not None:
        return (branch,)
    if entry.shared != other.shared:
        return ("other arrays overlap, and the function writes into them",)
    if entry.exact != other.exact:
        return ("a branch hangs on the last bits: it is computed exactly as NumPy does",)
    return ("something that the function reads from outside has changed",)


def _arguments(new: Mapping[str, str], old: Mapping[str, str]) -> tuple[str, ...]:
    paths = dict.fromkeys([*new, *old])
    return tuple(
        f"`{path}` is {new.get(path, 'absent')}, not {old.get(path, 'absent')}"
        for path in paths
        if new.get(path) != old.get(path)
    )


def _branch(new: Sequence[Decision], old: Sequence[Decision]) -> str | None:
    """Return the first place at which two traces went different ways."""
    for mine, other in zip(new, old, strict=False):
        if mine.location == other.location and mine.what == other.what:
            continue
        if mine.location != other.location:
            break
        place = f"{Path(mine.location.file).name}:{mine.location.line}"
        one, two = mine.what.removeprefix(SPECIALISED), other.what.removeprefix(SPECIALISED)
        return f"`{_cut(_code(mine.location))}` at {place} is {one}, not {two}"
    return None


__all__ = ["Explanation", "Retrace", "Row", "explained"]

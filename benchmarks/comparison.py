"""What changed between two runs: each ratio before and after, marked where quartiles part.

Two runs may have met another machine, or the same one under other work. Ratios between contestants
of one run hardly notice; times do. A ratio lies between the quotients of the quartiles of its two
times, and one that does so before and after without overlap has changed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .figures import duration, frame
from .machine import machine_lines
from .results import COSTS, Document, DocumentError, Result, geometric_mean

WIDTH = 150
"""Columns of the table of changes: names of cases are long."""

SUBJECTS = {
    "models": ("pullback",),
    "transforms": ("pullback",),
    "loops": ("forward", "gradient"),
}
"""The contestants whose own times are compared too."""

LEAST = 0.02
"""Changes by less than this part are no news, however narrow the quartiles are."""


@dataclass(frozen=True)
class Change:
    """A figure of one case before and after: a ratio between contestants, or a time."""

    label: str
    what: str
    before: float
    after: float
    spread_before: tuple[float, float]
    spread_after: tuple[float, float]
    is_time: bool = False

    @property
    def factor(self) -> float:
        """How many times better it became: a time or a cost by falling, a speed by growing."""
        grows = self.after / self.before
        return 1 / grows if self.is_time or self.what in COSTS else grows

    @property
    def is_significant(self) -> bool:
        """Whether the quartiles before and after lie apart."""
        (low, high), (least, most) = self.spread_before, self.spread_after
        return (high < least or most < low) and abs(self.factor - 1) >= LEAST

    @property
    def mark(self) -> str:
        """Say in a word what happened."""
        if not self.is_significant:
            return ""
        return "better" if self.factor > 1 else "worse"


def changes(before: Document, after: Document) -> list[Change]:
    """Give the changes of all figures that both runs have.

    Raises
    ------
    DocumentError
        If the runs are of different suites.
    """
    if before.suite != after.suite:
        raise DocumentError(
            f"The first file holds the suite {before.suite}, the second {after.suite}."
        )
    earlier = {result.label: result for result in before.results}
    return [
        change
        for result in after.results
        if result.label in earlier
        for change in _changes(after, earlier[result.label], result)
    ]


def _changes(document: Document, old: Result, new: Result) -> Iterator[Change]:
    for name in SUBJECTS[document.suite]:
        was, now = old.of(name), new.of(name)
        if was is not None and now is not None:
            yield Change(
                new.label, name, was.median, now.median, was.quartiles, now.quartiles, is_time=True
            )
    for what, pair in document.ratios.items():
        before, after = old.ratio(*pair), new.ratio(*pair)
        earlier, later = old.spread(*pair), new.spread(*pair)
        if before is not None and after is not None and earlier and later:
            yield Change(new.label, what, before, after, earlier, later)


def tables(before: Document, after: Document) -> list[Any]:
    """Make a table of the changes that quartiles confirm, and one of all means."""
    found = changes(before, after)
    news = frame("what changed", "figure", "before", "after", "became", "quartiles before", "after")
    for change in found:
        if change.is_significant:
            color = "green" if change.factor > 1 else "red"
            news.add_row(
                change.label,
                change.what,
                _text(change, change.before),
                _text(change, change.after),
                f"[{color}]{change.mark} {_times(change.factor)}[/]",
                *(
                    _spread(change, spread)
                    for spread in (change.spread_before, change.spread_after)
                ),
            )
    return [news, _means_table(found)] if news.row_count else [_means_table(found)]


def _means_table(found: Sequence[Change]) -> Any:
    means = frame(
        "geometric means over the cases that both have",
        *("cases", "before", "after", "better by", "better", "worse", "as before"),
    )
    for what in dict.fromkeys(change.what for change in found):
        part = [change for change in found if change.what == what]
        marks = [change.mark for change in part]
        before = geometric_mean([change.before for change in part])
        after = geometric_mean([change.after for change in part])
        means.add_row(
            what,
            str(len(part)),
            _text(part[0], before),
            _text(part[0], after),
            _times(geometric_mean([change.factor for change in part])),
            *(str(marks.count(mark)) for mark in ("better", "worse", "")),
        )
    return means


def lines(before: Document, after: Document) -> list[str]:
    """Say what only one run has, what fails, and where the runs were measured."""
    old = {result.label: result for result in before.results}
    new = {result.label: result for result in after.results}
    broken = [f"{label} ({', '.join(r.failures)})" for label, r in new.items() if r.failures]
    found = [
        ("Only before", [label for label in old if label not in new]),
        ("Only after", [label for label in new if label not in old]),
        ("Failed after", broken),
    ]
    text = [f"{title}: {', '.join(labels)}." for title, labels in found if labels]
    machines = machine_lines(before.environment), machine_lines(after.environment)
    if machines[0] == machines[1]:
        return [*text, *machines[0]]
    return [*text, "Before:", *machines[0], "After:", *machines[1]]


def _text(change: Change, value: float) -> str:
    return duration(value) if change.is_time else f"{value:.2f}x"


def _spread(change: Change, spread: tuple[float, float]) -> str:
    return " to ".join(_text(change, value) for value in spread)


def _times(factor: float) -> str:
    return f"{factor:.2f}x"

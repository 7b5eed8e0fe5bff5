"""The command ``pullback bench``: measures a suite, prints it, and keeps it in files."""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from . import comparison, harness, loops, loops_report, machine, report, summary
from .case import Raced
from .cases import CASES
from .corpus import PROGRAMS
from .results import Document, Result
from .transforms import TASKS
from .transforms.contestants import CONTESTANTS

TRANSFORMS_EXPLAINED = (
    "Times are medians per call. first: making a contestant ready and its first call.\n"
    "memory: the peak of a call beyond inputs and results."
)


@dataclass(frozen=True)
class Suite:
    """What is measured together, and how it is shown.

    Attributes
    ----------
    cases
        What can be measured, by name.
    what
        What one of them is called.
    listing
        Gives the lines that list one.
    measure
        ``measure(cases, quick=quick)`` yields results.
    tables
        Yields a table and the results in it, as results come.
    summary
        Gives the tables of what all say together.
    """

    cases: Mapping[str, Any]
    what: str
    width: int
    listing: Callable[[Any], Iterable[str]]
    measure: Callable[..., Iterator[Result]]
    heading: Callable[[dict[str, Any]], str]
    tables: Callable[[Iterable[Result]], Iterator[tuple[Any, Sequence[Result]]]]
    summary: Callable[[Document], Sequence[Any]]
    lines: Callable[[Document], Sequence[str]]


def _race_listing(case: Raced) -> Iterator[str]:
    yield f"{case.name:<16} {case.title}"
    for size in case.sizes:
        yield f"{'':<16}   {size.label}{'  (quick)' if size.quick else ''}"


def _race_tables(suite: str, results: Iterable[Result]) -> Iterator[tuple[Any, Sequence[Result]]]:
    for result in results:
        yield report.table(result, suite), [result]


def _loop_tables(results: Iterable[Result]) -> Iterator[tuple[Any, Sequence[Result]]]:
    for family, part in groupby(results, key=lambda result: result.family):
        found = list(part)
        yield loops_report.table(family, found), found


SUITES: Mapping[str, Suite] = {
    "models": Suite(
        CASES,
        "case",
        report.WIDTH,
        _race_listing,
        harness.measure,
        report.heading,
        partial(_race_tables, "models"),
        summary.tables,
        summary.lines,
    ),
    "transforms": Suite(
        TASKS,
        "task",
        report.WIDTH,
        _race_listing,
        partial(
            harness.measure,
            contestants=CONTESTANTS,
            imports=False,
            first=TASKS["logistic_hessian"],
        ),
        partial(report.heading, explained=TRANSFORMS_EXPLAINED),
        partial(_race_tables, "transforms"),
        summary.tables,
        summary.lines,
    ),
    "loops": Suite(
        PROGRAMS,
        "program",
        loops_report.WIDTH,
        lambda program: [f"{program.name:<22} {program.title}"],
        loops.measure,
        loops_report.heading,
        _loop_tables,
        lambda document: [loops_report.means_table(document.results)],
        loops_report.lines,
    ),
}


class UnknownCaseError(LookupError):
    """There is no case of a name."""


def listing(suite: str) -> Iterator[str]:
    """Give the lines that list a suite's cases."""
    for case in SUITES[suite].cases.values():
        yield from SUITES[suite].listing(case)


def chosen(suite: str, names: Sequence[str]) -> list[Any]:
    """Give the cases of these names, or all.

    Raises
    ------
    UnknownCaseError
    """
    known, what = SUITES[suite].cases, SUITES[suite].what
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownCaseError(f"No {what} {', '.join(unknown)}. The {what}s: {', '.join(known)}.")
    return [known[name] for name in dict.fromkeys(names or known)]


def run(suite: str, cases: Sequence[Any], quick: bool, path: Path | None) -> Document:
    """Measure cases and print each as it is done.

    The file at `path` is written after each, so that a run that is broken off was not for nothing.
    """
    console = _console(SUITES[suite].width)
    measured = machine.rates(quick)
    document = Document(suite, machine.environment(measured) | {"quick": quick}, [])

    def keep(result: Result) -> Result:
        document.results.append(result)
        if path is not None:
            write(path, document)
        return result

    if path is not None:
        write(path, document)
    _print_document(console, document, map(keep, SUITES[suite].measure(cases, quick=quick)))
    return document


def show(document: Document) -> Document:
    """Print what was measured before."""
    _print_document(_console(SUITES[document.suite].width), document, document.results)
    return document


def compare(before: Document, after: Document) -> None:
    """Print what changed between two documents."""
    console = _console(comparison.WIDTH)
    for table in comparison.tables(before, after):
        console.print(table)
    for line in comparison.lines(before, after):
        _print(console, line)


def _print_document(console: Any, document: Document, results: Iterable[Result]) -> None:
    """Print results as they come, and what they say together."""
    suite = SUITES[document.suite]
    _print(console, suite.heading(document.environment))
    for table, found in suite.tables(results):
        console.print(table)
        _print_failures(console, found)
    for table in suite.summary(document):
        console.print(table)
    for line in (*suite.lines(document), "", *machine.machine_lines(document.environment)):
        _print(console, line)


def _console(width: int) -> Any:
    console: Callable[..., Any] = importlib.import_module("rich.console").Console
    return console(width=max(console().width, width))


def _print(console: Any, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _print_failures(console: Any, results: Sequence[Result]) -> None:
    for result in results:
        for who, what in result.failures.items():
            name = result.case if who == "case" else f"{result.case}, {who}"
            console.print(f"  {name}: {what}", style="red", markup=False, soft_wrap=True)


def write(path: Path, document: Document) -> None:
    """Write a document over the one of the case before, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(document.to_json(), encoding="utf-8")
    part.replace(path)

"""The command ``pullback bench``: measures a suite, prints it, and keeps it in files."""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from . import comparison, harness, loops, loops_report, machine, report, summary
from .cases import CASES
from .corpus import PROGRAMS
from .results import Document, Result

WIDTHS = {"models": report.WIDTH, "loops": loops_report.WIDTH}


class UnknownCaseError(LookupError):
    """There is no case of a name."""


def listing(suite: str) -> Iterator[str]:
    """Give the lines that list a suite's cases."""
    if suite == "loops":
        for program in PROGRAMS.values():
            yield f"{program.name:<22} {program.title}"
        return
    for case in CASES.values():
        yield f"{case.name:<14} {case.title}"
        for size in case.sizes:
            yield f"{'':<14}   {size.label}{'  (quick)' if size.quick else ''}"


def chosen(suite: str, names: Sequence[str]) -> list[Any]:
    """Give the cases of these names, or all.

    Raises
    ------
    UnknownCaseError
    """
    known: Mapping[str, Any] = PROGRAMS if suite == "loops" else CASES
    what = "program" if suite == "loops" else "case"
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownCaseError(f"No {what} {', '.join(unknown)}. The {what}s: {', '.join(known)}.")
    return [known[name] for name in dict.fromkeys(names or known)]


def run(suite: str, cases: Sequence[Any], quick: bool, path: Path | None) -> Document:
    """Measure cases and print each as it is done.

    The file at `path` is written after each, so that a run that is broken off was not for nothing.
    """
    console = _console(WIDTHS[suite])
    measured = machine.rates(quick)
    document = Document(suite, machine.environment(measured) | {"quick": quick}, [])

    def keep(result: Result) -> Result:
        document.results.append(result)
        if path is not None:
            write(path, document)
        return result

    if path is not None:
        write(path, document)
    found = (
        loops.measure(cases, quick=quick)
        if suite == "loops"
        else harness.measure(cases, quick=quick)
    )
    _print_document(console, document, map(keep, found))
    return document


def show(document: Document) -> Document:
    """Print what was measured before."""
    _print_document(_console(WIDTHS[document.suite]), document, document.results)
    return document


def compare(before: Document, after: Document) -> None:
    """Print what changed between two documents."""
    console = _console(comparison.WIDTH)
    for table in comparison.tables(before, after):
        console.print(table)
    for line in comparison.lines(before, after):
        _print(console, line)


def _print_document(console: Any, document: Document, results: Any) -> None:
    """Print results as they come, and what they say together."""
    if document.suite == "loops":
        _print(console, loops_report.heading(document.environment))
        for family, part in groupby(results, key=lambda result: result.family):
            found = list(part)
            console.print(loops_report.table(family, found))
            _print_failures(console, found)
        console.print(loops_report.means_table(document.results))
        last = loops_report.lines(document)
    else:
        _print(console, report.heading(document.environment))
        for result in results:
            console.print(report.table(result))
            _print_failures(console, [result])
        for table in summary.tables(document):
            console.print(table)
        last = summary.lines(document)
    for line in (*last, "", *machine.machine_lines(document.environment)):
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

"""A page of results that stands alone: plots and tables, no scripts, nothing to load."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from . import loops_report, plots, summary
from .contestants import PULLBACK
from .figures import duration, optional, size_in_bytes
from .machine import machine_lines
from .page_style import STYLE
from .plots import CONTESTANTS
from .report import nearness
from .results import COSTS, RATIOS, Document, Result, geometric_mean, present

RACERS = ("pullback", *summary.PEERS)

TITLES = {
    "models": "Gradients of plain NumPy, raced",
    "transforms": "Hessians, Jacobians and steps of training, raced",
    "loops": "Loops of plain NumPy, compiled and differentiated",
}


def html(document: Document) -> str:
    """Give the page of a document."""
    title = TITLES[document.suite]
    sections = SECTIONS[document.suite]
    body = "\n".join(
        (
            f"<header><h1>{title}</h1>{_machine(document)}</header>",
            tiles(document),
            *sections(document),
        )
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>pullback: {title}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def model_sections(document: Document) -> Iterable[str]:
    """Give the sections on the race of models."""
    results = [result for result in document.results if result.of(PULLBACK.name)]
    if results:
        yield ratios_section(document, results, "for value and gradient")
        yield scaling_section(results)
        yield costs_section(results)
        yield firsts_section(results)
        yield memory_section(results, ("pullback", "by hand", "jax", "torch", "autograd"))
    yield listing("What misses a mark", summary.lines(document))
    yield section("All figures", "Medians per call.", models_table(document.results))


def transform_sections(document: Document) -> Iterable[str]:
    """Give the sections on the race of transformations."""
    results = [result for result in document.results if result.of(PULLBACK.name)]
    if results:
        who = ("pullback", *summary.peers_of(document.suite))
        yield ratios_section(document, results, "for the same result")
        yield section(
            "The first call",
            "From the function to the first result, tracing and compiling included.",
            dots("firsts", results, {"packages imported": Result.first_call}, who, duration),
        )
        yield memory_section(results, who)
    yield listing("What misses a mark", summary.lines(document))
    yield section("All figures", "Medians per call.", models_table(document.results))


def ratios_section(document: Document, results: Sequence[Result], what: str) -> str:
    """Draw how pullback compares with each contestant."""
    return section(
        "Against each contestant",
        f"How many times as long as pullback each takes {what}: to the right of "
        "1x pullback is faster. Medians of interleaved rounds; the thin line spans the "
        "quotients of the quartiles, as far as a factor of 1.5. The axes are logarithmic.",
        plots.bars("ratios", results, present(results, summary.peers_of(document.suite))),
    )


def memory_section(results: Sequence[Result], who: Sequence[str]) -> str:
    """Draw the peaks of memory."""
    return section(
        "Peak memory of a call",
        "Bytes that are alive at once beyond the inputs and the results, in steady state.",
        dots("memory", results, {"beyond inputs and results": _peak}, who, size_in_bytes),
    )


def scaling_section(results: Sequence[Result]) -> str:
    """Draw the cases that come in at least three sizes of one dtype."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(f"{result.case}, {result.facts['dtype']}", []).append(result)
    groups = {title: group for title, group in groups.items() if len(group) >= 3}
    if not groups:
        return ""
    return section(
        "Over the size of the inputs",
        "Time per call of value and gradient. Both axes are logarithmic.",
        legend(RACERS) + plots.curves("scaling", groups, RACERS),
    )


def costs_section(results: Sequence[Result]) -> str:
    """Draw what gradients cost over the number of parameters."""
    forwards = {
        f"over the {kind} forward": RATIOS["models"][f"gradient to {kind} forward"]
        for kind in ("plain", "compiled")
    }
    return section(
        "What a gradient costs",
        "Time of value and gradient over the time of the value alone, by the number of parameters: "
        "reverse mode stays flat. Lines join the sizes of one case; hollow points have inputs of "
        f"at most {summary.LARGE:,} entries; the dotted line is at {summary.MOST}.",
        plots.costs("costs", results, forwards, summary.MOST, summary.LARGE),
    )


def firsts_section(results: Sequence[Result]) -> str:
    """Draw the first gradients, with imports where they were timed."""

    def imported(result: Result, contestant: str) -> float | None:
        found = result.of(contestant)
        return None if found is None else found.first_with_import

    who = ("pullback", "jax", "torch", "autograd")
    panels: dict[str, Callable[[Result, str], float | None]] = {
        "packages imported": Result.first_call
    }
    if any(imported(result, name) for result in results for name in who):
        panels["in a new process, with the import"] = imported
    return section(
        "The first gradient",
        "From the function to its first gradient, tracing and compiling included.",
        dots("firsts", results, panels, who, duration),
    )


def loop_sections(document: Document) -> Iterable[str]:
    """Give the sections on the suite of loops."""
    results = [result for result in document.results if result.of("forward")]
    if results:
        ratios = present(results, document.ratios)
        speeds = {what: pair for what, pair in ratios.items() if what not in COSTS}
        shown = {what: pair for what, pair in ratios.items() if what in COSTS}
        yield section(
            "How much faster",
            "Compiled loops against plain NumPy, as it is and where malloc keeps its pages, and "
            "forward and gradient against JAX's twins: to the right of 1x pullback is faster.",
            plots.bars("ratios", results, speeds),
        )
        if shown:
            yield section(
                "What a gradient costs",
                "Time of a gradient over the time of the value alone.",
                plots.bars("costs", results, shown),
            )
        yield section(
            "Compiling",
            "The first gradient less a later one.",
            dots(
                "firsts",
                results,
                {"first gradient": Result.first_call},
                ("gradient", "jax gradient"),
                duration,
            ),
        )
    failed = [f"{r.case}: {what}" for r in document.results for what in r.failures.values()]
    if failed:
        yield listing("What failed", failed)
    yield section("All figures", "Medians per call.", loops_table(document.results))


SECTIONS: Mapping[str, Callable[[Document], Iterable[str]]] = {
    "models": model_sections,
    "transforms": transform_sections,
    "loops": loop_sections,
}


def _peak(result: Result, contestant: str) -> float | None:
    peak = result.peak_bytes(contestant)
    # On a logarithmic axis nothing is drawn as one byte.
    return None if peak is None else max(peak, 1)


# Parts


def section(title: str, text: str, content: str) -> str:
    """Give a section with a heading, a sentence or two, and a plot or table."""
    return (
        f"<section><h2>{escape(title)}</h2><p>{escape(text)}</p>"
        f'<div class="wide">{content}</div></section>'
    )


def listing(title: str, lines: Iterable[str]) -> str:
    """Give a section of one line for each item."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<section><h2>{escape(title)}</h2><ul>{items}</ul></section>"


def dots(
    name: str,
    results: Sequence[Result],
    panels: Mapping[str, Callable[[Result, str], float | None]],
    contestants: Sequence[str],
    write: Callable[[float], str],
) -> str:
    """Give a plot of dots under the legend of its contestants."""
    return legend(contestants) + plots.dots(name, results, panels, contestants, write)


def legend(contestants: Iterable[str]) -> str:
    """Name the colors."""
    items = "".join(
        f'<span><i style="background: var(--{CONTESTANTS[name]})"></i>{escape(name)}</span>'
        for name in contestants
    )
    return f'<p class="legend">{items}</p>'


def tiles(document: Document) -> str:
    """Give the geometric mean of each ratio in large figures."""
    found: list[str] = []
    for what, pair in document.ratios.items():
        ratios = {r.label: v for r in document.results if (v := r.ratio(*pair)) is not None}
        if not ratios:
            continue
        is_cost = what in COSTS
        worst = (max if is_cost else min)(ratios, key=lambda label: ratios[label])
        mean = geometric_mean(list(ratios.values()))
        title = what if is_cost or " against " in what else f"against {what}"
        behind = f"{sum(value < 1 for value in ratios.values())} of {len(ratios)} under 1x; "
        extreme = f"{'most' if is_cost else behind + 'least'} {ratios[worst]:.2f}x: {worst}"
        found.append(
            f"<div><span>{escape(title)}</span><b>{mean:.2f}<small>x</small></b>"
            f"<em>{escape(extreme)}</em></div>"
        )
    return f'<div class="tiles">{"".join(found)}</div>'


def _machine(document: Document) -> str:
    quick = ["A quick run: small sizes, few rounds."] if document.environment["quick"] else []
    lines = [*machine_lines(document.environment), *quick]
    return "<p>" + "<br>".join(map(escape, lines)) + "</p>"


def table(columns: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Give a table whose first two columns are text; a row's kind is its class."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        f'<tr class="{kind}">' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for kind, cells in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def models_table(results: Sequence[Result]) -> str:
    """Give the table of the race."""
    timed = [name for name in CONTESTANTS if any(result.of(name) for result in results)]

    def cells(result: Result) -> Iterable[str]:
        yield result.case
        yield result.size
        for name in timed:
            found = result.of(name)
            yield (
                "failed"
                if name in result.failures
                else optional(lambda m: duration(m.median), found)
            )
        for name in (PULLBACK.name, "jax"):
            yield optional(duration, result.first_call(name))
        for name in (PULLBACK.name, "jax"):
            yield optional(size_in_bytes, result.peak_bytes(name))
        yield nearness(result) or ""

    return table(
        ["case", "size", *timed, "first", "JAX's first", "memory", "JAX's memory", "bound"],
        [("", list(cells(result))) for result in results],
    )


def loops_table(results: Sequence[Result]) -> str:
    """Give the table of the suite of loops."""
    timed = [name for name in CONTESTANTS if any(result.of(name) for result in results)]

    def cells(result: Result) -> list[str]:
        return [
            result.case,
            result.family,
            str(result.facts["lines"]),
            *(optional(lambda m: duration(m.median), result.of(name)) for name in timed),
            optional(duration, loops_report.compile_seconds(result)),
            optional(size_in_bytes, loops_report.peak_bytes(result)),
        ]

    return table(
        ["program", "family", "lines", *timed, "compile", "memory"],
        [("failed" if result.failure else "", cells(result)) for result in results],
    )

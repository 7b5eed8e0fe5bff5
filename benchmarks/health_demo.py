"""The demonstration of `health`: which gradients vanish, explode or turn into nan, and where."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

import pullback as pb

from .health_programs import BATCH, LAYERS, STEPS, UNITS, Program, programs

MOST = 1.0
"""The norm to which the gradient of the recurrent network is clipped."""


def run(
    seed: int = 0, plot: Path | None = None, console: Console | None = None
) -> list[tuple[Program, Any]]:
    """Run networks of many layers and steps, and programs that go wrong; return what was found."""
    console = console or Console()
    console.print(
        f"[bold]Health of gradients[/]: networks of {LAYERS} layers and {UNITS} units on "
        f"{BATCH} examples,\nrecurrent ones of {STEPS} steps (benchmarks/health_programs.py)\n"
    )
    found = [(p, pb.health(p.loss)(*p.arguments)) for p in programs(seed)]
    console.print(_table(found))
    for program, report in found:
        if report.problem is not None:
            console.print(f"{program.title}:", style="bold", highlight=False)
            console.print(f"  {report.problem.text}", markup=False, highlight=False)
    _clipping(found, console)
    if plot is not None:
        _draw(found, plot)
        console.print(f"\nplotted to {plot}")
    return found


def _table(found: Sequence[tuple[Program, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("program", "verdict", "for each", "first at", "zeros"):
        right = name in ("for each", "zeros")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for program, report in found:
        factor = f"×{report.chains[0].factor:.3g}" if report.chains else ""
        where = "" if report.problem is None else f"line {report.problem.line}"
        if report.problem is not None and report.problem.number is not None:
            where = f"{report.chains[0].kind} {report.problem.number}"
        table.add_row(program.title, report.verdict, factor, where, _zeros(report))
    return table


def _zeros(report: Any) -> str:
    """Return which share of the values of layers or steps are zero, on average."""
    shares = [link.value.zero_share for chain in report.chains for link in chain.links[1:]]
    return f"{sum(shares) / len(shares):.0%}" if any(shares) else ""


def _clipping(found: Sequence[tuple[Program, Any]], console: Console) -> None:
    """Show what clipping does to a gradient that explodes: to its norm, not to its way."""
    report = next(r for p, r in found if p.title == "recurrent, large weights")
    clipped = pb.clip_by_global_norm(report.gradient, MOST)
    held = next(r for p, r in found if p.title == "recurrent, clipped steps")
    console.print(
        f"\nThe gradient of the recurrent network has norm {pb.global_norm(report.gradient):.3g}, "
        f"clipped {pb.global_norm(clipped):.3g};\nwith its cotangents clipped at every step "
        f"{pb.global_norm(held.gradient):.3g}.",
        markup=False,
        highlight=False,
    )


def _draw(found: Sequence[tuple[Program, Any]], path: Path) -> None:
    """Plot the cotangents of each program with layers or steps, with Matplotlib."""
    figures: Any = importlib.import_module("matplotlib.figure")
    chained = [(p, r) for p, r in found if r.chains]
    figure = figures.Figure(figsize=(10, 3 * len(chained)), layout="constrained")
    for number, (program, report) in enumerate(chained, 1):
        axes = report.plot(figure.add_subplot(len(chained), 1, number))
        axes.set_title(f"{program.title}: {report.verdict}")
    figure.savefig(path, dpi=120)

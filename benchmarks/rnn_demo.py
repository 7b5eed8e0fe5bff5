"""The demonstration of truncated backpropagation through time: what a cut gradient can learn."""

import importlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import pullback as pb

from . import rnn
from .figures import duration

RATE = 0.003
MOST = 1.0
"""The norm to which gradients are clipped."""
BAR = 32
"""Characters of the longest bar."""


@dataclass(frozen=True)
class Run:
    """How a network fared whose gradient was cut every `truncate` steps; times in seconds."""

    truncate: int | None
    accuracy: float
    loss: float
    step: float
    norms: Any
    """Norms of the gradient by lag, after training."""

    @property
    def label(self) -> str:
        return "whole" if self.truncate is None else f"cut every {self.truncate}"


def train(size: rnn.Size, truncate: int | None, steps: int, seed: int) -> Run:
    """Train a network on chunks of streams, the state carried from one to the next."""
    rng = np.random.default_rng(seed)
    learner, data = rnn.initial(size, rng), rnn.streams(size, rng)
    h = np.zeros((size.streams, size.hidden))
    update = pb.compile(rnn.update)
    times, losses = [], []
    for _ in range(steps):
        bits, wanted = next(data)
        start = time.perf_counter()
        learner, h, loss, _ = update(learner, h, bits, wanted, RATE, MOST, truncate)
        times.append(time.perf_counter() - start)
        losses.append(float(loss))
    bits, wanted = next(data)
    return Run(
        truncate,
        rnn.accuracy(learner.params, h, bits, wanted),
        float(np.mean(losses[-20:])),
        float(np.median(times)),
        rnn.norms_by_lag(learner.params, h, bits, wanted, truncate),
    )


def run(
    seed: int = 0, quick: bool = False, plot: Path | None = None, console: Console | None = None
) -> list[Run]:
    """Train with the whole gradient and with cut ones; show what reaches back how far."""
    console = console or Console()
    size = rnn.Size()
    steps = 200 if quick else 600
    console.print(
        f"[bold]Delayed recall[/]: a network of {size.hidden} units repeats bits after "
        f"{size.delay} steps.\n{size.streams} endless streams in chunks of {size.chunk}, the state "
        f"carried across;\n{steps} steps of Adam on gradients clipped at {MOST:g} "
        "(benchmarks/rnn.py)\n"
    )
    lengths = (None, size.delay // 2) if quick else (None, 2 * size.delay, size.delay // 2)
    runs = [train(size, truncate, steps, seed) for truncate in lengths]
    console.print(_table(runs))
    console.print("Norm of the gradient of the last score by the bit so many steps before:\n")
    for line in _bars(runs, 2 * size.delay + 2):
        console.print(line, markup=False, highlight=False)
    if plot is not None:
        draw(runs, size, plot)
        console.print(f"\nplotted to {plot}")
    return runs


def _table(runs: Sequence[Run]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("gradient", "bits repeated", "loss", "a step, median"):
        table.add_column(name, justify="left" if name == "gradient" else "right")
    for one in runs:
        table.add_row(one.label, f"{one.accuracy:.1%}", f"{one.loss:.3f}", duration(one.step))
    return table


def _bars(runs: Sequence[Run], lags: int) -> list[str]:
    """Return bars of the norms of the first run and the last, beside each other."""
    shown = [runs[0], runs[-1]]
    lines = [f"lag  {shown[0].label:<{BAR}}  {shown[1].label}"]
    for lag in range(lags):
        parts = ["█" * round(BAR * one.norms[lag] / max(one.norms.max(), 1e-300)) for one in shown]
        lines.append(f"{lag:>3}  {parts[0]:<{BAR}}  {parts[1]}".rstrip())
    return lines


def draw(runs: Sequence[Run], size: rnn.Size, path: Path) -> None:
    """Plot the norms of the gradients against the lag, with Matplotlib."""
    figures: Any = importlib.import_module("matplotlib.figure")
    figure = figures.Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for one, marker in zip(runs, "os^", strict=False):
        lags = np.arange(size.chunk)
        reached = one.norms > 0
        label = f"{one.label}: {one.accuracy:.0%} of the bits"
        axes.plot(lags[reached], one.norms[reached], marker=marker, markersize=4, label=label)
    axes.axvline(size.delay, color="gray", linestyle=":", label="the delay")
    axes.set_yscale("log")
    axes.set_xlabel("lag, in steps")
    axes.set_ylabel("norm of the gradient of the last score")
    axes.set_title("How far back the gradient reaches")
    axes.legend()
    figure.savefig(path, dpi=120)

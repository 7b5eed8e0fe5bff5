"""The demonstration: a classifier written in plain NumPy, trained by compiled gradients."""

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import pullback as pb

from . import digits
from .case import with_namespace
from .figures import duration

EXCERPT = 24
"""Lines of the backward program that are shown."""


@dataclass(frozen=True)
class Training:
    """How one run of the loop went; times in seconds."""

    accuracy: float
    loss: float
    steps: int
    first_gradient: float
    gradient: float
    step: float


@dataclass(frozen=True)
class Data:
    """Images in rows, labels, and one-hot targets for training."""

    x: Any
    targets: Any
    test_x: Any
    test_labels: Any


def load(seed: int) -> Data:
    """Load the 1,797 digits that scikit-learn ships and split them by `seed`."""
    datasets: Any = importlib.import_module("sklearn.datasets")
    bunch = datasets.load_digits()
    x, labels, test_x, test_labels = digits.split(
        bunch.data, bunch.target, np.random.default_rng(seed)
    )
    return Data(x, np.eye(10, dtype=np.float32)[labels], test_x, test_labels)


def train(
    value_and_grad: Callable[..., Any],
    data: Data,
    *,
    seed: int,
    epochs: int,
    bar: Callable[[], Any],
) -> Training:
    """Run the training loop, which is the same whoever computes the gradients."""
    rng = np.random.default_rng(seed)
    params = digits.initial(rng)
    optimiser = digits.Adam(params)
    gradients: list[float] = []
    steps: list[float] = []
    loss = float("nan")
    for rate, x, targets in digits.batches(rng, data.x, data.targets, epochs=epochs):
        start = time.perf_counter()
        loss, grads = value_and_grad(params, x, targets)
        middle = time.perf_counter()
        optimiser.update(grads, rate)
        steps.append(time.perf_counter() - start)
        gradients.append(middle - start)
        bar()
    return Training(
        accuracy=digits.accuracy(params, data.test_x, data.test_labels),
        loss=float(loss),
        steps=len(steps),
        first_gradient=gradients[0],
        gradient=float(np.median(gradients[1:])),
        step=float(np.median(steps[1:])),
    )


def run(seed: int = 0, quick: bool = False, console: Console | None = None) -> Training:
    """Train, show what was compiled, and compare with autograd where it is installed."""
    console = console or Console()
    epochs = 15 if quick else 40
    data = load(seed)
    console.print(
        f"[bold]Handwritten digits[/]: {len(data.x)} images to train on,"
        f" {len(data.test_x)} to test; a {'-'.join(map(str, digits.WIDTHS))} network in plain NumPy"
        " (benchmarks/digits.py)\n"
    )
    step = pb.value_and_grad(digits.loss)
    contestants: dict[str, Callable[..., Any]] = {"pullback": step}
    if find_spec("autograd") is not None:
        autograd: Any = importlib.import_module("autograd")
        xp = importlib.import_module("autograd.numpy")
        contestants["autograd"] = autograd.value_and_grad(with_namespace(digits.loss, xp))

    results: dict[str, Training] = {}
    with _progress(console) as progress:
        for name, value_and_grad in contestants.items():
            task = progress.add_task(name, total=epochs * (len(data.x) // 32))
            results[name] = train(
                value_and_grad,
                data,
                seed=seed,
                epochs=epochs,
                bar=partial(progress.advance, task),
            )
    mine = results["pullback"]
    params = digits.initial(np.random.default_rng(seed))
    inspection = step.inspect(params, data.x[:32], data.targets[:32])
    _show_program(console, inspection)
    console.print(_times(results, inspection.stages))
    if len(results) == 1:
        console.print("autograd is not installed: pip install 'pullback\\[bench]' to compare.")
    console.print(
        f"\n[bold]test accuracy {mine.accuracy:.2%}[/] after {mine.steps} steps,"
        f" training loss {mine.loss:.3f}"
    )
    return mine


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeElapsedColumn(),
        console=console,
    )


def _show_program(console: Console, inspection: Any) -> None:
    """Print the signature and the lines from the first adjoint on."""
    lines = str(inspection.optimized).splitlines()
    body = next(i for i, line in enumerate(lines) if line.endswith(":")) + 1
    first = next((i for i, line in enumerate(lines) if "∂" in line), body)
    shown = lines[first : first + EXCERPT]
    console.print("\nThe backward half of the compiled program (∂n differentiates line n):\n")
    for line in (*lines[:body], f"    ... {first - body} lines of the loss", *shown):
        console.print(line, markup=False, highlight=False, no_wrap=True, overflow="ellipsis")
    if rest := len(lines) - first - len(shown):
        console.print(f"    ... {rest} more lines: pullback inspect shows all")
    console.print()


def _times(results: dict[str, Training], stages: Any) -> Table:
    """Tabulate what was paid once and what is paid at each step."""
    milliseconds = [took for _, _, took in stages]
    once = {
        "tracing": milliseconds[0] / 1e3,
        "compiling": sum(milliseconds[1:]) / 1e3,
    }
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for name in results:
        table.add_column(name, justify="right")
    if len(results) > 1:
        table.add_column("takes", justify="right")
    for label, seconds in once.items():
        table.add_row(label, duration(seconds))
    rows: dict[str, Callable[[Training], float]] = {
        "first gradient": lambda r: r.first_gradient,
        "gradient, median": lambda r: r.gradient,
        "step with Adam, median": lambda r: r.step,
    }
    for label, value in rows.items():
        times = [value(result) for result in results.values()]
        ratio = [f"{times[1] / times[0]:.1f}x as long"] if len(times) > 1 else []
        table.add_row(label, *map(duration, times), *ratio)
    return table

"""Measure the corpus: each program plain, compiled, differentiated, and as its JAX twin.

All of a program's contestants are timed in turn in the same rounds (see `harness`), so that their
ratios mean something. One program that fails, disagrees, or takes too long gives a row that says
so, and the others go on.
"""

import ast
import inspect
import signal
import textwrap
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from types import FrameType
from typing import Any

import numpy as np

import pullback as pb

from . import memory
from .contestants import Run
from .corpus.program import Arguments, Program, results_of, slope_along
from .harness import Effort, interleave

FULL = Effort(rounds=7, slice_seconds=0.03, pause_seconds=0.005)
QUICK = Effort(rounds=5, slice_seconds=0.002, pause_seconds=0.0)

SECONDS = {"full": 120.0, "quick": 20.0}
"""How long a program may take, everything included: one that unrolls a long loop takes hours."""

TOLERANCE = 1e-3
"""How far a gradient may be from the slope by differences, at a size where those are rough."""


class OutOfTimeError(BaseException):
    """A program took too long; no handler of ordinary errors, in a tracer say, holds it up."""


@dataclass
class Row:
    """What was measured of one program: times in seconds, memory in bytes.

    `compile` is the first call of the gradient (or of the compiled function, where there is no
    gradient) less a later one; `jax_compile` is JAX's likewise.
    """

    name: str
    family: str
    body: str
    lines: int
    error: str = ""
    compile: float | None = None
    jax_compile: float | None = None
    peak_bytes: int | None = None
    samples: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def seconds(self, contestant: str) -> float | None:
        """Median time per call of a contestant, if it ran."""
        found = self.samples.get(contestant)
        return float(np.median(found)) if found else None

    def ratio(self, over: str, under: str) -> float | None:
        """How many times as long as `under` the contestant `over` takes, if both ran."""
        above, below = self.seconds(over), self.seconds(under)
        return None if above is None or below is None else above / below


def measure(
    programs: Sequence[Program], *, quick: bool = False, effort: Effort | None = None
) -> Iterator[Row]:
    """Measure every program at its large size, or at its small one on demand."""
    effort = effort or (QUICK if quick else FULL)
    # What a package does once is not the first program's to pay.
    warm_up()
    for program in programs:
        yield row_of(
            program, program.sizes[not quick], effort, SECONDS["quick" if quick else "full"]
        )


def warm_up() -> None:
    """Compile a little function with a loop."""

    def total(x: Any) -> Any:
        s = 0.0
        for i in range(len(x)):
            s += x[i] ** 2
        return s

    pb.grad(total)(np.ones(12))


def row_of(program: Program, size: Any, effort: Effort, seconds: float) -> Row:
    """Measure one program; whatever it raises is in the row."""
    row = _empty(program)
    try:
        with time_limit(seconds):
            _fill(row, program, size, effort)
    except (Exception, OutOfTimeError) as error:
        # Without what was measured before it failed, which would enter the means.
        row = _empty(program)
        text = str(error).strip().partition("\n")[0]
        row.error = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return row


def _empty(program: Program) -> Row:
    return Row(program.name, family_of(program), program.body, lines_of(program.function))


def _fill(row: Row, program: Program, size: Any, effort: Effort) -> None:
    args = program.arguments(size)
    runs: dict[str, Run] = {"plain": lambda: program.function(*args)}
    first = 0.0
    if program.differentiable:
        weights, loss = program.weights(args), program.loss()
        gradient = pb.grad(loss, argnums=program.loss_argnums)
        runs["gradient"] = lambda: gradient(weights, *args)
        # Before anything else of this program is compiled: its first call parses the source.
        first, _ = first_call(runs["gradient"])
        # At the small size: among very many entries a difference crosses some kink.
        small = program.arguments(program.sizes[0])
        own = program.weights(small)
        check_slope(program, partial(loss, own), small, gradient(own, *small))
    compiled = pb.compile(program.function)
    runs["forward"] = lambda: compiled(*args)
    forward_first, results = first_call(runs["forward"])
    check_results(results, program.function(*args))
    with twin_precision(program):
        if has_twin(program):
            row.jax_compile = _add_twin(runs, program, args)
        samples = interleave(list(runs.values()), effort)
    row.samples = dict(zip(runs, samples, strict=True))
    measured = "gradient" if program.differentiable else "forward"
    row.compile = max((first or forward_first) - (row.seconds(measured) or 0.0), 0.0)
    row.peak_bytes = memory.traced_peak(lambda: fresh(program, args))
    if row.jax_compile is not None:
        row.jax_compile = max(row.jax_compile - (row.seconds("jax gradient") or 0.0), 0.0)


def fresh(program: Program, args: Arguments) -> Run:
    """Give a new gradient, or compiled function, that has yet to be called."""
    if not program.differentiable:
        compiled = pb.compile(program.function)
        return lambda: compiled(*args)
    weights = program.weights(args)
    gradient = pb.grad(program.loss(), argnums=program.loss_argnums)
    return lambda: gradient(weights, *args)


def first_call(run: Run) -> tuple[float, Any]:
    """Time a call, and give its result too."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def check_results(got: Any, want: Any) -> None:
    """Raise unless compiled results are NumPy's up to rounding.

    Raises
    ------
    AssertionError
    """
    for n, (g, w) in enumerate(zip(results_of(got), results_of(want), strict=True)):
        error = np.max(np.abs(np.asarray(g) - w), initial=0.0)
        scale = np.max(np.abs(w), initial=0.0)
        if not error <= 1e-8 * scale:
            raise AssertionError(f"result {n} is off by {error / scale:.1e} of its largest entry")


def check_slope(
    program: Program, loss: Callable[..., float], args: Arguments, slopes: tuple[Any, ...]
) -> None:
    """Raise unless a gradient agrees with differences along one direction.

    Raises
    ------
    AssertionError
    """
    for direction in program.directions(args, count=1):
        expected = slope_along(loss, args, program.argnums, direction)
        found = sum(float(np.sum(g * d)) for g, d in zip(slopes, direction, strict=True))
        if not abs(found - expected) <= TOLERANCE * max(abs(expected), 1e-3):
            raise AssertionError(f"the gradient gives a slope of {found:.6g}, not {expected:.6g}")


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


# What a program is


def family_of(program: Program) -> str:
    """Give the name of the module that it stands in."""
    return program.function.__module__.rpartition(".")[2]


def lines_of(function: Callable[..., Any]) -> int:
    """Count the lines of a function, and of those of its module that it calls: code alone."""
    return sum(_code_lines(f) for f in _reached(function, {}).values())


def _reached(function: Any, found: dict[str, Any]) -> dict[str, Any]:
    found[function.__name__] = function
    names = {n.id for n in ast.walk(_tree(function)) if isinstance(n, ast.Name)}
    for name in sorted(names - found.keys()):
        called = function.__globals__.get(name)
        if inspect.isfunction(called) and called.__module__ == function.__module__:
            _reached(called, found)
    return found


def _tree(function: Any) -> ast.FunctionDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    return tree


def _code_lines(function: Any) -> int:
    lines = inspect.getsource(function).splitlines()
    blank = sum(not line.strip() or line.strip().startswith("#") for line in lines)
    first = _tree(function).body[0]
    is_documented = ast.get_docstring(_tree(function)) is not None
    doc = (first.end_lineno or 0) - first.lineno + 1 if is_documented else 0
    return len(lines) - blank - doc


# JAX


def has_twin(program: Program) -> bool:
    """Whether JAX is installed and the program is written for it too."""
    if find_spec("jax") is None:
        return False
    from .corpus.jax_twins import TWINS

    return program.name in TWINS


def twin_precision(program: Program) -> Any:
    """Give the context in which JAX computes as NumPy does."""
    if not has_twin(program):
        return nullcontext()
    from .corpus.jax_twins import double_precision

    return double_precision()


def _add_twin(runs: dict[str, Run], program: Program, args: Arguments) -> float:
    """Add the twin's calls to `runs`, over inputs on the device; give its first gradient's time."""
    from .corpus.jax_twins import FORWARD_TWINS, TWINS, jax

    twin, weights = TWINS[program.name], program.weights(args)
    moving = [n for n, arg in enumerate(args) if not isinstance(arg, int)]
    values = jax.device_put([args[n] for n in moving])

    def whole(values: tuple[Any, ...]) -> list[Any]:
        moved = dict(zip(moving, values, strict=True))
        return [moved.get(n, arg) for n, arg in enumerate(args)]

    def loss(*values: Any) -> Any:
        results = zip(weights, results_of(twin(*whole(values))), strict=True)
        return sum(jax.numpy.sum(w * r) for w, r in results)

    slope = jax.jit(jax.grad(loss, argnums=[moving.index(n) for n in program.argnums]))
    forward = FORWARD_TWINS.get(program.name, twin)
    compiled = jax.jit(lambda *values: forward(*whole(values)))
    runs["jax gradient"] = lambda: jax.block_until_ready(slope(*values))
    runs["jax forward"] = lambda: jax.block_until_ready(compiled(*values))
    first, _ = first_call(runs["jax gradient"])
    check_results(
        tuple(map(np.asarray, results_of(runs["jax forward"]()))), program.function(*args)
    )
    return first

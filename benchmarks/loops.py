"""Measure the corpus: each program plain, compiled, differentiated, and as its JAX twin.

All of a program's contestants are timed in turn in the same rounds (see `harness`), so that their
ratios mean something. One program that fails, disagrees, or takes too long gives a row that says
so, and the others go on.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

import pullback as pb

from . import child, memory
from .corpus.program import Arguments, Program, results_of, slope_along
from .results import KEPT, Measurement, Result
from .timing import (
    Effort,
    OutOfTimeError,
    Run,
    Timer,
    failure_of,
    first_call,
    interleave,
    time_limit,
    timer_of,
)

FULL = Effort(rounds=7, slice_seconds=0.03, pause_seconds=0.005)
QUICK = Effort(rounds=5, slice_seconds=0.002, pause_seconds=0.0)

SECONDS = {"full": 120.0, "quick": 20.0}
"""How long a program may take, everything included: one that unrolls a long loop takes hours."""

TOLERANCE = 1e-3
"""How far a gradient may be from the slope by differences, at a size where those are rough."""


def measure(
    programs: Sequence[Program], *, quick: bool = False, effort: Effort | None = None
) -> Iterator[Result]:
    """Measure every program at its large size, or at its small one on demand.

    The gradient's `first_call` is the first one less a later one, likewise JAX's; so is that of the
    compiled function, where there is no gradient.
    """
    effort = effort or (QUICK if quick else FULL)
    # What a package does once is not the first program's to pay.
    warm_up()
    for program in programs:
        yield result_of(
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


def result_of(program: Program, size: Any, effort: Effort, seconds: float) -> Result:
    """Measure one program; whatever it raises is in the result."""
    result = _empty(program)
    try:
        with time_limit(seconds):
            _fill(result, program, size, effort)
    except (Exception, OutOfTimeError) as error:
        # Without what was measured before it failed, which would enter the means.
        result = _empty(program)
        result.failure = failure_of(error)
    return result


def _empty(program: Program) -> Result:
    facts = {
        "dtype": "float64",
        "body": program.body,
        "lines": lines_of(program.function),
    }
    return Result(program.name, "", family_of(program), facts)


def _fill(result: Result, program: Program, size: Any, effort: Effort) -> None:
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
    firsts = {"gradient" if program.differentiable else "forward": first or forward_first}
    with twin_precision(program):
        if has_twin(program):
            firsts["jax gradient"] = _add_twin(runs, program, args)
        timers: dict[str, Timer] = {name: timer_of(run) for name, run in runs.items()}
        kept = Measurement("plain" + KEPT)
        if child.keeps_pages():
            try:
                check_results(child.keeper().call(program.function, args), program.function(*args))
                timers[kept.contestant] = child.keeper().time
            except child.ChildError as error:
                kept.failure = str(error)
                result.measurements.append(kept)
        samples = interleave(list(timers.values()), effort)
    for name, found in zip(timers, samples, strict=True):
        measurement = Measurement(name, samples=found)
        if name in firsts:
            measurement.first_call = max(firsts[name] - measurement.median, 0.0)
        result.measurements.append(measurement)
    peak = memory.traced_peak(lambda: fresh(program, args))
    measured = result.of("gradient") or result.of("forward")
    assert measured is not None
    measured.peak_bytes = peak


def fresh(program: Program, args: Arguments) -> Run:
    """Give a new gradient, or compiled function, that has yet to be called."""
    if not program.differentiable:
        compiled = pb.compile(program.function)
        return lambda: compiled(*args)
    weights = program.weights(args)
    gradient = pb.grad(program.loss(), argnums=program.loss_argnums)
    return lambda: gradient(weights, *args)


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

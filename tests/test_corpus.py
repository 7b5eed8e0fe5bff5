"""Each program of the corpus: alone, compiled, differentiated, in float32, and staged."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.benchmarks.corpus import FAMILIES, PROGRAMS
from pullback.benchmarks.corpus.program import Program, results_of, slope_along
from pullback.ir.core import Function
from pullback.ir.ops.control import Loop
from pullback.ir.ops.recursion import Recursion

each_program = pytest.mark.parametrize("program", PROGRAMS.values(), ids=lambda p: p.name)
each_differentiable = pytest.mark.parametrize(
    "program", [p for p in PROGRAMS.values() if p.differentiable], ids=lambda p: p.name
)


def copied(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a.copy() if isinstance(a, np.ndarray) else a for a in args)


def equations(function: Function) -> int:
    """Count the equations of a function, those of its regions included."""
    return len(function.eqns) + sum(
        equations(region) for eqn in function.eqns for region in eqn.op.regions
    )


def holds_loop(function: Function) -> bool:
    """Whether there is a loop in a function or in its regions."""
    return any(
        isinstance(eqn.op, Loop | Recursion) or any(map(holds_loop, eqn.op.regions))
        for eqn in function.eqns
    )


def was_staged(function: Any, *args: Any) -> bool:
    """Whether the function, as traced, has a loop or a recursion."""
    return holds_loop(pb.compile(function).inspect(*args).forward)


def check_results(got: Any, want: Any, tolerance: float) -> None:
    """Compare results: kinds and dtypes as they are, values to a part of the largest one."""
    for g, w in zip(results_of(got), results_of(want), strict=True):
        assert type(g) is type(w)
        if isinstance(w, np.ndarray | np.generic):
            assert g.dtype == w.dtype
            assert g.shape == w.shape
        if tolerance and np.result_type(w).kind in "fc":
            np.testing.assert_allclose(g, w, rtol=tolerance, atol=tolerance * np.max(np.abs(w)))
        else:
            np.testing.assert_array_equal(g, w)


def gradient(program: Program, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Differentiate the weighted sum of the results."""
    weights = program.weights(args)
    found: tuple[Any, ...] = pb.grad(program.loss(), argnums=program.loss_argnums)(weights, *args)
    return found


def test_every_program_has_its_own_name() -> None:
    listed = [program.name for family in FAMILIES for program in family.PROGRAMS]
    assert sorted(listed) == sorted(PROGRAMS)
    assert len(listed) >= 55


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__.rpartition(".")[2])
def test_programs_import_numpy_and_math_alone(family: Any) -> None:
    imported = set()
    for node in ast.walk(ast.parse(inspect.getsource(family))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    assert imported <= {"numpy", "math", "typing", "program"}


@each_program
@pytest.mark.parametrize("which", [0, 1], ids=["small", "large"])
def test_runs_and_leaves_its_arguments(program: Program, which: int) -> None:
    args = program.arguments(program.sizes[which])
    before = copied(args)
    results = results_of(program.function(*args))
    assert results
    for result in results:
        assert np.all(np.isfinite(result))
        # Something happened, and nothing blew up.
        assert 0 < np.max(np.abs(result)) < 1e7
    for arg, value in zip(args, before, strict=True):
        np.testing.assert_array_equal(arg, value)


@each_program
def test_float32_is_close_to_float64(program: Program) -> None:
    single = results_of(program.function(*program.arguments(program.sizes[0], np.float32)))
    double = results_of(program.function(*program.arguments(program.sizes[0])))
    for got, want in zip(single, double, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.max(np.abs(want)))


@each_differentiable
def test_is_smooth_where_it_is_differentiated(program: Program) -> None:
    """Differences with two steps agree, and some argument matters."""
    args = program.arguments(program.sizes[0])
    weights, loss = program.weights(args), program.loss()
    slopes = []
    for direction in program.directions(args):
        slope, again = (
            slope_along(
                lambda *moved: loss(weights, *moved),
                args,
                program.argnums,
                tuple(scale * d for d in direction),
            )
            for scale in (1.0, 0.3)
        )
        slopes.append(slope)
        assert again / 0.3 == pytest.approx(slope, rel=1e-6, abs=1e-7)
    assert max(np.abs(slopes)) > 1e-3


@each_program
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "default"])
def test_compiled_equals_numpy(program: Program, exact: bool) -> None:
    compiled = pb.compile(program.function, exact=exact)
    for size in (program.tiny, program.sizes[0]):
        args = program.arguments(size)
        before = copied(args)
        want = program.function(*args)
        # Once as compiled, and once from the cache.
        for _ in range(2):
            check_results(compiled(*args), want, 0 if exact else 1e-10)
        for arg, value in zip(args, before, strict=True):
            np.testing.assert_array_equal(arg, value)


@each_program
def test_compiled_serves_other_values(program: Program) -> None:
    """The branches and trip counts of one call are not those of the next one."""
    compiled = pb.compile(program.function)
    for seed in range(3):
        args = program.arguments(program.tiny, seed=seed)
        check_results(compiled(*args), program.function(*args), 1e-10)


@each_differentiable
@pytest.mark.parametrize("which", ["tiny", "small"])
def test_gradient_is_the_slope(program: Program, which: str) -> None:
    args = program.arguments(program.tiny if which == "tiny" else program.sizes[0])
    weights, loss = program.weights(args), program.loss()
    found = gradient(program, args)
    for direction in program.directions(args):
        slope = slope_along(lambda *a: loss(weights, *a), args, program.argnums, direction)
        along = sum(float(np.sum(g * d)) for g, d in zip(found, direction, strict=True))
        assert along == pytest.approx(slope, rel=1e-6, abs=1e-7)


@each_program
def test_compiled_float32_equals_numpy(program: Program) -> None:
    args = program.arguments(program.tiny, np.float32)
    want = program.function(*args)
    check_results(pb.compile(program.function, exact=True)(*args), want, 0)
    check_results(pb.compile(program.function)(*args), want, 1e-4)


@each_differentiable
def test_float32_gradient(program: Program) -> None:
    single = program.arguments(program.tiny, np.float32)
    # The same values, so that rounding differs and not the problem.
    double = tuple(a.astype(np.float64) if np.result_type(a) == np.float32 else a for a in single)
    found = gradient(program, single)
    weights = tuple(
        w if w is None else np.asarray(w).astype(complex if np.iscomplexobj(w) else float)[()]
        for w in program.weights(single)
    )
    expected = pb.grad(program.loss(), argnums=program.loss_argnums)(weights, *double)
    for n, got, want in zip(program.argnums, found, expected, strict=True):
        assert np.asarray(got).dtype == np.asarray(single[n]).dtype
        np.testing.assert_allclose(got, want, rtol=1e-2, atol=2e-3 * np.max(np.abs(want)))


@each_program
def test_is_staged_unless_it_says_why(program: Program) -> None:
    sizes = (program.tiny, program.sizes[0])
    compiled = pb.compile(program.function)
    small, larger = (compiled.inspect(*program.arguments(s)).forward for s in sizes)
    if program.staged:
        assert was_staged(program.function, *program.arguments(program.tiny))
        assert equations(small) == equations(larger)
    else:
        assert program.reason
        assert equations(small) < equations(larger)


@pytest.mark.parametrize(
    "program",
    [p for p in PROGRAMS.values() if p.differentiable and p.staged],
    ids=lambda p: p.name,
)
def test_gradient_does_not_grow_with_the_size(program: Program) -> None:
    counts = []
    for size in (program.tiny, program.sizes[0]):
        args = program.arguments(size)
        step = pb.grad(program.loss(), argnums=program.loss_argnums)
        counts.append(equations(step.inspect(program.weights(args), *args).optimized))
    assert counts[0] == counts[1]

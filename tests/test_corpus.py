"""The programs of the corpus themselves: that they run, and that they have derivatives to check."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import numpy as np
import pytest

from pullback.benchmarks.corpus import FAMILIES, PROGRAMS
from pullback.benchmarks.corpus.program import Program, results_of, slope_along

each_program = pytest.mark.parametrize("program", PROGRAMS.values(), ids=lambda p: p.name)
each_differentiable = pytest.mark.parametrize(
    "program", [p for p in PROGRAMS.values() if p.differentiable], ids=lambda p: p.name
)


def copied(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a.copy() if isinstance(a, np.ndarray) else a for a in args)


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

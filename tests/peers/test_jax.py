"""Values and derivatives of many programs agree with JAX's to rounding."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from peers.programs import PROGRAMS

import pullback as pb
from pullback.benchmarks.case import leaves, map_leaves, with_namespace

jax: Any = pytest.importorskip("jax")
pytestmark = pytest.mark.usefixtures("jax_in_double")

EXAMPLES = 3
# XLA compiles longer than anything runs here. Level 0 would be quicker still, and gives infinities.
OPTIONS = {"xla_backend_optimization_level": 1, "xla_llvm_disable_expensive_passes": True}

each_program = pytest.mark.parametrize("name", PROGRAMS)


def arguments(name: str, seed: int = 0) -> tuple[Any, Any]:
    return PROGRAMS[name][1](np.random.default_rng(seed))


def tangents(name: str) -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    return map_leaves(lambda a: rng.standard_normal(np.shape(a))[()], arguments(name))


def examples(name: str) -> Any:
    """Examples of several seeds, stacked leaf by leaf."""
    drawn = [list(leaves(arguments(name, seed)[1])) for seed in range(EXAMPLES)]
    stacked = iter([np.stack(leaf) for leaf in zip(*drawn, strict=True)])
    return map_leaves(lambda _: next(stacked), arguments(name)[1])


def twin(name: str) -> Any:
    from peers.twins import TWINS

    return TWINS.get(name) or with_namespace(PROGRAMS[name][0], jax.numpy)


@functools.cache
def by_jax(name: str) -> dict[str, Any]:
    """All that is compared, from one program of XLA's: the Hessian and what it needs."""
    f = twin(name)

    def gradient(params: Any, x: Any) -> Any:
        value, slopes = jax.value_and_grad(f, (0, 1))(params, x)
        return slopes[0], (value, slopes)

    run = jax.jit(jax.jacfwd(gradient, has_aux=True), compiler_options=OPTIONS)
    params, x = arguments(name)
    hessian, (value, slopes) = run(params, x)
    each = [leaves(run(params, arguments(name, seed)[1])[1][1][0]) for seed in range(EXAMPLES)]
    stacked = iter([np.stack(leaf) for leaf in zip(*each, strict=True)])
    # Of a float the derivative along tangents is a product with its gradient.
    moved = sum(
        np.sum(np.asarray(slope) * tangent)
        for slope, tangent in zip(leaves(slopes), leaves(tangents(name)), strict=True)
    )
    found = {
        "value": value,
        "gradient": slopes,
        "jvp": moved,
        "hessian": hessian,
        "examples": map_leaves(lambda _: next(stacked), params),
    }
    return {what: map_leaves(np.asarray, result) for what, result in found.items()}


def assert_close(found: Any, expected: Any, tolerance: float = 1e-9) -> None:
    for got, want in zip(leaves(found), leaves(expected), strict=True):
        assert np.shape(got) == np.shape(want)
        scale = max(1.0, float(np.max(np.abs(want), initial=0.0)))
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


@each_program
def test_values_and_gradients(name: str) -> None:
    value, slopes = pb.value_and_grad(PROGRAMS[name][0], argnums=(0, 1))(*arguments(name))
    assert_close(value, PROGRAMS[name][0](*arguments(name)), 1e-12)
    assert_close(value, by_jax(name)["value"])
    assert_close(slopes, by_jax(name)["gradient"])


@each_program
def test_tangents(name: str) -> None:
    _, moved = pb.jvp(PROGRAMS[name][0], arguments(name), tangents(name))
    assert_close(moved, by_jax(name)["jvp"])


@each_program
def test_hessians(name: str) -> None:
    found = pb.hessian(PROGRAMS[name][0])(*arguments(name))
    assert_close(found, by_jax(name)["hessian"], 1e-8)


@each_program
def test_gradients_of_each_example(name: str) -> None:
    gradient = pb.vmap(pb.grad(PROGRAMS[name][0]), in_axes=(None, 0))
    assert_close(gradient(arguments(name)[0], examples(name)), by_jax(name)["examples"])

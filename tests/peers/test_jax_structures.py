"""Containers, axes and aux of transformations mean what they mean in JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import pullback as pb

jax: Any = pytest.importorskip("jax")
pytestmark = pytest.mark.usefixtures("jax_in_double")


class Layer(NamedTuple):
    w: Any
    b: Any


RNG = np.random.default_rng(5)


def draw(*shape: int) -> Any:
    return 0.7 * RNG.standard_normal(shape)


PARAMS = {"first": Layer(draw(2, 3), draw(3)), "rest": [Layer(draw(3, 2), draw(2))], "scale": 0.8}
X, BATCH = draw(2), draw(4, 2)
DIRECTION = {
    "first": Layer(draw(2, 3), draw(3)),
    "rest": [Layer(draw(3, 2), draw(2))],
    "scale": 0.3,
}


def network(np: Any, params: Any, x: Any) -> Any:
    first, rest = params["first"], params["rest"]
    h = np.tanh(x @ first.w + first.b)
    y = h @ rest[0].w + rest[0].b
    return {"y": params["scale"] * y, "h": (h, np.sum(y * y))}


def loss(np: Any, params: Any, x: Any) -> Any:
    out = network(np, params, x)
    return np.sum(out["y"] ** 2) + out["h"][1] * np.sum(out["h"][0])


def with_aux(np: Any, params: Any, x: Any) -> Any:
    return loss(np, params, x), {"out": network(np, params, x), "twice": 2.0 * x}


def many_axes(np: Any, a: Any, b: Any) -> Any:
    return {"sum": a + np.sum(b["k"]), "outer": np.outer(a, b["k"])}


A, B = draw(3, 4), {"k": draw(4, 2), "unused": draw(5)}
C = draw(3, 2)
AXES = (1, {"k": 0, "unused": None})

# Each is what is computed, over a library's transformations `t` and its NumPy.
COMPUTED: dict[str, Callable[[Any, Any], Any]] = {
    "gradient": lambda t, np: t.grad(lambda p: loss(np, p, X))(PARAMS),
    "gradient with aux": lambda t, np: t.grad(lambda p: with_aux(np, p, X), has_aux=True)(PARAMS),
    "value and gradients of both": lambda t, np: t.value_and_grad(
        lambda p, x: loss(np, p, x), argnums=(0, 1)
    )(PARAMS, X),
    "jvp": lambda t, np: t.jvp(lambda p: network(np, p, X), (PARAMS,), (DIRECTION,)),
    "jvp with aux": lambda t, np: t.jvp(
        lambda p: with_aux(np, p, X), (PARAMS,), (DIRECTION,), has_aux=True
    ),
    "linearize": lambda t, np: t.linearize(lambda p: network(np, p, X), PARAMS)[1](DIRECTION),
    "vjp": lambda t, np: t.vjp(lambda p, x: network(np, p, x), PARAMS, X)[1](
        {"y": np.array([1.0, -2.0]), "h": (np.array([0.5, 0.1, 0.2]), np.array(0.7)[()])}
    ),
    "jacfwd": lambda t, np: t.jacfwd(lambda x: network(np, PARAMS, x))(X),
    "jacrev": lambda t, np: t.jacrev(lambda p: network(np, p, X))(PARAMS),
    "jacrev of both": lambda t, np: t.jacrev(lambda p, x: network(np, p, x), argnums=(1, 0))(
        PARAMS, X
    ),
    "jacrev with aux": lambda t, np: t.jacrev(lambda x: with_aux(np, PARAMS, x), has_aux=True)(X),
    "hessian": lambda t, np: t.hessian(lambda p: loss(np, p, X))(PARAMS),
    "hessian of both": lambda t, np: t.hessian(lambda p, x: loss(np, p, x), argnums=(0, 1))(
        PARAMS, X
    ),
    "vmap": lambda t, np: t.vmap(lambda p, x: network(np, p, x), in_axes=(None, 0))(PARAMS, BATCH),
    "gradients of each example": lambda t, np: t.vmap(
        t.value_and_grad(lambda p, x: with_aux(np, p, x), has_aux=True), in_axes=(None, 0)
    )(PARAMS, BATCH),
    "Jacobians of each example": lambda t, np: t.vmap(t.jacfwd(lambda x: network(np, PARAMS, x)))(
        BATCH
    ),
    "axes in containers": lambda t, np: t.vmap(
        lambda a, b: many_axes(np, a, b), in_axes=AXES, out_axes={"sum": 1, "outer": 0}
    )(A, B),
    "one axis for all results": lambda t, np: t.vmap(
        lambda a, b: many_axes(np, a, b), in_axes=AXES, out_axes=-1
    )(A, B),
    "two axes": lambda t, np: t.vmap(
        t.vmap(lambda u, v: np.sin(u) @ v, in_axes=(None, 1)), in_axes=(1, None), out_axes=1
    )(A, C),
    "Jacobian of a Jacobian": lambda t, np: t.jacfwd(t.jacrev(lambda x: np.sin(x) * x[0]))(X),
    "Hessian of a vmapped loss": lambda t, np: t.hessian(
        lambda x: np.sum(t.vmap(lambda w: np.tanh(w @ x))(BATCH) ** 2)
    )(X),
    "holomorphic": lambda t, np: t.jacfwd(lambda z: np.exp(z) * z[0], holomorphic=True)(
        X + 1j * X[::-1]
    ),
    "complex tangents": lambda t, np: t.jvp(
        lambda z: np.abs(z * np.conj(z[0])), (X + 1j * X[::-1],), (X - 2j * X,)
    ),
    "complex gradient": lambda t, np: t.grad(lambda z: np.sum(np.abs(z**3 + np.conj(z))))(
        X + 1j * X[::-1]
    ),
}


def flat(tree: Any) -> tuple[list[np.ndarray], Any]:
    leaves, structure = jax.tree.flatten(tree)
    return [np.asarray(leaf) for leaf in leaves], structure


@pytest.mark.parametrize("name", COMPUTED)
def test_structures_and_values(name: str) -> None:
    found, structure = flat(COMPUTED[name](pb, np))
    # As one program: XLA would compile each operation by itself otherwise.
    expected, theirs = flat(jax.jit(lambda: COMPUTED[name](jax, jax.numpy))())
    assert structure == theirs
    for got, want in zip(found, expected, strict=True):
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)

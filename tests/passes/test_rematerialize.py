"""Cheap values are computed again: which, the same bits, less memory, and nothing that acts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import Function
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes.rematerialize import SMALLEST, Rematerialize

Array = Any
RNG = np.random.default_rng(0)
ROWS, COLUMNS = 512, 128
X = RNG.normal(size=(ROWS, COLUMNS))
WS = [RNG.normal(size=(COLUMNS, COLUMNS)) / 12 for _ in range(3)]
assert X.nbytes >= SMALLEST


def gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(0.8 * (x + 0.045 * x * x * x)))


def swish(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def norm(x: Array) -> Array:
    d = x - np.mean(x, -1, keepdims=True)
    return d / np.sqrt(np.mean(d * d, -1, keepdims=True) + 1e-5)


def masked(x: Array) -> Array:
    return np.where(x > 0, x * x, np.exp(x)) * (x < 1)


ACTIVATIONS = [gelu, swish, norm, masked]


def network(activation: Any) -> Any:
    def loss(ws: Any, x: Array) -> Any:
        for w in ws:
            x = x + activation(x @ w)
        return np.sum(x * x)

    return loss


def without(monkeypatch: pytest.MonkeyPatch, f: Any, exact: bool) -> Any:
    monkeypatch.setenv("PULLBACK_WITHOUT", "rematerialize")
    plain = pb.value_and_grad(f, argnums=(0, 1), exact=exact)
    plain.inspect(WS, X)
    found = plain(WS, X), plain.inspect(WS, X).plan.peak_bytes
    monkeypatch.delenv("PULLBACK_WITHOUT")
    return found


def leaves(tree: Any) -> list[bytes]:
    if isinstance(tree, tuple | list):
        return [leaf for part in tree for leaf in leaves(part)]
    return [np.asarray(tree).tobytes()]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_bits_are_the_same_and_the_memory_is_no_more(
    monkeypatch: pytest.MonkeyPatch, activation: Any, exact: bool
) -> None:
    f = network(activation)
    expected, everything = without(monkeypatch, f, exact)
    again = pb.value_and_grad(f, argnums=(0, 1), exact=exact)
    assert leaves(again(WS, X)) == leaves(expected)
    assert again.inspect(WS, X).plan.peak_bytes <= everything


@pytest.mark.parametrize("activation", [gelu, norm])
def test_less_is_kept(monkeypatch: pytest.MonkeyPatch, activation: Any) -> None:
    f = network(activation)
    _, everything = without(monkeypatch, f, exact=False)
    found = pb.value_and_grad(f, argnums=(0, 1)).inspect(WS, X)
    assert found.plan.peak_bytes < 0.9 * everything
    again = [r for r in found.kept.residuals if not r.is_saved]
    assert {r.why for r in again} == {"cheap, from what is kept anyway"}
    assert not {r.op for r in again} & {"tanh", "exp", "matmul", "sum"}


def test_pullbacks_keep_less_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from pullback.pullbacks import VjpFunction

    def crossing() -> tuple[int, Any]:
        f = VjpFunction(network(gelu))
        _, pull = f(WS, X)
        (entry,) = [e for entries in f.programs.entries.values() for e in entries]
        kept = entry.forward.plan.function
        return sum(r.type.nbytes for r in kept.results[1:]), pull(1.0)

    less, found = crossing()
    monkeypatch.setenv("PULLBACK_WITHOUT", "rematerialize")
    more, expected = crossing()
    assert less < more
    assert leaves(found) == leaves(expected)


def chosen(text: str, forward: int) -> set[str | None]:
    """Return the names of what is computed again in a program of so many forward equations."""
    function = parse_function(text)
    for eqn in function.eqns[forward:]:
        eqn.provenance = eqn.provenance.as_derived("vjp")
    made: Function = Rematerialize(8)(function)
    verify(made)
    return {e.result.hint for e in made.eqns if e.provenance.derived == "recompute"}


def program(maker: str, adjoint: str, *, between: str = "x @ w", more: str = "x * x") -> str:
    t = "f64[100, 100]"
    return f"""
def f(x: {t}, w: {t}, n: f64[1, 100]) -> ({t}, {t}):
    p : {t} = tanh(x)
    v : {t} = {maker}
    q : {t} = v * v
    c : {t} = {between}
    d : {t} = c * q
    a : {t} = {adjoint}
    b : {t} = {more}
    e : {t} = a * b
    return d, e
"""


def test_what_is_there_anyway_is_enough() -> None:
    assert chosen(program("x * w", "c * v"), 5) == {"v"}
    assert chosen(program("x * n", "c * v"), 5) == {"v"}
    assert chosen(program("p * x", "c * v", more="x * p"), 5) == {"v"}


def test_what_would_have_to_be_kept_for_it_is_not() -> None:
    assert chosen(program("p * x", "c * v"), 5) == set()


def test_what_is_dear_is_kept() -> None:
    assert chosen(program("exp(x)", "c * v"), 5) == set()
    assert chosen(program("x @ w", "c * v"), 5) == set()


def test_what_is_read_again_at_once_is_kept() -> None:
    assert chosen(program("x * w", "c * v", between="x - w"), 5) == set()


def test_small_values_are_kept() -> None:
    w = RNG.normal(size=(8, 8))
    kept = pb.grad(network(gelu)).inspect([w], RNG.normal(size=(4, 8))).kept
    assert all(r.is_saved for r in kept.residuals)


def test_views_of_what_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(ws: Any, x: Array) -> Any:
        h = x * 2.0
        return np.sum(np.tanh(h.T @ h)) + np.sum(np.sin(h @ ws[0]) * h[::-1])

    expected, _ = without(monkeypatch, f, exact=True)
    again = pb.value_and_grad(f, argnums=(0, 1), exact=True)
    assert leaves(again(WS, X)) == leaves(expected)
    assert any(not r.is_saved for r in again.inspect(WS, X).kept.residuals)

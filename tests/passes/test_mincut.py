"""Straight lines within a budget: the same bits, the peak that was promised, and the least."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.budget import KeptTable
from pullback.ir.core import Function
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes.mincut import cheapest, in_segments
from pullback.passes.straight_line import Line

Array = Any
RNG = np.random.default_rng(0)
LAYERS = 16


def mlp(ws: Any, x: Array) -> Any:
    for w, b in ws:
        x = x + np.tanh(x @ w + b)
    return np.sum(x * x)


def attention(ws: Any, x: Array) -> Any:
    for wq, wk, wv, gain in ws:
        d = x - np.mean(x, -1, keepdims=True)
        n = d / np.sqrt(np.mean(d * d, -1, keepdims=True) + 1e-5) * gain
        q, k, v = n @ wq, n @ wk, n @ wv
        scores = q @ k.T / 8
        e = np.exp(scores - np.max(scores, -1, keepdims=True))
        x = x + (e / np.sum(e, -1, keepdims=True)) @ v
    return np.sum(x * x)


def chain(ws: Any, x: Array) -> Any:
    for a in ws:
        x = np.sin(x * a) + np.exp(-x * x)
        x = x / (1 + x * x)
    return np.sum(x * x)


def normal(*shape: int) -> Array:
    return RNG.normal(size=shape) / 6


CASES: list[tuple[Any, Any, Array, list[float]]] = [
    (mlp, [(normal(32, 32), normal(32)) for _ in range(LAYERS)], normal(512, 32), [0.8, 0.5]),
    (
        attention,
        [(normal(64, 64), normal(64, 64), normal(64, 64), normal(64)) for _ in range(3)],
        normal(256, 64),
        [0.8, 0.6],
    ),
    (chain, list(RNG.normal(size=14)), normal(40_000), [0.7, 0.4]),
]
IDS = [f.__name__ for f, *_ in CASES]


def leaves(tree: Any) -> list[Any]:
    if isinstance(tree, tuple | list):
        return [leaf for part in tree for leaf in leaves(part)]
    return [np.asarray(tree)]


@pytest.mark.parametrize(("f", "ws", "x", "parts"), CASES, ids=IDS)
def test_the_peak_is_within_the_budget_and_the_bits_are_the_same(
    f: Any, ws: Any, x: Array, parts: list[float]
) -> None:
    plain = pb.value_and_grad(f, argnums=(0, 1), exact=True)
    expected = leaves(plain(ws, x))
    everything = plain.inspect(ws, x).plan.peak_bytes
    for part in parts:
        budget = int(part * everything)
        within = pb.value_and_grad(f, argnums=(0, 1), exact=True, memory=budget)
        found = within(ws, x)
        assert [a.tobytes() for a in leaves(found)] == [a.tobytes() for a in expected]
        assert within.inspect(ws, x).plan.peak_bytes <= budget
        del found
        pb.release()
        gc.collect()
        tracemalloc.start()
        try:
            within(ws, x)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak <= 1.1 * budget


@pytest.mark.parametrize(("f", "ws", "x", "parts"), CASES[:2], ids=IDS[:2])
def test_second_derivatives_are_within_the_budget(
    f: Any, ws: Any, x: Array, parts: list[float]
) -> None:
    ws = ws[:4]

    def slope(ws: Any, x: Array) -> Any:
        return np.sum(np.sin(pb.grad(f, argnums=1)(ws, x)))

    plain = pb.grad(slope, argnums=(0, 1), exact=True)
    budget = int(0.92 * plain.inspect(ws, x).plan.peak_bytes)
    within = pb.grad(slope, argnums=(0, 1), exact=True, memory=budget)
    expected = [a.tobytes() for a in leaves(plain(ws, x))]
    assert [a.tobytes() for a in leaves(within(ws, x))] == expected
    assert within.inspect(ws, x).plan.peak_bytes <= budget


def test_a_chain_needs_memory_as_the_square_root_of_its_length() -> None:
    x = np.linspace(0.1, 1, 20_000)

    def least(n: int) -> int:
        with pytest.raises(pb.BudgetError, match="at least") as caught:
            pb.grad(chain, argnums=1, memory=x.nbytes)([1.0] * n, x)
        words = str(caught.value).split("at least ")[1]
        return int(words.split(" ")[0].replace(",", ""))

    small, large = least(12), least(48)
    assert large < 2.6 * small
    plain = pb.grad(chain, argnums=1).inspect([1.0] * 48, x).plan.peak_bytes
    assert large < 0.35 * plain


def test_the_error_names_what_is_enough() -> None:
    f, ws, x, _ = CASES[0]
    with pytest.raises(pb.BudgetError) as caught:
        pb.grad(f, memory="100KB")(ws, x)
    text = str(caught.value)
    assert text.startswith("memory=102,400 bytes is too little for mlp: it needs at least ")
    least = int(text.split("at least ")[1].split(" ")[0].replace(",", ""))
    within = pb.grad(f, memory=least)
    expected = pb.grad(f)(ws, x)
    for a, b in zip(leaves(within(ws, x)), leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert within.inspect(ws, x).plan.peak_bytes == least
    with pytest.raises(pb.BudgetError, match=f"at least {least:,} bytes"):
        pb.grad(f, memory=least - 1)(ws, x)


def test_with_enough_memory_nothing_changes() -> None:
    f, ws, x, _ = CASES[1]
    assert str(pb.grad(f, memory="1GB").inspect(ws, x)) == str(pb.grad(f).inspect(ws, x))


def test_what_is_around_loops_fits_too() -> None:
    def f(ws: Any, x: Array) -> Any:
        h = x[:8]
        for w, b in ws:
            x = x + np.tanh(x @ w + b)
        w = ws[0][0]
        for _ in range(50):
            h = np.tanh(h @ w) + 0.1 * h
        return np.sum(x * x) + np.sum(h * h)

    _, ws, x, _ = CASES[0]
    plain = pb.grad(f, exact=True)
    everything = plain.inspect(ws, x).plan.peak_bytes
    expected = [a.tobytes() for a in leaves(plain(ws, x))]
    for budget, most in ((0.6, 0.6), (0.1, 0.5)):  # the second one is less than can be
        within = pb.grad(f, exact=True, memory=int(budget * everything))
        assert [a.tobytes() for a in leaves(within(ws, x))] == expected
        assert within.inspect(ws, x).plan.peak_bytes <= most * everything


def test_draws_are_kept() -> None:
    def noisy(x: Array, rng: np.random.Generator) -> Any:
        for _ in range(2):
            a = rng.normal(size=x.shape)
            x = np.sin(x * a) * np.exp(-x) / (1 + x * x)
            b = rng.normal(size=x.shape)
            x = np.tanh(x + b) * np.cos(x)
        return np.sum(x)

    x = np.linspace(0, 1, 10_000)
    plain = pb.grad(noisy, exact=True)
    budget = int(0.75 * plain.inspect(x, np.random.default_rng(1)).plan.peak_bytes)
    within = pb.grad(noisy, exact=True, memory=budget)
    rngs = [np.random.default_rng(1) for _ in range(2)]
    assert within(x, rngs[0]).tobytes() == plain(x, rngs[1]).tobytes()
    assert rngs[0].random() == rngs[1].random()


def test_the_table_says_what_is_kept_and_why() -> None:
    f, ws, x, _ = CASES[0]
    peak = pb.grad(f).inspect(ws, x).plan.peak_bytes
    kept = pb.grad(f, memory=int(0.55 * peak)).inspect(ws, x).kept
    assert isinstance(kept, KeptTable)
    text = str(kept)
    assert "a segment starts from it" in text
    assert "computed again" in text
    assert "test_mincut.py:" in text
    saved = sum(r.nbytes for r in kept.residuals if r.is_saved)
    everything = pb.grad(f).inspect(ws, x).kept
    assert 0 < saved < 0.6 * sum(r.nbytes for r in everything.residuals)
    assert {r.why for r in everything.residuals} <= {"no budget", "cheap, from what is kept anyway"}


LINE = """
def f(x: f64[1000], w: f64[1000]) -> f64[1000]:
    a : f64[1000] = x * w
    b : f64[1000] = tanh(a)
    c : f64[1000] = b * w
    d : f64[1000] = exp(c)
    da : f64[1000] = a * b
    dc : f64[1000] = da * c
    dd : f64[1000] = dc * d
    return dd
"""


def line() -> tuple[Function, Line]:
    function = parse_function(LINE)
    return function, Line(function, 4)


def names(values: Any) -> set[str]:
    return {v.hint for v in values}


def test_the_price_of_a_byte_decides() -> None:
    function, parts = line()
    made = [names(cheapest(parts, price)) for price in (1e-13, 2e-10, 5e-10, 1e-9, 1e-8)]
    assert made[0] == set()
    assert made[-1] == {"a", "b", "c", "d"}
    # What is cheap is computed again first.
    assert any(m and m <= {"a", "c"} for m in made)
    for smaller, larger in itertools.pairwise(made):
        assert smaller <= larger
    for dropped in made:
        verify(parts.drop({v for v in parts.makers if v.hint in dropped}))
    assert str(parts.drop(frozenset())) == str(function)


def test_what_is_kept_costs_nothing() -> None:
    _, parts = line()
    b = next(v for v in parts.makers if v.hint == "b")
    assert names(cheapest(parts, 1e-8, {b})) == {"a", "c", "d"}


def test_segments_keep_what_crosses_their_borders() -> None:
    _, parts = line()
    dropped, border = in_segments(parts, 2, 4)
    assert names(dropped) | names(border) == {"a", "b", "c", "d"}
    assert border
    assert names(in_segments(parts, 2, 2)[0]) <= {"a", "b"}
    again = parts.drop(dropped)
    verify(again)
    copies = [e for e in again.eqns if e.provenance.derived == "recompute"]
    assert {e.result.hint for e in copies} == names(dropped)


def test_a_deep_line_does_not_recurse() -> None:
    text = ["def f(x: f64[8]) -> f64[8]:", "    v0 : f64[8] = sin(x)"]
    text += [f"    v{k} : f64[8] = sin(v{k - 1})" for k in range(1, 3000)]
    text += ["    y : f64[8] = v2999 * v0", "    return y"]
    function = parse_function("\n".join(text))
    parts = Line(function, 3000)
    assert len(parts.drop(parts.droppable).eqns) == 6001

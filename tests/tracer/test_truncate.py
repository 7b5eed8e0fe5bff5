"""Truncated backpropagation through time: equal to the gradient that is truncated by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb

pytestmark = pytest.mark.usefixtures("checked")

RNG = np.random.default_rng(0)
STEPS = 23
W = RNG.standard_normal((6, 6)) * 0.4
H = RNG.standard_normal(6)
XS = RNG.standard_normal((STEPS, 6))


def by_hand(w: Any, h: Any, xs: Any, k: int, reverse: bool = False) -> tuple[Any, Any, Any]:
    """Return the gradients of `scanned`, whose carry is cut before steps k, 2k, ..."""
    order = list(range(len(xs)))
    order = order[::-1] if reverse else order
    hs = [h]
    for t in order:
        hs.append(np.tanh(w @ hs[-1] + xs[t]))
    dw, dxs, dh = np.zeros_like(w), np.zeros_like(xs), np.ones_like(h)
    for number in range(len(xs) - 1, -1, -1):
        after = hs[number + 1]
        da = (dh + 2 * np.sum(after)) * (1 - after**2)
        dw += np.outer(da, hs[number])
        dxs[order[number]] = da
        dh = w.T @ da
        if number and number % k == 0:
            dh = np.zeros_like(dh)
    return dw, dh, dxs


def scanned(w, h, xs, k, reverse=False):
    def step(h, x):
        h = np.tanh(w @ h + x)
        return h, np.sum(h)

    h, ys = pb.scan(step, h, xs, reverse=reverse, truncate=k)
    return np.sum(h) + np.sum(ys**2)


def looped(w, h, xs, k):
    total = 0.0
    for t in range(STEPS):
        if t > 0 and t % k == 0:
            h = pb.stop_gradient(h)
        h = np.tanh(w @ h + xs[t])
        total = total + np.sum(h) ** 2
    return np.sum(h) + total


def in_a_row(w, h, xs, k):
    total = 0.0
    for t, x in enumerate(xs):
        if t % k == 0:  # the first step too
            h = pb.stop_gradient(h)
        h = np.tanh(w @ h + x)
        total = total + np.sum(h) ** 2
    return np.sum(h) + total


LENGTHS = [1, 2, 5, 7, 22, 23, 24, 100]


@pytest.mark.parametrize("k", LENGTHS)
def test_scan_is_truncated_as_by_hand(k: int) -> None:
    for reverse in (False, True):
        found = pb.grad(scanned, argnums=(0, 1, 2))(W, H, XS, k, reverse)
        for a, b in zip(found, by_hand(W, H, XS, k, reverse), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("k", LENGTHS)
def test_a_python_loop_is_truncated_by_stop_gradient(k: int) -> None:
    gradient = pb.grad(looped, argnums=(0, 1, 2))
    for a, b in zip(gradient(W, H, XS, k), by_hand(W, H, XS, k), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    dw, dh, dxs = pb.grad(in_a_row, argnums=(0, 1, 2))(W, H, XS, k)
    expected = by_hand(W, H, XS, k)
    np.testing.assert_allclose(dw, expected[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(dxs, expected[2], rtol=1e-12, atol=1e-14)
    assert not dh.any()


def test_both_loops_are_staged() -> None:
    for f in (looped, in_a_row):
        rows = pb.grad(f).explain(W, H, XS, 5).rows
        assert rows
        assert all(row.what.startswith("staged") for row in rows)


def test_the_value_is_that_without_truncation() -> None:
    def whole(w, h, xs):
        def step(h, x):
            h = np.tanh(w @ h + x)
            return h, np.sum(h)

        h, ys = pb.scan(step, h, xs)
        return np.sum(h) + np.sum(ys**2)

    expected = pb.compile(whole, exact=True)(W, H, XS)
    assert pb.compile(scanned, exact=True)(W, H, XS, 4) == expected
    assert pb.value_and_grad(scanned, exact=True)(W, H, XS, 4)[0] == expected
    assert scanned(W, H, XS, 4) == whole(W, H, XS)


def test_carries_in_containers_with_numbers_and_integers() -> None:
    def f(w, h):
        def step(c, x):
            h, total = np.tanh(w @ c["h"] * c["scale"] + x), c["total"] + np.sum(c["h"])
            return {"h": h, "scale": c["scale"] * 0.99, "total": total, "n": c["n"] + 1}, None

        c, _ = pb.scan(step, {"h": h, "scale": 1.0, "total": 0.0, "n": 0}, XS, truncate=6)
        return np.sum(c["h"]) + c["total"] * c["n"]

    def same(w, h):
        scale, total, n = 1.0, 0.0, 0
        for t in range(STEPS):
            if t > 0 and t % 6 == 0:
                h, scale, total = pb.stop_gradient((h, scale, total))
            total = total + np.sum(h)
            h = np.tanh(w @ h * scale + XS[t])
            scale, n = scale * 0.99, n + 1
        return np.sum(h) + total * n

    for a, b in zip(
        pb.grad(f, argnums=(0, 1))(W, H), pb.grad(same, argnums=(0, 1))(W, H), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_a_carry_that_is_written_in_place() -> None:
    def f(h, in_place):
        def step(h, x):
            if in_place:
                h[1:] *= h[:-1] + x[1:]
            else:
                h = np.concatenate([h[:1], h[1:] * (h[:-1] + x[1:])])
            return h, np.sum(h)

        h, ys = pb.scan(step, h, XS, truncate=4)
        return np.sum(h) + np.sum(ys)

    before = H.copy()
    found = pb.grad(f)(H, True)
    np.testing.assert_allclose(found, pb.grad(f)(H, False), rtol=1e-12)
    np.testing.assert_array_equal(H, before)


def test_second_order() -> None:
    def second(f):
        return pb.grad(lambda w: np.sum(pb.grad(lambda h: f(w, h, XS, 5))(H) ** 2) + f(w, H, XS, 5))

    np.testing.assert_allclose(second(scanned)(W), second(looped)(W), rtol=1e-10, atol=1e-12)


def test_within_a_memory_budget() -> None:
    for f in (scanned, looped):
        whole = pb.grad(f, argnums=(0, 1, 2), exact=True)(W, H, XS, 5)
        within = pb.grad(f, argnums=(0, 1, 2), exact=True, memory=40 * H.nbytes)
        for a, b in zip(within(W, H, XS, 5), whole, strict=True):
            np.testing.assert_array_equal(a, b)
        assert within.inspect(W, H, XS, 5).kept.rows[0].lengths


def test_what_is_no_positive_int_is_an_error() -> None:
    for wrong in (0, -2, 2.0, True, "3"):
        with pytest.raises(pb.ArgumentError, match="truncate"):
            pb.grad(scanned)(W, H, XS, wrong)
        with pytest.raises(ValueError, match="truncate"):
            scanned(W, H, XS, wrong)


# -- in training ----------------------------------------------------------------------------------


def test_state_is_carried_across_calls() -> None:
    """Chunks of a sequence, the last state of one being the first of the next."""

    def loss(w, h, xs):
        def step(h, x):
            h = np.tanh(w @ h + x)
            return h, np.sum(h)

        h, ys = pb.scan(step, h, xs)
        return np.sum(ys**2), h

    step = pb.value_and_grad(loss, has_aux=True)
    h, total, dw = H, 0.0, np.zeros_like(W)
    for start in range(0, 20, 5):
        (value, h), g = step(W, h, XS[start : start + 5])
        total += value
        dw += g
    assert step.cache_info().misses == 1

    def whole(w):
        def one(h, x):
            h = np.tanh(w @ h + x)
            return h, np.sum(h)

        return np.sum(pb.scan(one, H, XS[:20], truncate=5)[1] ** 2)

    value, expected = pb.value_and_grad(whole)(W)
    np.testing.assert_allclose(total, value, rtol=1e-13)
    np.testing.assert_allclose(dw, expected, rtol=1e-12)


def test_clipping_is_compiled_into_the_same_program() -> None:
    def loss(w, h, xs):
        def step(h, x):
            h = np.tanh(w @ h + x)
            return h, h

        h, ys = pb.scan(step, h, xs, truncate=4)
        return np.sum(ys**2), h

    def update(w, h, xs, rate, most):
        (value, h), g = pb.value_and_grad(loss, has_aux=True)(w, h, xs)
        norm = np.sqrt(np.sum(g * g))
        return w - rate * g * np.minimum(1.0, most / norm), h, value, norm

    compiled = pb.compile(update)
    (value, last), g = pb.value_and_grad(loss, has_aux=True)(W, H, XS)
    norm = np.linalg.norm(g)
    for most in (0.5 * norm, 2.0 * norm):
        w, h, found, length = compiled(W, H, XS, 0.1, most)
        np.testing.assert_allclose(w, W - 0.1 * g * min(1.0, most / norm), rtol=1e-12)
        np.testing.assert_allclose(h, last, rtol=1e-12)
        np.testing.assert_allclose((found, length), (value, norm), rtol=1e-12)
    assert compiled.cache_info().misses == 1

"""Loops within a budget: the same gradients, bit for bit, and the memory that was promised."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.passes.schedule import Costs, choose, smallest

pytestmark = pytest.mark.usefixtures("checked")

RNG = np.random.default_rng(0)
W = RNG.standard_normal((60, 60)) * 0.12
H = RNG.standard_normal(60)
XS = RNG.standard_normal((53, 60))
STATE = H.nbytes


# -- the programs ---------------------------------------------------------------------------------


def scanned(w, h, xs):
    def step(h, x):
        h = np.tanh(w @ h + x)
        return h, h

    h, ys = pb.scan(step, h, xs)
    return np.sum(ys**2) + np.sum(h)


def scanned_back(w, h, xs):
    def step(h, x):
        h = np.tanh(w @ h + x)
        return h, np.sum(h * x)

    h, ys = pb.scan(step, h, xs, reverse=True)
    return np.sum(ys**2) + np.sum(h)


def several_carries(w, h, xs):
    def step(c, x):
        a, b, s = c
        a, b = np.sin(a) * b + x, np.cos(a)
        return (a, b, s + np.sum(a)), None

    return pb.scan(step, (h, h * 2.0, 0.0), xs)[0][2]


def fori(w, h, xs):
    return np.sum(pb.fori_loop(0, 50, lambda i, h: np.sin(w @ h) + h * 0.9, h))


def fori_from_three(w, h, xs):
    return np.sum(pb.fori_loop(3, 50, lambda i, h: np.sin(w @ h) * i + h * 0.9, h))


def counting_down(w, h, xs):
    for i in range(48, 1, -1):
        h = np.tanh(w @ h) + xs[i] * i
    return np.sum(h)


def in_steps_of_three(w, h, xs):
    for i in range(1, 53, 3):
        h = np.tanh(w @ h) + xs[i]
    return np.sum(h)


def appended(w, h, xs):
    hs = []
    for x in xs:
        h = np.tanh(w @ h) + x
        hs.append(h)
    return np.sum(np.stack(hs) ** 2)


def loops_in_loops(w, h, xs):
    for _ in range(40):
        for j in range(12):
            h = np.tanh(w @ h) + xs[j] * 0.1
        h = np.sin(h)
    return np.sum(h)


def triangular(w, h, xs):
    for i in range(40):
        for j in range(i):
            h = np.tanh(w @ h) + xs[j] * 0.1
        h = np.sin(h)
    return np.sum(h)


def ragged_slices(w, h, xs):
    a = xs[:, 0].copy()
    for i in range(1, 40):
        h = np.tanh(h + np.sum(np.exp(a[:i]) * h[0]))
    return np.sum(h)


def branches(w, h, xs):
    for i in range(50):
        if h[0] > 0.1:
            h = np.tanh(w @ h)
        else:
            h = np.sin(h) + xs[i]
    return np.sum(h)


def two_loops(w, h, xs):
    for _ in range(30):
        h = np.tanh(w @ h)
    for _ in range(45):
        h = np.sin(w @ h) * 1.3
    return np.sum(h)


def while_loop(w, h, xs):
    def body(c):
        return np.tanh(w @ c[0]) + 0.1, c[1] + 1.0

    return np.sum(pb.while_loop(lambda c: c[1] < 47.5, body, (h, 0.0))[0])


def python_while(w, h, xs):
    t = h[0] * 0
    while t < 47.5:
        h = np.tanh(w @ h) + 0.1
        t = t + 1.0
    return np.sum(h)


def with_break(w, h, xs):
    for i in range(50):
        h = np.tanh(w @ h) + xs[i]
        if h[0] > 2.2:
            break
    return np.sum(h) * i


def written_in_place(w, h, xs):
    u, v = np.concatenate([h, h]), xs[0].copy()
    for _ in range(50):
        u[1:-1] += 0.1 * np.sin(u[1:-1]) * (u[2:] - u[:-2])
        v = np.tanh(w @ v) + u[:60]
        u[0] = v[0]
    return np.sum(u) + np.sum(v)


def second_order(w, h, xs):
    return np.sum(pb.grad(lambda h: fori(w, h, xs))(h) ** 2)


def second_order_with_its_own(w, h, xs):
    return np.sum(pb.grad(lambda h: fori(w, h, xs), memory=30 * STATE)(h) ** 2)


def loop_in_a_branch(w, h, xs):
    return pb.cond(h[0] > -9.0, lambda h: fori(w, h, xs), lambda h: np.sum(h), h)


CASES: list[tuple[Callable[..., Any], int]] = [
    (scanned, 20),
    (scanned, 30),
    (scanned_back, 20),
    (several_carries, 60),
    (fori, 9),
    (fori, 14),
    (fori, 18),
    (fori, 30),
    (fori_from_three, 20),
    (counting_down, 20),
    (counting_down, 12),
    (scanned_back, 12),
    (several_carries, 25),
    (in_steps_of_three, 30),
    (appended, 20),
    (loops_in_loops, 500),
    (loops_in_loops, 60),
    (loops_in_loops, 30),
    (triangular, 60),
    (ragged_slices, 60),
    (branches, 20),
    (two_loops, 60),
    (written_in_place, 100),
    (while_loop, 60),
    (python_while, 60),
    (with_break, 60),
    (second_order, 60),
    (second_order_with_its_own, 500),
    (loop_in_a_branch, 60),
]


def bits(values: Any) -> list[bytes]:
    return [np.asarray(v).tobytes() for v in values]


@pytest.mark.parametrize(("f", "states"), CASES, ids=lambda c: getattr(c, "__name__", str(c)))
def test_the_gradient_is_the_same_bit_for_bit(f: Callable[..., Any], states: int) -> None:
    whole = pb.grad(f, argnums=(0, 1, 2), exact=True)
    within = pb.grad(f, argnums=(0, 1, 2), exact=True, memory=states * STATE)
    assert bits(within(W, H, XS)) == bits(whole(W, H, XS))
    within = pb.grad(f, argnums=(0, 1, 2), memory=states * STATE)
    for a, b in zip(within(W, H, XS), whole(W, H, XS), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    kept = within.inspect(W, H, XS).kept
    assert kept.peak <= states * STATE
    if states < 500:
        assert any(row.lengths for row in kept.rows)


def test_the_gradient_is_that_of_the_function() -> None:
    for states in (12, 30):
        g = pb.grad(scanned, memory=states * STATE)(W, H, XS)
        d = np.random.default_rng(4).standard_normal(W.shape) * 1e-6
        numeric = (scanned(W + d, H, XS) - scanned(W - d, H, XS)) / 2
        np.testing.assert_allclose(np.sum(g * d), numeric, rtol=1e-6)


def test_a_length_that_the_call_tells() -> None:
    def f(w, h, n):
        return np.sum(pb.fori_loop(0, n, lambda i, h: np.tanh(w @ h) * (i + 1), h))

    whole = pb.grad(f, argnums=(0, 1), exact=True)
    within = pb.grad(f, argnums=(0, 1), exact=True, memory=60 * STATE)
    for n in (0, 1, 2, 14, 15, 16, 47):
        assert bits(within(W, H, np.int64(n))) == bits(whole(W, H, np.int64(n)))
    with pytest.raises(pb.BudgetError, match=r"more than the .* iterations"):
        within(W, H, np.int64(100_000))
    assert bits(within(W, H, np.int64(3))) == bits(whole(W, H, np.int64(3)))


def test_a_while_loop_that_counts() -> None:
    def f(w, h, last):
        n = 0
        while np.sum(h * h) > last:
            h = np.tanh(w @ h) * (n % 2 + 0.5)
            n += 1
        return np.sum(h) * n

    whole, within = pb.grad(f, exact=True), pb.grad(f, exact=True, memory=60 * STATE)
    for last in (100.0, 1.0, 1e-3):
        assert bits([within(W, H, last)]) == bits([whole(W, H, last)])
    with pytest.raises(pb.BudgetError, match=r"more than the .* iterations"):
        within(W, H, 1e-300)

    def counted(w, h, last):
        n = 0
        while np.sum(h * h) > last and n < 7:
            h = np.tanh(w @ h)
            n += 1
        return np.sum(h) * n

    with pytest.raises(pb.BudgetError, match="its condition reads the index"):
        pb.grad(counted, memory="1GB")(W, H, 1e-3)


def test_without_a_budget_nothing_changes() -> None:
    plain = str(pb.grad(scanned).inspect(W, H, XS))
    assert str(pb.grad(scanned, memory=None).inspect(W, H, XS)) == plain
    assert str(pb.grad(scanned, memory="1GB").inspect(W, H, XS)) == plain


def test_loops_that_keep_nothing_are_left_alone() -> None:
    def linear(h):
        for _ in range(1000):
            h = h * 0.5 + np.roll(h, 1)
        return np.sum(h)

    def settled(a):
        a = a.copy()
        for i in range(1, 50):
            a[i] = np.sin(a[i - 1])
        return np.sum(a)

    for f, x in ((linear, H), (settled, XS[:, 0])):
        plain = str(pb.grad(f).inspect(x))
        assert str(pb.grad(f, memory=8).inspect(x)) == plain


# -- how much -------------------------------------------------------------------------------------


def diffusion(u, n):
    for _ in range(n):
        u = u + 0.01 * (np.roll(u, 1, 0) + np.roll(u, -1, 1) - 2 * u - u * u * u)
    return np.sum(u * u)


@pytest.mark.parametrize("n", [100, 101, 97, 256, 900])
@pytest.mark.parametrize("states", [2000, 120, 61, 30, 24])
def test_the_peak_is_within_the_budget(n: int, states: int) -> None:
    u = np.random.default_rng(1).standard_normal((128, 128))
    constant = 10 * u.nbytes + 2_000_000  # temporaries, and the compilation
    within = pb.grad(diffusion, memory=states * u.nbytes)
    tracemalloc.start()
    try:
        within(u, n)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= states * u.nbytes + constant


def test_products_taken_out_of_loops_are_within_the_budget_too() -> None:
    rng = np.random.default_rng(1)
    w, h, xs = rng.standard_normal((32, 32)) / 9, np.zeros((32, 32)), np.ones((60, 32, 32))

    def f(w, xs):
        return np.sum(pb.scan(lambda h, x: (np.tanh(h @ w + x @ w), None), h, xs)[0])

    within = pb.grad(f, memory=123 * h.nbytes)
    names = [s.name for s in within.inspect(w, xs).stages]
    assert "smaller dce" in names
    np.testing.assert_allclose(within(w, xs), pb.grad(f)(w, xs), rtol=1e-12)
    assert "smaller dce" not in [s.name for s in pb.grad(f, memory="1GB").inspect(w, xs).stages]


def test_ten_thousand_steps_fit_in_two_hundred_states() -> None:
    u = np.random.default_rng(1).standard_normal((4, 4))
    kept = pb.grad(diffusion, memory=200 * u.nbytes).inspect(u, 10_000).kept
    assert kept.peak <= 200 * u.nbytes
    assert kept.rows[0].extra == 1.0


def test_what_cannot_be_met_names_the_least() -> None:
    with pytest.raises(pb.BudgetError, match="at least") as caught:
        pb.grad(fori, memory=5 * STATE)(W, H, XS)
    assert isinstance(caught.value, MemoryError)
    found = re.search(r"at least ([\d,]+) bytes", str(caught.value))
    assert found is not None
    least = int(found[1].replace(",", ""))
    expected = pb.grad(fori, exact=True)(W, H, XS)
    assert bits(pb.grad(fori, exact=True, memory=least)(W, H, XS)) == bits(expected)
    with pytest.raises(pb.BudgetError):
        pb.grad(fori, memory=least - 1)(W, H, XS)


def test_draws_are_not_repeated() -> None:
    def noisy(h, rng):
        for _ in range(50):
            h = np.tanh(h + rng.standard_normal(60)) * h
        return np.sum(h)

    rng = np.random.default_rng(2)
    with pytest.raises(pb.BudgetError, match="happens once"):
        pb.grad(noisy, memory=20 * STATE)(H, rng)
    expected = pb.grad(noisy)(H, np.random.default_rng(3))
    found = pb.grad(noisy, memory="1MB")(H, np.random.default_rng(3))
    assert bits([found]) == bits([expected])


def test_budgets_are_numbers_of_bytes() -> None:
    x = np.ones((8, 8))
    for memory in (10_240, "10KB", "10 KiB", "10k", "0.009765625MB"):
        kept = pb.grad(diffusion, memory=memory).inspect(x, 100).kept
        assert kept.rows[0].lengths == (10, 10)
    for wrong in ("ten", "10 apples", -1, True):
        with pytest.raises(pb.ArgumentError, match="no number of bytes"):
            pb.grad(diffusion, memory=wrong)  # type: ignore[arg-type]


def test_the_table_says_what_was_chosen() -> None:
    text = str(pb.grad(diffusion, memory="10KB").inspect(np.ones((8, 8)), 100).kept)
    assert "a state in 10: 10 × 10" in text
    assert "predicted peak: 10 KB" in text
    assert "test_checkpoint.py" in text


# -- schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("trips", [4, 5, 7, 16, 97, 1000, 1013, 10_000])
@pytest.mark.parametrize(("state", "step"), [(1, 1), (1, 5), (10, 1), (8, 24)])
def test_schedules_run_all_iterations_within_their_budget(
    trips: int, state: int, step: int
) -> None:
    costs = Costs(state, step, fixed=3)
    least = smallest(trips, costs)
    assert least is not None
    assert choose(trips, costs, costs.of(least) - 1) is None
    for more in range(0, trips * step, max(1, trips * step // 10)):
        split = choose(trips, costs, costs.of(least) + more)
        assert split is not None
        assert costs.of(split) <= costs.of(least) + more
        assert split.trips == trips
        assert split.extra <= trips * (len(split.lengths) - 1)
        while split.inner is not None:
            assert split.inner.trips == split.length
            split = split.inner


def test_one_extra_forward_run_needs_two_square_roots() -> None:
    for trips in (100, 961, 10_000, 1_000_000):
        split = choose(trips, Costs(1, 1), 2 * trips**0.5)
        assert split is not None
        assert len(split.lengths) == 2

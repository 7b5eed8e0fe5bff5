"""Donated arguments: their memory holds results, and no value is ever another than without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tiles import tiny_tiles

import pullback as pb
from pullback.ir.errors import ArgumentError

SIZE = 6


def arrays(count: int, *shape: int, dtype: Any = float) -> list[np.ndarray]:
    rng = np.random.default_rng(count)
    return [rng.standard_normal(shape or (SIZE,)).astype(dtype) for _ in range(count)]


def agree(f: Any, *args: Any, donate: Any = 0, exact: bool = False) -> Any:
    """Compare a program with donated arguments with plain NumPy, twice; return its last result."""
    run = pb.compile(f, donate_argnums=donate, exact=exact)
    made = None
    for _ in range(2):
        expected = pb.tree.map(np.copy, f(*pb.tree.map(np.copy, args)))
        made = run(*pb.tree.map(np.copy, args))
        for a, b in zip(pb.tree.leaves(made), pb.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    return made


# ---- results in the memory of arguments ----------------------------------------------------------


@pytest.mark.parametrize("exact", [False, True])
def test_a_result_is_the_argument(exact):
    @pb.compile(donate_argnums=0, exact=exact)
    def step(p: Any, g: Any) -> Any:
        return {"w": p["w"] - 0.5 * g, "b": p["b"] + 1.0}

    p = {"w": np.ones(SIZE), "b": 2.0}
    memory = p["w"]
    for n in range(1, 4):
        p = step(p, np.full(SIZE, 2.0))
        assert p["w"] is memory
        np.testing.assert_array_equal(memory, 1.0 - n)
        assert p["b"] == 2.0 + n


def test_by_name_and_by_keyword():
    def f(x: Any, y: Any) -> Any:
        return 2 * y + x

    x, y = arrays(2)
    assert pb.compile(f, donate_argnames="y")(x, y=y) is y
    assert pb.compile(f, donate_argnums=-1)(x, y) is y
    assert pb.compile(f, donate_argnums=(0,))(x, y) is x


def test_what_is_computed_from_an_argument_goes_there():
    @pb.compile(donate_argnums=(0, 1))
    def f(a: Any, b: Any) -> Any:
        return b * 2, a * 3

    a, b = arrays(2)
    first, second = f(a, b)
    assert first is b
    assert second is a


def test_results_of_another_kind_take_memory_too():
    a, b = arrays(2, 3, 3)
    expected = a @ b
    found = pb.compile(lambda a, b: a @ b, donate_argnums=0)(a, b)
    assert found is a
    np.testing.assert_allclose(found, expected)


def test_nothing_fits():
    x = np.ones((2, 3))
    total, cast = pb.compile(lambda x: (np.sum(x, axis=0), x.astype(np.float32)), donate_argnums=0)(
        x
    )
    np.testing.assert_array_equal(x, 1)
    np.testing.assert_array_equal(total, 2)
    assert cast.dtype == np.float32


def test_a_training_step_writes_into_its_state():
    opt = pb.optim.adam(0.1)

    def loss(params: Any, x: Any) -> Any:
        return np.sum((x @ params["w"] + params["b"]) ** 2)

    def step(params: Any, state: Any, x: Any) -> Any:
        value, grads = pb.value_and_grad(loss)(params, x)
        grads = pb.clip_by_global_norm(grads, 1.0)
        updates, state = opt.update(grads, state, params)
        return pb.optim.apply_updates(params, updates), state, value

    x = arrays(1, 5, 3)[0]
    params = {"w": np.ones((3, 2)), "b": np.zeros(2)}
    state = opt.init(params)
    plain = pb.tree.map(np.copy, (params, state))
    owned = pb.tree.leaves((params, state))
    run = pb.compile(step, donate_argnums=(0, 1))
    for _ in range(3):
        params, state, value = run(params, state, x)
        *plain, expected = step(*plain, x)
        assert value == pytest.approx(expected)
    for new, old, right in zip(
        pb.tree.leaves((params, state)), owned, pb.tree.leaves(plain), strict=True
    ):
        np.testing.assert_allclose(new, right)
        assert new is old or not np.ndim(new)
    assert run.cache_info().misses == 1


def test_the_plan_computes_in_place():
    def f(p: Any, m: Any, g: Any) -> Any:
        m = 0.9 * m + g
        return p - 0.1 * m, m

    given = arrays(3, 1000)
    run = pb.compile(f, donate_argnums=(0, 1))
    inspection = run.inspect(*given)
    assert inspection.plan.fresh_bytes == 0
    assert "write_back(" not in inspection.source


def test_tiled_regions_write_into_the_memory_of_their_arguments():
    opt = pb.optim.adam(0.1)

    def step(params: Any, state: Any, grads: Any) -> Any:
        updates, state = opt.update(pb.clip_by_global_norm(grads, 1.0), state, params)
        return pb.optim.apply_updates(params, updates), state

    with tiny_tiles():
        for exact in (False, True):
            params = {"a": arrays(1, 40, 50)[0], "b": arrays(2, 40, 50)[1], "c": np.ones(40)}
            state, grads = opt.init(params), pb.tree.map(np.sin, params)
            run = pb.compile(step, donate_argnums=(0, 1), exact=exact)
            source = run.inspect(params, state, grads).source
            assert "tiles" in source
            assert "write_back(" not in source
            owned = pb.tree.leaves(params)
            plain = pb.tree.map(np.copy, (params, state))
            for _ in range(3):
                params, state = run(params, state, grads)
                plain = step(*plain, grads)
            assert all(a is b for a, b in zip(pb.tree.leaves(params), owned, strict=True))
            found = pb.tree.leaves((params, state))
            for a, b in zip(found, pb.tree.leaves(plain), strict=True):
                np.testing.assert_allclose(a, b, rtol=0 if exact else 1e-12)


# ---- where the old content is still read ---------------------------------------------------------

OLD = {
    "swap": lambda a, b: (b + 0.0, a + 0.0),
    "swap of sums": lambda a, b: (a + b, a - b),
    "the argument itself": lambda a, b: (a, a + 1),
    "a view of it": lambda a, b: (a + 1, a[1:]),
    "a copy of it": lambda a, b: (a + 1, a * 1.0, np.copy(a)),
    "reversed": lambda a, b: (a[::-1] + a, b),
    "reversed itself": lambda a, b: (a[::-1].copy(), b),
    "scalars": lambda a, b: (a * 2, np.sum(a), a[0]),
    "late read": lambda a, b: (np.tanh(a) + b, np.sum(np.exp(a) * b)),
    "twice the same": lambda a, b: (a + b, a + b),
    "shared results": lambda a, b: (lambda c: (c, c[1:], c))(a + b),
    "matrix": lambda a, b: (np.outer(a, b) @ a, a - b),
    "cumulative": lambda a, b: (np.cumsum(a), np.cumsum(a[::-1])),
    "roll": lambda a, b: (np.roll(a, 1), np.roll(a, 2)),
    "sorted": lambda a, b: (np.sort(a), a * b),
    "gather": lambda a, b: (a[np.array([1, 0, 3, 2, 5, 4])], b),
}


@pytest.mark.parametrize("donate", [0, 1, (0, 1)])
@pytest.mark.parametrize("name", OLD)
def test_old_contents(name, donate):
    agree(OLD[name], *arrays(2), donate=donate)
    agree(OLD[name], *arrays(2), donate=donate, exact=True)


def test_results_do_not_share_memory_that_numpy_keeps_apart():
    first, second = agree(OLD["twice the same"], *arrays(2), donate=0)
    assert not np.shares_memory(first, second)
    one, two = pb.compile(lambda a: (a + 1, a + 1), donate_argnums=0)(arrays(1)[0])
    one[:] = 0
    assert np.all(two != 0)


def test_writes_of_the_function_itself():
    def f(a: Any, b: Any) -> Any:
        a -= 0.1 * b
        b = b * 2
        return a, b

    a, b = arrays(2)
    run = pb.compile(f, donate_argnums=(0, 1))
    expected = (a - 0.1 * b, b * 2)
    first, second = run(a, b)
    assert first is a
    assert second is b
    np.testing.assert_allclose(first, expected[0])
    np.testing.assert_allclose(second, expected[1])


def test_loops_and_branches():
    def f(a: Any, b: Any) -> Any:
        for k in range(SIZE):
            a = a * 0.5 + b[k]
            if np.sum(a) > 1:
                b = b - a
        return b, a

    agree(f, *arrays(2), donate=(0, 1))


# ---- arrays that cannot be written into ----------------------------------------------------------


def step(a: Any, b: Any) -> Any:
    return a - 0.5 * b, b + 1


def test_read_only():
    a, b = arrays(2)
    a.flags.writeable = False
    kept = a.copy()
    run = pb.compile(step, donate_argnums=0)
    for _ in range(3):
        np.testing.assert_array_equal(run(a, b)[0], kept - 0.5 * b)
        np.testing.assert_array_equal(a, kept)


@pytest.mark.parametrize(
    "make",
    [
        lambda m: (m[0], m[0]),
        lambda m: (m[0], m[0][:]),
        lambda m: (m.reshape(-1)[:SIZE], m.reshape(-1)[2 : SIZE + 2]),
        lambda m: (m[0], np.frombuffer(memoryview(m[0]))),
        lambda m: (np.lib.stride_tricks.as_strided(m[0], (SIZE,), (8,)), m[0]),
        lambda m: (m[0], m.T[:, 0]),
        lambda m: (m[:, 0], m[:, 1]),
        lambda m: (m[0, ::-1], m[1]),
        lambda m: (m[0], m[1]),
    ],
)
def test_arrays_that_overlap_or_are_not_contiguous(make):
    run = pb.compile(step, donate_argnums=(0, 1))
    for _ in range(3):
        a, b = make(np.arange(1.0, SIZE * SIZE + 1).reshape(SIZE, SIZE))
        expected = step(a.copy(), b.copy())
        for found, right in zip(run(a, b), expected, strict=True):
            np.testing.assert_array_equal(found, right)


def test_arrays_that_overlap_with_what_is_read_from_outside():
    outside = np.ones(2 * SIZE)
    run = pb.compile(lambda a: (a + 1, outside * 2), donate_argnums=0)
    for _ in range(3):
        first, second = run(outside[:SIZE])
        np.testing.assert_array_equal(first, 2)
        np.testing.assert_array_equal(second, 2)
        np.testing.assert_array_equal(outside, 1)
    alone = np.ones(SIZE)
    assert run(alone)[0] is alone


def test_a_written_argument_that_overlaps_with_a_donated_one():
    def f(a: Any, b: Any) -> Any:
        b[:] = a * 2
        return a + b

    run = pb.compile(f, donate_argnums=0)
    for _ in range(2):
        m, n = np.arange(10.0), np.arange(10.0)
        expected = f(m[:SIZE], m[2 : SIZE + 2])
        np.testing.assert_array_equal(run(n[:SIZE], n[2 : SIZE + 2]), expected)
        np.testing.assert_array_equal(run(np.ones(SIZE), np.ones(SIZE)), 3)


def test_a_guard_that_fails_leaves_the_argument():
    def f(a: Any) -> Any:
        b = a * 2
        if float(np.sum(a)) > 100.0:
            return b - 1
        return b + 1

    run = pb.compile(f, donate_argnums=0)
    for value in (1.0, 50.0, 1.0, 50.0):
        a = np.full(SIZE, value)
        expected = f(a.copy())
        np.testing.assert_array_equal(run(a), expected)


def test_an_error_leaves_the_argument():
    run = pb.compile(lambda a: np.linalg.inv(a) + a, donate_argnums=0)
    a = np.zeros((3, 3))
    for _ in range(2):
        with pytest.raises(np.linalg.LinAlgError):
            run(a)
        np.testing.assert_array_equal(a, 0)


def test_what_is_stored_outside_keeps_its_content():
    class Box:
        held: Any = None

    box = Box()

    def f(a: Any) -> Any:
        box.held = a
        return a + 1

    run = pb.compile(f, donate_argnums=0)
    for _ in range(2):
        a = np.ones(SIZE)
        np.testing.assert_array_equal(run(a), 2)
        np.testing.assert_array_equal(box.held, 1)


def test_what_is_returned_and_stored_is_one_array():
    class Box:
        held: Any = None

    box = Box()

    def f(a: Any) -> Any:
        box.held = a + 1
        return box.held

    run = pb.compile(f, donate_argnums=0)
    for _ in range(2):
        found = run(np.ones(SIZE))
        np.testing.assert_array_equal(found, 2)
        assert np.shares_memory(found, box.held)


def test_within_another_trace_nothing_is_donated():
    inner = pb.compile(lambda a: a * 2, donate_argnums=0)
    a = np.ones(SIZE)
    np.testing.assert_array_equal(pb.grad(lambda a: np.sum(inner(a) * a))(a), 4)
    np.testing.assert_array_equal(a, 1)


# ---- what cannot be donated ----------------------------------------------------------------------


def test_names_and_numbers_that_are_no_parameters():
    with pytest.raises(ArgumentError, match="donate_argnums=2 names no parameter"):
        pb.compile(step, donate_argnums=2)
    with pytest.raises(ArgumentError, match="donate_argnames='c' names no parameter"):
        pb.compile(step, donate_argnames="c")
    with pytest.raises(ArgumentError, match="`a` is static, so it has no memory to donate"):
        pb.compile(step, static_argnums=0, donate_argnums=0)


def test_an_argument_that_is_not_given():
    def f(a: Any, b: Any = None) -> Any:
        return a + 1 if b is None else a + b

    run = pb.compile(f, donate_argnames=("a", "b"))
    a, b = arrays(2)
    assert run(a) is a
    assert run(a, b) is a


# ---- random programs -----------------------------------------------------------------------------

UNARY = (np.sin, np.negative, lambda x: x[::-1], lambda x: x * 1.0, lambda x: np.roll(x, 1))
BINARY = (np.add, np.multiply, lambda x, y: np.where(x > 0, y, x), lambda x, y: x * np.sum(y))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_programs(data):
    draw = data.draw
    steps = [
        (draw(st.integers(0, len(UNARY) + len(BINARY) - 1)), draw(st.integers(0, 20)),
         draw(st.integers(0, 20)))
        for _ in range(draw(st.integers(1, 8)))
    ]  # fmt: skip
    outs = draw(st.lists(st.integers(0, 20), min_size=1, max_size=4))

    def f(a: Any, b: Any, c: Any) -> Any:
        values = [a, b, c]
        for op, i, j in steps:
            x, y = values[i % len(values)], values[j % len(values)]
            values.append(UNARY[op](x) if op < len(UNARY) else BINARY[op - len(UNARY)](x, y))
        return [values[-1 - k % len(values)] for k in outs]

    given = arrays(3)
    agree(f, *given, donate=draw(st.sampled_from([0, (0, 1), (0, 1, 2)])))

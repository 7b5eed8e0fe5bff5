"""Tiled regions: the results of whole ones, whoever computes them, and errors alike."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tiny_tiles import tiny_tiles

import pullback as pb
from pullback.ir.core import walk
from pullback.ir.ops.control import Fused
from pullback.runtime import pool


def mixed(x: Any, y: Any) -> Any:
    return np.sum(np.tanh(x) * np.exp(-(y**2)) + x / (1 + np.exp(-y)))


def softmax(x: Any, w: Any) -> Any:
    z = x * w
    e = np.exp(z - np.max(z, axis=-1, keepdims=True))
    p = e / np.sum(e, axis=-1, keepdims=True)
    return np.sum(p * p)


def layer_norm(x: Any, w: Any) -> Any:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    y = centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + 1e-5)
    return np.sum(np.tanh(y * w))


def columns(x: Any, w: Any) -> Any:
    return np.sum(np.sum(np.sin(x) * w, axis=0) ** 2)


def writes(x: Any, w: Any) -> Any:
    y = x * 1.0
    y[1:] = y[1:] * w + np.cos(y[:-1])
    y += np.exp(-y)
    return np.sum(y * y)


def steps(x: Any, w: Any) -> Any:
    u = np.sin(x)
    for _ in range(3):
        u = u + 0.1 * np.tanh(u * w) - 0.01 * u**2
    return np.sum(u * u)


def views(x: Any, w: Any) -> Any:
    a = np.exp(x * w)
    b = a.reshape(-1, 1, a.shape[-1]) * 2.0
    return np.sum(b[:, 0] * a) + np.sum(np.sqrt(a).T[1:])


def extremes(x: Any, w: Any) -> Any:
    return np.max(x * w) + np.min(np.abs(x)) + np.sum(np.where(x > 0, x * w, 0.0))


PROGRAMS = [mixed, softmax, layer_norm, columns, writes, steps, views, extremes]


@pytest.fixture(autouse=True)
def all_threads() -> Iterator[None]:
    yield
    pb.set_threads(None)


def operands(shape: tuple[int, ...], dtype: str = "f8") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, shape).astype(dtype)
    w = rng.uniform(0.5, 1, shape[-1:] if shape else ()).astype(dtype)
    return x, w


def is_tiled(compiled: Any, *args: Any) -> bool:
    return any(
        isinstance(e.op, Fused) and e.op.tile for e in walk(compiled.inspect(*args).optimized)
    )


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(50, 3), (7, 40), (33, 5), (4, 300)], ids=str)
def test_tiles_change_nothing(program: Callable[..., Any], dtype: str, shape: Any) -> None:
    x, w = operands(shape, dtype)
    expected = pb.value_and_grad(program, argnums=(0, 1))(x, w)
    with tiny_tiles():
        tiled = pb.value_and_grad(program, argnums=(0, 1))
        assert is_tiled(tiled, x, w)
        found = tiled(x, w)
    rtol = 2e-4 if dtype == "f4" else 1e-12
    np.testing.assert_allclose(found[0], expected[0], rtol=rtol)
    for a, b in zip(found[1], expected[1], strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shape", [(50, 3), (7, 40), (65, 9)], ids=str)
def test_exact_mode_keeps_bits(program: Callable[..., Any], shape: Any) -> None:
    x, w = operands(shape)
    with tiny_tiles():
        tiled = pb.compile(program, exact=True)
        np.testing.assert_array_equal(tiled(x, w), program(x, w))
        gradient = pb.grad(program, exact=True)(x, w)
    np.testing.assert_array_equal(gradient, pb.grad(program, exact=True)(x, w))


@pytest.mark.parametrize("program", PROGRAMS)
def test_results_do_not_depend_on_the_number_of_threads(program: Callable[..., Any]) -> None:
    x, w = operands((300, 7), "f4")
    with tiny_tiles():
        tiled = pb.value_and_grad(program)
        tiled(x, w)
    found = []
    for n in (1, 2, 5):
        pb.set_threads(n)
        found.append(tiled(x, w))
    for value, gradient in found[1:]:
        np.testing.assert_array_equal(value, found[0][0])
        np.testing.assert_array_equal(gradient, found[0][1])


def test_concurrent_callers_share_the_pool() -> None:
    x, w = operands((400, 9))
    with tiny_tiles():
        tiled = pb.value_and_grad(layer_norm)
        expected = tiled(x, w)
    wrong: list[Any] = []

    def call() -> None:
        for k in range(20):
            value, gradient = tiled(x + 0.0, w)
            if value != expected[0] or not np.array_equal(gradient, expected[1]):
                wrong.append(k)

    callers = [threading.Thread(target=call) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_a_warning_is_given_once_with_the_line_of_the_user() -> None:
    x = np.linspace(-1.0, 1.0, 1000)
    with tiny_tiles():
        tiled = pb.compile(lambda x: np.sum(np.log(x) * 2.0 + x))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tiled(x)
    assert [str(w.message) for w in caught] == ["invalid value encountered in log"]
    assert caught[0].filename == __file__


def test_each_of_two_errors_of_one_operation_is_told_once() -> None:
    x, y = np.zeros(1000), np.zeros(1000)
    x[:400] = 1.0  # parts with the one, with both, with the other
    with tiny_tiles():
        tiled = pb.compile(lambda x, y: np.sum(x / y + x))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tiled(x, y)
    told = [str(w.message) for w in caught if "divide" in str(w.message)]
    assert sorted(told) == [
        "divide by zero encountered in divide",
        "invalid value encountered in divide",
    ]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_of_any_part_is_raised(threads: int) -> None:
    x = np.linspace(1.0, 2.0, 1000)
    with tiny_tiles():
        tiled = pb.compile(lambda x: np.sum(1.0 / x + x))
        assert np.isfinite(tiled(x))
        pb.set_threads(threads)
        x[777] = 0.0
        with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide"):
            tiled(x)
        x[777] = 1.0
        assert np.isfinite(tiled(x))


def test_an_interrupt_waits_for_who_still_writes() -> None:
    """The memory of the call goes to the next one, into which a part would have written."""
    started, waits = threading.Event(), threading.Event()
    finished: list[int] = []
    main = threading.main_thread().ident
    assert main is not None

    def part(at: int, _: int) -> None:
        if threading.current_thread() is threading.main_thread():
            assert started.wait(60)
            waits.set()
            return
        started.set()
        assert waits.wait(60)
        threading.Event().wait(0.1)  # until the caller has nothing else to do
        signal.pthread_kill(main, signal.SIGINT)
        threading.Event().wait(0.1)
        finished.append(at)

    # A shell's background process has the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            pool.Pool().run(part, 2, 2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(finished) == 1


def test_overlapping_operands_are_not_overwritten_early() -> None:
    def shifted(u: Any) -> Any:
        for _ in range(4):
            u = u + 0.0
            u[1:] = u[:-1] * 0.5 + u[1:] * np.exp(-u[1:])
        return u

    u = np.linspace(0.0, 1.0, 500)
    with tiny_tiles():
        found = pb.compile(shifted, exact=True)(u.copy())
    np.testing.assert_array_equal(found, shifted(u.copy()))


def test_set_threads_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="at least 1 thread"):
        pb.set_threads(0)
    with pytest.raises(TypeError, match="takes an int"):
        pb.set_threads(2.5)  # type: ignore[arg-type]
    pb.set_threads(np.int64(3))  # type: ignore[arg-type]
    assert pool.threads() == 3

"""Loops, branches and assertions of the user's against plain NumPy: values, memory, derivatives.

Every case is called with several arguments through one compiled function, so that what one call
has decided must not last. The cases stand in the files `staging_*_cases`.
"""

from __future__ import annotations

import importlib.util
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback as pb

_spec = importlib.util.spec_from_file_location(
    "staging_case", Path(__file__).with_name("staging_case.py")
)
assert _spec is not None
assert _spec.loader is not None
harness = sys.modules["staging_case"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(harness)

CASES = [
    case
    for name in ("", "array_", "state_", "memory_", "raise_", "name_")
    for case in harness.cases_of(f"staging_{name}cases")
]
NAMES = [case.function.__name__ for case in CASES]
V = np.arange(1.0, 8.0)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_every_call_does_what_numpy_does(case: Any) -> None:
    harness.check_values(case)


@pytest.mark.parametrize("case", [c for c in CASES if c.slopes], ids=lambda c: c.function.__name__)
def test_derivatives_are_the_slopes(case: Any) -> None:
    harness.check_slopes(case)


@pytest.mark.parametrize("case", [c for c in CASES if c.staged], ids=lambda c: c.function.__name__)
def test_nothing_is_unrolled(case: Any) -> None:
    harness.check_staged(case)


# -- cost and interrupts ---------------------------------------------------------------------------


def millions(x: Any) -> Any:
    for i in range(10**6):
        x = x * 0.999999 + 1e-9 * i
    return x


def endless(x: Any) -> Any:
    while x > 0:
        x = x + 1.0
    return x


def test_many_iterations_are_compiled_as_fast_as_few() -> None:
    start = time.perf_counter()
    inspected = pb.compile(millions).inspect(1.0)
    assert time.perf_counter() - start < 1.0
    assert len(inspected.forward.eqns) < 10


def test_an_endless_loop_can_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    compiled = pb.compile(endless)
    assert compiled(-1.0) == -1.0
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            compiled(1.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert compiled(-2.0) == -2.0
    assert pb.grad(endless)(-3.0) == 1.0


def test_an_interrupt_while_a_body_is_traced_leaves_nothing_behind() -> None:
    state = {"steps": 0}
    is_armed = [True]

    class Thing:
        @property
        def size(self) -> int:
            if is_armed[0]:
                raise KeyboardInterrupt
            return 3

    thing = Thing()

    def f(x: Any) -> Any:
        total = 0.0
        for i in range(20):
            state["steps"] = state["steps"] + 1
            total = total + x[i % thing.size]
        return total

    with pytest.raises(KeyboardInterrupt):
        pb.grad(f)(V)
    assert state == {"steps": 0}
    is_armed[0] = False
    assert pb.compile(lambda x: np.sum(x))(V) == 28.0
    np.testing.assert_array_equal(pb.grad(lambda x: np.sum(x * x))(V), 2 * V)


def test_threads_compile_one_function_at_once() -> None:
    def f(x: Any) -> Any:
        total = 0.0
        for i in range(50):
            if x[i % 7] > 3:
                total = total + x[i % 7] * i
        return total

    compiled = pb.compile(f)
    found: list[float] = []
    ready = threading.Barrier(8)

    def run() -> None:
        ready.wait()
        found.append(float(compiled(V)))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [float(f(V))] * 8


# -- what is said ----------------------------------------------------------------------------------


def test_specs_are_enough_for_loops_and_branches() -> None:
    def f(x: Any) -> Any:
        total = 0.0
        for i in range(50):
            if x[i % 7] > 3:
                total = total + x[i % 7] * i
        return total

    inspected = pb.compile(f).inspect(pb.Spec((7,), float))
    assert len(inspected.forward.eqns) == 1


def grows(x: Any, count: Any) -> Any:
    for _ in range(count[0]):
        x = np.concatenate([x, x[:1]])
    return x


def test_a_shape_that_changes_is_said_with_both_types() -> None:
    explained = str(pb.compile(grows).explain(V, np.array([3])))
    assert "unrolled 3 times" in explained
    assert "`x` is f64[7] before an iteration and f64[8] after it" in explained
    with pytest.raises(pb.ConcretizationError, match=r"`x` is f64\[7\] before .* f64\[8\] after"):
        pb.compile(grows).inspect(pb.Spec((7,), float), pb.Spec((1,), int))


@pytest.mark.parametrize(
    ("function", "error"),
    [(lambda x: _indexed(x, 20), IndexError), (lambda x: _indexed(x, 7), None)],
)
def test_an_index_out_of_bounds_raises_forward_and_backward(
    function: Callable[[Any], Any], error: type[Exception] | None
) -> None:
    if error is None:
        np.testing.assert_allclose(pb.grad(function)(V), 1.0)
        return
    for transformed in (pb.compile(function), pb.grad(function), pb.value_and_grad(function)):
        with pytest.raises(error):
            transformed(V)


def _indexed(x: Any, count: int) -> Any:
    total = 0.0
    for i in range(count):
        total = total + x[i]
    return total


def test_a_check_is_no_guard() -> None:
    def f(x: Any) -> Any:
        if x[0] < 0:
            raise ValueError(f"{x[0]:.1f} is negative")
        if not np.all(x < 10):
            raise OverflowError("large")
        return np.sum(np.sqrt(x))

    compiled = pb.value_and_grad(f)
    for _ in range(2):
        np.testing.assert_allclose(compiled(V)[0], f(V))
        with pytest.raises(ValueError, match=r"^-1\.0 is negative$"):
            compiled(-V)
        with pytest.raises(OverflowError, match=r"^large$"):
            compiled(V * 10)
    assert compiled.cache_info().currsize == 1

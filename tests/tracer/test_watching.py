"""State in containers, objects, closures and iterators that a loop changes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb

TRIPS = 60


def in_a_dict_of_a_closure(x: Any) -> Any:
    state = {"total": 0.0, "count": 0}

    def add(value: Any) -> None:
        state["total"] = state["total"] + value
        state["count"] += 1

    def run(function: Callable[[Any], None]) -> None:
        for i in range(TRIPS):
            function(x[i])

    run(add)
    return state["total"] * state["count"]


class Plain:
    def __init__(self) -> None:
        self.total: Any = 0.0
        self.count = 0


class Slotted:
    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.total: Any = 0.0
        self.count = 0


def in_attributes(x: Any) -> Any:
    state = Plain()
    for i in range(TRIPS):
        state.total = state.total + x[i]
        state.count += 1
    return state.total * state.count


def in_slots(x: Any) -> Any:
    state = Slotted()
    for i in range(TRIPS):
        state.total = state.total + x[i]
        state.count += 1
    return state.total * state.count


def in_dicts_that_grow(x: Any) -> Any:
    sums: dict[str, Any] = defaultdict(float)
    counts: Counter[str] = Counter()
    for i in range(TRIPS):
        sums["a"] += x[i]
        counts["a"] += 1
    return sums["a"] * counts["a"]


def in_a_list_of_arrays(x: Any) -> Any:
    state = [0.0, np.zeros(3)]
    for i in range(TRIPS):
        state[0] = state[0] + x[i]
        state[1][i % 3] += x[i]
    return state[0] + state[1][1]


def in_a_variable_of_the_enclosing_function(x: Any) -> Any:
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    def run(function: Callable[[], None]) -> Any:
        total = 0.0
        for i in range(TRIPS):
            function()
            total += x[i] * count
        return total

    return run(step) * count


def in_an_iterator(x: Any) -> Any:
    factors = iter([2.0, 3.0] * TRIPS)
    total = 0.0
    for i in range(TRIPS):
        total += x[i] * next(factors)
    return total + next(factors)


def in_a_generator(x: Any) -> Any:
    factors = (k + 1.0 for k in range(2 * TRIPS))
    total = 0.0
    for i in range(TRIPS):
        for factor in factors:
            total += x[i] * factor
            break
    return total + next(factors)


STAGED = [in_a_dict_of_a_closure, in_attributes, in_a_list_of_arrays]
UNROLLED = [
    in_slots,
    in_dicts_that_grow,
    in_a_variable_of_the_enclosing_function,
    in_an_iterator,
    in_a_generator,
]


@pytest.mark.parametrize("function", [*STAGED, *UNROLLED], ids=lambda f: f.__name__)
def test_state_is_what_it_is_in_plain_numpy(function: Callable[[Any], Any]) -> None:
    compiled = pb.compile(function, exact=True)
    x = np.linspace(-1.0, 2.0, TRIPS)
    for scale in (1.0, 3.0, -2.0):
        assert compiled(scale * x) == function(scale * x)
    assert compiled.cache_info().misses == 1
    pb.check_grads(function, (x,), order=2)


@pytest.mark.parametrize("function", STAGED, ids=lambda f: f.__name__)
def test_elements_and_attributes_are_carried(function: Callable[[Any], Any]) -> None:
    forward = pb.compile(function).inspect(np.ones(TRIPS)).forward
    assert [e.op.name for e in forward.eqns].count("loop") == 1


@pytest.mark.parametrize("function", UNROLLED, ids=lambda f: f.__name__)
def test_other_state_is_followed_step_by_step(function: Callable[[Any], Any]) -> None:
    forward = pb.compile(function).inspect(np.ones(TRIPS)).forward
    assert "loop" not in [e.op.name for e in forward.eqns]

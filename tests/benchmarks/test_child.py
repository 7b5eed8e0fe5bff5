"""Processes of their own: what they are asked, what they answer, and what goes wrong in them."""

import dataclasses
import io
import operator
import os
import pickle
import time

import numpy as np
import pytest

from pullback.benchmarks import child
from pullback.benchmarks.cases import CASES
from pullback.benchmarks.child import ChildError, Keeper
from pullback.benchmarks.timing import OutOfTimeError, time_limit

CASE = CASES["logistic"]


def answers(*messages: tuple[str, object]) -> list[tuple[bool, object]]:
    """What a child would answer, in this process."""
    source = io.BytesIO(b"".join(map(pickle.dumps, messages)))
    sink = io.BytesIO()
    child.answer_all(source, sink)
    found = io.BytesIO(sink.getvalue())
    return [pickle.load(found) for _ in messages]


def test_a_child_calls_and_times() -> None:
    called, timed = answers(("call", (operator.add, (1, 2))), ("time", 3))
    assert called == (True, 3)
    assert timed[0] is True
    assert isinstance(timed[1], float)


def test_what_is_raised_in_a_child_is_told() -> None:
    failed, called = answers(("call", (operator.truediv, (1, 0))), ("call", (abs, (-1,))))
    assert failed == (False, "ZeroDivisionError: division by zero")
    assert called == (True, 1)


def test_a_keeper_keeps_its_environment_its_arguments_and_its_answers() -> None:
    keeper = Keeper()
    try:
        assert keeper.call(os.getenv, ("MALLOC_MMAP_MAX_",)) == "0"
        # What a function prints is no answer.
        assert keeper.call(print, ("for the test",)) is None
        np.testing.assert_array_equal(keeper.call(np.negative, (np.arange(3),)), [0, -1, -2])
        assert keeper.time(2) > 0
        with pytest.raises(ChildError, match="ZeroDivisionError"):
            keeper.call(operator.truediv, (1, 0))
        with pytest.raises(ChildError, match="cannot be sent"):
            keeper.call(lambda: 1, ())
    finally:
        keeper.close()
    with pytest.raises(ChildError, match="ended"):
        keeper.call(abs, (1,))


def test_an_interrupted_keeper_is_replaced() -> None:
    first = child.keeper()
    with pytest.raises(OutOfTimeError), time_limit(0.2):
        first.call(time.sleep, (30,))
    second = child.keeper()
    assert second is not first
    assert second.call(abs, (-3,)) == 3
    with pytest.raises(ChildError, match="ended"):
        first.call(abs, (-3,))


def test_a_first_gradient_is_timed_in_a_new_process() -> None:
    args = CASE.arguments(CASE.sizes[0])
    assert child.first_gradient_with_import("pullback", CASE, args, "") > 0


def test_a_first_gradient_that_fails_says_why() -> None:
    broken = dataclasses.replace(CASE, loss=operator.truediv)
    with pytest.raises(ChildError, match="Error"):
        child.first_gradient_with_import("pullback", broken, (1.0, 0.0), "")
    local = dataclasses.replace(CASE, loss=lambda w: w)
    with pytest.raises(ChildError, match="cannot be sent"):
        child.first_gradient_with_import("pullback", local, (1.0,), "")

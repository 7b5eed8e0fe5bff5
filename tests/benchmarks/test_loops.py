"""The suite of loops: what is measured, what is counted, and that one failure stops nobody."""

import dataclasses
import json
import time
from typing import Any

import numpy as np
import pytest

from pullback.benchmarks import loops, loops_report
from pullback.benchmarks.corpus import PROGRAMS
from pullback.benchmarks.corpus.flow import shallow_water
from pullback.benchmarks.corpus.program import Program
from pullback.benchmarks.harness import Effort
from pullback.benchmarks.loops import OutOfTimeError, Row

FAST = Effort(rounds=3, slice_seconds=1e-4, pause_seconds=0.0)
PROGRAM = PROGRAMS["triangular_solve"]


def measured(program: Program, seconds: float = 60.0) -> Row:
    return loops.row_of(program, program.tiny, FAST, seconds)


def with_function(function: Any) -> Program:
    return dataclasses.replace(PROGRAM, function=function)


def test_everything_is_measured() -> None:
    row = measured(PROGRAM)
    assert row.error == ""
    assert (row.name, row.family, row.body) == ("triangular_solve", "factorizations", "array")
    assert set(row.samples) == {"plain", "forward", "gradient"}
    assert all(len(samples) == FAST.rounds for samples in row.samples.values())
    assert row.compile is not None
    assert row.compile > 0
    # The gradients are a matrix of 12 x 12 and a vector.
    assert row.peak_bytes is not None
    assert 1_000 < row.peak_bytes < 100_000
    assert row.jax_compile is None


def test_a_twin_is_measured_too() -> None:
    pytest.importorskip("jax")
    row = measured(PROGRAMS["heat_2d"])
    assert row.error == ""
    assert set(row.samples) == {"plain", "forward", "gradient", "jax forward", "jax gradient"}
    assert row.jax_compile is not None
    assert row.jax_compile > 0


def test_a_program_without_a_derivative_has_no_gradient() -> None:
    row = measured(dataclasses.replace(PROGRAM, argnums=()))
    assert row.error == ""
    assert set(row.samples) == {"plain", "forward"}
    assert row.compile is not None


def test_what_a_program_raises_is_in_its_row() -> None:
    def broken(L: Any, b: Any) -> Any:
        raise ZeroDivisionError("for the test\nand more")

    row = measured(with_function(broken))
    assert row.error == "ZeroDivisionError: for the test"
    assert row.samples == {}


def test_what_was_measured_before_a_failure_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(make: Any) -> int:
        raise MemoryError

    monkeypatch.setattr(loops.memory, "traced_peak", full)
    row = measured(PROGRAM)
    assert row.error == "MemoryError"
    assert row.samples == {}
    assert row.compile is None


def test_a_program_that_takes_too_long_is_given_up() -> None:
    def endless(L: Any, b: Any) -> Any:
        while True:
            time.sleep(0.01)

    row = measured(with_function(endless), seconds=0.1)
    assert row.error.startswith("OutOfTimeError: not done in")


def test_the_alarm_is_taken_off() -> None:
    with loops.time_limit(0.05):
        pass
    time.sleep(0.1)
    with pytest.raises(OutOfTimeError), loops.time_limit(0.05):
        time.sleep(5)


def test_a_wrong_result_is_an_error() -> None:
    want = (np.ones(3), np.arange(3))
    loops.check_results((np.ones(3) + 1e-12, np.arange(3)), want)
    with pytest.raises(AssertionError, match="result 0 is off by"):
        loops.check_results((np.ones(3) + 1e-3, np.arange(3)), want)
    with pytest.raises(AssertionError, match="result 1 is off by"):
        loops.check_results((np.ones(3), np.array([0, 1, 3])), want)
    with pytest.raises(AssertionError, match="result 0"):
        loops.check_results((np.full(3, np.nan), np.arange(3)), want)


def test_a_wrong_gradient_is_an_error() -> None:
    program = dataclasses.replace(PROGRAM, argnums=(0,))
    args = (np.array([1.0, 2.0]),)

    def loss(x: Any) -> float:
        return float(np.sum(x**3))

    right = 3 * args[0] ** 2
    loops.check_slope(program, loss, args, (right,))
    for wrong in (right * 1.01, np.zeros(2), right * np.nan):
        with pytest.raises(AssertionError, match="slope"):
            loops.check_slope(program, loss, args, (wrong,))


def test_lines_are_those_of_code() -> None:
    # The signature and four lines of body: not the docstring.
    assert loops.lines_of(PROGRAM.function) == 5
    # The functions of its module that it calls count too: 7 + 2.
    assert loops.lines_of(PROGRAMS["soft_decision_tree"].function) == 9
    assert loops.lines_of(shallow_water) > 20


def test_means_are_geometric() -> None:
    assert loops_report.geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    rows = [
        Row("a", "f", "array", 3, samples={"plain": [1.0], "forward": [2.0]}),
        Row("b", "f", "scalar", 3, samples={"plain": [2.0], "forward": [1.0]}),
        Row("c", "f", "array", 3, error="failed"),
    ]
    assert rows[0].ratio("plain", "forward") == 0.5
    assert rows[2].ratio("plain", "forward") is None
    _, arrays, _, everything = (list(c.cells) for c in loops_report.means_table(rows).columns)
    assert arrays[0].startswith("0.50 (0.50;")
    assert everything[0].startswith("1.00 (1.25; 0.50 to 2)")
    # No gradient was measured.
    assert everything[1] == ""


def test_figures_are_kept_as_json() -> None:
    figures = json.loads(loops_report.to_json([measured(PROGRAM)], quick=True))
    [result] = figures["results"]
    assert result["program"] == "triangular_solve"
    assert result["ratios"]["gradient to plain forward"] > 0
    assert figures["environment"]["quick"] is True


def test_a_failure_is_shown_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(L: Any, b: Any) -> Any:
        raise ZeroDivisionError("for the test")

    bad = dataclasses.replace(with_function(broken), name="bad")
    rows = loops_report.run([bad, PROGRAM], quick=True)
    assert [bool(row.error) for row in rows] == [True, False]
    shown = capsys.readouterr().out
    assert "bad: ZeroDivisionError: for the test" in shown
    assert "triangular_solve" in shown
    assert "1 of 2 failed: bad" in shown

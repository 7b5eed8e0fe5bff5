"""The suite of loops: what is measured, what is counted, and that one failure stops nobody."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import benchmark_runs as runs
import numpy as np
import pytest

from pullback.benchmarks import child, command, loops, loops_report, results
from pullback.benchmarks.corpus import PROGRAMS
from pullback.benchmarks.corpus.flow import shallow_water
from pullback.benchmarks.corpus.program import Program
from pullback.benchmarks.results import Result
from pullback.benchmarks.timing import Effort, OutOfTimeError, time_limit

FAST = Effort(rounds=3, slice_seconds=1e-4, pause_seconds=0.0)
PROGRAM = PROGRAMS["triangular_solve"]


PLAIN = {"plain", "plain, pages kept"} if child.keeps_pages() else {"plain"}


def measured(program: Program, seconds: float = 60.0) -> Result:
    return loops.result_of(program, program.tiny, FAST, seconds)


def timed(result: Result) -> set[str]:
    return {m.contestant for m in result.measurements if m.samples}


def with_function(function: Any) -> Program:
    return dataclasses.replace(PROGRAM, function=function)


def test_everything_is_measured() -> None:
    result = measured(PROGRAM)
    assert result.failures == {}
    assert (result.case, result.family) == ("triangular_solve", "factorizations")
    assert result.facts["body"] == "array"
    assert timed(result) == PLAIN | {"forward", "gradient"}
    assert all(len(m.samples) == FAST.rounds for m in result.measurements)
    compiled = loops_report.compile_seconds(result)
    assert compiled is not None
    assert compiled > 0
    peak = loops_report.peak_bytes(result)
    assert peak is not None
    assert 100 < peak < 100_000
    assert loops_report.jax_compile_seconds(result) is None


def test_a_twin_is_measured_too() -> None:
    pytest.importorskip("jax")
    result = measured(PROGRAMS["heat_2d"])
    assert result.failures == {}
    assert timed(result) == PLAIN | {"forward", "gradient", "jax forward", "jax gradient"}
    compiled = loops_report.jax_compile_seconds(result)
    assert compiled is not None
    assert compiled > 0


def test_a_program_without_a_derivative_has_no_gradient() -> None:
    result = measured(dataclasses.replace(PROGRAM, argnums=()))
    assert result.failures == {}
    assert timed(result) == PLAIN | {"forward"}
    assert loops_report.compile_seconds(result) is not None


@pytest.mark.skipif(not child.keeps_pages(), reason="malloc is not glibc's")
def test_a_program_that_cannot_be_sent_is_measured_here_alone() -> None:
    function = PROGRAM.function

    def local(L: Any, b: Any) -> Any:
        return function(L, b)

    result = measured(with_function(local))
    assert list(result.failures) == ["plain, pages kept"]
    assert timed(result) == {"plain", "forward", "gradient"}


def test_what_a_program_raises_is_in_its_row() -> None:
    def broken(L: Any, b: Any) -> Any:
        raise ZeroDivisionError("for the test\nand more")

    row = measured(with_function(broken))
    assert row.failures == {"case": "ZeroDivisionError: for the test"}
    assert row.measurements == []


def test_what_was_measured_before_a_failure_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(make: Any) -> int:
        raise MemoryError

    monkeypatch.setattr(loops.memory, "traced_peak", full)
    row = measured(PROGRAM)
    assert row.failures == {"case": "MemoryError"}
    assert row.measurements == []


def test_a_program_that_takes_too_long_is_given_up() -> None:
    def endless(L: Any, b: Any) -> Any:
        while True:
            time.sleep(0.01)

    row = measured(with_function(endless), seconds=0.1)
    assert row.failure.startswith("OutOfTimeError: not done in")


def test_the_alarm_is_taken_off() -> None:
    with time_limit(0.05):
        pass
    time.sleep(0.1)
    with pytest.raises(OutOfTimeError), time_limit(0.05):
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
        runs.loop("a", "array", plain=1.0, forward=2.0),
        runs.loop("b", "scalar", plain=2.0, forward=1.0),
        runs.loop("c", "array"),
    ]
    assert rows[0].ratio("plain", "forward") == 0.5
    assert rows[2].ratio("plain", "forward") is None
    _, arrays, _, everything = (list(c.cells) for c in loops_report.means_table(rows).columns)
    assert arrays[0].startswith("0.50 (0.50;")
    assert everything[0].startswith("1.00 (1.25; 0.50 to 2)")
    # No gradient was measured.
    assert everything[2] == ""


def test_a_failure_is_shown_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(L: Any, b: Any) -> Any:
        raise ZeroDivisionError("for the test")

    bad = dataclasses.replace(with_function(broken), name="bad")
    path = tmp_path / "figures.json"
    document = command.run("loops", [bad, PROGRAM], True, path)
    assert [bool(result.failures) for result in document.results] == [True, False]
    shown = capsys.readouterr().out
    assert "bad: ZeroDivisionError: for the test" in shown
    assert "triangular_solve" in shown
    assert "1 of 2 failed: bad" in shown
    kept = results.read(path)
    assert kept == document
    assert kept.environment["quick"] is True

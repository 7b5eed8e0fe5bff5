"""The harness: who runs, what is checked, what is counted."""

import dataclasses
import importlib
import types

import benchmark_runs as runs
import numpy as np
import pytest

from pullback.benchmarks import contestants, harness, machine, memory, report, timing, work
from pullback.benchmarks.case import Case, Size, leaves
from pullback.benchmarks.cases import CASES
from pullback.benchmarks.contestants import (
    FORWARD,
    KEPT,
    NUMPY,
    PLAIN,
    PULLBACK,
    Contestant,
    Prepared,
)
from pullback.benchmarks.timing import Effort
from pullback.benchmarks.work import Work

FAST = Effort(rounds=3, slice_seconds=1e-4, pause_seconds=0.0)
CASE = CASES["logistic"]
SIZE = CASE.sizes[0]


def contestant(name: str, change) -> Contestant:
    """One that computes the hand-written gradient and then changes it."""
    return Contestant(
        name, None, lambda case, args, way="": Prepared(lambda: change(case.by_hand(*args)))
    )


def test_a_race_measures_everyone() -> None:
    everyone = (PULLBACK, NUMPY, PLAIN, FORWARD)
    result = harness.race(CASE, SIZE, everyone, FAST, rates=runs.RATES)
    assert (result.case, result.size, result.failures) == ("logistic", SIZE.label, {})
    assert [m.contestant for m in result.measurements] == [c.name for c in everyone]
    for m in result.measurements:
        assert len(m.samples) == FAST.rounds
        assert 0 < m.quartiles[0] <= m.median <= m.quartiles[1]
        assert m.first_call is not None
        assert m.first_call > 0
        assert m.error is not None
        assert m.error <= harness.TOLERANCES["float32"]
        assert m.first_with_import is None
    for m in result.measurements[:2]:
        # The score, the margin and their like: some arrays of 1000 floats.
        assert m.peak_bytes is not None
        assert 4_000 < m.peak_bytes < 400_000


def test_a_race_counts_what_a_case_needs() -> None:
    facts = harness.race(CASE, SIZE, (PULLBACK,), FAST, rates=runs.RATES).facts
    assert facts["dtype"] == "float32"
    assert facts["parameters"] == 21
    assert facts["entries"] == 21 + 1000 * 20 + 1000
    assert facts["moved_bytes"] == 4 * (facts["entries"] + 22)
    # x @ w, and x's transpose by the cotangent of the scores.
    assert facts["products"] == pytest.approx(2 * 2 * 1000 * 20, rel=0.01)
    assert facts["bound_by"] == "bandwidth"
    assert facts["bound_s"] == pytest.approx(facts["moved_bytes"] / 1e10)


def test_the_larger_of_two_bounds_holds() -> None:
    assert Work(10**10, 10**10).bound(runs.RATES, "float32") == (1.0, "bandwidth")
    assert Work(10**10, 10**11).bound(runs.RATES, "float64") == (2.0, "BLAS")


def test_products_in_loops_count_as_often_as_they_run() -> None:
    import pullback as pb

    def repeated(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        for _ in range(40):
            x = np.tanh(x @ w)
        return x

    inspection = pb.compile(repeated).inspect(np.ones((4, 8)), np.ones((8, 8)))
    assert work.products_of(inspection) == pytest.approx(40 * 2 * 4 * 8 * 8, rel=0.01)
    plain = pb.compile(np.tanh).inspect(np.ones(1000))
    assert work.products_of(plain) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda r: (r[0], (r[1][0] * 1.01, r[1][1])),
        lambda r: (r[0] + 0.1, r[1]),
        lambda r: (r[0], (r[1][0] * np.nan, r[1][1])),
        lambda r: (r[0], (r[1][0][:-1], r[1][1])),
        lambda r: (r[0], (r[1][0] * 0, r[1][1])),
    ],
    ids=["gradient", "value", "nan", "shape", "zero"],
)
def test_a_wrong_result_is_in_its_row_and_the_others_go_on(change) -> None:
    result = harness.race(CASE, SIZE, (contestant("liar", change), NUMPY), FAST)
    assert list(result.failures) == ["liar"]
    assert "DisagreementError: its result is off" in result.failures["liar"]
    liar, honest = result.measurements
    assert (liar.samples, liar.first_call, liar.peak_bytes) == ([], None, None)
    assert len(honest.samples) == FAST.rounds


def test_a_result_of_another_dtype_is_no_result() -> None:
    widened = contestant("wide", lambda r: (r[0], (r[1][0].astype(float), r[1][1])))
    result = harness.race(CASE, SIZE, (widened,), FAST)
    assert result.failures == {
        "wide": "DisagreementError: its results are float32 and float64, not float32"
    }


def test_float64_is_held_to_float64() -> None:
    size = dataclasses.replace(SIZE, dtype="float64")
    rounded = contestant("rounded", lambda r: (r[0], (r[1][0] * (1 + 1e-6), r[1][1])))
    assert harness.race(CASE, SIZE, (rounded,), FAST).failures == {}
    assert list(harness.race(CASE, size, (rounded, PULLBACK), FAST).failures) == ["rounded"]


def test_a_result_without_a_gradient_for_each_parameter_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        harness.disagreement((1.0, (2.0,)), (1.0, (2.0, 3.0)))


def test_what_a_contestant_raises_is_in_its_row() -> None:
    def fall(result):
        raise ZeroDivisionError("for the test\nand more")

    result = harness.race(CASE, SIZE, (contestant("broken", fall), NUMPY), FAST)
    assert result.failures == {"broken": "ZeroDivisionError: for the test"}
    assert result.of("by hand") is not None
    assert result.of("broken") is None


def test_a_case_whose_own_gradient_fails_is_no_end() -> None:
    def broken(*args):
        raise FloatingPointError("none today")

    bad = dataclasses.replace(CASE, by_hand=broken)
    result = harness.race(bad, SIZE, (PULLBACK, NUMPY), FAST, imports=True)
    assert result.failures == {"case": "FloatingPointError: none today"}


def test_measure_leaves_out_who_is_not_installed_and_the_large_sizes() -> None:
    absent = Contestant("absent", "no_such_package", NUMPY.prepare)
    results = list(harness.measure([CASE], quick=True, contestants=(NUMPY, absent), effort=FAST))
    assert [[m.contestant for m in r.measurements] for r in results] == [["by hand"]]
    assert [r.size for r in results] == [s.label for s in CASE.sizes if s.quick]


def test_imports_are_timed_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Case, str]] = []

    def first(contestant: str, case: Case, args: object, way: str) -> float:
        asked.append((contestant, case, way))
        if contestant == "torch":
            raise harness.child.ChildError("no room")
        return 0.5

    monkeypatch.setattr(harness.child, "first_gradient_with_import", first)
    torch = contestant("torch", lambda r: r)
    result = harness.race(CASE, SIZE, (PULLBACK, NUMPY, torch), FAST, imports=True)
    assert asked == [("pullback", CASE, ""), ("torch", CASE, "")]
    assert [m.first_with_import for m in result.measurements] == [0.5, None, None]
    assert result.failures == {"torch": "no room"}


def test_jax_computes_in_the_dtype_of_the_arguments() -> None:
    jax = pytest.importorskip("jax")
    peer = next(peer for peer in contestants.PEERS if peer.name == "jax")
    before = jax.config.jax_enable_x64
    for dtype in ("float64", "float32"):
        args = CASE.arguments(SIZE, dtype)
        with peer.precision(args):
            result = peer.prepare(CASE, args).run()
        assert {leaf.dtype.name for leaf in leaves(result)} == {dtype}
    assert jax.config.jax_enable_x64 == before


def test_the_report_names_who_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = [
        dataclasses.replace(c, package="no_such_package" if c.name in ("jax", "torch") else None)
        for c in contestants.CONTESTANTS
    ]
    monkeypatch.setattr(machine, "CONTESTANTS", absent)
    assert machine.missing() == (
        "Not installed, so left out: jax, torch.  pip install 'pullback[bench,bench-torch]'"
    )
    facts = machine.environment(runs.RATES)
    assert "left out: jax, torch" in report.heading(facts)
    assert "memory 10 GB/s (triad); products 100 GFLOP/s in float32, 50 in float64" in (
        report.heading(facts)
    )
    monkeypatch.setattr(machine, "CONTESTANTS", [PULLBACK, NUMPY])
    assert machine.missing() == ""


def test_rates_are_positive() -> None:
    assert machine.triad(200_000, 0.0) > 0
    assert machine.product(32, "float32", 0.0) > 0


def test_traced_peak_counts_what_lives_at_once_beyond_the_result() -> None:
    def run() -> np.ndarray:
        a = np.ones(100_000)
        b = a + 1
        return b.sum(keepdims=True)

    assert 1_600_000 <= memory.traced_peak(lambda: run) < 1_650_000
    assert memory.traced_peak(lambda: lambda: np.ones(100_000)) < 50_000


def test_traced_peak_counts_a_workspace_that_is_kept() -> None:
    def make():
        workspace = np.empty(100_000)
        return lambda: float(np.add(workspace, 1.0, out=workspace)[0])

    assert 800_000 <= memory.traced_peak(make) < 850_000


def test_torch_s_peak_is_counted_the_same_way() -> None:
    torch = importlib.import_module("torch") if _has_torch() else pytest.skip("no torch")

    def run():
        a = torch.ones(100_000)
        b = a + 1
        return b.sum(), torch.zeros(100_000)

    # Two arrays are alive with their sum, and the third is the result.
    assert 800_000 <= memory.torch_peak(torch, run) < 850_000


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def test_a_result_s_bytes_are_counted_once() -> None:
    a = np.ones(10, np.float32)
    assert memory.bytes_of((a, (a, np.float64(1.0)), 2.0)) == 48


def test_slow_contestants_get_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing.time, "sleep", lambda seconds: None)
    counts = {"fast": 0, "slow": 0}

    def timer(name: str, seconds: float) -> timing.Timer:
        def seconds_per_call(calls: int) -> float:
            counts[name] += calls
            return seconds

        return seconds_per_call

    effort = Effort(rounds=20, slice_seconds=0.01, pause_seconds=0.0, most_seconds=8.0)
    fast, slow = timing.interleave([timer("fast", 1e-3), timer("slow", 1.0)], effort)
    assert (len(fast), len(slow)) == (20, 8)
    # One call, then three, to choose the calls of a slice: ten.
    assert counts == {"fast": 4 + 20 * 10, "slow": 1 + 8}
    endless, _ = timing.interleave([timer("slow", 100.0), timer("fast", 1e-3)], effort)
    assert len(endless) == timing.FEWEST


def test_a_long_call_needs_no_other_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(
        timing, "time", types.SimpleNamespace(perf_counter=lambda: next(clock), sleep=None)
    )
    calls: list[None] = []
    timer = timing.timer_of(lambda: calls.append(None))
    assert timer(1) == 1
    assert len(calls) == 2  # by the clock of this test the first took a second
    timer(1)
    assert len(calls) == 3


@pytest.mark.skipif(not KEPT.is_installed, reason="malloc is not glibc's")
def test_numpy_runs_where_malloc_keeps_pages() -> None:
    result = harness.race(CASE, SIZE, (NUMPY, KEPT), FAST)
    assert result.failures == {}
    kept = result.of("by hand, pages kept")
    assert kept is not None
    assert (kept.error, len(kept.samples)) == (0.0, FAST.rounds)
    # Sending it to another process is no part of a gradient.
    assert (kept.first_call, kept.peak_bytes) == (None, None)


def test_sizes_name_a_dtype() -> None:
    assert {size.dtype for case in CASES.values() for size in case.sizes} <= set(harness.TOLERANCES)
    assert Size("s", {}).dtype == "float32"

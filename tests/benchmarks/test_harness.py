"""The harness: who runs, what is checked, what is counted."""

import dataclasses
import json

import numpy as np
import pytest

from pullback.benchmarks import contestants, harness, memory, report
from pullback.benchmarks.cases import CASES
from pullback.benchmarks.contestants import NUMPY, PULLBACK, Contestant, Prepared
from pullback.benchmarks.harness import DisagreementError, Effort, Measurement

FAST = Effort(rounds=3, slice_seconds=1e-4, pause_seconds=0.0)
CASE = CASES["logistic"]
SIZE = CASE.sizes[0]


def contestant(name: str, change) -> Contestant:
    """One that computes the hand-written gradient and then changes it."""
    return Contestant(name, None, lambda case, args: Prepared(lambda: change(case.by_hand(*args))))


def measurement(name: str, seconds: float) -> Measurement:
    return Measurement("c", "s", name, "", 0.25, 0.0, 2048, [seconds, seconds, 3 * seconds])


def test_a_race_measures_everyone() -> None:
    race = harness.race(CASE, SIZE, (PULLBACK, NUMPY), FAST)
    assert [m.contestant for m in race] == ["pullback", "by hand"]
    for m in race:
        assert (m.case, m.size) == ("logistic", SIZE.label)
        assert len(m.samples) == FAST.rounds
        assert 0 < m.quartiles[0] <= m.median <= m.quartiles[1]
        assert m.first_call > 0
        assert m.error <= harness.TOLERANCE
        # The score, the margin and their like: some arrays of 1000 floats.
        assert 4_000 < m.peak_bytes < 400_000


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
def test_a_wrong_result_ends_the_race(change) -> None:
    with pytest.raises(DisagreementError, match="liar on logistic, 1000 x 20"):
        harness.race(CASE, SIZE, (NUMPY, contestant("liar", change)), FAST)


def test_rounding_is_no_disagreement() -> None:
    honest = contestant("honest", lambda r: (r[0], (r[1][0] * np.float32(1 + 1e-6), r[1][1])))
    assert len(harness.race(CASE, SIZE, (honest,), FAST)) == 1


def test_a_result_without_a_gradient_for_each_parameter_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        harness.disagreement((1.0, (2.0,)), (1.0, (2.0, 3.0)))


def test_measure_leaves_out_who_is_not_installed_and_the_large_sizes() -> None:
    absent = Contestant("absent", "no_such_package", NUMPY.prepare)
    races = list(harness.measure([CASE], quick=True, contestants=(NUMPY, absent), effort=FAST))
    assert [[m.contestant for m in race] for race in races] == [["by hand"]]
    assert [race[0].size for race in races] == [s.label for s in CASE.sizes if s.quick]


def test_the_report_names_who_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = [
        dataclasses.replace(c, package="no_such_package" if c.name in ("jax", "torch") else None)
        for c in contestants.CONTESTANTS
    ]
    monkeypatch.setattr(report, "CONTESTANTS", absent)
    assert report.missing() == (
        "Not installed, so left out: jax, torch.  pip install 'pullback[bench,bench-torch]'"
    )
    monkeypatch.setattr(report, "CONTESTANTS", [PULLBACK, NUMPY])
    assert report.missing() == ""


def test_traced_peak_counts_what_lives_at_once() -> None:
    def run() -> np.ndarray:
        a = np.ones(100_000)
        b = a + 1
        return b.sum(keepdims=True)

    assert 1_600_000 <= memory.traced_peak(lambda: run) < 1_650_000


def test_traced_peak_counts_a_workspace_that_is_kept() -> None:
    def make():
        workspace = np.empty(100_000)
        return lambda: np.add(workspace, 1.0, out=workspace)

    assert 800_000 <= memory.traced_peak(make) < 850_000


def test_ratios_and_json() -> None:
    race = [measurement("pullback", 1e-3), measurement("jax", 2e-3)]
    assert report.ratio_to_pullback(race, race[1]) == pytest.approx(2.0)
    assert report.ratio_to_pullback(race[1:], race[1]) is None
    written = json.loads(report.to_json([race]))
    assert written["environment"]["numpy"] == np.__version__
    fast, slow = written["results"]
    assert slow["times_pullback"] == pytest.approx(2.0)
    assert fast["median_s"] == pytest.approx(1e-3)
    assert fast["quartiles_s"] == pytest.approx([1e-3, 2e-3])
    assert fast["peak_bytes"] == 2048


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.5 s"), (1.25e-3, "1.25 ms"), (4.2e-5, "42 µs")]
)
def test_durations(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text


def test_a_span_has_one_unit() -> None:
    assert report.span(9.5e-4, 1.5e-3) == "0.95-1.5 ms"


@pytest.mark.parametrize(("count", "text"), [(12, "12 B"), (2048, "2 KiB"), (3 << 20, "3 MiB")])
def test_sizes(count: int, text: str) -> None:
    assert report.size_in_bytes(count) == text


def test_comparison() -> None:
    assert "2x faster" in report.comparison(2.0)
    assert "4x slower" in report.comparison(0.25)

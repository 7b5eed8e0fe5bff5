"""What changed between two runs, and what is but noise."""

from typing import Any

import benchmark_runs as runs
import pytest

from pullback.benchmarks import command, comparison
from pullback.benchmarks.results import Document, DocumentError, Measurement


def models(**times: float) -> Document:
    named = {name.replace("_", " "): time for name, time in times.items()}
    return runs.document("models", runs.model("mlp", 100, runs.TIMES | named))


def changed(before: Document, after: Document) -> dict[str, tuple[str, float]]:
    found = comparison.changes(before, after)
    return {c.what: (c.mark, pytest.approx(c.factor)) for c in found if c.is_significant}


def test_nothing_changes_between_a_run_and_itself() -> None:
    assert changed(models(), models()) == {}
    assert len(comparison.tables(models(), models())) == 1


def test_quartiles_that_overlap_are_noise() -> None:
    # Times are 0.95 to 1.05 of the median by their quartiles.
    assert changed(models(), models(pullback=1.09)) == {}


def test_a_faster_pullback_is_better_in_all_it_is_compared_with() -> None:
    assert changed(models(), models(pullback=0.5)) == {
        "pullback": ("better", 2),
        "by hand": ("better", 2),
        "by hand, pages kept": ("better", 2),
        "jax": ("better", 2),
        "torch": ("better", 2),
        "autograd": ("better", 2),
        "gradient to plain forward": ("better", 2),
        "gradient to compiled forward": ("better", 2),
    }


def test_a_faster_peer_or_forward_is_worse() -> None:
    assert changed(models(), models(jax=0.25)) == {"jax": ("worse", 0.5)}
    assert changed(models(), models(plain_forward=0.2)) == {
        "gradient to plain forward": ("worse", 0.5)
    }


def test_small_changes_are_no_news_however_narrow_the_quartiles() -> None:
    before, after = models(), models()
    for document, seconds in ((before, 1.0), (after, 1.01)):
        document.results[0].measurements[:] = [
            Measurement("pullback", samples=[seconds] * 3),
            Measurement("jax", samples=[1.0] * 3),
        ]
    assert changed(before, after) == {}


def test_loops_are_compared_too() -> None:
    times = {"plain": 1.0, "forward": 0.5, "gradient": 1.0}
    before = runs.document("loops", runs.loop("adi", **times))
    after = runs.document("loops", runs.loop("adi", **(times | {"gradient": 4.0})))
    assert changed(before, after) == {
        "gradient": ("worse", 0.25),
        "gradient to compiled forward": ("worse", 0.25),
        "gradient to plain forward": ("worse", 0.25),
    }


def test_suites_are_not_compared_with_each_other() -> None:
    with pytest.raises(DocumentError, match="suite models, the second loops"):
        comparison.changes(models(), runs.document("loops"))


def test_what_one_run_lacks_is_said() -> None:
    before = runs.document("models", runs.model("mlp", 100), runs.model("old", 5))
    after = runs.document("models", runs.model("mlp", 100), runs.model("new", 5))
    after.results[0].measurements[3] = Measurement("jax", failure="no")
    lines = comparison.lines(before, after)
    assert lines[:3] == [
        "Only before: old: 5 entries.",
        "Only after: new: 5 entries.",
        "Failed after: mlp: 100 entries (jax).",
    ]
    assert "Before:" not in lines
    other: dict[str, Any] = after.environment | {"processor": "another"}
    after.environment = other
    assert "After:" in comparison.lines(before, after)
    assert "jax" not in {c.what for c in comparison.changes(before, after)}


def test_a_comparison_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    command.compare(models(), models(pullback=0.5))
    shown = capsys.readouterr().out
    assert "what changed" in shown
    assert "better 2.00x" in shown
    assert "1.00x" in shown
    assert "500 µs" in shown

"""What the cases say together, and what the tables show of each."""

from typing import Any

import benchmark_runs as runs
import pytest

from pullback.benchmarks import command, report, summary
from pullback.benchmarks.results import Document, Measurement


def cells(table: Any) -> dict[str, list[str]]:
    """The rows of a rich table by their first cell."""
    columns = [list(column.cells) for column in table.columns]
    return {row[0]: list(row[1:]) for row in zip(*columns, strict=True)}


@pytest.fixture
def document() -> Document:
    slow = runs.TIMES | {"jax": 2.0, "plain forward": 0.2, "by hand": 0.5}
    return runs.document(
        "models",
        runs.model("mlp", 100),
        runs.model("mlp", 20_000, slow),
        runs.model("heat", 50_000, slow | {"jax": 1.0}),
    )


def test_peers_are_summed_up(document: Document) -> None:
    rows = cells(summary.peers_table(document.results))
    assert list(rows) == list(summary.PEERS)
    # 0.5, 2 and 1; over cases 1 and 1.
    assert rows["jax"] == ["3", "1.00x", "1.00x", "1.00x", "1", "1", "0.50x mlp: 100 entries"]
    # 2, 0.5 and 0.5; over cases 1 and 0.5.
    hand = rows["by hand"]
    assert hand == ["3", "0.79x", "0.71x", "0.50x", "2", "2", "0.50x mlp: 20000 entries"]


def test_who_did_not_run_is_not_summed_up(document: Document) -> None:
    for result in document.results:
        result.measurements = [m for m in result.measurements if m.contestant != "torch"]
    assert "torch" not in cells(summary.peers_table(document.results))
    assert not any("torch" in line for line in summary.lines(document))


def test_families_have_means(document: Document) -> None:
    document.results[2].family = "sequences and dynamics"
    rows = cells(summary.families_table(document.results))
    assert rows["networks"] == ["2", "1.00x", "1.50x", "1.00x", "4.00x", "8.00x"]
    assert rows["sequences and dynamics"][3] == "1.00x"


def test_the_cases_behind_are_named(document: Document) -> None:
    lines = summary.lines(document)
    assert "Slower than jax: mlp: 100 entries (0.5x)." in lines
    assert "Slower than torch: none." in lines


def test_costs_over_the_mark_are_named(document: Document) -> None:
    [line] = [line for line in summary.lines(document) if line.startswith("Gradient to")]
    # The one under 10^4 entries costs 2.5 and is left out.
    assert "5.00x by the geometric mean, at most 5.00x; over 3.5: " in line
    assert line.endswith("mlp: 20000 entries (5.00x); heat: 50000 entries (5.00x).")


@pytest.mark.parametrize(
    ("ours", "theirs", "is_named"),
    [(0.014, 0.014, False), (0.2, 1.7, False), (0.2, 1.5, True), (0.2, None, True)],
)
def test_late_first_gradients_are_named(
    document: Document, ours: float, theirs: float | None, is_named: bool
) -> None:
    for m in document.results[0].measurements:
        m.first_call = {"pullback": ours, "jax": theirs}.get(m.contestant)
    [line] = [line for line in summary.lines(document) if line.startswith("First gradient")]
    assert ("mlp: 100 entries (" in line) is is_named


@pytest.mark.parametrize(
    ("ours", "theirs", "is_named"),
    [
        (4 << 20, 0, False),
        ((4 << 20) + 1, 0, True),
        (109 << 20, 100 << 20, False),
        (111 << 20, 100 << 20, True),
    ],
)
def test_memory_over_the_mark_is_named(
    document: Document, ours: int, theirs: int, is_named: bool
) -> None:
    for m in document.results[0].measurements:
        m.peak_bytes = {"pullback": ours, "jax": theirs}.get(m.contestant)
    [line] = [line for line in summary.lines(document) if line.startswith("More memory")]
    assert ("mlp: 100 entries (" in line) is is_named


def test_who_failed_is_named(document: Document) -> None:
    assert not any(line.startswith("Failed") for line in summary.lines(document))
    document.results[1].measurements[3] = Measurement("jax", failure="ValueError: no")
    document.results[2].failure = "MemoryError"
    assert "Failed: mlp: 20000 entries (jax); heat: 50000 entries (case)." in summary.lines(
        document
    )


def test_the_table_of_a_case_compares_everyone(document: Document) -> None:
    result = document.results[0]
    result.measurements[4] = Measurement("torch", failure="ValueError: no")
    rows = cells(report.table(result))
    assert rows["jax"][2] == "[red]2x slower[/]"
    assert rows["by hand"][2] == "[green]2x faster[/]"
    assert rows["plain forward"][2] == "2.5x its time"
    assert rows["compiled forward"][2] == "4x its time"
    assert rows["pullback"][6] == "50 % bandwidth"
    assert rows["jax"][6] == ""
    assert rows["torch"][0] == "[red]failed[/]"


def test_a_document_is_shown_with_its_failures(
    document: Document, capsys: pytest.CaptureFixture[str]
) -> None:
    document.results[0].measurements[3] = Measurement("jax", failure="ValueError: [no]")
    assert command.show(document) is document
    shown = capsys.readouterr().out
    assert "mlp: 20000 entries (float32)" in shown
    assert "mlp, jax: ValueError: [no]" in shown
    assert "memory 10 GB/s (triad)" in shown.splitlines()[-1]

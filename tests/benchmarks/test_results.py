"""Results of both suites: ratios, quartiles, and the files that keep them."""

import json
from pathlib import Path

import benchmark_runs as runs
import numpy as np
import pytest

from pullback.benchmarks import command, results
from pullback.benchmarks.results import DocumentError, Measurement, Result


def test_ratios_and_their_spread() -> None:
    result = runs.model("mlp", 100)
    assert result.ratio("jax", "pullback") == pytest.approx(0.5)
    assert result.ratio("nobody", "pullback") is None
    assert result.spread("nobody", "pullback") is None
    # Quartiles of 0.9, 1, 1.1 are 0.95 and 1.05.
    assert result.spread("torch", "pullback") == pytest.approx((4 * 0.95 / 1.05, 4 * 1.05 / 0.95))


def test_who_failed_has_no_ratio() -> None:
    result = Result("c", "s", "f", measurements=[Measurement("jax", failure="no")])
    assert result.of("jax") is None
    assert result.ratio("jax", "jax") is None
    assert result.failures == {"jax": "no"}
    assert Result("c", "s", "f", failure="all").failures == {"case": "all"}


def test_a_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    failed = Result("bad", "", "f", {"body": "array", "lines": 1}, failure="ValueError: no")
    for document in (
        runs.document("models", runs.model("mlp", 100), quick=True),
        runs.document("loops", runs.loop("adi", plain=1.0, forward=0.5), failed),
    ):
        command.write(path, document)
        assert results.read(path) == document
    assert [found.name for found in tmp_path.iterdir()] == ["run.json"]


def test_a_file_holds_the_figures_that_people_look_for() -> None:
    written = json.loads(runs.document("models", runs.model("mlp", 100)).to_json())
    assert (written["format"], written["version"]) == ("pullback benchmark", 2)
    assert written["environment"]["numpy"] == np.__version__
    [result] = written["results"]
    assert result["ratios"]["jax"] == pytest.approx(0.5)
    assert result["ratios"]["gradient to plain forward"] == pytest.approx(2.5)
    ours = result["contestants"][0]
    assert (ours["name"], ours["peak_bytes"]) == ("pullback", 4096)
    assert ours["median_s"] == pytest.approx(1e-3)
    assert ours["quartiles_s"] == pytest.approx([0.95e-3, 1.05e-3])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "was not written by"),
        ('{"environment": {}, "results": []}', "was not written by"),
        ('{"format": "pullback benchmark", "version": 1}', "of version 1; .* version 2"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(DocumentError, match=words):
        results.read(path)


def test_means_are_geometric() -> None:
    assert results.geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    assert results.known([None, 0.0, 2.0]) == [0.0, 2.0]

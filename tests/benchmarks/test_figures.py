"""Figures as people read them."""

import pytest

from pullback.benchmarks import figures


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.5 s"), (1.25e-3, "1.25 ms"), (4.2e-5, "42 µs")]
)
def test_durations(seconds: float, text: str) -> None:
    assert figures.duration(seconds) == text


def test_a_span_has_one_unit() -> None:
    assert figures.span(9.5e-4, 1.5e-3) == "0.95-1.5 ms"


@pytest.mark.parametrize(("count", "text"), [(12, "12 B"), (2048, "2 KiB"), (3 << 20, "3 MiB")])
def test_sizes(count: int, text: str) -> None:
    assert figures.size_in_bytes(count) == text


def test_comparison() -> None:
    assert "2x faster" in figures.comparison(2.0)
    assert "4x slower" in figures.comparison(0.25)


def test_what_is_not_there_is_empty() -> None:
    assert figures.optional(figures.duration, None) == ""
    assert figures.optional(figures.duration, 0.0) == "0 µs"

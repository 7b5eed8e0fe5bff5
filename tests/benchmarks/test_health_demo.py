"""The demonstration of `health` shows what it says."""

import io
from pathlib import Path

from rich.console import Console

from pullback.benchmarks import health_demo


def test_the_demo_shows_each_verdict_and_draws(tmp_path: Path) -> None:
    out = io.StringIO()
    plot = tmp_path / "health.png"
    found = health_demo.run(plot=plot, console=Console(file=out, width=100))
    assert [r.verdict for _, r in found] == [
        *("vanishes", "explodes", "vanishes", "healthy"),
        *("explodes", "healthy", "vanishes"),
        *("non-finite", "non-finite", "non-finite"),
    ]
    text = out.getvalue()
    for program, report in found:
        assert program.title in text
        assert report.verdict in text
    for shown in ("log at health_programs.py:", "of layer 50", "of step 200", "clipped 1;"):
        assert shown in text
    assert plot.read_bytes().startswith(b"\x89PNG")

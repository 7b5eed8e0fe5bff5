"""The page of results: it stands alone, says what was measured, and follows the theme."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import benchmark_runs as runs
import pytest

from pullback.benchmarks import page, plots
from pullback.benchmarks.results import Document, Measurement, Result

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def models() -> Document:
    sizes = [runs.model("mlp", entries) for entries in (100, 20_000, 3_000_000)]
    sizes[1].measurements[0].first_with_import = 0.6
    behind = runs.model("<heat>", 900, runs.TIMES | {"jax": 0.2, "torch": 90.0})
    failed = runs.model("kalman", 70)
    failed.measurements[3] = Measurement("jax", failure="ValueError: a < b")
    broken = Result("gp", "5", "networks", {"dtype": "float32"}, failure="MemoryError")
    return runs.document("models", *sizes, behind, failed, broken)


@pytest.fixture(scope="module")
def loops() -> Document:
    times = {"plain": 1.0, "plain, pages kept": 0.7, "forward": 0.5, "gradient": 1.0}
    failed = Result("lu", "", "relaxation", {"body": "array", "lines": 9}, failure="not <done>")
    both = times | {"jax forward": 2.0, "jax gradient": 3.0}
    return runs.document("loops", runs.loop("adi", **both), runs.loop("rk4", **times), failed)


class Reader(HTMLParser):
    """Collects headings, ids and what would be loaded, and checks that tags are closed."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("src", "href", "xlink:href") and value:
                self.links.append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.VOID:
            return
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize("suite", ["models", "loops"])
def test_the_page_stands_alone(suite: str, request: pytest.FixtureRequest) -> None:
    text = page.html(request.getfixturevalue(suite))
    found = read(text)
    assert "script" not in found.seen
    assert "link" not in found.seen
    assert "img" not in found.seen
    assert all(link.startswith("#") for link in found.links)
    assert "url(http" not in text
    assert "@import" not in text
    # Every link leads somewhere, and every id is there once.
    assert len(found.ids) == len(set(found.ids))
    used = {link[1:] for link in found.links} | set(re.findall(r"url\(#([^)]+)\)", text))
    assert used <= set(found.ids)


def test_the_page_of_models_has_its_plots_and_names_failures(models: Document) -> None:
    text = page.html(models)
    assert read(text).headings == [
        "Against each contestant",
        "Over the size of the inputs",
        "What a gradient costs",
        "The first gradient",
        "Peak memory of a call",
        "What misses a mark",
        "All figures",
    ]
    assert "in a new process" in text
    assert "&lt;heat&gt;" in text
    assert "<heat>" not in text
    assert "Failed: kalman: 70 entries (jax); gp: 5 (case)." in text
    # The geometric mean against torch: 4, 4, 4, 90 and 4.
    assert "<b>7.46<small>x</small></b>" in text


def test_the_page_of_loops_has_its_plots_and_names_failures(loops: Document) -> None:
    text = page.html(loops)
    assert read(text).headings == [
        "How much faster",
        "What a gradient costs",
        "Compiling",
        "What failed",
        "All figures",
    ]
    assert "lu: not &lt;done&gt;" in text


def test_a_page_without_results_is_a_page() -> None:
    failed = Result("gp", "5", "networks", {"dtype": "float32"}, failure="MemoryError")
    text = page.html(runs.document("models", failed, quick=True))
    assert "A quick run" in text
    assert "What misses a mark" in read(text).headings
    assert "svg" not in read(page.html(runs.document("loops"))).seen


def test_plots_take_their_colors_from_the_page(models: Document) -> None:
    svg = plots.bars("ratios", models.results[:4], {"jax": ("jax", "pullback")})
    ElementTree.fromstring(svg)
    assert svg.startswith("<svg")
    assert "var(--better)" not in svg
    assert "var(--worse)" in svg
    assert not any(color in svg for color in plots.COLORS.values())
    style = page.STYLE
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for role in plots.ROLES:
        assert f"--{role}:" in light
        assert f"--{role}:" in dark


def test_bars_say_their_ratios(models: Document) -> None:
    ratios = {"torch": ("torch", "pullback"), "gradient to plain forward": ("jax", "torch")}
    svg = plots.bars("ratios", models.results[:4], ratios)
    assert ">4.00</text>" in svg
    assert ">90</text>" in svg
    assert "var(--better)" in svg
    assert "var(--neutral)" in svg
    assert "mlp · 100 entries" in svg

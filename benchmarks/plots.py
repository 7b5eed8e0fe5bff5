"""Plots of results as SVG to stand in a page: no fonts, scripts or colors of their own.

Matplotlib draws in marker colors, one for each role. They are replaced by the page's CSS variables,
so that a plot follows the reader's light or dark theme as the text around it does.
"""

import importlib
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from .figures import duration, size_in_bytes
from .results import COSTS, Result

ROLES = (
    *("ink", "quiet", "line", "better", "worse", "neutral"),
    *("pullback", "hand", "kept", "jax", "torch", "autograd", "plain", "forward"),
)
"""The CSS variables that a page defines, each a color."""

COLORS = {role: f"#0102{16 + n:02x}" for n, role in enumerate(ROLES)}

CONTESTANTS = {
    "pullback": "pullback",
    "by hand": "hand",
    "by hand, pages kept": "kept",
    "by hand, looped": "kept",
    "jax": "jax",
    "jax, dense": "plain",
    "torch": "torch",
    "autograd": "autograd",
    "plain forward": "plain",
    "compiled forward": "forward",
    "plain": "plain",
    "plain, pages kept": "kept",
    "forward": "forward",
    "gradient": "pullback",
    "jax forward": "jax",
    "jax gradient": "jax",
}
"""The color of each contestant, by its role."""

ROW = 0.205
"""Inches of a row of a plot with one row for each case."""

WIDTH = 11.5

SETTINGS: Mapping[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pullback",
    "font.size": 8.5,
    "font.family": "sans-serif",
    "text.color": COLORS["ink"],
    "axes.labelcolor": COLORS["quiet"],
    "axes.edgecolor": COLORS["line"],
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLORS["line"],
    "grid.linewidth": 0.6,
    "xtick.color": COLORS["line"],
    "ytick.color": COLORS["line"],
    "xtick.labelcolor": COLORS["quiet"],
    "ytick.labelcolor": COLORS["ink"],
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "legend.frameon": False,
}


def draw(name: str, width: float, height: float, plot: Callable[[Any], None]) -> str:
    """Give the SVG of what `plot` draws on a figure of these inches; `name` begins its ids."""
    matplotlib: Any = importlib.import_module("matplotlib")
    figures: Any = importlib.import_module("matplotlib.figure")
    with matplotlib.rc_context(dict(SETTINGS)):
        figure = figures.Figure(figsize=(width, height))
        plot(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return themed(name, text.getvalue())


def themed(name: str, svg: str) -> str:
    """Take an SVG out of its file: CSS variables for colors, ids of its own, size by the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="([\d.]+)pt"', r'\1 data-width="\2"', svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[\d.]+pt"', r"\1", svg, count=1)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-")
    for role, color in COLORS.items():
        svg = svg.replace(color, f"var(--{role})")
    # The page's font for all text.
    return re.sub(r"font: ((?:\w+ )?[\d.]+px) [^;\"]*", r"font: \1 var(--font)", svg)


# One row for each case


def _rows(results: Sequence[Result]) -> tuple[list[tuple[float, Result]], list[tuple[float, str]]]:
    """Give the height of each result's row, from the top, and of each family's heading."""
    places: list[tuple[float, Result]] = []
    headings: list[tuple[float, str]] = []
    at = 0.0
    families = list(dict.fromkeys(result.family for result in results))
    ordered = sorted(results, key=lambda r: families.index(r.family))
    for family, part in groupby(ordered, key=lambda r: r.family):
        headings.append((at, family))
        at += 1.15
        for result in part:
            places.append((at, result))
            at += 1
        at += 0.6
    return places, headings


def _panels(
    figure: Any, results: Sequence[Result], titles: Sequence[str]
) -> tuple[list[Any], list[tuple[float, Result]]]:
    """Make panels side by side that share the rows, with the cases' names before the first."""
    places, headings = _rows(results)
    width, height = figure.get_size_inches()
    longest = max(len(name_of(result)) for result in results)
    left = min(0.2 + 0.068 * longest, 3.4)
    axes = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(
        left=left / width, right=1 - 0.1 / width, top=1 - 0.65 / height, bottom=0.1 / height
    )
    figure.subplots_adjust(wspace=0.09)
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title.replace(", ", ",\n"), pad=20, color=COLORS["ink"])
        ax.set_xscale("log")
        ax.minorticks_off()
        ax.grid(visible=False, axis="y")
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        for side in ("top", "bottom", "left"):
            ax.spines[side].set_visible(False)
    first = axes[0]
    first.set_yticks([at for at, _ in places], [name_of(result) for _, result in places])
    first.set_ylim(max((at for at, _ in places), default=0) + 0.7, -0.8)
    for at, family in headings:
        first.annotate(
            family,
            (0, at),
            xycoords=("axes fraction", "data"),
            xytext=(-left * 72 + 6, 0),
            textcoords="offset points",
            va="center",
            fontweight="bold",
            color=COLORS["quiet"],
        )
    return list(axes), places


def name_of(result: Result) -> str:
    """Give the name of a row."""
    return f"{result.case} · {result.size}" if result.size else result.case


def height_of(results: Sequence[Result]) -> float:
    """Give the inches of a plot with one row for each case."""
    places, _ = _rows(results)
    return 0.8 + ROW * (max(at for at, _ in places) + 1.5)


def bars(name: str, results: Sequence[Result], ratios: Mapping[str, tuple[str, str]]) -> str:
    """Draw a panel for each ratio with a bar for each case, from one, and its quartiles.

    The line for the quartiles ends at most a factor of 1.5 away.
    """

    def plot(figure: Any) -> None:
        axes, places = _panels(figure, results, list(ratios))
        for ax, (what, pair) in zip(axes, ratios.items(), strict=True):
            ends = [
                end
                for _, r in places
                if (ratio := r.ratio(*pair)) is not None and (spread := r.spread(*pair))
                for end in _ends(ratio, spread)
            ]
            low, high = min([*ends, 1.0]), max([*ends, 1.25])
            # Room for the text at the ends of bars, as a part of the panel.
            room = 0.36 / (ax.get_position().width * WIDTH)
            left, right = (room if low < 1 else 0.04), room
            whole = math.log(high / low) / (1 - left - right)
            ax.set_xlim(low / math.exp(whole * left), high * math.exp(whole * right))
            ax.set_xticks(*_ratio_ticks(low, high))
            for at, result in places:
                _bar(ax, at, what, result.ratio(*pair), result.spread(*pair))
            ax.axvline(1, color=COLORS["quiet"], linewidth=1)

    return draw(name, WIDTH, height_of(results), plot)


def _bar(
    ax: Any, at: float, what: str, ratio: float | None, spread: tuple[float, float] | None
) -> None:
    if ratio is None or spread is None:
        return
    role = "neutral" if what in COSTS else "better" if ratio >= 1 else "worse"
    ax.barh(at, ratio - 1, left=1, height=0.62, color=COLORS[role])
    low, high = _ends(ratio, spread)
    ax.plot((low, high), (at, at), color=COLORS["ink"], linewidth=0.7, alpha=0.55)
    is_right = ratio >= 1
    ax.annotate(
        f"{ratio:.2f}" if ratio < 9.95 else f"{ratio:.0f}",
        (high if is_right else low, at),
        xytext=(3 if is_right else -3, 0),
        textcoords="offset points",
        ha="left" if is_right else "right",
        va="center",
        fontsize=7.5,
        color=COLORS["quiet"],
    )


def _ends(ratio: float, spread: tuple[float, float]) -> tuple[float, float]:
    """Give the ends of the line for the quartiles: very wide ones would leave bars no room."""
    return max(spread[0], ratio / 1.5), min(spread[1], ratio * 1.5)


def _ratio_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    ladder = [0.01, 0.03, 0.1, 0.25, 0.5, 1, 2, 4, 10]
    if high / low > 1000:
        ladder = [1e-4, 0.01, 1, 100, 1e4]
    elif high / low > 60:
        ladder = [0.001, 0.01, 0.1, 1, 10, 100, 1000]
    elif high / low > 6:
        ladder = [0.015, 0.06, 0.25, 1, 4, 16]
    ticks = [float(tick) for tick in ladder if low <= tick <= high]
    return ticks, [f"{tick:g}x" for tick in ticks]


def dots(
    name: str,
    results: Sequence[Result],
    panels: Mapping[str, Callable[[Result, str], float | None]],
    contestants: Sequence[str],
    write: Callable[[float], str],
) -> str:
    """Draw a panel for each figure with a dot for each contestant in each case's row."""

    def plot(figure: Any) -> None:
        axes, places = _panels(figure, results, list(panels))
        for ax, value in zip(axes, panels.values(), strict=True):
            found = [
                (contestant, at, amount)
                for at, result in places
                for contestant in contestants
                if (amount := value(result, contestant)) is not None and amount > 0
            ]
            for at in {at for _, at, _ in found}:
                row = [amount for _, place, amount in found if place == at]
                ax.plot((min(row), max(row)), (at, at), color=COLORS["line"], linewidth=1.2)
            # Ours last, above the others.
            for contestant in reversed(contestants):
                points = [(amount, at) for who, at, amount in found if who == contestant]
                if points:
                    ax.plot(
                        *zip(*points, strict=True),
                        linestyle="none",
                        marker="o",
                        markersize=5,
                        color=COLORS[CONTESTANTS[contestant]],
                        label=contestant,
                    )
            amounts = [amount for *_, amount in found] or [1.0]
            _decades(ax, min(amounts), max(amounts), write)

    return draw(name, WIDTH, height_of(results), plot)


def _decades(ax: Any, low: float, high: float, write: Callable[[float], str]) -> None:
    """Put a tick at every power of ten, at every other over a wide range; of bytes, of 32."""
    ax.set_xlim(low / 1.5, high * 1.5)
    is_bytes = write is size_in_bytes
    ticks = [32.0**n for n in range(9)] if is_bytes else [10.0**n for n in range(-9, 13)]
    shown = [tick for tick in ticks if low / 1.5 <= tick <= high * 1.5]
    if not is_bytes and high / low >= 1e4:
        shown = shown[::2]
    ax.set_xticks(shown, [write(tick) for tick in shown])


# Curves


def curves(name: str, groups: Mapping[str, Sequence[Result]], contestants: Sequence[str]) -> str:
    """Draw the time per call over the entries of the inputs, a panel for each group of sizes."""
    columns = min(3, len(groups))
    rows = -(-len(groups) // columns)

    def plot(figure: Any) -> None:
        axes = figure.subplots(rows, columns, squeeze=False).flat
        width, height = figure.get_size_inches()
        figure.subplots_adjust(left=0.6 / width, right=1 - 0.15 / width, top=1 - 0.3 / height)
        figure.subplots_adjust(bottom=0.45 / height, wspace=0.24, hspace=0.42)
        for ax, (title, results) in zip(axes, groups.items(), strict=False):
            ax.set_title(title, color=COLORS["ink"])
            ax.loglog()
            ax.minorticks_off()
            ax.tick_params(length=0, labelcolor=COLORS["quiet"])
            for contestant in reversed(contestants):
                points = [
                    (result.facts["entries"], found.median)
                    for result in sorted(results, key=lambda r: r.facts["entries"])
                    if (found := result.of(contestant)) is not None
                ]
                if points:
                    _curve(ax, points, contestant)
            low, high = ax.get_ylim()
            ticks = [10.0**n for n in range(-7, 3) if low <= 10.0**n <= high]
            ax.set_yticks(ticks, [duration(tick) for tick in ticks])
            ax.set_xlabel("entries of the inputs")
        for ax in list(axes)[len(groups) :]:
            ax.set_visible(False)

    return draw(name, WIDTH, 2.55 * rows, plot)


def _curve(ax: Any, points: Sequence[tuple[float, float]], contestant: str) -> None:
    is_ours = contestant == "pullback"
    ax.plot(
        *zip(*points, strict=True),
        marker="o",
        color=COLORS[CONTESTANTS[contestant]],
        linewidth=2.4 if is_ours else 1.4,
        markersize=4.5 if is_ours else 3,
        linestyle="--" if contestant.endswith("pages kept") else "-",
    )


def costs(
    name: str,
    results: Sequence[Result],
    forwards: Mapping[str, tuple[str, str]],
    most: float,
    large: int,
) -> str:
    """Draw what a gradient costs in forwards over the number of parameters, a panel for each.

    Points are hollow up to `large` entries, where the call is too short for arrays to matter.
    """

    def plot(figure: Any) -> None:
        axes = figure.subplots(1, len(forwards), sharey=True, squeeze=False)[0]
        width, height = figure.get_size_inches()
        figure.subplots_adjust(left=0.45 / width, right=1 - 0.15 / width, top=1 - 0.35 / height)
        figure.subplots_adjust(bottom=0.5 / height, wspace=0.06)
        for ax, (title, pair) in zip(axes, forwards.items(), strict=True):
            ax.set_title(title, color=COLORS["ink"])
            ax.set_xscale("log")
            ax.minorticks_off()
            ax.tick_params(length=0, labelcolor=COLORS["quiet"])
            ax.axhline(most, color=COLORS["worse"], linewidth=1, linestyle=":")
            for case, part in groupby(results, key=lambda r: (r.case, r.facts["dtype"])):
                points = sorted(
                    (r.facts["parameters"], ratio, r.facts["entries"] > large)
                    for r in part
                    if (ratio := r.ratio(*pair)) is not None
                )
                _cost(ax, ", ".join(case).removesuffix(", float32"), points)
            ax.set_xlabel("parameters")
        # Shared by all panels, and with those of the last one in view.
        axes[0].set_ylim(0, max(ax.dataLim.ymax for ax in axes) * 1.08)

    return draw(name, WIDTH, 3.6, plot)


def _cost(ax: Any, case: str, points: Sequence[tuple[float, float, bool]]) -> None:
    if not points:
        return
    x, y = [p[0] for p in points], [p[1] for p in points]
    is_scaling = len(set(x)) >= 3
    ax.plot(
        *(x, y),
        color=COLORS["pullback" if is_scaling else "neutral"],
        linewidth=2 if is_scaling else 0.8,
        alpha=1 if is_scaling else 0.6,
    )
    for left, top, is_large in points:
        ax.plot(
            *(left, top),
            marker="o",
            color=COLORS["pullback" if is_scaling else "neutral"],
            fillstyle="full" if is_large else "none",
        )
    if is_scaling:
        ax.annotate(
            *(case, (x[-1], y[-1])),
            xytext=(-4, 6),
            textcoords="offset points",
            ha="right",
            fontsize=8,
        )

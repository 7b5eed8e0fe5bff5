"""The norms of cotangents drawn along layers and steps, by Matplotlib."""

from __future__ import annotations

import importlib
import math
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .chains import Chain
    from .report import Health


def plot(report: Health, target: Any) -> Any:
    """Draw a report into axes, or to a file; return the axes."""
    if not isinstance(target, str | os.PathLike):
        _draw(report, target)
        return target
    figures: Any = importlib.import_module("matplotlib.figure")
    figure = figures.Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    _draw(report, axes)
    figure.savefig(target, dpi=120)
    return axes


def _draw(report: Health, axes: Any) -> None:
    axes.set_yscale("log")
    axes.set_ylabel("norm of the cotangent")
    axes.set_title(f"{report.name}: {report.verdict}")
    if report.chains:
        for chain in report.chains:
            _draw_chain(chain, axes)
        axes.set_xlabel(" or ".join(dict.fromkeys(c.kind for c in report.chains)))
        axes.legend()
    else:
        rows = [r for r in report.rows if r.cotangent is not None and _is_shown(r.cotangent.norm)]
        norms = [r.cotangent.norm for r in rows if r.cotangent is not None]
        axes.plot(range(len(rows)), norms, marker="o", markersize=4)
        axes.set_xticks(range(len(rows)), [r.name[:16] for r in rows], rotation=60, ha="right")


def _draw_chain(chain: Chain, axes: Any) -> None:
    place = f" at {chain.place}" if chain.place else ""
    shown = [
        (k.number, k.cotangent.norm)
        for k in chain.links
        if k.cotangent is not None and _is_shown(k.cotangent.norm)
    ]
    (line,) = axes.plot(
        [number for number, _ in shown],
        [norm for _, norm in shown],
        marker="o",
        markersize=3,
        label=f"`{chain.name}`{place}",
    )
    known = [
        (k.number, k.jacobian_norm)
        for k in chain.links
        if k.jacobian_norm and _is_shown(k.jacobian_norm)
    ]
    if known:
        axes.plot(
            [number for number, _ in known],
            [norm for _, norm in known],
            linestyle=":",
            color=line.get_color(),
            label=f"norm of the Jacobian, {chain.kind} by {chain.kind}",
        )


def _is_shown(norm: float) -> bool:
    """Whether a logarithmic axis can show it."""
    return math.isfinite(norm) and norm > 0


__all__ = ["plot"]

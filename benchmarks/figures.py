"""Figures as people read them: times, sizes and ratios, and the frame of a table."""

from collections.abc import Callable
from typing import Any


def unit(seconds: float) -> tuple[str, float]:
    """Choose the unit that suits a time, and its length in seconds."""
    if seconds >= 1:
        return "s", 1.0
    return ("ms", 1e-3) if seconds >= 1e-3 else ("µs", 1e-6)


def duration(seconds: float) -> str:
    """Write a time with three digits."""
    name, length = unit(seconds)
    return f"{seconds / length:.3g} {name}"


def span(low: float, high: float) -> str:
    """Write two times in one unit."""
    name, length = unit(high)
    return f"{low / length:.3g}-{high / length:.3g} {name}"


def size_in_bytes(count: float) -> str:
    """Write a size in the unit that suits it."""
    for unit, scale in (("MiB", 2**20), ("KiB", 2**10)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} B"


def share(fraction: float) -> str:
    """Write a part of a whole in percent."""
    return f"{100 * fraction:.3g} %"


def comparison(ratio: float) -> str:
    """Say how much faster pullback is than one that takes `ratio` times as long."""
    if ratio >= 1:
        return f"[green]{ratio:.3g}x faster[/]"
    return f"[red]{1 / ratio:.3g}x slower[/]"


def optional(write: Callable[[Any], str], value: Any) -> str:
    """Write a value, or nothing where there is none."""
    return "" if value is None else write(value)


def frame(title: str, *columns: str) -> Any:
    """Make an empty rich table: the first column names its rows."""
    from rich import box
    from rich.table import Table

    result = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    result.add_column("", no_wrap=True)
    for column in columns:
        result.add_column(column, justify="right", no_wrap=True, min_width=len(column))
    return result

"""Figures as people read them: times, sizes and ratios, and the frame of a table."""

from collections.abc import Callable
from typing import Any

from .. import tables


def duration(seconds: float) -> str:
    """Write a time with three digits, also where it is zero."""
    return tables.duration(seconds) or "0 µs"


def span(low: float, high: float) -> str:
    """Write two times in one unit."""
    name, length = tables.unit(high)
    return f"{tables.digits(low / length)}-{tables.digits(high / length)} {name}"


def size_in_bytes(count: float) -> str:
    """Write a size in the unit that suits it, also where it is zero."""
    return tables.amount(count) or "0 B"


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

"""What `health` found: figures of every value and cotangent, layers and steps, and a verdict."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..ir.core import UNKNOWN, Function, Provenance, walk
from ..ir.location import place_of
from ..passes.observe import Site
from ..tables import Table
from .chains import LINKS, Chain, Chains, Link, spread
from .measures import Measure, together
from .problems import Problem, Thresholds, called, cut, problems_of
from .recording import Recording

SHOWN = 24
"""Values in the printed table; `Health.rows` has all."""


class Row(NamedTuple):
    """A value of the program, in all iterations of the loops around it.

    `cotangent` is None where none flows. `times` says how often it was computed.
    """

    name: str
    op: str
    type: str
    file: str
    line: int
    source: str
    times: int
    value: Measure
    cotangent: Measure | None

    @property
    def place(self) -> str:
        """The user's line, as `model.py:12`."""
        return place_of(self.file, self.line)


@dataclass(frozen=True)
class Found:
    """What a run told: the function that ran, and what was observed of it."""

    name: str
    function: Function
    recording: Recording
    wanted: Sequence[int]


class Health:
    """How the gradient of a call fares on its way back; prints as tables.

    Attributes
    ----------
    value, gradient
        What the function returned, and its gradient.
    verdict
        "healthy", "vanishes", "explodes" or "non-finite".
    problems
        All that was found, what is not finite first, else as the backward pass comes to it.
    chains
        The layers and time steps of the program.
    rows
        Every floating-point value, in the order of the program.
    thresholds
        What counts as vanishing and exploding.
    """

    def __init__(
        self, found: Found, value: Any, gradient: Any, thresholds: Thresholds, jacobians: int
    ) -> None:
        self.name = found.name
        self.value = value
        self.gradient = gradient
        self.thresholds = thresholds
        self.rows = tuple(_rows(found))
        self.chains = tuple(Chains(found.function, found.recording, jacobians).find())
        self.problems = tuple(
            problems_of(found.function, found.recording, self.chains, found.wanted, thresholds)
        )
        self.verdict = self.problems[0].verdict if self.problems else "healthy"

    @property
    def problem(self) -> Problem | None:
        """The first problem, None where there is none."""
        return self.problems[0] if self.problems else None

    @property
    def is_healthy(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        if self.problem is not None:
            return f"{self.name}: {self.problem.text}"
        text = f"{self.name}: the gradient is healthy: every value and cotangent is finite"
        if not self.chains:
            return f"{text}."
        chain = max(self.chains, key=lambda c: max(c.ratio, 1 / c.ratio if c.ratio else 1.0))
        return (
            f"{text}, and over {_counted(chain)} the cotangent of `{chain.name}` is scaled by "
            f"{_figure(chain.ratio)}."
        )

    def table(self) -> Table:
        """Return the table of values; of a long program one row for each line and name."""
        if len(self.rows) <= SHOWN:
            notes = ["values and their cotangents (∂), of loops all iterations taken together"]
            heads = ["value", "line", ">∂ norm", ">∂ rms", ">∂ max", ">zeros", ">∂ zeros"]
            return Table([*heads, ">bad", ">∂ bad"], [_cells(row) for row in self.rows], notes)
        groups = _grouped(self.rows)
        chosen = _chosen(groups)
        notes = [
            f"{len(self.rows):,} values by line and name; least and largest rms of cotangents (∂)"
        ]
        if len(chosen) < len(groups):
            notes[0] += f"; {len(groups) - len(chosen):,} more rows stand out less"
        heads = ["value", "line", ">×", ">∂ least", ">∂ most", ">zeros", ">∂ zeros"]
        return Table([*heads, ">bad", ">∂ bad"], [_group_cells(g) for g in chosen], notes)

    def chain_table(self, chain: Chain) -> Table:
        """Return the table of the layers or steps of a chain."""
        run = f", run {chain.run + 1} of {chain.runs}" if chain.runs > 1 else ""
        note = f"`{chain.name}` at {chain.place}{run}: {_counted(chain)}"
        if math.isfinite(chain.factor):
            note += f", ×{_figure(chain.factor)} for each on average"
        heads = [chain.kind, ">norm", ">∂ norm", ">∂ rms", ">zeros", ">∂ zeros"]
        rows = [_link_cells(link) for link in _spread(chain.links)]
        return Table([*heads, ">amplification", ">‖Jacobian‖"], rows, [note])

    def tables(self) -> list[Table]:
        """Return all tables that print: of each chain, then of the values."""
        return [*[self.chain_table(c) for c in self.chains], self.table()]

    def _head(self) -> str:
        """Return the verdict and what else was found, in lines of 100 columns."""
        texts = [self.sentence, *[f"also: {p.text}" for p in self.problems[1:4]]]
        return "\n".join(textwrap.fill(t, 100, subsequent_indent="  ") for t in texts)

    def __str__(self) -> str:
        return "\n\n".join([self._head(), *map(str, self.tables())])

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        color = "green" if self.is_healthy else "red"
        return Group(
            Text(self._head(), style=color),
            "",
            *[t.rich() for t in self.tables()],
        )

    def show(self) -> None:
        """Print the verdict and the tables, by rich where it is installed."""
        print(f"{self._head()}\n")
        for table in self.tables():
            table.show()

    def plot(self, target: Any) -> Any:
        """Draw the norms along layers and steps, or of each value where there are none.

        Parameters
        ----------
        target
            The path of a file to write, or Matplotlib axes to draw into.

        Returns
        -------
        object
            The axes.
        """
        from .plot import plot

        return plot(self, target)

    def __repr__(self) -> str:
        return f"<health of {self.name}: {self.verdict}>"


# ---- rows ----------------------------------------------------------------------------------------


def _rows(found: Found) -> list[Row]:
    place = {r: k for k, e in enumerate(walk(found.function)) for r in e.results}
    recording = found.recording
    rows: list[tuple[int, Row]] = []
    for site in recording.sites:
        values = recording.values(site)
        if site.is_use or not values:
            continue
        cts = recording.cotangents(site)
        location = _made(site).location
        file, line, source = "", 0, ""
        if location is not None:
            file, line, source = location.file, location.line, location.text.strip()
        row = Row(
            called(site.value, _made(site)),
            "" if site.eqn is None else site.eqn.op.name,
            str(site.value.type),
            file,
            line,
            source,
            len(values),
            together(values),
            together(cts) if cts else None,
        )
        rows.append((place.get(site.value, -1), row))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _made(site: Site) -> Provenance:
    """Return where a value comes from; a carry from its loop."""
    if site.eqn is not None:
        return site.eqn.provenance
    return site.loops[-1].provenance if site.loops else UNKNOWN


def _grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """Return rows by line, name and op; names that differ by a final number are one."""
    groups: dict[tuple[str, int, str, str], list[Row]] = {}
    for row in rows:
        key = (row.file, row.line, _stem(row.name), row.op)
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _stem(name: str) -> str:
    return re.sub(r"_\d+$", "", name)


def _chosen(groups: Sequence[list[Row]]) -> Sequence[list[Row]]:
    """Return the groups that stand out most, in the order of the program."""
    if len(groups) <= SHOWN:
        return groups
    sizes = [[r.cotangent.rms for r in g if r.cotangent is not None] for g in groups]
    known = sorted(s for rms in sizes for s in rms if s > 0)
    middle = known[len(known) // 2] if known else 1.0

    def rank(k: int) -> tuple[bool, float]:
        bad = any(r.value.bad or (r.cotangent is not None and r.cotangent.bad) for r in groups[k])
        factors = [max(s / middle, middle / s) if s > 0 else math.inf for s in sizes[k]]
        return bad, max(factors, default=0.0)

    best = sorted(range(len(groups)), key=rank, reverse=True)[:SHOWN]
    return [groups[k] for k in sorted(best)]


def _cells(row: Row) -> list[str]:
    ct = row.cotangent
    name = row.name if row.times == 1 else f"{cut(row.name, 13)} ×{row.times:,}"
    cells = [cut(name, 20), cut(row.place, 17)]
    cells += ["", "", ""] if ct is None else list(map(_figure, (ct.norm, ct.rms, ct.largest)))
    cells += [_share(row.value.zero_share), "" if ct is None else _share(ct.zero_share)]
    return [*cells, _count(row.value.bad), "" if ct is None else _count(ct.bad)]


def _group_cells(group: Sequence[Row]) -> list[str]:
    first = group[0]
    name = first.name if len(group) == 1 else _stem(first.name)
    value = together([r.value for r in group])
    cts = [r.cotangent for r in group if r.cotangent is not None]
    cells = [cut(name, 22), cut(first.place, 17), f"{sum(r.times for r in group):,}"]
    if not cts:
        return [*cells, "", "", _share(value.zero_share), "", _count(value.bad), ""]
    ct, sizes = together(cts), [c.rms for c in cts]
    cells += [_figure(min(sizes)), _figure(max(sizes)) if len(cts) > 1 else ""]
    cells += map(_share, (value.zero_share, ct.zero_share))
    return [*cells, _count(value.bad), _count(ct.bad)]


def _spread(links: Sequence[Link]) -> list[Link]:
    """Return links spread evenly, the first and the last among them."""
    if len(links) <= LINKS:
        return list(links)
    return [links[k] for k in spread(len(links), LINKS)]


def _link_cells(link: Link) -> list[str]:
    value, ct = link.value, link.cotangent
    return [
        str(link.number),
        "" if value is None else _figure(value.norm),
        "" if ct is None else _figure(ct.norm),
        "" if ct is None else _figure(ct.rms),
        "" if value is None else _share(value.zero_share),
        "" if ct is None else _share(ct.zero_share),
        "" if link.amplification is None else _figure(link.amplification),
        "" if link.jacobian_norm is None else _figure(link.jacobian_norm),
    ]


def _counted(chain: Chain) -> str:
    steps = len(chain.links) - (1 if chain.kind == "step" else 0)
    return f"{steps:,} {chain.kind}s"


def _figure(number: float) -> str:
    """Return a number with three digits, two where its exponent has three."""
    text = f"{number:.3g}"
    return text if len(text) < 9 else f"{number:.2g}"


def _count(number: int) -> str:
    return "" if not number else str(number) if number < 10000 else f"{number:.0e}"


def _share(share: float) -> str:
    if share == 0:
        return ""
    return f"{100 * share:.0f} %" if share >= 0.005 else "<1 %"


__all__ = ["Health", "Row"]

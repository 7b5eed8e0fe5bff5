"""The generated source: its text for readers, and how its pieces are put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.core import Provenance, Value
from ..ir.ops.shape import Reshape
from ..ir.plan import Home
from .emit_results import Results
from .lifetimes import forgotten
from .recycle import WORTH, Shelf

if TYPE_CHECKING:
    from .emit import Writer

MANY = 16
"""Views alike that have lines of their own in the source."""


@dataclass
class Source:
    """Generated code, its constants, and for each line of `run` what it came from."""

    code: str
    constants: dict[str, Any]
    lines: dict[int, tuple[str, Provenance]] = field(default_factory=dict)
    has_numbers: bool = False
    """Whether scalars in it are Python's numbers."""
    shelves: tuple[Shelf, ...] = ()
    """Where memory of dropped results waits."""

    @cached_property
    def text(self) -> str:
        """The code with the user's lines in its margin, made when somebody reads it."""
        lines = self.code.split("\n")
        last = None
        for number, (_, provenance) in self.lines.items():
            location = provenance.location
            if location is None:
                continue
            place = (location.file, location.line, provenance.is_adjoint)
            if place != last:
                mark = "∂" if provenance.is_adjoint else ""
                text = f"{lines[number - 1]:<56}  # {mark}{location.line}"
                if not provenance.is_adjoint:
                    text += f"  {location.text.strip()}"
                lines[number - 1] = text
                last = place
        return "\n".join(lines)


def assemble(writer: Writer, params: Sequence[str]) -> Source:
    """Return the source that a writer has written, of a program with these parameters."""
    lines = ["def workspace():"]
    if writer.plan.slots:
        byte = writer.bind(np.dtype(np.uint8), "uint8")
        sizes = ", ".join(map(str, writer.plan.slots))
        lines.append(f"    slots = [empty(n, {byte}) for n in ({sizes},)]")
    lines += [f"    {text}" for text in (*_views(writer), *writer.setup)]
    static = ", ".join(writer.static)
    lines.append(f"    return ({static},)" if static else "    return ()")
    lines += ["", "", f"def run({', '.join(['ws', *params])}):"]
    if static:
        lines.append(f"    ({static},) = ws")
    mapping: dict[int, tuple[str, Provenance]] = {}
    passing = _passing(writer)
    for text, provenance, op in forgotten(writer.body, passing) if passing else writer.body:
        if provenance is not None:
            mapping[len(lines) + 1] = (op, provenance)
        lines.append(text)
    code = "\n".join(lines) + "\n"
    shelves = tuple(writer.shelves.values())
    return Source(code, writer.constants, mapping, writer.has_numbers, shelves)


def _views(writer: Writer) -> Iterator[str]:
    """Yield the lines that make the views of slots, many alike in one: it compiles sooner."""
    for form, views in writer.alike.items():
        if len(views) <= MANY:
            yield from (f"{name} = {form}slots[{slot}])" for name, slot in views)
        else:
            names = ", ".join([name for name, _ in views])
            slots = ", ".join([str(slot) for _, slot in views])
            yield f"{names} = [{form}slots[k]) for k in ({slots})]"


def _passing(writer: Writer) -> set[str]:
    """Return the variables that may keep memory which is not that of the workspace."""
    held: dict[Any, list[Value]] = {}
    for value, cell in writer.plan.cells.items():
        if cell.home in (Home.FRESH, Home.NUMPY) and not cell.pinned:
            held.setdefault(cell, []).append(value)
    groups = [g for g in held.values() if max(v.type.nbytes for v in g) >= WORTH]
    results = Results(writer)
    reshaped = (v for v, e in writer.producers.items() if isinstance(e.op, Reshape))
    groups.append([v for v in reshaped if v.type.nbytes >= WORTH and results.is_copied(v)])
    names = {writer.names[v] for group in groups for v in group if v in writer.names}
    return (names | writer.passing).difference(writer.static)


__all__ = ["Source", "assemble"]

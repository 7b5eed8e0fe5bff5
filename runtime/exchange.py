"""Carries that change places: names are bound anew, where arrays would be copied.

`u, v = v, u` at the end of an iteration exchanges the memory of two carries. After the loop each
carry must be where the plan has it; if it is not, the contents that are read are exchanged once.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

from ..ir.core import Value
from ..ir.ops.control import Loop

if TYPE_CHECKING:
    from .emit import Writer


def exchanged(writer: Writer, op: Loop, moves: frozenset[int]) -> frozenset[int]:
    """Return the carries whose next values stand whole in each other's memory."""
    cells = writer.plan.cells
    head = 1 if op.ranged else 0
    target = {k: cells.get(op.body.params[head + k]) for k in moves}
    source = {}
    for k in moves:
        value = op.body.results[k]
        cell = cells.get(value) if isinstance(value, Value) else None
        if cell is not None and target[k] is not None and cell.owner is value:
            source[k] = cell
    while True:
        places = {target[k] for k in source}
        read = list(source.values())
        kept = {
            k: c
            for k, c in source.items()
            if c in places and read.count(c) == 1 and target[k] in read
        }
        if len(kept) == len(source):
            return frozenset(kept)
        source = kept


def put_back(writer: Writer, renamed: Mapping[str, str], read: Set[str]) -> None:
    """Write what brings carries back to their memory; `renamed` has the name of each one's own.

    Only the content of those that are `read` afterwards is brought back.
    """
    if not renamed:
        return
    names = list(renamed)
    first, *others = [n for n in names if n in read] or names[:1]
    tests = " or ".join(f"{name} is not {renamed[name]}" for name in names[1:])
    copies = [writer.fresh("t") for _ in names[:1] + others]
    writer.passing.update(copies[1:])
    writer.line(f"if {tests}:")
    writer.indent += 1
    for name, text in zip(others, copies[1:], strict=True):
        writer.line(f"{text} = {name}.copy()")
    writer.line(f"{copies[0]} = {first}")
    writer.line(f"{', '.join(names)} = {', '.join(renamed.values())}")
    for name, text in zip([first, *others], copies, strict=True):
        writer.line(f"copyto({name}, {text})")
    writer.indent -= 1
    for name in names:
        writer.frames.bound(name)


__all__ = ["exchanged", "put_back"]

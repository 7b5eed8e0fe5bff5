"""Writes recursions: a function within the program, that calls itself; and records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ir.core import Atom, Eqn, Value
from ..ir.ops.recursion import Pack, Recursion, Unpack
from ..ir.plan import Home
from .numbers import is_number

if TYPE_CHECKING:
    from .emit import Writer


def emit_recursion(writer: Writer, eqn: Eqn, op: Recursion) -> None:
    """Write the function, and its first call."""
    name = writer.fresh(op.label)
    outside = writer.functions
    writer.functions = {**outside, op.label: name}
    inside = dict(zip(op.body.dims, map(writer.size, op.dims), strict=True))
    hidden = {s: writer.dims[s] for s in inside if s in writer.dims}
    writer.dims.update(inside)
    params: list[str] = []
    for param in op.body.params:
        text = writer.names[param] = writer.fresh(param.hint or "x")
        cell = writer.plan.cells.get(param)
        if cell is not None:
            writer.cells[cell] = text
        params.append(text)
    writer.line(f"def {name}({', '.join(params)}):", eqn.provenance, op.name)
    with writer.nested():
        writer.block(op.body.eqns)
        _return(writer, eqn, op, params)
    writer.dims.update(hidden)
    emit_call(writer, eqn, name, op.carries)
    writer.functions = outside


def _return(writer: Writer, eqn: Eqn, op: Recursion, params: list[str]) -> None:
    results = op.body.results
    moved = sorted(writer.plan.calls[eqn].moved)
    taken = {writer.plan.cells[p] for p in op.body.params[: op.carries]}
    pairs: list[tuple[str, str]] = []
    for k in moved:
        value = results[k]
        text = writer.operand(value)
        if isinstance(value, Value) and writer.plan.cells.get(value) in taken:
            text, source = writer.fresh("t"), text
            writer.line(f"{text} = {source}.copy()")
        pairs.append((params[k], text))
    shared = writer.plan.calls[eqn].shared
    texts = [
        f"{_passed(writer, r)}.copy()" if k in shared else _passed(writer, r)
        for k, r in enumerate(results)
        if k >= op.carries
    ]
    if pairs:  # the others first, before what they read is overwritten
        names = [writer.fresh("r") for _ in texts]
        for name, text in zip(names, texts, strict=True):
            writer.line(f"{name} = {text}")
        for name, text in pairs:
            writer.line(f"copyto({name}, {text})")
        texts = names
    writer.line(f"return {', '.join(texts)}" if texts else "return")


def emit_call(writer: Writer, eqn: Eqn, name: str, carries: int) -> None:
    """Write a call of the function; carries are updated in place."""
    arguments: list[str] = []
    for k, operand in enumerate(eqn.operands):
        if k >= carries:
            arguments.append(_passed(writer, operand))
            continue
        if k in writer.plan.calls[eqn].copied:
            _copy(writer, eqn, eqn.results[k], writer.operand(operand))
        arguments.append(writer.name(eqn.results[k]))
    for text in dict.fromkeys([writer.name(v) for v in writer.plan.calls[eqn].released]):
        writer.line(f"{text} = None")
    call = f"{name}({', '.join(arguments)})"
    targets = ", ".join([writer.name(r) for r in eqn.results[carries:]])
    writer.line(f"{targets} = {call}" if targets else call, eqn.provenance, eqn.op.name)
    _received(writer, eqn.results[carries:])


def _passed(writer: Writer, atom: Atom) -> str:
    """Return what a function or a record is given: of scalars, Python numbers."""
    is_python = writer.holds_numbers and is_number(atom)
    return writer.number(atom) if is_python else writer.operand(atom)


def _received(writer: Writer, values: Sequence[Value]) -> None:
    """Make scalars NumPy's where Python numbers have come back that are not held as such."""
    for value in values if writer.holds_numbers else ():
        if is_number(value) and value not in writer.held:
            dtype = writer.bind(value.type.dtype.type, str(value.type.dtype))
            writer.line(f"{writer.name(value)} = {dtype}({writer.name(value)})")


def _copy(writer: Writer, eqn: Eqn, result: Value, text: str) -> None:
    cell, name = writer.plan.cells[result], writer.name(result)
    if cell.home is Home.STACK:
        writer.row(cell.stack, name)
    if cell.home in (Home.STACK, Home.SLOT) or cell.pinned:
        writer.line(f"copyto({name}, {text})", eqn.provenance, eqn.op.name)
    else:
        writer.line(f"{name} = {text}.copy()", eqn.provenance, eqn.op.name)


def emit_pack(writer: Writer, eqn: Eqn, op: Pack) -> None:
    """Write a tuple, of arrays that nothing is written into."""
    copied = writer.plan.calls[eqn].copied
    texts = [_passed(writer, a) for a in eqn.operands]
    parts = "".join([f"{t}.copy(), " if k in copied else f"{t}, " for k, t in enumerate(texts)])
    writer.line(f"{writer.name(eqn.results[0])} = ({parts.rstrip()})", eqn.provenance, op.name)


def emit_unpack(writer: Writer, eqn: Eqn, op: Unpack) -> None:
    """Write names for what a record holds."""
    text = op.emit(writer, [writer.operand(eqn.operands[0])], None)
    targets = ", ".join([writer.name(r) for r in eqn.results])
    writer.line(f"{targets} = {text}", eqn.provenance, op.name)
    _received(writer, eqn.results)


__all__ = ["emit_call", "emit_pack", "emit_recursion", "emit_unpack"]

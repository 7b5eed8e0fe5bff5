"""Writes tapes: one object each, changed in place, which every value of the tape names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir.core import Eqn
from ..ir.ops.tape import TapePop, TapePush, is_typed

if TYPE_CHECKING:
    from .emit import Writer


def emit_tape(writer: Writer, eqn: Eqn, op: TapePush | TapePop) -> None:
    """Write a push or a pop."""
    tape = writer.operand(eqn.operands[0])
    writer.names[eqn.results[0]] = tape
    if isinstance(op, TapePush):
        value = eqn.operands[1]
        method = "push" if value.type.shape else "append"
        typed = is_typed(eqn.operands[0].type.dtype)
        text = writer.either(value) if typed else writer.operand(value)
        writer.line(f"{tape}.{method}({text})", eqn.provenance, op.name)
        return
    value = eqn.results[1]
    text = op.emit(writer, [tape], None)
    if is_typed(eqn.operands[0].type.dtype) and value not in writer.held:
        text = f"{writer.bind(value.type.dtype.type, str(value.type.dtype))}({text})"
    writer.line(f"{writer.name(value)} = {text}", eqn.provenance, op.name)


__all__ = ["emit_tape"]

"""Writes branches: the memory of the results, `if`, each branch, and what it hands over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir.core import Eqn, Function, Value
from ..ir.ops.cond import BOOL, Cond
from ..ir.ops.shape import Reshape
from ..ir.plan import BranchPlan, CondPlan, Home
from .emit_loop import enter

if TYPE_CHECKING:
    from .emit import Writer

Lines = list[tuple[str, object, str]]


def emit_cond(writer: Writer, eqn: Eqn, op: Cond) -> None:
    """Write `if`, or `if` and `elif` for a choice by number, with the branches."""
    plan = writer.plan.conds[eqn]
    predicate = writer.either(eqn.operands[0])
    _reshaped(writer, eqn)
    _memory(writer, eqn, plan)
    parts: list[Lines] = []
    for branch, part in zip(op.branches, plan.branches, strict=True):
        start = len(writer.body)
        writer.indent += 1
        _branch(writer, eqn, op, branch, part)
        writer.indent -= 1
        parts.append(writer.body[start:])  # type: ignore[arg-type]
        del writer.body[start:]
    if not any(parts):
        return
    if eqn.operands[0].type.dtype == BOOL:
        tests = [f"if {predicate}:", "else:"]
        if not parts[0]:
            tests, parts = [f"if not {predicate}:"], parts[1:]
        elif not parts[1]:
            parts = parts[:1]
    else:
        tests = [f"elif {predicate} == {k}:" for k in range(len(parts))]
        tests[-1] = "else:"
        tests[0] = f"if {predicate} <= 0:" if len(parts) > 1 else "if True:"
    for test, lines in zip(tests, parts, strict=False):
        writer.line(test, eqn.provenance, op.name)
        if lines:
            writer.body.extend(lines)  # type: ignore[arg-type]
        else:
            writer.line("    pass")


def _reshaped(writer: Writer, eqn: Eqn) -> None:
    """Let results that take over an array, maybe in another shape, have its name."""
    cells = writer.plan.cells
    for operand in eqn.operands[1:]:
        made = writer.producers.get(operand) if isinstance(operand, Value) else None
        if made is None or (made.op.is_view and not isinstance(made.op, Reshape)):
            continue
        cell = cells.get(operand)  # type: ignore[arg-type]
        for result in eqn.results:
            is_same = cell is not None and cells.get(result) is cell
            if is_same and result.type == operand.type and result.layout == operand.layout:
                writer.names.setdefault(result, writer.operand(operand))


def _memory(writer: Writer, eqn: Eqn, plan: CondPlan) -> None:
    """Write what makes the results' memory, where a branch writes into it."""
    for k, result in enumerate(eqn.results):
        if not result.type.shape or k not in plan.made:
            continue
        cell, name = writer.plan.cells[result], writer.name(result)
        if cell.home is Home.STACK:
            writer.row(cell.stack, name)
        elif cell.home is not Home.SLOT and not all(k in b.renamed for b in plan.branches):
            writer.allocate(name, result)


def _branch(writer: Writer, eqn: Eqn, op: Cond, branch: Function, plan: BranchPlan) -> None:
    inside = dict(zip(branch.dims, map(writer.size, op.dims), strict=True))
    hidden = {s: writer.dims[s] for s in inside if s in writer.dims}
    writer.dims.update(inside)
    for param, operand in zip(branch.params, eqn.operands[1:], strict=True):
        enter(writer, param, operand)
    own = {r for e in branch.eqns for r in e.results}
    parts = zip(eqn.results, plan.cells, branch.results, strict=True)
    for k, (result, cell, value) in enumerate(parts):
        if cell is not None:
            writer.cells[cell] = writer.name(result)
            if k in plan.renamed:
                writer.cells.setdefault(writer.plan.cells[value], writer.name(result))  # type: ignore[index]
        elif isinstance(value, Value) and value in own and _alike(writer, value, result):
            writer.names.setdefault(value, writer.name(result))
    writer.block(branch.eqns, branch.results)
    _scalars(writer, eqn, branch)
    _arrays(writer, eqn, branch, plan)
    writer.dims.update(hidden)


def _alike(writer: Writer, value: Value, result: Value) -> bool:
    """Whether a scalar is held as the result is, as a Python number or as NumPy's."""
    return (value in writer.held) == (result in writer.held)


def _scalars(writer: Writer, eqn: Eqn, branch: Function) -> None:
    for result, value in zip(eqn.results, branch.results, strict=True):
        if result.type.shape:
            continue
        name = writer.name(result)
        text = writer.number(value) if result in writer.held else writer.operand(value)
        if text != name:
            writer.line(f"{name} = {text}")


def _arrays(writer: Writer, eqn: Eqn, branch: Function, plan: BranchPlan) -> None:
    """Copy values into the results' memory, as if all at once."""
    taken = {cell for cell in plan.cells if cell is not None}
    pairs: list[tuple[str, str]] = []
    for k in sorted(plan.moved):
        value = branch.results[k]
        text = writer.operand(value)
        if isinstance(value, Value) and writer.plan.cells.get(value) in taken:
            text, source = writer.fresh("t"), text
            writer.passing.add(text)
            writer.line(f"{text} = {source}.copy()")
        pairs.append((writer.name(eqn.results[k]), text))
    for name, text in pairs:
        writer.line(f"copyto({name}, {text})")
    for k in sorted(plan.renamed):
        name, text = writer.name(eqn.results[k]), writer.operand(branch.results[k])
        if name != text:
            writer.line(f"{name} = {text}")


__all__ = ["emit_cond"]

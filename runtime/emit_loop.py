"""Writes loops: the memory of carries and stacks, the header, the body, the next carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.core import Atom, Eqn, Value
from ..ir.dims import Symbol
from ..ir.ops.control import Loop
from ..ir.plan import Home

if TYPE_CHECKING:
    from .emit import Writer


def emit_loop(writer: Writer, eqn: Eqn, op: Loop) -> None:
    """Write a loop: memory of carries and stacks, the header, the body, the moves."""
    plan = writer.plan.loops[eqn.results[0]] if eqn.results else None
    assert plan is not None
    head = 1 if op.ranged else 0
    inits = eqn.operands[op.head : op.head + op.carries]
    count = writer.fresh("count")
    indices = ""
    if op.ranged:
        indices = f"range({', '.join(writer.position(a) for a in eqn.operands[:3])})"
        writer.line(f"{count} = len({indices})", eqn.provenance, op.name)
    elif isinstance(op.trips, int):
        writer.line(f"{count} = {op.trips}")
    if isinstance(op.trips, Symbol) and op.ranged and op.test is None:
        writer.dims[op.trips] = count
    # The body's own dims stand for sizes outside, also where these have other symbols.
    inside = dict(zip(op.body.dims[head:], map(writer.size, op.dims), strict=True))
    hidden = {s: writer.dims[s] for s in inside if s in writer.dims}
    writer.dims.update(inside)
    _memory(writer, eqn, op, inits, plan.adopted, count)
    for region in op.regions:
        operands = eqn.operands[op.head :]
        for k, (param, value) in enumerate(zip(region.params[head:], operands, strict=True)):
            enter(writer, param, eqn.results[k] if k < op.carries else value)
    counter, outer = writer.fresh("k"), writer.counter
    writer.counter = counter
    listed = op.outputs > 0 and (op.test is not None or not op.ranged)
    _header(writer, eqn, op, indices, count, counter, listed)
    writer.indent += 1
    before = len(writer.body)
    _body(writer, eqn, op, plan, counter, listed)
    if len(writer.body) == before:  # nothing changes in the iterations
        writer.line("pass")
    writer.indent -= 1
    writer.counter = outer
    if op.test is not None or not op.ranged:
        writer.line(f"{count} = {counter}")
        if isinstance(op.trips, Symbol):
            writer.dims[op.trips] = count
    if listed:
        _stack_lists(writer, eqn, op)
    writer.dims.update(hidden)
    if op.counts:
        writer.names[eqn.results[-1]] = count
        writer.indices.add(eqn.results[-1])


def _memory(
    writer: Writer, eqn: Eqn, op: Loop, inits: Sequence[Atom], adopted: frozenset[int], count: str
) -> None:
    for k, init in enumerate(inits):
        result = eqn.results[k]
        name, start = writer.name(result), writer.scalar(init)
        if not result.type.shape:
            writer.line(f"{name} = {start}")
        elif k not in adopted:
            cell = writer.plan.cells[result]
            if cell.home is Home.STACK:
                writer.row(cell.stack, name)
            if cell.home in (Home.SLOT, Home.STACK):
                writer.line(f"copyto({name}, {start})")
            else:
                writer.line(f"{name} = {start}.copy()")
    for result, inner in zip(
        eqn.results[op.carries :], op.body.results[op.carries :], strict=False
    ):
        if op.test is None and op.ranged:
            cell = writer.plan.cells[result]
            if cell.home is Home.STACK:
                writer.row(cell.stack, writer.name(result))
            elif cell.home is not Home.SLOT:
                shape = ", ".join([count, *[writer.size(d) for d in inner.type.shape]])
                dtype = writer.bind(result.type.dtype, str(result.type.dtype))
                writer.line(f"{writer.name(result)} = empty(({shape},), {dtype})")
            else:
                writer.name(result)


def enter(writer: Writer, param: Value, outer: Atom) -> None:
    """Let a region's parameter be what is passed to it."""
    text = writer.operand(outer)
    writer.names[param] = text
    cell = writer.plan.cells.get(param)
    if cell is not None:
        writer.cells.setdefault(cell, text)
    if isinstance(outer, Value) and outer in writer.indices:
        writer.indices.add(param)


def _header(
    writer: Writer, eqn: Eqn, op: Loop, indices: str, count: str, counter: str, listed: bool
) -> None:
    if listed:
        for result in eqn.results[op.carries : op.carries + op.outputs]:
            writer.line(f"{writer.name(result)}_rows = []")
    if not op.ranged:
        if op.test is not None:
            writer.line(f"{counter} = 0")
            writer.line("while True:", eqn.provenance, op.name)
        else:
            writer.line(f"for {counter} in range({count}):", eqn.provenance, op.name)
        return
    index = op.body.params[0]
    name = writer.fresh(index.hint or "i")
    for region in op.regions:
        writer.names[region.params[0]] = name
        writer.indices.add(region.params[0])
    if op.body.dims:
        writer.dims[op.body.dims[0]] = name
    if op.test is not None:
        writer.line(f"{counter} = 0")
        order = f"{indices}[::-1]" if op.backward else indices
        writer.line(f"for {name} in {order}:", eqn.provenance, op.name)
    elif op.backward:
        positions = f"range({count} - 1, -1, -1)"
        writer.line(
            f"for {counter}, {name} in zip({positions}, {indices}[::-1]):",
            eqn.provenance,
            op.name,
        )
    else:
        writer.line(f"for {counter}, {name} in enumerate({indices}):", eqn.provenance, op.name)


def _body(writer: Writer, eqn: Eqn, op: Loop, plan: Any, counter: str, listed: bool) -> None:
    if op.test is not None:
        writer.block(op.test.eqns)
        writer.line(f"if not {writer.operand(op.test.results[0])}:")
        writer.line("    break")
    after = op.body.results
    head = 1 if op.ranged else 0
    incoming = set(op.body.params[head : head + op.carries])
    outputs = list(enumerate(after[op.carries :]))
    _store(writer, [o for o in outputs if o[1] in incoming], eqn, op, plan, counter, listed)
    writer.block(op.body.eqns)
    _store(writer, [o for o in outputs if o[1] not in incoming], eqn, op, plan, counter, listed)
    _moves(writer, eqn, op, plan.moves)
    if op.test is not None:
        writer.line(f"{counter} += 1")


def _store(
    writer: Writer,
    outputs: Sequence[tuple[int, Atom]],
    eqn: Eqn,
    op: Loop,
    plan: Any,
    counter: str,
    listed: bool,
) -> None:
    """Write outputs of the body into their stacks."""
    for k, value in outputs:
        stack = writer.name(eqn.results[op.carries + k])
        if listed:
            array = writer.bind(np.array, "array")
            writer.line(f"{stack}_rows.append({array}({writer.operand(value)}))")
        elif k not in plan.direct:
            writer.line(f"{stack}[{counter}] = {writer.operand(value)}")


def _moves(writer: Writer, eqn: Eqn, op: Loop, moves: frozenset[int]) -> None:
    """Make the next carries the current ones, all at once."""
    head = 1 if op.ranged else 0
    pairs = [(writer.name(op.body.params[head + k]), op.body.results[k]) for k in sorted(moves)]
    scalars = [(n, writer.scalar(v)) for n, v in pairs if not v.type.shape]
    arrays = [(n, v) for n, v in pairs if v.type.shape]
    carried = {writer.plan.cells.get(op.body.params[head + k]) for k in range(op.carries)}
    temporaries = []
    for name, value in arrays:
        cell = writer.plan.cells.get(value) if isinstance(value, Value) else None
        text = writer.operand(value)
        if cell is not None and cell in carried:
            text = writer.fresh("t")
            writer.line(f"{text} = {writer.operand(value)}.copy()")
        temporaries.append((name, text))
    scalars = [(n, v) for n, v in scalars if n != v]  # a tape stays the object that it is
    if scalars:
        left, right = zip(*scalars, strict=True)
        writer.line(f"{', '.join(left)} = {', '.join(right)}")
    for name, text in temporaries:
        writer.line(f"copyto({name}, {text})")


def _stack_lists(writer: Writer, eqn: Eqn, op: Loop) -> None:
    for result, inner in zip(
        eqn.results[op.carries :], op.body.results[op.carries :], strict=False
    ):
        name = writer.name(result)
        shape = ", ".join(["0", *[writer.size(d) for d in inner.type.shape]])
        dtype = writer.bind(result.type.dtype, str(result.type.dtype))
        stack = writer.bind(np.stack, "stack")
        value = f"{stack}({name}_rows) if {name}_rows else empty(({shape},), {dtype})"
        cell = writer.plan.cells[result]
        if cell.home is Home.STACK:
            writer.row(cell.stack, name)
        if cell.home in (Home.SLOT, Home.STACK):
            writer.line(f"copyto({name}, {value})")
        else:
            writer.line(f"{name} = {value}")


__all__ = ["emit_loop", "enter"]

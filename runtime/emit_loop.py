"""Writes loops: the memory of carries and stacks, the header, the body, the next carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.core import Atom, Eqn, Literal, Value
from ..ir.dims import Dim, Symbol
from ..ir.ops.control import Loop
from ..ir.ops.tape import fork
from ..ir.plan import Home
from ..ir.types import is_tape
from .arithmetic import VIEWED
from .exchange import exchanged, put_back
from .frames import WORTH, Frame
from .numbers import is_number

if TYPE_CHECKING:
    from .emit import Writer


def emit_loop(writer: Writer, eqn: Eqn, op: Loop) -> None:
    """Write a loop: memory of carries and stacks, the header, the body, the moves."""
    plan = writer.plan.loops[eqn.results[0]] if eqn.results else None
    assert plan is not None
    head = 1 if op.ranged else 0
    span = _Span(writer, eqn, op)
    # The body's own dims stand for sizes outside, also where these have other symbols.
    inside = dict(zip(op.body.dims[head:], map(writer.size, op.dims), strict=True))
    hidden = {s: writer.dims[s] for s in inside if s in writer.dims}
    if isinstance(op.trips, Symbol) and op.ranged and op.test is None:
        writer.dims[op.trips] = span.count()
    writer.dims.update(inside)
    _memory(writer, eqn, op, plan.adopted, span)
    _enter_regions(writer, eqn, op)
    listed = op.outputs > 0 and (op.test is not None or not op.ranged)
    if listed:
        for result in eqn.results[op.carries : op.carries + op.outputs]:
            writer.line(f"{writer.name(result)}_rows = []")
    index = _index(writer, op)
    counting = op.test is not None and (isinstance(op.trips, Symbol) or op.counts)
    frame = writer.open_loop(span.counter(index), span.trips)
    for name in (index, frame.counter):
        writer.frames.bound(name)
    carried = op.body.params[head : head + op.carries]
    swapped = exchanged(writer, op, plan.moves)
    renamed = {writer.name(carried[k]): "" for k in swapped}
    for param in carried:
        if not param.type.shape:
            writer.frames.bound(writer.name(param))
    for name in renamed:
        writer.frames.bound(name)
    writer.moving.update(renamed)
    _body(writer, eqn, op, plan, listed, counting, swapped)
    lines = writer.close_loop()
    writer.moving.difference_update(renamed)
    for name in renamed:
        renamed[name] = writer.fresh("home")
        writer.line(f"{renamed[name]} = {name}")
    if counting:
        writer.line(f"{frame.counter} = 0")
    writer.line(span.header(index, frame), eqn.provenance, op.name)
    writer.body += lines or [("    " * (writer.indent + 1) + "pass", None, "")]
    read = {writer.name(carried[k]) for k in swapped if eqn.results[k] in writer.read}
    put_back(writer, renamed, read)
    _leave(writer, eqn, op, frame, counting, carried)
    if listed:
        _stack_lists(writer, eqn, op)
    writer.dims.update(hidden)


def _index(writer: Writer, op: Loop) -> str:
    """Name the index of a loop, or a variable for one that has none."""
    if not op.ranged:
        return writer.fresh("_")
    index = op.body.params[0]
    name = writer.fresh(index.hint or "i")
    for region in op.regions:
        param = region.params[0]
        writer.names[param] = name
        writer.held.add(param)
        if region.dims:
            writer.integers[param] = Dim.of(region.dims[0])
    for region in op.regions:
        if region.dims:
            writer.dims[region.dims[0]] = name
    return name


def _leave(
    writer: Writer,
    eqn: Eqn,
    op: Loop,
    frame: Frame,
    counting: bool,
    carried: Sequence[Value],
) -> None:
    """Write what follows the body: the trip count, and scalars as NumPy's outside of loops."""
    count = frame.counter
    if counting and isinstance(op.trips, Symbol):
        writer.dims[op.trips] = count
    for result, param in zip(eqn.results, carried, strict=False):
        if result.type.shape:
            continue
        name = writer.name(result)
        writer.frames.bound(name)
        if param in writer.held and result not in writer.held and result in writer.read:
            dtype = writer.bind(result.type.dtype.type, str(result.type.dtype))
            writer.line(f"{name} = {dtype}({name})")
    if op.counts:
        writer.frames.bound(count)
        if not counting:
            count = writer.size(op.trips if not isinstance(op.trips, Symbol) else Dim.of(op.trips))
        writer.names[eqn.results[-1]] = count
        writer.held.add(eqn.results[-1])


class _Span:
    """The range of a loop: its header, its count, and the position in its stacks."""

    def __init__(self, writer: Writer, eqn: Eqn, op: Loop) -> None:
        self.writer = writer
        self.eqn = eqn
        self.op = op
        self.known: str | None = str(op.trips) if isinstance(op.trips, int) else None
        self.texts = [writer.position(a) for a in eqn.operands[:3]] if op.ranged else []

    @property
    def trips(self) -> int | None:
        """The count, where it is known now."""
        return self.op.trips if isinstance(self.op.trips, int) else None

    def range(self, backward: bool) -> str:
        """Return the range as source, the shortest."""
        texts = self.texts
        if all(t.lstrip("-").isdecimal() for t in texts):
            found = range(*map(int, texts))
            start, stop, step = found.start, found.stop, found.step
            if backward:
                found = found[::-1]
                start, stop, step = found.start, found.stop, found.step
            texts, backward = [str(start), str(stop), str(step)], False
        lo, hi, step_text = texts
        if backward and step_text == "1":
            return f"range({hi} - 1, {lo} - 1, -1)"
        whole = [hi] if lo == "0" else [lo, hi]
        text = f"range({', '.join(whole)})" if step_text == "1" else f"range({', '.join(texts)})"
        return f"{text}[::-1]" if backward else text

    def count(self) -> str:
        """Return a name, or a number, for how often the loop runs, computed here if need be."""
        if self.known is None:
            name = self.known = self.writer.fresh("count")
            if self.op.ranged:
                text = f"len({self.range(False)})"
            else:
                assert not isinstance(self.op.trips, Symbol)
                text = self.writer.extent(self.op.trips)
            self.writer.line(f"{name} = {text}", self.eqn.provenance, self.op.name)
        return self.known

    def counter(self, index: str) -> str:
        """Return the variable that holds the position in the stacks."""
        is_index = not self.op.ranged or (self.texts[0], self.texts[2]) == ("0", "1")
        return index if is_index and self.op.test is None else self.writer.fresh("k")

    def header(self, index: str, frame: Frame) -> str:
        """Return the line that starts the loop."""
        op = self.op
        if not op.ranged:
            return (
                "while True:" if op.test is not None else f"for {index} in range({self.count()}):"
            )
        indices = self.range(op.backward)
        if op.test is not None or frame.counter == index or not frame.is_counted:
            return f"for {index} in {indices}:"
        if op.backward:
            positions = f"range({self.count()} - 1, -1, -1)"
            return f"for {frame.counter}, {index} in zip({positions}, {indices}):"
        return f"for {frame.counter}, {index} in enumerate({indices}):"


def _memory(writer: Writer, eqn: Eqn, op: Loop, adopted: frozenset[int], span: _Span) -> None:
    head = 1 if op.ranged else 0
    for k, init in enumerate(eqn.operands[op.head : op.head + op.carries]):
        result = eqn.results[k]
        if k in adopted and result not in writer.names:
            writer.names[result] = writer.operand(init)  # maybe memory in another shape
        name = writer.name(result)
        if not result.type.shape:
            held = op.body.params[head + k] in writer.held
            start = writer.number(init) if held else writer.operand(init)
            writer.line(f"{name} = {start}")
        elif k not in adopted:
            start = writer.operand(init)
            cell = writer.plan.cells[result]
            if cell.home is Home.STACK:
                writer.row(cell.stack, name)
            if cell.home in (Home.SLOT, Home.STACK):
                writer.line(f"copyto({name}, {start})")
            elif memory := writer.lent(result, None):
                writer.line(f"{name} = {memory}")
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
            elif memory := writer.lent(result, None) if cell.home is Home.FRESH else None:
                writer.line(f"{writer.name(result)} = {memory}")
            elif cell.home is not Home.SLOT:
                shape = ", ".join([span.count(), *[writer.size(d) for d in inner.type.shape]])
                dtype = writer.bind(result.type.dtype, str(result.type.dtype))
                writer.line(f"{writer.name(result)} = empty(({shape},), {dtype})")
            else:
                writer.name(result)


def _enter_regions(writer: Writer, eqn: Eqn, op: Loop) -> None:
    """Let the regions' parameters be what is passed to them; numbers of NumPy's are converted."""
    head = 1 if op.ranged else 0
    converted: dict[Atom, str] = {}
    for region in op.regions:
        operands = eqn.operands[op.head :]
        for k, (param, value) in enumerate(zip(region.params[head:], operands, strict=True)):
            outer = eqn.results[k] if k < op.carries else writer.resolved(value)
            if (
                k >= op.carries
                and param in writer.held
                and isinstance(outer, Value)
                and outer not in writer.held
            ):
                if outer not in converted:
                    converted[outer] = writer.fresh(writer.hint(param))
                    writer.line(f"{converted[outer]} = {writer.number(outer)}")
                writer.names[param] = converted[outer]
            else:
                enter(writer, param, outer)


def enter(writer: Writer, param: Value, outer: Atom) -> None:
    """Let a region's parameter be what is passed to it."""
    outer = writer.resolved(outer)
    if isinstance(outer, Literal) and outer.is_scalar:
        writer.aliases[param] = outer
        return
    text = writer.either(outer)
    writer.names[param] = text
    cell = writer.plan.cells.get(param)
    if cell is not None:
        writer.cells.setdefault(cell, text)
    if outer in writer.held:
        writer.held.add(param)
    if outer in writer.integers:
        writer.integers[param] = writer.integers[outer]


def _body(
    writer: Writer,
    eqn: Eqn,
    op: Loop,
    plan: Any,
    listed: bool,
    counting: bool,
    swapped: frozenset[int],
) -> None:
    if op.test is not None:
        writer.block(op.test.eqns, op.test.results)
        writer.line(f"if not {writer.either(op.test.results[0])}:")
        writer.line("    break")
    after = op.body.results
    head = 1 if op.ranged else 0
    incoming = set(op.body.params[head : head + op.carries])
    outputs = list(enumerate(after[op.carries :]))
    for param in op.body.params[head + op.carries :]:
        if is_tape(param.type):  # each iteration takes from it anew
            name = writer.fresh(writer.hint(param))
            writer.line(f"{name} = {writer.bind(fork, 'fork')}({writer.names[param]})")
            writer.names[param] = name
    _store(writer, [o for o in outputs if o[1] in incoming], eqn, op, plan, listed)
    writer.block(op.body.eqns, op.body.results)
    _store(writer, [o for o in outputs if o[1] not in incoming], eqn, op, plan, listed)
    _moves(writer, op, plan.moves, swapped)
    if counting:
        writer.line(f"{writer.counter} += 1")


def _store(
    writer: Writer,
    outputs: Sequence[tuple[int, Atom]],
    eqn: Eqn,
    op: Loop,
    plan: Any,
    listed: bool,
) -> None:
    """Write outputs of the body into their stacks."""
    for k, value in outputs:
        stack = writer.name(eqn.results[op.carries + k])
        if listed:
            array = writer.bind(np.array, "array")
            writer.line(f"{stack}_rows.append({array}({writer.operand(value)}))")
        elif k not in plan.direct:
            text = writer.either(value)
            place = f"{stack}[{writer.counter}]"
            if is_number(value) and value.type.dtype in VIEWED:
                level = writer.frames.depth_of(stack)
                static = writer.is_static(stack)
                if level < writer.frames.depth and writer.frames.trips(level) >= WORTH:
                    view = writer.prepare(level, f"memoryview({stack})", f"{stack}_at", static)
                    place = f"{view}[{writer.counter}]"
            writer.line(f"{place} = {text}")


def _moves(writer: Writer, op: Loop, moves: frozenset[int], swapped: frozenset[int]) -> None:
    """Make the next carries the current ones, all at once."""
    head = 1 if op.ranged else 0
    params = [op.body.params[head + k] for k in sorted(moves)]
    pairs = [(p, op.body.results[k]) for p, k in zip(params, sorted(moves), strict=True)]
    scalars = [
        (writer.name(p), writer.number(v) if p in writer.held else writer.operand(v))
        for p, v in pairs
        if not v.type.shape
    ]
    exchanges = [op.body.params[head + k] for k in sorted(swapped)]
    arrays = [(writer.name(p), v) for p, v in pairs if v.type.shape and p not in exchanges]
    carried = {writer.plan.cells.get(op.body.params[head + k]) for k in range(op.carries)}
    temporaries = []
    for name, value in arrays:
        cell = writer.plan.cells.get(value) if isinstance(value, Value) else None
        text = writer.operand(value)
        if cell is not None and cell in carried:
            text = writer.fresh("t")
            writer.passing.add(text)
            writer.line(f"{text} = {writer.operand(value)}.copy()")
        temporaries.append((name, text))
    for name, text in temporaries:
        writer.line(f"copyto({name}, {text})")
    scalars = [(n, v) for n, v in scalars if n != v]  # a tape stays the object that it is
    scalars += [(writer.name(p), writer.operand(v)) for p, v in pairs if p in exchanges]
    if scalars:
        left, right = zip(*scalars, strict=True)
        writer.line(f"{', '.join(left)} = {', '.join(right)}")


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

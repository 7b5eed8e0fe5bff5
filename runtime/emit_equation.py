"""Writes one equation: a number, a view, a write into an array, or a call with or without `out`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.binding import symbols_in
from ..ir.core import Atom, Eqn, Value
from ..ir.dims import Size, bounds
from ..ir.op import Elementwise
from ..ir.ops.check import Require
from ..ir.ops.dynamic import Extent, Match
from ..ir.ops.elementwise import add
from ..ir.ops.index import Index, IndexAdd, IndexUpdate
from ..ir.ops.matmul import MatMul
from ..ir.ops.shape import Reshape
from ..ir.ops.share import Share
from ..ir.plan import Home
from .arithmetic import FLOAT, INT, KINDS, LARGEST
from .elements import element, is_within
from .long_rows import as_long_rows
from .merging import numbers_of
from .numbers import arithmetic, is_number, reads_element, takes_python_floats
from .planes import in_planes

if TYPE_CHECKING:
    from .emit import Writer

# A tuple made once: a union is made at each call.
_PARTS = (Index, IndexUpdate, IndexAdd)
_INFIX = {"add": "+", "subtract": "-", "multiply": "*", "floor_divide": "//", "remainder": "%"}


def emit_equation(writer: Writer, eqn: Eqn) -> None:
    """Write an equation without regions."""
    op = eqn.op
    if len(eqn.results) != 1:
        operands = [writer.operand(a) for a in eqn.operands]
        writer.texts = dict(zip(operands, eqn.operands, strict=True))
        targets = ", ".join(writer.name(r) for r in eqn.results)
        text = op.emit(writer, operands, None)
        writer.line(f"{targets} = {text}" if targets else text, eqn.provenance, op.name)
        return
    if isinstance(op, Extent):
        writer.integers[eqn.result] = op.dim
    if eqn.result in writer.held:
        _number(writer, eqn, eqn.result)
        return
    operands = _operands(writer, eqn)
    writer.texts = dict(zip(operands, eqn.operands, strict=True))
    if isinstance(op, MatMul) and _is_dot(writer, op, eqn):
        text = f"{writer.name(eqn.result)} = {operands[0]}.dot({operands[1]})"
        writer.line(text, eqn.provenance, op.name)
        return
    if op.updates is not None:
        _update(writer, eqn, eqn.result, operands)
    elif op.is_view:
        _view(writer, eqn, eqn.result, operands)
    else:
        _compute(writer, eqn, eqn.result, operands)


def _operands(writer: Writer, eqn: Eqn) -> list[str]:
    op = eqn.op
    if isinstance(op, IndexUpdate) and eqn.operands[1] in writer.waiting:
        base, _, *rest = eqn.operands
        return [writer.operand(base), "", *[writer.position(a) for a in rest]]
    if isinstance(op, _PARTS):
        base, *rest = eqn.operands
        inside = writer.frames.depth > 0
        return [
            writer.operand(base),
            *[writer.either(a) if inside and is_number(a) else writer.position(a) for a in rest],
        ]
    if takes_python_floats(eqn):
        return [writer.either(a) for a in eqn.operands]
    in_array_op = isinstance(op, Elementwise | Share) and bool(eqn.results[0].type.shape)
    return [writer.operand(a, in_array_op=in_array_op) for a in eqn.operands]


# -- numbers ---------------------------------------------------------------------------------------


def _number(writer: Writer, eqn: Eqn, result: Value) -> None:
    """Write a scalar that is held as a Python number."""
    op = eqn.op
    if isinstance(op, Extent):
        _extent(writer, op.dim, result)
        return
    kind = KINDS[result.type.dtype].__name__
    dim = _sum(writer, eqn)
    if dim is not None:
        writer.integers[result] = dim
        left, right = (writer.number(a) for a in eqn.operands)
        text = f"{left} {_INFIX[op.name]} {right}"
    elif reads_element(eqn):
        text = _read(writer, eqn, op, kind)  # type: ignore[arg-type]
    else:
        form = arithmetic(eqn, writer.exact)
        if form is not None:
            text = form(writer, [writer.number(a) for a in eqn.operands])
        else:
            operands = _operands(writer, eqn)
            writer.texts = dict(zip(operands, eqn.operands, strict=True))
            if isinstance(op, MatMul) and _is_dot(writer, op, eqn):
                text = f"{kind}({operands[0]}.dot({operands[1]}))"
            else:
                text = f"{kind}({op.emit(writer, operands, None)})"
    writer.line(f"{writer.name(result)} = {text}", eqn.provenance, op.name)


def _is_dot(writer: Writer, op: MatMul, eqn: Eqn) -> bool:
    """Whether a product of vectors may be the method's: 0.31 µs for 50 elements, 0.70 by `@`.

    The last bits of the two can differ.
    """
    return (
        (op.left, op.right) == (1, 1)
        and all(a.type.ndim == 1 and a.type.dtype.char in "fd" for a in eqn.operands)
        and bool(writer.frames.depth)
        and not writer.exact
    )


def _read(writer: Writer, eqn: Eqn, op: Index, kind: str) -> str:
    base, *positions = eqn.operands
    place = element(writer, op, base, positions)
    if place is not None:
        return place
    x = writer.operand(base)
    texts = [writer.position(a) for a in positions]
    writer.texts = {x: base}
    return f"{kind}({op.emit(writer, [x, *texts], None)})"


def _extent(writer: Writer, dim: Size, result: Value) -> None:
    text = writer.extent(dim)
    level = writer.frames.depth_of(text)
    if text.isidentifier() or text.isdecimal():
        writer.names[result] = text
    elif level < writer.frames.depth:
        writer.names[result] = writer.prepare(level, text, writer.hint(result))
    elif writer.uses.get(result, 0) <= 1:
        writer.names[result] = text
    else:
        writer.line(f"{writer.name(result)} = {text}")


def _sum(writer: Writer, eqn: Eqn) -> Size | None:
    """Return an integer that arithmetic makes of indices and sizes, if 64 bits surely hold it."""
    op = eqn.op
    if not isinstance(op, Elementwise) or op.name not in _INFIX:
        return None
    if any(a.type.dtype != INT for a in eqn.operands):
        return None
    left, right = (_integer(writer, a) for a in eqn.operands)
    if left is None or right is None:
        return None
    if op.name == "add":
        dim = left + right
    elif op.name == "subtract":
        dim = left - right
    elif op.name == "multiply":
        dim = left * right
    elif not isinstance(right, int) or right == 0:
        return None
    else:
        dim = left // right if op.name == "floor_divide" else left % right
    low, high = bounds(dim)
    is_held = low is not None and high is not None and low >= -LARGEST and high <= LARGEST
    return dim if is_held else None


def _integer(writer: Writer, atom: Atom) -> Size | None:
    atom = writer.resolved(atom)
    if isinstance(atom, Value):
        return writer.integers.get(atom)
    return int(atom.value)


# -- views -----------------------------------------------------------------------------------------


def _view(writer: Writer, eqn: Eqn, result: Value, operands: list[str]) -> None:
    op = eqn.op
    text = op.emit(writer, operands, None)
    is_own = eqn.provenance.is_adjoint or result not in writer.plan.function.results
    if isinstance(op, Reshape) and not result.type.shape and is_own:
        text = f"{text}[()]"  # a value without axes has no memory: a view would see it change
    # A whole integer index copies, and so may a reshape of memory that is not in C order.
    lasting = bool(result.type.shape) and (
        eqn.operands[0].layout is None or not isinstance(op, Reshape)
    )
    fixed = len(operands) == 1 and result.type.is_static and not symbols_in(op)
    if lasting and writer.is_static(operands[0]) and fixed:
        name = writer.name(result)
        writer.setup.append(f"{name} = {text}")
        writer.static[name] = None
        return
    level = writer.frames.depth_of(text)
    if lasting and level < writer.frames.depth and _is_harmless(writer, eqn):
        writer.names[result] = writer.prepare(level, text, writer.hint(result))
        return
    writer.line(f"{writer.name(result)} = {text}", eqn.provenance, op.name)


def _is_harmless(writer: Writer, eqn: Eqn) -> bool:
    """Whether a view can be taken although the loop may never come to it."""
    op = eqn.op
    if isinstance(op, Require | Match) or not eqn.operands[0].type.shape:
        return False
    if not isinstance(op, Index):
        return True
    return _are_within(writer, op, eqn.operands)


def _are_within(
    writer: Writer, op: Index | IndexUpdate | IndexAdd, operands: tuple[Atom, ...]
) -> bool:
    """Whether the positions of an index are known to be inside the array."""
    base, *positions = operands
    rest = iter(positions if isinstance(op, Index) else positions[1:])
    axes = base.type.shape[base.type.ndim - op.axes :]
    items = [item for item in op.index if item is not None]
    for item, size in zip(items, axes, strict=True):
        if not isinstance(item, int | tuple) and not is_within(writer, next(rest), size):
            return False
    return True


# -- writes ----------------------------------------------------------------------------------------


def _update(writer: Writer, eqn: Eqn, result: Value, operands: list[str]) -> None:
    op = eqn.op
    position = op.updates or 0
    base = eqn.operands[position]
    cells = writer.plan.cells
    cell = cells[result]
    if not (isinstance(base, Value) and cells.get(base) is cell):
        name = writer.name(result)
        if cell.home is Home.SLOT or cell.pinned:
            writer.line(f"copyto({name}, {operands[position]})", eqn.provenance, op.name)
        elif cell.home is Home.STACK:
            writer.row(cell.stack, name)
            writer.line(f"copyto({name}, {operands[position]})", eqn.provenance, op.name)
        elif memory := writer.lent(result, result.layout):
            writer.line(f"{name} = {memory}")
            writer.line(f"copyto({name}, {operands[position]})", eqn.provenance, op.name)
        else:
            order = "" if result.layout is None else "'K'"
            text = f"{name} = {operands[position]}.copy({order})"
            writer.line(text, eqn.provenance, op.name)
    else:
        writer.names[result] = operands[position]  # which may be a view in another shape
        if cell.home is not Home.SLOT and not cell.pinned:
            writer.cells[cell] = operands[position]  # as is what is written over it next
    name = writer.name(result)
    operands = [name if k == position else o for k, o in enumerate(operands)]
    writer.texts[name] = result  # whose leading axes the op asks for
    if isinstance(op, IndexUpdate | IndexAdd) and _write(writer, eqn, op, result, operands):
        return
    writer.line(op.emit(writer, operands, name), eqn.provenance, op.name)


def _write(
    writer: Writer, eqn: Eqn, op: IndexUpdate | IndexAdd, result: Value, operands: list[str]
) -> bool:
    """Write into an element through a memoryview, or add to a part with `out=`."""
    value, *positions = eqn.operands[1:]
    is_add = isinstance(op, IndexAdd)
    maker = writer.waiting.get(value) if isinstance(value, Value) else None
    if maker is not None:
        inputs = _operands(writer, maker)
        view = _part(writer, eqn, op, operands)
        writer.line(maker.op.emit(writer, inputs, view), maker.provenance, maker.op.name)
        return True
    if not value.type.shape and (result.type.dtype == FLOAT or not is_add):
        place = element(writer, op, result, positions)
        if place is not None:
            symbol = "+=" if is_add else "="
            writer.line(f"{place} {symbol} {operands[1]}", eqn.provenance, op.name)
            return True
    if not is_add or not writer.frames.depth or op.is_gather([p.type for p in positions]):
        return False
    if not value.type.shape and len(op.index) >= result.type.ndim:
        return False
    # `x[part] += value` reads the part, adds, and writes the part into itself: 1.2 µs against 0.65.
    view = _part(writer, eqn, op, operands)
    if not value.type.shape and isinstance(writer.resolved(value), Value):
        operands[1] = writer.operand(value, in_array_op=True)
    writer.line(add.emit(writer, [view, operands[1]], view), eqn.provenance, op.name)
    return True


def _part(writer: Writer, eqn: Eqn, op: IndexUpdate | IndexAdd, operands: list[str]) -> str:
    """Return a variable with a view of the part that is written."""
    part = f"{operands[0]}[{op.emitted(writer, operands[0], operands[2:])}]"
    level = writer.frames.depth_of(part)
    if level < writer.frames.depth and _are_within(writer, op, eqn.operands):
        return writer.prepare(level, part, "part")
    view = writer.fresh("part")
    writer.line(f"{view} = {part}", eqn.provenance, op.name)
    return view


# -- results of their own --------------------------------------------------------------------------


def _compute(writer: Writer, eqn: Eqn, result: Value, operands: list[str]) -> None:
    op = eqn.op
    cell = writer.plan.cells.get(result)
    name = writer.name(result)
    numbers = numbers_of(writer, eqn)
    if numbers is not None:
        _gather(writer, eqn, name, cell, numbers)
        return
    if cell is None or not result.type.shape or not op.has_out:
        writer.line(f"{name} = {op.emit(writer, operands, None)}", eqn.provenance, op.name)
        return
    if cell.home is Home.STACK:
        writer.row(cell.stack, name)
    elif cell.home is not Home.SLOT and not exists(writer, eqn, cell):
        memory = writer.lent(result, result.layout)
        if memory is None:
            writer.line(f"{name} = {op.emit(writer, operands, None)}", eqn.provenance, op.name)
            return
        writer.line(f"{name} = {memory}")
    if as_long_rows(writer, eqn, operands, name) or in_planes(writer, eqn, operands, name):
        return
    writer.line(op.emit(writer, operands, name), eqn.provenance, op.name)


def _gather(writer: Writer, eqn: Eqn, name: str, cell: Any, numbers: Sequence[Atom]) -> None:
    """Write an array of single numbers."""
    texts = [writer.either(a) for a in numbers]
    if cell.home is Home.SLOT and writer.is_static(name):
        view = writer.prepare(0, f"memoryview({name})", f"{name}_at", True)
        for k, text in enumerate(texts):
            writer.line(f"{view}[{k}] = {text}", eqn.provenance, eqn.op.name)
        return
    parts = f"({', '.join(texts)},)"
    if cell.home is Home.STACK:
        writer.row(cell.stack, name)
    if cell.home in (Home.SLOT, Home.STACK) or cell.pinned:
        writer.line(f"{name}[:] = {parts}", eqn.provenance, eqn.op.name)
        return
    array = writer.bind(np.array, "array")
    dtype = writer.bind(eqn.results[0].type.dtype, str(eqn.results[0].type.dtype))
    writer.line(f"{name} = {array}({parts}, {dtype})", eqn.provenance, eqn.op.name)


def exists(writer: Writer, eqn: Eqn, cell: Any) -> bool:
    """Whether the memory of a FRESH or NUMPY cell is there: a carry's, or taken over."""
    if cell.pinned:
        return True
    return any(isinstance(a, Value) and writer.plan.cells.get(a) is cell for a in eqn.operands)


__all__ = ["emit_equation", "exists"]

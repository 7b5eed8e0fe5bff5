"""The readable forms that print and parse share: infix operators, `x.T`, subscripts."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from .core import Atom
from .dims import Size, Symbol
from .op import Elementwise, Op
from .ops.index import AT, At, Index_, Span
from .ops.matmul import MatMul
from .ops.shape import Transpose
from .signature import DimNames, parse_size, unreadable
from .types import ArrayType

OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.MatMult: "@",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.USub: "-",
    ast.UAdd: "+",
    ast.Invert: "~",
}
"""How Python's syntax tree calls the operators that ops print as."""


def infix_ops() -> dict[tuple[str, int], Any]:
    """Return the registered op of each operator and number of operands."""
    found: dict[tuple[str, int], Any] = {}
    for entry in Op.REGISTRY.values():
        if entry.infix is not None:
            arity = entry.ufunc.nin if isinstance(entry, Elementwise) else 2
            found.setdefault((entry.infix, arity), entry)
    return found


def matmul_for(left: ArrayType, right: ArrayType) -> MatMul:
    """Return the op of `a @ b`: all axes are core, up to two."""
    return MatMul(min(left.ndim, 2), min(right.ndim, 2))


def has_plain_attributes(op: Op, operands: Sequence[Atom]) -> bool:
    """Whether operands and operator say everything about an infix op."""
    if isinstance(op, MatMul):
        return op == matmul_for(*[a.type for a in operands])
    return not op.attributes()


def transpose_for(type: ArrayType) -> Transpose:
    """Return the op of `x.T`."""
    return Transpose(tuple(range(-1, -type.ndim - 1, -1)))


def subscript_text(
    index: Index_, type: ArrayType, positions: Sequence[str], dims: DimNames
) -> str | None:
    """Return what stands between the brackets, or None where an index has no such text."""
    axes = sum(item is not None for item in index)
    sizes = iter(type.shape[type.ndim - axes :])
    rest = iter(positions)
    items = ["..."] if axes < type.ndim else []
    for item in index:
        if item is None:
            items.append("None")
            continue
        size = next(sizes)
        if isinstance(item, Span):
            text = _span_text(item, size, dims)
        else:
            text = next(rest) if isinstance(item, At) else str(item)
        if text is None:
            return None
        items.append(text)
    while len(items) > 1 and items[-1] == ":" and items[0] != "...":
        items.pop()
    return ", ".join(items) or None


def _span_text(span: Span, size: Size, dims: DimNames) -> str | None:
    start, length, step = span
    stop = start + length * step
    if isinstance(start, int) and start < 0:
        return None
    no_stop = isinstance(stop, int) and stop < 0
    if _span(start, None if no_stop else stop, step, size) != span:
        return None
    whole = start == 0 and stop == size and step == 1
    if whole:
        return ":"
    head = "" if start == 0 and step > 0 else dims.size(start)
    tail = "" if no_stop or (stop == size and step > 0) else dims.size(stop)
    return f"{head}:{tail}" + (f":{step}" if step != 1 else "")


def _span(start: Size | None, stop: Size | None, step: int, size: Size) -> Span:
    if start is None:
        start = 0 if step > 0 else size - 1
    if stop is None:
        stop = size if step > 0 else -1
    if isinstance(start, int) and isinstance(stop, int):
        return Span(start, len(range(start, stop, step)), step)
    return Span(start, (stop - start) // step, step)


def parse_subscript(
    node: ast.Subscript, type: ArrayType, names: dict[str, Symbol]
) -> tuple[Index_, list[ast.expr]]:
    """Return the index of `x[...]` and the expressions that stand for its `AT` items."""
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    batched = bool(items) and isinstance(items[0], ast.Constant) and items[0].value is Ellipsis
    items = items[1:] if batched else items
    axes = sum(not _is_none(item) for item in items)
    if axes > type.ndim:
        raise unreadable(node, f"{axes} indices for {type.ndim} axes")
    start = type.ndim - axes if batched else 0
    sizes = iter(type.shape[start:])
    index: list[Any] = []
    positions: list[ast.expr] = []
    for item in items:
        size = 1 if _is_none(item) else next(sizes)
        if _is_none(item):
            index.append(None)
        elif isinstance(item, ast.Slice):
            index.append(_parse_span(item, size, names))
        elif _static_int(item) is not None:
            index.append(_static_int(item))
        else:
            index.append(AT)
            positions.append(item)
    index.extend(Span(0, size, 1) for size in sizes)
    return tuple(index), positions


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _static_int(node: ast.expr) -> int | None:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value))):
            return -value
        case _:
            return None


def _parse_span(node: ast.Slice, size: Size, names: dict[str, Symbol]) -> Span:
    start = None if node.lower is None else parse_size(node.lower, names)
    stop = None if node.upper is None else parse_size(node.upper, names)
    step = 1 if node.step is None else parse_size(node.step, {})
    if not isinstance(step, int) or step == 0:
        raise unreadable(node, "the step of a slice is an int other than 0")
    return _span(start, stop, step, size)

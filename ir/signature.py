"""The text of types, dims and kinds, both ways; printer and parser share these rules.

A signature says more than a type: `f32` is a NumPy scalar, `f32[()]` an array without axes, `float`
a Python number, and `f64[3:8, 4:24]` an array whose strides in bytes are 8 and 24. The dims that a
function binds stand in a keyword that any Python can parse: `*, dims=(0 <= i <= 9, n)`.
"""

from __future__ import annotations

import ast
import keyword
import re
import unicodedata
from collections.abc import Callable, Mapping, MutableMapping

import numpy as np

from .dims import Dim, Size, Symbol, maximum, minimum, substitute, symbols
from .errors import ParseError
from .op import Op
from .types import DTYPE_NAMES, DTYPES_BY_NAME, ArrayType, Kind, Layout

WORDS = frozenset(
    {"nan", "inf", "array", "constant", "complex", "float", "int", "bool", "bool_", "python"}
    | {"min", "max", "new", "slice", "range", "bits", "loop", "fused", "call"}
    | {"reads", "writes", "carry", "captured", "dims"}
)
"""Names with a meaning in the text, which no value or dim may take."""

RESERVED = WORDS | frozenset(keyword.kwlist) | frozenset(DTYPES_BY_NAME)

PYTHON_NAMES = {
    np.dtype(np.float64): "float",
    np.dtype(np.int64): "int",
    np.dtype(np.complex128): "complex",
    np.dtype(bool): "bool",
}
_PYTHON_DTYPES = {name: dtype for dtype, name in PYTHON_NAMES.items()}


def unreadable(node: ast.AST, message: str) -> ParseError:
    """Return a ParseError at a node; `parse` adds the line and the caret."""
    error = ParseError(message)
    error.lineno = getattr(node, "lineno", 1)
    error.offset = getattr(node, "col_offset", 0)
    error.end_lineno = getattr(node, "end_lineno", None)
    error.end_offset = getattr(node, "end_col_offset", None)
    return error


def identifier(text: str) -> str:
    """Return `text` as a Python identifier, or "" where nothing of it is left."""
    text = unicodedata.normalize("NFKC", text)
    if text.isidentifier():
        return text
    text = re.sub(r"\W+", "_", text).strip("_")
    if text[:1].isdigit():
        text = f"_{text}"
    return text if text.isidentifier() else ""


def unique(base: str, taken: set[str] | frozenset[str]) -> str:
    """Return `base`, or `base_1`, `base_2`, ... whichever is the first not taken."""
    name, number = base, 0
    while name in taken or name in RESERVED:
        number += 1
        name = f"{base}_{number}"
    return name


def dtype_name(dtype: np.dtype) -> str:
    """Return the dtype's short name, such as `f32`."""
    return DTYPE_NAMES.get(dtype, str(dtype))


class DimNames:
    """The names of symbols in one text: one name for one symbol, wherever it appears."""

    def __init__(self) -> None:
        self._names: dict[Symbol, str] = {}
        self._renamed: dict[Symbol, Size] = {}

    def name(self, symbol: Symbol) -> str:
        """Return the symbol's name, which no other symbol of this text has."""
        if symbol not in self._names:
            taken = {*self._names.values(), *Op.REGISTRY}
            name = unique(identifier(symbol.name) or "n", taken)
            self._names[symbol] = name
            if name != symbol.name:
                self._renamed[symbol] = Dim.of(Symbol(name, symbol.lower, symbol.upper))
        return self._names[symbol]

    def size(self, dim: Size) -> str:
        """Return the text of a dim."""
        for symbol in sorted(symbols(dim), key=lambda s: s.number):
            self.name(symbol)
        return str(substitute(dim, self._renamed))

    def type(self, type: ArrayType) -> str:
        """Return the text of a type."""
        name = dtype_name(type.dtype)
        return f"{name}[{', '.join(map(self.size, type.shape))}]" if type.shape else name

    def binder(self, symbol: Symbol) -> str:
        """Return the text that binds a symbol, with its bounds."""
        name = self.name(symbol)
        if symbol.upper is not None and symbol.lower is not None:
            return f"{symbol.lower} <= {name} <= {symbol.upper}"
        return f"{name} >= {symbol.lower}" if symbol.lower else name

    def boundary(self, type: ArrayType, kind: Kind, layout: Layout = None) -> str:
        """Return the text of a parameter or result of a function."""
        name = dtype_name(type.dtype)
        if type.shape:
            if not layout:
                return self.type(type)
            axes = zip(type.shape, layout, strict=True)
            return f"{name}[{', '.join(f'{self.size(d)}:{s}' for d, s in axes)}]"
        if kind is Kind.ARRAY:
            return f"{name}[()]"
        if kind is Kind.PYTHON:
            return PYTHON_NAMES.get(type.dtype) or f"python({name})"
        return "bool_" if name == "bool" else name


_SIZES: dict[type[ast.operator], Callable[[Size, Size], Size]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
}


def parse_size(node: ast.expr, names: Mapping[str, Symbol]) -> Size:
    """Return the dim that an expression means."""
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.Name(id=name) if name in names:
            return Dim.of(names[name])
        case ast.Name(id=name):
            known = ", ".join(names) or "none"
            raise unreadable(node, f"the dim `{name}` is not bound; bound here: {known}")
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -parse_size(operand, names)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _SIZES:
            sides = parse_size(left, names), parse_size(right, names)
            return _SIZES[type(operator)](*sides)
        case ast.Call(func=ast.Name(id="min" | "max" as name), args=[left, right]):
            extreme = minimum if name == "min" else maximum
            return extreme(parse_size(left, names), parse_size(right, names))
        case _:
            raise unreadable(node, "expected a dim: an int or an expression over bound dims")


def parse_dtype(node: ast.expr) -> np.dtype:
    """Return the dtype that a name means."""
    if isinstance(node, ast.Name) and node.id in DTYPES_BY_NAME:
        return DTYPES_BY_NAME[node.id]
    raise unreadable(node, "expected a dtype such as `f32`, `i64`, `c128` or `bool`")


def _axes(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def parse_type(node: ast.expr, names: Mapping[str, Symbol]) -> ArrayType:
    """Return the type that an annotation means; `f32` and `f32[()]` are the same type."""
    if isinstance(node, ast.Subscript):
        sizes = [parse_size(axis, names) for axis in _axes(node.slice)]
        return ArrayType(parse_dtype(node.value), sizes)
    return ArrayType(parse_dtype(node), ())


def parse_boundary(node: ast.expr, names: Mapping[str, Symbol]) -> tuple[ArrayType, Kind, Layout]:
    """Return type, kind and layout of a parameter or result."""
    match node:
        case ast.Name(id="bool_"):
            return ArrayType(np.dtype(bool), ()), Kind.SCALAR, None
        case ast.Name(id=name) if name in _PYTHON_DTYPES:
            return ArrayType(_PYTHON_DTYPES[name], ()), Kind.PYTHON, None
        case ast.Call(func=ast.Name(id="python"), args=[dtype]):
            return ArrayType(parse_dtype(dtype), ()), Kind.PYTHON, None
        case ast.Name():
            return parse_type(node, names), Kind.SCALAR, None
        case ast.Subscript(value=dtype, slice=axes):
            return _parse_axes(dtype, _axes(axes), names)
        case _:
            raise unreadable(node, "expected a type such as `f32[3, n]`, `f32` or `float`")


def _parse_axes(
    dtype: ast.expr, axes: list[ast.expr], names: Mapping[str, Symbol]
) -> tuple[ArrayType, Kind, Layout]:
    sizes: list[Size] = []
    strides: list[int] = []
    for axis in axes:
        if isinstance(axis, ast.Slice):
            if axis.lower is None or axis.upper is None:
                raise unreadable(axis, "expected `size:stride`")
            stride = parse_size(axis.upper, {})
            assert isinstance(stride, int)
            strides.append(stride)
            sizes.append(parse_size(axis.lower, names))
        else:
            sizes.append(parse_size(axis, names))
    if strides and len(strides) != len(sizes):
        raise unreadable(dtype, "either every axis has a stride or none")
    return ArrayType(parse_dtype(dtype), sizes), Kind.ARRAY, tuple(strides) or None


def parse_binder(node: ast.expr, names: MutableMapping[str, Symbol]) -> Symbol:
    """Return the symbol that `n`, `n >= 1` or `0 <= i <= 9` binds; one name is one symbol."""
    lower, upper = 0, None
    match node:
        case ast.Name(id=name):
            pass
        case ast.Compare(left=ast.Name(id=name), ops=[ast.GtE()], comparators=[low]):
            lower = _bound(low)
        case ast.Compare(
            left=low, ops=[ast.LtE(), ast.LtE()], comparators=[ast.Name(id=name), high]
        ):
            lower, upper = _bound(low), _bound(high)
        case _:
            raise unreadable(node, "expected a dim to bind: `n`, `n >= 1` or `0 <= i <= 9`")
    known = names.setdefault(name, Symbol(name, lower, upper))
    if (known.lower, known.upper) != (lower, upper):
        raise unreadable(node, f"the dim `{name}` was bound with other bounds before")
    return known


def _bound(node: ast.expr) -> int:
    size = parse_size(node, {})
    assert isinstance(size, int)
    return size

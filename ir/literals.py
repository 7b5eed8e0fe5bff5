"""The text of literals, both ways.

A bare Python number takes the dtype of the first value operand of its equation that is of the same
category (bool, integer, real, complex), and else Python's own: `1.0 - u` is float32 where `u` is.
Where that would be another dtype the text says which: `i64(3)`, `f128('0.1')`; a NaN with a payload
prints its bits. `format_literal` reads back what it writes before it returns it.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from .core import Literal
from .errors import ParseError
from .signature import DimNames, dtype_name, parse_dtype, parse_type, unreadable
from .types import DTYPES_BY_NAME

INLINE_ELEMENTS = 16
"""Larger arrays print as a name, with their bytes in the table that follows the functions."""

TABLE_BYTES = 4096
"""Arrays with more bytes are named in the table without them: `parse` takes them as `constants`."""

_CATEGORIES = {"b": "b", "i": "i", "u": "i", "f": "f", "c": "c"}
_DEFAULTS = {
    "b": np.dtype(bool),
    "i": np.dtype(np.int64),
    "f": np.dtype(np.float64),
    "c": np.dtype(np.complex128),
}


class Constants:
    """The objects that a text mentions by name: large arrays, and attributes that have no text."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}

    def literal(self, literal: Literal) -> str:
        """Return the name of a large literal; it holds a hash of type and bytes."""
        name = constant_name(literal)
        self.objects[name] = literal.value
        return name

    def opaque(self, value: object) -> str:
        """Return the name of an object without a text."""
        for name, known in self.objects.items():
            if known is value:
                return name
        name = f"object_{len(self.objects)}"
        self.objects[name] = value
        return name

    def table(self) -> list[str]:
        """Return the lines that define the arrays."""
        lines: list[str] = []
        for name, value in self.objects.items():
            if isinstance(value, np.ndarray):
                lines.append(f"{name} = {_constant_text(Literal(value), TABLE_BYTES)}")
        return lines


def constant_name(literal: Literal) -> str:
    """Return `constant_` and eight digits of a hash of the literal's type and bytes."""
    digest = hashlib.sha256(f"{literal.type}".encode() + literal.value.tobytes())
    return f"constant_{digest.hexdigest()[:8]}"


def format_literal(literal: Literal, context: Sequence[np.dtype], constants: Constants) -> str:
    """Return text that parses to an equal literal among operands of the dtypes in `context`."""
    if literal.is_scalar:
        candidates = _scalar_candidates(literal.value)
    elif literal.type.size > INLINE_ELEMENTS:
        return constants.literal(literal)
    else:
        candidates = _array_candidates(literal)
    return next(text for text in candidates if _reads_as(text, context) == literal)


def _reads_as(text: str, context: Sequence[np.dtype]) -> Literal | None:
    try:
        return parse_literal(ast.parse(text, mode="eval").body, context)
    except ParseError:
        return None


def _scalar_candidates(value: Any) -> Iterator[str]:
    name = dtype_name(value.dtype)
    bare = _bare(value)
    yield bare
    if value.dtype.kind != "c":
        yield f"{name}({bare})"
        yield f"-{bare}"
        yield f"{name}(-{bare})"
        yield f"{name}('{value!s}')"
    else:
        yield f"{name}({_bare(value.real)}, {_bare(value.imag)})"
        yield f"{name}('{value.real!s}', '{value.imag!s}')"
    yield f"{name}.bits({int.from_bytes(value.tobytes(), sys.byteorder):#x})"


def _bare(value: Any) -> str:
    kind = value.dtype.kind
    if kind == "c":
        real, imag = _bare(value.real), _bare(value.imag)
        if real == "0.0" and np.isfinite(value.imag) and not np.signbit(value.imag):
            return f"{imag}j"
        return f"complex({real}, {imag})"
    if kind == "f":
        return repr(float(value)) if value.dtype.itemsize == 8 else str(value)
    return str(bool(value)) if kind == "b" else str(int(value))


def _array_candidates(literal: Literal) -> Iterator[str]:
    native = literal.type.dtype.newbyteorder("=")

    def nested(part: Any) -> str:
        if isinstance(part, np.ndarray):
            return f"[{', '.join(map(nested, part))}]"
        return format_literal(Literal(part.astype(native)), [native], Constants())

    yield f"array({nested(literal.value)}, {dtype_name(literal.type.dtype)})"
    yield _constant_text(literal, None)


def _constant_text(literal: Literal, limit: int | None) -> str:
    type = DimNames().type(literal.type)
    data = literal.value.tobytes()
    if limit is not None and len(data) > limit:
        return f"constant({type})"
    return f'constant({type}, "{base64.b64encode(data).decode()}")'


def implied_dtype(category: str, context: Sequence[np.dtype]) -> np.dtype:
    """Return the dtype of a bare number of a category (`b`, `i`, `f` or `c`)."""
    for dtype in context:
        if _CATEGORIES.get(dtype.kind) == category:
            return dtype.newbyteorder("=")
    return _DEFAULTS[category]


def parse_literal(node: ast.expr, context: Sequence[np.dtype]) -> Literal | None:
    """Return the literal that an expression is, or None where it is something else."""
    number = _number(node)
    if number is not None:
        category = {bool: "b", int: "i", float: "f", complex: "c"}[type(number)]
        return _scalar(node, number, implied_dtype(category, context))
    match node:
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in DTYPES_BY_NAME:
            return _explicit(node, DTYPES_BY_NAME[name], arguments)
        case ast.Call(func=ast.Attribute(value=dtype, attr="bits"), args=[ast.Constant(value=v)]):
            return _from_bits(node, parse_dtype(dtype), v)
        case ast.Call(func=ast.Name(id="array"), args=[elements, dtype]):
            return _array(elements, parse_dtype(dtype))
        case ast.Call(func=ast.Name(id="constant")):
            return parse_constant(node, "", {})
        case _:
            return None


def _number(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() | complex() as value):
            return value
        case ast.Name(id="nan" | "inf" as name):
            return float(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = _number(operand)
            return None if value is None or isinstance(value, bool) else -value
        case ast.Call(func=ast.Name(id="complex"), args=[left, right]):
            real, imag = _number(left), _number(right)
            if isinstance(real, int | float) and isinstance(imag, int | float):
                return complex(real, imag)
            return None
        case _:
            return None


def _scalar(node: ast.expr, number: Any, dtype: np.dtype) -> Literal:
    order = "bifc"
    category = {bool: "b", int: "i", float: "f", complex: "c"}[type(number)]
    if order.index(category) > order.index(_CATEGORIES[dtype.kind]):
        raise unreadable(node, f"{number!r} is no {dtype_name(dtype)}")
    try:
        with np.errstate(all="ignore"):
            return Literal(dtype.type(number))
    except OverflowError as error:
        raise unreadable(node, f"{number!r} does not fit in {dtype_name(dtype)}") from error


def _explicit(node: ast.expr, dtype: np.dtype, arguments: list[ast.expr]) -> Literal:
    match arguments:
        case [ast.Constant(value=str(text))]:
            parts: list[Any] = [text]
        case [ast.Constant(value=str(real)), ast.Constant(value=str(imag))]:
            parts = [real, imag]
        case [single]:
            parts = [_number(single)]
        case [left, right]:
            parts = [_number(left), _number(right)]
        case _:
            parts = [None]
    if None in parts or (len(parts) == 2 and dtype.kind != "c"):
        raise unreadable(node, f"expected a number: `{dtype_name(dtype)}(1)`")
    if len(parts) == 1 and not isinstance(parts[0], str):
        return _scalar(node, parts[0], dtype)
    filled: Any = np.zeros((), dtype)
    component = filled.real.dtype
    try:
        with np.errstate(all="ignore"):
            filled.real = component.type(parts[0])
            if len(parts) == 2:
                filled.imag = component.type(parts[1])
    except ValueError as error:
        raise unreadable(node, f"expected the text of a number, not {parts}") from error
    return Literal(filled[()])


def _from_bits(node: ast.expr, dtype: np.dtype, bits: object) -> Literal:
    if not isinstance(bits, int) or bits >= 1 << (8 * dtype.itemsize):
        raise unreadable(node, f"expected the {8 * dtype.itemsize} bits of the number as an int")
    data = bits.to_bytes(dtype.itemsize, sys.byteorder)
    return Literal(np.frombuffer(data, dtype).reshape(()).copy())


def _array(elements: ast.expr, dtype: np.dtype) -> Literal:
    native = dtype.newbyteorder("=")

    def nested(node: ast.expr) -> Any:
        if isinstance(node, ast.List):
            return [nested(element) for element in node.elts]
        literal = parse_literal(node, [native])
        if literal is None:
            raise unreadable(node, "expected a number")
        return literal.value

    try:
        return Literal(np.array(nested(elements), dtype))
    except (ValueError, OverflowError) as error:
        raise unreadable(elements, f"expected an array of {dtype_name(dtype)}: {error}") from error


def parse_constant(node: ast.Call, name: str, given: Mapping[str, Any]) -> Literal:
    """Return the literal of `constant(type, "base64")`, or the one given under `name`."""
    type = parse_type(node.args[0], {}) if node.args else None
    if type is None or not type.is_static:
        raise unreadable(node, 'expected `constant(type, "base64")`')
    match node.args[1:]:
        case [ast.Constant(value=str(text))]:
            try:
                flat = np.frombuffer(base64.b64decode(text, validate=True), type.dtype)
                return Literal(flat.reshape(cast(Any, type.shape)))
            except ValueError as error:
                raise unreadable(node, f"the bytes are not of type {type}: {error}") from error
        case _ if name in given:
            literal = Literal(np.asarray(given[name]))
            if literal.type != type or constant_name(literal) != name:
                raise unreadable(node, f"the array given for `{name}` is another one")
            return literal
        case _:
            raise unreadable(node, f"its bytes are missing: parse(text, {{'{name}': array}})")

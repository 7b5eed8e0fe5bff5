"""The text of attributes, both ways: numbers, strings, tuples, dtypes, types, dims, records."""

from __future__ import annotations

import ast
import dataclasses
import enum
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, cast

import numpy as np

from .core import Literal
from .dims import Dim, Symbol
from .literals import Constants, format_literal, parse_literal
from .op import Elementwise, Op
from .signature import (
    DimNames,
    dtype_name,
    parse_binder,
    parse_size,
    parse_type,
    unreadable,
)
from .types import DTYPES_BY_NAME, ArrayType


def format_attribute(value: Any, dims: DimNames, constants: Constants) -> str:
    """Return the text of an attribute's value."""

    def inner(part: Any) -> str:
        return format_attribute(part, dims, constants)

    def record(name: str, fields: dict[str, Any]) -> str:
        return f"{name}({', '.join(f'{key}={inner(part)}' for key, part in fields.items())})"

    if value is None or value is Ellipsis or isinstance(value, str | bool):
        return "..." if value is Ellipsis else repr(value)
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, int | float | complex | np.generic):
        return format_literal(Literal(np.asarray(value)[()]), (), constants)
    if isinstance(value, Dim):
        return dims.size(value)
    if isinstance(value, Symbol):
        return f"new({dims.binder(value)})"
    if isinstance(value, np.dtype):
        return dtype_name(value)
    if isinstance(value, ArrayType):
        return dims.type(value) if value.shape else f"{dtype_name(value.dtype)}[()]"
    if isinstance(value, slice):
        return f"slice({inner(value.start)}, {inner(value.stop)}, {inner(value.step)})"
    if isinstance(value, Elementwise):
        return str(value.name)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return record(type(value).__name__, dict(zip(cast(Any, value)._fields, value, strict=True)))
    if isinstance(value, tuple):
        parts = ", ".join(map(inner, value))
        return f"({parts},)" if len(value) == 1 else f"({parts})"
    if isinstance(value, Op) and not value.regions:
        return record(str(value.name), value.attributes())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return record(type(value).__name__, fields)
    if _singleton(repr(value), type(value)) is value:
        return repr(value)
    return constants.opaque(value)


class AttributeReader:
    """Evaluates the text of attributes: what can be written is data, never code."""

    def __init__(self, symbols: MutableMapping[str, Symbol], objects: Mapping[str, Any]) -> None:
        self.symbols = symbols
        self.objects = objects

    def read(self, node: ast.expr, home: type) -> Any:
        """Return the value; names of record classes are looked up in the module of `home`."""
        match node:
            case ast.Constant(value=str() | None as value):
                return value
            case ast.Constant(value=value) if value is Ellipsis:
                return value
            case ast.Tuple(elts=elements):
                return tuple(self.read(e, home) for e in elements)
            case ast.Name(id=name):
                return self._name(node, name, home)
            case ast.Attribute(value=ast.Name(id=name), attr=member):
                found = _record(name, home)
                if isinstance(found, enum.EnumMeta) and member in found.__members__:
                    return found[member]
                raise unreadable(node, f"`{name}` has no member `{member}`")
            case ast.Subscript():
                return parse_type(node, self.symbols)
            case ast.Call(func=ast.Name(id="new"), args=[binder]):
                return parse_binder(binder, self.symbols)
            case ast.Call(func=ast.Name(id="slice"), args=parts):
                return slice(*[self.read(p, home) for p in parts])
            case _:
                return self._number_or_record(node, home)

    def _name(self, node: ast.expr, name: str, home: type) -> Any:
        if name in self.symbols:
            return Dim.of(self.symbols[name])
        if name in DTYPES_BY_NAME:
            return DTYPES_BY_NAME[name]
        if name in self.objects:
            return self.objects[name]
        entry = Op.REGISTRY.get(name)
        if isinstance(entry, Elementwise):
            return entry
        singleton = _singleton(name, home)
        if singleton is not None:
            return singleton
        literal = parse_literal(node, ())
        if literal is not None:
            return literal.value.item()
        raise unreadable(node, f"`{name}` is no dtype, bound dim, op or given constant")

    def _number_or_record(self, node: ast.expr, home: type) -> Any:
        literal = parse_literal(node, ())
        if literal is not None:
            bare = not isinstance(node, ast.Call) or _is(node.func, "complex")
            return literal.value.item() if bare else literal.value
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            if name not in ("min", "max"):
                record = _record(name, home) or Op.REGISTRY.get(name)
                if not isinstance(record, type) or node.args:
                    raise unreadable(node, f"`{name}` is no record that attributes may hold")
                keywords = {k.arg: self.read(k.value, home) for k in node.keywords if k.arg}
                return record(**keywords)
        return parse_size(node, self.symbols)


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _singleton(name: str, home: type) -> Any:
    """Return an object without fields, such as `AT`, that a module of ops knows by its own name."""
    found = getattr(sys.modules[home.__module__], name, None)
    ours = type(found).__module__.startswith(__package__ or "")
    return found if ours and repr(found) == name else None


def _record(name: str, home: type) -> Any:
    found = getattr(sys.modules[home.__module__], name, None)
    if isinstance(found, type) and (
        dataclasses.is_dataclass(found) or issubclass(found, enum.Enum | tuple)
    ):
        return found
    return None

"""Containers of arrays: flattening with a signature, and building the same structure again.

Arrays, NumPy scalars, Python floats and complex numbers are leaves. Integers, booleans, strings and
None are static: their value is part of the signature. Tuples, lists, dicts, namedtuples,
dataclasses and registered classes are containers. A function is known by its code, defaults and
closed-over values; any other object by its type, its attributes being read where they are used.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, StructureError, UnsupportedError, with_article
from .foreign import MeetsForeign, is_foreign

Flatten = Callable[[Any], tuple[Sequence[Any], Any]]
Unflatten = Callable[[Any, Sequence[Any]], Any]
_registered: dict[type, tuple[Flatten, Unflatten]] = {}
KNOWN_BY_IDENTITY = (type, types.ModuleType, types.BuiltinFunctionType, np.ufunc)
STATIC = (int, bool, str, bytes, type(None), type(Ellipsis), slice, range, np.dtype)
_fields: dict[type, tuple[str, ...] | None] = {}


def register_container(cls: type, flatten: Flatten, unflatten: Unflatten) -> None:
    """Make a class a container of arrays, whose arrays are traced and differentiated.

    Tuples, lists, dicts, named tuples and dataclasses are containers already.

    Parameters
    ----------
    flatten
        `flatten(x) -> (children, static)`; `static` must be hashable and compare by value.
    unflatten
        `unflatten(static, children) -> x`.

    Raises
    ------
    ArgumentError
        Where the class is a container already.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> class Line:
    ...     def __init__(self, slope, offset, name):
    ...         self.slope, self.offset, self.name = slope, offset, name
    >>> pb.register_container(
    ...     Line,
    ...     lambda line: ((line.slope, line.offset), line.name),
    ...     lambda name, children: Line(*children, name),
    ... )
    >>> line = pb.grad(lambda p: p.slope**2 + 3.0 * p.offset)(Line(2.0, 1.0, "fit"))
    >>> line.slope, line.offset, line.name
    (4.0, 3.0, 'fit')
    """
    if cls in _registered or cls in (tuple, list, dict):
        raise ArgumentError(f"{cls.__name__} is a container already.")
    _registered[cls] = (flatten, unflatten)


class Leaf:
    """The place of a leaf in a structure."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "*"


class Node:
    """A container in a structure: how to build it, its keys or static part, its children."""

    __slots__ = ("children", "static", "type")

    def __init__(self, type: type, static: Any, children: tuple[Any, ...]) -> None:
        self.type = type
        self.static = static
        self.children = children

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and (self.type, self.static, self.children) == (
            other.type,
            other.static,
            other.children,
        )

    def __hash__(self) -> int:
        return hash((self.type, self.static))

    def __repr__(self) -> str:
        parts = ", ".join(map(repr, self.children))
        if self.type is dict:
            parts = ", ".join(
                f"{k!r}: {c!r}" for k, c in zip(self.static, self.children, strict=True)
            )
            return f"{{{parts}}}"
        if self.type is list:
            return f"[{parts}]"
        return f"({parts})" if self.type is tuple else f"{self.type.__name__}({parts})"


class Static:
    """A static value in a structure."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and same_static(self.value, other.value)

    def __hash__(self) -> int:
        return hash(type(self.value))

    def __repr__(self) -> str:
        return repr(self.value)


LEAF = Leaf()
Structure = Leaf | Node | Static


def same_static(a: Any, b: Any) -> bool:
    """Whether two static values are interchangeable: one type and equal, or the same object."""
    if a is b:
        return True
    return type(a) is type(b) and isinstance(a, STATIC) and bool(a == b)


def dataclass_fields(cls: type) -> tuple[str, ...] | None:
    """Return the names of the fields of a dataclass, None for any other class."""
    found = _fields.get(cls, ())
    if found == ():
        found = (
            tuple(f.name for f in dataclasses.fields(cls))
            if dataclasses.is_dataclass(cls)
            else None
        )
        _fields[cls] = found
    return found


def children_of(value: Any) -> tuple[Any, Sequence[Any]] | None:
    """Return the static part and children of a container, None for anything else."""
    cls = type(value)
    if cls is tuple or cls is list:
        return len(value), value
    if cls is dict:
        return tuple(value), list(value.values())
    if cls in _registered:
        children, static = _registered[cls][0](value)
        return static, children
    if isinstance(value, tuple) and hasattr(cls, "_fields"):
        return len(value), value
    if not isinstance(value, type):
        names = dataclass_fields(cls)
        if names:
            _check_attributes(value, cls, names)
            return names, [getattr(value, n) for n in names]
    return None


def _check_attributes(value: Any, cls: type, names: Sequence[str]) -> None:
    """Raise where an object has attributes beside its fields: a copy of it would lose them."""
    attributes = getattr(value, "__dict__", ())
    if len(attributes) <= len(names) and all(name in names for name in attributes):
        return
    for name in attributes:
        if name not in names and not isinstance(getattr(cls, name, None), cached_property):
            raise UnsupportedError(
                f"{with_article(cls.__name__)} has the attribute `{name}`, which is no field of "
                "the dataclass, so that a compiled function would not see it.\n"
                f"  Declare `{name}` as a field, or register the class: pb.register_container."
            )


def is_leaf(value: Any) -> bool:
    """Whether a value is traced: an array or an inexact number."""
    return isinstance(value, np.ndarray | np.generic | float | complex) or hasattr(
        type(value), "__pullback_leaf__"
    )


def flatten(value: Any, leaves: list[Any]) -> Structure:
    """Append the leaves of a value, in order, and return its structure."""
    if is_leaf(value):
        leaves.append(value)
        return LEAF
    found = children_of(value)
    if found is None:
        return Static(value)
    static, children = found
    return Node(type(value), static, tuple([flatten(c, leaves) for c in children]))


def unflatten(structure: Structure, leaves: Iterator[Any]) -> Any:
    """Build a value of a structure from its leaves."""
    if structure is LEAF:
        return next(leaves)
    if isinstance(structure, Static):
        return structure.value
    assert isinstance(structure, Node)
    cls = structure.type
    children = [unflatten(c, leaves) for c in structure.children]
    if cls is tuple:
        return tuple(children)
    if cls is list:
        return children
    if cls is dict:
        return dict(zip(structure.static, children, strict=True))
    if cls in _registered:
        return _registered[cls][1](structure.static, children)
    if issubclass(cls, tuple):
        return cls(*children)
    made = object.__new__(cls)
    for name, child in zip(structure.static, children, strict=True):
        object.__setattr__(made, name, child)
    return made


def statics(structure: Structure) -> Iterator[Any]:
    """Yield the static values in a structure."""
    if isinstance(structure, Static):
        yield structure.value
    elif isinstance(structure, Node):
        for child in structure.children:
            yield from statics(child)


def unflattener(structure: Structure) -> Callable[[Sequence[Any]], Any]:
    """Return a compiled function from the leaves, a sequence, to a value of the structure."""
    constants: dict[str, Any] = {"unflatten": unflatten}
    lines: list[str] = []
    names: list[str] = []

    def constant(value: Any) -> str:
        if type(value) is str or value is None:
            return repr(value)
        name = f"c{len(constants)}"
        constants[name] = value
        return name

    def source(part: Structure) -> str:
        if isinstance(part, Leaf):
            names.append(f"v{len(names)}")
            return names[-1]
        if isinstance(part, Static):
            return constant(part.value)
        parts = [source(c) for c in part.children]
        tuple_text = f"({''.join([f'{p}, ' for p in parts])})"
        cls: Any = part.type
        if cls is dict:
            pairs = zip(part.static, parts, strict=True)
            return f"{{{', '.join(f'{constant(k)}: {p}' for k, p in pairs)}}}"
        if cls is list:
            return f"[{', '.join(parts)}]"
        if cls is tuple:
            return tuple_text
        if cls in _registered:
            node = Node(cls, part.static, tuple([LEAF] * len(parts)))
            return f"unflatten({constant(node)}, iter({tuple_text}))"
        if issubclass(cls, tuple):
            return f"{constant(cls)}{tuple_text}"
        made, put = f"m{len(lines)}", constant(object.__setattr__)
        lines.append(f"    {made} = {constant(object.__new__)}({constant(cls)})")
        for name, value in zip(part.static, parts, strict=True):
            lines.append(f"    {put}({made}, {name!r}, {value})")
        return made

    text = source(structure)
    unpacked = f"    ({''.join([f'{n}, ' for n in names])}) = f"
    body = "\n".join(["def build(f):", unpacked, *lines, f"    return {text}"])
    exec(compile(body, "<pullback build>", "exec"), constants)
    made: Callable[[Sequence[Any]], Any] = constants["build"]
    return made


def flattener(cls: type) -> Flatten | None:
    """Return the function that a class was registered with, None where it was not."""
    found = _registered.get(cls)
    return None if found is None else found[0]


def map_leaves(function: Callable[..., Any], value: Any) -> Any:
    """Return a value of the same structure with `function` applied to each leaf."""
    leaves: list[Any] = []
    structure = flatten(value, leaves)
    return unflatten(structure, iter([function(leaf) for leaf in leaves]))


def paths(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield each leaf with the expression that reaches it: `params['W'][0]`."""
    if is_leaf(value):
        yield prefix, value
        return
    found = children_of(value)
    if found is None:
        return
    static, children = found
    for number, child in enumerate(children):
        yield from paths(child, f"{prefix}{step(type(value), static, number)}")


def step(cls: Any, static: Any, number: int) -> str:
    """Return the text that leads from a container to one of its children: `[0]`, `.weights`.

    `static` is the static part of what is no leaf, as of a `Node`.
    """
    if cls is dict:
        return f"[{static[number]!r}]"
    if cls in (tuple, list) or cls in _registered:
        return f"[{number}]"
    names = cls._fields if isinstance(static, int) else static
    return f".{names[number]}"


def scan(value: Any, leaves: list[Any], objects: list[Any], key: list[Any]) -> None:
    """Append leaves, opaque objects and the signature of one argument: the fast path."""
    cls = type(value)
    if cls is np.ndarray:
        leaves.append(value)
        flags = value.flags
        if flags.c_contiguous and flags.writeable:
            key.append(value.dtype)
            key.append(value.shape)
        else:
            strides = None if flags.c_contiguous else value.strides
            key.append((value.dtype, value.shape, strides, flags.writeable))
    elif cls is float or cls is complex:
        leaves.append(value)
        key.append(cls)
    elif cls is tuple or cls is list:
        key.append(cls)
        key.append(len(value))
        for child in value:
            scan(child, leaves, objects, key)
    elif cls is dict:
        key.append(dict)
        key.append(tuple(value))
        for child in value.values():
            scan(child, leaves, objects, key)
    elif cls is int or cls is bool or cls is str or value is None:
        key.append((cls, value))
    else:
        _scan_other(value, leaves, objects, key)


def _scan_other(value: Any, leaves: list[Any], objects: list[Any], key: list[Any]) -> None:
    cls = type(value)
    if isinstance(value, np.generic):
        leaves.append(value)
        key.append((cls, value.dtype))
        return
    if hasattr(cls, "__pullback_leaf__"):
        leaves.append(value)
        key.append(value.__pullback_leaf__())
        return
    if isinstance(value, np.ndarray):
        raise StructureError(
            f"arrays of the class {cls.__name__} are not traced; pass np.asarray(x), or for a "
            "masked array its data and mask."
        )
    if cls not in _registered and is_foreign(value):
        raise MeetsForeign
    found = children_of(value)
    if found is not None:
        static, children = found
        key.append(cls)
        key.append(static)
        for child in children:
            scan(child, leaves, objects, key)
        return
    objects.append(value)
    key.append(object_key(value))


class Same:
    """An object in a key, equal to itself alone: equal code has other globals in another module."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def object_key(value: Any, seen: tuple[Any, ...] = ()) -> Any:
    """Return what identifies a static value or an opaque object in a signature."""
    if isinstance(value, types.FunctionType | tuple | list | dict):
        if any(value is s for s in seen):  # a function that calls itself, a list that holds itself
            return type(value)
        seen = (*seen, value)
    if isinstance(value, types.FunctionType):
        cells = tuple([_cell_key(c, seen) for c in value.__closure__ or ()])
        defaults = tuple([object_key(d, seen) for d in value.__defaults__ or ()])
        named = object_key(value.__kwdefaults__, seen)
        return (value.__code__, Same(value.__globals__), defaults, named, cells)
    if isinstance(value, types.MethodType):
        return (value.__func__, object_key(value.__self__, seen))
    if isinstance(value, functools.partial):
        parts = (value.func, value.args, value.keywords)
        return (functools.partial, *[object_key(v, seen) for v in parts])
    if isinstance(value, np.ndarray):
        return (value.dtype, value.shape, value.strides)
    if isinstance(value, KNOWN_BY_IDENTITY):
        return value
    if isinstance(value, slice):
        return (slice, value.start, value.stop, value.step)
    if isinstance(value, float | complex):
        return (type(value), value, repr(value))  # -0.0 equals 0.0
    if isinstance(value, (*STATIC, frozenset)):
        return (type(value), value)
    if isinstance(value, tuple | list):
        return (type(value), tuple([object_key(v, seen) for v in value]))
    if isinstance(value, dict):
        return (type(value), tuple([(k, object_key(v, seen)) for k, v in value.items()]))
    return type(value)


def _cell_key(cell: types.CellType, seen: tuple[Any, ...]) -> Any:
    try:
        return object_key(cell.cell_contents, seen)
    except ValueError:  # not assigned yet
        return None

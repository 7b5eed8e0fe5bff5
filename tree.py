"""Functions on containers of arrays, `pb.tree`: map, flatten, ravel.

Tuples, lists, dicts, namedtuples, dataclasses and classes of `pb.register_container` are
containers; None is a container without leaves. Anything else is a leaf: arrays and floats, but
also ints, bools and strings. A compiled function treats an int among its arguments as static; here
it is a leaf in and out of a traced function alike. Dicts keep the order of their keys, and two of
them fit where they have the same keys in any order.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .ir.errors import StructureError, with_article
from .ir.types import Kind
from .tracer.array import TracedArray, kind_of
from .tracer.loads import attribute
from .tracer.native import native
from .tracer.nested import inline_call
from .tracer.state import current
from .tracer.tree import (
    LEAF,
    Leaf,
    Node,
    Static,
    Structure,
    children_of,
    dataclass_fields,
    flattener,
)
from .tracer.tree import is_leaf as is_traced_leaf
from .tracer.tree import unflatten as build

IsLeaf = Callable[[Any], bool]


def flatten(tree: Any, *, is_leaf: IsLeaf | None = None) -> tuple[list[Any], Structure]:
    """Return the leaves of a tree, in order, and its structure.

    Parameters
    ----------
    is_leaf
        Says of a container that it is to be taken as a leaf.

    Examples
    --------
    >>> import pullback as pb
    >>> leaves, structure = pb.tree.flatten({"w": 1.0, "b": (2, None)})
    >>> leaves, structure
    ([1.0, 2], {'w': *, 'b': (*, None)})
    >>> pb.tree.unflatten(structure, [3.0, 4])
    {'w': 3.0, 'b': (4, None)}
    """
    found: list[Any] = []
    return found, _flatten(tree, found, is_leaf)


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """Build a tree from its structure and its leaves.

    Raises
    ------
    StructureError
        Where the leaves are too few or too many.
    """
    given = list(leaves)
    count = _count(structure)
    if len(given) != count:
        raise StructureError(
            f"the structure {structure} has {count} leaves, and it was given {len(given)}."
        )
    return build(structure, iter(given))


def leaves(tree: Any, *, is_leaf: IsLeaf | None = None) -> list[Any]:
    """Return the leaves of a tree, in order."""
    return flatten(tree, is_leaf=is_leaf)[0]


def structure(tree: Any, *, is_leaf: IsLeaf | None = None) -> Structure:
    """Return the structure of a tree: it prints as the tree with `*` for leaves, and compares."""
    return flatten(tree, is_leaf=is_leaf)[1]


def paths(tree: Any, prefix: str = "tree") -> list[str]:
    """Return the expression of each leaf, in order.

    Examples
    --------
    >>> import pullback as pb
    >>> pb.tree.paths({"layers": [(1.0, 2.0)], "scale": 3.0}, "params")
    ["params['layers'][0][0]", "params['layers'][0][1]", "params['scale']"]
    """
    return list(_paths(structure(tree), prefix))


def map(function: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf | None = None) -> Any:
    """Return a tree of what a function gives for each leaf.

    Parameters
    ----------
    rest
        Trees of the same structure, whose leaves are the function's further arguments. They may go
        deeper: where `tree` has a leaf, the function gets all that they have there.

    Raises
    ------
    StructureError
        Where a tree does not fit, naming the place.

    Examples
    --------
    >>> import pullback as pb
    >>> pb.tree.map(lambda p, g: p - 0.5 * g, {"w": 1.0, "b": 2.0}, {"w": 2.0, "b": 4.0})
    {'w': 0.0, 'b': 0.0}
    """
    found, shape = flatten(tree, is_leaf=is_leaf)
    columns = [found, *[matching(shape, other, f"tree {k + 2}") for k, other in enumerate(rest)]]
    rows = zip(*columns, strict=True)
    return build(shape, iter([inline_call(function, row, {}) for row in rows]))


def reduce(function: Callable[[Any, Any], Any], tree: Any, *initial: Any) -> Any:
    """Combine the leaves from left to right, as `functools.reduce`.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> pb.tree.reduce(lambda total, x: total + np.size(x), {"w": np.ones((2, 3)), "b": 1.0}, 0)
    7
    """
    return functools.reduce(lambda a, b: inline_call(function, (a, b), {}), leaves(tree), *initial)


def all(tree: Any) -> Any:
    """Whether every leaf is true, as `np.all` of each says."""
    results = [np.all(leaf) for leaf in leaves(tree)]
    return functools.reduce(np.logical_and, results) if results else True


class _Part(NamedTuple):
    """A leaf in a vector: where it begins, its size, shape, dtype and kind."""

    start: int
    size: int
    shape: tuple[int, ...]
    dtype: np.dtype
    kind: Kind


class Unravel:
    """Builds a tree from a vector: what `ravel` and `pb.flatten` return beside it.

    Each leaf gets its shape and its dtype back.
    """

    def __init__(self, structure: Structure, parts: Sequence[_Part]) -> None:
        self.structure = structure
        self.parts = parts
        self.size = sum(p.size for p in parts)

    def __call__(self, vector: Any) -> Any:
        """Return the tree; its leaves are views of the vector where no conversion is needed."""
        if tuple(np.shape(vector)) != (self.size,):
            raise StructureError(
                f"the structure {self.structure} takes a vector of {self.size} entries, and it was "
                f"given one of shape {tuple(np.shape(vector))}."
            )
        return build(self.structure, iter([_leaf_of(vector, part) for part in self.parts]))

    def __repr__(self) -> str:
        return f"<unravel {self.size} entries to {self.structure}>"


def ravel(tree: Any) -> tuple[Any, Unravel]:
    """Return the entries of all leaves as one vector, and the function that builds the tree again.

    The vector's dtype is the one that NumPy promotes those of the leaves to.

    Raises
    ------
    StructureError
        For a leaf that is no array of numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> vector, unravel = pb.tree.ravel({"w": np.ones((1, 2)), "b": 3.0})
    >>> vector
    array([1., 1., 3.])
    >>> unravel(2 * vector)
    {'w': array([[2., 2.]]), 'b': 6.0}
    """
    found, shape = flatten(native(tree, "tree"))
    parts: list[_Part] = []
    start = 0
    for position, leaf in enumerate(found):
        part = _part(leaf, start, position)
        start += part.size
        parts.append(part)
    unravel = Unravel(shape, parts)
    if not found:
        return np.zeros(0), unravel
    return np.concatenate([np.reshape(leaf, (-1,)) for leaf in found]), unravel


def matching(
    shape: Structure, tree: Any, name: str = "tree", other: str = "the first tree"
) -> list[Any]:
    """Return what a tree has at the leaves of a structure, in their order.

    Raises
    ------
    StructureError
        Where the tree is another down to there; `name` is the expression that the message starts
        from, and `other` what it calls the tree of that structure.
    """
    found: list[Any] = []
    _match(shape, tree, name, other, found)
    return found


def _children(value: Any) -> tuple[Any, Sequence[Any]] | None:
    """As `children_of`; what an object holds is read as the traced function would."""
    if is_traced_leaf(value):
        return None
    if current() is None:
        return children_of(value)
    if (registered := flattener(type(value))) is not None:
        children, static = inline_call(registered, (value,), {})
        return static, children
    found = children_of(value)
    if found is not None and found[0] == dataclass_fields(type(value)):
        return found[0], [attribute(value, name) for name in found[0]]
    return found


def _flatten(tree: Any, found: list[Any], is_leaf: IsLeaf | None) -> Structure:
    if is_leaf is not None and is_leaf(tree):
        found.append(tree)
        return LEAF
    if tree is None:
        return Static(None)
    parts = _children(tree)
    if parts is None:
        found.append(tree)
        return LEAF
    static, children = parts
    return Node(type(tree), static, tuple([_flatten(c, found, is_leaf) for c in children]))


def _paths(structure: Structure, prefix: str) -> Iterator[str]:
    if isinstance(structure, Leaf):
        yield prefix
    elif isinstance(structure, Node):
        for number, child in enumerate(structure.children):
            yield from _paths(child, f"{prefix}{_step(structure, number)}")


def _count(structure: Structure) -> int:
    if isinstance(structure, Node):
        return sum([_count(c) for c in structure.children])
    return int(isinstance(structure, Leaf))


def _match(shape: Structure, tree: Any, path: str, other: str, found: list[Any]) -> None:
    if isinstance(shape, Leaf):
        found.append(tree)
        return
    if isinstance(shape, Static):
        if tree is not shape.value:
            raise StructureError(f"`{path}` is {described(tree)}, and {other} has None there.")
        return
    parts = _children(tree)
    if parts is None or type(tree) is not shape.type:
        raise StructureError(
            f"`{path}` is {described(tree)}, and {other} has {_named(shape.type)} there."
        )
    static, children = parts
    if shape.type is dict:
        items = dict(zip(static, children, strict=True))
        if items.keys() != set(shape.static):
            missing = [k for k in shape.static if k not in items]
            what = f"lacks the key {missing[0]!r}" if missing else "has the key "
            extra = "" if missing else f"{next(k for k in items if k not in shape.static)!r}"
            raise StructureError(
                f"`{path}` {what}{extra}, and {other} {'has it' if missing else 'has not'}."
            )
        children = [items[k] for k in shape.static]
    elif len(children) != len(shape.children) or static != shape.static:
        raise StructureError(
            f"`{path}` has the length {len(children)}, and {other} has {len(shape.children)} there."
            if len(children) != len(shape.children)
            else f"`{path}` is of another kind of {_named(shape.type)} than in {other}: "
            f"{static!r} and not {shape.static!r}."
        )
    for number, (part, child) in enumerate(zip(shape.children, children, strict=True)):
        _match(part, child, f"{path}{_step(shape, number)}", other, found)


def _step(shape: Node, number: int) -> str:
    """Return the text that leads from a container to one of its children."""
    if shape.type is dict:
        return f"[{shape.static[number]!r}]"
    if isinstance(shape.static, tuple) and hasattr(shape.type, "__dataclass_fields__"):
        return f".{shape.static[number]}"
    fields = getattr(shape.type, "_fields", None)
    return f"[{number}]" if fields is None else f".{fields[number]}"


def _named(cls: type) -> str:
    return with_article(cls.__name__)


def described(value: Any) -> str:
    """Return what messages call a value."""
    if value is None:
        return "None"
    shape = getattr(value, "shape", None)
    return f"an array of shape {tuple(shape)}" if shape is not None else _named(type(value))


def _part(leaf: Any, start: int, position: int) -> _Part:
    """Return how a leaf lies in the vector.

    Raises
    ------
    StructureError
        Where it is no number and no array of numbers.
    """
    if isinstance(leaf, TracedArray | np.ndarray | np.generic):
        dtype = leaf.dtype
    else:
        is_number = isinstance(leaf, bool | int | float | complex)
        dtype = np.asarray(leaf).dtype if is_number else np.dtype(object)
    if dtype.kind not in "biufc":
        of = "no numbers" if dtype.kind == "O" else dtype
        raise StructureError(
            f"leaf {position} is {described(leaf)} of {of}, and a vector holds numbers alone."
        )
    shape: Any = np.shape(leaf)
    return _Part(start, math.prod(shape), shape, dtype, kind_of(leaf))


def _leaf_of(vector: Any, part: _Part) -> Any:
    """Return a leaf with its shape, dtype and kind."""
    if part.kind is not Kind.ARRAY:
        entry = _cast(vector[part.start], part.dtype)
        return entry.item() if part.kind is Kind.PYTHON else entry
    piece = np.reshape(vector[part.start : part.start + part.size], part.shape)
    return _cast(piece, part.dtype)


def _cast(value: Any, dtype: np.dtype) -> Any:
    """Return a value in a dtype, itself where it has it; of a complex one the real part."""
    if value.dtype == dtype:
        return value
    if value.dtype.kind == "c" and dtype.kind != "c":
        value = np.real(value)
    return value.astype(dtype)


__all__ = [
    "Unravel",
    "all",
    "flatten",
    "leaves",
    "map",
    "paths",
    "ravel",
    "reduce",
    "structure",
    "unflatten",
]

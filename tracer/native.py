"""Containers with arrays of other libraries in them, as containers of ndarrays."""

from __future__ import annotations

from typing import Any

from .foreign import is_foreign, name_of, read
from .tree import LEAF, Node, children_of, flattener, is_leaf, step, unflatten


def native(value: Any, path: str) -> Any:
    """Return a value with the arrays of other libraries as ndarrays, itself where it has none.

    Raises
    ------
    StructureError
        Where NumPy cannot read one; it is named by its path.
    """
    if is_leaf(value):
        return value
    if flattener(type(value)) is None and is_foreign(value):
        return read(value, path)
    found = children_of(value)
    if found is None:
        return value
    static, children = found
    cls = type(value)
    made = [native(c, f"{path}{step(cls, static, k)}") for k, c in enumerate(children)]
    if all(a is b for a, b in zip(made, children, strict=True)):
        return value
    return unflatten(Node(cls, static, (LEAF,) * len(made)), iter(made))


def foreign_classes(value: Any) -> list[str]:
    """Return the names of the classes of arrays of other libraries in a value."""
    if is_leaf(value):
        return []
    if flattener(type(value)) is None and is_foreign(value):
        return [name_of(type(value))]
    found = children_of(value) or (None, ())
    return list(dict.fromkeys(n for child in found[1] for n in foreign_classes(child)))


__all__ = ["foreign_classes", "native"]

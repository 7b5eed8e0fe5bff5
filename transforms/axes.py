"""Axes of examples as the user gives them: for each array of arguments and results, or for many."""

from __future__ import annotations

import operator
from typing import Any, Literal

import numpy as np

from ..ir.errors import ShapeError, StructureError
from ..tracer.opaque import advice, described, is_collection
from ..tracer.tree import LEAF, Leaf, Node, Static, Structure, children_of, step

Axes = Any
"""An int, None, or containers of these: a prefix of the structure that it belongs to."""


def axes_of(what: str, axes: Axes, structure: Structure, path: str) -> list[tuple[str, int | None]]:
    """Return for each leaf of a structure its path and the axis that a prefix of it says.

    Parameters
    ----------
    what
        "in_axes" or "out_axes", of which the prefix is a part.

    Raises
    ------
    StructureError
        Where the prefix has another structure; ShapeError for an axis of a Python number.
    """
    if isinstance(structure, Static):
        _check_static(what, axes, structure.value, path)
        return []
    axis = _axis(axes)
    if axis is not False:
        if isinstance(structure, Leaf):
            return [(path, axis)]
        parts = [(axes, child) for child in structure.children]
    else:
        found = children_of(axes)
        place = path if what == "out_axes" else f"`{path}`"
        if found is None:
            raise StructureError(
                f"vmap: {what} holds {axes!r} for {place}: an axis is an int, or None for no axis."
            )
        static, children = found
        if not (
            isinstance(structure, Node)
            and structure.type is type(axes)
            and structure.static == static
        ):
            shown = "an array" if structure is LEAF else f"{structure}"
            raise StructureError(
                f"vmap: {what}={axes!r} does not fit {place}, which is {shown}.\n"
                "  It is an int, None, or the same containers cut off anywhere."
            )
        parts = list(zip(children, structure.children, strict=True))
    assert isinstance(structure, Node)
    return [
        leaf
        for k, (part, child) in enumerate(parts)
        for leaf in axes_of(what, part, child, path + step(structure.type, structure.static, k))
    ]


def _check_static(what: str, axes: Axes, value: Any, path: str) -> None:
    """Raise for what is to be mapped and cannot be; a flag or a text is the same for all.

    Raises
    ------
    ShapeError
        For a Python number.
    StructureError
        For a dict or list of a class that is not registered, whose arrays would not be mapped.
    """
    if what != "in_axes" or axes is None:
        return
    if is_collection(value):
        raise StructureError(
            f"vmap maps no axis of {described(path, value)}.\n  {advice(path, value)}"
        )
    if isinstance(value, int | float | complex) and not isinstance(value, bool):
        raise without_axis(path, f"the number {value!r}")


def without_axis(path: str, what: str) -> ShapeError:
    """Return the error for an argument that is to be mapped and is a number."""
    return ShapeError(
        f"vmap: `{path}` is {what}, without an axis to map.\n"
        "  Pass it by position, with None for it in in_axes, for example in_axes=(0, None)."
    )


def _axis(axes: Axes) -> int | Literal[False] | None:
    """Return an axis as an int or None, False for what is no axis."""
    if axes is None:
        return None
    if isinstance(axes, bool | np.bool_):
        return False
    try:
        return operator.index(axes)
    except TypeError:
        return False


def counted(ndim: int) -> str:
    """Return how many axes there are, as messages put it."""
    return "1 axis" if ndim == 1 else f"{ndim} axes"


__all__ = ["Axes", "axes_of", "counted", "without_axis"]

"""Tangents as the user gives them: in the structure of the primals, checked leaf by leaf."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.errors import PullbackError, StructureError, with_article
from ..ir.types import ArrayType
from ..pullbacks import check_like
from ..tracer.foreign import is_foreign, read
from ..tracer.functions.known import known, require
from ..tracer.opaque import advice, opaque_object
from ..tracer.tree import (
    Node,
    Static,
    Structure,
    children_of,
    flatten,
    is_leaf,
    paths,
    step,
    unflatten,
)


class Given(NamedTuple):
    """The tangent of one leaf: the path to it, the leaf itself, and what was given (None: zero)."""

    path: str
    leaf: Any
    tangent: Any


def given(
    primals: Sequence[Any], tangents: Any, path: Callable[[int], str] = "tangents[{}]".format
) -> list[Given]:
    """Return the tangent of each leaf of the primals; `path` is the expression of each primal's.

    None stands for zeros, of a leaf or of all that is in a container. What is static (an int, a
    string) has the tangent 0 or None.

    Raises
    ------
    StructureError
        Where the tangents have another structure, or that of something static is not zero.
    """
    if type(tangents) not in (tuple, list) or len(tangents) != len(primals):
        found = f"{len(tangents)}" if type(tangents) in (tuple, list) else shown(tangents)
        count = "there is 1 primal" if len(primals) == 1 else f"there are {len(primals)} primals"
        raise StructureError(
            f"{count}, and the tangents are {found}.\n"
            "  Pass a tuple with a tangent for each primal."
        )
    return [
        g
        for k, (primal, tangent) in enumerate(zip(primals, tangents, strict=True))
        for g in _matched(primal, tangent, path(k))
    ]


def _matched(primal: Any, tangent: Any, path: str) -> Iterator[Given]:
    if tangent is None:
        yield from (Given(p, leaf, None) for p, leaf in paths(primal, path))
        return
    if is_leaf(primal):
        if is_foreign(tangent):
            tangent = read(tangent, path)
        number = isinstance(tangent, int) and not isinstance(tangent, bool)
        if not is_leaf(tangent) and not number:
            raise _other_structure(path, primal, tangent)
        yield Given(path, primal, tangent)
        return
    parts = children_of(primal)
    if parts is None:
        if is_leaf(tangent) or not isinstance(tangent, int) or tangent:
            opaque = opaque_object(Static(primal), path)
            hint = "" if opaque is None else f" {advice('x', primal)}"
            raise StructureError(
                f"`{path}` is {shown(tangent)}, and belongs to {shown(primal)}, which is static "
                f"and does not move.\n  Pass 0 or None.{hint}"
            )
        return
    found = None if is_leaf(tangent) else children_of(tangent)
    if found is None or type(primal) is not type(tangent):
        raise _other_structure(path, primal, tangent)
    static, children = parts
    same = found[0] == static
    if type(primal) is dict:
        same = set(found[0]) == set(static)
        found = static, [tangent[key] for key in static] if same else []
    if not same:
        raise _other_structure(path, primal, tangent)
    for k, (child, part) in enumerate(zip(children, found[1], strict=True)):
        yield from _matched(child, part, f"{path}{step(type(primal), static, k)}")


def _other_structure(path: str, primal: Any, tangent: Any) -> PullbackError:
    return StructureError(
        f"`{path}` has the structure {flatten(tangent, [])}, its primal {flatten(primal, [])}; "
        "they must be the same.\n  None stands for a tangent of zeros."
    )


def shown(value: Any) -> str:
    """Return what errors call a value."""
    if is_leaf(value):
        shape = np.shape(value)
        return f"an array of shape {list(shape)}" if shape else "a number"
    if isinstance(value, bool | int | str):
        return repr(value)
    return with_article(type(value).__name__)


def check(path: str, tangent: Any, type: ArrayType) -> None:
    """Raise unless a tangent has the shape of its primal, and a dtype that casts to the primal's.

    Raises
    ------
    ShapeError, StructureError
    """
    check_like(f"`{path}`", tangent, type, "its primal")


def still(path: str, tangent: Any, type: ArrayType, leaf: Any = None) -> Any:
    """Return an integer leaf, whose tangent is checked to be zero: now, or when the program runs.

    Raises
    ------
    ShapeError
        Where the shapes differ.
    StructureError
        Where the tangent is not zero, or is no integer; also where only the run knows, and there is
        no leaf that the check could go through.
    """
    if tangent is None or (isinstance(tangent, int) and not tangent):
        return leaf
    check(path, tangent, type)
    message = f"`{path}` belongs to integers, which do not move: it must be zero, or None."
    holds = np.all(np.equal(tangent, 0))
    if leaf is None and known(holds) is None:
        raise StructureError(message)
    return require(leaf, holds, StructureError, message)


def in_structure(structure: Structure, leaves: Sequence[Any]) -> Any:
    """Return tangents of results in the structure of the results: 0 where that has an integer."""
    return unflatten(_still(structure), iter(leaves))


def _still(structure: Structure) -> Structure:
    if isinstance(structure, Node):
        return Node(structure.type, structure.static, tuple(map(_still, structure.children)))
    if isinstance(structure, Static) and isinstance(structure.value, int):
        return Static(type(structure.value)(0))
    return structure


__all__ = ["Given", "check", "given", "in_structure", "shown", "still"]

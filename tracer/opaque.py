"""Objects among arguments whose arrays are no leaves: no derivative reaches these arrays."""

from __future__ import annotations

import enum
import functools
import types
from collections.abc import Mapping, Sequence
from typing import Any

from ..ir.errors import DifferentiationError, with_article
from .tree import KNOWN_BY_IDENTITY, STATIC, Node, Static, Structure, step

_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)
_HARMLESS = (*STATIC, *KNOWN_BY_IDENTITY, *_FUNCTIONS, enum.Enum, set, frozenset)
"""Numbers, text, functions, classes and what is told apart by value: they keep no parameters."""


def opaque_object(structure: Structure, path: str) -> tuple[str, Any] | None:
    """Return the path to the first object in a structure whose arrays are no leaves, and itself."""
    if isinstance(structure, Static):
        return None if isinstance(structure.value, _HARMLESS) else (path, structure.value)
    if isinstance(structure, Node):
        for number, child in enumerate(structure.children):
            way = step(structure.type, structure.static, number)
            found = opaque_object(child, f"{path}{way}")
            if found is not None:
                return found
    return None


def is_collection(value: Any) -> bool:
    """Whether an object looks like a container that is meant to be one."""
    return isinstance(value, Mapping | Sequence) and not isinstance(value, _HARMLESS)


def advice(path: str, value: Any) -> str:
    """Return what to write where the arrays in an object are meant."""
    name = type(value).__name__
    instead = "its arrays in a dict"
    if is_collection(value):
        instead = f"{'dict' if isinstance(value, Mapping) else 'list'}({path})"
    return (
        f"Pass {instead}, or make {name} a container: "
        f"pb.register_container({name}, flatten, unflatten)."
    )


def described(path: str, value: Any) -> str:
    """Return the path to an object, and behind a colon what it is."""
    return f"`{path}`: it is {with_article(type(value).__name__)}, which is no container of arrays"


def check_no_object(structure: Structure, path: str) -> None:
    """Raise for an object whose arrays a derivative would pass over.

    Raises
    ------
    DifferentiationError
    """
    found = opaque_object(structure, path)
    if found is not None:
        raise DifferentiationError(
            f"cannot differentiate with respect to {described(*found)}.\n  {advice(*found)}"
        )


__all__ = ["advice", "check_no_object", "described", "is_collection", "opaque_object"]

"""What is checked of the trees that an optimizer is given, before they are taken apart."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from .. import tree as trees
from ..ir.errors import ArgumentError, DTypeError, ShapeError, StructureError, with_article
from ..tracer.tree import LEAF
from .clipping import dtype_of

State = TypeVar("State")

_CALL = "updates, state = opt.update(grads, state, params)"


def check_state(name: str, state: Any, kind: type[State]) -> State:
    """Return the state of an optimizer.

    Raises
    ------
    StructureError
        Where it is another thing.
    """
    if not isinstance(state, kind):
        raise StructureError(
            f"{name} needs the {kind.__name__} that its `init` made, and was given "
            f"{trees.described(state)}.\n"
            f"  Write  {_CALL}  with  state = opt.init(params)  at the start."
        )
    return state


def check_fit(name: str, tree: Any, other: str, wanted: Any) -> None:
    """Raise unless a tree has the structure and the shapes of another.

    Parameters
    ----------
    name, other
        The expressions that messages start from.

    Raises
    ------
    StructureError, ShapeError
        Where NumPy would broadcast, too: a parameter keeps its shape.
    """
    leaves, shape = trees.flatten(wanted)
    found = trees.matching(shape, tree, name, f"`{other}`")
    for path, leaf, like in zip(trees.paths(wanted, name), found, leaves, strict=True):
        if trees.structure(leaf) is not LEAF:
            raise StructureError(
                f"`{path}` is {trees.described(leaf)}, and `{other}` has "
                f"{trees.described(like)} there."
            )
        if np.shape(leaf) != np.shape(like):
            raise ShapeError(
                f"`{path}` has the shape {np.shape(leaf)}, and `{other}` has {np.shape(like)} "
                "there."
            )


def check_floating(params: Any, name: str = "params") -> None:
    """Raise unless all leaves are floating-point numbers and arrays.

    Raises
    ------
    DTypeError
    """
    for path, leaf in zip(trees.paths(params, name), trees.leaves(params), strict=True):
        if dtype_of(leaf, path).kind not in "fc":
            raise DTypeError(
                f"`{path}` is {dtype_of(leaf)}, and an optimizer changes floating-point numbers "
                "alone.\n  Keep what is not to change in a tree of its own."
            )


def check_rate(name: str, learning_rate: Any) -> None:
    """Raise unless a learning rate is a number or a schedule.

    Raises
    ------
    ArgumentError
    """
    is_number = hasattr(learning_rate, "__array__") or isinstance(learning_rate, int | float)
    if not callable(learning_rate) and (not is_number or np.ndim(learning_rate)):
        raise ArgumentError(
            f"{name}: the learning rate is {trees.described(learning_rate)}, which is neither a "
            "number nor a schedule.\n  Write 0.01, or for example "
            "pb.optim.cosine_decay(0.01, decay_steps=1000)."
        )


def check_parts(transformations: tuple[Any, ...]) -> None:
    """Raise unless all that is to be chained are transformations.

    Raises
    ------
    ArgumentError
    """
    for number, part in enumerate(transformations):
        if not callable(getattr(part, "init", None)) or not callable(getattr(part, "update", None)):
            raise ArgumentError(
                f"chain takes transformations, each with `init` and `update`, and argument "
                f"{number} is {with_article(type(part).__name__)}.\n  Call the function that makes "
                "it, for example pb.optim.scale(-0.1)."
            )


def check_states(count: int, state: Any) -> None:
    """Raise unless there is a state for each of the chained transformations.

    Raises
    ------
    StructureError
    """
    if not isinstance(state, tuple) or len(state) != count or hasattr(state, "_fields"):
        raise StructureError(
            f"chain needs the tuple of {count} states that its `init` made, and was given "
            f"{trees.described(state)}.\n"
            f"  Write  {_CALL}  with  state = opt.init(params)  at the start."
        )


__all__ = [
    "check_fit",
    "check_floating",
    "check_parts",
    "check_rate",
    "check_state",
    "check_states",
]

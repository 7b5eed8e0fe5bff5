"""Bounds and constraints of `pb.minimize`: from containers to vectors, Jacobians added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import tree as trees
from ..compiled import Compiled, Options, check_callable, name_of
from ..ir.errors import ArgumentError, ShapeError, StructureError, with_article
from ..tracer.nested import inline_call
from ..tracer.tree import Structure
from ..transforms.jacobians import hessian, jacobian
from .flattening import flatten


def bounds_of(bounds: Any, structure: Structure, x0: Any) -> Any:
    """Return a lower and an upper bound for each entry, infinite where there is none.

    SciPy's own `Bounds` are for the vector, and stay as they are.

    Raises
    ------
    StructureError
        Where the bounds are neither a container of pairs nor a pair of containers.
    ShapeError
        Where SciPy's are for a vector of another size.
    ArgumentError
        Where a lower bound is above the upper one, or one is no number.
    """
    if bounds is None:
        return None
    leaves, names = trees.leaves(x0), trees.paths(x0, "bounds")
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        _check_size(bounds, sum(np.size(leaf) for leaf in leaves))
        return bounds
    pairs = _pairs(bounds, structure, x0, leaves, names)
    parts = zip(pairs, leaves, names, strict=True)
    return [ends for pair, leaf, name in parts for ends in _of_entries(pair, leaf, name)]


def _check_size(bounds: Any, size: int) -> None:
    """Raise unless SciPy's bounds are for a vector of a size.

    Raises
    ------
    ShapeError
    """
    for end in (bounds.lb, bounds.ub):
        if np.shape(end) not in ((), (1,), (size,)):
            raise ShapeError(
                f"the bounds are for a vector of shape {np.shape(end)}, and `pb.flatten(x0)` "
                f"has {size} entries."
            )


def _pairs(
    bounds: Any, structure: Structure, x0: Any, leaves: Sequence[Any], names: Sequence[str]
) -> list[tuple[Any, Any]]:
    """Return a lower and an upper bound for each leaf.

    Raises
    ------
    StructureError
    """
    try:
        pairs = [_pair(b, leaf) for b, leaf in _zipped(structure, bounds, leaves)]
        wrong = next((k for k, pair in enumerate(pairs) if pair is None), None)
        if wrong is None:
            return pairs
        reason = f"`{names[wrong]}` is no pair (low, high) or None"
    except StructureError as error:
        reason = str(error).rstrip(".")
    # A list for a sequence of numbers is more likely meant as SciPy has it: one pair for each.
    is_pair = isinstance(bounds, tuple if isinstance(x0, tuple | list) else tuple | list)
    if not is_pair or len(bounds) != 2:
        raise _misfit(reason)
    try:
        low, high = [_side(b, structure, leaves) for b in bounds]
    except StructureError:
        raise _misfit(reason) from None
    return list(zip(low, high, strict=True))


def _of_entries(pair: tuple[Any, Any], leaf: Any, name: str) -> list[tuple[float, float]]:
    """Return the bounds of each entry of a leaf.

    Raises
    ------
    ArgumentError
        Where they leave no room.
    """
    low, high = [
        np.broadcast_to(_end(b, open_end, leaf, name), np.shape(leaf)).ravel()
        for b, open_end in zip(pair, (-np.inf, np.inf), strict=True)
    ]
    empty = ~(low <= high)
    if empty.any():
        entry = int(np.flatnonzero(empty)[0])
        raise ArgumentError(
            f"`{name}` leaves no room: it goes from {float(low[entry])} to {float(high[entry])}.\n"
            "  Write (low, high), with None in the place of a bound that there is not."
        )
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _misfit(reason: str) -> StructureError:
    return StructureError(
        f"the bounds do not fit x0: {reason}.\n"
        "  Write (low, high) or None in the place of each array of x0, or a pair of containers "
        "like x0, of lower and of upper bounds."
    )


def _zipped(structure: Structure, bounds: Any, leaves: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(trees.matching(structure, bounds, "bounds", "`x0`"), leaves, strict=True))


def _pair(bound: Any, leaf: Any) -> Any:
    """Return the bounds of a leaf as a pair, None where they are none."""
    if bound is None:
        return None, None
    ends = (type(None), int, float, np.ndarray, np.generic)
    if isinstance(bound, tuple) and len(bound) == 2 and all(isinstance(b, ends) for b in bound):
        return bound
    if isinstance(bound, np.ndarray) and bound.shape == (np.size(leaf), 2) and np.ndim(leaf) == 1:
        return bound[:, 0], bound[:, 1]
    if isinstance(bound, list | tuple) and np.shape(leaf) == (len(bound),):  # as SciPy has it
        pairs = [_pair(b, 0.0) for b in bound]
        if None not in pairs:
            return tuple(
                np.array([sign * np.inf if p[k] is None else p[k] for p in pairs], float)
                for k, sign in enumerate((-1, 1))
            )
    return None


def _side(bound: Any, structure: Structure, leaves: Sequence[Any]) -> list[Any]:
    """Return one end of the bounds for each leaf."""
    if bound is None or isinstance(bound, int | float):
        return [bound] * len(leaves)
    return trees.matching(structure, bound)


def _end(bound: Any, open_end: float, leaf: Any, name: str) -> Any:
    """Return a bound as an array that broadcasts to its leaf.

    Raises
    ------
    StructureError
        Where it does not.
    """
    if bound is None:
        return open_end
    made = np.asarray(bound, float)
    try:
        np.broadcast_to(made, np.shape(leaf))
    except ValueError:
        raise StructureError(
            f"`{name}` has the shape {made.shape}, and x0 has {np.shape(leaf)} there."
        ) from None
    return made


def constraints_of(constraints: Any, build: trees.Unravel) -> Any:
    """Return constraints on containers as SciPy's on vectors, each with its Jacobian.

    Raises
    ------
    ArgumentError
        For what is no constraint.
    ShapeError
        For a linear one on a vector of another size.
    """
    if isinstance(constraints, list | tuple):
        return tuple(made for c in constraints for made in constraints_of(c, build))
    if isinstance(constraints, dict):
        return (_of_dict(constraints, build),)
    if hasattr(constraints, "fun") and hasattr(constraints, "lb"):
        return (_nonlinear(constraints, build),)
    if hasattr(constraints, "A") and hasattr(constraints, "lb"):
        columns = np.shape(np.atleast_2d(constraints.A))[-1]
        if columns != build.size:
            raise ShapeError(
                f"the matrix of a linear constraint has {columns} columns, and `pb.flatten(x0)` "
                f"has {build.size} entries.\n  Give it a column for each of these."
            )
        return (constraints,)  # a matrix for the vector
    raise ArgumentError(
        f"{with_article(type(constraints).__name__)} is no constraint.\n"
        '  Write {"type": "ineq", "fun": g} for g(x) >= 0, "eq" for g(x) == 0, or a '
        "scipy.optimize.NonlinearConstraint."
    )


def _of_dict(constraint: dict[str, Any], build: trees.Unravel) -> dict[str, Any]:
    if "fun" not in constraint or constraint.get("type") not in ("eq", "ineq"):
        raise ArgumentError(
            f'the constraint {constraint!r} needs a function "fun" and the "type" "eq" or "ineq".'
        )
    check_callable("a constraint", constraint["fun"])
    _, value, slope = _flat(constraint["fun"], tuple(constraint.get("args", ())), build)
    return {"type": constraint["type"], "fun": value, "jac": slope}


def _nonlinear(constraint: Any, build: trees.Unravel) -> Any:
    from scipy.optimize import NonlinearConstraint

    flat, value, slope = _flat(constraint.fun, (), build)
    curvature = hessian(lambda vector, weights: np.sum(weights * flat(vector)))

    def curved(vector: Any, weights: Any) -> Any:
        """Return the Hessian of the constraint's entries, weighted and added."""
        return np.asarray(curvature(np.array(vector, np.float64), np.array(weights, np.float64)))

    low, high = (
        end if np.isscalar(end) else flatten(end)[0] for end in (constraint.lb, constraint.ub)
    )
    made: Any = NonlinearConstraint
    return made(value, low, high, slope, curved, keep_feasible=constraint.keep_feasible)


def _flat(
    function: Callable[..., Any], args: tuple[Any, ...], build: trees.Unravel
) -> tuple[Callable[[Any], Any], ...]:
    """Return a function of a container as one of vectors: as it is, compiled, and its Jacobian."""

    def flat(vector: Any) -> Any:
        return trees.ravel(inline_call(function, (build(vector), *args), {}))[0]

    flat.__name__ = name_of(function)  # what messages call it
    value, slope = Compiled(flat, Options("compile")), jacobian(flat)
    return (
        flat,
        lambda vector: np.asarray(value(np.array(vector, np.float64)), np.float64),
        lambda vector: np.asarray(slope(np.array(vector, np.float64)), np.float64),
    )


__all__ = ["bounds_of", "constraints_of"]

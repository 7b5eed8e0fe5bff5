"""`pb.flatten`: containers of arrays as one float64 vector, for optimizers that know vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import tree as trees
from ..ir.errors import DTypeError
from ..optim.clipping import dtype_of, is_python
from ..tracer.native import native


def flatten(tree: Any) -> tuple[Any, trees.Unravel]:
    """Return a container of real arrays as a float64 vector, and the function that builds it again.

    The second one gives each leaf its shape and dtype back, integers as floats. It may be used in a
    function that is differentiated. See `pb.tree.ravel` for a vector of the leaves' own dtype.

    Raises
    ------
    DTypeError
        For a leaf that is no real number.

    Examples
    --------
    With an optimizer that takes a function of a vector:

    >>> import numpy as np
    >>> from scipy.optimize import least_squares
    >>> import pullback as pb
    >>> t = np.linspace(0, 1, 20)
    >>> y = 2.0 * np.exp(-3.0 * t)
    >>> vector, unflatten = pb.flatten({"scale": 1.0, "rate": 1.0})
    >>> def residuals(v):
    ...     p = unflatten(v)
    ...     return p["scale"] * np.exp(-p["rate"] * t) - y
    >>> fit = least_squares(residuals, vector, jac=pb.jacobian(residuals))
    >>> {k: round(v, 6) for k, v in unflatten(fit.x).items()}
    {'scale': 2.0, 'rate': 3.0}
    """
    return flattened(tree, "tree")


def flattened(tree: Any, name: str) -> tuple[Any, trees.Unravel]:
    """As `flatten`; `name` is the expression of the tree, from which messages start."""
    tree = native(tree, name)
    leaves, structure = trees.flatten(tree)
    paths = trees.paths(tree, name)
    floating = [as_floating(leaf, path) for leaf, path in zip(leaves, paths, strict=True)]
    vector, unravel = trees.ravel(trees.unflatten(structure, floating))
    return vector.astype(np.float64), unravel


def as_floating(leaf: Any, path: str) -> Any:
    """Return a leaf as it is, integers as floats; `path` leads to it.

    Raises
    ------
    DTypeError
    """
    kind = dtype_of(leaf, path).kind
    if kind == "c":
        raise DTypeError(
            f"`{path}` is complex, and a vector of real numbers is asked for.\n"
            "  Take its real and imaginary parts as two leaves."
        )
    if kind == "f":
        return leaf
    return leaf * 1.0 if is_python(leaf) else leaf.astype(np.float64)


__all__ = ["as_floating", "flatten", "flattened"]

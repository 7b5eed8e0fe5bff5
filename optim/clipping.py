"""The norm of a tree of arrays, and trees clipped to a norm or a range."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import tree as trees
from ..ir.errors import ArgumentError, DTypeError, with_article
from ..ir.types import Kind
from ..tracer.array import TracedArray, kind_of
from ..tracer.functions.shape import as_array
from ..tracer.native import native


def global_norm(tree: Any) -> Any:
    """Return the Euclidean norm of all entries of a tree together.

    Its derivative at a tree of zeros is 0.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> float(pb.global_norm({"w": np.array([3.0, 0.0]), "b": 4.0}))
    5.0
    """
    tree = native(tree, "tree")
    squares = [
        _sum_of_squares(leaf, path)
        for path, leaf in zip(trees.paths(tree), trees.leaves(tree), strict=True)
    ]
    if not squares:
        return np.float64(0.0)
    total = squares[0]
    for square in squares[1:]:
        total = total + square
    is_positive = total > 0
    return np.where(is_positive, np.sqrt(np.where(is_positive, total, 1)), total)[()]


def clip_by_global_norm(tree: Any, max_norm: Any) -> Any:
    """Return a tree scaled so that its global norm is at most `max_norm`; a smaller one as it is.

    Dtypes stay. Where an entry is NaN all of them are.

    Raises
    ------
    ArgumentError
        Where `max_norm` is a number, and not positive.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> pb.clip_by_global_norm({"w": np.array([3.0, 0.0]), "b": np.array([4.0])}, 1.0)
    {'w': array([0.6, 0. ]), 'b': array([0.8])}
    """
    if isinstance(max_norm, int | float) and not max_norm > 0:
        raise ArgumentError(f"clip_by_global_norm takes a positive norm, not {max_norm}.")
    tree = native(tree, "tree")
    scale = max_norm / np.maximum(global_norm(tree), max_norm)
    return trees.map(lambda leaf: like(leaf, leaf * weak(scale, leaf)), tree)


def clip_by_value(tree: Any, low: Any, high: Any) -> Any:
    """Return a tree with each entry moved into the range from `low` to `high`; None leaves it open.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> pb.clip_by_value([np.array([-3.0, 0.5]), 2.0], -1.0, 1.0)
    [array([-1. ,  0.5]), 1.0]
    """
    tree = native(tree, "tree")
    for path, leaf in zip(trees.paths(tree), trees.leaves(tree), strict=True):
        dtype_of(leaf, path)
    return trees.map(
        lambda leaf: like(leaf, np.clip(leaf, _bound(low, leaf), _bound(high, leaf))), tree
    )


def dtype_of(leaf: Any, path: str = "") -> np.dtype:
    """Return the dtype of a leaf: an array, traced or not, or a number.

    Parameters
    ----------
    path
        The expression that messages call it by.

    Raises
    ------
    DTypeError
        For anything else.
    """
    dtype = getattr(leaf, "dtype", None)
    if dtype is None and isinstance(leaf, bool | int | float | complex):
        dtype = np.asarray(leaf).dtype
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biufc":
        name = f"`{path}`" if path else "a leaf"
        raise DTypeError(
            f"{name} is {with_article(type(leaf).__name__)}, and only arrays and numbers count."
        )
    found: np.dtype = dtype
    return found


def is_python(value: Any) -> bool:
    """Whether a value is a Python number, which takes on the dtype of what it meets."""
    return kind_of(value) is Kind.PYTHON


def weak(scalar: Any, leaf: Any) -> Any:
    """Return a scalar so that what it is combined with keeps the precision of a leaf."""
    if is_python(scalar):
        return scalar
    dtype = dtype_of(leaf)
    if dtype.kind == "c":
        dtype = np.dtype(f"f{dtype.itemsize // 2}")
    if dtype.kind not in "fc" or scalar.dtype == dtype:
        return scalar
    return scalar.astype(dtype)


def like(leaf: Any, value: Any) -> Any:
    """Return a value of the kind of the leaf that it was made from.

    NumPy makes scalars of numbers of Python and of arrays without axes.
    """
    if is_python(leaf):
        return value if is_python(value) else value.item()
    if np.ndim(leaf):
        return value
    if isinstance(leaf, np.ndarray):
        return np.asarray(value)
    if isinstance(leaf, TracedArray) and leaf._kind is Kind.ARRAY:
        return as_array(value)
    return value


def _sum_of_squares(leaf: Any, path: str) -> Any:
    if dtype_of(leaf, path).kind == "c":
        return _sum_of_squares(np.real(leaf), path) + _sum_of_squares(np.imag(leaf), path)
    return np.sum(np.square(leaf)) if np.ndim(leaf) else np.square(leaf)


def _bound(bound: Any, leaf: Any) -> Any:
    return None if bound is None else weak(bound, leaf)


__all__ = ["clip_by_global_norm", "clip_by_value", "global_norm"]

"""A sparse matrix from few products: what is multiplied, and where each entry is read.

A Jacobian with a few dense rows and columns, as of an objective under constraints that hang on one
common argument, takes both modes: the dense rows are computed as rows, and the rest as columns, or
the other way round [1]_.

.. [1] T. F. Coleman, A. Verma, "The efficient computation of sparse Jacobian matrices using
   automatic differentiation", SIAM J. Sci. Comput. 19 (1998) 1210-1233.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.errors import (
    DifferentiationError,
    ShapeError,
    StructureError,
    UnsupportedError,
    with_article,
)
from ..passes.coloring import columns_colored, read_columns, read_stars, stars_colored
from .linear import Leaves

Csr = Any
"""A `scipy.sparse.csr_array`."""
LARGEST = 1 << 28
"""Entries of all products together up to which they are computed at once: 2 GB."""
DENSE = 64
"""Rows, or columns, that are computed apart because they are denser than all others."""


def given_pattern(pattern: Any, shape: tuple[int, int], symmetric: bool) -> Csr:
    """Return a pattern that the user gave, as a boolean matrix with sorted columns.

    Raises
    ------
    ShapeError
        Where it has another shape than the derivative.
    StructureError
        Where it is no matrix.
    """
    import scipy.sparse

    try:
        found: Csr = scipy.sparse.csr_array(pattern).astype(bool)
    except (TypeError, ValueError):
        raise StructureError(
            f"the pattern is {with_article(type(pattern).__name__)}, and no matrix.\n"
            "  Pass a matrix of bools, dense or of scipy.sparse, or leave it out."
        ) from None
    if found.shape != shape:
        raise ShapeError(
            f"the pattern has shape {list(found.shape)}, and the derivative {list(shape)}: a row "
            "for each entry of the output, a column for each entry of the arguments."
        )
    if symmetric:
        found = (found + found.T).tocsr()
    found.eliminate_zeros()
    found.sum_duplicates()
    return found


def symmetric_part(pattern: Csr) -> Csr:
    """Return the entries of a Hessian's pattern that are there on both sides of the diagonal.

    An entry that is always zero on one side is so on the other.
    """
    found = (pattern * pattern.T).tocsr()
    found.sort_indices()
    return found


class Part(NamedTuple):
    """Some entries of a matrix, read from products with sums of its columns or rows.

    `colors` has the colour of each column (`mode` "forward") or row ("reverse"); entry k of the
    pattern is at `place[k]` of product `product[k]`.
    """

    pattern: Csr
    mode: str
    colors: np.ndarray
    product: np.ndarray
    place: np.ndarray

    @classmethod
    def by_columns(cls, pattern: Csr) -> Part:
        """Return the part of a pattern whose columns are computed."""
        colors = columns_colored(pattern)
        return cls(pattern, "forward", colors, *read_columns(pattern, colors))

    @classmethod
    def by_rows(cls, pattern: Csr) -> Part:
        """Return the part of a pattern whose rows are computed."""
        colors = columns_colored(turned(pattern))
        rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
        return cls(pattern, "reverse", colors, colors[rows], pattern.indices)

    @property
    def products(self) -> int:
        """The number of products: one for each colour."""
        return int(self.colors.max(initial=0)) + 1

    def sums(self, side: Leaves, is_checked: bool) -> list[np.ndarray]:
        """Return the vectors to multiply with, for each array of a side.

        Those are the sums of the basis vectors of one colour, and behind them one in a random
        direction, where the pattern is to be checked.
        """
        count = self.products
        rows = np.zeros((count + is_checked, side.total))
        # What has no entries in this part may have some in another.
        along = self.pattern if self.mode == "reverse" else turned(self.pattern)
        used = np.flatnonzero(np.diff(along.indptr))
        rows[self.colors[used], used] = 1
        if is_checked:
            rows[count] = np.random.default_rng(0).uniform(-1, 1, side.total)
        return [
            rows[:, start : start + type.size].reshape((len(rows), *shape)).astype(type.dtype)
            for type, shape, start in zip(side.types, side.shapes, side.starts, strict=True)
        ]

    @property
    def places(self) -> np.ndarray:
        """Where each entry is in the products, flattened."""
        height, width = self.pattern.shape
        size = height if self.mode == "forward" else width
        found: np.ndarray = self.product * size + self.place
        return found

    def check(self, matrix: Csr, sums: Sequence[np.ndarray], product: np.ndarray) -> None:
        """Raise where a matrix does not give the product in the random direction.

        Raises
        ------
        DifferentiationError
            Where the pattern lacks an entry that is not zero.
        """
        direction = np.concatenate([s[-1].ravel() for s in sums])
        along = matrix if self.mode == "forward" else matrix.T
        found, size = along @ direction, abs(along) @ abs(direction)
        tolerance = np.sqrt(np.finfo(product.dtype).eps)
        with np.errstate(invalid="ignore"):  # inf - inf proves nothing
            wrong = np.abs(found - product) > tolerance * (size + np.abs(product))
        if wrong.any():
            what = "row" if self.mode == "forward" else "column"
            raise DifferentiationError(
                f"the pattern lacks entries that are not zero, for example in {what} "
                f"{int(np.argmax(wrong))} of the matrix.\n"
                "  Leave it out: pb.sparsity finds one that holds them all."
            )


class Compression(NamedTuple):
    """A pattern, and the parts in which it is computed: one, or two of different modes."""

    pattern: Csr
    parts: tuple[Part, ...]

    @property
    def products(self) -> int:
        """The number of products with the derivative."""
        return sum(p.products for p in self.parts)

    @property
    def mode(self) -> str:
        """The mode of all parts, or "both"."""
        return self.parts[0].mode if len(self.parts) == 1 else "both"

    @classmethod
    def of_jacobian(cls, pattern: Csr, mode: str) -> Compression:
        """Return the compression with few products: "auto" may take both modes, "either" one.

        Raises
        ------
        UnsupportedError
            Where the products are too many and too large.
        """
        # There are no fewer colours of columns than entries in the widest row.
        other = turned(pattern)
        least = {"forward": _widest(pattern), "reverse": _widest(other)}
        ways = [mode] if mode in least else sorted(least, key=lambda w: least[w])
        if mode == "auto":
            (few, rows), way = min(
                (_dense_rows(p), way) for p, way in ((pattern, "forward"), (other, "reverse"))
            )
            if 2 * few < least[ways[0]]:
                return cls(pattern, _in_two(pattern, other, list(rows), way))
        height, width = pattern.shape
        if all(least[w] * (height if w == "forward" else width) > LARGEST for w in ways):
            raise UnsupportedError(
                f"the Jacobian of {height:,} x {width:,} entries has up to {least['forward']:,} in "
                f"a row and {least['reverse']:,} in a column, and takes as many products at once "
                f"(mode={mode!r}).\n"
                "  Differentiate the outputs apart that depend on nearly everything, and the "
                "arguments on which nearly everything depends."
            )
        found: list[Part] = []
        for way in ways:
            if not found or least[way] < found[0].products:
                found.append((Part.by_columns if way == "forward" else Part.by_rows)(pattern))
        return cls(pattern, (min(found, key=lambda p: p.products),))

    @classmethod
    def of_hessian(cls, pattern: Csr) -> Compression:
        """Return the compression of a symmetric pattern, of which one side is enough.

        Raises
        ------
        UnsupportedError
            Where the products are too many and too large.
        """
        colors = stars_colored(pattern)
        part = Part(pattern, "forward", colors, *read_stars(pattern, colors))
        size = pattern.shape[0]
        if part.products * size > LARGEST:
            raise UnsupportedError(
                f"the Hessian of {size:,} x {size:,} entries takes {part.products:,} products at "
                "once.\n  Use products with it, pb.hvp, for example in an iterative solver."
            )
        return cls(pattern, (part,))

    def in_reverse(self) -> Compression:
        """Return the compression of a symmetric matrix with products from the other side."""
        return self._replace(parts=tuple([p._replace(mode="reverse") for p in self.parts]))

    def __str__(self) -> str:
        height, width = self.pattern.shape
        plural = "product" if self.products == 1 else "products"
        modes = "both modes" if self.mode == "both" else f"{self.mode} mode"
        return (
            f"{self.pattern.nnz:,} entries of {height:,} x {width:,} from {self.products} "
            f"{plural}, in {modes}"
        )


def turned(pattern: Csr) -> Csr:
    """Return the transpose of a pattern."""
    found = pattern.T.tocsr()
    found.sort_indices()
    return found


def _widest(pattern: Csr) -> int:
    return int(np.diff(pattern.indptr).max(initial=0))


def _dense_rows(pattern: Csr) -> tuple[int, tuple[int, ...]]:
    """Return how many products there are at the least, and which rows are then computed apart."""
    counts = np.diff(pattern.indptr)
    order = np.argsort(-counts, kind="stable")[: DENSE + 1]
    if not len(order):
        return 0, ()
    bounds = np.arange(len(order)) + counts[order]
    few = int(np.argmin(bounds))
    return int(bounds[few]), tuple(order[:few].tolist())


def _in_two(pattern: Csr, other: Csr, dense: Sequence[int], way: str) -> tuple[Part, ...]:
    """Return two parts: dense rows (columns, if `way` is "reverse") and all others."""
    whole = pattern if way == "forward" else other
    is_dense = np.zeros(whole.shape[0], bool)
    is_dense[dense] = True
    rest, apart = _rows_of(whole, ~is_dense), _rows_of(whole, is_dense)
    if way == "forward":
        return Part.by_columns(rest), Part.by_rows(apart)
    return Part.by_rows(turned(rest)), Part.by_columns(turned(apart))


def _rows_of(pattern: Csr, taken: np.ndarray) -> Csr:
    """Return a pattern without the entries of the other rows."""
    counts = np.diff(pattern.indptr)
    indptr = np.concatenate([[0], np.cumsum(np.where(taken, counts, 0))])
    indices = pattern.indices[np.repeat(taken, counts)]
    return type(pattern)((np.ones(len(indices), bool), indices, indptr), shape=pattern.shape)


__all__ = ["Compression", "Part", "given_pattern", "symmetric_part"]

"""A sparse matrix from few products: what is multiplied, and where each entry is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.errors import DifferentiationError, ShapeError, UnsupportedError
from ..passes.coloring import columns_colored, read_columns, read_stars, stars_colored
from .linear import Leaves

Csr = Any
"""A `scipy.sparse.csr_array`."""
LARGEST = 1 << 28
"""Entries of all products together up to which they are computed at once: 2 GB."""


def given_pattern(pattern: Any, shape: tuple[int, int], symmetric: bool) -> Csr:
    """Return a pattern that the user gave, as a boolean matrix with sorted columns.

    Raises
    ------
    ShapeError
        Where it has another shape than the derivative.
    """
    import scipy.sparse

    found: Csr = scipy.sparse.csr_array(pattern).astype(bool)
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


class Compression(NamedTuple):
    """A pattern, and how its entries are read from products with sums of columns or rows.

    `colors` has the colour of each column (`mode` "forward") or row ("reverse"); entry k of the
    matrix is at `place[k]` of product `product[k]`.
    """

    pattern: Csr
    mode: str
    colors: np.ndarray
    product: np.ndarray
    place: np.ndarray

    @property
    def products(self) -> int:
        """The number of products: one for each colour."""
        return int(self.colors.max(initial=0)) + 1

    @classmethod
    def of_jacobian(cls, pattern: Csr, mode: str) -> Compression:
        """Return the compression by columns or by rows, for "auto" the one with fewer products.

        Raises
        ------
        UnsupportedError
            Where the products are too many and too large.
        """
        turned = pattern.T.tocsr()
        turned.sort_indices()
        # There are no fewer colours of columns than entries in the widest row.
        least = {
            "forward": int(np.diff(pattern.indptr).max(initial=0)),
            "reverse": int(np.diff(turned.indptr).max(initial=0)),
        }
        ways = sorted(least, key=lambda w: least[w]) if mode == "auto" else [mode]
        height, width = pattern.shape
        if all(least[w] * (height if w == "forward" else width) > LARGEST for w in ways):
            raise UnsupportedError(
                f"the Jacobian of {height:,} x {width:,} entries has up to {least['forward']:,} in "
                f"a row and {least['reverse']:,} in a column, and takes as many products at once "
                f"(mode={mode!r}).\n"
                "  Differentiate the outputs apart that depend on nearly everything, and the "
                "arguments on which nearly everything depends."
            )
        found: list[Compression] = []
        for way in ways:
            if not found or least[way] < found[0].products:
                make = cls._by_columns if way == "forward" else cls._by_rows
                found.append(make(pattern, turned))
        return min(found, key=lambda c: c.products)

    @classmethod
    def _by_columns(cls, pattern: Csr, turned: Csr) -> Compression:
        colors = columns_colored(pattern)
        return cls(pattern, "forward", colors, *read_columns(pattern, colors))

    @classmethod
    def _by_rows(cls, pattern: Csr, turned: Csr) -> Compression:
        colors = columns_colored(turned)
        rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
        return cls(pattern, "reverse", colors, colors[rows], pattern.indices)

    @classmethod
    def of_hessian(cls, pattern: Csr) -> Compression:
        """Return the compression of a symmetric pattern, of which one side is enough.

        Raises
        ------
        UnsupportedError
            Where the products are too many and too large.
        """
        colors = stars_colored(pattern)
        found = cls(pattern, "forward", colors, *read_stars(pattern, colors))
        size = pattern.shape[0]
        if found.products * size > LARGEST:
            raise UnsupportedError(
                f"the Hessian of {size:,} x {size:,} entries takes {found.products:,} products at "
                "once.\n  Use products with it, pb.hvp, for example in an iterative solver."
            )
        return found

    def sums(self, side: Leaves, is_checked: bool) -> list[np.ndarray]:
        """Return the vectors to multiply with, for each array of a side.

        Those are the sums of the basis vectors of one colour, and behind them one in a random
        direction, where the pattern is to be checked.
        """
        count = self.products
        rows = np.zeros((count + is_checked, side.total))
        rows[self.colors, np.arange(side.total)] = 1
        if is_checked:
            rows[count] = np.random.default_rng(0).uniform(-1, 1, side.total)
        return [
            rows[:, start : start + type.size].reshape((len(rows), *shape)).astype(type.dtype)
            for type, shape, start in zip(side.types, side.shapes, side.starts, strict=True)
        ]

    def matrix(self, products: np.ndarray) -> Csr:
        """Return the matrix whose products with the sums are the rows of an array."""
        import scipy.sparse

        where = self.product * products.shape[1] + self.place
        data = products.reshape(-1).take(where)
        indices, indptr = self.pattern.indices.copy(), self.pattern.indptr.copy()
        return scipy.sparse.csr_array((data, indices, indptr), shape=self.pattern.shape)

    def check(self, matrix: Csr, sums: Sequence[np.ndarray], product: np.ndarray) -> None:
        """Raise where a matrix does not give the product in the random direction.

        Raises
        ------
        DifferentiationError
            Where the pattern lacks an entry that is not zero.
        """
        direction = np.concatenate([s[-1].ravel() for s in sums])
        turned = matrix if self.mode == "forward" else matrix.T
        found, size = turned @ direction, abs(turned) @ abs(direction)
        tolerance = np.sqrt(np.finfo(product.dtype).eps)
        with np.errstate(invalid="ignore"):
            wrong = np.abs(found - product) > tolerance * (size + np.abs(product))
        if wrong.any():
            what = "row" if self.mode == "forward" else "column"
            raise DifferentiationError(
                f"the pattern lacks entries that are not zero, for example in {what} "
                f"{int(np.argmax(wrong))} of the matrix.\n"
                "  Leave it out: pb.sparsity finds one that holds them all."
            )

    def __str__(self) -> str:
        height, width = self.pattern.shape
        plural = "product" if self.products == 1 else "products"
        return (
            f"{self.pattern.nnz:,} entries of {height:,} x {width:,} from {self.products} "
            f"{plural}, in {self.mode} mode"
        )


__all__ = ["Compression", "given_pattern", "symmetric_part"]

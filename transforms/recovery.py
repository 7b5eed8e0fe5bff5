"""The entries of a sparse matrix, taken out of products at positions that are known before.

Everything that does not depend on the point is worked out once: where each entry stands in the
products, and the index arrays. A call gathers into memory of matrices that have been dropped; made
anew, three arrays of 300,000 entries cost more in page faults than the products do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ..ir.types import ArrayType
from ..runtime.keeper import KEEPER
from ..runtime.recycle import WORTH, Shelf
from .compression import Compression, Csr


class Recovery:
    """Makes the matrix of a compression from its products."""

    def __init__(self, compression: Compression, dtype: np.dtype) -> None:
        import scipy.sparse

        pattern = compression.pattern
        self.shape = pattern.shape
        self.is_canonical = bool(pattern.has_canonical_format)
        self.uses = 0
        # Half the size of what patterns are computed in, and what direct solvers take.
        index = np.dtype(scipy.sparse.get_index_dtype(maxval=max(pattern.nnz, *pattern.shape)))
        self.indices, self.indptr = pattern.indices.astype(index), pattern.indptr.astype(index)
        self._shelves: list[Shelf] = []
        self._data = self._lender(dtype, pattern.nnz)
        self._indices = self._lender(index, len(self.indices))
        self._indptr = self._lender(index, len(self.indptr))
        parts = compression.parts
        self._places = [p.places for p in parts]
        # Of a single part the entries are in the order of the whole.
        self._entries = [_among(pattern, p.pattern) for p in parts] if len(parts) > 1 else []
        KEEPER.add(self)

    def __call__(self, products: Sequence[np.ndarray]) -> Csr:
        """Return the matrix; products with the sums of each part are the rows of an array."""
        import scipy.sparse

        self.uses += 1
        data = self._data()
        if self._entries:
            for own, places, entries in zip(products, self._places, self._entries, strict=True):
                data[entries] = own.reshape(-1).take(places)
        else:
            # All places are within; NumPy gathers into a copy where it is to find out.
            products[0].reshape(-1).take(self._places[0], out=data, mode="clip")
        # The caller may change them, as `eliminate_zeros` does.
        indices, indptr = self._indices(), self._indptr()
        indices[...], indptr[...] = self.indices, self.indptr
        matrix: Csr = scipy.sparse.csr_array((data, indices, indptr), shape=self.shape)
        # Else scipy reads all indices at the first operation that depends on it.
        matrix.has_canonical_format = self.is_canonical
        return matrix

    def release(self) -> None:
        """Drop the memory of dropped matrices."""
        for shelf in self._shelves:
            shelf.clear()

    def _lender(self, dtype: np.dtype, count: int) -> Callable[[], np.ndarray]:
        """Return a function that makes an array, in recycled memory where that is worth it."""
        type = ArrayType(dtype, (count,))
        if type.nbytes < WORTH:
            return partial(np.empty, count, dtype)
        shelf = Shelf(type.nbytes)
        self._shelves.append(shelf)
        return shelf.lender(type, None)


def _among(whole: Csr, part: Csr) -> np.ndarray:
    """Return which entries of a pattern those of a part of it are."""
    keys, wanted = [
        np.repeat(np.arange(p.shape[0], dtype=np.int64), np.diff(p.indptr)) * p.shape[1] + p.indices
        for p in (whole, part)
    ]
    found: np.ndarray = np.searchsorted(keys, wanted)
    return found


__all__ = ["Recovery"]

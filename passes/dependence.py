"""Which inputs each entry of an array depends on: rows of a sparse boolean matrix.

A row holds the numbers of the inputs. Where many rows would hold the same many inputs (a sum that
is broadcast again), that set becomes a *hub*: a further column that stands for it. Products and
unions then cost what the hubs cost, and only the final rows are written out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.errors import UnsupportedError

Rows = Any
"""A boolean `scipy.sparse.csr_array`: one row for each entry, or one for all of them."""

WIDE = 64
"""Inputs of a row from which it becomes a hub; bands are mostly narrower, and stay as they are."""
SHARED = 4
"""Inputs of a row that is repeated for every entry, from which it becomes a hub."""
LARGEST = 1 << 28
"""Entries of the largest pattern that is written out: 1.3 GB."""


class Gather(NamedTuple):
    """Entry k has the row of entry `sources[k]`; none where that is negative."""

    sources: np.ndarray


class Group(NamedTuple):
    """Entry k is the union of the rows whose label is k; negative labels are in none."""

    labels: np.ndarray
    size: int


class Combine(NamedTuple):
    """Entry k is the union of the rows that row k of a boolean sparse matrix holds."""

    members: Any


Step = Gather | Group | Combine
Chain = tuple[Step, ...]
"""What an operation does to rows; nothing: each entry has its own."""


class Dependence:
    """Makes rows over `inputs` columns, and the hubs that come after these."""

    def __init__(self, inputs: int) -> None:
        import scipy.sparse

        self._csr: Any = scipy.sparse.csr_array
        self._stack: Any = scipy.sparse.vstack
        self.inputs = inputs
        self.columns = inputs
        self.width = inputs + 64
        self._hubs: list[tuple[int, Rows]] = []

    def rows(self, indptr: np.ndarray, indices: np.ndarray) -> Rows:
        """Return rows of sorted columns."""
        data = np.ones(len(indices), bool)
        return self._csr((data, indices, indptr), shape=(len(indptr) - 1, self.width))

    def of_inputs(self, start: int, size: int) -> Rows:
        """Return the rows of an array whose entries are inputs, from a number on."""
        return self.rows(np.arange(size + 1), np.arange(start, start + size))

    def empty(self, size: int) -> Rows:
        """Return rows without inputs."""
        return self.rows(np.zeros(size + 1, np.intp), np.zeros(0, np.intp))

    def _fitted(self, rows: Rows) -> Rows:
        return rows if rows.shape[1] == self.width else self.rows(rows.indptr, rows.indices)

    def union(self, left: Rows | None, right: Rows | None) -> Rows | None:
        """Return the union row by row; one of the operands itself where it holds the other."""
        if left is None or left is right:
            return right
        if right is None:
            return left
        size = max(left.shape[0], right.shape[0])
        first, second = self.spread(left, size), self.spread(right, size)
        both = self._fitted(first) + self._fitted(second)
        if both.nnz == first.nnz:
            return first
        return second if both.nnz == second.nnz else self._narrowed(both, WIDE)

    def spread(self, rows: Rows, size: int) -> Rows:
        """Return rows for `size` entries, where there is one for all of them."""
        if rows.shape[0] == size:
            return rows
        return self.apply(self._narrowed(rows, SHARED), (Gather(np.zeros(size, np.intp)),))

    def whole(self, rows: Rows) -> Rows:
        """Return one row that holds all."""
        if rows.shape[0] == 1:
            return rows
        columns = np.unique(rows.indices)
        return self._narrowed(self.rows(np.array([0, len(columns)]), columns), WIDE)

    def apply(self, rows: Rows, chain: Chain) -> Rows:
        """Return the rows that a chain of steps makes."""
        for step in chain:
            if isinstance(step, Gather):
                rows = self._gathered(rows, step)
            else:
                members = step.members if isinstance(step, Combine) else self._members(rows, step)
                rows = self._combined(rows, members)
        return rows

    def _gathered(self, rows: Rows, step: Gather) -> Rows:
        index = step.sources
        size = rows.shape[0]
        if not size:
            return self.empty(len(index))
        if index.size and index.min() < 0:
            # The row after the last is empty.
            rows = self.rows(np.append(rows.indptr, rows.indptr[-1]), rows.indices)
            index = np.where(index < 0, size, index)
        if len(index) > size:
            rows = self._narrowed(rows, WIDE)
        return self._fitted(rows)[index]

    def _members(self, rows: Rows, step: Group) -> Any:
        """Return the matrix that says which rows are in which group."""
        kept = np.flatnonzero(step.labels >= 0)
        order = kept[np.argsort(step.labels[kept], kind="stable")]
        counts = np.bincount(step.labels[kept], minlength=step.size)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        ones = np.ones(len(order), bool)
        return self._csr((ones, order, indptr), shape=(step.size, rows.shape[0]))

    def _combined(self, rows: Rows, members: Any) -> Rows:
        found = members @ self._fitted(rows)
        found.sort_indices()
        return self._narrowed(found, WIDE)

    def _narrowed(self, rows: Rows, limit: int) -> Rows:
        """Return the rows with a hub in place of each that holds more than `limit` columns."""
        counts = np.diff(rows.indptr)
        wide = np.flatnonzero(counts > limit)
        if not len(wide):
            return rows
        self._hubs.append((self.columns, self._fitted(rows)[wide]))
        first, self.columns = self.columns, self.columns + len(wide)
        while self.width < self.columns:
            self.width *= 2
        left = np.repeat(counts <= limit, counts)
        counts[wide] = 1
        indptr = np.concatenate([[0], np.cumsum(counts)])
        indices = np.empty(indptr[-1], np.intp)
        is_hub = np.zeros(indptr[-1], bool)
        is_hub[indptr[wide]] = True
        indices[is_hub] = np.arange(first, self.columns)
        indices[~is_hub] = rows.indices[left]
        return self.rows(indptr, indices)

    def stacked(self, parts: Sequence[tuple[Rows | None, int]]) -> Rows:
        """Return the rows of arrays put one behind the other; each with its size."""
        made = [self.empty(n) if r is None else self.spread(r, n) for r, n in parts]
        return self._stack([self._fitted(r) for r in made], format="csr")

    def resolved(self, rows: Rows) -> Rows:
        """Return the rows with inputs alone: what the hubs stand for is written out.

        Raises
        ------
        UnsupportedError
            Where that is too large.
        """
        rows = self._fitted(rows)
        for start, hubs in reversed(self._hubs):
            used = (rows.indices >= start) & (rows.indices < start + hubs.shape[0])
            if not used.any():
                continue
            total = rows.nnz + int(np.diff(hubs.indptr)[rows.indices[used] - start].sum())
            if total > LARGEST:
                raise UnsupportedError(
                    f"the pattern is nearly dense: {rows.shape[0]:,} rows of {self.inputs:,} "
                    f"entries hold {total:,} or more.\n"
                    "  Use pb.jacobian, or products with it: pb.vjp, pb.jvp."
                )
            rest = self._part(rows, ~used, 0, self.width)
            links = self._part(rows, used, start, hubs.shape[0])
            rows = rest + links @ self._fitted(hubs)
        found = self._csr(
            (rows.data, rows.indices, rows.indptr), shape=(rows.shape[0], self.inputs)
        )
        found.sort_indices()
        return found

    def _part(self, rows: Rows, taken: np.ndarray, start: int, width: int) -> Rows:
        """Return some of the entries of rows, their columns counted from `start`."""
        size = rows.shape[0]
        row_of = np.repeat(np.arange(size), np.diff(rows.indptr))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row_of[taken], minlength=size))])
        indices = rows.indices[taken] - start
        return self._csr((np.ones(len(indices), bool), indices, indptr), shape=(size, width))


__all__ = ["Chain", "Combine", "Dependence", "Gather", "Group", "Rows", "Step"]

"""How a contraction of two arrays becomes a matrix product: which axes are rows, columns and batch.

The axes of an array may be in an order that a matrix product cannot read. Then it is copied, and
there is a choice: which of the two is on the left, in which order axes are merged, and whether an
axis that is only in one of them, or is summed over, is a batch axis all the same. A convolution as
`einsum('nchwij,ocij->nohw', windows, kernel)` shows what hangs on it: with one product of
(nhw, cij) by (cij, o) the windows are copied three numbers at a time (177 µs for 35,000 numbers),
with a product (o, cij) by (cij, hw) for each n 18 at a time (12 µs), and the result is in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..op import Array
from ..types import c_strides

Term = tuple[Array, str]
"""An array and a label, one character, for each of its axes."""

CALL = 150.0
"""Nanoseconds for each matrix of a stack."""
SHORT = 12.0
"""Nanoseconds for each inner loop of a copy."""
APART = 1.0
"""Nanoseconds for each number that is copied from or to another place than the next one."""
NEXT = 0.2
"""Nanoseconds for each number of a copy that reads and writes one after the other."""


def sizes_of(*terms: Term) -> dict[str, Any]:
    """Return the sizes of the axes of terms by their labels."""
    return {c: d for array, labels in terms for c, d in zip(labels, array.shape, strict=True)}


class Arrangement(NamedTuple):
    """The axes of a product: (*extra, *batch, rows, inner) @ (*extra, *batch, inner, columns).

    `extra` is one axis or none: of one operand, or summed over afterwards.
    """

    swapped: bool
    extra: str
    batch: str
    rows: str
    inner: str
    columns: str


def arrange(a: Term, b: Term, into: str) -> Arrangement:
    """Return the cheapest arrangement; where copies are needed, others than the plain are tried."""
    best: tuple[float, Arrangement] | None = None
    is_static = all(isinstance(d, int) and d > 0 for x in (a, b) for d in x[0].shape)
    for candidate in _candidates(a, b, into):
        if not is_static:
            return candidate
        cost = _cost(candidate, a, b, into)
        if best is None or cost < best[0]:
            best = cost, candidate
        if cost == 0.0:
            break
    assert best is not None
    return best[1]


def _candidates(a: Term, b: Term, into: str) -> Iterator[Arrangement]:
    """Yield arrangements, the plain one first."""
    summed = "".join(c for c in a[1] if c in b[1] and c not in into)
    batch = "".join(c for c in into if c in a[1] and c in b[1])
    first = next((c for c in into if c not in batch), "") not in a[1]
    lone = into[:1] if into[:1] not in batch else ""
    extras = ["", *lone, *(summed if len(summed) > 1 else "")]
    seen: set[Arrangement] = set()
    for extra, swapped in product(extras, (first, not first)):
        left, right = (b, a) if swapped else (a, b)
        free = [c for c in {**dict.fromkeys(a[1]), **dict.fromkeys(b[1])} if c not in batch + extra]
        members = [
            ([c for c in free if c in left[1] and c in into], (left[1], into)),
            ([c for c in free if c in summed], (left[1], right[1])),
            ([c for c in free if c in right[1] and c in into], (right[1], into)),
        ]
        groups = [
            list(dict.fromkeys("".join(c for c in of if c in group) for of in orders))
            for group, orders in members
        ]
        if not groups[1][0] or (extra in summed and extra and _is_large(extra, a, b, into)):
            continue
        for rows, inner, columns in product(*groups):
            found = Arrangement(swapped, extra, batch, rows, inner, columns)
            if found not in seen:
                seen.add(found)
                yield found


def _is_large(extra: str, a: Term, b: Term, into: str) -> bool:
    """Whether the products before the sum over `extra` take more than the larger operand."""
    sizes: dict[str, int] = sizes_of(a, b)
    return prod(sizes[c] for c in extra + into) > max(int(prod(x[0].shape)) for x in (a, b))


def _cost(plan: Arrangement, a: Term, b: Term, into: str) -> float:
    """Return nanoseconds beyond those of one product of contiguous matrices, roughly."""
    left, right = (b, a) if plan.swapped else (a, b)
    sizes: dict[str, int] = sizes_of(a, b)
    total = 0.0
    for term, groups in ((left, (plan.rows, plan.inner)), (right, (plan.inner, plan.columns))):
        strides = _strides(term[0])
        where = {c: k for k, c in enumerate(term[1])}
        own = [plan.extra if plan.extra in where else "", *plan.batch]
        total += _copy(
            [[(sizes[c], strides[where[c]]) for c in g] for g in groups],
            prod(sizes[c] for c in own if c),
            term[0].dtype.itemsize,
        )
    count = prod(sizes[c] for c in (*plan.extra, *plan.batch))
    plain = prod(sizes[c] for c in plan.batch)
    total += CALL * (count - plain)
    # The result: its axes in the order of `into` are written in place where a product can.
    made = plan.extra + plan.batch + plan.rows + plan.columns
    result = [c for c in made if c in into]
    if plan.extra and plan.extra not in into:
        total += APART * prod(sizes[c] for c in made)
    if "".join(result) != into:
        shape = [sizes[c] for c in into]
        target = dict(zip(into, c_strides(1, shape), strict=True))
        total += 0.1 + _copy(
            [[(sizes[c], target[c]) for c in g] for g in (plan.rows, plan.columns)],
            prod(sizes[c] for c in plan.batch + (plan.extra if plan.extra in into else "")),
            1,
        )
    return total


def _strides(array: Array) -> Sequence[int]:
    if isinstance(array, np.ndarray):
        return array.strides
    layout = getattr(array, "__pullback_layout__", None)
    found: Any = None if layout is None else layout()
    return found or c_strides(array.dtype.itemsize, array.shape)


def _copy(groups: Sequence[Sequence[tuple[int, int]]], count: int, itemsize: int) -> float:
    """Return the cost of what stands between strided axes and a stack of matrices, 0 for nothing.

    `groups` are the sizes and strides of the axes that become rows and those that become columns.
    """
    merged = [_merged(g) for g in groups]
    if all(m is not None for m in merged) and _is_matrix(
        [m for m in merged if m is not None], itemsize
    ):
        return 0.0
    numbers = count * prod(d for g in groups for d, _ in g)
    last = [axis for g in groups for axis in g if axis[0] > 1]
    if not last:
        return 0.0
    size, stride = last[-1]
    # A transposed copy reads or writes with steps, along its longer axis.
    inner = max(size, max((d for d, s in last if s == itemsize), default=1))
    return numbers * ((NEXT if stride == itemsize else APART) + SHORT / inner)


def _merged(axes: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """Return size and stride of axes as one axis, None where they do not follow each other."""
    kept = [axis for axis in axes if axis[0] != 1]
    if not kept:
        return 1, 0
    for (_, outer), (size, stride) in pairwise(kept):
        if outer != size * stride:
            return None
    return prod(d for d, _ in kept), kept[-1][1]


def _is_matrix(axes: Sequence[tuple[int, int]], itemsize: int) -> bool:
    """Whether BLAS takes a matrix of these rows and columns: one of them has no gaps."""
    real = [axis for axis in axes if axis[0] > 1]
    if len(real) < 2:
        return all(stride > 0 for _, stride in real)
    (m, s), (n, t) = real
    return (t == itemsize and s >= n * t) or (s == itemsize and t >= m * s)

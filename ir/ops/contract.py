"""Sums of products as matrix products, of which the adjoints of products and solves are made.

Everything here is plain NumPy, so that it runs on ndarrays and on traced arrays. No value is larger
than the largest operand or result of the equation that is differentiated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from ..dims import Size
from ..op import Array
from .arrange import Term, arrange, sizes_of
from .pairing import Order, cheapest_order

BATCH_LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Labels for leading axes; the core axes of products have lower-case ones."""
MOST_OPERANDS = 8
"""Operands up to which every order is looked at."""


def batch_labels(count: int) -> str:
    """Return labels for `count` leading axes, which broadcast from the right."""
    return BATCH_LABELS[len(BATCH_LABELS) - count :]


def bilinear_vjp(needs: Sequence[bool], ct: Term, a: Term, b: Term) -> list[Array | None]:
    """Return the cotangents of the operands of a contraction of two."""
    into_a = adjoint(ct, [b], a[0].shape, a[1]) if needs[0] else None
    into_b = adjoint(ct, [a], b[0].shape, b[1]) if needs[1] else None
    return [into_a, into_b]


def adjoint(ct: Term, others: Sequence[Term], shape: Sequence[Size], labels: str) -> Array:
    """Return the cotangent of an operand of a contraction; `others` are the other operands.

    It is again a contraction, of `ct` and `others`: axes along which the operand was broadcast are
    summed over, and it is repeated along those which only the operand has.
    """
    terms = [squeezed(term) for term in (ct, *others)]
    present = {label for _, of in terms for label in of}
    wanted = "".join(c for c, d in zip(labels, shape, strict=True) if d != 1 and c in present)
    value = contract_all(terms, wanted)
    target: Any = tuple(shape)
    kept: list[Any] = [d if c in wanted else 1 for c, d in zip(labels, target, strict=True)]
    value = np.reshape(value, kept)
    return value if tuple(kept) == target else np.broadcast_to(value, target)


def squeezed(term: Term) -> Term:
    """Return a term without its axes of size 1, which broadcast."""
    array, labels = term
    if 1 not in array.shape:
        return term
    kept = [(c, d) for c, d in zip(labels, array.shape, strict=True) if d != 1]
    return np.reshape(array, [d for _, d in kept]), "".join(c for c, _ in kept)


def contract_all(terms: Sequence[Term], into: str) -> Array:
    """Return the sum of products over all labels that are not in `into`.

    More than two operands are multiplied pairwise, the smallest intermediate first, as long as no
    intermediate is larger than the largest of them.
    """
    terms = list(terms)
    if len(terms) == 1:
        ((array, labels),) = terms
        array, labels = _summed(array, labels, into)
        return np.transpose(array, [labels.index(c) for c in into])
    sizes = sizes_of(*terms)
    limit = 0
    if _is_static(sizes):
        limit = max(*[prod(array.shape) for array, _ in terms], prod(sizes[c] for c in into))
    if 2 < len(terms) <= MOST_OPERANDS and limit:
        best = cheapest_order([labels for _, labels in terms], into, sizes, limit)
        if best is not None:
            return _in_order(best, terms, into)
    while len(terms) > 2:
        pair = _cheapest_pair([labels for _, labels in terms], into, sizes)
        if pair is None or prod(sizes[c] for c in pair[2]) > limit:
            from .einsum import Einsum
            from .index import apply

            return apply(Einsum(tuple(c for _, c in terms), into), *[a for a, _ in terms])
        i, j, kept = pair
        product = contract(terms[i], terms[j], kept)
        terms = [t for k, t in enumerate(terms) if k not in (i, j)] + [(product, kept)]
    return contract(terms[0], terms[1], into)


def _in_order(order: Order, terms: Sequence[Term], into: str) -> Array:
    """Multiply in the given order; intermediates have their axes as the operands have them."""

    def value(node: Order, rest: str) -> Term:
        if isinstance(node, int):
            return terms[node]
        left, right = node
        a = value(left, rest + _labels(right, terms))
        b = value(right, rest + a[1])
        kept = "".join(c for c in dict.fromkeys(a[1] + b[1]) if c in rest)
        return contract(a, b, kept), kept

    assert not isinstance(order, int)
    a = value(order[0], into + _labels(order[1], terms))
    b = value(order[1], into + a[1])
    return contract(a, b, into)


def _labels(node: Order, terms: Sequence[Term]) -> str:
    if isinstance(node, int):
        return terms[node][1]
    return _labels(node[0], terms) + _labels(node[1], terms)


def _is_static(sizes: Mapping[str, Size]) -> bool:
    return all(isinstance(d, int) for d in sizes.values())


def _cheapest_pair(
    labels: Sequence[str], into: str, sizes: Mapping[str, Any]
) -> tuple[int, int, str] | None:
    """Return the pair with the smallest product, and the labels of that product."""
    if not _is_static(sizes):
        return None
    found: list[tuple[int, int, int, str]] = []
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            rest = into + "".join(c for k, c in enumerate(labels) if k not in (i, j))
            kept = "".join(c for c in dict.fromkeys(labels[i] + labels[j]) if c in rest)
            found.append((prod(sizes[c] for c in kept), i, j, kept))
    _, i, j, kept = min(found)
    return i, j, kept


def contract(a: Term, b: Term, into: str) -> Array:
    """Return the sum of products of two arrays as one matrix product, in the cheapest arrangement.

    A label stands once in a term and has one size. Where nothing is summed, the product is
    elementwise.
    """
    a = _summed(*a, keep=b[1] + into)
    b = _summed(*b, keep=a[1] + into)
    if not any(c in b[1] and c not in into for c in a[1]):
        return _spread(a, into) * _spread(b, into)
    chosen = arrange(a, b, into)
    if chosen.swapped:
        a, b = b, a
    extra, rows, inner, columns = chosen.extra, chosen.rows, chosen.inner, chosen.columns
    batch = chosen.batch
    sizes = sizes_of(a, b)
    if batch and not (extra or rows or columns) and a[0].dtype.kind == "f":
        result = _vecdot(_grouped(a, batch, inner, ""), _grouped(b, batch, inner, ""))
        return _ordered(result, batch, extra, into)
    left = _grouped(a, _own(extra, a) + batch, rows, inner)
    right = _grouped(b, _own(extra, b) + batch, inner, columns)
    if (batch or extra) and not (rows and columns):  # a stack of vectors, as matrices
        if not rows:
            left = np.reshape(left, (*left.shape[:-1], 1, left.shape[-1]))
        if not columns:
            right = np.reshape(right, (*right.shape, 1))
        result = apply_matmul(left, right, 2, 2)
    else:
        result = apply_matmul(left, right, 2 if rows else 1, 2 if columns else 1)
    made = extra + batch + rows + columns
    result = np.reshape(result, [sizes[c] for c in made])
    return _ordered(result, made, extra, into)


def _ordered(result: Array, made: str, extra: str, into: str) -> Array:
    if extra and extra not in into:
        result, made = np.sum(result, axis=0), made[1:]
    return result if made == into else np.transpose(result, [made.index(c) for c in into])


def _own(extra: str, term: Term) -> str:
    return extra if extra in term[1] else ""


def _summed(array: Array, labels: str, keep: str) -> Term:
    axes = tuple(k for k, c in enumerate(labels) if c not in keep)
    if not axes:
        return array, labels
    return np.sum(array, axis=axes), "".join(c for c in labels if c in keep)


def _spread(term: Term, into: str) -> Array:
    """Return the array with its axes in the order of `into`, and axes of size 1 for the others."""
    array, labels = term
    order = [labels.index(c) for c in into if c in labels]
    array = array if order == sorted(order) else np.transpose(array, order)
    sizes = iter(array.shape)
    shape = [next(sizes) if c in labels else 1 for c in into]
    while shape and len(shape) > array.ndim and shape[0] == 1 and into[-len(shape)] not in labels:
        del shape[0]
    return array if len(shape) == array.ndim else np.reshape(array, shape)


def _grouped(term: Term, batch: str, first: str, second: str) -> Array:
    """Return the array with the axes `first` and `second` each merged into one, if any."""
    array, labels = term
    sizes = sizes_of(term)

    def merged(groups: Sequence[str]) -> list[Any]:
        parts = [prod(sizes[c] for c in group) for group in groups if group]
        return [*[sizes[c] for c in batch], *parts]

    if labels == batch + second + first and first and second:
        return np.swapaxes(np.reshape(array, merged([second, first])), -1, -2)
    if labels != batch + first + second:
        array = np.transpose(array, [labels.index(c) for c in batch + first + second])
    return np.reshape(array, merged([first, second]))


def apply_matmul(a: Array, b: Array, left: int, right: int) -> Array:
    """Multiply with explicit core axes, leading axes broadcasting."""
    from .index import apply
    from .matmul import MatMul

    return apply(MatMul(left, right), a, b)


def _vecdot(a: Array, b: Array) -> Array:
    """Multiply vectors with equal leading axes."""
    from .index import apply
    from .matmul import VecDot

    return apply(VecDot(), a, b)

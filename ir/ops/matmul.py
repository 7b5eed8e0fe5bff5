"""Matrix products: `matmul`, `dot` where NumPy computes it differently, `vecdot`, and contractions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..core import Atom
from ..dims import Size
from ..errors import DTypeError, ShapeError
from ..op import Array, Emitter, Op, Scatter, broadcast
from ..samples import numbers
from ..types import ArrayType, c_strides

BATCH_LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Labels for leading axes; the core axes of products have lower-case ones."""


def _check(name: str, a: ArrayType, b: ArrayType, inner: Size, other: Size) -> None:
    if a.dtype != b.dtype:
        raise DTypeError(f"{name} takes operands of one dtype, not {a.dtype} and {b.dtype}")
    if inner != other:
        raise ShapeError(f"the inner sizes differ, {inner} and {other}")


def product_flops(operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
    """Return the operations of a product that sums over the last axis of the first operand."""
    inner = operands[0].shape[-1]
    factor = 8 if results[0].dtype.kind == "c" else 2
    return factor * results[0].size * (inner if isinstance(inner, int) else 1)


@dataclass(frozen=True)
class MatMul(Op):
    """`a @ b`, where the last `left` axes of `a` and `right` axes of `b` are the core (1 or 2).

    (m, k) @ (k, n) -> (m, n); (m, k) @ (k) -> (m); (k) @ (k, n) -> (n); (k) @ (k) -> ().
    Leading axes broadcast.
    """

    name = "matmul"
    infix = "@"
    has_out = True
    linear_in = (0, 1)
    left: int = 2
    right: int = 2

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, b = types
        _check("matmul", a, b, a.shape[-1], b.shape[-self.right])
        lead = broadcast([a.shape[: a.ndim - self.left], b.shape[: b.ndim - self.right]])
        rows = a.shape[-2:-1] if self.left == 2 else ()
        columns = b.shape[-1:] if self.right == 2 else ()
        return (a.with_shape((*lead, *rows, *columns)),)

    def evaluate(self, *operands: Array) -> Any:
        a, b = (np.asarray(x) for x in operands)
        if (self.left == 2 or a.ndim == 1) and (self.right == 2 or b.ndim == 1):
            return np.matmul(a, b)
        if self.left == 1:
            a = a[..., None, :]
        if self.right == 1:
            b = b[..., None]
        result = np.matmul(a, b)
        if self.right == 1:
            result = result[..., 0]
        if self.left == 1:
            result = result[..., 0, :] if self.right == 2 else result[..., 0]
        return result

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Each cotangent is one product: sums over broadcast axes are part of it."""
        a, b = operands
        of_a = batch_labels(a.ndim - self.left) + "mk"[2 - self.left :]
        of_b = batch_labels(b.ndim - self.right) + "kn"[: self.right]
        lead = batch_labels(max(a.ndim - self.left, b.ndim - self.right))
        into = lead + "m" * (self.left - 1) + "n" * (self.right - 1)
        return bilinear_vjp(needs, (cts[0], into), (a, of_a), (b, of_b))

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        return product_flops(operands, results)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        """Emit `np.dot` for plain contiguous real operands, else `np.matmul`.

        Both call the same BLAS routine there and give the same bits; on 8x8 matrices `dot` takes half
        the time (0.47 against 0.93 µs).
        """
        a, b = operands
        ranks = (self.left, self.right)
        atoms = [emitter.atom(text) for text in operands]
        known = [atom for atom in atoms if atom is not None]
        is_plain = len(known) == 2 and tuple([atom.type.ndim for atom in known]) == ranks
        if is_plain and same_bits_as_dot(known):
            arguments = f"{a}, {b}" if out is None else f"{a}, {b}, {out}"
            return f"{emitter.bind(np.dot, 'dot')}({arguments})"
        if is_plain or ranks == (2, 2):
            if out is None:
                return f"{a} @ {b}"
            return f"{emitter.bind(np.matmul, 'matmul')}({a}, {b}, {out})"
        call = super().emit(emitter, operands, None)
        return call if out is None else f"{emitter.bind(np.copyto, 'copyto')}({out}, {call})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a, b, v = numbers(2, 3), numbers(3, 4, seed=1), numbers(3, seed=2)
        c = numbers(2, 3, dtype=np.complex128)
        return [
            (MatMul(), (a, b)),
            (MatMul(), (numbers(5, 2, 3), b)),
            (MatMul(), (a, numbers(5, 3, 2))),
            (MatMul(), (numbers(5, 1, 2, 3), numbers(4, 3, 2))),
            (MatMul(2, 1), (a, v)),
            (MatMul(2, 1), (numbers(5, 2, 3), numbers(5, 3))),
            (MatMul(1, 2), (v, numbers(5, 3, 2))),
            (MatMul(1, 1), (v, v[::-1])),
            (MatMul(1, 1), (numbers(5, 3), v)),
            (MatMul(), (c, c.T)),
        ]


def same_bits_as_dot(atoms: Sequence[Atom]) -> bool:
    """Whether `np.dot` and `np.matmul` of plain operands call the same BLAS routine.

    They do for contiguous (C or F) real floating-point operands. They differ for complex numbers (the
    conjugating routines) and for strided operands, which one copies and the other multiplies without
    BLAS.
    """
    return all(a.type.dtype.char in "fd" and is_contiguous(a) for a in atoms)


def is_contiguous(atom: Atom) -> bool:
    """Whether NumPy holds the value C- or F-contiguously."""
    if atom.layout is None:
        return True
    if not atom.type.is_static:
        return False
    shape: Any = atom.type.shape
    return atom.layout == c_strides(atom.type.dtype.itemsize, shape[::-1])[::-1]


@dataclass(frozen=True)
class Dot(Op):
    """`np.dot(a, b)` where it is not `a @ b` to the bit; `left` and `right` are the core ranks.

    (*p, k) . (*q, k, n) -> (*p, *q, n); (*p, k) . (k) -> (*p). Leading axes broadcast.
    """

    name = "dot"
    linear_in = (0, 1)
    left: int
    right: int

    def _labels(self, a: int, b: int) -> tuple[str, str, str]:
        """Return the labels of operands of `a` and `b` axes, and of the result."""
        extra_a, extra_b = a - self.left, b - self.right
        rows = "abcdefghij"[: self.left - 1]
        others = "pqrstuvwxy"[: self.right - 2] if self.right > 1 else ""
        columns = "n" if self.right > 1 else ""
        lead = batch_labels(max(extra_a, extra_b))
        of_a = f"{batch_labels(extra_a)}{rows}k"
        of_b = f"{batch_labels(extra_b)}{others}k{columns}"
        return of_a, of_b, f"{lead}{rows}{others}{columns}"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, b = types
        _check("dot", a, b, a.shape[-1], b.shape[-min(self.right, 2)])
        lead = broadcast([a.shape[: a.ndim - self.left], b.shape[: b.ndim - self.right]])
        of_a, of_b, into = self._labels(a.ndim, b.ndim)
        sizes = {**dict(zip(of_a, a.shape, strict=True)), **dict(zip(of_b, b.shape, strict=True))}
        return (a.with_shape((*lead, *[sizes[c] for c in into[len(lead) :]])),)

    def evaluate(self, *operands: Array) -> Any:
        a, b = (np.asarray(x) for x in operands)
        if a.ndim == self.left and b.ndim == self.right:
            return np.dot(a, b)
        lead = np.broadcast_shapes(
            a.shape[: a.ndim - self.left], b.shape[: b.ndim - self.right]
        )
        a = np.broadcast_to(a, (*lead, *a.shape[a.ndim - self.left :]))
        b = np.broadcast_to(b, (*lead, *b.shape[b.ndim - self.right :]))
        of_a, of_b, into = self._labels(a.ndim, b.ndim)
        return contract((a, of_a), (b, of_b), into)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        a, b = operands
        of_a, of_b, into = self._labels(a.ndim, b.ndim)
        return bilinear_vjp(needs, (cts[0], into), (a, of_a), (b, of_b))

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        return product_flops(operands, results)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        atoms = [emitter.atom(text) for text in operands]
        ranks = [atom.type.ndim for atom in atoms if atom is not None]
        if ranks == [self.left, self.right]:
            return f"{emitter.bind(np.dot, 'dot')}({', '.join(operands)})"
        return super().emit(emitter, operands, out)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        c = numbers(2, 3, dtype=np.complex128)
        return [
            (Dot(3, 3), (numbers(2, 2, 3), numbers(4, 3, 2))),
            (Dot(3, 1), (numbers(2, 2, 3), numbers(3))),
            (Dot(1, 3), (numbers(3), numbers(2, 3, 2))),
            (Dot(2, 2), (numbers(5, 2, 3), numbers(3, 4))),
            (Dot(2, 2), (c, c.T)),
        ]


@dataclass(frozen=True)
class VecDot(Op):
    """`sum(conj(a) * b, axis=-1)`, as `np.vecdot` computes it: (k), (k) -> ()."""

    name = "vecdot"
    linear_in = (1,)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, b = types
        _check("vecdot", a, b, a.shape[-1], b.shape[-1])
        return (a.with_shape(broadcast([a.shape[:-1], b.shape[:-1]])),)

    def evaluate(self, *operands: Array) -> Any:
        return np.vecdot(*operands)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        a, b = operands
        of_a, of_b = (batch_labels(x.ndim - 1) + "k" for x in operands)
        into = batch_labels(max(a.ndim, b.ndim) - 1)
        into_a, into_b = bilinear_vjp(
            needs, (cts[0], into), (np.conjugate(a), of_a), (b, of_b)
        )
        return [None if into_a is None else np.conjugate(into_a), into_b]

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        return product_flops(operands, results)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        c = numbers(2, 3, dtype=np.complex128)
        return [
            (VecDot(), (numbers(2, 3), numbers(3))),
            (VecDot(), (numbers(2, 1, 3), numbers(4, 3))),
            (VecDot(), (c, c[::-1])),
        ]


# ---- contractions ----------------------------------------------------------------------------------

Term = tuple[Array, str]
"""An array and a label, one character, for each of its axes."""


def batch_labels(count: int) -> str:
    """Return labels for `count` leading axes, which broadcast from the right."""
    return BATCH_LABELS[len(BATCH_LABELS) - count :]


def bilinear_vjp(
    needs: Sequence[bool], ct: Term, a: Term, b: Term
) -> list[Array | Scatter | None]:
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
    kept = [d if c in wanted else 1 for c, d in zip(labels, shape, strict=True)]
    value = np.reshape(value, kept)
    return value if tuple(kept) == tuple(shape) else np.broadcast_to(value, tuple(shape))


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
        (array, labels), = terms
        array, labels = _summed(array, labels, into)
        return np.transpose(array, [labels.index(c) for c in into])
    sizes = {c: d for array, labels in terms for c, d in zip(labels, array.shape, strict=True)}
    limit = max(prod(array.shape) for array, _ in terms) if _is_static(sizes) else 0
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


def _is_static(sizes: Mapping[str, Size]) -> bool:
    return all(isinstance(d, int) for d in sizes.values())


def _cheapest_pair(
    labels: Sequence[str], into: str, sizes: Mapping[str, Size]
) -> tuple[int, int, str] | None:
    """Return the pair with the smallest product, and the labels of that product."""
    if not _is_static(sizes):
        return None
    found: list[tuple[int, int, int, str]] = []
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            rest = into + "".join(c for k, c in enumerate(labels) if k not in (i, j))
            kept = "".join(c for c in dict.fromkeys(labels[i] + labels[j]) if c in rest)
            found.append((prod(sizes[c] for c in kept), i, j, kept))  # type: ignore[arg-type]
    _, i, j, kept = min(found)
    return i, j, kept


def contract(a: Term, b: Term, into: str) -> Array:
    """Return the sum of products of two arrays as one matrix product.

    A label stands once in a term and has one size. The product is elementwise where nothing is summed.
    """
    a = _summed(*a, keep=b[1] + into)
    b = _summed(*b, keep=a[1] + into)
    inner = "".join(c for c in a[1] if c in b[1] and c not in into)
    if not inner:
        return _spread(a, into) * _spread(b, into)
    batch = "".join(c for c in into if c in a[1] and c in b[1])
    if next((c for c in into if c not in batch), "") not in a[1]:
        a, b = b, a
    rows = "".join(c for c in a[1] if c in into and c not in batch)
    columns = "".join(c for c in b[1] if c in into and c not in batch)
    orders = (inner, "".join(c for c in b[1] if c in inner))
    inner = max(
        orders,
        key=lambda order: _is_grouped(a[1], batch, rows, order)
        + _is_grouped(b[1], batch, order, columns),
    )
    left, right = _grouped(a, batch, rows, inner), _grouped(b, batch, inner, columns)
    result = apply_matmul(left, right, 2 if rows else 1, 2 if columns else 1)
    sizes = {c: d for array, of in (a, b) for c, d in zip(of, array.shape, strict=True)}
    made = batch + rows + columns
    result = np.reshape(result, [sizes[c] for c in made])
    return result if made == into else np.transpose(result, [made.index(c) for c in into])


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


def _is_grouped(labels: str, batch: str, first: str, second: str) -> bool:
    return labels in (batch + first + second, batch + second + first)


def _grouped(term: Term, batch: str, first: str, second: str) -> Array:
    """Return the array with the axes `first` and `second` each merged into one, or dropped if none."""
    array, labels = term
    sizes = dict(zip(labels, array.shape, strict=True))

    def merged(groups: Sequence[str]) -> list[Size]:
        parts = [prod(sizes[c] for c in group) for group in groups if group]  # type: ignore[misc]
        return [*[sizes[c] for c in batch], *parts]

    if labels == batch + second + first and first and second:
        return np.swapaxes(np.reshape(array, merged([second, first])), -1, -2)
    if labels != batch + first + second:
        array = np.transpose(array, [labels.index(c) for c in batch + first + second])
    return np.reshape(array, merged([first, second]))


def apply_matmul(a: Array, b: Array, left: int, right: int) -> Array:
    """Multiply with explicit core axes, leading axes broadcasting."""
    from .index import apply

    return apply(MatMul(left, right), a, b)

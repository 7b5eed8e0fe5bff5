"""Matrix products: `matmul`, `dot` where NumPy computes it differently, and `vecdot`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..batching import by_leading_axes
from ..core import Atom
from ..dims import Size
from ..errors import DTypeError, ShapeError
from ..layout import elementwise_layout
from ..op import Array, Emitter, Op, Scatter, broadcast
from ..samples import numbers
from ..types import ArrayType, Layout, c_strides
from .contract import batch_labels, bilinear_vjp, contract


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


_ONE_THREAD = 1 << 20
"""Operations up to which OpenBLAS multiplies matrices on one thread."""


@dataclass(frozen=True)
class MatMul(Op):
    """`a @ b`, where the last `left` axes of `a` and `right` axes of `b` are the core (1 or 2).

    (m, k) @ (k, n) -> (m, n); (m, k) @ (k) -> (m); (k) @ (k, n) -> (n); (k) @ (k) -> ().
    Leading axes broadcast.
    """

    name = "matmul"
    infix = "@"
    has_out = True
    left: int = 2
    right: int = 2

    def labels(self, a: int, b: int) -> tuple[str, str, str]:
        """Return the labels of operands of `a` and `b` axes, and of the result."""
        of_a, of_b = "mk"[2 - self.left :], "kn"[: self.right]
        extra_a, extra_b = a - self.left, b - self.right
        lead = batch_labels(max(extra_a, extra_b))
        core = "mn"[2 - self.left : self.right]
        return batch_labels(extra_a) + of_a, batch_labels(extra_b) + of_b, lead + core

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, b = types
        _check("matmul", a, b, a.shape[-1], b.shape[-self.right])
        lead = broadcast([a.shape[: a.ndim - self.left], b.shape[: b.ndim - self.right]])
        rows = a.shape[-2:-1] if self.left == 2 else ()
        columns = b.shape[-1:] if self.right == 2 else ()
        return (a.with_shape((*lead, *rows, *columns)),)

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        return (_stacked_layout(types, layouts, (self.left, self.right), *self.infer(*types)),)

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

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        return batched_product(self, mapped, operands, *self.labels(self.left, self.right))

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Each cotangent is one product: sums over broadcast axes are part of it."""
        a, b = operands
        of_a, of_b, into = self.labels(a.ndim, b.ndim)
        return bilinear_vjp(needs, (cts[0], into), (a, of_a), (b, of_b))

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        return product_flops(operands, results)

    def runs_blas_threads(
        self, operands: Sequence[ArrayType], results: Sequence[ArrayType]
    ) -> bool:
        """Whether it is beyond the size where BLAS libraries take one thread."""
        flops = self.flops(operands, results)
        return operands[0].dtype.kind in "fc" and flops > _ONE_THREAD and self.left + self.right > 2

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        """Emit `np.dot` for plain contiguous real operands, else `np.matmul`.

        Both call the same BLAS routine there and give the same bits; on 8x8 matrices `dot` takes
        half the time (0.47 against 0.93 µs).
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

    They do for contiguous (C or F) real floating-point operands. They differ for complex numbers
    (other routines), for strided operands, which one copies and the other multiplies without BLAS,
    and for a single element: `0 * -1` is -0, and a sum of that alone is 0.
    """
    if not all(a.type.is_static and a.type.size != 1 for a in atoms):
        return False
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
    left: int
    right: int

    def labels(self, a: int, b: int) -> tuple[str, str, str]:
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
        of_a, of_b, into = self.labels(a.ndim, b.ndim)
        sizes = {**dict(zip(of_a, a.shape, strict=True)), **dict(zip(of_b, b.shape, strict=True))}
        return (a.with_shape((*lead, *[sizes[c] for c in into[len(lead) :]])),)

    def evaluate(self, *operands: Array) -> Any:
        a, b = (np.asarray(x) for x in operands)
        if a.ndim == self.left and b.ndim == self.right:
            return np.dot(a, b)
        lead = np.broadcast_shapes(a.shape[: a.ndim - self.left], b.shape[: b.ndim - self.right])
        a = np.broadcast_to(a, (*lead, *a.shape[a.ndim - self.left :]))
        b = np.broadcast_to(b, (*lead, *b.shape[b.ndim - self.right :]))
        of_a, of_b, into = self.labels(a.ndim, b.ndim)
        return contract((a, of_a), (b, of_b), into)

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        return batched_product(self, mapped, operands, *self.labels(self.left, self.right))

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        a, b = operands
        of_a, of_b, into = self.labels(a.ndim, b.ndim)
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


def batched_product(
    op: Op, mapped: tuple[bool, ...], operands: Sequence[Array], a: str, b: str, into: str
) -> Any:
    """Return the products of all examples as one product; the labels are those of an example.

    Where one operand is not mapped, the axis of the examples is an axis like others:
    `x[i] @ W` for all x is `x @ W`. Operands with more axes than labels broadcast as they are.
    """
    (x, y), (x_mapped, y_mapped) = operands, mapped
    if x.ndim - x_mapped != len(a) or y.ndim - y_mapped != len(b):
        return by_leading_axes(op, mapped, operands)
    label = batch_labels(1)
    terms = [(x, label * x_mapped + a), (y, label * y_mapped + b)]
    return contract(terms[0], terms[1], label + into)


def _stacked_layout(
    types: Sequence[ArrayType], layouts: Sequence[Layout], cores: Sequence[int], result: ArrayType
) -> Layout:
    """Return the strides of a stack of products: as an elementwise op on the axes of the stack.

    `cores` count the axes of each operand that are multiplied.
    """
    stack = max(t.ndim - n for t, n in zip(types, cores, strict=True))
    if stack < 2:
        return None
    outer: list[Layout] = [
        tuple((layout or c_strides(t.dtype.itemsize, t.typical.shape))[: t.ndim - n])
        for t, layout, n in zip(types, layouts, cores, strict=True)
    ]
    stacks = [t.with_shape(t.shape[: t.ndim - n]) for t, n in zip(types, cores, strict=True)]
    core: Any = result.typical.shape[stack:]
    layout = elementwise_layout(stacks, outer, result.dtype.itemsize * prod(core))
    return None if layout is None else (*layout, *c_strides(result.dtype.itemsize, core))


@dataclass(frozen=True)
class VecDot(Op):
    """`sum(conj(a) * b, axis=-1)`, as `np.vecdot` computes it: (k), (k) -> ()."""

    name = "vecdot"

    def labels(self, a: int, b: int) -> tuple[str, str, str]:
        """Return the labels of operands of `a` and `b` axes, and of the result."""
        return batch_labels(a - 1) + "k", batch_labels(b - 1) + "k", batch_labels(max(a, b) - 1)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, b = types
        _check("vecdot", a, b, a.shape[-1], b.shape[-1])
        return (a.with_shape(broadcast([a.shape[:-1], b.shape[:-1]])),)

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        return (_stacked_layout(types, layouts, (1, 1), *self.infer(*types)),)

    def evaluate(self, *operands: Array) -> Any:
        return np.vecdot(*operands)

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        if operands[0].dtype.kind == "c":
            return by_leading_axes(self, mapped, operands)
        return batched_product(self, mapped, operands, *self.labels(1, 1))

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        a, b = operands
        of_a, of_b, into = self.labels(a.ndim, b.ndim)
        into_a, into_b = bilinear_vjp(needs, (cts[0], into), (np.conjugate(a), of_a), (b, of_b))
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

"""QR and singular value decompositions, by LAPACK.

Factors are determined up to signs, or phases for complex matrices. LAPACK makes the diagonal of r
real, and one component of each pair of singular vectors; the rules differentiate with that choice,
so that they agree with differences of what NumPy computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dims import minimum
from ..op import Array, Effect, Op, Scatter
from ..samples import numbers
from ..types import ArrayType
from .eigen import over_gaps, turn, turned
from .index import apply
from .lapack import (
    Band,
    Lapack,
    check_matrix,
    conjugated,
    dual,
    half_lower,
    identity,
    real_dtype,
    slope,
)
from .linalg import SOLVE


def _sum(*terms: Array | None) -> Array:
    total: Array = None
    for term in terms:
        if term is not None:
            total = term if total is None else total + term
    return total


def _unless_rotated(rest: Array, g: Array) -> Array:
    """Return 0, or nan where a gradient is not one of what the columns `rest` span alone.

    They complete a basis and could be rotated among themselves; LAPACK's choice has no derivative
    that can be computed from the result.
    """
    inner = dual(rest) @ g
    skew = np.max(np.absolute(inner - dual(inner)), axis=(-2, -1), keepdims=True)
    size = np.max(np.absolute(g), axis=(-2, -1), keepdims=True)
    limit = float(np.sqrt(np.finfo(g.dtype).eps))
    return np.where(skew > limit * size, np.nan, 0).astype(size.dtype)


@dataclass(frozen=True)
class Qr(Lapack):
    """The factors of `a = q @ r`: (m, n) -> (m, k), (k, n) with k = min(m, n).

    With mode "complete" k is m, with "r" the result is r alone.
    """

    name = "qr"
    effect = Effect.MAY_RAISE
    work = 4.0
    mode: str = "reduced"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix("qr", a)
        *lead, m, n = a.shape
        k = m if self.mode == "complete" else minimum(m, n)
        q, r = a.with_shape((*lead, m, k)), a.with_shape((*lead, k, n))
        return (r,) if self.mode == "r" else (q, r)

    def evaluate(self, *operands: Array) -> Any:
        if self.mode == "r":
            return np.linalg.qr(operands[0], "r")
        mode: Any = self.mode
        return tuple(np.linalg.qr(operands[0], mode))

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """As S. Walter and L. Lehmann, arXiv:1001.1654 (2010), section 4.3.

        For wide matrices only the first columns are factorised, and the rest of r is q^H times the
        others. The first min(m, n) columns must be independent, or LinAlgError is raised. For the
        columns of a complete q that are beyond those of `a`, see `_unless_rotated`.
        """
        (a,), r = operands, results[-1]
        m, n = a.shape[-2:]
        if self.mode == "r":
            q, gq = apply(Qr(), a)[0], None
        else:
            q, gq = results[0], slope(cts[0])
        gr = slope(cts[-1])
        if minimum(m, n) != n:
            left = m
            into_q = None if gr is None else a[..., left:] @ dual(gr[..., left:])
            rest = None if gr is None else q @ gr[..., left:]
            head = None if gr is None else gr[..., :left]
            first = _qr_slope(q, r[..., :left], _sum(gq, into_q), head)
            if rest is None:
                rest = np.zeros_like(a[..., left:])
            return [conjugated(np.concatenate([first, rest], axis=-1))]
        if self.mode == "complete" and m != n:
            beyond, q, r = q[..., n:], q[..., :n], r[..., :n, :]
            gr = None if gr is None else gr[..., :n, :]
            if gq is not None:
                g = gq[..., n:]
                unknown = _unless_rotated(beyond, g)
                gq = gq[..., :n] - beyond @ (dual(g) @ q) + unknown
        return [conjugated(_qr_slope(q, r, gq, gr))]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        tall, wide, square = numbers(2, 4, 3), numbers(2, 4), numbers(3, 3)
        c = np.dtype(np.complex128)
        return [
            (cls(), (tall,)),
            (cls(), (wide,)),
            (cls("r"), (tall,)),
            (cls("complete"), (numbers(3, 2),)),
            (cls("complete"), (wide,)),
            (cls(), (square.astype(np.float32),)),
            (cls(), (numbers(3, 2, dtype=c),)),
            (cls(), (numbers(3, 3, dtype=c),)),
            (cls("r"), (numbers(2, 3, dtype=c),)),
        ]


def _qr_slope(q: Array, r: Array, gq: Array | None, gr: Array | None) -> Array:
    """Return the gradient of a with independent columns, those of q and r given."""
    w: Array = None
    if gq is not None:
        w = dual(q) @ gq
    if gr is not None:
        b = apply(Band(0, None), gr) @ dual(r)
        w = -b if w is None else w - b
    inner = q @ (half_lower(w - dual(w)) - w)
    total = inner if gq is None else gq + inner
    return dual(apply(SOLVE, r, dual(total)))


@dataclass(frozen=True)
class Svd(Lapack):
    """Singular values, descending, and vectors of `a = (u * s) @ vh`.

    (m, n) -> (m, k), (k), (k, n) with k = min(m, n); with `full` u and vh are square.
    """

    name = "svd"
    effect = Effect.MAY_RAISE
    work = 20.0
    full: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix("svd", a)
        *lead, m, n = a.shape
        k = minimum(m, n)
        s = a.with_shape((*lead, k)).with_dtype(real_dtype(a.dtype))
        rows, columns = (m, n) if self.full else (k, k)
        return a.with_shape((*lead, m, rows)), s, a.with_shape((*lead, columns, n))

    def evaluate(self, *operands: Array) -> Any:
        return tuple(np.linalg.svd(operands[0], self.full))

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """As J. Townsend, "Differentiating the singular value decomposition" (2016).

        For complex matrices see Z.-Q. Wan and S.-X. Zhang, arXiv:1909.02659 (2019). Where two
        singular values are equal, or one is zero, no derivative of their vectors exists: it is nan
        or inf. That of the values alone is finite. For the vectors of `full` that belong to no
        singular value, see `_unless_rotated`.
        """
        (u, s, vh), gu, gs = results, slope(cts[0]), slope(cts[1])
        gv = slope(cts[2])
        gv = gv if gv is None else dual(gv)
        m, n = operands[0].shape[-2:]
        k = minimum(m, n)
        v = dual(vh)
        if gu is None and gv is None:
            u, v = u[..., :k], v[..., :k]
            return [conjugated((u * gs[..., None, :]) @ dual(v))]
        u, gu, of_u = _split(u, gu, k)
        v, gv, of_v = _split(v, gv, k)
        if u.dtype.kind == "c":
            gu, gv = _pinned(u, v, gu, gv, is_wide=k != n)
        xu, xv = dual(u) @ gu, dual(v) @ gv
        inner = _over_squares(xu, s) * s[..., None, :] + s[..., :, None] * _over_squares(xv, s)
        diagonal: Array = gs
        if u.dtype.kind == "c":
            phase = 1j * np.imag(np.sum(xu * identity(xu), axis=-1)) / s
            diagonal = phase if gs is None else gs + phase
        if diagonal is not None:
            inner = inner + diagonal[..., None, :] * identity(inner)
        total = u @ inner @ dual(v)
        if k != m:
            total = total + ((gu - u @ xu + of_u) / s[..., None, :]) @ dual(v)
        if k != n:
            total = total + (u / s[..., None, :]) @ dual(gv - v @ xv + of_v)
        return [conjugated(total)]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        c = np.dtype(np.complex128)
        return [
            (cls(), (numbers(2, 3, 2),)),
            (cls(), (numbers(2, 3),)),
            (cls(True), (numbers(3, 3),)),
            (cls(True), (numbers(3, 2),)),
            (cls(), (numbers(3, 2, dtype=c),)),
            (cls(), (numbers(2, 3, dtype=c),)),
            (cls(), (numbers(3, 3, dtype=np.float32),)),
        ]


def _split(u: Array, g: Array, k: Any) -> tuple[Array, Array, Array]:
    """Return the first k columns, their gradient, and what it gains from the other columns."""
    if g is None:
        g = np.zeros_like(u)
    if u.shape[-1] == k:
        return u, g, np.zeros((), real_dtype(u.dtype))
    rest, g_rest = u[..., k:], g[..., k:]
    u, g = u[..., :k], g[..., :k]
    return u, g, _unless_rotated(rest, g_rest) - rest @ (dual(g_rest) @ u)


def _pinned(u: Array, v: Array, gu: Array, gv: Array, *, is_wide: bool) -> tuple[Array, Array]:
    """Return the gradients with the first row of v, or of u for wide matrices, kept real."""
    angle = turn(gu, u) + turn(gv, v)
    if is_wide:
        return turned(gu, angle, np.real(u[..., 0, :]), 0), gv
    return gu, turned(gv, angle, np.real(v[..., 0, :]), 0)


def _over_squares(x: Array, s: Array) -> Array:
    """Return (x - x^H) / (s[j]² - s[i]²), with zeros on the diagonal."""
    sums = s[..., None, :] + s[..., :, None]
    return over_gaps((x - dual(x)), s) / (sums + identity(sums))


@dataclass(frozen=True)
class SvdVals(Lapack):
    """Singular values, descending: (m, n) -> (k) with k = min(m, n)."""

    name = "svdvals"
    effect = Effect.MAY_RAISE
    work = 8 / 3

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix("svd", a)
        *lead, m, n = a.shape
        return (a.with_shape((*lead, minimum(m, n))).with_dtype(real_dtype(a.dtype)),)

    def evaluate(self, *operands: Array) -> Any:
        return np.linalg.svd(operands[0], compute_uv=False)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        u, _, vh = apply(Svd(), operands[0])
        return [conjugated((u * cts[0][..., None, :]) @ vh)]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(), (numbers(2, 3, 2),)),
            (cls(), (numbers(2, 3, dtype=np.complex128),)),
            (cls(), (numbers(3, 3, dtype=np.float32),)),
        ]


__all__ = ["Qr", "Svd", "SvdVals"]

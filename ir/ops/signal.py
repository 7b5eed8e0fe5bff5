"""Linear filters and convolutions, computed by scipy.signal.

SciPy is imported when one of them is evaluated or its type is inferred; a program has them only
where its own code called scipy.signal.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dims import Size
from ..errors import DTypeError, ShapeError
from ..op import Array, Cost, Effect, Op, Scatter
from ..samples import numbers
from ..types import ArrayType
from .index import apply


def scipy_signal() -> Any:
    """Return the module."""
    return importlib.import_module("scipy.signal")


def _along(axis: int, part: slice) -> Any:
    return (..., part, *[slice(None)] * (-1 - axis))


@dataclass(frozen=True)
class LinearFilter(Op):
    """`scipy.signal.lfilter` along a negative axis.

    (p), (q), (..., n) -> (..., n), or with the initial state of max(p, q) - 1 values as fourth
    operand (p), (q), (..., n), (..., k) -> (..., n + k): the final state follows the output.
    """

    name = "lfilter"
    cost = Cost.CHEAP
    effect = Effect.MAY_RAISE
    axis: int = -1

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        b, a, x, *state = types
        if len({t.dtype for t in types}) > 1:
            raise DTypeError(f"{self.name} takes operands of one dtype, not {types}")
        if b.ndim != 1 or a.ndim != 1:
            raise ShapeError("the coefficients of a filter are vectors")
        if not state:
            return (x,)
        if state[0].ndim != x.ndim:
            raise ShapeError("the state of a filter has the axes of its input")
        shape = list(x.shape)
        shape[self.axis] = shape[self.axis] + state[0].shape[self.axis]
        return (x.with_shape(shape),)

    def evaluate(self, *operands: Array) -> Any:
        b, a, x, *state = operands
        lfilter = scipy_signal().lfilter
        if not state:
            return np.ascontiguousarray(lfilter(b, a, x, self.axis))
        return np.concatenate(lfilter(b, a, x, self.axis, state[0]), self.axis)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Filter the reversed cotangent.

        With a[0] = 1 and the output extended by the final state, y is the solution of
        A y = B x + state, where A and B are banded lower triangular Toeplitz matrices. So
        w = A^-T ct is the cotangent of the right-hand side, and filtering backward gives it; the
        part of it at the final state is ct itself.
        """
        (b, a, x, *state), axis = operands, self.axis
        one = np.ones(1, a.dtype)
        b, a_whole = b / a[0], a / a[0]
        n, size = x.shape[axis], a.shape[0]
        k = state[0].shape[axis] if state else 0
        backward = np.flip(cts[0], axis)
        if state:
            last = backward[_along(axis, slice(0, k))]
            fed = apply(self, a_whole, one, last) if k else last
            backward = np.concatenate([fed, backward[_along(axis, slice(k, None))]], axis)
        # B and A commute: one filter, by the same routine of SciPy as the primal's.
        into_x = np.flip(apply(self, b, a_whole, backward), axis)[_along(axis, slice(0, n))]
        w = np.flip(apply(self, one, a_whole, backward) if size > 1 else backward, axis)
        into: list[Any] = [None, None, into_x if needs[2] else None]
        if state:
            into.append(w[_along(axis, slice(0, k))])
        if needs[0] or needs[1]:
            into_b = apply(Lags(b.shape[0], axis), x, w)
            into[0] = into_b / a[0]
            if needs[1]:
                y = results[0][_along(axis, slice(0, n))]
                into_a = -apply(Lags(size, axis), y, w)[1:]
                scale = -np.sum(into_b * b) - np.sum(into_a * a_whole[1:])
                into[1] = np.concatenate([np.reshape(scale, (1,)), into_a]) / a[0]
        return into

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        taps = sum(t.size for t in operands[:2])
        return 2 * taps * operands[2].size

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        b, a, x = numbers(3), np.array([2.0, -0.5, 0.25]), numbers(2, 5, seed=3)
        return [
            (cls(), (b, a, x)),
            (cls(-2), (b[:1], a[:2], numbers(4, 2))),
            (cls(), (b, a[:1], x)),
            (cls(), (b, a, x, numbers(2, 2, seed=4))),
            (cls(), (b, a[:1], x, numbers(2, 2, seed=4))),
            (cls(-2), (b[:2], np.append(a, 0.125), numbers(2, 3), numbers(3, 3, seed=5))),
            (cls(), (b[:1], a[:1], x, np.zeros((2, 0)))),
            (cls(), (b.astype("f4"), a.astype("f4"), x.astype("f4"))),
            (cls(), (b * 1j, a + 0.1j, numbers(4, dtype="c16"))),
        ]


@dataclass(frozen=True)
class Lags(Op):
    """`r[k] = sum(x[..., m] * w[..., m + k])` for k < count: (..., n), (..., p) -> (count).

    The sum is over all leading axes too; what lies beyond the end of w counts as zero.
    """

    name = "lags"
    cost = Cost.CHEAP
    count: Size
    axis: int = -1

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, w = types
        if x.dtype != w.dtype:
            raise DTypeError(f"{self.name} takes operands of one dtype, not {types}")
        return (x.with_shape((self.count,)),)

    def evaluate(self, *operands: Array) -> Any:
        x, w = (np.moveaxis(np.asarray(v), self.axis, -1) for v in operands)
        count: Any = self.count
        result: Any = np.zeros(count, x.dtype)
        for k in range(min(count, w.shape[-1])):
            n = min(x.shape[-1], w.shape[-1] - k)
            result[k] = np.sum(x[..., :n] * w[..., k : k + n])
        return result

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Filter with the cotangent as taps, w backward and x forward."""
        (x, w), axis, (taps,) = operands, self.axis, cts
        one, n, p = np.ones(1, x.dtype), x.shape[axis], w.shape[axis]
        fir = LinearFilter(axis)
        into_x = np.flip(apply(fir, taps, one, np.flip(w, axis)), axis)
        return [
            _fitted(into_x, axis, n) if needs[0] else None,
            apply(fir, taps, one, _fitted(x, axis, p)) if needs[1] else None,
        ]

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        return 2 * results[0].size * operands[0].size

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(2), (numbers(2, 4), numbers(2, 4, seed=1))),
            (cls(5), (numbers(3), numbers(3, seed=1))),
            (cls(3, -2), (numbers(3, 2), numbers(5, 2, seed=1))),
            (cls(2), (numbers(4), numbers(3, seed=1))),
            (cls(2), (numbers(3, dtype="c16"), numbers(3, dtype="c16", seed=1))),
            (cls(2), (numbers(3, dtype="f4"), numbers(3, dtype="f4", seed=1))),
        ]


def _fitted(x: Array, axis: int, size: Any) -> Array:
    from .fft import resized

    return resized(x, axis, size)


@functools.cache
def _convolved_dtype(op: Convolve, ones: tuple[bool, ...], x: np.dtype, y: np.dtype) -> np.dtype:
    """Return the dtype that SciPy gives; axes of one element are multiplied, not transformed."""
    shape = [1 if one else 2 for one in ones]
    result: np.dtype = op.evaluate(np.ones(shape, x), np.ones(shape, y)).dtype
    return result


@dataclass(frozen=True)
class Convolve(Op):
    """The convolution along `axes` (negative); the other axes broadcast.

    `full`: (..., n), (..., m) -> (..., n + m - 1). `valid`: the n - m + 1 elements that use no
    padding, where m <= n. `fft`: `scipy.signal.fftconvolve`, else `scipy.signal.convolve` by sums,
    along all axes.
    """

    name = "convolve"
    cost = Cost.CHEAP
    axes: tuple[int, ...]
    mode: str = "full"
    fft: bool = True

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, y = types
        if x.ndim != y.ndim:
            raise ShapeError("in1 and in2 should have the same dimensionality")
        axes = [k % x.ndim for k in self.axes]
        if not self.fft and len(axes) < x.ndim:
            raise ShapeError(f"{self.name} by sums takes all axes of {x}")
        shape: list[Size] = []
        ones: list[bool] = []
        for k, (n, m) in enumerate(zip(x.shape, y.shape, strict=True)):
            if k in axes:
                shape.append(n + m - 1 if self.mode == "full" else n - m + 1)
            elif n == m or m == 1 or n == 1:
                shape.append(m if n == 1 else n)
            else:
                raise ShapeError(f"incompatible shapes for in1 and in2: {x.shape} and {y.shape}")
            ones.append(n == 1 or m == 1)
        return (ArrayType(_convolved_dtype(self, tuple(ones), x.dtype, y.dtype), shape),)

    def evaluate(self, *operands: Array) -> Any:
        x, y = operands
        if self.fft:
            result = scipy_signal().fftconvolve(x, y, self.mode, axes=self.axes)
        else:
            result = scipy_signal().convolve(x, y, self.mode, "direct")
        return np.ascontiguousarray(result)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Each operand's cotangent is that of the result, convolved with the reversed other."""
        (x, y), (ct,) = operands, cts
        full, valid = (Convolve(self.axes, mode, self.fft) for mode in ("full", "valid"))
        back_x, back_y = np.flip(x, self.axes), np.flip(y, self.axes)
        if self.mode == "full":
            return [
                apply(valid, ct, back_y) if needs[0] else None,
                apply(valid, ct, back_x) if needs[1] else None,
            ]
        return [
            apply(full, ct, back_y) if needs[0] else None,
            apply(valid, back_x, ct) if needs[1] else None,
        ]

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        n, m = (t.size for t in operands)
        if not self.fft:
            return 2 * n * m
        size = n if self.mode == "valid" else results[0].size
        return int(15 * size * math.log2(max(size, 2)))

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        x, y = numbers(2, 5), numbers(2, 3, seed=1)
        z = numbers(5, dtype="c16")
        return [
            (cls((-1,)), (x, y)),
            (cls((-2, -1)), (x, y)),
            (cls((-2, -1), "full", False), (x, y)),
            (cls((-1,), "valid"), (x, y)),
            (cls((-2, -1), "valid"), (numbers(3, 4), numbers(2, 1, seed=1))),
            (cls((-2, -1), "valid", False), (numbers(3, 4), numbers(2, 3, seed=1))),
            (cls((-1,)), (numbers(1, 4), numbers(3, 2, seed=1))),
            (cls((-1,)), (z, numbers(3, seed=1))),
            (cls((-1,)), (x.astype("f4"), y.astype("f4"))),
        ]


__all__ = ["Convolve", "Lags", "LinearFilter", "scipy_signal"]

"""Discrete Fourier transforms along one axis, and the transposes of the two that are real.

With w = exp(-2πi / n), `fft` is y[k] = Σ x[j] w^(jk); `ifft` has the conjugate of w and divides by
n; `rfft` is the first half of `fft` of a real x; `irfft` is `ifft` of the Hermitian vector whose
first half is x, of which it reads the real part alone at frequency 0 and, for even n, at n / 2.
Operands are cut, or extended by zeros, to the length of the transform.

A cotangent g of z means dL = Re(Σ g dz), so adjoints are plain transposes. The matrix of `fft` is
symmetric: it is its own adjoint, and so is `ifft`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..dims import Size
from ..errors import DTypeError
from ..op import Array, Cost, Emitter, Op, Scatter
from ..samples import numbers
from ..types import ArrayType
from .index import apply

SWAPPED: dict[str, Any] = {"backward": "forward", "ortho": "ortho", "forward": "backward"}
"""The normalisation with which the inverse transform has the factor of the forward one."""

Transform = Callable[..., Any]


@functools.cache
def _result_dtype(transform: Transform, dtype: np.dtype) -> np.dtype:
    try:
        result: np.dtype = transform(np.zeros(2, dtype), 2).dtype
    except TypeError as error:
        raise DTypeError(str(error)) from None
    return result


def resized(x: Array, axis: int, size: Size) -> Array:
    """Return the array cut, or extended by zeros, to a size along a negative axis."""
    have = x.shape[axis]
    if have == size:
        return x
    if have > size:
        return x[(..., slice(0, size), *[slice(None)] * (-1 - axis))]
    shape: Any = list(x.shape)
    shape[axis] = size - have
    return np.concatenate([x, np.zeros(shape, x.dtype)], axis)


@dataclass(frozen=True)
class Transformed(Op):
    """A transform of length `n` along a negative axis; `norm` is as in `numpy.fft`."""

    cost = Cost.TRANSCENDENTAL
    has_out = True
    takes_over = ()
    is_linear = True
    transform: ClassVar[Transform]
    n: Size
    axis: int = -1
    norm: str = "backward"

    def length(self) -> Size:
        """Return the length of the result along the axis."""
        return self.n

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        shape = list(x.shape)
        shape[self.axis] = self.length()
        return (ArrayType(_result_dtype(type(self).transform, x.dtype), shape),)

    def evaluate(self, *operands: Array) -> Any:
        return type(self).transform(operands[0], self.n, self.axis, self.norm)

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[tuple[int, ...] | None]
    ) -> tuple[tuple[int, ...] | None, ...] | None:
        """Return the strides of `np.empty_like`, with the length of the result along the axis."""
        (x,), (layout,) = types, layouts
        (result,) = self.infer(x)
        if layout is None or not result.is_static or not x.is_static or 0 in x.shape:
            return None
        shape: Any = x.shape
        like = np.lib.stride_tricks.as_strided(np.empty(1, x.dtype), shape, layout)
        sizes: Any = result.shape
        made: np.ndarray = np.empty_like(like, dtype=result.dtype, shape=sizes)
        return (None if made.flags.c_contiguous else made.strides,)

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        """Count 5 n log2 n for each transform, half of it where one side is real."""
        size = max(operands[0].size, results[0].size)
        n = self.n if isinstance(self.n, int) else max(size, 1)
        return int(5 * size * math.log2(max(n, 2)))

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        function = emitter.bind(type(self).transform, self.name)
        place = "" if out is None else f", {out}"
        return (
            f"{function}({operands[0]}, {emitter.size(self.n)}, {self.axis}, {self.norm!r}{place})"
        )

    @classmethod
    def _samples(cls, *dtypes: str) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        """Return transforms of both parities that keep, cut and extend, with each norm."""
        wide = dtypes[0]
        return [
            *[(cls(n), (numbers(2, 5, dtype=wide),)) for n in (4, 5, 8)],
            *[(cls(n, -2, "ortho"), (numbers(4, 2, dtype=wide),)) for n in (3, 4)],
            *[(cls(n, -1, "forward"), (numbers(2, dtype=wide),)) for n in (1, 2, 3)],
            (cls(3), (numbers(0, 2, dtype=wide),)),
            *[(cls(4), (numbers(4, dtype=d, low=0, high=5),)) for d in dtypes[1:]],
        ]


@dataclass(frozen=True)
class Fft(Transformed):
    """`np.fft.fft`: T[..., m] -> complex[..., n]."""

    name = "fft"
    transform = np.fft.fft

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [resized(apply(self, cts[0]), self.axis, operands[0].shape[self.axis])]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return cls._samples("c16", "f8", "f4", "c8", "f2", "i4", "?")


@dataclass(frozen=True)
class InverseFft(Fft):
    """`np.fft.ifft`: T[..., m] -> complex[..., n]."""

    name = "ifft"
    transform = np.fft.ifft


@dataclass(frozen=True)
class RealFft(Transformed):
    """`np.fft.rfft`: real[..., m] -> complex[..., n // 2 + 1]."""

    name = "rfft"
    transform = np.fft.rfft

    def length(self) -> Size:
        """Return the number of frequencies that are not negative."""
        return self.n // 2 + 1

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        size = operands[0].shape[self.axis]
        keep = min(size, self.n)
        into = apply(RealFftTranspose(self.n, self.axis, self.norm, keep), cts[0])
        return [resized(into, self.axis, size)]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return cls._samples("f8", "f4", "f2", "i8", "?")


@dataclass(frozen=True)
class InverseRealFft(Transformed):
    """`np.fft.irfft`: T[..., m] -> real[..., n]."""

    name = "irfft"
    transform = np.fft.irfft

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        into = apply(InverseRealFftTranspose(self.n, self.axis, self.norm), cts[0])
        return [resized(into, self.axis, operands[0].shape[self.axis])]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return cls._samples("c16", "f8", "f4", "c8", "i4")


def _inner(n: int, axis: int) -> tuple[Any, ...]:
    """Return the index of the frequencies whose conjugates `rfft` leaves out."""
    return (..., slice(1, (n + 1) // 2), *[slice(None)] * (-1 - axis))


def rfft_transpose(
    g: Array, n: Any, axis: int = -1, norm: Any = "backward", keep: Any = None
) -> Any:
    """Return Re Σ g[k] w^(jk): `irfft` counts each frequency inside twice, so half of them."""
    half = np.conjugate(g)
    half[_inner(n, axis)] *= 0.5
    result = np.fft.irfft(half, n, axis, SWAPPED[norm])
    if keep is None or keep == n:
        return result
    first: Any = (..., slice(0, keep), *[slice(None)] * (-1 - axis))
    return result[first].copy()


def irfft_transpose(g: Array, n: Any, axis: int = -1, norm: Any = "backward") -> Any:
    """Return Σ g[j] w^(-jk), twice for the frequencies that `irfft` counts twice."""
    whole: np.ndarray = np.conjugate(np.fft.rfft(g, n, axis, SWAPPED[norm]))
    whole[_inner(n, axis)] *= 2
    return whole


@dataclass(frozen=True)
class RealFftTranspose(Transformed):
    """The transpose of `rfft` as a real linear map: complex[..., n // 2 + 1] -> real[..., keep].

    Of the n elements the first ones are kept, as many as `rfft` was given.
    """

    name = "rfft_transpose"
    has_out = False
    transform = rfft_transpose
    keep: Size | None = None

    def length(self) -> Size:
        """Return how many elements are kept."""
        return self.n if self.keep is None else self.keep

    def evaluate(self, *operands: Array) -> Any:
        return rfft_transpose(operands[0], self.n, self.axis, self.norm, self.keep)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        function = emitter.bind(rfft_transpose, self.name)
        keep = emitter.size(self.length())
        n = emitter.size(self.n)
        return f"{function}({operands[0]}, {n}, {self.axis}, {self.norm!r}, {keep})"

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [apply(RealFft(self.n, self.axis, self.norm), cts[0])]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(6), (numbers(2, 4, dtype="c16"),)),
            (cls(5, -2, "ortho"), (numbers(3, 2, dtype="c16"),)),
            (cls(1, -1, "forward"), (numbers(1, dtype="c16"),)),
            (cls(4), (numbers(3, dtype="c8"),)),
            (cls(6, keep=4), (numbers(2, 4, dtype="c16"),)),
        ]


@dataclass(frozen=True)
class InverseRealFftTranspose(Transformed):
    """The transpose of `irfft` as a real linear map: real[..., n] -> complex[..., n // 2 + 1]."""

    name = "irfft_transpose"
    has_out = False
    transform = irfft_transpose

    def length(self) -> Size:
        """Return the number of frequencies that are not negative."""
        return self.n // 2 + 1

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [apply(InverseRealFft(self.n, self.axis, self.norm), cts[0])]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(6), (numbers(2, 6),)),
            (cls(5, -2, "ortho"), (numbers(5, 2),)),
            (cls(1, -1, "forward"), (numbers(1),)),
            (cls(4), (numbers(4, dtype="f4"),)),
        ]

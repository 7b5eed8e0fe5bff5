"""Elementwise ops that are no ufuncs: selection, conversion, parts of complex numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..batching import with_lead
from ..errors import DTypeError
from ..op import Array, Cost, Emitter, Op, Scatter, Zero, broadcast
from ..samples import numbers
from ..types import ArrayType
from .blend import MASKED_COPY_LIMIT, where_source


class _Elementwise(Op):
    is_elementwise = True
    cost = Cost.CHEAP

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[tuple[int, ...] | None]
    ) -> tuple[tuple[int, ...] | None, ...] | None:
        from ..layout import elementwise_layout

        return tuple(
            elementwise_layout(types, layouts, r.dtype.itemsize) for r in self.infer(*types)
        )


@dataclass(frozen=True)
class Where(_Elementwise):
    """`where(condition, left, right)`; the branches have one dtype."""

    name = "where"
    is_linear = True
    has_out = True
    takes_over = (2,)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        condition, left, right = types
        if condition.dtype.kind != "b" or left.dtype != right.dtype:
            raise DTypeError(f"where takes a bool and two equal dtypes, not {types}")
        return (ArrayType(left.dtype, broadcast([t.shape for t in types])),)

    def evaluate(self, *operands: Array) -> Any:
        return np.where(*operands)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        (ct,), condition = cts, operands[0]
        return [
            None,
            np.where(condition, ct, 0) if needs[1] else None,
            np.where(condition, 0, ct) if needs[2] else None,
        ]

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        if out is None:
            return f"{emitter.bind(np.where, 'where')}({', '.join(operands)})"
        return where_source(emitter, operands, out)

    def extra_bytes(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        """Count the mask of bits, or what `np.where` makes."""
        (result,) = results
        return result.nbytes if result.size > MASKED_COPY_LIMIT else 0

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(), (numbers(2, 3) > 0, numbers(2, 3), numbers(2, 3, seed=1))),
            (cls(), (numbers(2, 1) > 0, numbers(3), np.float64(2.0))),
            (cls(), (np.bool_(True), numbers(2, dtype="i4"), numbers(2, dtype="i4"))),
        ]


@dataclass(frozen=True)
class Convert(_Elementwise):
    """The operand cast to another dtype, as `astype` does."""

    name = "convert"
    has_out = True
    dtype: np.dtype

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (types[0].with_dtype(self.dtype),)

    def evaluate(self, *operands: Array) -> Any:
        return np.asarray(operands[0]).astype(self.dtype)[()]

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [cts[0]]  # the driver casts back, taking the real part

    @property
    def has_gradient(self) -> bool:
        """A float cast to an integer is piecewise constant."""
        return self.dtype.kind in "fc"

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        dtype = emitter.bind(self.dtype, str(self.dtype))
        if out is None:
            return f"{operands[0]}.astype({dtype})"
        return f"{emitter.bind(np.copyto, 'copyto')}({out}, {operands[0]}, 'unsafe')"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(np.dtype("f4")), (numbers(2, 3),)),
            (cls(np.dtype("c16")), (numbers(3),)),
            (cls(np.dtype("f8")), (numbers(3, dtype="c16"),)),
            (cls(np.dtype("f8")), (numbers(3, dtype="i4", high=9),)),
            (cls(np.dtype("i4")), (numbers(3, high=9),)),
            (cls(np.dtype("f8")), (np.float32(2.5),)),
        ]


def _part_dtype(type: ArrayType) -> np.dtype:
    if type.dtype.kind != "c":
        raise DTypeError(f"the part of a complex number is asked of {type}")
    part: Any = np.empty(0, type.dtype)
    dtype: np.dtype = part.real.dtype
    return dtype


@dataclass(frozen=True)
class Real(_Elementwise):
    """The real part of a complex operand."""

    name = "real"
    cost = Cost.FREE

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (types[0].with_dtype(_part_dtype(types[0])),)

    def evaluate(self, *operands: Array) -> Any:
        return np.real(operands[0]).copy("K")

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [cts[0]]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(), (numbers(2, 3, dtype="c16"),)),
            (cls(), (np.complex64(1 - 2j),)),
        ]


@dataclass(frozen=True)
class Imag(_Elementwise):
    """The imaginary part of a complex operand."""

    name = "imag"
    cost = Cost.FREE

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (types[0].with_dtype(_part_dtype(types[0])),)

    def evaluate(self, *operands: Array) -> Any:
        return np.imag(operands[0]).copy("K")

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [cts[0] * -1j]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(), (numbers(2, 3, dtype="c16"),)),
            (cls(), (np.complex64(1 - 2j),)),
        ]


@dataclass(frozen=True)
class MakeComplex(_Elementwise):
    """The complex number of a real and an imaginary part."""

    name = "make_complex"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        real, imag = types
        if real.dtype != imag.dtype or real.dtype.kind != "f":
            raise DTypeError(f"{self.name} takes two equal real dtypes, not {types}")
        dtype = np.result_type(real.dtype, np.complex64)
        return (ArrayType(dtype, broadcast([t.shape for t in types])),)

    def evaluate(self, *operands: Array) -> Any:
        real, imag = operands
        shape = np.broadcast_shapes(np.shape(real), np.shape(imag))
        result = np.empty(shape, np.result_type(real, np.complex64))
        result.real, result.imag = real, imag
        return result[()]

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [
            np.real(cts[0]) if needs[0] else None,
            -np.imag(cts[0]) if needs[1] else None,
        ]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(), (numbers(2, 3), numbers(3, seed=1))),
            (cls(), (np.float32(1.5), np.float32(-2))),
        ]


@dataclass(frozen=True)
class StopGradient(_Elementwise):
    """The operand itself, whose cotangent is zero."""

    name = "stop_gradient"
    is_view = True
    cost = Cost.FREE

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def evaluate(self, *operands: Array) -> Any:
        return operands[0]

    @property
    def has_gradient(self) -> bool:
        """None flows through, by definition."""
        return False

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(), (numbers(2, 3),)),
        ]

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        return operands[0]


@dataclass(frozen=True)
class StopGradientIf(Op):
    """`stop_gradient_if(x, stops)` is x itself, whose cotangent is zero where `stops` is true."""

    name = "stop_gradient_if"
    is_view = True

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, stops = types
        if stops.dtype.kind != "b" or stops.shape:
            raise DTypeError(f"{self.name} takes one bool, not {stops}")
        return (x,)

    def evaluate(self, *operands: Array) -> Any:
        return operands[0]

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[tuple[int, ...] | None]
    ) -> tuple[tuple[int, ...] | None, ...] | None:
        return (layouts[0],)

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        """Take the operand itself, or what has its value alone, for each example."""
        from .index import apply

        x, stops = operands
        if not mapped[1]:
            return apply(self, x, stops)
        stops = with_lead(stops, x.ndim - mapped[0])
        return np.where(stops, apply(StopGradient(), x), x)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [np.where(operands[1], 0, cts[0]), None]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        go_on = np.False_  # its rule is a derivative then
        return [(cls(), (numbers(2, 3), go_on)), (cls(), (np.float32(1.5), go_on))]

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        return operands[0]


class _Parts(_Elementwise):
    """A ufunc with two results."""

    ufunc: ClassVar[np.ufunc]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        dtypes = self.ufunc.resolve_dtypes((x.dtype, None, None))
        if dtypes[0] != x.dtype:
            raise DTypeError(
                f"{self.name} takes {dtypes[0]}, not {x.dtype}: a `convert` is missing"
            )
        return tuple(x.with_dtype(d) for d in dtypes[1:])

    def evaluate(self, *operands: Array) -> Any:
        return self.ufunc(operands[0])

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        return f"{emitter.bind(self.ufunc, self.name)}({operands[0]})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(), (numbers(2, 3),)), (cls(), (numbers(3, dtype="f4"),))]


@dataclass(frozen=True)
class Modf(_Parts):
    """The fractional and the integral part, both with the sign of the operand."""

    name = "modf"
    ufunc = np.modf

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [None if isinstance(cts[0], Zero) else cts[0]]


@dataclass(frozen=True)
class Frexp(_Parts):
    """The mantissa and the int32 exponent: `x = mantissa * 2**exponent`."""

    name = "frexp"
    ufunc = np.frexp

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [None if isinstance(cts[0], Zero) else np.ldexp(cts[0], -results[1])]


where = Where()
real = Real()
imag = Imag()
stop_gradient = StopGradient()

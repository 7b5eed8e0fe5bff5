"""Reductions; axes count from the right, so leading batch axes are free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..dims import Size
from ..errors import ShapeError
from ..op import Array, Cost, Emitter, Op, Scatter
from ..samples import numbers
from ..types import ArrayType, Layout, Shape
from .summing import short_rows, sum_by_product


def reduced_shape(shape: Shape, axes: Sequence[int], keepdims: bool) -> Shape:
    """Return the shape after reducing over negative `axes`."""
    dropped = {axis + len(shape) for axis in axes}
    if keepdims:
        return tuple(1 if i in dropped else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in dropped)


class Reducing(Op):
    """Base of ops that a ufunc's `reduce` computes: their results have its memory order."""

    axes: tuple[int, ...]
    keepdims: bool

    def cut(
        self, types: Sequence[ArrayType], axes: Sequence[int | None], size: Size
    ) -> tuple[Op, int] | None:
        (axis,) = axes
        if axis is None or axis in self.axes:
            return None
        return self, axis if self.keepdims else axis + sum(a > axis for a in self.axes)

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        from ..layout import reduced_layout

        itemsize = self.infer(*types)[0].dtype.itemsize
        return (reduced_layout(types[0], layouts[0], self.axes, self.keepdims, itemsize),)


@dataclass(frozen=True)
class Reduction(Reducing):
    """Reduce over `axes` (negative, ascending) with a ufunc: `x : T[*lead, ...] -> T[...]`."""

    is_reduction = True
    has_out = True
    cost = Cost.CHEAP
    ufunc: ClassVar[np.ufunc]
    axes: tuple[int, ...]
    keepdims: bool = False

    def rounds(self, dtype: np.dtype) -> bool:
        """Whether the result depends on the order in which entries are taken."""
        return dtype.kind in "fc" and self.ufunc not in (np.maximum, np.minimum)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        if self.ufunc.identity is None and 0 in [x.shape[a] for a in self.axes]:
            raise ShapeError(
                f"zero-size array to reduction operation {self.ufunc.__name__} "
                "which has no identity"
            )
        dtype = np.dtype(bool) if self.ufunc in (np.logical_or, np.logical_and) else x.dtype
        return (ArrayType(dtype, reduced_shape(x.shape, self.axes, self.keepdims)),)

    def evaluate(self, *operands: Array) -> Any:
        x = np.asarray(operands[0])
        dtype = x.dtype if self.ufunc in (np.add, np.multiply) else None
        return self.ufunc.reduce(x, axis=self.axes, dtype=dtype, keepdims=self.keepdims)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        kinds = "?" if cls.ufunc in (np.logical_or, np.logical_and) else "d"
        found: list[tuple[Op, tuple[Array, ...]]] = [
            (cls((-1,)), (numbers(2, 3).astype(kinds),)),
            (cls((-2, -1), keepdims=True), (numbers(2, 2, 3).astype(kinds),)),
            (cls((-3, -1)), (numbers(2, 3, 2).astype(kinds),)),
            (cls((-1,)), (numbers(1).astype(kinds),)),
            (cls((-1,)), (numbers(0, 2).astype(kinds),)),
        ]
        if kinds == "d":
            found.append((cls((-2,)), (numbers(3, 2, dtype="f4"),)))
        return found

    def spread(self, value: Array) -> Array:
        """Return a result-shaped value with the reduced axes put back as size 1."""
        return value if self.keepdims else np.expand_dims(value, self.axes)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        atom = emitter.atom(operands[0])
        if self.ufunc is np.add:
            product = sum_by_product(emitter, atom, operands[0], self.axes, self.keepdims, out)
            if product is not None:
                return product
        short = short_rows(emitter, self.ufunc, atom, operands[0], self.axes, self.keepdims, out)
        if short is not None:
            return short
        reduce = emitter.bind(self.ufunc.reduce, f"{self.ufunc.__name__}_reduce")
        dtype = "None"
        if self.ufunc in (np.add, np.multiply) and (
            atom is None or atom.type.dtype.kind not in "fc"
        ):
            # NumPy widens small integers by default; the traced program has converted already.
            dtype = f"{operands[0]}.dtype"
        axis = str(self.axes[0]) if len(self.axes) == 1 else str(self.axes)
        if atom is not None and len(self.axes) == atom.type.ndim:
            axis = "None"
        return f"{reduce}({operands[0]}, {axis}, {dtype}, {out}, {self.keepdims})"


@dataclass(frozen=True)
class Sum(Reduction):
    """The sum over axes."""

    name = "sum"
    is_linear = True
    ufunc = np.add

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [np.broadcast_to(self.spread(cts[0]), operands[0].shape)]


@dataclass(frozen=True)
class Prod(Reduction):
    """The product over axes; its gradient multiplies all other factors, right also at zeros."""

    name = "prod"
    ufunc = np.multiply

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [self.spread(cts[0]) * other_factors(operands[0], self.axes)]


def other_factors(x: Array, axes: Sequence[int]) -> Array:
    """Return, for each element, the product of the other ones over negative `axes`."""
    ndim = x.ndim
    kept = [a for a in range(-ndim, 0) if a not in axes]
    order = [*kept, *axes]
    shape: Any = (*[x.shape[a] for a in kept], count_of(x.shape, axes))
    flat = np.reshape(np.transpose(x, order), shape)
    one = np.ones_like(flat[..., :1])
    before = np.cumprod(np.concatenate([one, flat[..., :-1]], axis=-1), axis=-1)
    after = np.cumprod(np.concatenate([one, flat[..., :0:-1]], axis=-1), axis=-1)[..., ::-1]
    # before * after is a polynomial in x: it differentiates again, also at zeros
    others = np.reshape(before * after, [x.shape[a] for a in order])
    inverse = np.argsort([a + ndim for a in order])
    return np.transpose(others, inverse.tolist())


@dataclass(frozen=True)
class _Extreme(Reduction):
    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        (x,), (y,) = operands, results
        chosen = x == self.spread(y)
        # Counted in x's own dtype, where that counts far enough: no pass in int64.
        dtype = x.dtype if x.dtype.itemsize >= 4 else np.dtype(np.float32)
        marks = chosen.astype(dtype)
        count = np.sum(marks, axis=self.axes, keepdims=True)
        # Where the extreme is nan nothing is chosen: the count of 0 makes the cotangent nan too.
        return [marks.astype(x.dtype) * (self.spread(cts[0]) / count.astype(x.dtype))]


@dataclass(frozen=True)
class Max(_Extreme):
    """The maximum over axes; equal maxima share the cotangent evenly, as in JAX."""

    name = "max"
    ufunc = np.maximum


@dataclass(frozen=True)
class Min(_Extreme):
    """The minimum over axes; equal minima share the cotangent evenly, as in JAX."""

    name = "min"
    ufunc = np.minimum


@dataclass(frozen=True)
class Any_(Reduction):
    """Whether any element is true."""

    name = "any"
    ufunc = np.logical_or


@dataclass(frozen=True)
class All(Reduction):
    """Whether all elements are true."""

    name = "all"
    ufunc = np.logical_and


@dataclass(frozen=True)
class LogAddExp(Reduction):
    """`log(sum(exp(x)))` over axes, as `np.logaddexp.reduce` computes it, one by one."""

    name = "logaddexp_reduce"
    ufunc = np.logaddexp
    cost = Cost.TRANSCENDENTAL

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        (x,), (y,) = operands, results
        total = self.spread(y)
        return [self.spread(cts[0]) * np.exp(np.where(x == total, 0, x - total))]


@dataclass(frozen=True)
class ArgReduction(Op):
    """The int64 position of an extreme along one axis (negative)."""

    cost = Cost.CHEAP
    has_out = True
    function: ClassVar[Any]
    axis: int

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if types[0].shape[self.axis] == 0:
            raise ShapeError(f"attempt to get {self.name} of an empty sequence")
        shape = reduced_shape(types[0].shape, (self.axis,), False)
        return (ArrayType(np.dtype(np.intp), shape),)

    def evaluate(self, *operands: Array) -> Any:
        return type(self).function(operands[0], axis=self.axis)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        function = emitter.bind(type(self).function, self.name)
        return f"{function}({operands[0]}, {self.axis}, {out})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(-1), (numbers(2, 3),)),
            (cls(-2), (numbers(2, 3, dtype="i4", high=9),)),
            (cls(-1), (numbers(3, dtype="c16"),)),
        ]


@dataclass(frozen=True)
class ArgMax(ArgReduction):
    """The position of the first maximum."""

    name = "argmax"
    function = np.argmax


@dataclass(frozen=True)
class ArgMin(ArgReduction):
    """The position of the first minimum."""

    name = "argmin"
    function = np.argmin


def axes_of(ndim: int, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    """Return the normalised negative axes, ascending, that a NumPy `axis` argument means.

    Raises
    ------
    numpy.exceptions.AxisError
        As NumPy does.
    """
    if axis is None:
        return tuple(range(-ndim, 0))
    axes = np.lib.array_utils.normalize_axis_tuple(axis, ndim)
    return tuple(sorted(int(a) - ndim for a in axes))


def count_of(shape: Shape, axes: Sequence[int]) -> Size:
    """Return how many elements a reduction over `axes` takes together."""
    total: Size = 1
    for axis in axes:
        total = total * shape[axis]
    return total

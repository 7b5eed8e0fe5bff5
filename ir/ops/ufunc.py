"""The methods of ufuncs: any of NumPy's binary ufuncs reduced, accumulated, reduced by segments.

The reductions that have an op of their own (`sum`, `max`, ...) are in `reduce.py` and
`cumulative.py`; these ops hold the ufunc as an attribute, and NumPy computes them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError
from ..op import ELEMENTWISE, Array, Cost, Elementwise, Emitter, Op, Scatter, broadcast
from ..samples import numbers
from ..types import ArrayType
from .cumulative import LinearRecurrence, Running, but_first, but_last, first
from .index import apply
from .reduce import Reducing, other_factors, reduced_shape

INF = float("inf")

NEUTRAL: dict[np.ufunc, float] = {
    np.add: 0,
    np.subtract: 0,
    np.multiply: 1,
    np.divide: 1,
    np.power: 1,
    np.float_power: 1,
    np.logaddexp: -INF,
    np.logaddexp2: -INF,
    np.hypot: 0,
}
"""What changes nothing as the right operand."""

EXTREMES = (np.maximum, np.minimum, np.fmax, np.fmin)
_UNSETTLED = (np.power, np.float_power, np.arctan2)
LOGICAL = (np.logical_and, np.logical_or, np.logical_xor)


@functools.cache
def loop_dtype(ufunc: np.ufunc, given: np.dtype, dtype: np.dtype | None = None) -> np.dtype:
    """Return the dtype in which a method of a ufunc computes on arrays of `given`.

    Raises
    ------
    DTypeError
        Where the ufunc has no such method for the dtype.
    """
    signature: dict[str, Any] = {} if dtype is None else {"signature": (dtype, None, None)}
    try:
        found = ufunc.resolve_dtypes(
            (None, given, None), casting="unsafe", reduction=True, **signature
        )
    except (TypeError, ValueError) as error:
        raise DTypeError(str(error)) from error
    if found[0] != found[1] or found[1] != found[2]:
        raise DTypeError(
            f"the resolved dtypes are not compatible with {ufunc.__name__}.reduce: {found}"
        )
    return found[0]


def is_differentiable(function: Elementwise, dtype: np.dtype) -> bool:
    """Whether a derivative flows through the methods of a ufunc."""
    return function.has_gradient and dtype.kind in "fc"


def slope(function: Elementwise, side: int, ct: Array, *step: Array) -> Array:
    """Return the cotangent of an operand of one step `y = f(a, b)`, zeros where it has none."""
    assert function.rules is not None
    rule = function.rules[side]
    found = None if rule is None else rule(ct, *step)
    return np.zeros_like(ct) if found is None else found


@dataclass(frozen=True)
class UfuncReduce(Reducing):
    """`function.reduce` over `axes` (negative, ascending), in `dtype`.

    Operands are x, where `start` is "operand" its scalar, and where `masked` a bool mask. Without
    the operand a reduction starts from the ufunc's identity, or, if `start` is "first" or there is
    none, from the first element.
    """

    name = "ufunc_reduce"
    has_out = True
    cost = Cost.CHEAP
    function: Elementwise
    axes: tuple[int, ...]
    dtype: np.dtype
    keepdims: bool = False
    start: str = "identity"
    masked: bool = False

    @property
    def has_gradient(self) -> bool:
        """As the ufunc."""
        return is_differentiable(self.function, self.dtype)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x = types[0]
        if self.start == "operand" and types[1] != ArrayType(self.dtype, ()):
            raise DTypeError(f"{self.name} starts from a scalar {self.dtype}, not {types[1]}")
        if self.masked and (
            types[-1].dtype.kind != "b" or broadcast([x.shape, types[-1].shape]) != x.shape
        ):
            raise ShapeError(f"{self.name} takes a bool mask that broadcasts to {x}, not {types}")
        shape = reduced_shape(x.shape, self.axes, self.keepdims)
        if self._starts_with_first and 0 in [x.shape[a] for a in self.axes]:
            raise ShapeError(
                f"zero-size array to reduction operation {self.function.ufunc.__name__} "
                "which has no identity"
            )
        return (ArrayType(self.dtype, shape),)

    @property
    def _starts_with_first(self) -> bool:
        none = self.start == "identity" and self.function.ufunc.identity is None
        return self.start == "first" or none

    def evaluate(self, *operands: Array) -> Any:
        options: dict[str, Any] = {}
        if self.start != "identity":
            options["initial"] = operands[1] if self.start == "operand" else None
        if self.masked:
            options["where"] = operands[-1]
        x = np.asarray(operands[0])
        return self.function.ufunc.reduce(
            x, axis=self.axes, dtype=self._given(x.dtype), keepdims=self.keepdims, **options
        )

    def _given(self, dtype: np.dtype) -> np.dtype | None:
        # The logical ufuncs know no `dtype=bool` for numbers, though that is what they return.
        return None if self.function.ufunc in LOGICAL or dtype == self.dtype else self.dtype

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        reduce = emitter.bind(self.function.ufunc.reduce, f"{self.function.name}_reduce")
        text = f"{reduce}({operands[0]}, axis={self.axes}, keepdims={self.keepdims}"
        if self.function.ufunc not in LOGICAL:
            text += f", dtype={emitter.bind(self.dtype, str(self.dtype))}"
        if self.start != "identity":
            text += f", initial={operands[1] if self.start == 'operand' else None}"
        if self.masked:
            text += f", where={operands[-1]}"
        return f"{text})" if out is None else f"{text}, out={out})"

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        x, mask = operands[0], operands[-1] if self.masked else None
        start = operands[1] if self.start == "operand" else None
        if x.dtype != self.dtype:
            x = x.astype(self.dtype)
        ct, y = [v if self.keepdims else np.expand_dims(v, self.axes) for v in (cts[0], results[0])]
        into_x, into_start = self._rule()(ct, y, x, start, mask)
        if mask is not None:
            into_x = np.where(mask, into_x, 0)
        found = [np.broadcast_to(into_x, x.shape)]
        if start is not None:
            found.append(np.sum(into_start))
        return [*found, None] if self.masked else found

    def _rule(self) -> Callable[..., tuple[Array, Array]]:
        ufunc = self.function.ufunc
        if ufunc in (np.multiply, np.divide):
            return self._product
        if ufunc in EXTREMES:
            return self._extreme
        if ufunc is np.subtract:
            return self._difference
        return self._chain if ufunc not in SYMMETRIC else self._symmetric

    def _symmetric(
        self, ct: Array, y: Array, x: Array, start: Array, mask: Array
    ) -> tuple[Array, Array]:
        rule = SYMMETRIC[self.function.ufunc]
        return rule(ct, y, x), None if start is None else rule(ct, y, start)

    def _extreme(
        self, ct: Array, y: Array, x: Array, start: Array, mask: Array
    ) -> tuple[Array, Array]:
        """Give equal shares to all elements, and the start, that are the extreme."""
        chosen = x == y
        chosen = (chosen if mask is None else chosen & mask).astype(x.dtype)
        count = np.sum(chosen, axis=self.axes, keepdims=True)
        if start is None:
            return chosen * (ct / count), None
        first = (y == start).astype(x.dtype)
        share = ct / (count + first)
        return chosen * share, first * share

    def _product(
        self, ct: Array, y: Array, x: Array, start: Array, mask: Array
    ) -> tuple[Array, Array]:
        """Differentiate `start * prod(x)`, or `start / prod(x)`: right also at zeros of factors."""
        divides = self.function.ufunc is np.divide
        factors = x if mask is None else np.where(mask, x, 1)
        if divides and start is None:
            if not self.axes:
                return ct, None
            (axis,) = self.axes
            rest = but_first(factors, axis)
            leading = ct / np.prod(rest, axis=axis, keepdims=True)
            return np.concatenate([leading, -(ct / rest) * y], axis), None
        if divides:
            return -(ct / factors) * y, ct / np.prod(factors, axis=self.axes, keepdims=True)
        others = other_factors(factors, self.axes)
        if start is None:
            return ct * others, None
        return ct * start * others, ct * np.prod(factors, axis=self.axes, keepdims=True)

    def _difference(
        self, ct: Array, y: Array, x: Array, start: Array, mask: Array
    ) -> tuple[Array, Array]:
        if start is not None:
            return np.broadcast_to(-ct, x.shape), ct
        if not self.axes:
            return ct, None
        (axis,) = self.axes
        rest = np.broadcast_to(-ct, but_first(x, axis).shape)
        return np.concatenate([ct, rest], axis), None

    def _chain(
        self, ct: Array, y: Array, x: Array, start: Array, mask: Array
    ) -> tuple[Array, Array]:
        """Run back over the steps `y[j] = f(y[j - 1], x[j])` along one axis."""
        name, function = self.function.name, self.function
        if function.ufunc in _UNSETTLED:
            raise NotImplementedError(
                f"{name}.reduce takes the elements of contiguous rows in another order on some "
                f"processors, so it has no gradient rule; {name}.accumulate has one"
            )
        if len(self.axes) > 1:
            raise NotImplementedError(f"{name}.reduce over several axes has no gradient rule")
        if mask is not None and function.ufunc not in NEUTRAL:
            raise NotImplementedError(f"{name}.reduce with where= has no gradient rule")
        if not self.axes:
            if start is None:
                return ct, None
            return slope(function, 1, ct, y, start, x), slope(function, 0, ct, y, start, x)
        (axis,) = self.axes
        if mask is not None:
            x = np.where(mask, x, NEUTRAL[function.ufunc])
        head, rest = first(x, axis), but_first(x, axis)
        entered = head if start is None else function.ufunc(start, head)
        chain = np.concatenate([entered, rest], axis)
        running = function.ufunc.accumulate(chain, axis=axis)
        spread = np.concatenate([np.zeros_like(rest), ct], axis)
        into = chain_vjp(function, axis, spread, running, chain)
        if start is None:
            return into, None
        step = (first(into, axis), entered, start, head)
        into_head = slope(function, 1, *step)
        return np.concatenate([into_head, but_first(into, axis)], axis), slope(function, 0, *step)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        double = np.dtype(float)
        mask, start = numbers(2, 3, seed=2) > 0, np.float64(0.75)
        found: list[tuple[Op, tuple[Array, ...]]] = []
        for ufunc in (
            np.add, np.multiply, np.maximum, np.fmin, np.logaddexp, np.logaddexp2, np.hypot,
            np.subtract, np.divide, np.copysign, np.remainder,
        ):  # fmt: skip
            function = ELEMENTWISE[ufunc]
            x = numbers(2, 3, low=0.5, high=1.5)
            found.append((cls(function, (-1,), double), (x,)))
            found.append((cls(function, (-2,), double, True, "operand"), (x, start)))
            if ufunc in NEUTRAL or ufunc in EXTREMES:
                given = cls(function, (-1,), double, False, "operand", True)
                found.append((given, (x, start, mask)))
        add, narrow = ELEMENTWISE[np.add], numbers(2, 3, dtype="f4")
        found += [
            (cls(add, (-2, -1), double), (narrow,)),
            (cls(add, (-1,), double, start="first"), (numbers(2, 3),)),
            (cls(add, (-1,), double, masked=True), (numbers(2, 3), mask[0])),
            (cls(add, (), double), (numbers(3),)),
            (cls(ELEMENTWISE[np.hypot], (), double, start="operand"), (numbers(3), start)),
            (cls(ELEMENTWISE[np.logical_xor], (-1,), np.dtype(bool)), (mask,)),
            (cls(ELEMENTWISE[np.gcd], (-1,), np.dtype("i4")), (np.array([[4, 6], [9, 3]], "i4"),)),
            (cls(add, (-1,), np.dtype("f4"), masked=True), (narrow, mask)),
        ]
        return found


SYMMETRIC: dict[np.ufunc, Callable[[Array, Array, Array], Array]] = {
    np.add: lambda ct, y, x: ct,
    np.logaddexp: lambda ct, y, x: ct * np.exp(np.where(x == y, 0, x - y)),
    np.logaddexp2: lambda ct, y, x: ct * np.exp2(np.where(x == y, 0, x - y)),
    np.hypot: lambda ct, y, x: ct * x / y,
}
"""Rules of ufuncs that treat all elements alike: `(ct, result, element) -> cotangent`."""


def chain_vjp(function: Elementwise, axis: int, ct: Array, y: Array, x: Array) -> Array:
    """Return the cotangent of x for `y[j] = f(y[j - 1], x[j])`, `y[0] = x[0]`, along an axis."""
    step = (but_first(y, axis), but_last(y, axis), but_first(x, axis))
    slopes = slope(function, 0, np.ones_like(step[0]), *step)
    shifted = np.concatenate([slopes, np.zeros_like(first(x, axis))], axis)
    total = apply(LinearRecurrence(axis, backward=True), shifted, ct)
    rest = slope(function, 1, but_first(total, axis), *step)
    return np.concatenate([first(total, axis), rest], axis)


@dataclass(frozen=True)
class UfuncAccumulate(Running):
    """`function.accumulate` along one axis (negative): `x : T[..., n] -> T[..., n]`."""

    name = "ufunc_accumulate"
    has_out = True
    cost = Cost.CHEAP
    function: Elementwise
    axis: int
    dtype: np.dtype

    @property
    def has_gradient(self) -> bool:
        """As the ufunc."""
        return is_differentiable(self.function, self.dtype)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (types[0].with_dtype(self.dtype),)

    def evaluate(self, *operands: Array) -> Any:
        return self.function.ufunc.accumulate(np.asarray(operands[0]), axis=self.axis)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [chain_vjp(self.function, self.axis, cts[0], results[0], operands[0])]

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        call = emitter.bind(self.function.ufunc.accumulate, f"{self.function.name}_accumulate")
        return f"{call}({operands[0]}, {self.axis}, None, {out})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        double, x = np.dtype(float), numbers(2, 3, low=0.5, high=1.5)
        ufuncs = (np.subtract, np.divide, np.fmax, np.hypot, np.power, np.heaviside)
        return [
            *[(cls(ELEMENTWISE[u], -1, double), (x,)) for u in ufuncs],
            (cls(ELEMENTWISE[np.fmin], -2, double), (numbers(3, 2),)),
            (cls(ELEMENTWISE[np.subtract], -1, double), (numbers(0),)),
            (cls(ELEMENTWISE[np.logical_or], -1, np.dtype(bool)), (numbers(3) > 0,)),
            (cls(ELEMENTWISE[np.subtract], -1, np.dtype("f4")), (numbers(3, dtype="f4"),)),
        ]

"""Ufuncs applied at positions that may repeat: `np.multiply.at` and its like.

The elements that an index selects are met one after the other, in C order; a position that repeats
sees what the steps before it have made. The adjoint runs the steps backward: through
`y = f(s, v)` the running cotangent `c` of a position becomes `c * df/ds`, and `c * df/dv` is the
value's. Both need what a position held just before a step, its trail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError
from ..op import ELEMENTWISE, Array, Cost, Elementwise, Emitter, Op, Scatter, broadcast
from ..samples import numbers, positions
from ..types import ArrayType, Layout
from .batched_index import written_at
from .index import AT, Index, Index_, IndexAdd, Span, apply, index_shape

HOLOMORPHIC = frozenset({
    np.add, np.subtract, np.multiply, np.divide, np.power, np.float_power, np.negative, np.positive,
    np.square, np.reciprocal, np.sqrt, np.exp, np.log, np.sin, np.cos, np.tan, np.sinh, np.cosh,
    np.tanh,
})  # fmt: skip
"""Ufuncs whose adjoint step multiplies the cotangent by one complex number."""


class _At(Op):
    """What the three ops share: operands are x, `values` arrays, and the positions."""

    index: Index_
    values: int = 0
    cost = Cost.CHEAP

    @property
    def _reads(self) -> Index:
        return Index(self.index, True)

    def _split(self, operands: Sequence[Any]) -> tuple[Any, Sequence[Any], Sequence[Any]]:
        x, *rest = operands
        return x, rest[: self.values], rest[self.values :]

    def _selected(self, types: Sequence[ArrayType]) -> ArrayType:
        """Return the type of what the index reads.

        Raises
        ------
        ShapeError
            Where a value does not broadcast to it.
        """
        x, values, places = self._split(types)
        shape = index_shape(self.index, x, places)
        for value in values:
            if broadcast([shape, value.shape]) != shape:
                raise ShapeError(f"could not write {list(value.shape)} into {list(shape)}")
        return ArrayType(x.dtype, shape)

    def _run(
        self, step: Callable[..., Array], operands: Sequence[Array], backward: bool = False
    ) -> tuple[Array, Array]:
        """Return x after all steps `s = step(s, *values)`, and each s just before its step."""
        x, values, places = self._split(operands)
        result = np.array(x, order="C")
        flat = result.reshape(-1)
        key = self._reads.positions(result.ndim - self._reads.axes, places)
        targets: Array = np.arange(flat.size).reshape(result.shape)[key]
        each = [np.broadcast_to(v, targets.shape).reshape(-1) for v in values]
        before = np.empty(targets.shape, result.dtype)
        trail = before.reshape(-1)
        for chosen in _rounds(targets.reshape(-1), backward):
            where = targets.reshape(-1)[chosen]
            trail[chosen] = flat[where]
            flat[where] = step(flat[where], *[v[chosen] for v in each])
        return result, before


def _rounds(targets: np.ndarray, backward: bool) -> Iterator[np.ndarray]:
    """Return the steps in groups without repeats: the first step of each target, the second..."""
    order = np.argsort(targets, kind="stable")
    order = order[::-1] if backward else order
    if not order.size:
        return
    found = targets[order]
    starts = np.flatnonzero(np.append(True, found[1:] != found[:-1]))
    lengths = np.diff(np.append(starts, found.size))
    rank = np.arange(found.size) - np.repeat(starts, lengths)
    by_rank = np.argsort(rank, kind="stable")
    yield from np.split(order[by_rank], np.cumsum(np.bincount(rank))[:-1])


@dataclass(frozen=True)
class UfuncAt(_At):
    """`x` after `function.at(x, index, *values)`; the values keep their own dtype, as in NumPy.

    Operands are x, a second one where the function is binary, and the index's arrays.
    """

    name = "ufunc_at"
    updates = 0
    index: Index_
    function: Elementwise

    @property
    def values(self) -> int:  # type: ignore[override]
        """How many arrays stand between x and the positions."""
        return self.function.ufunc.nin - 1

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, values, _ = self._split(types)
        self._selected(types)
        _loop(self.function, [x.dtype, *[v.dtype for v in values]])
        return (x,)

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        x, values, places = self._split(operands)
        examples = written_at(self.index, mapped, x, values, places)
        return apply(UfuncAt(examples[0], self.function), *examples[1])

    def evaluate(self, *operands: Array) -> Any:
        x, values, places = self._split(operands)
        result = np.array(x)
        key = self._reads.positions(result.ndim - self._reads.axes, places)
        self.function.ufunc.at(result, key, *values)
        return result

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        return IndexAdd(self.index).layouts(types, layouts)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        x, values, places = self._split(operands)
        at = emitter.bind(self.function.ufunc.at, f"{self.function.name}_at")
        text = self._reads.emitted(emitter, x, places)
        return f"{at}({x}, {emitter.bind(np.s_, 's_')}[{text}], {', '.join(values)})"

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        trail = UfuncAtTrail(self.index, self.function)
        _, before = apply(trail, *operands)
        return trail.adjoint(cts[0], np.zeros_like(before), before, operands)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return _samples(cls)


@dataclass(frozen=True)
class UfuncAtTrail(_At):
    """As `ufunc_at`, with what each position held just before its step as a second result."""

    name = "ufunc_at_trail"
    index: Index_
    function: Elementwise

    @property
    def values(self) -> int:  # type: ignore[override]
        """How many arrays stand between x and the positions."""
        return self.function.ufunc.nin - 1

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (types[0], self._selected(types))

    def evaluate(self, *operands: Array) -> Any:
        return self._run(self.function.ufunc, operands)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        ct, ct_before = [c.instantiate() if hasattr(c, "instantiate") else c for c in cts]
        return self.adjoint(ct, ct_before, results[1], operands)

    def adjoint(
        self, ct: Array, ct_before: Array, before: Array, operands: Sequence[Array]
    ) -> Sequence[Array | None]:
        """Return the cotangents of the operands, from those of the content and the trail."""
        x, values, places = self._split(operands)
        function, ufunc = self.function, self.function.ufunc
        loop = _loop(function, [x.dtype, *[v.dtype for v in values]])
        if any(d.kind == "c" for d in loop) and ufunc not in HOLOMORPHIC:
            raise NotImplementedError(f"{function.name}.at of complex numbers has no gradient rule")
        if any(d.kind == "c" for d in loop) and x.dtype.kind != "c":
            raise NotImplementedError(
                f"{function.name}.at of complex values into real ones has no gradient rule"
            )
        held = before.astype(loop[0])
        shape = before.shape
        given = [np.broadcast_to(v, shape).astype(d) for v, d in zip(values, loop[1:], strict=True)]
        slopes = self._slopes(held, given)
        run = AtLinear(self.index, backward=True)
        into_x, passed = apply(run, ct, slopes[0].astype(ct.dtype), ct_before, *places)
        into_values = [passed * s for s in slopes[1:]]
        return [into_x, *into_values, *[None] * len(places)]

    def _slopes(self, held: Array, given: Sequence[Array]) -> list[Array]:
        """Return the derivative of a step by each operand: zeros where it is a constant."""
        steps = [held, *given]
        if not self.function.has_gradient or held.dtype.kind not in "fc":
            return [np.zeros_like(held, dtype=float) for _ in steps]
        assert self.function.rules is not None
        y, one = self.function.ufunc(*steps), np.ones_like(held)
        found = [None if rule is None else rule(one, y, *steps) for rule in self.function.rules]
        return [np.zeros_like(held) if f is None else f for f in found]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return _samples(cls)


@dataclass(frozen=True)
class AtLinear(_At):
    """`s = a * s + b` at each position in turn: x after all steps, and each s before its step.

    Operands are x, a, b and the positions; `backward` takes the last step first.
    """

    name = "at_linear"
    values = 2
    index: Index_
    backward: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, (a, b), _ = self._split(types)
        if not x.dtype == a.dtype == b.dtype:
            raise DTypeError(f"{self.name} takes one dtype, not {x}, {a} and {b}")
        return (x, self._selected(types))

    def evaluate(self, *operands: Array) -> Any:
        return self._run(lambda s, a, b: a * s + b, operands, self.backward)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        ct, ct_before = [c.instantiate() if hasattr(c, "instantiate") else c for c in cts]
        _, (a, _), places = self._split(operands)
        spread = np.broadcast_to(a, results[1].shape)
        run = AtLinear(self.index, not self.backward)
        into_x, passed = apply(run, ct, spread, ct_before, *places)
        return [into_x, passed * results[1], passed, *[None] * len(places)]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        x = numbers(3, 4)
        found: list[tuple[Op, tuple[Array, ...]]] = []
        for index, at in _indices():
            shape: Any = np.shape(Index(index, True).evaluate(x, *at))
            a, b = numbers(*shape, seed=1, low=0.5, high=1.5), numbers(*shape, seed=2)
            found += [(cls(index), (x, a, b, *at)), (cls(index, backward=True), (x, a, b, *at))]
        return found


def _loop(function: Elementwise, dtypes: Sequence[np.dtype]) -> tuple[np.dtype, ...]:
    """Return the dtypes of the operands in which one step is computed.

    Raises
    ------
    DTypeError
        Where the ufunc has no loop for them.
    """
    try:
        found = function.ufunc.resolve_dtypes((*dtypes, dtypes[0]), casting="unsafe")
    except TypeError as error:
        raise DTypeError(str(error)) from error
    return tuple(found[:-1])


def _indices() -> list[tuple[Index_, tuple[Array, ...]]]:
    """Return indices with repeats, for an operand of shape (3, 4)."""
    return [
        ((AT, Span(0, 4, 1)), (positions(5, size=3),)),
        ((Span(0, 3, 1), AT), (positions(2, 3, size=4),)),
        ((AT, AT), (np.array([0, 0, 1, -3, 0]), np.array([1, 1, 2, 1, -3]))),
        ((AT, Span(3, 2, -2)), (np.zeros((0,), np.int64),)),
    ]


def _samples(op: type[UfuncAt] | type[UfuncAtTrail]) -> Sequence[tuple[Op, tuple[Array, ...]]]:
    x, found = numbers(3, 4, low=0.5, high=1.5), []
    ufuncs = [np.multiply, np.divide, np.subtract, np.maximum, np.hypot, np.greater, np.sin]
    for ufunc in ufuncs:
        function = ELEMENTWISE[ufunc]
        chosen = _indices()[: 4 if ufunc is np.multiply else 3]
        for index, at in chosen if ufunc.nin == 2 else chosen[2:]:
            shape: Any = np.shape(Index(index, True).evaluate(x, *at))
            value = (numbers(*shape, seed=1, low=0.4, high=1.6),) if ufunc.nin == 2 else ()
            found.append((op(index, function), (x, *value, *at)))
    index, at = _indices()[2]
    multiply = ELEMENTWISE[np.multiply]
    z, w = numbers(3, 4, dtype="c16"), numbers(5, dtype="c16", seed=1)
    narrow = numbers(5, dtype="f4", seed=1)
    found += [
        (op(index, multiply), (z, w, *at)),
        (op(index, multiply), (x.astype("f4"), narrow, *at)),
        (op(index, multiply), (np.arange(12).reshape(3, 4), np.arange(5) + 1, *at)),
    ]
    return found

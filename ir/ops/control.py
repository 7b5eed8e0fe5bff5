"""Ops that hold regions: `Loop`, `Fused`, and the call of another function of the module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from ..core import Function
from ..dims import Dim, Size, Symbol, bounds, substitute
from ..errors import VerificationError
from ..op import Effect, Op
from ..types import ArrayType

INDEX = np.dtype(np.int64)
ENDLESS = 2**62
"""Where the range of a `while` ends that has an index: its condition ends it before."""


def function_effect(function: Function) -> Effect:
    """Return the strongest effect of a function's equations."""
    effects = {eqn.op.effect for eqn in function.eqns}
    for effect in (Effect.ORDERED, Effect.MAY_RAISE):
        if effect in effects:
            return effect
    return Effect.PURE


def substitute_type(type: ArrayType, binding: dict[Symbol, Size]) -> ArrayType:
    """Return the type with symbols in its shape replaced."""
    if type.is_static:
        return type
    return type.with_shape([substitute(d, binding) for d in type.shape])


class Enclosing(Op):
    """An op that runs one region on its operands and returns its results.

    `dims` are passed to the region's own dims.
    """

    body: Function
    dims: tuple[Size, ...]

    @property
    def effect(self) -> Effect:  # type: ignore[override]
        return function_effect(self.body)

    @property
    def regions(self) -> tuple[Function, ...]:  # type: ignore[override]
        return (self.body,)

    def with_regions(self, regions: Sequence[Function]) -> Op:
        (body,) = regions
        op: Any = self
        return cast("Op", replace(op, body=body))

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        check_parameters(self.name, self.body, types, self.dims)
        binding = dict(zip(self.body.dims, self.dims, strict=True))
        return tuple(substitute_type(r.type, binding) for r in self.body.results)

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        return function_flops(self.body)


@dataclass(frozen=True)
class Fused(Enclosing):
    """A region that runs as one pass over memory: `body` is elementwise work and its reductions.

    With a `tile` it runs part by part: each operand is cut along its axis in `cuts` (negative;
    None: it is read whole) into parts of `tile` entries, by several threads where `threads`.
    """

    name = "fused"
    body: Function
    dims: tuple[Size, ...] = ()
    tile: int = 0
    cuts: tuple[int | None, ...] = ()
    threads: bool = False


def function_flops(function: Function) -> int:
    """Return the floating-point operations of a function run once."""
    return sum(
        eqn.op.flops([a.type for a in eqn.operands], [r.type for r in eqn.results])
        for eqn in function.eqns
    )


def check_parameters(
    name: str, body: Function, types: Sequence[ArrayType], dims: Sequence[Size]
) -> None:
    """Raise where operands do not fit a region's parameters."""
    if len(dims) != len(body.dims):
        raise VerificationError(f"{name} passes {len(dims)} dims to a region of {len(body.dims)}")
    binding = dict(zip(body.dims, dims, strict=True))
    expected = tuple(substitute_type(p.type, binding) for p in body.params)
    if expected != tuple(types):
        raise VerificationError(
            f"{name} passes {', '.join(map(str, types))} to a region "
            f"that takes {', '.join(map(str, expected))}"
        )


@dataclass(frozen=True)
class Loop(Op):
    """The one loop: for, while, for with break, and each of them run backward.

    Operands are `lo, hi, step` (int64 scalars; only with `ranged`), `carries` initial values, then
    captured values. `body(i, *carries, *captured) -> (*carries, *outputs)`, without `i` when the
    loop is not ranged; `test(i, *carries, *captured) -> bool` ends the loop at the first False,
    before the body. Results are the final carries, one stack for each output (a new leading axis of
    size `trips`; the value of index `lo + k * step` stands at position k whichever way the loop
    runs), and the trip count where `counts`.

    `trips` is an int, a dim, or a symbol that this equation binds when the count is known only at
    run time. `backward` runs the same indices in the opposite order. `dims` are passed to the
    regions' own dims after the index symbol, which is the first dim of a ranged region.
    `recompute` is for reverse mode: in a loop around this one nothing of it is kept, and it runs
    again in the reversed loop (`passes.checkpoint`).
    """

    name = "loop"
    body: Function
    carries: int
    trips: Size | Symbol
    ranged: bool = True
    test: Function | None = None
    backward: bool = False
    counts: bool = False
    recompute: bool = False
    dims: tuple[Size, ...] = ()

    @property
    def effect(self) -> Effect:  # type: ignore[override]
        """A loop with a test may never end, so it is never speculated."""
        effect = function_effect(self.body)
        if self.test is not None and effect is Effect.PURE:
            return Effect.MAY_RAISE
        return effect

    @property
    def regions(self) -> tuple[Function, ...]:  # type: ignore[override]
        return (self.body,) if self.test is None else (self.body, self.test)

    def with_regions(self, regions: Sequence[Function]) -> Op:
        body, *test = regions
        return replace(self, body=body, test=test[0] if test else None)

    @property
    def binds(self) -> tuple[Symbol, ...]:  # type: ignore[override]
        return (self.trips,) if isinstance(self.trips, Symbol) else ()

    @property
    def outputs(self) -> int:
        """How many outputs the body stacks."""
        return len(self.body.results) - self.carries

    @property
    def head(self) -> int:
        """How many operands stand before the carries."""
        return 3 if self.ranged else 0

    @property
    def length(self) -> Size:
        """The size of the leading axis of the stacks."""
        return Dim.of(self.trips) if isinstance(self.trips, Symbol) else self.trips

    def _binding(self) -> dict[Symbol, Size]:
        index = self.body.dims[:1] if self.ranged else ()
        inner = self.body.dims[len(index) :]
        return dict(zip(inner, self.dims, strict=True))

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        head, inside = types[: self.head], types[self.head :]
        if any(t != ArrayType(INDEX, ()) for t in head):
            raise VerificationError(f"loop: the range is {head}, not int64 scalars")
        binding = self._binding()
        index = [ArrayType(INDEX, ())] if self.ranged else []
        for region in self.regions:
            expected = [substitute_type(p.type, binding) for p in region.params]
            if expected != [*index, *inside]:
                raise VerificationError(
                    f"loop passes {[*index, *inside]} to a region that takes {expected}"
                )
        results = [substitute_type(r.type, binding) for r in self.body.results]
        if results[: self.carries] != list(inside[: self.carries]):
            raise VerificationError(
                f"loop carries {inside[: self.carries]} but its body returns "
                f"{results[: self.carries]}"
            )
        stacks = [t.with_shape((self.length, *t.shape)) for t in results[self.carries :]]
        count = [ArrayType(INDEX, ())] if self.counts else []
        return (*results[: self.carries], *stacks, *count)

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        """Return the operations of all iterations; a count known only at run time is taken as 1."""
        length = self.length
        trips = length if isinstance(length, int) else (bounds(length)[1] or 1)
        return trips * sum(function_flops(region) for region in self.regions)


@dataclass(frozen=True)
class Call(Op):
    """Call another function of the module by its name; the types make inference local."""

    name = "call"
    function: str
    result_types: tuple[ArrayType, ...]
    ordered: bool = False

    @property
    def effect(self) -> Effect:  # type: ignore[override]
        """A callee may recurse without end, so a call is never speculated."""
        return Effect.ORDERED if self.ordered else Effect.MAY_RAISE

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return self.result_types


RegionRunner = Callable[..., Sequence[Any]]


def run_loop(
    op: Loop,
    operands: Sequence[Any],
    run: Callable[[Function, dict[Symbol, int]], RegionRunner],
    sizes: dict[Symbol, int],
) -> tuple[list[Any], int]:
    """Run a loop by the definition, for the reference interpreter; return its results and count.

    `run(region, sizes)` returns a callable of the region.
    """
    carried = list(operands[op.head : op.head + op.carries])
    captured = list(operands[op.head + op.carries :])
    indices: Sequence[int] | None = None
    if op.ranged:
        indices = range(*(int(v) for v in operands[:3]))
    inner = op.body.dims[1:] if op.ranged else op.body.dims
    outer = [d if isinstance(d, int) else substitute(d, dict(sizes)) for d in op.dims]
    stacks: list[list[Any]] = [[] for _ in range(op.outputs)]
    count = 0
    order = None if indices is None else (indices[::-1] if op.backward else indices)
    while order is None or count < len(order):
        scope: dict[Symbol, int] = {**sizes, **dict(zip(inner, map(_int, outer), strict=True))}
        head: list[Any] = []
        if order is not None:
            scope[op.body.dims[0]] = order[count]
            head = [np.int64(order[count])]
        if op.test is not None and not run(op.test, scope)(*head, *carried, *captured)[0]:
            break
        results = list(run(op.body, scope)(*head, *carried, *captured))
        carried = results[: op.carries]
        for stack, value in zip(stacks, results[op.carries :], strict=True):
            stack.append(np.array(value))
        count += 1
    if op.backward:
        stacks = [stack[::-1] for stack in stacks]
    binding = {**sizes, op.trips: count} if isinstance(op.trips, Symbol) else sizes
    arrays = [
        np.stack(stack) if stack else np.zeros((0, *_shape(r.type, binding)), r.type.dtype)
        for stack, r in zip(stacks, op.body.results[op.carries :], strict=True)
    ]
    results = [*carried, *arrays]
    return ([*results, np.int64(count)] if op.counts else results), count


def _int(size: Size) -> int:
    if isinstance(size, Dim):
        raise VerificationError(f"the dim {size} is not bound")
    return size


def _shape(type: ArrayType, sizes: dict[Symbol, int]) -> tuple[int, ...]:
    return tuple(_int(substitute(d, dict(sizes))) for d in type.shape)

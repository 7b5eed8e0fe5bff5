"""How the entries of a result depend on those of the operands, op by op.

A rule returns, for each operand, the chains that lead from its rows to the result's. An op without
a rule depends wholly: every entry of its results on every entry of its operands, which is never
wrong. Rules look at shapes and, where an operand says which entries are meant, at positions: never
at the values themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from ..ir.op import Elementwise, Op
from ..ir.ops.check import Graft, Require
from ..ir.ops.correlate import Correlate
from ..ir.ops.cumulative import LinearRecurrence, Running
from ..ir.ops.dynamic import Match
from ..ir.ops.einsum import Einsum
from ..ir.ops.fft import Transformed
from ..ir.ops.index import AT, Index, IndexAdd, IndexUpdate
from ..ir.ops.indices import Indexing
from ..ir.ops.lapack import Band, Lapack
from ..ir.ops.matmul import Dot, MatMul, VecDot
from ..ir.ops.order import OrderStatistics, Partition, Sort
from ..ir.ops.reduce import Reducing
from ..ir.ops.select import StopGradientIf, Where
from ..ir.ops.shape import Concatenate, Copy, Full, View
from ..ir.ops.signal import Convolve
from ..ir.ops.special import LogSumExp
from ..ir.ops.windows import AddWindows, Windows
from .dependence import Chain, Gather, Group, Step

Shape = tuple[int, ...]
Known = np.ndarray | None
"""An operand's value, where it is known without the inputs."""
Chains = list[list[Chain]]

OWN: list[Chain] = [()]
NONE: list[Chain] = []
_TAPS = 64
"""Entries of a filter up to which each is followed."""


def whole(result: Shape) -> list[Chain]:
    """Return the chain by which every entry of the result depends on every one of the operand."""
    return [(Gather(np.zeros(prod(result), np.intp)),)]


def aligned(shape: Shape, axes: Sequence[int | None], result: Shape) -> list[Chain]:
    """Return the chain where entries depend on those with the same place along some axes.

    `axes` says for each axis of the operand with which of the result (from the left) it goes; along
    the others every entry depends on every one.
    """
    sizes = enumerate(zip(axes, shape, strict=True))
    pairs = [(k, a) for k, (a, size) in sizes if a is not None and size == result[a]]
    count = prod(shape[k] for k, _ in pairs)
    labels, index = np.zeros(shape, np.intp), np.zeros(result, np.intp)
    stride = count
    for k, a in pairs:
        stride //= max(shape[k], 1)
        steps = np.arange(shape[k]) * stride
        labels += steps.reshape([-1 if j == k else 1 for j in range(len(shape))])
        index += steps.reshape([-1 if j == a else 1 for j in range(len(result))])
    chain: list[Step] = []
    if prod(shape) != count or len({a for _, a in pairs}) < len(pairs):
        chain.append(Group(labels.ravel(), count))
    if not np.array_equal(index.ravel(), np.arange(count)):
        chain.append(Gather(index.ravel()))
    return [tuple(chain)]


def broadcast(shape: Shape, result: Shape) -> list[Chain]:
    """Return the chains of an operand that is broadcast to the result."""
    return aligned(shape, range(len(result) - len(shape), len(result)), result)


def along(axes: Sequence[int], shape: Shape, result: Shape) -> list[Chain]:
    """Return the chain where every entry depends on all along some axes (negative)."""
    if len(shape) != len(result):
        return whole(result)
    mixed = [a % len(shape) for a in axes]
    return aligned(shape, [None if k in mixed else k for k in range(len(shape))], result)


def labelled(of: str, shape: Shape, into: str, result: Shape) -> list[Chain]:
    """Return the chain where axes go together that have one letter, as in einsum."""
    return aligned(shape, [into.index(c) if c in into else None for c in of], result)


def chains(op: Op, shapes: Sequence[Shape], known: Sequence[Known], result: Shape) -> Chains | None:
    """Return the chains of each operand; None: the result depends wholly."""
    if isinstance(op, Where) and known[0] is not None:
        return _chosen(known[0], shapes, result)
    if op.is_elementwise:
        return [broadcast(shape, result) for shape in shapes]
    return _rule(op, shapes, known, result)


def _chosen(condition: np.ndarray, shapes: Sequence[Shape], result: Shape) -> Chains:
    """Return the chains of a `where` of which it is known which side each entry is from."""
    takes_left = np.broadcast_to(condition, result).ravel()
    found: Chains = [NONE]
    for shape, taken in zip(shapes[1:], (takes_left, ~takes_left), strict=True):
        numbers = np.broadcast_to(np.arange(prod(shape)).reshape(shape), result).ravel()
        found.append([(Gather(np.where(taken, numbers, -1)),)])
    return found


@functools.lru_cache(maxsize=1024)
def flows(op: Op, dtypes: tuple[np.dtype, ...]) -> tuple[bool, ...]:
    """Return through which operands a derivative flows; some rules have none for real numbers."""
    if not isinstance(op, Elementwise) or op.rules is None:
        return (True,) * len(dtypes)
    operands = [np.zeros(0, dtype) for dtype in dtypes]
    result = op.evaluate(*operands)
    return tuple(r is not None and r(result, result, *operands) is not None for r in op.rules)


@functools.singledispatch
def _rule(op: Op, shapes: Sequence[Shape], known: Sequence[Known], result: Shape) -> Chains | None:
    return None


@_rule.register(View)
@_rule.register(Full)
@_rule.register(Concatenate)
@_rule.register(Copy)
@_rule.register(Band)
def _moved(
    op: Op,
    shapes: Sequence[Shape],
    known: Sequence[Known],
    result: Shape,
    entries: int | None = None,
) -> Chains | None:
    """Run the op on the numbers of the entries; 0 is none of them."""
    moving = len(shapes) if entries is None else entries
    numbers: list[Any] = []
    start = 1
    for shape in shapes[:moving]:
        numbers.append(np.arange(start, start + prod(shape)).reshape(shape))
        start += prod(shape)
    moved = np.ravel(op.evaluate(*numbers, *known[moving:]))
    found: Chains = []
    start = 1
    for shape in shapes[:moving]:
        size = prod(shape)
        inside = (moved >= start) & (moved < start + size)
        found.append([(Gather(np.where(inside, moved - start, -1)),)])
        start += size
    return [*found, *[NONE] * (len(shapes) - moving)]


def _guessed(op: Indexing, shape: Shape, positions: Sequence[Shape]) -> tuple[Any, Any] | None:
    """Return labels that are the same along axes whose positions are not known, and positions."""
    lead = len(shape) - op.axes
    axes = [k for k, item in enumerate(i for i in op.index if i is not None) if item is AT]
    if any(shape[lead + k] == 0 for k in axes):
        return None
    reduced = [1 if k - lead in axes else n for k, n in enumerate(shape)]
    labels = np.broadcast_to(np.arange(prod(reduced)).reshape(reduced), shape)
    return labels, [np.zeros(p, np.int64) for p in positions]


@_rule.register
def _index(
    op: Index, shapes: Sequence[Shape], known: Sequence[Known], result: Shape
) -> Chains | None:
    if not any(k is None for k in known[1:]):
        return _moved(op, shapes, known, result, 1)
    guess = _guessed(op, shapes[0], shapes[1:])
    if guess is None:
        return None
    labels, positions = guess
    spread = np.ravel(op.evaluate(labels, *positions))
    chain = (Group(labels.ravel(), int(labels.max(initial=-1)) + 1), Gather(spread))
    return [[chain], *[NONE] * len(positions)]


@_rule.register(IndexAdd)
def _added(
    op: IndexAdd | IndexUpdate, shapes: Sequence[Shape], known: Sequence[Known], result: Shape
) -> Chains | None:
    x, value, *others = shapes
    read = Index(op.index, any(others))
    size = prod(x)
    if not any(k is None for k in known[2:]):
        at = np.asarray(read.evaluate(np.arange(size).reshape(x), *known[2:]))
        target: Chain = (Group(at.ravel(), size),)
    else:
        guess = _guessed(op, x, others)
        if guess is None:
            return None
        labels, positions = guess
        at = np.asarray(read.evaluate(labels, *positions))
        count = int(labels.max(initial=-1)) + 1
        target = (Group(at.ravel(), count), Gather(labels.ravel()))
    sources = np.broadcast_to(np.arange(prod(value)).reshape(value), at.shape)
    return [OWN, [(Gather(sources.ravel()), *target)], *[NONE] * len(others)]


@_rule.register
def _updated(
    op: IndexUpdate, shapes: Sequence[Shape], known: Sequence[Known], result: Shape
) -> Chains | None:
    """Return what is written in place of the array's own, beside it where that is not known."""
    if not any(k is None for k in known[2:]):
        return _moved(op, shapes, known, result, 2)
    return _added(op, shapes, known, result)


@_rule.register
def _add_windows(
    op: AddWindows, shapes: Sequence[Shape], known: Sequence[Known], result: Shape
) -> Chains | None:
    numbers = np.arange(prod(result)).reshape(result)
    targets = Windows(op.axes, op.sizes).evaluate(numbers)
    return [[(Group(targets.ravel(), prod(result)),)]]


@_rule.register
def _first(
    op: Require | StopGradientIf | Match,
    shapes: Sequence[Shape],
    known: Sequence[Known],
    result: Shape,
) -> Chains | None:
    return [OWN, *[NONE] * (len(shapes) - 1)]


@_rule.register
def _graft(
    op: Graft, shapes: Sequence[Shape], known: Sequence[Known], result: Shape
) -> Chains | None:
    return [NONE, OWN]


@_rule.register
def _reduced(
    op: Reducing | LogSumExp, shapes: Sequence[Shape], known: Sequence[Known], result: Shape
) -> Chains | None:
    ndim = len(shapes[0])
    axes: list[int | None] = []
    place = 0
    for k in range(ndim):
        if k - ndim in op.axes:
            axes.append(None)
            place += op.keepdims
        else:
            axes.append(place)
            place += 1
    same = [s == shapes[0] for s in shapes]
    return [
        aligned(s, axes, result) if alike else whole(result)
        for s, alike in zip(shapes, same, strict=True)
    ]


@_rule.register
def _along_axis(
    op: Running | LinearRecurrence | Sort | Partition | OrderStatistics | Transformed,
    shapes: Sequence[Shape],
    known: Sequence[Known],
    result: Shape,
) -> Chains | None:
    return [along((op.axis,), shape, result) for shape in shapes]


@_rule.register
def _product(
    op: MatMul | Dot | VecDot, shapes: Sequence[Shape], known: Sequence[Known], result: Shape
) -> Chains | None:
    a, b = shapes
    of_a, of_b, into = op.labels(len(a), len(b))
    return [labelled(of_a, a, into, result), labelled(of_b, b, into, result)]


@_rule.register
def _einsum(
    op: Einsum, shapes: Sequence[Shape], known: Sequence[Known], result: Shape
) -> Chains | None:
    inputs, into = op.labels([np.broadcast_to(0.0, shape) for shape in shapes])
    return [labelled(of, s, into, result) for of, s in zip(inputs, shapes, strict=True)]


@_rule.register
def _lapack(
    op: Lapack, shapes: Sequence[Shape], known: Sequence[Known], result: Shape
) -> Chains | None:
    """Matrices of a stack are independent of each other, where all operands are such stacks."""
    lead = shapes[0][:-2]
    core = len(lead)
    cores = [2, *[getattr(op, "right", 2)] * (len(shapes) - 1)]
    alike = all(len(s) - core == c for s, c in zip(shapes, cores, strict=True))
    if not lead or not alike or any(s[:core] != lead for s in (*shapes, result)):
        return None
    return [aligned(s, [*range(core), *[None] * (len(s) - core)], result) for s in shapes]


@_rule.register
def _correlate(
    op: Correlate, shapes: Sequence[Shape], known: Sequence[Known], result: Shape
) -> Chains | None:
    a, v = shapes
    if v[-1] > _TAPS:
        return [along((-1,), s, result) for s in shapes]
    numbers = np.arange(prod(a)).reshape(a)
    places = np.arange(result[-1]) - op.left
    return [_taps(numbers, [places + n for n in range(v[-1])]), along((-1,), v, result)]


def _taps(numbers: np.ndarray, places: Sequence[np.ndarray]) -> list[Chain]:
    """Return the chains that read the last axis at places, some of them beyond its ends."""
    n = numbers.shape[-1]
    found: list[Chain] = []
    for at in places:
        inside = (at >= 0) & (at < n)
        read = np.where(inside, numbers[..., np.clip(at, 0, n - 1)], -1)
        found.append((Gather(read.ravel()),))
    return found


@_rule.register
def _convolve(
    op: Convolve, shapes: Sequence[Shape], known: Sequence[Known], result: Shape
) -> Chains | None:
    x, y = shapes
    axes = [k % len(x) for k in op.axes]
    others = [k for k in range(len(x)) if k not in axes]
    sizes = [y[k] for k in axes]
    mixed = [along(op.axes, s, result) for s in shapes]
    if prod(sizes) > _TAPS or any(x[k] != y[k] for k in others) or 0 in x:
        return mixed
    numbers = np.arange(prod(x)).reshape(x)
    found: list[Chain] = []
    for offset in product(*map(range, sizes)):
        read, inside = numbers, np.ones((1,) * len(x), bool)
        for k, tap in zip(axes, offset, strict=True):
            at = np.arange(result[k]) - tap + (y[k] - 1 if op.mode == "valid" else 0)
            shape = [-1 if j == k else 1 for j in range(len(x))]
            inside = inside & ((at >= 0) & (at < x[k])).reshape(shape)
            read = np.take(read, np.clip(at, 0, x[k] - 1), k)
        found.append((Gather(np.where(inside, read, -1).ravel()),))
    return [found, mixed[1]]


__all__ = ["Chains", "chains", "flows"]

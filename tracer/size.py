"""Sizes known only at run time, as user code sees them: Python ints that are traced.

Inside of pullback a shape holds dims, which compare by their canonical form. To the user's code
`x.shape[0]` and `len(x)` are ints: arithmetic on them with other ints stays exact, so that they can
be the shape of an array; a comparison is decided where their bounds decide it, and a traced bool
elsewhere.
"""

from __future__ import annotations

import operator
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.binding import lone_symbol
from ..ir.core import Atom, Eqn, Literal, Value
from ..ir.dims import Dim, Size, Symbol, bounds
from ..ir.op import Op
from ..ir.ops.dynamic import AsSize, Extent, Match
from ..ir.types import Kind
from .array import TracedArray, computed, emit, lift, unsupported
from .regions import Region
from .report import expression_here
from .state import Trace, locate, require

_PACKAGE = __name__.partition(".")[0]


class TracedSize(TracedArray):
    """A size as a traced Python int."""

    __slots__ = ("dim",)

    def __init__(self, dim: Dim, atom: Atom, trace: Trace) -> None:
        super().__init__(atom, Kind.PYTHON, trace)
        self.dim = dim

    def __index__(self) -> int:
        return int(
            self._concrete(
                f"the size {self.dim} as an integer",
                "Write it with array operations; np.zeros, np.arange, np.reshape and slices take "
                "such a size.",
                "index",
            )
        )


def user_size(size: Size) -> Any:
    """Return a size as user code sees it."""
    if not isinstance(size, Dim):
        return size
    index = _index(size)
    if index is not None:
        return TracedSize(size, *index)
    result = emit(Extent(size), ())
    return TracedSize(size, result._atom, result._trace)


def _index(size: Dim) -> tuple[Atom, Trace] | None:
    """Return the parameter of the loop under way whose index a size is."""
    symbol = lone_symbol(size)
    trace: Trace | None = require("a size")
    while trace is not None and symbol is not None:
        if isinstance(trace, Region) and trace.index is not None and trace.index[0] is symbol:
            return trace.index[1], trace
        trace = trace.parent
    return None


def seen(value: Any, frame: types.FrameType | None) -> Any:
    """Return a shape or a size for the code of `frame`: dims for our own, ints for the user's."""
    module = "" if frame is None else str(frame.f_globals.get("__name__", ""))
    ours = module.partition(".")[0] == _PACKAGE and not module.startswith(f"{_PACKAGE}.benchmarks")
    if ours and frame is not None and module.endswith(("tracer.hooks", "tracer.loads")):
        # A hook stands in for the user's own expression.
        ours = frame.f_code.co_name not in ("attribute", "_call", "_call_object")
    if ours:
        return value
    return tuple(map(user_size, value)) if isinstance(value, tuple) else user_size(value)


def caller() -> types.FrameType | None:
    """Return the frame that called the NumPy function whose traced form calls this."""
    frame = sys._getframe(2)
    return frame.f_back if frame.f_code.co_name == "__array_function__" else frame


def size_of(value: Any, is_place: bool = False) -> Size:
    """Return the dim that an int, a size or a traced integer means where a shape is wanted.

    A traced integer becomes a dim of its own, bound by an equation that checks its sign; with
    `is_place` it is where a slice starts or stops.
    """
    if isinstance(value, Dim):
        return value
    if isinstance(value, TracedSize):
        return value.dim
    if isinstance(value, TracedArray) and not value.shape and value.dtype.kind in "iu":
        if isinstance(value._atom, Literal):
            return int(value._atom.value)
        integer = value if value.dtype == np.int64 else value.astype(np.int64)
        attributes = {"is_place": True} if is_place else {}
        return _bound(integer, None, value._atom.hint or "n", attributes)
    index: Any = value
    return int(index.__index__())


def named_size(size: Size) -> Size:
    """Return a size as a symbol of its own, where its expression would be hard to read."""
    if not isinstance(size, Dim):
        return size
    return _bound(emit(Extent(size), ()), size, "n", {})


def _bound(integer: TracedArray, upper: Size | None, name: str, attributes: dict[str, Any]) -> Dim:
    emit_sized(AsSize, (integer,), upper, name, **attributes)
    trace = require("a size")
    symbol = _symbol(_key(AsSize, attributes, [lift(integer, trace)[0]]), trace)
    assert symbol is not None
    return Dim.of(symbol)


def shape_of(shape: Any) -> tuple[Size, ...]:
    """Return the dims that a shape argument means."""
    if isinstance(shape, TracedArray) and shape.ndim == 1 and isinstance(shape._atom, Literal):
        shape = shape._atom.value
    if isinstance(shape, tuple | list | np.ndarray):
        return tuple([size_of(d) for d in shape])
    return (size_of(shape),)


# ---- ops that bind a dim -------------------------------------------------------------------------


def _key(op: type[Op], attributes: dict[str, Any], atoms: Sequence[Atom]) -> Any:
    return ("sized", op, tuple(attributes.items()), tuple(atoms))


def _known(key: Any, trace: Trace | None) -> Eqn | None:
    """Return the equation for a key in a trace or in one around it."""
    while trace is not None:
        known = trace.builder.find(key)
        if known is not None:
            return known
        trace = trace.parent
    return None


def _symbol(key: Any, trace: Trace) -> Symbol | None:
    known = _known(key, trace)
    return None if known is None else known.op.binds[0]


def emit_sized(
    op: Callable[..., Op],
    operands: Sequence[Any],
    upper: Size | None,
    name: str = "n",
    **attributes: Any,
) -> tuple[Any, ...]:
    """Emit an op that binds a dim, or return the results of one emitted on the same operands."""
    kind: Any = op
    trace = require("an array", operands)
    atoms = [lift(v, trace)[0] for v in operands]
    key = _key(kind, attributes, atoms)
    known = _known(key, trace)
    if known is not None:
        return tuple([computed(r, trace) for r in known.results])
    symbol = Symbol(name, 0, bounds(upper)[1] if upper is not None else None)
    trace.builder.provenance = locate(trace)
    made = trace.builder.emit(kind(size=symbol, **attributes), atoms)
    trace.builder.remember(key, trace.builder.eqns[-1])
    return tuple([computed(r, trace) for r in made])


# ---- sizes that must agree -----------------------------------------------------------------------


def agreed(atoms: Sequence[Atom], trace: Trace) -> list[Atom] | None:
    """Return atoms that broadcast together, their unknown sizes checked when the program runs.

    Two sizes of which one is unknown are taken to be equal; None where known ones differ.
    """
    ndim = max(a.type.ndim for a in atoms)
    target: list[Size] = [1] * ndim
    for atom in atoms:
        for axis, size in enumerate(atom.type.shape, ndim - atom.type.ndim):
            old = target[axis]
            if size == 1 or size == old:
                continue
            if isinstance(size, int) and isinstance(old, int) and old != 1:
                return None
            if old == 1 or (isinstance(old, Dim) and isinstance(size, int)):
                target[axis] = size
    return [_matched(a, target[ndim - a.type.ndim :], trace) for a in atoms]


def _matched(atom: Atom, target: Sequence[Size], trace: Trace) -> Atom:
    shape = tuple(d if d == 1 else t for d, t in zip(atom.type.shape, target, strict=True))
    return atom if shape == atom.type.shape else trace.builder.one(Match(shape), atom)


def refuse_undecided(left: Sequence[Size], right: Sequence[Size], name: str) -> None:
    """Raise where only the run knows whether two shapes are equal.

    Raises
    ------
    UnsupportedError
    """
    if len(left) == len(right) and all(
        a == b or isinstance(a, Dim) or isinstance(b, Dim) for a, b in zip(left, right, strict=True)
    ):
        raise unsupported(
            f"{name} of arrays of which only the run knows whether their shapes are equal",
            "Compare their sizes and their elements.",
        )


def match(a: TracedArray, shape: Sequence[Size], reads: bool = False) -> TracedArray:
    """Return an array in a shape that it must turn out to have."""
    if tuple(shape) == a._atom.type.shape:
        return a
    result: TracedArray = emit(Match(tuple(shape), reads), (a,))
    return result


# ---- constants -----------------------------------------------------------------------------------


def _producer(value: Value, trace: Trace | None) -> Eqn | None:
    while trace is not None:
        eqn = trace.builder.producers.get(value)
        if eqn is not None:
            return eqn
        trace = trace.parent
    return None


def known_value(a: TracedArray) -> np.ndarray | None:
    """Return the value of an array that constants alone decide, None for another."""
    from ..ir.op import Effect

    if isinstance(a._atom, Literal):
        return np.asarray(a._atom.value)
    values: dict[Atom, Any] = {}

    def visit(atom: Atom, depth: int) -> bool:
        if isinstance(atom, Literal):
            values[atom] = atom.value
            return True
        if atom in values:
            return True
        eqn = _producer(atom, a._trace)
        if eqn is None or depth > 50 or not eqn.operands or len(eqn.results) != 1:
            return False
        op = eqn.op
        if op.effect is not Effect.PURE or op.regions or not atom.type.is_static:
            return False
        if not all(visit(o, depth + 1) for o in eqn.operands):
            return False
        with np.errstate(all="ignore"):
            values[atom] = op.evaluate(*[values[o] for o in eqn.operands])
        return True

    return np.asarray(values[a._atom]) if visit(a._atom, 0) else None


# ---- arithmetic and comparisons ------------------------------------------------------------------


def _dim_of(value: Any) -> Size | None:
    if isinstance(value, TracedSize):
        return value.dim
    return value if type(value) is int else None


def _arithmetic(name: str, function: Callable[[Any, Any], Any], reflected: bool) -> None:
    slot = f"__r{name}__" if reflected else f"__{name}__"
    plain = getattr(TracedArray, slot)

    def method(self: TracedSize, other: Any) -> Any:
        dim = _dim_of(other)
        if dim is None or (name in ("floordiv", "mod") and _may_vanish(self, dim, reflected)):
            return plain(self, other)
        return user_size(function(dim, self.dim) if reflected else function(self.dim, dim))

    setattr(TracedSize, slot, method)


def _may_vanish(self: TracedSize, other: Size, reflected: bool) -> bool:
    """Whether the divisor may be 0, where Python's ints raise."""
    low, high = bounds(self.dim if reflected else other)
    return not ((low is not None and low > 0) or (high is not None and high < 0))


for _name, _function in {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
}.items():
    _arithmetic(_name, _function, False)
    _arithmetic(_name, _function, True)


def _comparison(name: str, decide: Callable[[Any, Any], bool | None]) -> None:
    plain = getattr(TracedArray, name)

    def method(self: TracedSize, other: Any) -> Any:
        dim = _dim_of(other)
        answer = None if dim is None else decide(*bounds(self.dim - dim))
        return plain(self, other) if answer is None else answer

    setattr(TracedSize, name, method)


def _less(low: int | None, high: int | None) -> bool | None:
    if high is not None and high < 0:
        return True
    return False if low is not None and low >= 0 else None


def _equal(low: int | None, high: int | None) -> bool | None:
    if low == high == 0:
        return True
    apart = (low is not None and low > 0) or (high is not None and high < 0)
    return False if apart else None


def _negated(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def _flipped(low: int | None, high: int | None) -> tuple[int | None, int | None]:
    return (None if high is None else -high), (None if low is None else -low)


_comparison("__lt__", _less)
_comparison("__ge__", lambda low, high: _negated(_less(low, high)))
_comparison("__gt__", lambda low, high: _less(*_flipped(low, high)))
_comparison("__le__", lambda low, high: _negated(_less(*_flipped(low, high))))
_comparison("__eq__", _equal)
_comparison("__ne__", lambda low, high: _negated(_equal(low, high)))


def refuse_iteration(shape: Sequence[Size]) -> None:
    """Raise where user code would run over an axis whose size is not known.

    Raises
    ------
    ConcretizationError
    """
    from ..ir.errors import ConcretizationError

    if shape and isinstance(shape[0], Dim):
        raise ConcretizationError(
            f"{expression_here()} needs the size {shape[0]} as a Python int, but it is known only "
            "when the program runs.\n  Write it with array operations on the whole axis."
        )


__all__ = [
    "TracedSize",
    "agreed",
    "emit_sized",
    "known_value",
    "match",
    "named_size",
    "refuse_iteration",
    "refuse_undecided",
    "seen",
    "shape_of",
    "size_of",
    "user_size",
]

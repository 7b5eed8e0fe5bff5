"""Tapes: what a loop pushes, the reversed loop pops, last in, first out.

A tape holds values whose number or sizes only the run knows. It is a linear value: each equation
takes one and returns the next, and none is read twice, so that the generated code keeps one object
and changes it in place. Push and pop are each other's adjoint: the cotangent of a tape is a tape
of the cotangents of what it holds.

The type of a tape is a scalar of a dtype of its own, `tape_f64` for arrays and `scalars_f64` for
values without axes; these may be tapes themselves.
"""

from __future__ import annotations

import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..errors import DTypeError
from ..op import Array, Emitter, Op, Zero
from ..types import RECORD, ArrayType, Shape, is_tape, tape_of
from .index import apply

_SMALLEST = 1024
_TYPED = {"f8": "d", "f4": "f", "i8": "q", "i4": "i"}


class Tape:
    """Arrays in flat memory that grows by blocks; what is popped is a view of it."""

    __slots__ = ("block", "blocks", "dtype", "top", "total")

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.block = np.empty(0, dtype)
        self.top = 0
        self.blocks: list[tuple[np.ndarray, int]] = []
        self.total = 0

    def push(self, value: np.ndarray) -> None:
        """Copy an array onto the tape."""
        top = self.top
        end = top + value.size
        if end > self.block.size:
            # Never moved, and at most a quarter more than is used.
            self.blocks.append((self.block, top))
            size = max(value.size, _SMALLEST, self.total // 4)
            self.block = np.empty(size, self.dtype)
            self.total += size
            top, end = 0, value.size
        self.top = end
        if value.ndim == 1:
            self.block[top:end] = value
        else:
            self.block[top:end].reshape(value.shape)[...] = value

    def pop(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the last array; the next push overwrites it."""
        size = prod(shape)
        top = self.top - size
        while top < 0:
            self.total -= self.block.size
            self.block, self.top = self.blocks.pop()
            top = self.top - size
        found = self.block[top : self.top]
        self.top = top
        return found if len(shape) == 1 else found.reshape(shape)

    def fork(self) -> Tape:
        """Return a tape to pop from that leaves this one as it is."""
        made = Tape(self.dtype)
        made.block, made.top, made.total = self.block, self.top, self.total
        made.blocks = list(self.blocks)
        return made


class Zeros:
    """A tape of zeros without end: the cotangent of a tape of which nothing that is read counts."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    def pop(self, shape: tuple[int, ...] = ()) -> Any:
        """Return zeros, or another such tape."""
        if self.dtype == RECORD:
            return ()
        if self.dtype.kind == "V":
            return Zeros(self.dtype[0])
        return np.zeros(shape, self.dtype)[()]


def fork(tape: Any) -> Any:
    """Return a tape of any kind, or a record, to take from, with the tapes that it holds."""
    if isinstance(tape, Tape):
        return tape.fork()
    if isinstance(tape, list | tuple):
        made = [fork(t) if isinstance(t, Tape | list | tuple | array.array) else t for t in tape]
        return made if isinstance(tape, list) else tuple(made)
    return tape if isinstance(tape, Zeros) else tape[:]


def new_tape(dtype: np.dtype) -> Any:
    """Return an empty tape of a tape's dtype."""
    if dtype.names == ("tape",):
        return Tape(dtype[0])
    return array.array(_TYPED[dtype[0].str[1:]]) if is_typed(dtype) else []


def is_typed(dtype: np.dtype) -> bool:
    """Whether a tape of a dtype stores bare numbers, which lose their dtype there."""
    return dtype.names == ("scalars",) and dtype[0].isnative and dtype[0].str[1:] in _TYPED


def maker(dtype: np.dtype) -> tuple[Callable[..., Any], Any]:
    """Return what makes an empty tape, and its argument (None: it takes none)."""
    made = new_tape(dtype)
    if isinstance(made, Tape):
        return Tape, made.dtype
    return (list, None) if isinstance(made, list) else (array.array, made.typecode)


@dataclass(frozen=True)
class TapeNew(Op):
    """An empty tape or record, or a tape of zeros without end; each evaluation makes its own."""

    name = "tape_new"
    makes_new = True
    dtype: np.dtype
    zeros: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (ArrayType(self.dtype, ()),)

    def evaluate(self, *operands: Array) -> Any:
        if self.dtype == RECORD:
            return ()
        return Content(None, self.dtype[0] if self.zeros else None)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        if self.dtype == RECORD:
            return "()"
        if self.zeros:
            return f"{emitter.bind(Zeros, 'Zeros')}({emitter.bind(self.dtype[0], 'dtype')})"
        make, argument = maker(self.dtype)
        text = emitter.bind(make, make.__name__)
        if argument is None:
            return f"{text}()"
        return f"{text}({emitter.bind(argument, 'code')})"


@dataclass(frozen=True)
class Content:
    """What the reference interpreter takes for a tape: never changed, so that order is checked.

    Without `rest` it is empty, and `last` is the dtype of zeros without end, if it is that.
    """

    rest: Content | None
    last: Any

    def popped(self, shape: tuple[int, ...]) -> tuple[Content, Any]:
        """Return the tape without its last value, and that.

        Raises
        ------
        IndexError
            Where there is none.
        """
        if self.rest is not None:
            return self.rest, self.last
        if self.last is None:
            raise IndexError("pop from an empty tape")
        if self.last == RECORD:
            return self, ()
        if self.last.kind == "V":
            return self, Content(None, self.last[0])
        return self, np.zeros(shape, self.last)[()]


@dataclass(frozen=True)
class TapePush(Op):
    """`tape_push(tape, value)`: the tape with a value more."""

    name = "tape_push"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        tape, value = types
        if not is_tape(tape) or tape_of(value) != tape:
            raise DTypeError(f"tape_push puts {value} on {tape}")
        return (tape,)

    def evaluate(self, *operands: Array) -> Any:
        tape, value = operands
        return Content(tape, value if isinstance(value, Content | tuple) else np.array(value)[()])

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | None]:
        ct, value = apply(TapePop(operands[1].shape), cts[0])
        return [ct, value if needs[1] else None]

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        tape, value = operands
        atom = emitter.atom(value)
        method = "push" if atom is not None and atom.type.shape else "append"
        return f"{tape}.{method}({value})"


@dataclass(frozen=True)
class TapePop(Op):
    """`tape_pop(tape)`: the tape without its last value, and that value, of a given shape."""

    name = "tape_pop"
    shape: Shape

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (tape,) = types
        if not is_tape(tape):
            raise DTypeError(f"tape_pop takes a tape, not {tape}")
        value = ArrayType(tape.dtype[0], self.shape)
        if tape_of(value) != tape:
            raise DTypeError(f"tape_pop takes {value} from {tape}")
        return (tape, value)

    def evaluate(self, *operands: Array) -> Any:
        (tape,) = operands
        return tape.popped(self.shape)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | None]:
        tape, value = cts
        if isinstance(tape, Zero):  # nothing was popped after it
            tape = operands[0].__pullback_apply__(TapeNew(operands[0].dtype), ())
        if isinstance(value, Zero):
            if is_tape(value.type):
                value = operands[0].__pullback_apply__(TapeNew(value.type.dtype, True), ())
            else:
                value = value.instantiate()
        return [apply(TapePush(), tape, value)]

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        if self.shape:
            sizes = ", ".join(emitter.size(d) for d in self.shape)
            return f"{operands[0]}.pop(({sizes},))"
        return f"{operands[0]}.pop()"


__all__ = ["Content", "Tape", "TapeNew", "TapePop", "TapePush", "fork", "is_typed", "new_tape"]

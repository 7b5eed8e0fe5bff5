"""Conditions on values that a program checks when it runs, and values with another's derivative."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import errors
from ..errors import DTypeError, ShapeError
from ..op import Array, Effect, Emitter, Op, Scatter
from ..samples import numbers
from ..types import ArrayType
from .effects import text, typed
from .index import apply


@dataclass(frozen=True)
class Require(Op):
    """`require(x, holds)` is x itself; it raises `error(message)` where `holds` is false.

    `error` names an exception of Python or of pullback. The value goes through the check, so that
    what is computed from it never runs without it.
    """

    name = "require"
    is_view = True
    effect = Effect.MAY_RAISE
    error: str
    message: str

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, holds = types
        if holds.dtype.kind != "b" or holds.shape:
            raise DTypeError(f"{self.name} takes one bool, not {holds}")
        return (x,)

    def evaluate(self, *operands: Array) -> Array:
        if not operands[1]:
            found = getattr(builtins, self.error, None) or getattr(errors, self.error)
            raise found(self.message)
        return operands[0]

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[tuple[int, ...] | None]
    ) -> tuple[tuple[int, ...] | None, ...] | None:
        return (layouts[0],)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [cts[0], None]

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        x, holds = operands
        if mapped[0]:
            return apply(self, x, np.all(holds) if mapped[1] else holds)
        return apply(self, np.broadcast_to(x, (*holds.shape, *x.shape)), np.all(holds))

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        op = cls("ValueError", "x must be positive")
        return [(op, (numbers(2, 3), np.True_)), (op, (np.float32(1.5), np.True_))]


@dataclass(frozen=True)
class Filled:
    """One thing that an exception holds: a constant, a text with values in it, a value, a tuple.

    It is an argument of the exception, or its attribute `name`. A text is `pieces` with values
    between them, as `Print` has it; a value alone has no pieces and is of the kind `forms[0]`; a
    tuple is of `parts`.
    """

    name: str = ""
    constant: Any = None
    parts: tuple[Filled, ...] = ()
    pieces: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    options: tuple[tuple[tuple[str, Any], ...], ...] = ()

    @property
    def count(self) -> int:
        """The number of its values."""
        return len(self.forms) + sum(p.count for p in self.parts)

    def made(self, values: Iterator[Any]) -> Any:
        """Return it with its values, the next ones of an iterator."""
        if self.parts:
            return tuple([p.made(values) for p in self.parts])
        if self.pieces:
            return text(self.pieces, self.forms, self.options, [next(values) for _ in self.forms])
        if not self.forms:
            return self.constant
        found = typed(self.forms[0], next(values))
        return found.copy() if isinstance(found, np.ndarray) else found


@dataclass(frozen=True)
class Ensure(Op):
    """`ensure(x, *values)` raises an exception where the bool x is not what is expected.

    It is a `raise` of the user's under a condition, or an `assert`. `error` is the name of an
    exception of Python's or a class; `holds` are its arguments and attributes.
    """

    name = "ensure"
    effect = Effect.ORDERED
    expected: bool
    error: Any
    holds: tuple[Filled, ...] = ()

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if types[0].dtype.kind != "b" or types[0].shape:
            raise DTypeError(f"{self.name} takes one bool, not {types[0]}")
        wanted = sum(f.count for f in self.holds)
        if len(types) - 1 != wanted:
            raise ShapeError(f"{self.name} shows {wanted} values and has {len(types) - 1}")
        return ()

    def evaluate(self, *operands: Array) -> Any:
        if bool(operands[0]) != self.expected:
            self.fail(*operands[1:])
        return ()

    def fail(self, *values: Any) -> None:
        """Raise the exception."""
        arguments: list[Any] = []
        attributes: dict[str, Any] = {}
        remaining = iter(values)
        for filled in self.holds:
            made = filled.made(remaining)
            if filled.name:
                attributes[filled.name] = made
            else:
                arguments.append(made)
        if isinstance(self.error, str):
            raise getattr(builtins, self.error)(*arguments)
        # Its class may take other arguments than it has kept.
        error = self.error.__new__(self.error, *arguments)
        error.args = tuple(arguments)
        error.__dict__.update(attributes)
        raise error

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        """Show the values of the first example that fails, of a row of zeros where none does."""
        x, *values = operands
        if mapped[0]:
            fails = np.logical_not(x) if self.expected else x
            first = np.argmax(np.concatenate([fails, np.ones(1, bool)]))
            values = [
                np.concatenate([v, np.zeros((1, *v.shape[1:]), v.dtype)])[first] if m else v
                for v, m in zip(values, mapped[1:], strict=True)
            ]
            x = np.all(x) if self.expected else np.any(x)
        elif any(mapped[1:]):
            return None
        return apply(self, x, *values)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        x, *values = operands
        fails = f"{emitter.bind(self, 'check')}.fail({', '.join(values)})"
        return f"() if {x} else {fails}" if self.expected else f"{fails} if {x} else ()"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        message = Filled(pieces=("x is ", ""), forms=("scalar:.3f",))
        value = Filled("value", forms=("array",))
        return [
            (cls(True, "ValueError", (Filled(constant="x is negative"),)), (np.True_,)),
            (cls(False, "ArithmeticError", (message,)), (np.False_, numbers())),
            (cls(True, DTypeError, (message, value)), (np.True_, numbers(), numbers(2))),
            (cls(True, "KeyError", (Filled(parts=(message, Filled())),)), (np.True_, numbers())),
        ]


@dataclass(frozen=True)
class Graft(Op):
    """`graft(value, like)` is the value, with the derivative of `like`.

    For two formulas of one function: the value has the bits of the first, the derivative is that
    of the second, which is the better behaved.
    """

    name = "graft"
    is_view = True

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if types[0] != types[1]:
            raise DTypeError(f"{self.name} takes two operands of one type, not {types}")
        return (types[0],)

    def evaluate(self, *operands: Array) -> Array:
        return operands[0]

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[tuple[int, ...] | None]
    ) -> tuple[tuple[int, ...] | None, ...] | None:
        return (layouts[0],)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [None, cts[0]]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        # Integers: differences of the value would not be the derivative, which is the other's.
        return [(cls(), (np.arange(3), np.arange(3)))]

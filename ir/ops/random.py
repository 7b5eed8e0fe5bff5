"""Random numbers: draws from a generator that the program is given or makes itself.

A generator is a value of dtype `object` without axes. Each draw is an ordered op that calls a
method of it when the program runs, so that its stream is used as plain NumPy would use it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..dims import Size
from ..errors import DTypeError
from ..op import Array, Effect, Op
from ..samples import numbers
from ..types import ArrayType

OBJECT = ArrayType(np.dtype(object), ())
"""The type of what is no array: a generator, a file, an object that a result is stored in."""

Static = tuple[tuple[str, Any], ...]


_IN_ORDER = frozenset(
    (
        *("standard_normal", "normal", "random", "random_sample", "uniform"),
        *("standard_exponential", "exponential"),
    )
)
"""Methods that fill an array with what so many single calls would draw."""


def _places(generator: Any, method: str, shape: tuple[int, ...], axis: int | None) -> Any:
    """Return the position that each element of an array of a shape gets its value from.

    What a generator draws for an order depends on the shape alone, so the positions are shuffled
    in the place of the array.
    """
    if method == "permuted":
        return generator.permuted(np.arange(int(np.prod(shape))).reshape(shape), axis=axis)
    assert axis is not None
    if 0 in shape:
        getattr(generator, method)(np.zeros(shape))
        return np.arange(shape[axis])
    length = [1] * len(shape)
    length[axis] = shape[axis]
    places = np.arange(shape[axis]).reshape(length)
    given = {"axis": axis} if axis else {}
    ordered = getattr(generator, method)(places, **given)
    return (places if ordered is None else ordered).reshape(-1)


@dataclass(frozen=True)
class Draw(Op):
    """What a method of a generator draws: `method(**static, **dict(zip(names, operands)))`.

    `shuffle`, `permutation` and `permuted` with `of`, a shape, give the position that each element
    of an array of that shape comes from. There is no derivative in the operands: the traced forms
    of the samplers draw from the standard distribution where one will do.
    """

    name = "draw"
    effect = Effect.ORDERED
    method: str
    type: ArrayType
    names: tuple[str, ...] = ()
    static: Static = ()

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        generator, *rest = types
        if generator != OBJECT or len(rest) != len(self.names):
            raise DTypeError(
                f"{self.name} takes a generator and {len(self.names)} operands, not "
                f"{', '.join(map(str, types))}"
            )
        return (self.type,)

    def evaluate(self, *operands: Array) -> Any:
        generator, *rest = operands
        static = dict(self.static)
        if "of" in static:
            drawn = _places(generator, self.method, static["of"], static["axis"])
        else:
            named = dict(zip(self.names, rest, strict=True))
            drawn = getattr(generator, self.method)(**static, **named)
        if not self.type.shape:
            return self.type.dtype.type(drawn)
        return np.asarray(drawn, self.type.dtype)

    def in_turn(self, size: Size) -> Op | None:
        """Draw the numbers of all examples at once, where a larger array has the same stream."""
        static = {name: value for name, value in self.static if name != "size"}
        if self.names or self.method not in _IN_ORDER or not isinstance(size, int):
            return None
        if not self.type.is_static or self.type.dtype != np.float64:
            return None
        if not all(isinstance(v, int | float) for v in static.values()):
            return None
        type = self.type.with_shape((size, *self.type.shape))
        return replace(self, type=type, static=(*static.items(), ("size", type.shape)))

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Any]:
        if not any(needs) or not self.type.is_inexact:
            return [None] * len(operands)
        wanted = [n for n, need in zip(self.names, needs[1:], strict=True) if need]
        raise NotImplementedError(
            f"the numbers that `{self.method}` draws have no derivative with respect to "
            f"{' and '.join(f'`{n}`' for n in wanted)} here"
        )

    @property
    def has_gradient(self) -> bool:
        """Whether a derivative would be asked for, which is an error and never a zero."""
        return self.type.is_inexact

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        f64, i64 = np.dtype(np.float64), np.dtype(np.int64)
        normal = cls("normal", ArrayType(f64, (3,)), ("scale",), (("loc", 1.0), ("size", 3)))
        shuffle = cls("shuffle", ArrayType(i64, (4,)), (), (("of", (4, 2)), ("axis", 0)))
        permuted = cls("permuted", ArrayType(i64, (2, 3)), (), (("of", (2, 3)), ("axis", 1)))
        integer = cls("integers", ArrayType(i64, ()), (), (("low", 5),))
        scale = numbers(3, dtype=np.int64, low=1, high=4)
        return [
            (normal, (_Replayed(), scale)),
            (shuffle, (_Replayed(),)),
            (permuted, (_Replayed(),)),
            (integer, (_Replayed(),)),
        ]


class _Replayed:
    """A generator that draws the same numbers at every call, for tests."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np.random.default_rng(0), name)


@dataclass(frozen=True)
class MakeGenerator(Op):
    """A generator made from a seed when the program runs: `default_rng(seed)` and its like.

    Without an operand the seed is `seed`, or fresh entropy where that is None.
    """

    name = "make_generator"
    effect = Effect.ORDERED
    maker: str
    seed: int | tuple[int, ...] | None = None

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if len(types) > 1:
            raise DTypeError(f"{self.name} takes one seed, not {len(types)}")
        return (OBJECT,)

    def evaluate(self, *operands: Array) -> Any:
        return make_generator(self.maker, operands[0] if operands else self.seed)

    def in_turn(self, size: Size) -> Op | None:
        """Take the one legacy generator once; any other is made for each example."""
        return self if self.maker == "global" else None

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        # Two generators are never the same object, so only the legacy one, a single object, serves.
        return [(cls("global"), ())]


def make_generator(maker: str, seed: Any) -> Any:
    """Return what a maker of `MAKERS` gives for a seed."""
    return MAKERS[maker](seed)


def _from_bits(name: str) -> Callable[[Any], Any]:
    return lambda seed: np.random.Generator(getattr(np.random, name)(seed))


_RAND: Any = vars(np.random.mtrand)["_rand"]

MAKERS: dict[str, Callable[[Any], Any]] = {
    "default_rng": np.random.default_rng,
    "RandomState": np.random.RandomState,
    "global": lambda seed: _RAND,
    **{n: _from_bits(n) for n in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")},
}
"""Ways to make a generator, by name; "global" is the one behind `np.random.normal`."""


@dataclass(frozen=True)
class Seed(Op):
    """Start the stream of a legacy generator anew: `np.random.seed(seed)`."""

    name = "seed"
    effect = Effect.ORDERED
    seed: int | tuple[int, ...] | None = None

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if types != (OBJECT,):
            raise DTypeError(f"{self.name} takes a generator, not {', '.join(map(str, types))}")
        return ()

    def evaluate(self, *operands: Array) -> Any:
        operands[0].seed(self.seed)
        return ()

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(3), (np.random.RandomState(0),))]

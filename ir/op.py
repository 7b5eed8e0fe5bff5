"""What an op is: one declaration from which everything else is derived.

A subclass of `Op` is a frozen dataclass whose fields are the op's attributes: equal attributes,
equal op. Elementwise ops are instances of `Elementwise`, one for each NumPy ufunc. Every fact that
a part of the compiler needs (types, values, gradient rule, cost, effect, text, generated code) is
read from here.

Core dims: a structured op counts its axes from the right and accepts leading batch dims, so that
one generic pass can batch it.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from .core import Atom, Function
from .dims import Dim, Size, Symbol
from .errors import DTypeError, ShapeError
from .types import ArrayType, Shape

Array = Any
"""An ndarray, a NumPy scalar, or a traced array: rules are plain NumPy and run on all of them."""


class Effect(enum.Enum):
    """PURE may be merged, dropped, moved; MAY_RAISE is never speculated; ORDERED stays as it is."""

    PURE = "pure"
    MAY_RAISE = "may_raise"
    ORDERED = "ordered"


class Cost(enum.IntEnum):
    """Rough floating-point operations for one element, relative to an addition."""

    FREE = 0
    CHEAP = 1
    DIVISION = 4
    TRANSCENDENTAL = 20
    ENTRYWISE = 100
    """A transcendental function that NumPy computes entry by entry, without vector instructions."""


class Zero:
    """A symbolic zero: the cotangent of a result that nothing depends on."""

    __slots__ = ("type",)

    def __init__(self, type: ArrayType) -> None:
        self.type = type

    def instantiate(self) -> Array:
        """Return the zeros as an ndarray."""
        shape: Any = self.type.shape
        return np.zeros(shape, self.type.dtype)


class Scatter:
    """A cotangent that is zero but for a part, which the driver adds into the running cotangent.

    `add(running)` returns the running cotangent with the part added; it is plain NumPy or traced.
    """

    __slots__ = ("add",)

    def __init__(self, add: Callable[[Array], Array]) -> None:
        self.add = add


class Emitter(Protocol):
    """What an op may ask of the code generator while it emits NumPy source."""

    exact: bool
    """Whether the source must give NumPy's bits."""

    def bind(self, value: object, hint: str) -> str:
        """Return the name of a constant object in the generated source."""
        ...

    def size(self, dim: Size) -> str:
        """Return source for the value of a dim."""
        ...

    def atom(self, operand: str) -> Atom | None:
        """Return what an operand's source text stands for, or None where that is not known."""
        ...


class Op:
    """Base of all ops; see the module's text."""

    name: str = ""
    effect: Effect = Effect.PURE
    infix: str | None = None
    cost: Cost = Cost.FREE
    is_elementwise: bool = False
    is_view: bool = False
    """The result shares the memory of operand 0."""
    reorders: bool = False
    """The result may be other than C-contiguous although all operands are."""
    is_reduction: bool = False
    has_out: bool = False
    """The generated code can write the (only) result into a given array."""
    takes_over: tuple[int, ...] | None = None
    """Operands whose memory an `out` may be; None: any, for elementwise ops, else none."""
    makes_new: bool = False
    """Each evaluation makes an object of its own: equal equations are not merged."""
    is_linear: bool = False
    """The results are linear in the inexact operands, taken together."""
    updates: int | None = None
    """The operand whose memory the result may take over: `index_update` writes in place."""
    binds: tuple[Symbol, ...] = ()
    """The symbols among its attributes: sizes that the equation makes known."""
    regions: tuple[Function, ...] = ()
    """The closed functions that the op holds."""
    REGISTRY: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if isinstance(cls.__dict__.get("name"), str):
            Op.REGISTRY[cls.__dict__["name"]] = cls

    def with_regions(self, regions: Sequence[Function]) -> Op:
        """Return the op with its regions replaced."""
        return self

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        """Return the types of the results; raise ShapeError or DTypeError where they do not fit."""
        raise NotImplementedError(self.name)

    def evaluate(self, *operands: Array) -> Any:
        """Compute the result (a tuple where there are several) with NumPy."""
        raise NotImplementedError(self.name)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Return a cotangent for each operand that `needs` one, in plain NumPy.

        `cts` holds a cotangent (or a `Zero`) for each result. A cotangent may have the broadcast
        shape of the result: the driver sums it back, casts it to the operand's dtype and takes the
        real part for a real operand.
        """
        raise NotImplementedError(f"{self.name} has no gradient rule")

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        """Return the results for many examples at once, in plain NumPy; None: one by one.

        Operands that are `mapped` have a new leading axis, with an entry for each example, and all
        results get one. By default the op is applied as it is, where its types say that it takes
        leading axes; an ORDERED op without a rule of its own acts for each example in turn.
        """
        from .batching import by_leading_axes

        return by_leading_axes(self, mapped, operands)

    def in_turn(self, size: Size) -> Op | None:
        """Return the op that acts for so many examples one after the other, None if there is none.

        It stands where nothing else acts between them, and its results have a leading axis; it is
        this very op where acting once is as good.
        """
        return None

    @property
    def has_gradient(self) -> bool:
        """Whether a derivative can flow through the op; False for comparisons, rounding, argmax."""
        return type(self).vjp is not Op.vjp

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[tuple[int, ...] | None]
    ) -> tuple[tuple[int, ...] | None, ...] | None:
        """Return the results' strides for non-contiguous operands, or None: all C-contiguous."""
        return None

    def may_stand_over(self, positions: Iterable[int]) -> bool:
        """Whether an `out` may be the memory of an operand that stands at these positions."""
        return self.takes_over is None or set(positions) <= set(self.takes_over)

    def cut(
        self, types: Sequence[ArrayType], axes: Sequence[int | None], size: Size
    ) -> tuple[Op, int] | None:
        """Return the op that computes a part of the result from parts of the operands.

        `axes` holds for each operand the axis (negative) along which it is cut, None where it is
        read whole; a part has `size` entries there. Also returned is the axis along which the
        result is cut. None says that a part of the result needs more than parts of the operands.
        """
        if not self.is_elementwise:
            return None
        (axis, *others) = {a for a in axes if a is not None}
        return None if others else (self, axis)

    def runs_blas_threads(
        self, operands: Sequence[ArrayType], results: Sequence[ArrayType]
    ) -> bool:
        """Whether BLAS works with several threads, which wait busily for a while afterwards."""
        return False

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        """Return the floating-point operations of one evaluation."""
        return int(self.cost) * max((t.size for t in (*operands, *results)), default=0)

    def extra_bytes(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        """Return the bytes that NumPy allocates inside, beyond the results in planned memory."""
        return 0 if self.has_out or self.is_view else sum(r.nbytes for r in results)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        """Return ops of the class, each with operands on which tests evaluate and differentiate."""
        raise NotImplementedError(f"{cls.name} has no samples")

    def attributes(self) -> dict[str, Any]:
        """Return the fields that are not at their default, in order, for print and export."""
        found: dict[str, Any] = {}
        if dataclasses.is_dataclass(self):
            for field in dataclasses.fields(self):
                value = getattr(self, field.name)
                if field.default is dataclasses.MISSING or value != field.default:
                    found[field.name] = value
        return found

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        """Return a NumPy expression for the result; it writes into `out` where that is given.

        The default calls `evaluate` of this very op, with the sizes that are known then.
        """
        from .binding import evaluate_at, symbols_in

        unknown = symbols_in(self)
        if unknown:
            at = emitter.bind(functools.partial(evaluate_at, self, unknown), self.name)
            sizes = ", ".join(emitter.size(Dim.of(s)) for s in unknown)
            return f"{at}(({sizes},), {', '.join(operands)})"
        return f"{emitter.bind(self.evaluate, self.name)}({', '.join(operands)})"


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """Return the shape that NumPy broadcasts `shapes` to; dims may be symbolic.

    Raises
    ------
    ShapeError
        Where two sizes differ and neither is 1.
    """
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    ndim = max(map(len, shapes))
    result: list[Size] = [1] * ndim
    for shape in shapes:
        for axis, size in enumerate(shape, ndim - len(shape)):
            if size == 1 or size == result[axis]:
                continue
            if result[axis] != 1:
                texts = " and ".join(str(list(s)).replace("[]", "()") for s in shapes)
                message = f"the shapes {texts} do not broadcast together"
                if any(isinstance(d, Dim) for s in shapes for d in s):
                    message += (
                        "; sizes known only when the program runs are the same only where they "
                        "come from one mask"
                    )
                raise ShapeError(message)
            result[axis] = size
    return tuple(result)


VjpRule = Callable[..., Array]


class Elementwise(Op):
    """An op that NumPy computes element by element with broadcasting: a ufunc with one result."""

    is_elementwise = True
    has_out = True

    def __init__(
        self,
        ufunc: np.ufunc,
        *,
        cost: Cost,
        vjp: Sequence[VjpRule | None] | None,
        infix: str | None,
        domain: Sequence[tuple[float, float]] | None,
        name: str | None = None,
    ) -> None:
        self.ufunc = ufunc
        self.name = name or ufunc.__name__
        self.cost = cost
        self.rules = tuple(vjp) if vjp is not None else None
        self.infix = infix
        self.domain = tuple(domain or ((-2.0, 2.0),) * ufunc.nin)
        self._dtypes: dict[tuple[np.dtype, ...], np.dtype] = {}
        Op.REGISTRY[self.name] = self

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str | tuple[Any, ...]:
        return (_registered, (self.name,))

    @property
    def has_gradient(self) -> bool:
        """Whether the declaration has rules."""
        return self.rules is not None

    def result_dtype(self, dtypes: tuple[np.dtype, ...]) -> np.dtype:
        """Return the dtype of the result; operands must be what the ufunc's loop takes."""
        found = self._dtypes.get(dtypes)
        if found is None:
            try:
                resolved = self.ufunc.resolve_dtypes((*dtypes, None))
            except TypeError as error:
                names = ", ".join(map(str, dtypes))
                raise DTypeError(f"{self.name} is not defined for {names}") from error
            if resolved[: len(dtypes)] != dtypes:
                raise DTypeError(
                    f"{self.name} takes {resolved[: len(dtypes)]} where it was given {dtypes}: "
                    "a `convert` is missing"
                )
            found = self._dtypes[dtypes] = resolved[-1]
        return found

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if len(types) == 1:
            (only,) = types
            return (ArrayType(self.result_dtype((only.dtype,)), only.shape),)
        dtype = self.result_dtype(tuple([t.dtype for t in types]))
        return (ArrayType(dtype, broadcast([t.shape for t in types])),)

    def evaluate(self, *operands: Array) -> Any:
        return self.ufunc(*operands)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        assert self.rules is not None
        (ct,), (result,) = cts, results
        return [
            rule(ct, result, *operands) if need and rule is not None else None
            for rule, need in zip(self.rules, needs, strict=True)
        ]

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[tuple[int, ...] | None]
    ) -> tuple[tuple[int, ...] | None, ...] | None:
        from .layout import elementwise_layout

        itemsize = self.infer(*types)[0].dtype.itemsize
        return (elementwise_layout(types, layouts, itemsize),)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        if out is None and self.infix:
            if len(operands) == 1:
                return f"{self.infix}{operands[0]}"
            return f"{operands[0]} {self.infix} {operands[1]}"
        function = emitter.bind(self.ufunc, self.name)
        arguments = [*operands]
        if out is not None:
            # NumPy deprecates a positional `out` for these two; the keyword costs 25 ns more.
            named = self.ufunc in (np.maximum, np.minimum)
            arguments.append(f"out={out}" if named else out)
        return f"{function}({', '.join(arguments)})"


def _registered(name: str) -> Op:
    op: Op = Op.REGISTRY[name]
    return op


ELEMENTWISE: dict[np.ufunc, Elementwise] = {}
"""Every elementwise op by its ufunc: the tracer's dispatch table."""


def elementwise(
    ufunc: np.ufunc,
    *,
    cost: Cost = Cost.CHEAP,
    vjp: Sequence[VjpRule | None] | None = None,
    infix: str | None = None,
    domain: Sequence[tuple[float, float]] | None = None,
) -> Elementwise:
    """Declare a ufunc as an op.

    Parameters
    ----------
    ufunc
        A ufunc with one result.
    vjp
        For each operand a rule `(ct, result, *operands) -> cotangent`, or None for an operand
        without a derivative; without the list the op has no gradient at all (its result is constant
        almost everywhere).
    infix
        The Python operator that prints it.
    domain
        For each operand an interval on which finite differences may be taken.
    """
    op = Elementwise(ufunc, cost=cost, vjp=vjp, infix=infix, domain=domain)
    ELEMENTWISE[ufunc] = op
    return op

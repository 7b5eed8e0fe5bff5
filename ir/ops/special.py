"""The ufuncs of `scipy.special` as ops, declared when SciPy is there and not before.

`declare` makes an op of every ufunc that SciPy has: elementwise ones are called as in SciPy
(`gammaln(x)`; `special_log1p(x)` where NumPy has the name too), those with several results are
`special(x, function="sici")`. Their gradient rules are in `special_rules.py`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DTypeError
from ..op import ELEMENTWISE, Array, Cost, Elementwise, Op, Scatter, Zero, broadcast
from ..samples import numbers
from ..types import ArrayType
from .reduce import reduced_shape
from .special_rules import PARTIALS, SLOPES, rules_of
from .special_slopes import sp


class Special(Elementwise):
    """A ufunc of SciPy with one result; other processes find it by its name."""

    def __reduce__(self) -> str | tuple[Any, ...]:
        return (op_named, (self.name,))


def _ufuncs() -> dict[str, np.ufunc]:
    """Return SciPy's ufuncs, private ones too: its functions and distributions call them."""
    public = importlib.import_module("scipy.special")
    private = importlib.import_module("scipy.special._ufuncs")
    return {
        value.__name__: value
        for module in (private, public)
        for value in vars(module).values()
        if isinstance(value, np.ufunc) and value.signature is None and value.nout
    }


@functools.cache
def declare() -> tuple[np.ufunc, ...]:
    """Declare an op for every ufunc, once; return the ufuncs with several results.

    Raises
    ------
    ImportError
        Where SciPy is not installed.
    """
    several: list[np.ufunc] = []
    for name, ufunc in sorted(_ufuncs().items()):
        if ufunc in ELEMENTWISE:
            continue
        if ufunc.nout > 1:
            several.append(ufunc)
            continue
        ELEMENTWISE[ufunc] = Special(
            ufunc,
            name=f"special_{name}" if name in Op.REGISTRY else name,
            cost=Cost.TRANSCENDENTAL,
            vjp=rules_of(name, ufunc.nin),
            infix=None,
            domain=None,
        )
    return tuple(several)


def op_named(name: str) -> Op | None:
    """Return the op of a name, or None; SciPy is imported to find its own.

    Raises
    ------
    ImportError
        Where the name is one of `scipy.special`, which is not installed.
    """
    if name not in Op.REGISTRY:
        try:
            declare()
        except ImportError as error:
            if name.removeprefix("special_") in {*SLOPES, *PARTIALS}:
                raise ImportError(
                    f"{name} is a function of scipy.special, and SciPy is not installed"
                ) from error
    return Op.REGISTRY.get(name)


Partials = Callable[..., Sequence[Array]]
"""`(results, *operands) -> the derivative of each result` by the last operand."""

RESULTS: dict[str, Partials] = {
    "sici": lambda y, x: (np.sinc(x / np.pi), np.cos(x) / x),
    "shichi": lambda y, x: (np.sinh(x) / x, np.cosh(x) / x),
    "fresnel": lambda y, x: (np.sin(x * x * (np.pi / 2)), np.cos(x * x * (np.pi / 2))),
    "airy": lambda y, x: (y[1], x * y[0], y[3], x * y[2]),
    "itj0y0": lambda y, x: (sp.j0(x), sp.y0(x)),
    "iti0k0": lambda y, x: (sp.i0(x), sp.k0(x)),
    "pbdv": lambda y, v, x: (y[1], (x * x / 4 - v - 0.5) * y[0]),
}


@dataclass(frozen=True)
class SpecialResults(Op):
    """A ufunc of SciPy with several results: `function` is its name in `scipy.special`."""

    name = "special"
    cost = Cost.TRANSCENDENTAL
    function: str

    @property
    def ufunc(self) -> np.ufunc:
        """The ufunc itself."""
        found: np.ufunc = getattr(sp, self.function)
        return found

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        ufunc = self.ufunc
        dtypes = tuple([t.dtype for t in types])
        try:
            resolved = ufunc.resolve_dtypes((*dtypes, *[None] * ufunc.nout))
        except TypeError as error:
            raise DTypeError(str(error)) from error
        if resolved[: ufunc.nin] != dtypes:
            raise DTypeError(f"{self.function} takes {resolved[: ufunc.nin]}, not {dtypes}")
        shape = broadcast([t.shape for t in types])
        return tuple([ArrayType(d, shape) for d in resolved[ufunc.nin :]])

    def evaluate(self, *operands: Array) -> Any:
        return self.ufunc(*operands)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        partials = RESULTS.get(self.function)
        if partials is None:
            raise NotImplementedError(f"the derivative of {self.function} is not known")
        if any(needs[:-1]):
            raise NotImplementedError(
                f"the derivative of {self.function} by its order is not known"
            )
        slopes = partials(results, *operands)
        total: Array = None
        for ct, slope in zip(cts, slopes, strict=True):
            if not isinstance(ct, Zero):
                total = ct * slope if total is None else total + ct * slope
        return [*[None] * (len(operands) - 1), total]

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[tuple[int, ...] | None]
    ) -> tuple[tuple[int, ...] | None, ...] | None:
        from ..layout import elementwise_layout

        return tuple(
            [elementwise_layout(types, layouts, r.dtype.itemsize) for r in self.infer(*types)]
        )

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        x = numbers(2, 3, low=0.3, high=2.0)
        found: list[tuple[Op, tuple[Array, ...]]] = []
        for function in ("sici", "shichi", "fresnel", "airy", "itj0y0", "iti0k0"):
            found += [(cls(function), (x,)), (cls(function), (np.float64(0.75),))]
        return [*found, (cls("fresnel"), (x.astype("f4"),))]


def _part_dtype(type: ArrayType) -> np.dtype:
    part: Any = np.empty(0, type.dtype)
    dtype: np.dtype = part.real.dtype
    return dtype


@dataclass(frozen=True)
class LogSumExp(Op):
    """`scipy.special.logsumexp` over `axes` (negative), of one shape and dtype.

    Operands are a and, where `weighted`, factors b of its shape; `signed` adds a second result, the
    sign of the sum.
    """

    name = "logsumexp"
    cost = Cost.TRANSCENDENTAL
    axes: tuple[int, ...]
    keepdims: bool = False
    weighted: bool = False
    signed: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a = types[0]
        if any(t != a for t in types) or not a.is_inexact:
            raise DTypeError(f"{self.name} takes floating-point operands of one type, not {types}")
        result = a.with_shape(reduced_shape(a.shape, self.axes, self.keepdims))
        if not self.signed:
            return (result,)
        return (result.with_dtype(_part_dtype(a)), result)

    def evaluate(self, *operands: Array) -> Any:
        b = operands[1] if self.weighted else None
        return sp.logsumexp(
            operands[0], axis=self.axes, b=b, keepdims=self.keepdims, return_sign=self.signed
        )

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        a, y, ct = operands[0], results[0], cts[0]
        if self.signed and a.dtype.kind == "c":
            raise NotImplementedError("the derivative of the phase that logsumexp returns")
        if isinstance(ct, Zero):
            return [None] * len(operands)
        if self.signed:
            ct = ct * results[1]
        if not self.keepdims:
            ct, y = np.expand_dims(ct, self.axes), np.expand_dims(y, self.axes)
        empty = np.isinf(y) & (np.real(y) < 0)  # of a sum that is zero no term has a share
        share = ct * np.exp(np.where(empty, -np.inf, a - np.where(empty, 0, y)).astype(a.dtype))
        if not self.weighted:
            return [share]
        b = operands[1]
        return [np.where(b == 0, 0, share * b), share]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a, b = numbers(2, 3), numbers(2, 3, low=0.5, high=2.0, seed=1)
        return [
            (cls((-1,)), (a,)),
            (cls((-2, -1), keepdims=True), (a.astype("f4"),)),
            (cls((-2,), weighted=True), (a, b)),
            (cls((-1,), True, True, True), (a, -b)),
            (cls((-1,)), (np.zeros(3),)),
            (cls((-1,)), (numbers(2, 2, dtype="c16"),)),
        ]

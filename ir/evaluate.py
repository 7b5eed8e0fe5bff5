"""The reference interpreter: every equation by its op's own NumPy code, nothing else.

It is the oracle that every other way to run a function is compared with.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .binding import mentioned
from .core import Atom, Eqn, Function, Literal, Module, Value
from .dims import Dim, Size, Symbol, substitute, symbols
from .errors import ArgumentError, DTypeError, ShapeError, VerificationError
from .op import Effect, Op
from .ops.cond import Cond
from .ops.control import Call, Fused, Loop, run_loop
from .ops.custom import Custom
from .ops.dynamic import AsSize
from .ops.observe import Observe
from .ops.recursion import Recur, Recursion, Unpack
from .types import RECORD, ArrayType, Kind, is_tape

Sizes = dict[Symbol, int]
Observer = Callable[[Observe, Any], None]
"""What is told of each `observe` equation: its op, and the value."""


def evaluate(
    function: Function,
    *arrays: Any,
    module: Module | None = None,
    observer: Observer | None = None,
) -> list[Any]:
    """Return the results of a function, each the NumPy object that its kind says.

    `observer` is told of what the function observes.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        Where the arguments are not what the parameters say.
    VerificationError
        Where an op computes another dtype or shape than it infers.
    """
    if len(arrays) != len(function.params):
        raise ArgumentError(
            f"{function.name} takes {len(function.params)} arguments, not {len(arrays)}"
        )
    arguments = [
        _argument(p, kind, a)
        for p, kind, a in zip(function.params, function.param_kinds, arrays, strict=True)
    ]
    sizes = _solve(function.params, arguments)
    for symbol in function.dims:
        if symbol not in sizes:
            raise ArgumentError(f"no argument of {function.name} tells the dim `{symbol}`")
    for param, argument in zip(function.params, arguments, strict=True):
        expected = concrete_shape(param.type, sizes)
        if param.type.dtype != np.dtype(object) and np.shape(argument) != expected:
            raise ShapeError(
                f"{param.hint or 'an argument'} has shape {np.shape(argument)}, not {expected}"
            )
    results = _Interpreter(module, observer).run(function, arguments, sizes)
    return [_result(r, k) for r, k in zip(results, function.result_kinds, strict=True)]


def _argument(param: Value, kind: Kind, value: Any) -> Any:
    dtype = param.type.dtype
    if dtype == np.dtype(object):
        return value
    if kind is Kind.PYTHON and not isinstance(value, np.ndarray | np.generic):
        return np.asarray(value, dtype)[()]
    array = np.asarray(value)
    if array.dtype != dtype:
        raise DTypeError(f"{param.hint or 'an argument'} is {array.dtype}, not {dtype}")
    return array if kind is Kind.ARRAY else array[()]


def _result(value: Any, kind: Kind) -> Any:
    if not isinstance(value, np.ndarray | np.generic | bool | int | float | complex):
        return value
    array = np.asarray(value)
    if kind is Kind.ARRAY:
        return array
    return array.item() if kind is Kind.PYTHON else array[()]


def _solve(params: Sequence[Value], arguments: Sequence[Any]) -> Sizes:
    """Return the dims that the arguments' shapes tell, the simplest dims first."""
    sizes: Sizes = {}
    pairs = [
        (dim, size)
        for param, argument in zip(params, arguments, strict=True)
        if param.type.shape
        for dim, size in zip(param.type.shape, np.shape(argument), strict=False)
        if isinstance(dim, Dim)
    ]
    pairs.sort(key=lambda pair: len(pair[0].terms))
    for _ in pairs:
        for dim, size in pairs:
            _solve_dim(dim, size, sizes)
    return sizes


def _solve_dim(dim: Dim, size: int, sizes: Sizes) -> None:
    rest = substitute(dim, dict(sizes))
    if not isinstance(rest, Dim) or len(rest.terms) != 1:
        return
    ((atom, coefficient),) = rest.terms
    if isinstance(atom, Symbol) and (size - rest.constant) % coefficient == 0:
        sizes[atom] = (size - rest.constant) // coefficient


def concrete_size(size: Size, sizes: Mapping[Symbol, int]) -> int:
    """Return the value of a dim."""
    value = substitute(size, dict(sizes))
    if isinstance(value, Dim):
        names = ", ".join(sorted(str(s) for s in symbols(value)))
        raise VerificationError(f"the dim {value} is not known: {names}")
    return value


def concrete_shape(type: ArrayType, sizes: Mapping[Symbol, int]) -> tuple[int, ...]:
    """Return the shape with every dim's value."""
    return tuple(concrete_size(d, sizes) for d in type.shape)


def concrete_op(op: Op, sizes: Mapping[Symbol, int]) -> Op:
    """Return the op with the dims among its attributes replaced by their values."""
    if not dataclasses.is_dataclass(op):
        return op
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(op):
        value = getattr(op, field.name)
        concrete = _concrete(value, sizes)
        if concrete is not value:
            changed[field.name] = concrete
    return dataclasses.replace(op, **changed) if changed else op


def _concrete(value: Any, sizes: Mapping[Symbol, int]) -> Any:
    if isinstance(value, Dim):
        return concrete_size(value, sizes)
    if isinstance(value, ArrayType):
        return value if value.is_static else value.with_shape(concrete_shape(value, sizes))
    if isinstance(value, slice):
        return slice(*[_concrete(v, sizes) for v in (value.start, value.stop, value.step)])
    if isinstance(value, tuple):
        parts = [_concrete(part, sizes) for part in value]
        if all(a is b for a, b in zip(parts, value, strict=True)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


class _Interpreter:
    def __init__(self, module: Module | None, observer: Observer | None = None) -> None:
        self.module = module
        self.observer = observer
        self.recursions: dict[str, tuple[Function, Sizes]] = {}

    def run(self, function: Function, arguments: Sequence[Any], sizes: Sizes) -> list[Any]:
        sizes = dict(sizes)
        scope: dict[Value, Any] = dict(zip(function.params, arguments, strict=True))

        def read(atom: Atom) -> Any:
            return atom.value if isinstance(atom, Literal) else scope[atom]

        for eqn in function.eqns:
            quiet = np.errstate(all="ignore") if eqn.provenance.derived != "primal" else None
            with quiet or contextlib.nullcontext():
                results = self.equation(eqn, [read(a) for a in eqn.operands], sizes)
            _bind(eqn, results, sizes)
            for value, result in zip(eqn.results, results, strict=True):
                _check(eqn, value.type, result, sizes)
                scope[value] = result
            if self.observer is not None and isinstance(eqn.op, Observe):
                self.observer(eqn.op, results[0])
        return [read(r) for r in function.results]

    def equation(self, eqn: Eqn, operands: list[Any], sizes: Sizes) -> list[Any]:
        op = eqn.op
        if isinstance(op, Loop):
            results, count = run_loop(op, operands, self.region, sizes)
            if isinstance(op.trips, Symbol):
                sizes[op.trips] = count
            return results
        if isinstance(op, Fused | Custom):
            inner = [concrete_size(d, sizes) for d in op.dims]
            return self.run(op.body, operands, dict(zip(op.body.dims, inner, strict=True)))
        if isinstance(op, Cond):
            branch = op.branches[op.chosen(operands[0])]
            inner = [concrete_size(d, sizes) for d in op.dims]
            return self.run(branch, operands[1:], dict(zip(branch.dims, inner, strict=True)))
        if isinstance(op, Recursion):
            return self.recursion(op, operands, sizes)
        if isinstance(op, Recur):
            return self.run(self.recursions[op.label][0], operands, self.recursions[op.label][1])
        if isinstance(op, Call):
            return self.call(op, operands)
        if isinstance(op, Unpack):
            return list(op.evaluate(*operands))
        value = concrete_op(op, sizes).evaluate(*operands)
        is_record = len(eqn.results) == 1 and eqn.result.type.dtype == RECORD
        if is_record or (len(eqn.results) == 1 and not isinstance(value, tuple)):
            return [value]
        return [] if value is None else list(value)

    def region(self, region: Function, sizes: Sizes) -> Any:
        return lambda *arguments: self.run(region, arguments, sizes)

    def recursion(self, op: Recursion, operands: list[Any], sizes: Sizes) -> list[Any]:
        inner = [concrete_size(d, sizes) for d in op.dims]
        outside = self.recursions
        binding = dict(zip(op.body.dims, inner, strict=True))
        self.recursions = {**outside, op.label: (op.body, binding)}
        try:
            return self.run(op.body, operands, binding)
        finally:
            self.recursions = outside

    def call(self, op: Call, operands: list[Any]) -> list[Any]:
        if self.module is None:
            raise ArgumentError(f"the function calls `{op.function}`: pass its module")
        callee = self.module.functions[op.function]
        return self.run(callee, operands, _solve(callee.params, operands))


def _check(eqn: Eqn, type: ArrayType, value: Any, sizes: Sizes) -> None:
    if is_tape(type):
        return
    array = np.asarray(value)
    expected = concrete_shape(type, sizes)
    if array.dtype != type.dtype or array.shape != expected:
        raise VerificationError(
            f"{eqn.op.name} computed {array.dtype}{list(array.shape)}, "
            f"its equation says {type.dtype}{list(expected)}"
        )


class Unknown(Exception):
    """A value is needed that is not given, or that an effect would have to happen for."""

    def __init__(self, effect: Eqn | None = None) -> None:
        super().__init__()
        self.effect = effect


class Partial:
    """Values of a function that is still being built, computed when they are asked for.

    What has been computed is kept, so that asking again costs nothing. `eqns` and `producers` are
    the builder's own, and grow.
    """

    def __init__(self, eqns: Sequence[Eqn], producers: Mapping[Value, Eqn]) -> None:
        self.eqns = eqns
        self.producers = producers
        self.scope: dict[Value, Any] = {}
        self.sizes: Sizes = {}
        self._interpreter = _Interpreter(None)

    def give(self, param: Value, kind: Kind, value: Any) -> None:
        """Say what a parameter is."""
        self.scope[param] = _argument(param, kind, value)

    def pending(self, value: Value) -> list[Eqn]:
        """Return the equations to compute for a value, in an order in which it can be done.

        Raises
        ------
        Unknown
            Where it depends on a parameter that has not been given, or on an ordered effect.
        """
        order: list[Eqn] = []
        done: set[Eqn] = set()
        entered: set[Eqn] = set()
        stack = self._makers([value])
        while stack:
            eqn = stack[-1]
            if eqn in done:
                stack.pop()
            elif eqn in entered:
                stack.pop()
                done.add(eqn)
                order.append(eqn)
            elif eqn.op.effect is Effect.ORDERED:
                raise Unknown(eqn)
            else:
                entered.add(eqn)
                stack += self._makers(eqn.operands)
                stack += self._binders(mentioned(eqn).difference(eqn.op.binds))
        return order

    def _makers(self, atoms: Iterable[Atom]) -> list[Eqn]:
        found: list[Eqn] = []
        for atom in atoms:
            if isinstance(atom, Value) and atom not in self.scope:
                if atom not in self.producers:
                    raise Unknown
                found.append(self.producers[atom])
        return found

    def _binders(self, symbols: Iterable[Symbol]) -> list[Eqn]:
        unknown = [s for s in symbols if s not in self.sizes]
        if not unknown:
            return []
        binders = {s: e for e in self.eqns for s in e.op.binds}
        if not all(s in binders for s in unknown):
            raise Unknown
        return [binders[s] for s in unknown]

    def compute(self, eqns: Iterable[Eqn]) -> None:
        """Compute equations whose operands are known."""
        for eqn in eqns:
            operands = [a.value if isinstance(a, Literal) else self.scope[a] for a in eqn.operands]
            results = self._interpreter.equation(eqn, operands, self.sizes)
            _bind(eqn, results, self.sizes)
            for value, result in zip(eqn.results, results, strict=True):
                _check(eqn, value.type, result, self.sizes)
                self.scope[value] = result


def _bind(eqn: Eqn, results: Sequence[Any], sizes: Sizes) -> None:
    """Add the sizes that the results of an equation tell."""
    sizes.update(_solve(eqn.results, results))
    if isinstance(eqn.op, AsSize):
        sizes[eqn.op.size] = int(results[0])


__all__ = ["Partial", "Unknown", "concrete_op", "concrete_shape", "concrete_size", "evaluate"]

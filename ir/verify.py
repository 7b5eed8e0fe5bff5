"""Checks that a function keeps the rules of the IR.

Every equation's types are inferred again; a value is assigned once, before it is read; a region
reads its parameters only; the dims of types and attributes are bound; kinds fit the types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .binding import attribute_dims, bound_symbols
from .core import Atom, Eqn, Function, Module, Value
from .dims import Dim, Symbol, symbols
from .errors import PullbackError, VerificationError
from .op import Op
from .ops.control import Call
from .ops.recursion import Recur, Recursion
from .printer import print_equation
from .types import ArrayType, Kind


def verify(item: Function | Module) -> None:
    """Raise where a function, or a function of a module, breaks a rule.

    Raises
    ------
    VerificationError
        With the equation's printed line and its place in the user's source.
    """
    if isinstance(item, Function):
        _Verifier(item, None, {}).function(item)
        return
    if item.entry not in item.functions:
        raise VerificationError(f"the module has no function `{item.entry}` to start with")
    for function in item.functions.values():
        _Verifier(function, item, {}).function(function)


class _Verifier:
    def __init__(
        self, outer: Function, module: Module | None, labels: Mapping[str, Function]
    ) -> None:
        self.outer = outer
        self.module = module
        self.labels = labels
        self.eqn: Eqn | None = None

    def fail(self, message: str) -> VerificationError:
        text = f"{message}."
        if self.eqn is None:
            return VerificationError(f"{text}\n  in `{self.outer.name}`")
        text += f"\n    {print_equation(self.outer, self.eqn)}"
        location = self.eqn.provenance.location
        where = f"`{self.outer.name}`"
        if location is not None:
            where += f", {location.place}"
        return VerificationError(f"{text}\n  in {where}")

    def function(self, function: Function) -> None:
        self.kinds(function.params, function.param_kinds, "parameters")
        self.kinds(function.results, function.result_kinds, "results")
        if len(set(function.dims)) != len(function.dims):
            raise self.fail(f"`{function.name}` binds a dim twice")
        dims = set(function.dims)
        defined: set[Value] = set()
        self.define(function.params, defined, dims)
        for eqn in function.eqns:
            self.eqn = eqn
            self.reads(eqn.operands, defined)
            self.dims(attribute_dims(eqn.op), dims)
            for region in eqn.op.regions:
                self.region(region, eqn.op)
            self.eqn = eqn
            self.types(eqn)
            dims |= bound_symbols(eqn)
            self.define(eqn.results, defined, dims)
        self.eqn = None
        self.reads(function.results, defined)

    def region(self, region: Function, op: Op) -> None:
        """Verify a region; its errors show the region's own text."""
        labels = {**self.labels, op.label: op.body} if isinstance(op, Recursion) else self.labels
        inner = _Verifier(region, self.module, labels)
        inner.function(region)

    def kinds(self, atoms: Sequence[Atom], kinds: Sequence[Kind], what: str) -> None:
        if len(atoms) != len(kinds):
            raise self.fail(f"{len(atoms)} {what} have {len(kinds)} kinds")
        for atom, kind in zip(atoms, kinds, strict=True):
            if kind is not Kind.ARRAY and atom.type.shape:
                raise self.fail(f"one of the {what} has type {atom.type} and kind {kind.value}")

    def define(self, values: Iterable[Value], defined: set[Value], dims: set[Symbol]) -> None:
        for value in values:
            if value in defined:
                raise self.fail(f"{_name(value)} is assigned twice")
            if value.layout and len(value.layout) != value.type.ndim:
                raise self.fail(f"{_name(value)} has {len(value.layout)} strides")
            self.dims(value.type.shape, dims)
            defined.add(value)

    def reads(self, atoms: Iterable[Atom], defined: set[Value]) -> None:
        for atom in atoms:
            if isinstance(atom, Value) and atom not in defined:
                raise self.fail(f"{_name(atom)} is read but not defined before")

    def dims(self, sizes: Iterable[Any], dims: set[Symbol]) -> None:
        for size in sizes:
            for symbol in symbols(size):
                if symbol not in dims:
                    raise self.fail(f"the dim `{symbol}` is not bound")

    def types(self, eqn: Eqn) -> None:
        try:
            inferred = eqn.op.infer(*[a.type for a in eqn.operands])
        except (PullbackError, TypeError, ValueError, IndexError) as error:
            raise self.fail(str(error)) from error
        actual = tuple(r.type for r in eqn.results)
        if tuple(inferred) != actual:
            raise self.fail(f"the op gives {_texts(inferred)}, the equation says {_texts(actual)}")
        if isinstance(eqn.op, Call) and self.module is not None:
            self.call(eqn, eqn.op, self.module)
        if isinstance(eqn.op, Recur):
            self.recur(eqn, eqn.op)

    def recur(self, eqn: Eqn, op: Recur) -> None:
        body = self.labels.get(op.label)
        if body is None:
            raise self.fail(f"no recursion `{op.label}` is around it")
        try:
            op.check(body, [a.type for a in eqn.operands])
        except VerificationError as error:
            raise self.fail(str(error)) from error

    def call(self, eqn: Eqn, op: Call, module: Module) -> None:
        callee = module.functions.get(op.function)
        if callee is None:
            raise self.fail(f"the module has no function `{op.function}`")
        for what, atoms, wanted in (
            ("takes", eqn.operands, callee.params),
            ("returns", eqn.results, callee.results),
        ):
            given, expected = [a.type for a in atoms], [a.type for a in wanted]
            fits = len(given) == len(expected) and all(map(_may_be, given, expected))
            if not fits:
                raise self.fail(f"`{op.function}` {what} {_texts(expected)}, not {_texts(given)}")


def _may_be(given: ArrayType, expected: ArrayType) -> bool:
    """Whether a type fits one of the callee's, whose dims are its own and known when it runs."""
    return (
        given.dtype == expected.dtype
        and given.ndim == expected.ndim
        and all(
            isinstance(a, Dim) or isinstance(b, Dim) or a == b
            for a, b in zip(given.shape, expected.shape, strict=True)
        )
    )


def _name(value: Value) -> str:
    return f"`{value.hint}`" if value.hint else f"a value of type {value.type}"


def _texts(types: Iterable[ArrayType]) -> str:
    return ", ".join(map(str, types)) or "nothing"

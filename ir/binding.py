"""Which dims equations bind and mention, and the renaming of dims in ops."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from .core import Atom, Eqn, Function, Value
from .dims import Dim, Size, Symbol, substitute, symbols
from .op import Op
from .types import ArrayType


def leaves(value: Any) -> Iterator[Any]:
    """Yield the parts of an attribute: of tuples, types, slices and records."""
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, tuple):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, ArrayType):
        yield from value.shape
    elif isinstance(value, slice):
        yield from (value.start, value.stop, value.step)
    elif dataclasses.is_dataclass(value) and not isinstance(value, Symbol | type):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name))
    else:
        yield value


def bound_symbols(eqn: Eqn) -> set[Symbol]:
    """Return the dims that an equation binds, such as a loop's trip count."""
    return {value for value in leaves(eqn.op.attributes()) if isinstance(value, Symbol)}


def attribute_dims(op: Op) -> Iterator[Dim]:
    """Yield the dims among the attributes of an op."""
    return (value for value in leaves(op.attributes()) if isinstance(value, Dim))


def mentioned(eqn: Eqn) -> set[Symbol]:
    """Return the symbols in an equation's attributes and in the types of its results."""
    found = {s for d in attribute_dims(eqn.op) for s in symbols(d)}
    for result in eqn.results:
        found |= symbols_of(result.type)
    return found


def symbols_of(type: ArrayType) -> set[Symbol]:
    """Return the symbols that a type mentions."""
    return {s for d in type.shape if d.__class__ is Dim for s in symbols(d)}


def has_bindings(function: Function) -> bool:
    """Whether an equation of the function binds a dim."""
    return any(eqn.op.binds for eqn in function.eqns)


def renamed_op(op: Op, binding: Mapping[Symbol, Size]) -> Op:
    """Return the op with dims of `binding` replaced among its attributes; regions are closed."""
    if not binding or not dataclasses.is_dataclass(op):
        return op
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(op):
        value = getattr(op, field.name)
        new = _renamed(value, binding)
        if new is not value:
            changed[field.name] = new
    return dataclasses.replace(op, **changed) if changed else op


def _renamed(value: Any, binding: Mapping[Symbol, Size]) -> Any:
    if isinstance(value, Symbol):
        new = binding.get(value)
        return new.terms[0][0] if isinstance(new, Dim) else value
    if isinstance(value, Dim):
        return substitute(value, binding) if symbols(value) & set(binding) else value
    if isinstance(value, ArrayType):
        return renamed_type(value, binding)
    if isinstance(value, slice):
        return slice(*[_renamed(v, binding) for v in (value.start, value.stop, value.step)])
    if isinstance(value, tuple):
        parts = [_renamed(part, binding) for part in value]
        if all(a is b for a, b in zip(parts, value, strict=True)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def symbols_in(op: Op) -> tuple[Symbol, ...]:
    """Return the symbols in the attributes of an op, those that it binds aside."""
    found = {s for d in attribute_dims(op) for s in symbols(d)}
    return tuple(sorted(found, key=lambda s: s.number))


def evaluate_at(op: Op, unknown: Sequence[Symbol], sizes: Sequence[int], *operands: Any) -> Any:
    """Evaluate an op whose attributes mention symbols, at values of these."""
    return renamed_op(op, dict(zip(unknown, sizes, strict=True))).evaluate(*operands)


def renamed_type(type: ArrayType, binding: Mapping[Symbol, Size]) -> ArrayType:
    """Return the type with dims of `binding` replaced."""
    if type.is_static or not symbols_of(type) & set(binding):
        return type
    return type.with_shape([substitute(d, binding) for d in type.shape])


def fresh(symbol: Symbol) -> Symbol:
    """Return a new symbol of the same name and bounds."""
    return Symbol(
        symbol.name, symbol.lower, symbol.upper, least=symbol.least, greatest=symbol.greatest
    )


def renewed(type: ArrayType, keep: Container[Symbol] = ()) -> tuple[ArrayType, list[Symbol]]:
    """Return a type with a new symbol for each size that is none, and those symbols.

    Sizes that are a symbol of `keep` stay.
    """
    if type.is_static:
        return type, []
    made: list[Symbol] = []
    shape: list[Size] = []
    for dim in type.shape:
        known = lone_symbol(dim)
        if isinstance(dim, Dim) and (known is None or known not in keep):
            made.append(Symbol("m" if known is None else known.name))
            dim = Dim.of(made[-1])
        shape.append(dim)
    return type.with_shape(shape), made


def matched_dims(function: Function, operands: Sequence[Atom]) -> dict[Symbol, Size]:
    """Return what the dims that a function binds are for operands, read off their types."""
    found: dict[Symbol, Size] = {}
    if not function.dims:
        return found
    for param, operand in zip(function.params, operands, strict=True):
        for dim, size in zip(param.type.shape, operand.type.shape, strict=True):
            known = lone_symbol(dim)
            if known is not None and known in function.dims:
                found.setdefault(known, size)
    return {s: d for s, d in found.items() if d != Dim.of(s)}


def instantiated(function: Function, dims: Sequence[Size]) -> Function:
    """Return a function with the dims that it binds replaced, which it does not bind then."""
    binding = dict(zip(function.dims, dims, strict=True))
    if all(d == Dim.of(s) for s, d in binding.items()):
        return function
    scope: dict[Atom, Atom] = {}

    def renewed_value(value: Value) -> Value:
        type = renamed_type(value.type, binding)
        made = Value(type, value.hint, value.cotangent_of, value.layout)
        scope[value] = made
        return made

    params = [renewed_value(p) for p in function.params]
    eqns = []
    for eqn in function.eqns:
        operands = tuple([scope.get(a, a) for a in eqn.operands])
        results = tuple([renewed_value(r) for r in eqn.results])
        eqns.append(Eqn(renamed_op(eqn.op, binding), operands, results, eqn.provenance))
    outs = [scope.get(r, r) for r in function.results]
    return function.replace(params=params, eqns=eqns, results=outs, dims=())


def lone_symbol(dim: Size) -> Symbol | None:
    """Return the symbol that a dim is, None for another dim."""
    if isinstance(dim, Dim) and not dim.constant and len(dim.terms) == 1:
        ((atom, coefficient),) = dim.terms
        if isinstance(atom, Symbol) and coefficient == 1:
            return atom
    return None


__all__ = [
    "attribute_dims",
    "bound_symbols",
    "evaluate_at",
    "fresh",
    "has_bindings",
    "instantiated",
    "leaves",
    "lone_symbol",
    "matched_dims",
    "mentioned",
    "renamed_op",
    "renamed_type",
    "renewed",
    "symbols_in",
    "symbols_of",
]

"""Prints functions as Python syntax that `parse` reads back.

One line an equation, `name : type = expression`, with the user's names and source lines. Regions
are nested `def`s above the equation that holds them; a fused region is a `with fused(...)` block
that reads and writes the names around it. Large arrays are named, and a table of them follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .attributes import format_attribute
from .core import Atom, Eqn, Function, Literal, Module, Value, default_kind, walk
from .dims import Dim
from .forms import has_plain_attributes, infix_ops, subscript_text, transpose_for
from .literals import Constants, format_literal
from .names import Names
from .ops.cond import Cond
from .ops.control import INDEX, Call, Fused, Loop
from .ops.index import Index, IndexAdd, IndexUpdate
from .ops.recursion import Recur, Recursion
from .ops.shape import Transpose
from .rows import Row, lay_out
from .signature import DimNames, dtype_name, identifier, unique
from .types import ArrayType

LINE_LENGTH = 100


def print_function(function: Function, *, types: bool = True, margin: bool = True) -> str:
    """Return the text of a function.

    Parameters
    ----------
    types
        Whether equations show their types; without them a text with a `call` does not parse.
    margin
        Whether comments show the source lines.
    """
    name = unique(identifier(function.name) or "function", frozenset())
    return _Printer(types, margin, {function.name: name}).text([(name, function)])


def print_module(module: Module, *, types: bool = True, margin: bool = True) -> str:
    """Return the text of a module: its functions, the entry last."""
    names: dict[str, str] = {}
    for key in module.functions:
        names[key] = unique(identifier(key) or "function", set(names.values()))
    order = sorted(module.functions, key=lambda key: key == module.entry)
    printer = _Printer(types, margin, names)
    return printer.text([(names[key], module.functions[key]) for key in order])


def print_equation(function: Function, eqn: Eqn) -> str:
    """Return the line of one equation of a function, which may break the rules of the IR."""
    printer = _Printer(True, False, {})
    rows = printer.rows(function, Names(_named_values(function), _op_names(function)))
    found = [row for row in rows if row.eqn is eqn]
    return found[0].code(0, 0).strip() if found else repr(eqn)


def equation_rows(function: Function) -> dict[Eqn, Row]:
    """Return the line of every equation of a function and of the regions inside it."""
    printer = _Printer(True, False, {})
    rows = printer.rows(function, Names(_named_values(function), _op_names(function)))
    return {row.eqn: row for row in rows if row.eqn is not None}


def constants_of(item: Function | Module) -> dict[str, Any]:
    """Return what the text of a function or module mentions by name; `parse` takes it back."""
    printer = _Printer(True, False, {})
    functions = item.functions.values() if isinstance(item, Module) else [item]
    printer.text([("function", function) for function in functions])
    return printer.constants.objects


def is_block(eqn: Eqn) -> bool:
    """Whether a fused equation has the form of a `with` block, which renames nothing.

    It passes different values, its dims and kinds are those around it, and its results are
    different values that its own equations compute.
    """
    op = eqn.op
    if not isinstance(op, Fused):
        return False
    body = op.body
    own = {value for inner in body.eqns for value in inner.results}
    return (
        all(isinstance(a, Value) for a in eqn.operands)
        and len(set(eqn.operands)) == len(eqn.operands)
        and all(r in own for r in body.results)
        and len(set(body.results)) == len(body.results) == len(eqn.results) > 0
        and op.dims == tuple(map(Dim.of, body.dims))
        and body.param_kinds == tuple(map(default_kind, body.params))
        and body.result_kinds == tuple(map(default_kind, body.results))
    )


def _named_values(function: Function, *, block: bool = False) -> Iterator[Value]:
    if not block:
        yield from function.params
    results = set(function.results) if block else set()
    for eqn in function.eqns:
        for value in eqn.results:
            if value not in results:
                yield value
        if is_block(eqn):
            yield from _named_values(eqn.op.regions[0], block=True)


def _op_names(function: Function) -> set[str]:
    return {str(eqn.op.name) for eqn in walk(function)}


class _Printer:
    def __init__(self, types: bool, margin: bool, calls: dict[str, str]) -> None:
        self.types = types
        self.margin = margin
        self.calls = calls
        self.constants = Constants()
        self.dims = DimNames()
        self.infix = infix_ops()

    def text(self, functions: Sequence[tuple[str, Function]]) -> str:
        parts: list[str] = []
        for name, function in functions:
            self.dims = DimNames()
            rows = self._definition(name, function, 0)
            parts.append("\n".join(lay_out(rows, self.margin)))
        table = self.constants.table()
        return "\n\n".join([*parts, *(["\n".join(table)] if table else [])]) + "\n"

    # ---- functions -----------------------------------------------------------------------------

    def _definition(self, name: str, function: Function, depth: int) -> list[Row]:
        names = Names(_named_values(function), _op_names(function))
        head = Row(depth, "", "", self._signature(name, function, names, depth))
        rows = self.rows(function, names, depth + 1, id(function))
        results = [
            names(r) if isinstance(r, Value) else self._literal(r, [r.type.dtype])
            for r in function.results
        ]
        rows.append(Row(depth + 1, "", "", f"return {', '.join(results) or '()'}"))
        return [head, *rows]

    def _signature(self, name: str, function: Function, names: Names, depth: int) -> str:
        binders = [self.dims.binder(symbol) for symbol in function.dims]
        params = [
            f"{names(p)}: {self.dims.boundary(p.type, kind, p.layout)}"
            for p, kind in zip(function.params, function.param_kinds, strict=True)
        ]
        if binders:
            params += ["*", f"dims=({', '.join(binders)}{',' * (len(binders) == 1)})"]
        kinds = zip(function.results, function.result_kinds, strict=True)
        results = [self.dims.boundary(r.type, kind) for r, kind in kinds]
        returned = results[0] if len(results) == 1 else f"({', '.join(results)})"
        line = f"def {name}({', '.join(params)}) -> {returned}:"
        indent = "    " * depth
        if len(indent) + len(line) <= LINE_LENGTH:
            return line
        filled = _fill(params, f"{indent}        ")
        return f"def {name}(\n{filled}\n{indent}) -> {returned}:"

    def rows(
        self,
        function: Function,
        names: Names,
        depth: int = 1,
        block: int = 0,
        typed: bool = True,
    ) -> list[Row]:
        """Return the lines of a function's equations; `block` aligns them with each other."""
        rows: list[Row] = []
        for eqn in function.eqns:
            if is_block(eqn):
                rows += self._fused(eqn, names, depth)
            else:
                rows += self._equation(eqn, names, depth, block, typed)
        return rows

    # ---- equations -----------------------------------------------------------------------------

    def _equation(self, eqn: Eqn, names: Names, depth: int, block: int, typed: bool) -> list[Row]:
        context = [a.type.dtype for a in eqn.operands if isinstance(a, Value)]
        operands = [self._atom(a, names, context) for a in eqn.operands]
        rows: list[Row] = []
        regions: dict[int, str] = {}
        for label, region in _regions(eqn):
            if id(region) not in regions:
                regions[id(region)] = region_name = names.take(label)
                if isinstance(eqn.op, Recursion):
                    self.calls = {**self.calls, label: region_name}
                rows += self._definition(region_name, region, depth)
        results = [names(r) for r in eqn.results]
        text = self._expression(eqn, operands, regions, names)
        shows = self.types and (typed or isinstance(eqn.op, Call | Recur))
        types = [self.dims.type(r.type) for r in eqn.results] if shows else []
        single = len(results) == 1
        note = f"({', '.join(types)})" if types and not single else ""
        shown = types[0] if types and single else ""
        rows.append(Row(depth, ", ".join(results), shown, text, eqn, note, block))
        return rows

    def _fused(self, eqn: Eqn, names: Names, depth: int) -> list[Row]:
        op = eqn.op
        assert isinstance(op, Fused)
        reads = [names(a) for a in eqn.operands if isinstance(a, Value)]
        writes = [names(r) for r in eqn.results]
        inside = zip((*op.body.params, *op.body.results), (*reads, *writes), strict=True)
        known = {value: name for value, name in inside if isinstance(value, Value)}
        rest = {k: v for k, v in op.attributes().items() if k != "body"}
        keywords = [f"{k}={self._attribute(v)}" for k, v in rest.items()]
        tupled = f"({', '.join(reads)}{',' * (len(reads) == 1)})"
        arguments = ", ".join([f"reads={tupled}", f'writes="{" ".join(writes)}"', *keywords])
        head = Row(depth, "", "", f"with fused({arguments}):", eqn)
        return [head, *self.rows(op.body, names.inner(known), depth + 1, id(eqn), False)]

    def _expression(
        self, eqn: Eqn, operands: list[str], regions: dict[int, str], names: Names
    ) -> str:
        op = eqn.op
        if isinstance(op, Loop):
            return self._loop(eqn, op, operands, regions, names)
        if isinstance(op, Cond):
            return self._cond(op, operands, regions)
        if isinstance(op, Call):
            return self._call(eqn, op, op.function, op.result_types, operands)
        if isinstance(op, Recur):
            return self._call(eqn, op, op.label, op.types, operands)
        if isinstance(op, Recursion):
            return self._recursion(op, operands, regions)
        short = self._short_form(eqn, operands, names)
        if short is not None:
            return short
        keywords = [
            f"{key}={regions[id(v)] if isinstance(v, Function) else self._attribute(v)}"
            for key, v in op.attributes().items()
        ]
        return f"{op.name}({', '.join([*operands, *keywords])})"

    def _short_form(self, eqn: Eqn, operands: list[str], names: Names) -> str | None:
        """Return the text of an op that Python has a notation for."""
        op = eqn.op
        first = eqn.operands[0] if eqn.operands else None
        entry = self.infix.get((op.infix or "", len(operands)))
        if entry is not None and entry.name == op.name and has_plain_attributes(op, eqn.operands):
            if len(operands) == 2:
                left = f"({operands[0]})" if operands[0].startswith("-") else operands[0]
                return f"{left} {op.infix} {operands[1]}"
            if isinstance(first, Value):
                return f"{op.infix}{operands[0]}"
        if not isinstance(first, Value):
            return None
        if isinstance(op, Transpose) and first.type.ndim and op == transpose_for(first.type):
            return f"{operands[0]}.T"
        if isinstance(op, Index | IndexUpdate | IndexAdd):
            skip = 1 if isinstance(op, Index) else 2
            # An int stands for itself, so a literal position always says its dtype.
            positions = [
                f"{dtype_name(a.type.dtype)}({a.value})"
                if isinstance(a, Literal) and a.is_scalar
                else operands[k]
                for k, a in enumerate(eqn.operands[skip:], skip)
            ]
            text = subscript_text(op.index, first.type, positions, self.dims)
            if text is None:
                return None
            part = f"{operands[0]}[{text}]"
            return part if skip == 1 else f"{op.name}({part}, {operands[1]})"
        return None

    def _loop(
        self, eqn: Eqn, op: Loop, operands: list[str], regions: dict[int, str], names: Names
    ) -> str:
        parts = [regions[id(op.body)]]
        static: int | None = None
        if op.ranged:
            lo, hi, step = [self._atom(a, names, [INDEX]) for a in eqn.operands[:3]]
            bounds = [lo, hi, step]
            if step == "1":
                bounds.pop()
                if lo == "0":
                    bounds.pop(0)
            parts.append(f"range({', '.join(bounds)})")
            static = static_range(eqn.operands)
        carry = operands[op.head : op.head + op.carries]
        captured = operands[op.head + op.carries :]
        for label, group in (("carry", carry), ("captured", captured)):
            if group:
                parts.append(f"{label}=({', '.join(group)}{',' * (len(group) == 1)})")
        if op.test is not None:
            parts.append(f"test={regions[id(op.test)]}")
        if op.test is not None or static != op.trips:
            parts.append(f"trips={self._attribute(op.trips)}")
        known = ("body", "carries", "trips", "ranged", "test")
        rest = {k: v for k, v in op.attributes().items() if k not in known}
        parts += [f"{k}={self._attribute(v)}" for k, v in rest.items()]
        return f"loop({', '.join(parts)})"

    def _cond(self, op: Cond, operands: list[str], regions: dict[int, str]) -> str:
        parts = [operands[0], *[regions[id(branch)] for branch in op.branches]]
        captured = operands[1:]
        if captured:
            parts.append(f"captured=({', '.join(captured)}{',' * (len(captured) == 1)})")
        if op.dims:
            parts.append(f"dims={self._attribute(op.dims)}")
        return f"cond({', '.join(parts)})"

    def _recursion(self, op: Recursion, operands: list[str], regions: dict[int, str]) -> str:
        parts = [regions[id(op.body)], *operands]
        rest = {k: v for k, v in op.attributes().items() if k not in ("body", "label")}
        parts += [f"{k}={self._attribute(v)}" for k, v in rest.items()]
        return f"recursion({', '.join(parts)})"

    def _call(
        self,
        eqn: Eqn,
        op: Call | Recur,
        callee: str,
        types: tuple[ArrayType, ...],
        operands: list[str],
    ) -> str:
        name = self.calls.get(callee, callee)
        parts = [name if name.isidentifier() else repr(name), *operands]
        if len(eqn.results) != 1:
            parts.append(f"types={self._attribute(types)}")
        known = ("function", "result_types", "label", "types")
        rest = {k: v for k, v in op.attributes().items() if k not in known}
        parts += [f"{k}={self._attribute(v)}" for k, v in rest.items()]
        return f"{op.name}({', '.join(parts)})"

    # ---- atoms ---------------------------------------------------------------------------------

    def _atom(self, atom: Atom, names: Names, context: Sequence[Any]) -> str:
        return names(atom) if isinstance(atom, Value) else self._literal(atom, context)

    def _literal(self, literal: Literal, context: Sequence[Any]) -> str:
        return format_literal(literal, context, self.constants)

    def _attribute(self, value: Any) -> str:
        return format_attribute(value, self.dims, self.constants)


def static_range(operands: Sequence[Atom]) -> int | None:
    """Return the trip count of a loop whose range is literal, else None."""
    bounds = [a.value for a in operands[:3] if isinstance(a, Literal)]
    if len(bounds) < 3 or int(bounds[2]) == 0:
        return None
    return len(range(*map(int, bounds)))


def _regions(eqn: Eqn) -> Iterator[tuple[str, Function]]:
    op = eqn.op
    if isinstance(op, Cond):
        yield from zip(op.labels(eqn.operands[0].type), op.branches, strict=True)
    if isinstance(op, Recursion):
        yield op.label, op.body
        return
    for key, value in op.attributes().items():
        if isinstance(value, Function):
            yield key, value


def _fill(parts: Sequence[str], indent: str) -> str:
    lines = [indent]
    for part in parts:
        if len(lines[-1]) > len(indent) and len(lines[-1]) + len(part) + 1 > LINE_LENGTH:
            lines.append(indent)
        lines[-1] += f"{part}, "
    return "\n".join(line.rstrip() for line in lines)

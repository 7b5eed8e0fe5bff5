"""Prints functions as Python syntax that `parse` reads back.

One line an equation, `name : type = expression`, with the user's names and source lines. Regions are
nested `def`s above the equation that holds them; a fused region is a `with fused(...)` block that
reads and writes the names around it. Large arrays are named, and a table of them follows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .attributes import format_attribute
from .core import Atom, Eqn, Function, Literal, Module, Provenance, Value, default_kind, walk
from .dims import Dim
from .forms import has_plain_attributes, infix_ops, subscript_text, transpose_for
from .literals import Constants, format_literal
from .names import Names
from .op import Op
from .ops.control import INDEX, Call, Fused, Loop
from .ops.index import Index, IndexAdd, IndexUpdate
from .ops.shape import Transpose
from .signature import DimNames, dtype_name, identifier, unique

LINE_LENGTH = 100
MARGIN_COLUMN = 72
"""Longer lines push their margin out instead of everybody's."""


def print_function(function: Function, *, types: bool = True, margin: bool = True) -> str:
    """Return the text of a function.

    Parameters
    ----------
    types
        Whether equations show their types; without them a text with a `call` does not parse.
    margin
        Whether comments show the source lines.
    """
    names = {function.name: identifier(function.name) or "function"}
    return _Printer(types, margin, names).text([(names[function.name], function)])


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


def constants_of(item: Function | Module) -> dict[str, Any]:
    """Return what the text of a function or module mentions by name; `parse` takes it back."""
    printer = _Printer(True, False, {})
    functions = item.functions.values() if isinstance(item, Module) else [item]
    printer.text([("function", function) for function in functions])
    return printer.constants.objects


@dataclass
class _Row:
    """One line: an equation, or other code with `name` and `type` empty."""

    depth: int
    name: str
    type: str
    text: str
    eqn: Eqn | None = None
    note: str = ""
    block: int = 0

    @property
    def is_single(self) -> bool:
        """Whether it has one name, which stands in the column of names."""
        return bool(self.name) and "," not in self.name

    def code(self, name_width: int, type_width: int) -> str:
        """Return the line, its columns padded."""
        head = ""
        if self.is_single:
            head = f"{self.name:<{name_width}} "
            if self.type:
                head += f": {self.type:<{type_width}} "
        elif self.name:
            head = f"{self.name} "
        tail = f"  # {self.note}" if self.note else ""
        return f"{'    ' * self.depth}{head}{'= ' if self.name else ''}{self.text}{tail}"


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
            parts.append("\n".join(_lay_out(rows, self.margin)))
        table = self.constants.table()
        return "\n\n".join([*parts, *(["\n".join(table)] if table else [])]) + "\n"

    # ---- functions ------------------------------------------------------------------------------

    def _definition(self, name: str, function: Function, depth: int) -> list[_Row]:
        names = Names(_named_values(function), _op_names(function))
        head = _Row(depth, "", "", self._signature(name, function, names, depth))
        rows = self.rows(function, names, depth + 1, id(function))
        results = [
            names(r) if isinstance(r, Value) else self._literal(r, [r.type.dtype])
            for r in function.results
        ]
        rows.append(_Row(depth + 1, "", "", f"return {', '.join(results) or '()'}"))
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
    ) -> list[_Row]:
        """Return the lines of a function's equations; `block` aligns them with each other."""
        rows: list[_Row] = []
        for eqn in function.eqns:
            if is_block(eqn):
                rows += self._fused(eqn, names, depth)
            else:
                rows += self._equation(eqn, names, depth, block, typed)
        return rows

    # ---- equations --------------------------------------------------------------------------------

    def _equation(
        self, eqn: Eqn, names: Names, depth: int, block: int, typed: bool
    ) -> list[_Row]:
        context = [a.type.dtype for a in eqn.operands if isinstance(a, Value)]
        operands = [self._atom(a, names, context) for a in eqn.operands]
        rows: list[_Row] = []
        regions: dict[int, str] = {}
        for label, region in _regions(eqn.op):
            if id(region) not in regions:
                regions[id(region)] = region_name = names.take(label)
                rows += self._definition(region_name, region, depth)
        results = [names(r) for r in eqn.results]
        text = self._expression(eqn, operands, regions, names)
        shows = self.types and (typed or isinstance(eqn.op, Call))
        types = [self.dims.type(r.type) for r in eqn.results] if shows else []
        single = len(results) == 1
        note = f"({', '.join(types)})" if types and not single else ""
        shown = types[0] if types and single else ""
        rows.append(_Row(depth, ", ".join(results), shown, text, eqn, note, block))
        return rows

    def _fused(self, eqn: Eqn, names: Names, depth: int) -> list[_Row]:
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
        head = _Row(depth, "", "", f"with fused({arguments}):", eqn)
        return [head, *self.rows(op.body, names.inner(known), depth + 1, id(eqn), False)]

    def _expression(
        self, eqn: Eqn, operands: list[str], regions: dict[int, str], names: Names
    ) -> str:
        op = eqn.op
        if isinstance(op, Loop):
            return self._loop(eqn, op, operands, regions, names)
        if isinstance(op, Call):
            return self._call(eqn, op, operands)
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

    def _call(self, eqn: Eqn, op: Call, operands: list[str]) -> str:
        name = self.calls.get(op.function, op.function)
        parts = [name if name.isidentifier() else repr(name), *operands]
        if len(eqn.results) != 1:
            parts.append(f"types={self._attribute(op.result_types)}")
        rest = {k: v for k, v in op.attributes().items() if k not in ("function", "result_types")}
        parts += [f"{k}={self._attribute(v)}" for k, v in rest.items()]
        return f"call({', '.join(parts)})"

    # ---- atoms ------------------------------------------------------------------------------------

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


def _regions(op: Op) -> Iterator[tuple[str, Function]]:
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


def _lay_out(rows: Sequence[_Row], margin: bool) -> list[str]:
    widths: dict[int, tuple[int, int]] = {}
    for row in rows:
        if row.is_single:
            name, type = widths.get(row.block, (0, 0))
            widths[row.block] = (max(name, len(row.name)), max(type, len(row.type)))
    lines = [row.code(*widths.get(row.block, (0, 0))) for row in rows]
    notes = _margin(rows) if margin else [""] * len(rows)
    noted = [len(line) for line, note in zip(lines, notes, strict=True) if note]
    column = min(max(noted, default=0), MARGIN_COLUMN)
    return [
        f"{line:<{column}}  # {note}" if note else line
        for line, note in zip(lines, notes, strict=True)
    ]


def _margin(rows: Sequence[_Row]) -> list[str]:
    """Return each row's source line: with its text the first time, and once for a run of rows."""
    places = [_place(row.eqn.provenance) if row.eqn is not None else None for row in rows]
    several = len({place[0] for place in places if place is not None}) > 1
    marks = [_mark(place, several) if place is not None else "" for place in places]
    width = max([2, *map(len, marks)])
    shown: set[tuple[str, int]] = set()
    notes: list[str] = []
    previous = ""
    for row, place, mark in zip(rows, places, marks, strict=True):
        if place is None or mark == previous or row.text.startswith("with fused("):
            notes.append("")
            continue
        file, line, _, text = place
        first = (file, line) not in shown and bool(text)
        shown.add((file, line))
        notes.append(f"{mark:>{width}}{f'  {text}' if first else ''}")
        previous = mark
    return notes


def _place(provenance: Provenance) -> tuple[str, int, bool, str] | None:
    location = provenance.location
    if location is None:
        return None
    text = "".join(c if c.isprintable() else " " for c in location.text).strip()
    return location.file, location.line, provenance.is_adjoint, text


def _mark(place: tuple[str, int, bool, str], several: bool) -> str:
    file, line, adjoint, _ = place
    where = f"{os.path.basename(file)}:{line}" if several else str(line)
    return f"{'∂' if adjoint else ''}{where}"

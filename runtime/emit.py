"""Writes a planned function as straight-line Python that calls NumPy.

The source has two functions: `workspace()` makes the slots, typed as the program uses them, and the
views of them that never change; `run(ws, ...)` is the program. Constants are globals of the source.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from ..ir.binding import lone_symbol, symbols_in
from ..ir.core import Atom, Eqn, Function, Literal, Provenance, Value
from ..ir.dims import Dim, Size, Symbol, substitute
from ..ir.op import Elementwise
from ..ir.ops.cond import Cond
from ..ir.ops.control import Loop
from ..ir.ops.effects import WriteBack
from ..ir.ops.index import Index, IndexAdd, IndexUpdate
from ..ir.ops.shape import BroadcastTo, Reshape, reshapes_in_place
from ..ir.ops.tape import TapePop, TapePush, fork
from ..ir.plan import Fresh, Home, Plan
from ..ir.types import ArrayType, Kind, Layout, is_tape
from .emit_cond import emit_cond
from .emit_loop import emit_loop
from .emit_tape import emit_tape

_NAME = re.compile(r"\W")


@dataclass
class Source:
    """Generated text, its constants, and for each line of `run` what it came from."""

    text: str
    constants: dict[str, Any]
    lines: dict[int, tuple[str, Provenance]] = field(default_factory=dict)


def emit(
    plan: Plan,
    owned: frozenset[int] = frozenset(),
    fresh: Mapping[int, Fresh] = MappingProxyType({}),
) -> Source:
    """Return the source of a planned function.

    Parameters
    ----------
    owned
        The positions of results that must not share memory with an argument or another result
        (derivatives); the other results alias as NumPy's would.
    fresh
        By position the results that NumPy makes anew: where a rewrite turned one into an argument,
        a view of one, a broadcast view, or memory of another result, it is copied.
    """
    return Writer(plan, owned, fresh).write()


def make_array(
    shape: tuple[int, ...], dtype: np.dtype, strides: Layout = None, buffer: Any = None
) -> np.ndarray:
    """Return an uninitialised array with given strides, in `buffer` or in memory of its own."""
    if buffer is None:
        if strides is None:
            return np.empty(shape, dtype)
        buffer = np.empty(max(int(np.prod(shape)), 1) * dtype.itemsize, np.uint8)
    return np.ndarray(shape, dtype, buffer, 0, strides)


class Writer:
    """Implements `ir.op.Emitter`."""

    def __init__(self, plan: Plan, owned: frozenset[int], fresh: Mapping[int, Fresh]) -> None:
        self.plan = plan
        self.owned = owned
        self.fresh_results = fresh
        self.constants: dict[str, Any] = {"empty": np.empty, "copyto": np.copyto}
        self.bound: dict[Any, str] = {}
        self.names: dict[Value, str] = {}
        self.cells: dict[Any, str] = {}
        self.taken: set[str] = {"ws", "run", "workspace", "empty", "copyto", "np"}
        self.numbers: dict[str, int] = {}
        self.setup: list[str] = []
        self.static: dict[str, None] = {}
        self.slot_views: dict[Any, str] = {}
        self.body: list[tuple[str, Provenance | None, str]] = []
        self.indent = 1
        self.dims: dict[Symbol, str] = {}
        self.indices: set[Value] = set()
        self.producers: dict[Value, Eqn] = {}
        self.texts: dict[str, Atom] = {}
        self.counter = "k"

    # -- names -------------------------------------------------------------------------------------

    def fresh(self, hint: str) -> str:
        base = _NAME.sub("_", hint) or "v"
        if base[0].isdigit() or keyword.iskeyword(base):
            base = f"v{base}"
        name, number = base, self.numbers.get(base, 1)
        while name in self.taken:
            number += 1
            name = f"{base}_{number}"
        self.numbers[base] = number
        self.taken.add(name)
        return name

    def hint(self, value: Value) -> str:
        if value.hint:
            return value.hint
        if value.cotangent_of is not None:
            return f"d{self.hint(value.cotangent_of)}"[:24]
        return "v"

    def bind(self, value: object, hint: str) -> str:
        """Return the global that holds a constant; equal functions share one."""
        key: Any
        try:
            key = (type(value), value) if not isinstance(value, np.ndarray) else id(value)
            known = self.bound.get(key)
        except TypeError:
            key, known = id(value), self.bound.get(id(value))
        if known is None:
            known = self.bound[key] = self.fresh(hint)
            self.constants[known] = value
        return known

    def size(self, dim: Size) -> str:
        """Return source for a dim's value."""
        if not isinstance(dim, Dim):
            return str(dim)
        if lone_symbol(dim) in self.dims:
            return self.dims[lone_symbol(dim)]  # type: ignore[index]
        named: dict[Symbol, Size] = {s: Dim.of(Symbol(n)) for s, n in self.dims.items()}
        return f"({substitute(dim, named)})"

    def name(self, value: Value) -> str:
        """Return the variable that holds a value, naming it at its first appearance."""
        known = self.names.get(value)
        if known is not None:
            return known
        cell = self.plan.cells.get(value)
        if cell is not None and value.type.shape and not self._is_view(value):
            if cell.home is Home.SLOT:
                name = self.slot_view(cell.slot, value.type, value.layout, value)
            else:
                name = self.cells.get(cell) or self.fresh(self.hint(value))
                self.cells[cell] = name
        else:
            name = self.fresh(self.hint(value))
        self.names[value] = name
        return name

    def _is_view(self, value: Value) -> bool:
        eqn = self.producers.get(value)
        return eqn is not None and eqn.op.is_view

    def slot_view(self, slot: int, type: ArrayType, layout: Layout, value: Value) -> str:
        key = (slot, type, layout)
        known = self.slot_views.get(key)
        if known is None:
            known = self.slot_views[key] = self.fresh(self.hint(value))
            make = self.bind(make_array, "make_array")
            dtype = self.bind(type.dtype, str(type.dtype))
            self.setup.append(f"{known} = {make}({type.shape}, {dtype}, {layout}, slots[{slot}])")
            self.static[known] = None
        return known

    def atom(self, operand: str) -> Atom | None:
        """Return what an operand's source text stands for, None where that is not known."""
        return self.texts.get(operand)

    def operand(self, atom: Atom, *, in_array_op: bool = False) -> str:
        """Return source for an operand."""
        if isinstance(atom, Value):
            return self.name(atom)
        if in_array_op and atom.is_scalar:
            # A 0-d array skips the conversion that a scalar costs in every ufunc call.
            key = ("0d", atom)
            known = self.bound.get(key)
            if known is None:
                known = self.bound[key] = self.fresh("c")
                self.constants[known] = np.asarray(atom.value)
            return known
        return self._literal(atom)

    def _literal(self, atom: Literal) -> str:
        known = self.bound.get(atom)
        if known is None:
            known = self.bound[atom] = self.fresh("k")
            self.constants[known] = atom.value
        return known

    # -- the program -------------------------------------------------------------------------------

    def line(self, text: str, provenance: Provenance | None = None, op: str = "") -> None:
        self.body.append(("    " * self.indent + text, provenance, op))

    def write(self) -> Source:
        function = self.plan.function
        names = []
        for p in function.params:
            self.names[p] = self.fresh(p.hint or "x")
            names.append(self.names[p])
            self.cells[self.plan.cells[p]] = self.names[p]
        for p, kind in zip(function.params, function.param_kinds, strict=True):
            if is_tape(p.type):
                # Who holds it may run the program again.
                self.line(f"{self.names[p]} = {self.bind(fork, 'fork')}({self.names[p]})")
            if kind is Kind.PYTHON:
                # Python's own arithmetic raises where NumPy warns, and has other methods.
                scalar = self.bind(p.type.dtype.type, str(p.type.dtype))
                self.line(f"{self.names[p]} = {scalar}({self.names[p]})")
        self._bind_params(function)
        self.block(function.eqns)
        results = self.results(function)
        self.line(f"return {results}")
        return self._assemble(names)

    def _bind_params(self, function: Function) -> None:
        """Read the dims that the function binds off the shapes of its parameters."""
        for p in function.params:
            for axis, dim in enumerate(p.type.shape):
                symbol = lone_symbol(dim)
                if symbol in function.dims and symbol not in self.dims:
                    self._bind_dim(symbol, f"{self.names[p]}.shape[{axis}]")

    def _bind_dim(self, symbol: Symbol, text: str) -> None:
        name = self.dims[symbol] = self.fresh(symbol.name)
        self.line(f"{name} = {text}")

    def _bind_results(self, eqn: Eqn) -> None:
        """Keep the sizes that an equation has made known."""
        for symbol in eqn.op.binds:
            for result in eqn.results:
                axes = [k for k, d in enumerate(result.type.shape) if lone_symbol(d) is symbol]
                if axes:
                    self._bind_dim(symbol, f"{self.name(result)}.shape[{axes[0]}]")
                    break
            else:
                self._bind_dim(symbol, f"int({self.name(eqn.result)})")

    def _assemble(self, params: Sequence[str]) -> Source:
        lines = ["def workspace():"]
        if self.plan.slots:
            byte = self.bind(np.dtype(np.uint8), "uint8")
            sizes = ", ".join(map(str, self.plan.slots))
            lines.append(f"    slots = [empty(n, {byte}) for n in ({sizes},)]")
        lines += [f"    {text}" for text in self.setup]
        static = ", ".join(self.static)
        lines.append(f"    return ({static},)" if static else "    return ()")
        lines += ["", "", f"def run({', '.join(['ws', *params])}):"]
        if static:
            lines.append(f"    ({static},) = ws")
        mapping: dict[int, tuple[str, Provenance]] = {}
        last = None
        for text, provenance, op in self.body:
            if provenance is not None:
                mapping[len(lines) + 1] = (op, provenance)
                location = provenance.location
                if location is not None:
                    place = (location.file, location.line, provenance.is_adjoint)
                    if place != last:
                        mark = "∂" if provenance.is_adjoint else ""
                        text = f"{text:<56}  # {mark}{location.line}"
                        if not provenance.is_adjoint:
                            text += f"  {location.text.strip()}"
                        last = place
            lines.append(text)
        return Source("\n".join(lines) + "\n", self.constants, mapping)

    def results(self, function: Function) -> str:
        parts: list[str] = []
        seen: dict[Any, int | None] = {}
        for k, (result, kind) in enumerate(
            zip(function.results, function.result_kinds, strict=True)
        ):
            parts.append(self._result(k, result, kind, seen))
        return f"({', '.join(parts)},)" if parts else "()"

    def _result(self, k: int, result: Atom, kind: Kind, seen: dict[Any, int | None]) -> str:
        text = self.scalar(result)
        if result.type.dtype.kind in "OV":
            return text
        if not result.type.shape:
            if kind is Kind.PYTHON:
                return f"{text}.item()"
            if kind is Kind.ARRAY:
                if self._is_argument(result) and k not in self.owned:
                    return text
                return f"{self.bind(np.array, 'array')}({text})"
            return f"{text}[()]"
        if isinstance(result, Literal):
            return f"{text}.copy()"
        cell = self.plan.cells.get(result)
        fresh = self.fresh_results.get(k)
        owner = None if fresh is None else fresh.owner
        base = self._base(result)
        memory = base if self._is_copied(base) else result if cell is None else cell
        # Memory belongs to the first result that leaves with it; equal expressions are one value.
        if (memory in seen and (k in self.owned or (fresh and seen[memory] != owner))) or (
            fresh and seen.get(result, owner) != owner
        ):
            return f"{text}.copy('K')"
        seen.setdefault(memory, owner)
        seen.setdefault(result, owner)
        if k in self.owned and (
            cell is None or cell.home in (Home.CALLER, Home.SLOT) or self._is_broadcast(result)
        ):
            return f"{text}.copy()"
        if fresh is not None and not fresh.spread and self._is_broadcast(result):
            return f"{text}.copy()"
        if fresh is not None and self._is_of_caller(result):
            if result.type.dtype.kind == "b":
                return f"{text}.copy('K')"
            # With the strides that a ufunc's result has.
            return f"{self.bind(np.positive, 'positive')}({text})"
        return text

    def _is_argument(self, value: Atom) -> bool:
        """Whether a value is a parameter, or what it is after it was written into."""
        if not isinstance(value, Value):
            return False
        eqn = self.producers.get(value)
        return value in self.plan.function.params if eqn is None else isinstance(eqn.op, WriteBack)

    def _is_of_caller(self, value: Atom) -> bool:
        """Whether a value is a parameter or a view of one, or is computed in such memory."""
        base = self._base(value)
        if not isinstance(base, Value) or self._is_copied(base):
            return False
        cell = self.plan.cells.get(base)
        return base not in self.producers or (cell is not None and cell.home is Home.CALLER)

    def _base(self, value: Atom) -> Atom:
        """Return the value in whose memory another lies."""
        while isinstance(value, Value) and not self._is_copied(value):
            eqn = self.producers.get(value)
            if eqn is None or not eqn.op.is_view:
                break
            value = eqn.operands[0]
        return value

    def _is_copied(self, value: Atom) -> bool:
        """Whether a value is a reshape that takes a copy."""
        eqn = self.producers.get(value) if isinstance(value, Value) else None
        if eqn is None or not isinstance(eqn.op, Reshape):
            return False
        whole = eqn.operands[0]
        return not reshapes_in_place(eqn.op, whole.type, whole.layout)

    def _is_broadcast(self, value: Atom) -> bool:
        while isinstance(value, Value):
            eqn = self.producers.get(value)
            if eqn is None or not eqn.op.is_view or self._is_copied(value):
                return False
            if isinstance(eqn.op, BroadcastTo):
                return True
            value = eqn.operands[0]
        return True

    def block(self, eqns: Sequence[Eqn]) -> None:
        for eqn in eqns:
            for result in eqn.results:
                self.producers[result] = eqn
        for eqn in eqns:
            if isinstance(eqn.op, Loop):
                emit_loop(self, eqn, eqn.op)
            elif isinstance(eqn.op, Cond):
                emit_cond(self, eqn, eqn.op)
            elif isinstance(eqn.op, TapePush | TapePop):
                emit_tape(self, eqn, eqn.op)
            else:
                self.equation(eqn)
                if eqn.op.binds:
                    self._bind_results(eqn)

    def equation(self, eqn: Eqn) -> None:
        op = eqn.op
        if len(eqn.results) != 1:
            operands = [self.scalar(a) for a in eqn.operands]
            targets = ", ".join(self.name(r) for r in eqn.results)
            text = op.emit(self, operands, None)
            self.line(f"{targets} = {text}" if targets else text, eqn.provenance, op.name)
            return
        result = eqn.result
        shaped = bool(result.type.shape)
        in_array_op = isinstance(op, Elementwise) and shaped
        operands = [
            self.operand(a, in_array_op=in_array_op)
            if not isinstance(op, Index | IndexUpdate | IndexAdd)
            else self.position(a)
            for a in eqn.operands
        ]
        if not isinstance(op, Index | IndexUpdate | IndexAdd):
            operands = [
                self.scalar(a) if a in self.indices else o
                for o, a in zip(operands, eqn.operands, strict=True)
            ]
        self.texts = dict(zip(operands, eqn.operands, strict=True))
        if op.updates is not None:
            self._update(eqn, result, operands)
        elif op.is_view:
            self._view(eqn, result, operands)
        else:
            self._compute(eqn, result, operands)

    def scalar(self, atom: Atom) -> str:
        """Return the text of an atom: of an index or a count, which is an int, NumPy's scalar."""
        text = self.operand(atom)
        return f"{self.bind(np.int64, 'int64')}({text})" if atom in self.indices else text

    def position(self, atom: Atom) -> str:
        if isinstance(atom, Literal) and atom.is_scalar and atom.type.dtype.kind in "iu":
            return str(int(atom.value))
        return self.operand(atom)

    def _view(self, eqn: Eqn, result: Value, operands: list[str]) -> None:
        text = eqn.op.emit(self, operands, None)
        # A whole integer index copies, and so may a reshape of memory that is not in C order.
        lasting = bool(result.type.shape) and (
            eqn.operands[0].layout is None or not isinstance(eqn.op, Reshape)
        )
        fixed = len(operands) == 1 and result.type.is_static and not symbols_in(eqn.op)
        if lasting and operands[0] in self.static and fixed:
            name = self.name(result)
            self.setup.append(f"{name} = {text}")
            self.static[name] = None
            return
        self.line(f"{self.name(result)} = {text}", eqn.provenance, eqn.op.name)

    def _update(self, eqn: Eqn, result: Value, operands: list[str]) -> None:
        position = eqn.op.updates or 0
        base = eqn.operands[position]
        cells = self.plan.cells
        cell = cells[result]
        if not (isinstance(base, Value) and cells.get(base) is cell):
            name = self.name(result)
            if cell.home is Home.SLOT or cell.pinned:
                self.line(f"copyto({name}, {operands[position]})", eqn.provenance, eqn.op.name)
            elif cell.home is Home.STACK:
                self.row(cell.stack, name)
                self.line(f"copyto({name}, {operands[position]})", eqn.provenance, eqn.op.name)
            else:
                order = "" if result.layout is None else "'K'"
                text = f"{name} = {operands[position]}.copy({order})"
                self.line(text, eqn.provenance, eqn.op.name)
        name = self.name(result)
        operands = [name if k == position else o for k, o in enumerate(operands)]
        self.line(eqn.op.emit(self, operands, name), eqn.provenance, eqn.op.name)

    def row(self, stack: Value | None, name: str) -> None:
        assert stack is not None
        self.line(f"{name} = {self.name(stack)}[{self.counter}]")

    def _compute(self, eqn: Eqn, result: Value, operands: list[str]) -> None:
        op = eqn.op
        cell = self.plan.cells.get(result)
        name = self.name(result)
        if cell is None or not result.type.shape or not op.has_out:
            self.line(f"{name} = {op.emit(self, operands, None)}", eqn.provenance, op.name)
            return
        if cell.home is Home.STACK:
            self.row(cell.stack, name)
        elif cell.home is not Home.SLOT and not self._exists(eqn, cell):
            self.line(f"{name} = {op.emit(self, operands, None)}", eqn.provenance, op.name)
            return
        self.line(op.emit(self, operands, name), eqn.provenance, op.name)

    def _exists(self, eqn: Eqn, cell: Any) -> bool:
        """Whether the memory of a FRESH or NUMPY cell is there: a carry's, or taken over."""
        if cell.pinned:
            return True
        return any(isinstance(a, Value) and self.plan.cells.get(a) is cell for a in eqn.operands)


__all__ = ["Source", "emit", "make_array"]

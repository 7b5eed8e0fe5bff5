"""What a writer knows while it writes: variables and constants, memory, operands, open loops."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..ir.binding import lone_symbol
from ..ir.core import Atom, Eqn, Literal, Provenance, Value, reads
from ..ir.dims import Dim, Size, Symbol, substitute
from ..ir.plan import Home, Plan
from ..ir.types import ArrayType, Layout
from .arithmetic import KINDS
from .frames import Frame, Frames, Line
from .numbers import is_number, python_numbers
from .recycle import WORTH, Shelf

_NAME = re.compile(r"\W")
_BUILTINS = [
    "abs",
    "bool",
    "enumerate",
    "float",
    "int",
    "len",
    "list",
    "memoryview",
    "range",
    "reversed",
    "zip",
]


def make_array(
    shape: tuple[int, ...], dtype: np.dtype, strides: Layout = None, buffer: Any = None
) -> np.ndarray:
    """Return an uninitialised array with given strides, in `buffer` or in memory of its own."""
    if buffer is None:
        if strides is None:
            return np.empty(shape, dtype)
        buffer = np.empty(max(int(np.prod(shape)), 1) * dtype.itemsize, np.uint8)
    return np.ndarray(shape, dtype, buffer, 0, strides)


class Scope:
    """The state of a writer, and the pieces that all that is written is made of."""

    def __init__(self, plan: Plan, exact: bool, numbers: bool) -> None:
        self.plan = plan
        self.constants: dict[str, Any] = {"empty": np.empty, "copyto": np.copyto}
        self.bound: dict[Any, str] = {}
        self.names: dict[Value, str] = {}
        self.cells: dict[Any, str] = {}
        self.taken: set[str] = {"ws", "run", "workspace", "empty", "copyto", "np", *_BUILTINS}
        self.numbers: dict[str, int] = {}
        self.setup: list[str] = []
        self.static: dict[str, None] = {}
        self.slot_views: dict[Any, str] = {}
        self.alike: dict[str, list[tuple[str, int]]] = {}
        """The views of slots with their slots, by what makes them."""
        self.body: list[Line] = []
        self.indent = 1
        self.dims: dict[Symbol, str] = {}
        self.held: set[Value] = set(python_numbers(plan.function, exact)) if numbers else set()
        self.has_numbers = bool(self.held)
        self.holds_numbers = numbers
        self.exact = exact
        self.aliases: dict[Atom, Atom] = {}
        self.integers: dict[Atom, Size] = {}
        self.producers: dict[Value, Eqn] = {}
        self.texts: dict[str, Atom] = {}
        self.functions: dict[str, str] = {}
        self.uses: dict[Value, int] = {}
        self.boxes: dict[Value, str] = {}
        self.prepared: dict[str, str] = {}
        self.waiting: dict[Value, Eqn] = {}
        self.moving: set[str] = set()
        self.read = reads(plan.function)
        self.frames = Frames()
        self.shelves: dict[int, Shelf] = {}
        self.passing: set[str] = set()
        """Variables with copies that a statement or two need."""

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
        """Return source for a dim's value, which may stand in any expression."""
        text = self.extent(dim)
        return text if text.isidentifier() or text.isdecimal() else f"({text})"

    def extent(self, dim: Size) -> str:
        """Return source for a dim's value, which may stand between brackets or commas."""
        if not isinstance(dim, Dim):
            return str(dim)
        if lone_symbol(dim) in self.dims:
            return self.dims[lone_symbol(dim)]  # type: ignore[index]
        named: dict[Symbol, Size] = {s: Dim.of(Symbol(n)) for s, n in self.dims.items()}
        return str(substitute(dim, named))

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
            form = f"{make}({type.shape}, {dtype}, {layout}, "
            self.alike.setdefault(form, []).append((known, slot))
            self.static[known] = None
        return known

    def lent(self, result: Atom, layout: Layout) -> str | None:
        """Return source for recycled memory of a result, None where NumPy's own is as good."""
        type = result.type
        if type.nbytes < WORTH or not type.is_static or self.functions or self.frames.depth:
            return None
        shelf = self.shelves.get(type.nbytes)
        if shelf is None:
            shelf = self.shelves[type.nbytes] = Shelf(type.nbytes)
        return f"{self.bind(shelf.lender(type, layout), 'recycled')}()"

    def allocate(self, name: str, result: Value) -> None:
        """Give a variable memory of its own for a result."""
        memory = self.lent(result, result.layout)
        if memory is None:
            shape = f"({', '.join(self.size(d) for d in result.type.shape)},)"
            dtype = self.bind(result.type.dtype, str(result.type.dtype))
            if result.layout is None:
                memory = f"empty({shape}, {dtype})"
            else:
                memory = f"{self.bind(make_array, 'make_array')}({shape}, {dtype}, {result.layout})"
        self.line(f"{name} = {memory}")

    def atom(self, operand: str) -> Atom | None:
        """Return what an operand's source text stands for, None where that is not known."""
        return self.texts.get(operand)

    def resolved(self, atom: Atom) -> Atom:
        """Return the literal that a parameter of a region stands for, or the atom itself."""
        return self.aliases.get(atom, atom)

    def operand(self, atom: Atom, *, in_array_op: bool = False) -> str:
        """Return source for an operand: an array, or a scalar of NumPy's."""
        atom = self.resolved(atom)
        if isinstance(atom, Value):
            if in_array_op and not atom.type.shape and self.frames.depth:
                return self._boxed(atom)
            text = self.name(atom)
            if atom in self.held:
                return f"{self.bind(atom.type.dtype.type, str(atom.type.dtype))}({text})"
            return text
        if in_array_op and atom.is_scalar:
            # A 0-d array skips the conversion that a scalar costs in every ufunc call.
            key = ("0d", atom)
            known = self.bound.get(key)
            if known is None:
                known = self.bound[key] = self.fresh("c")
                self.constants[known] = np.asarray(atom.value)
            return known
        return self._literal(atom)

    def scalar(self, atom: Atom) -> str:
        """Return source for an operand that is read as a scalar of NumPy's."""
        return self.operand(atom)

    def number(self, atom: Atom) -> str:
        """Return source for a scalar as a Python number."""
        atom = self.resolved(atom)
        if isinstance(atom, Literal):
            return self._plain(atom)
        text = self.name(atom)
        if atom not in self.held:
            return f"{KINDS[atom.type.dtype].__name__}({text})"
        return text if text.isidentifier() or text.isdecimal() else f"({text})"

    def either(self, atom: Atom) -> str:
        """Return source for an operand that may be of NumPy or Python: what it is held as."""
        atom = self.resolved(atom)
        if isinstance(atom, Literal):
            return self._plain(atom) if is_number(atom) else self._literal(atom)
        return self.name(atom)

    def position(self, atom: Atom) -> str:
        """Return source for an operand that stands in an index or a range."""
        atom = self.resolved(atom)
        if isinstance(atom, Literal) and atom.is_scalar and atom.type.dtype.kind in "iu":
            return str(int(atom.value))
        return self.either(atom)

    def _plain(self, literal: Literal) -> str:
        value = literal.value.item()
        if isinstance(value, complex) or (isinstance(value, float) and not math.isfinite(value)):
            key = ("python", str(value))
            known = self.bound.get(key)
            if known is None:
                known = self.bound[key] = self.fresh("k")
                self.constants[known] = value
            return known
        text = repr(value)
        return f"({text})" if text.startswith("-") else text

    def _boxed(self, atom: Value) -> str:
        """Return a 0-d array with a scalar that an array op in a loop reads.

        A ufunc takes 0.33 µs with one and 0.61 with a scalar; storing the scalar takes 0.05.
        """
        text = self.name(atom)
        level = self.frames.depth_of(text)
        dtype = self.bind(atom.type.dtype, str(atom.type.dtype))
        if level < self.frames.depth:
            array = self.bind(np.array, "array")
            return self.prepare(level, f"{array}({text}, {dtype})", "c")
        box = self.boxes.get(atom)
        if box is None:
            box = self.boxes[atom] = self.fresh("c")
            self.setup.append(f"{box} = empty((), {dtype})")
            self.static[box] = None
        self.line(f"{box}[()] = {text}")
        return box

    def _literal(self, atom: Literal) -> str:
        known = self.bound.get(atom)
        if known is None:
            known = self.bound[atom] = self.fresh("k")
            self.constants[known] = atom.value
        return known

    # -- lines -------------------------------------------------------------------------------------

    def line(self, text: str, provenance: Provenance | None = None, op: str = "") -> None:
        """Write a line of the program."""
        self.frames.note(text)
        self.body.append(("    " * self.indent + text, provenance, op))

    @contextmanager
    def nested(self) -> Generator[None, None, None]:
        """Write the body of a function within the program: nothing of it is prepared outside."""
        frames, self.frames = self.frames, Frames()
        self.indent += 1
        yield
        self.indent -= 1
        self.frames = frames

    # -- loops -------------------------------------------------------------------------------------

    def open_loop(self, counter: str, trips: int | None) -> Frame:
        """Start the body of a loop: lines go to its frame until `close_loop`."""
        frame = Frame(self.body, self.indent, counter, trips)
        self.frames.open.append(frame)
        self.body = []
        self.indent += 1
        return frame

    def close_loop(self) -> list[Line]:
        """End the body of a loop: write what was prepared before it, and return its lines."""
        frame = self.frames.open.pop()
        lines, self.body, self.indent = self.body, frame.outer, frame.indent
        self.body += frame.before
        return lines

    def prepare(self, depth: int, text: str, hint: str, static: bool = False) -> str:
        """Return a variable with a value that is computed before the loop at `depth`.

        With `static` it is made with the workspace, where what it reads is.
        """
        frame = self.frames.open[depth]
        prepared = self.prepared if static else frame.prepared
        known = prepared.get(text)
        if known is None:
            known = prepared[text] = self.fresh(hint)
            if static:
                self.setup.append(f"{known} = {text}")
                self.static[known] = None
            else:
                frame.before.append(("    " * frame.indent + f"{known} = {text}", None, ""))
            self.frames.bound(known, 0 if static else depth)
        return known

    @property
    def counter(self) -> str:
        """The position in the stacks of the innermost loop."""
        frame = self.frames.open[-1]
        frame.is_counted = True
        return frame.counter

    def is_static(self, name: str) -> bool:
        """Whether a variable is bound to memory of the workspace, always the same."""
        return name in self.static and name not in self.moving

    def row(self, stack: Value | None, name: str) -> None:
        """Let a variable be the row of a stack."""
        assert stack is not None
        self.line(f"{name} = {self.name(stack)}[{self.counter}]")


__all__ = ["Scope", "make_array"]

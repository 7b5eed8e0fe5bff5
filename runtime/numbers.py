"""Which values a program holds as Python's numbers: those without axes in loops and recursions.

A value of float64, int64, bool or complex128 that is made in a loop is a Python number where
Python's arithmetic (`arithmetic.py`) makes it, where it is an element of an array, and where it is
carried. What NumPy makes (a dot product) is converted once, where some Python arithmetic reads it.
What a recursive function takes and returns are Python numbers too. Outside of loops and recursions
all scalars are NumPy's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..ir.core import Atom, Eqn, Function, Value
from ..ir.op import Elementwise
from ..ir.ops.cond import Cond
from ..ir.ops.control import Loop
from ..ir.ops.dynamic import Extent
from ..ir.ops.index import Index, IndexAdd, IndexUpdate
from ..ir.ops.recursion import Recur, Recursion, Unpack
from ..ir.ops.tape import TapePop, is_typed
from .arithmetic import KINDS, Formula, formula

MILD = frozenset({"ignore", "warn"})
"""How NumPy may treat errors where sums and products need not tell of them."""


def python_numbers(function: Function, exact: bool) -> frozenset[Value]:
    """Return the values of a planned function that are held as Python's numbers."""
    scan = _Scan(exact)
    scan.outside([function])
    return frozenset(scan.held)


def is_number(atom: Atom) -> bool:
    """Whether a value has a Python number for each of its values."""
    return not atom.type.shape and atom.type.dtype in KINDS


def reads_element(eqn: Eqn) -> bool:
    """Whether an equation reads one element of an array."""
    op = eqn.op
    return (
        isinstance(op, Index)
        and not op.gather
        and bool(eqn.operands[0].type.shape)
        and is_number(eqn.results[0])
    )


def arithmetic(eqn: Eqn, exact: bool) -> Formula | None:
    """Return how Python writes an equation of numbers, None where it stays NumPy's."""
    if len(eqn.results) != 1 or not is_number(eqn.results[0]):
        return None
    if eqn.provenance.errors and not MILD.issuperset(eqn.provenance.errors.values()):
        return None  # the function has its errors raise
    return formula(eqn.op, eqn.operands, exact)


class _Scan:
    """First what Python's arithmetic reads, innermost and last first; then what is held."""

    def __init__(self, exact: bool) -> None:
        self.exact = exact
        self.held: set[Value] = set()
        self.wanted: set[Atom] = set()

    def outside(self, functions: Sequence[Function]) -> None:
        for eqn in [e for f in functions for e in f.eqns]:
            op = eqn.op
            if isinstance(op, Loop):
                self.want_loop(eqn, op)
                self.hold_loop(eqn, op, is_outermost=True)
            elif isinstance(op, Recursion):
                self.want_recursion(eqn, op)
                self.hold_recursion(op)
            elif op.regions:
                self.outside(op.regions)

    # -- what is read ------------------------------------------------------------------------------

    def want(self, atoms: Iterable[Atom]) -> None:
        self.wanted.update(a for a in atoms if is_number(a))

    def want_block(self, eqns: Sequence[Eqn]) -> None:
        for eqn in reversed(eqns):
            op = eqn.op
            if isinstance(op, Loop):
                self.want_loop(eqn, op)
            elif isinstance(op, Cond):
                self.want(eqn.operands[:1])
                for branch in op.branches:
                    self.want(branch.results)
                    self.want_block(branch.eqns)
                    self.pass_on(branch.params, eqn.operands[1:])
            elif isinstance(op, Recursion):
                self.want_recursion(eqn, op)
            elif isinstance(op, Recur):
                self.want(eqn.operands)
            elif op.regions:
                self.outside(eqn.op.regions)
            elif self.is_arithmetic(eqn):
                self.want(eqn.operands)
            elif isinstance(op, Index | IndexUpdate | IndexAdd):
                self.want(eqn.operands[1:])

    def want_loop(self, eqn: Eqn, op: Loop) -> None:
        head = 1 if op.ranged else 0
        self.want(eqn.operands[: op.head + op.carries])
        for region in op.regions:
            self.want(region.results)
            self.want_block(region.eqns)
            first = head + op.carries
            self.pass_on(region.params[first:], eqn.operands[op.head + op.carries :])

    def want_recursion(self, eqn: Eqn, op: Recursion) -> None:
        self.want(eqn.operands)
        self.want(op.body.results)
        self.want_block(op.body.eqns)

    def pass_on(self, params: Sequence[Value], operands: Sequence[Atom]) -> None:
        self.want(a for p, a in zip(params, operands, strict=True) if p in self.wanted)

    def is_arithmetic(self, eqn: Eqn) -> bool:
        return arithmetic(eqn, self.exact) is not None

    # -- what is held ------------------------------------------------------------------------------

    def hold_block(self, eqns: Sequence[Eqn]) -> None:
        for eqn in eqns:
            op = eqn.op
            if isinstance(op, Loop):
                self.hold_loop(eqn, op, is_outermost=False)
            elif isinstance(op, Cond):
                self.held.update(r for r in eqn.results if is_number(r))
                for branch in op.branches:
                    self.hold_params(branch.params, eqn.operands[1:])
                    self.hold_block(branch.eqns)
            elif isinstance(op, TapePop):
                if is_number(eqn.results[1]) and is_typed(eqn.operands[0].type.dtype):
                    self.held.add(eqn.results[1])
            elif isinstance(op, Recursion | Recur | Unpack):
                self.held.update(r for r in eqn.results if is_number(r))
                if isinstance(op, Recursion):
                    self.hold_recursion(op)
            elif op.regions:
                pass
            elif len(eqn.results) == 1 and is_number(eqn.results[0]):
                result = eqn.results[0]
                makes = isinstance(op, Extent) or reads_element(eqn) or self.is_arithmetic(eqn)
                if makes or (result in self.wanted and not op.binds):
                    self.held.add(result)

    def hold_recursion(self, op: Recursion) -> None:
        self.held.update(p for p in op.body.params if is_number(p))
        self.hold_block(op.body.eqns)

    def hold_params(self, params: Sequence[Value], operands: Sequence[Atom]) -> None:
        self.held.update(p for p, a in zip(params, operands, strict=True) if a in self.held)

    def hold_loop(self, eqn: Eqn, op: Loop, *, is_outermost: bool) -> None:
        head = 1 if op.ranged else 0
        first = head + op.carries
        for region in op.regions:
            self.held.update(p for p in region.params[:first] if is_number(p))
            params, operands = region.params[first:], eqn.operands[op.head + op.carries :]
            if is_outermost:
                self.held.update(p for p in params if p in self.wanted)
            else:
                self.hold_params(params, operands)
            self.hold_block(region.eqns)
        if not is_outermost:
            self.held.update(r for r in eqn.results[: op.carries] if is_number(r))


def takes_python_floats(eqn: Eqn) -> bool:
    """Whether a function of NumPy gives the same scalar for Python's floats as for its own."""
    op = eqn.op
    return (
        isinstance(op, Elementwise)
        and op.infix is None
        and all(KINDS.get(a.type.dtype) is float for a in eqn.operands)
    )


__all__ = [
    "MILD",
    "arithmetic",
    "is_number",
    "python_numbers",
    "reads_element",
    "takes_python_floats",
]

"""Writes a planned function as straight-line Python that calls NumPy.

The source has two functions: `workspace()` makes the slots, typed as the program uses them, and the
views of them that never change; `run(ws, ...)` is the program. Constants are globals of the source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..ir.binding import lone_symbol
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.dims import Symbol
from ..ir.ops.cond import Cond
from ..ir.ops.control import Fused, Loop
from ..ir.ops.recursion import Pack, Recur, Recursion, Unpack
from ..ir.ops.tape import TapePop, TapePush, fork
from ..ir.plan import Fresh, Plan
from ..ir.types import Kind, is_tape
from .emit_cond import emit_cond
from .emit_equation import emit_equation
from .emit_loop import emit_loop
from .emit_recursion import emit_call, emit_pack, emit_recursion, emit_unpack
from .emit_results import Results
from .emit_tape import emit_tape
from .emit_tiles import emit_tiles
from .merging import merge
from .scope import Scope
from .source import Source, assemble


def emit(
    plan: Plan,
    owned: frozenset[int] = frozenset(),
    fresh: Mapping[int, Fresh] = MappingProxyType({}),
    exact: bool = False,
    numbers: bool = True,
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
    exact
        Whether results have NumPy's bits.
    numbers
        Whether scalars in loops are Python's numbers, whose sums and products do not warn.
    """
    return Writer(plan, owned, fresh, exact, numbers).write()


class Writer(Scope):
    """Implements `ir.op.Emitter`."""

    def __init__(
        self,
        plan: Plan,
        owned: frozenset[int],
        fresh: Mapping[int, Fresh],
        exact: bool = False,
        numbers: bool = True,
    ) -> None:
        super().__init__(plan, exact, numbers)
        self.owned = owned
        self.fresh_results = fresh

    def base(self, value: Atom) -> Atom:
        """Return the value in whose memory another lies."""
        return Results(self).base(value)

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
        self.block(function.eqns, function.results)
        results = Results(self).text(function)
        self.line(f"return {results}")
        return assemble(self, names)

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

    def block(self, eqns: Sequence[Eqn], results: Sequence[Atom] | None = None) -> None:
        """Write the equations of a function or region, which returns `results`."""
        if results is not None:
            merge(self, eqns, results)
        for eqn in eqns:
            # The memory of what regions read counts twice, so that it gets a name.
            weight = 2 if eqn.op.regions else 1
            for operand in eqn.operands:
                if isinstance(operand, Value):
                    self.uses[operand] = self.uses.get(operand, 0) + weight
            for result in eqn.results:
                self.producers[result] = eqn
        for eqn in eqns:
            if len(eqn.results) == 1 and eqn.results[0] in self.waiting:
                continue
            self.equation(eqn)

    def equation(self, eqn: Eqn) -> None:
        """Write one equation."""
        write = _WRITERS.get(eqn.op.__class__)
        if write is not None:
            write(self, eqn, eqn.op)
            return
        emit_equation(self, eqn)
        if eqn.op.binds:
            self._bind_results(eqn)


def _recur(writer: Writer, eqn: Eqn, op: Recur) -> None:
    emit_call(writer, eqn, writer.functions[op.label], op.carries)


_WRITERS: dict[type, Callable[[Writer, Eqn, Any], None]] = {
    Loop: emit_loop,
    Cond: emit_cond,
    Fused: emit_tiles,
    Recursion: emit_recursion,
    Recur: _recur,
    Pack: emit_pack,
    Unpack: emit_unpack,
    TapePush: emit_tape,
    TapePop: emit_tape,
}
"""Ops that have a writer of their own."""

__all__ = ["Source", "emit"]

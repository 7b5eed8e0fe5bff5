"""Which variables a loop or branch has to carry: a driver runs its body out of order.

In ::

    for i in range(n):
        t = a[i] * s
        s = s + t

`s`, `t` and `i` are assigned. Only `s` is carried: its value is read in the next iteration, and
nobody reads `t` before it is assigned again.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

from .exit_scan import is_endless
from .exits import flag_of
from .flow import (
    Block,
    Branch,
    Case,
    Exit,
    Exits,
    Guarded,
    Loop,
    Match,
    Notes,
    Part,
    Straight,
    Try,
    after,
    before,
)
from .reads import Reader, argument_names
from .scope import bound_names, pattern_names, target_names

# Their `__exit__` lets exceptions pass.
_PASSING = frozenset({"catch_warnings", "errstate", "nullcontext", "open", "printoptions"})
_BREAKS, _CONTINUES, _RETURNS, _RAISES = range(4)


class Names(NamedTuple):
    """The variables of a function at one of its loops or branches, in a fixed order.

    Parameters
    ----------
    assigned
        Bound, rebound or deleted somewhere in the statement.
    carried
        Those of them whose values are read after it, or on entry: of an iteration in a loop,
        of a branch in an `if`.
    live_after
        Read after the statement, or by a function that may be called then.
    rebound
        Those of `carried` that are bound by something other than `name op= value`.
    definite
        Certainly bound before the statement.
    """

    assigned: tuple[str, ...]
    carried: tuple[str, ...]
    live_after: tuple[str, ...]
    rebound: tuple[str, ...]
    definite: frozenset[str]


def analyse(node: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[ast.stmt, Names]:
    """Return the names of each loop and branch of `node`, those of functions in it aside.

    Names are as in the source: private ones are not mangled.
    """
    builder = _Builder()
    reader, bits = builder.reader, builder.reader.bits
    parameters = bits.of(argument_names(node.args))
    body = builder.block(node.body)
    before(body, 0, Exits(), True)
    after(body, parameters, builder.gone | reader.deleted)

    reader.outside &= ~builder.declared
    local = (parameters | builder.assigned | reader.outside) & ~builder.declared
    name_of = {bit: name for name, bit in bits.items()}
    known: dict[int, tuple[str, ...]] = {}

    def names(mask: int) -> tuple[str, ...]:
        found = known.get(mask)
        if found is None:
            rest, listed = mask, []
            while rest:
                low = rest & -rest
                listed.append(name_of[low])
                rest ^= low
            found = known[mask] = tuple(listed)
        return found

    result: dict[ast.stmt, Names] = {}
    for notes in builder.notes:
        # A function that is called anywhere may rebind what it declares nonlocal.
        assigned = (notes.assigned | reader.outside) & local
        live_after = (notes.live_after | reader.cells) & local
        carried = assigned & (notes.head | live_after)
        result[notes.node] = Names(
            names(assigned),
            names(carried),
            names(live_after),
            names(carried & (notes.rebound | reader.outside)),
            frozenset(names(notes.defined & local)),
        )
    return result


class _Builder:
    """Makes the control flow of a function from its statements."""

    def __init__(self) -> None:
        self.reader = Reader()
        self.notes: list[Notes] = []
        self.assigned = 0  # of the statement around, until it is complete
        self.rebound = 0
        self.gone = 0
        self.declared = 0  # global or nonlocal

    def block(self, body: Sequence[ast.stmt]) -> Block:
        parts: list[Part] = []
        for statement in body:
            self._PARTS.get(type(statement), _Builder._other)(self, statement, parts)
        return parts

    # --- Runs of statements -----------------------------------------------------------------

    def _run(self, parts: list[Part]) -> Straight:
        last = parts[-1] if parts else None
        if not isinstance(last, Straight):
            last = Straight()
            parts.append(last)
        return last

    def _reading(self, *nodes: ast.AST | None) -> tuple[int, int]:
        """Return what `nodes` read, and what they certainly bind by `:=`."""
        reader = self.reader
        gen = reader.reads(*nodes)
        if not reader.walrus:
            return gen, 0
        self._bind(reader.walrus)
        gen, kill = reader.ordered(*nodes)
        reader.walrus = 0
        return gen, kill

    def _bind(self, mask: int) -> int:
        self.assigned |= mask
        self.rebound |= mask
        return mask

    def _targets(self, *targets: ast.expr | None) -> int:
        mask = 0
        for target in targets:
            if isinstance(target, ast.Name):
                mask |= self.reader.bits[target.id]
            elif target is not None:
                mask |= self.reader.bits.of(target_names(target))
        return self._bind(mask)

    def _expression(self, node: ast.Expr, parts: list[Part]) -> None:
        self._run(parts).then(*self._reading(node.value))

    def _assign(self, node: ast.Assign, parts: list[Part]) -> None:
        gen, kill = self._reading(node.value, *node.targets)
        self._run(parts).then(gen, kill | self._targets(*node.targets))

    def _annotated(self, node: ast.AnnAssign, parts: list[Part]) -> None:
        if node.value is not None:
            gen, kill = self._reading(node.value, node.target)
            self._run(parts).then(gen, kill | self._targets(node.target))

    def _augmented(self, node: ast.AugAssign, parts: list[Part]) -> None:
        target = node.target
        if not isinstance(target, ast.Name):
            self._run(parts).then(*self._reading(target, node.value))
            return
        gen, kill = self._reading(node.value)
        bit = self.reader.bits[target.id]
        self.assigned |= bit
        self._run(parts).then(gen | bit, kill | bit)

    def _delete(self, node: ast.Delete, parts: list[Part]) -> None:
        gen, kill = self._reading(*node.targets)
        gone = self._targets(*node.targets)
        self.gone |= gone
        # What is deleted must be there.
        self._run(parts).then(gen | gone, kill | gone, gone)

    def _other(self, node: ast.stmt, parts: list[Part]) -> None:
        gen, kill = self._reading(*ast.iter_child_nodes(node))
        bound = self._bind(self.reader.bits.of(bound_names(node)))
        self._run(parts).then(gen, kill | bound)

    def _definition(self, node: Any, parts: list[Part]) -> None:
        gen = self.reader.definition(node)
        self._run(parts).then(gen, self._bind(self.reader.bits[node.name]))

    def _declaration(self, node: ast.Global | ast.Nonlocal, parts: list[Part]) -> None:
        self.declared |= self.reader.bits.of(node.names)

    def _return(self, node: ast.Return, parts: list[Part]) -> None:
        self._run(parts).then(*self._reading(node.value))
        parts.append(Exit(_RETURNS))

    def _raise(self, node: ast.Raise, parts: list[Part]) -> None:
        self._run(parts).then(*self._reading(node.exc, node.cause))
        parts.append(Exit(_RAISES))

    # --- Statements that hold others --------------------------------------------------------

    def _inside(self, node: ast.stmt) -> tuple[Notes, int, int]:
        notes = Notes(node)
        self.notes.append(notes)
        outer = notes, self.assigned, self.rebound
        self.assigned = self.rebound = 0
        return outer

    def _outside(self, notes: Notes, assigned: int, rebound: int) -> None:
        notes.assigned, notes.rebound = self.assigned, self.rebound
        self.assigned |= assigned
        self.rebound |= rebound

    def _if(self, node: ast.If, parts: list[Part]) -> None:
        notes, *outer = self._inside(node)
        test = Straight(*self._reading(node.test))
        parts.append(Branch(notes, test, self.block(node.body), self.block(node.orelse)))
        self._outside(notes, *outer)

    def _loop(self, node: Any, parts: list[Part]) -> None:
        notes, *outer = self._inside(node)
        entry, test, bound = Straight(), Straight(), Straight()
        if isinstance(node, ast.While):
            test.then(*self._reading(node.test))
        else:
            entry.then(*self._reading(node.iter))
            gen, kill = self._reading(node.target)
            bound.then(gen, kill | self._targets(node.target))
        name = flag_of(node)
        flag = 0 if name is None else self.reader.bits[name]
        body, orelse = self.block(node.body), self.block(node.orelse)
        ends = not is_endless(node)
        parts.append(Loop(notes, entry, test, bound, body, orelse, flag, ends))
        self._outside(notes, *outer)

    def _with(self, node: Any, parts: list[Part]) -> None:
        inside = parts
        for item in node.items:
            self._run(inside).then(*self._reading(item.context_expr))
            function = item.context_expr
            if isinstance(function, ast.Call):
                function = function.func
            name = getattr(function, "attr", getattr(function, "id", None))
            if name not in _PASSING:
                block: list[Part] = []
                inside.append(Guarded(block))
                inside = block
            if item.optional_vars is not None:
                gen, kill = self._reading(item.optional_vars)
                self._run(inside).then(gen, kill | self._targets(item.optional_vars))
        inside.extend(self.block(node.body))

    def _try(self, node: Any, parts: list[Part]) -> None:
        body, handlers = self.block(node.body), []
        for handler in node.handlers:
            own = self._targets(ast.Name(handler.name)) if handler.name else 0
            self.gone |= own
            entry = Straight(*self._reading(handler.type))
            entry.then(0, own)
            handlers.append([entry, *self.block(handler.body), Straight(0, own, own)])
        orelse, final = self.block(node.orelse), self.block(node.finalbody)
        parts.append(Try(body, handlers, orelse, final))

    def _match(self, node: ast.Match, parts: list[Part]) -> None:
        self._run(parts).then(*self._reading(node.subject))
        cases = []
        for case in node.cases:
            pattern, _ = self._reading(case.pattern)
            captures = self._bind(self.reader.bits.of(pattern_names(case.pattern)))
            guard = Straight(*self._reading(case.guard))
            cases.append(Case(pattern, captures, guard, self.block(case.body)))
        parts.append(Match(cases))

    _PARTS: ClassVar[dict[type[ast.stmt], Callable[[_Builder, Any, list[Part]], None]]] = {
        ast.Expr: _expression,
        ast.Assign: _assign,
        ast.AnnAssign: _annotated,
        ast.AugAssign: _augmented,
        ast.Delete: _delete,
        ast.FunctionDef: _definition,
        ast.AsyncFunctionDef: _definition,
        ast.ClassDef: _definition,
        ast.Global: _declaration,
        ast.Nonlocal: _declaration,
        ast.Return: _return,
        ast.Raise: _raise,
        ast.Break: lambda self, node, parts: parts.append(Exit(_BREAKS)),
        ast.Continue: lambda self, node, parts: parts.append(Exit(_CONTINUES)),
        ast.If: _if,
        ast.For: _loop,
        ast.AsyncFor: _loop,
        ast.While: _loop,
        ast.With: _with,
        ast.AsyncWith: _with,
        ast.Try: _try,
        ast.TryStar: _try,
        ast.Match: _match,
    }

"""Which variables an expression reads, as bits of an int: one bit for each name."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from .scope import Scope, target_names

# They see all variables.
_FRAME_BUILTINS = frozenset({"locals", "vars", "dir", "eval", "exec"})
# They are done with a generator when they return.
_CONSUMERS = frozenset(
    {"all", "any", "dict", "frozenset", "list", "max", "min", "set", "sorted", "sum", "tuple"}
)
_COMPREHENSIONS = frozenset({ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp})


class Bits(dict[str, int]):
    """The bit of each name, numbered as they are met."""

    def __missing__(self, name: str) -> int:
        bit = self[name] = 1 << len(self)
        return bit

    def of(self, names: Iterable[str]) -> int:
        """Return the bits of all `names`."""
        mask = 0
        for name in names:
            mask |= self[name]
        return mask


class Reader:
    """Collects what the expressions of one function read.

    Functions and generators made by the function read its variables whenever they run: those
    names are in `cells`. What such a function rebinds (`nonlocal`) is in `outside`, what it
    deletes also in `deleted`, and the targets of `:=` are added to `walrus`.
    """

    def __init__(self) -> None:
        self.bits = Bits()
        self.cells = 0
        self.outside = 0
        self.deleted = 0
        self.walrus = 0

    def reads(self, *nodes: ast.AST | None) -> int:
        """Return the names that are read where `nodes` are evaluated."""
        mask = 0
        bits = self.bits
        waiting: list[Any] = [*nodes]
        add, extend = waiting.append, waiting.extend
        while waiting:
            node = waiting.pop()
            kind = node.__class__
            if kind is ast.Name:
                if node.ctx.__class__ is ast.Load:
                    mask |= bits[node.id]
            elif kind is ast.Constant or node is None:
                continue
            elif kind is ast.BinOp:
                add(node.right)
                add(node.left)
            elif kind is ast.Attribute or kind is ast.Starred:
                add(node.value)
            elif kind is ast.Subscript:
                add(node.slice)
                add(node.value)
            elif kind is ast.Call:
                mask |= self._call(node, waiting)
            elif kind is ast.Tuple or kind is ast.List:
                extend(node.elts)
            elif kind is ast.Compare:
                extend(node.comparators)
                add(node.left)
            elif kind is ast.UnaryOp:
                add(node.operand)
            elif kind is ast.Slice:
                extend((node.lower, node.upper, node.step))
            elif kind is ast.NamedExpr:
                self.walrus |= bits[node.target.id]
                add(node.value)
            elif kind in _COMPREHENSIONS:
                mask |= self._comprehension(node, is_done=kind is not ast.GeneratorExp)
            elif kind is ast.Lambda:
                mask |= self._lambda(node)
            else:
                extend(ast.iter_child_nodes(node))
        return mask

    def _call(self, node: ast.Call, waiting: list[Any]) -> int:
        mask = 0
        function, arguments = node.func, node.args
        if isinstance(function, ast.Name):
            if function.id in _FRAME_BUILTINS:
                mask = -1
            elif (
                len(arguments) == 1
                and isinstance(arguments[0], ast.GeneratorExp)
                and function.id in _CONSUMERS
            ):
                mask = self._comprehension(arguments[0], is_done=True)
                arguments = []
        waiting.extend([keyword.value for keyword in node.keywords])
        waiting.extend(arguments)
        waiting.append(function)
        return mask

    def _comprehension(self, node: Any, *, is_done: bool) -> int:
        """Return what a comprehension reads; unless it is done at once, it reads later."""
        first, *others = node.generators
        outer = self.reads(first.iter)
        own = 0
        inside: list[ast.AST | None] = [*first.ifs, first.target]
        for generator in node.generators:
            own |= self.bits.of(target_names(generator.target))
        for generator in others:
            inside += [generator.iter, generator.target, *generator.ifs]
        inside += [getattr(node, field, None) for field in ("elt", "key", "value")]
        cells, self.cells = self.cells, 0
        inner = self.reads(*inside) & ~own
        self.cells = cells | (self.cells & ~own)
        if not is_done:
            self.cells |= inner
        return outer | inner

    def _lambda(self, node: ast.Lambda) -> int:
        arguments = node.args
        now = self.reads(*arguments.defaults, *arguments.kw_defaults)
        own = self.bits.of(argument_names(arguments))
        cells, self.cells = self.cells, 0
        walrus, self.walrus = self.walrus, 0
        later = self.reads(node.body)
        self.cells = cells | ((self.cells | later) & ~(own | self.walrus))
        self.walrus = walrus
        return now

    def definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
        """Return what a definition reads where it stands; its body reads later."""
        bits = self.bits
        names = 0
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                if isinstance(inner.ctx, ast.Load):
                    names |= bits[inner.id]
                elif isinstance(inner.ctx, ast.Del):
                    self.deleted |= bits[inner.id]
            elif isinstance(inner, ast.Nonlocal):
                self.outside |= bits.of(inner.names)
        if isinstance(node, ast.ClassDef):
            # A method does not see the names of the class, so nothing is its own.
            self.cells |= names | self.outside
            return names
        scope = Scope(node, None)
        own = bits.of(scope.bound - scope.nonlocals)
        self.cells |= (names & ~own) | self.outside
        arguments = node.args
        return self.reads(
            *node.decorator_list,
            *arguments.defaults,
            *arguments.kw_defaults,
            *(argument.annotation for argument in all_arguments(arguments)),
            node.returns,
        )

    # --- In order of evaluation -------------------------------------------------------------

    def ordered(self, *nodes: ast.AST | None) -> tuple[int, int]:
        """Return what `nodes` read before they bind it by `:=`, and what they certainly bind."""
        gen = kill = 0
        for node in nodes:
            if node is not None:
                more, bound = self._ordered(node)
                gen |= more & ~kill
                kill |= bound
        return gen, kill

    def _ordered(self, node: ast.AST) -> tuple[int, int]:
        if isinstance(node, ast.NamedExpr):
            gen, kill = self._ordered(node.value)
            return gen, kill | self.bits[node.target.id]
        if isinstance(node, ast.BoolOp):
            return self._in_turn(node.values, certain=1)
        if isinstance(node, ast.Compare):
            return self._in_turn([node.left, *node.comparators], certain=2)
        if isinstance(node, ast.IfExp):
            gen, kill = self._ordered(node.test)
            then, bound = self._ordered(node.body)
            other, also = self._ordered(node.orelse)
            return gen | ((then | other) & ~kill), kill | (bound & also)
        is_scope = isinstance(node, ast.Lambda | ast.Dict) or type(node) in _COMPREHENSIONS
        if is_scope or isinstance(node, ast.Name):
            return self.reads(node), 0
        return self.ordered(*ast.iter_child_nodes(node))

    def _in_turn(self, nodes: list[ast.expr], certain: int) -> tuple[int, int]:
        """Evaluate `nodes` until one decides, the first `certain` ones in any case."""
        gen, kill = self.ordered(*nodes[:certain])
        reached = kill
        for node in nodes[certain:]:
            more, bound = self._ordered(node)
            gen |= more & ~reached
            reached |= bound
        return gen, kill


def all_arguments(arguments: ast.arguments) -> list[ast.arg]:
    """Return the parameters of a function."""
    stars = [star for star in (arguments.vararg, arguments.kwarg) if star is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *stars]


def argument_names(arguments: ast.arguments) -> list[str]:
    """Return the names of the parameters of a function."""
    return [argument.arg for argument in all_arguments(arguments)]

"""Puts drivers around loops and branches in a syntax tree.

Before, with hooks in its parts already::

    for i in range(n):
        x = x * y[i]

After::

    __pb_d1__ = __pb_for__(site, 7, 4, range(n))
    while __pb_d1__.go(__pb_locals__()):
        if __pb_d1__.unpack:
            (x, i) = __pb_d1__.values
            if __pb_d1__.missing:
                if 'i' in __pb_d1__.missing:
                    del i
        with __pb_d1__:
            i = __pb_d1__.item
            x = x * y[i]
    if __pb_d1__.unpack:
        (x, i) = __pb_d1__.values
        ...

`go` runs the body as often as it has to: in a trial that compiles it, again where a guess about the
variables was wrong, or for each element in turn. An `if` asks `__pb_d1__.then` which branch to run,
a `while` gives its test to `__pb_d1__.test`.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from .exit_scan import blocks
from .exits import flag_of, is_native
from .liveness import Names, analyse
from .nodes import placed
from .scope import mangled, target_names

DEEPEST = 8
"""Statements around one that gets a driver: a driver is two blocks, and Python nests 20."""

_LOAD, _STORE, _DEL = ast.Load(), ast.Store(), ast.Del()


class Staging:
    """The loops and branches of one function that get drivers."""

    def __init__(
        self, names: Mapping[ast.stmt, Names] | None = None, private: str | None = None
    ) -> None:
        self._names = names or {}
        self._private = private
        self._count = 0
        self._depth = 0

    @contextlib.contextmanager
    def deeper(self) -> Generator[None]:
        """Count a statement around those that are visited."""
        self._depth += 1
        yield
        self._depth -= 1

    @classmethod
    def of(cls, node: ast.FunctionDef | ast.AsyncFunctionDef, private: str | None) -> Staging:
        """Return the staging of a function, its exits removed."""
        if not _has_flow(node):
            return cls()
        return cls(analyse(node), private)

    def driver(self, node: ast.If | ast.For | ast.While) -> Statement | None:
        """Return the driver of a statement, None where it runs as plain Python does."""
        names = self._names.get(node)
        if names is None or is_native(node) or self._depth >= DEEPEST:
            return None
        self._count += 1
        return Statement(f"__pb_d{self._count}__", node, names, self._private)


def _has_flow(node: ast.AST) -> bool:
    """Whether there is a branch or loop among the statements in a node; expressions have none."""
    return isinstance(node, ast.If | ast.For | ast.While) or any(
        _has_flow(inner) for block in blocks(node) for inner in block
    )


class Statement:
    """The driver of one statement."""

    def __init__(
        self,
        name: str,
        node: ast.If | ast.For | ast.While,
        names: Names,
        private: str | None,
    ) -> None:
        self._name = name
        self._at: Any = {
            "lineno": node.lineno,
            "col_offset": node.col_offset,
            "end_lineno": node.lineno,
            "end_col_offset": node.col_offset,
        }
        self._variables = names.carried
        self._definite = names.definite
        targets: tuple[str, ...] = ()
        flag = None
        if not isinstance(node, ast.If):
            flag = flag_of(node)
        if isinstance(node, ast.For):
            targets = tuple(target_names(node.target))
        groups = (names.carried, names.rebound, names.live_after, targets)
        self._names, *others = [tuple([mangled(n, private) for n in group]) for group in groups]
        self._site: Any = (self._names, *others, flag)

    def loop(
        self, node: ast.For | ast.While, iterable: ast.expr | None, test: ast.expr | None
    ) -> list[ast.stmt]:
        """Return the statements of a `for` over `iterable`, or of a `while` with `test`."""
        at = self._at
        if isinstance(node, ast.For):
            assert iterable is not None
            made = self._made("__pb_for__", node, iterable)
            item = ast.Assign([node.target], self._attribute("item"), **at)
            body: list[ast.stmt] = [item, *node.body]
        else:
            assert test is not None
            made = self._made("__pb_while__", node)
            asked = ast.Call(self._attribute("test"), [test], [], **placed(test))
            body = [ast.If(asked, node.body, [], **at)]
        return [made, self._while([self._entered(body)]), *self._unpacked()]

    def branch(self, node: ast.If, condition: ast.expr) -> list[ast.stmt]:
        """Return the statements of an `if` on `condition`."""
        taken = [self._entered(node.body)]
        other = [self._entered(node.orelse or [ast.Pass(**self._at)])]
        choice = ast.If(self._attribute("then"), taken, other, **self._at)
        made = self._made("__pb_if__", node, condition)
        return [made, self._while([choice]), *self._unpacked()]

    # -- parts -------------------------------------------------------------------------------------

    def _made(self, hook: str, node: ast.stmt, *arguments: ast.expr) -> ast.stmt:
        at = self._at
        parts: tuple[Any, ...] = (self._site, node.lineno, node.col_offset)
        constants = [ast.Constant(v, **at) for v in parts]
        where = placed(arguments[0]) if arguments else at
        call = ast.Call(ast.Name(hook, _LOAD, **at), [*constants, *arguments], [], **where)
        return ast.Assign([ast.Name(self._name, _STORE, **at)], call, **at)

    def _attribute(self, name: str) -> ast.expr:
        at = self._at
        return ast.Attribute(ast.Name(self._name, _LOAD, **at), name, _LOAD, **at)

    def _while(self, body: list[ast.stmt]) -> ast.stmt:
        at = self._at
        names = ast.Call(ast.Name("__pb_locals__", _LOAD, **at), [], [], **at)
        test = ast.Call(self._attribute("go"), [names], [], **at)
        return ast.While(test, [*self._unpacked(), *body], [], **at)

    def _entered(self, body: Sequence[ast.stmt]) -> ast.stmt:
        item = ast.withitem(ast.Name(self._name, _LOAD, **self._at), None)
        return ast.With([item], list(body), **self._at)

    def _unpacked(self) -> list[ast.stmt]:
        """Return the statement that gives the variables the driver's values."""
        if not self._variables:
            return []
        at = self._at
        targets: list[ast.expr] = [ast.Name(n, _STORE, **at) for n in self._variables]
        target = ast.Tuple(targets, _STORE, **at)
        body: list[ast.stmt] = [ast.Assign([target], self._attribute("values"), **at)]
        unsure = [n for n in self._variables if n not in self._definite]
        if unsure:
            deletions = [self._deleted(n) for n in unsure]
            body.append(ast.If(self._attribute("missing"), deletions, [], **at))
        return [ast.If(self._attribute("unpack"), body, [], **at)]

    def _deleted(self, name: str) -> ast.stmt:
        at = self._at
        position = self._variables.index(name)
        shown = ast.Constant(self._names[position], **at)
        test = ast.Compare(shown, [ast.In()], [self._attribute("missing")], **at)
        return ast.If(test, [ast.Delete([ast.Name(name, _DEL, **at)], **at)], [], **at)


__all__ = ["Staging", "Statement"]

"""Removes `break`, `continue` and early `return`, so that loops and branches end where they end.

A driver can run a `for`, `while` or `if` of which control leaves at the end only. What leaves
earlier becomes a flag, or moves the statements that it skips into the other branch.

Before::

    def search(x, eps):
        if eps <= 0:
            return None
        for i in range(len(x)):
            if x[i] < 0:
                continue
            if x[i] < eps:
                return i
        return -1

After, where the loop also stops when `__pb_break_1__` is true::

    def search(x, eps):
        if eps <= 0:
            __pb_result__ = None
        else:
            __pb_returned__ = False
            __pb_break_1__ = False
            for i in range(len(x)):
                if x[i] < 0:
                    pass
                elif x[i] < eps:
                    __pb_result__ = i
                    __pb_returned__ = __pb_break_1__ = True
            if not __pb_returned__:
                __pb_result__ = -1
        return __pb_result__

The user's statements are moved, never copied. Exits inside of `try` and `match` stay Python's,
and so do the loops and branches that they leave: those are marked as native.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .exit_scan import (
    BREAKS,
    CONTINUES,
    FALLS,
    LEAVES,
    LEAVES_NATIVELY,
    RETURNS,
    ExitScan,
    blocks,
    is_endless,
    mark,
)

_RESULT = "__pb_result__"
_RETURNED = "__pb_returned__"

# A driver takes two blocks, and Python allows 20 in each other: below this depth what
# follows an exit is not nested any more, and stands under a test of the flag instead.
_DEEPEST = 5

_LOAD, _STORE = ast.Load(), ast.Store()

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


class _Leave(ast.Return):
    """Leaves the function outside of all loops, where the result is known already."""


def remove_exits(node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Remove the early exits of `node` and of all functions in it, in place.

    Afterwards `flag_of` says which variable stops a loop, and `is_native` which loops and
    branches still have exits. The new local names start with `__pb_`, and end with two
    underscores, so that no class mangles them.
    """
    if isinstance(node, ast.AsyncFunctionDef):
        _keep(node.body)
    else:
        _Removal().function(node)


def flag_of(loop: ast.For | ast.While) -> str | None:
    """Return the name of the variable that stops `loop` when it is true, if there is one."""
    flag: str | None = getattr(loop, "flag", None)
    return flag


def is_native(node: ast.stmt) -> bool:
    """Say whether control leaves `node` by exits of Python, so that no driver can run it."""
    return getattr(node, "native", False)


class _Loop(NamedTuple):
    """The names of the flags of one loop."""

    flag: str  # the loop is over
    skip: str  # the iteration is over


class _Where(NamedTuple):
    """Where a block stands, and which flags its exits have to set."""

    loop: _Loop | None
    returned: bool  # `_RETURNED` is set, and was reset around the block
    skips: bool  # the same of `loop.skip`
    depth: int

    def deeper(self) -> _Where:
        return self._replace(depth=self.depth + 1)


class _Removal:
    """Removes the exits of one function: looks at all statements first, then changes them."""

    def __init__(self) -> None:
        self._scan = scan = ExitScan()
        self._bits, self._parts = scan.bits, scan.parts
        self._made: set[ast.stmt] = set()
        self._loops = 0

    def function(self, node: ast.FunctionDef) -> None:
        body = node.body
        bits = self._scan.block(body)
        _keep(self._scan.inner)
        kinds = [self._bits.get(statement, 0) for statement in body]
        if not any(kinds):
            return
        # Moving an exit of Python into a branch would make that branch native.
        start = max((i + 1 for i, kind in enumerate(kinds) if kind & LEAVES_NATIVELY), default=0)
        new = self._native(body[:start], 0)
        rest = body[start:]
        where = _Where(None, False, False, 0)
        if any(kind & RETURNS for kind in kinds[start:]):
            if bits & FALLS and self._scan.has_value:
                rest.append(ast.Return(None, **_at(rest[-1])))
            new += self._block(rest, where)
            if self._scan.has_value and self._scan.last_return is not None:
                at = _at(self._scan.last_return)
                new.append(ast.Return(ast.Name(_RESULT, _LOAD, **at), **at))
        else:
            is_tail = [isinstance(statement, ast.Return) for statement in rest]
            end = is_tail.index(True) if True in is_tail else len(rest)
            new += self._block(rest[:end], where) + rest[end : end + 1]
            new += self._native(rest[end + 1 :], 0)
        node.body = new

    # --- Blocks -----------------------------------------------------------------------------

    def _block(self, body: Sequence[ast.stmt], where: _Where) -> list[ast.stmt]:
        """Return `body` without exits: what follows one is not reached."""
        out: list[ast.stmt] = []
        for index, statement in enumerate(body):
            if isinstance(statement, ast.Return | ast.Break | ast.Continue):
                out += self._exit(statement, where)
                return out + self._dead(body[index + 1 :], where)
            bits = self._bits.get(statement, 0)
            if bits & LEAVES:
                return out + self._leaving(statement, body[index + 1 :], where)
            if bits:
                out += self._whole(statement, where)
            else:
                out.append(statement)
        return out

    def _exit(self, node: ast.Return | ast.Break | ast.Continue, where: _Where) -> list[ast.stmt]:
        at = _at(node)
        out: list[ast.stmt] = []
        flags: list[str] = []
        if isinstance(node, ast.Return):
            if self._scan.has_value and not isinstance(node, _Leave):
                value = node.value or ast.Constant(None, **at)
                out.append(ast.Assign([ast.Name(_RESULT, _STORE, **at)], value, **at))
            if where.returned:
                flags.append(_RETURNED)
        if where.loop is not None:
            if not isinstance(node, ast.Continue):
                flags.append(where.loop.flag)
            if where.skips:
                flags.append(where.loop.skip)
        return [*out, _set(flags, True, at)] if flags else out

    def _dead(self, body: Sequence[ast.stmt], where: _Where) -> list[ast.stmt]:
        """Keep statements that are never reached: what they bind is local."""
        if not body:
            return []
        at = _at(body[0])
        inside = self._block(body, where.deeper()) or [ast.Pass(**at)]
        branch = ast.If(ast.Constant(False, **at), inside, [], **at)
        mark(branch)
        return [branch]

    def _whole(self, node: ast.stmt, where: _Where) -> list[ast.stmt]:
        """Change what is inside of a statement that nothing leaves."""
        if is_native(node):
            return self._native([node], where.depth)
        if isinstance(node, ast.For | ast.While):
            return self._loop(node, (), where)
        for block in blocks(node):
            block[:] = self._block(block, where.deeper())
        return [node]

    def _native(self, body: Sequence[ast.stmt], depth: int) -> list[ast.stmt]:
        """Change what is inside of `body` and left by nothing; all other exits stay."""
        out: list[ast.stmt] = []
        for statement in body:
            bits = self._bits.get(statement, 0)
            stays = bits & (LEAVES | LEAVES_NATIVELY) or is_native(statement)
            if isinstance(statement, ast.For | ast.While) and bits and not stays:
                out += self._loop(statement, (), _Where(None, False, False, depth))
                continue
            if stays and isinstance(statement, ast.If | ast.For | ast.While):
                mark(statement)
            if bits:
                for block in blocks(statement):
                    block[:] = self._native(block, depth + 1)
            out.append(statement)
        return out

    # --- Statements that exits leave --------------------------------------------------------

    def _leaving(self, node: ast.stmt, rest: Sequence[ast.stmt], where: _Where) -> list[ast.stmt]:
        if isinstance(node, ast.For | ast.While):
            return self._loop(node, rest, where)
        if isinstance(node, ast.If):
            body, orelse = self._parts[node]
            if not rest:
                return self._branches(node, where)
            if not (body | orelse) & FALLS:
                return self._branches(node, where) + self._dead(rest, where)
            if (body ^ orelse) & FALLS and where.depth < _DEEPEST:
                into = node.body if body & FALLS else node.orelse
                into.extend(rest)
                return self._branches(node, where)
        elif not rest:
            return self._with(node, where)
        return self._flagged(node, rest, where)

    def _branches(self, node: ast.If, where: _Where) -> list[ast.stmt]:
        at = _at(node.body[0])
        body = self._block(node.body, where.deeper())
        orelse = self._block(node.orelse, where.deeper())
        if node in self._made and not body:
            if not orelse:
                return []
            node.test = ast.UnaryOp(ast.Not(), node.test, **_at(node))
            body, orelse = orelse, []
        node.body = body or [ast.Pass(**at)]
        node.orelse = orelse
        return [node]

    def _with(self, node: Any, where: _Where, end: Sequence[ast.stmt] = ()) -> list[ast.stmt]:
        at = _at(node.body[0])
        node.body = [*self._block(node.body, where.deeper()), *end] or [ast.Pass(**at)]
        return [node]

    def _flagged(self, node: ast.stmt, rest: Sequence[ast.stmt], where: _Where) -> list[ast.stmt]:
        """Let a flag say whether control left `node`, and test it before `rest`."""
        is_flat = where.depth >= _DEEPEST
        exits = self._bits[node] | (self._exits(rest) if is_flat else 0)
        loop, inside, is_known = where.loop, where, True
        if loop is None:
            flag, is_known = _RETURNED, where.returned
            inside = where._replace(returned=True)
        elif exits & CONTINUES:
            flag, is_known = loop.skip, where.skips
            inside = where._replace(skips=True)
        else:
            flag = loop.flag
        at = _at(node)
        out: list[ast.stmt] = [] if is_known else [_set([flag], False, at)]
        if isinstance(node, ast.If):
            out += self._branches(node, inside)
        elif loop is None and not is_known and not self._parts[node][0] & FALLS:
            # One assignment at the end, so that no branch decides the flag.
            out += self._with(node, where, [_set([flag], True, at)])
        else:
            out += self._with(node, inside)
        for part in self._split(rest) if is_flat else [rest]:
            test = ast.UnaryOp(ast.Not(), ast.Name(flag, _LOAD, **at), **at)
            block = self._block(part, (inside if is_flat else where).deeper())
            if block:
                out.append(ast.If(test, block, [], **at))
        return out

    def _exits(self, body: Sequence[ast.stmt]) -> int:
        bits = 0
        for statement in body:
            bits |= self._bits.get(statement, 0)
            if isinstance(statement, ast.Continue):
                bits |= CONTINUES
        return bits

    def _split(self, body: Sequence[ast.stmt]) -> Iterator[Sequence[ast.stmt]]:
        """Yield the parts of `body`, each up to the next statement that has exits."""
        start = 0
        for index, statement in enumerate(body):
            if self._bits.get(statement, 0) & LEAVES:
                yield body[start : index + 1]
                start = index + 1
        if start < len(body):
            yield body[start:]

    def _loop(
        self, node: ast.For | ast.While, rest: Sequence[ast.stmt], where: _Where
    ) -> list[ast.stmt]:
        self._loops += 1
        loop = _Loop(f"__pb_break_{self._loops}__", f"__pb_skip_{self._loops}__")
        body, _ = self._parts[node]
        at = _at(node)
        out: list[ast.stmt] = []
        if body & RETURNS and not where.returned:
            out.append(_set([_RETURNED], False, at))
        if body & (BREAKS | RETURNS):
            self._stop(node, loop.flag)
            out.append(_set([loop.flag], False, at))
        first = _at(node.body[0])
        inside = _Where(loop, bool(body & RETURNS), False, where.depth + 1)
        node.body = self._block(node.body, inside) or [ast.Pass(**first)]
        out.append(node)
        after = self._after(node, loop, where)
        node.orelse = []
        return out + self._block([*after, *rest], where)

    def _after(self, node: ast.For | ast.While, loop: _Loop, where: _Where) -> list[ast.stmt]:
        """Return what follows a loop: the exits of functions and loops around it, and `else`."""
        body, orelse = self._parts[node]
        at = _at(node)
        after: list[ast.stmt] = []
        if body & RETURNS:
            leave = _Leave(None, **at) if where.loop is None else ast.Break(**at)
            if is_endless(node) and not body & BREAKS:
                return [leave, *node.orelse]
            test = ast.Name(_RETURNED, _LOAD, **at)
            exits = RETURNS if where.loop is None else BREAKS
            after.append(self._make(ast.If(test, [leave], [], **at), exits, FALLS))
        if node.orelse and body & BREAKS:
            at = _at(node.orelse[0])
            not_left = ast.UnaryOp(ast.Not(), ast.Name(loop.flag, _LOAD, **at), **at)
            after.append(self._make(ast.If(not_left, node.orelse, [], **at), orelse, FALLS))
        else:
            after += node.orelse
        return after

    def _make(self, node: ast.If, body: int, orelse: int) -> ast.If:
        self._made.add(node)
        self._scan.note(node, body | orelse, body, orelse)
        return node

    def _stop(self, node: Any, flag: str) -> None:
        node.flag = flag


# --- Syntax trees ---------------------------------------------------------------------------


def _set(names: Sequence[str], value: bool, at: dict[str, Any]) -> ast.Assign:
    targets: list[ast.expr] = [ast.Name(name, _STORE, **at) for name in names]
    return ast.Assign(targets, ast.Constant(value, **at), **at)


def _at(node: ast.stmt) -> dict[str, Any]:
    return {
        "lineno": node.lineno,
        "col_offset": node.col_offset,
        "end_lineno": node.end_lineno,
        "end_col_offset": node.end_col_offset,
    }


def _keep(body: Sequence[ast.stmt]) -> None:
    """Mark what is in `body` as native, and remove the exits of the functions in it."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            _inner(statement)
            continue
        if isinstance(statement, ast.If | ast.For | ast.While):
            mark(statement)
        for block in blocks(statement):
            _keep(block)


def _inner(node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Remove the exits of a function that is not the traced one: it may be a generator."""
    if isinstance(node, ast.FunctionDef) and _yields(node):
        _keep(node.body)
    else:
        remove_exits(node)


def _yields(node: ast.FunctionDef) -> bool:
    waiting: list[ast.AST] = [*node.body]
    while waiting:
        found = waiting.pop()
        if isinstance(found, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(found, _SCOPES):
            waiting.extend(ast.iter_child_nodes(found))
    return False

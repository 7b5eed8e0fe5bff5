"""Which `break`, `continue` and `return` leave each statement of a function (see `exits`)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

# What control may do in a statement or block: go on after it, or leave it.
FALLS, BREAKS, CONTINUES, RETURNS = 1, 2, 4, 8
LEAVES = BREAKS | CONTINUES | RETURNS
# The same exits where they have to stay: `BREAKS << _NATIVE_SHIFT` and so on.
_NATIVE_SHIFT = 4
LEAVES_NATIVELY = LEAVES << _NATIVE_SHIFT
# There is something to change inside, though nothing leaves.
CHANGES = 256


class ExitScan:
    """Looks once at every statement of a function, those of functions in it aside.

    It marks the loops and branches that an exit in a `try` or `match` leaves as native, and
    gives each loop the attribute `flag`.
    """

    def __init__(self) -> None:
        self.bits: dict[ast.stmt, int] = {}  # of statements that hold exits
        self.parts: dict[ast.stmt, tuple[int, int]] = {}  # of their `body` and `orelse`
        self.inner: list[ast.stmt] = []  # functions and classes
        self.last_return: ast.Return | None = None
        self.has_value = False  # something else than None is returned

    def block(self, body: Sequence[ast.stmt]) -> int:
        """Return where control may go from `body`."""
        bits = FALLS
        for statement in body:
            look = self._LOOKS.get(type(statement))
            if look is not None:
                found = look(self, statement)
                bits = (bits | found) if found & FALLS else (bits | found) & ~FALLS
        return bits

    def _scan_return(self, node: ast.Return) -> int:
        value = node.value
        if value is not None and not (isinstance(value, ast.Constant) and value.value is None):
            self.has_value = True
        self.last_return = node
        return RETURNS

    def _scan_if(self, node: ast.If) -> int:
        body = self.block(node.body)
        orelse = self.block(node.orelse) if node.orelse else FALLS
        bits = body | orelse
        if bits & LEAVES_NATIVELY:
            bits = _natively(bits)
            mark(node)
        return self.note(node, bits, body, orelse)

    def _scan_loop(self, node: Any) -> int:
        node.flag = None
        body = self.block(node.body)
        orelse = self.block(node.orelse) if node.orelse else FALLS
        both = body | orelse
        leaves = (body & RETURNS) | (orelse & LEAVES)
        ends = orelse if not is_endless(node) else 0
        breaks = body & (BREAKS | BREAKS << _NATIVE_SHIFT)
        falls = FALLS if breaks or ends & FALLS else 0
        if both & LEAVES_NATIVELY:
            mark(node)
            leaves |= (body & RETURNS << _NATIVE_SHIFT) | (orelse & LEAVES_NATIVELY)
            leaves = _natively(leaves) | CHANGES
        elif node.orelse or both & (LEAVES | CHANGES):
            leaves |= CHANGES
        return self.note(node, leaves | falls, body, orelse)

    def _scan_with(self, node: ast.With) -> int:
        # It may swallow what its body raises.
        body = self.block(node.body)
        bits = _natively(body) if body & LEAVES_NATIVELY else body
        return self.note(node, bits | FALLS, body, FALLS)

    def _scan_blocks(self, node: ast.stmt) -> int:
        bits = FALLS
        for block in blocks(node):
            bits |= self.block(block)
        return self.note(node, _natively(bits), bits, FALLS)

    def _scan_inner(self, node: ast.stmt) -> int:
        self.inner.append(node)
        return FALLS

    def note(self, node: ast.stmt, bits: int, body: int, orelse: int) -> int:
        """Keep the `bits` of a statement, and those of its two blocks."""
        if bits & ~FALLS:
            self.bits[node] = bits
            self.parts[node] = body, orelse
        return bits

    _LOOKS: ClassVar[dict[type[ast.stmt], Callable[[ExitScan, Any], int]]] = {
        ast.Return: _scan_return,
        ast.Break: lambda self, node: BREAKS,
        ast.Continue: lambda self, node: CONTINUES,
        ast.Raise: lambda self, node: 0,
        ast.If: _scan_if,
        ast.For: _scan_loop,
        ast.While: _scan_loop,
        ast.With: _scan_with,
        ast.Try: _scan_blocks,
        ast.TryStar: _scan_blocks,
        ast.Match: _scan_blocks,
        ast.FunctionDef: _scan_inner,
        ast.AsyncFunctionDef: _scan_inner,
        ast.ClassDef: _scan_inner,
    }


def _natively(bits: int) -> int:
    return (bits & ~LEAVES) | ((bits & LEAVES) << _NATIVE_SHIFT)


def is_endless(node: ast.stmt) -> bool:
    """Say whether `node` is a loop that its test never ends."""
    test = node.test if isinstance(node, ast.While) else None
    return isinstance(test, ast.Constant) and bool(test.value)


def mark(node: Any) -> None:
    """Let no driver run `node`."""
    node.native = True


def blocks(node: Any) -> Iterator[list[ast.stmt]]:
    """Yield the blocks of statements that `node` holds."""
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        if block:
            yield block
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield part.body

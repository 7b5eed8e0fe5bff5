"""Syntax nodes that the rewrite makes, each at the position of the user's node it stands for."""

from __future__ import annotations

import ast
from typing import Any

LOAD = ast.Load()


def placed(node: Any) -> dict[str, Any]:
    """Return the position of a node, for a new one."""
    return {
        "lineno": node.lineno,
        "col_offset": node.col_offset,
        "end_lineno": node.end_lineno,
        "end_col_offset": node.end_col_offset,
    }


def hook_call(name: str, where: ast.AST, *arguments: ast.expr) -> ast.Call:
    """Return a call of the hook `name`, at the position of the user's node `where`."""
    at = placed(where)
    return ast.Call(ast.Name(name, LOAD, **at), list(arguments), [], **at)


def deferred(node: ast.expr, *names: str) -> ast.expr:
    """Return a function of the names whose body is `node`: it is evaluated where it is needed."""
    at = placed(node)
    arguments = ast.arguments([], [ast.arg(n, **at) for n in names], None, [], [], None, [])
    return ast.Lambda(arguments, node, **at)


def binds_or_waits(node: ast.AST) -> bool:
    """Whether an expression cannot be put into a function: it assigns, yields or awaits."""
    return any(
        isinstance(n, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom) for n in ast.walk(node)
    )


def has_arguments(node: ast.Call) -> bool:
    """Whether a call has any."""
    return bool(node.args or node.keywords)


def pair_up(target: ast.Tuple | ast.List, value: ast.Tuple | ast.List) -> bool:
    """Say whether each element of the value goes to the element of the target beside it."""
    return len(target.elts) == len(value.elts) and not any(
        isinstance(element, ast.Starred) for element in (*target.elts, *value.elts)
    )


def start_at_attribute(node: ast.Call | ast.Attribute, function: ast.expr) -> None:
    """Let an attribute access over several lines start at its name, as it does in tracebacks."""
    if isinstance(function, ast.Attribute) and function.lineno != function.end_lineno:
        assert function.end_lineno is not None
        assert function.end_col_offset is not None
        start = function.end_col_offset - len(function.attr.encode())
        node.lineno, node.col_offset = function.end_lineno, start


__all__ = [
    "LOAD",
    "binds_or_waits",
    "deferred",
    "has_arguments",
    "hook_call",
    "pair_up",
    "placed",
    "start_at_attribute",
]

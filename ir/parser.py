"""Reads the text of functions: `ast.parse` and a walk that evaluates nothing.

Types of equations are inferred; an annotation is checked against them, and may be left out of text
written by hand. So may names: an operand can be an expression. Only a `call` needs its annotation.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from .core import Function, Module
from .errors import ParseError
from .literals import parse_constant
from .reader import Reader
from .signature import unreadable


def parse(text: str, constants: Mapping[str, Any] | None = None) -> Function | Module:
    '''Return the function that a text defines, or a module where it defines several.

    Parameters
    ----------
    text
        What `print_function` or `print_module` wrote, or its like. Of several functions the last
        is the entry.
    constants
        The objects that the text mentions but does not hold, as `constants_of` returns them.

    Raises
    ------
    ParseError
        With the line, a caret, and what was expected.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> text = """
    ... def twice(x: f64[2]) -> f64[2]:
    ...     y = x + x
    ...     return y
    ... """
    >>> pb.build(pb.parse(text))(np.ones(2))
    (array([2., 2.]),)
    '''
    module = parse_module(text, constants)
    return module.main if len(module.functions) == 1 else module


def parse_function(text: str, constants: Mapping[str, Any] | None = None) -> Function:
    """Return the only function of a text; see `parse`."""
    module = parse_module(text, constants)
    if len(module.functions) != 1:
        raise ParseError(f"expected one function, found {', '.join(module.functions)}")
    return module.main


def parse_module(text: str, constants: Mapping[str, Any] | None = None) -> Module:
    """Return the functions of a text as a module, even where it is only one; see `parse`."""
    try:
        try:
            tree = ast.parse(text)
        except SyntaxError as error:
            offset = max((error.offset or 1) - 1, 0)
            line = (text.splitlines() or [""])[min(error.lineno or 1, len(text.splitlines())) - 1]
            where = ast.Pass(lineno=error.lineno or 1, col_offset=len(line[:offset].encode()))
            raise unreadable(where, error.msg) from None
        return _read_module(tree, constants or {})
    except ParseError as error:
        raise _located(error, text) from error.__cause__


def _located(error: ParseError, text: str) -> ParseError:
    rows = text.splitlines() or [""]
    number = min(error.lineno or 1, len(rows))
    raw = rows[number - 1].encode()
    start = len(raw[: error.offset or 0].decode(errors="replace"))
    end = len(rows[number - 1])
    if error.end_lineno == number and error.end_offset is not None:
        end = len(raw[: error.end_offset].decode(errors="replace"))
    row = rows[number - 1]
    shift = len(row) - len(row.lstrip())
    carets = " " * max(start - shift, 0) + "^" * max(end - start, 1)
    return ParseError(f"line {number}: {error.msg}\n    {row.strip()}\n    {carets}")


def _read_module(tree: ast.Module, given: Mapping[str, Any]) -> Module:
    objects: dict[str, Any] = dict(given)
    functions: dict[str, Function] = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id="constant")) as value,
            ):
                objects[name] = parse_constant(value, name, given)
            case ast.FunctionDef() | ast.Expr(value=ast.Constant()):
                pass
            case _:
                raise unreadable(statement, "expected `def name(...)` or `name = constant(...)`")
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            if statement.name in functions:
                raise unreadable(statement, f"`{statement.name}` is defined twice")
            functions[statement.name] = Reader(objects, {}).function(statement)
    if not functions:
        raise unreadable(tree, "expected a function: `def name(...)`")
    return Module(functions, list(functions)[-1])

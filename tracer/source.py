"""The user's source: which frame is the user's, and the syntax tree that a function came from."""

from __future__ import annotations

import ast
import linecache
import os
import sys
import types
import warnings
from collections.abc import Sequence
from typing import Any

from ..ir.location import Location

# --- Frames ---------------------------------------------------------------------------------

_PACKAGE = __name__.partition(".")[0]
_LIBRARIES = frozenset({_PACKAGE, "numpy", "scipy"})
_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
_INSTALLED = ("site-packages", "dist-packages")

_getframe = sys._getframe  # pyright: ignore[reportPrivateUsage]

_is_internal: dict[str, bool] = {}


def _decide(frame: types.FrameType) -> bool:
    """Say whether `frame` belongs to pullback, NumPy, SciPy or the standard library."""
    file = frame.f_code.co_filename
    module = str(frame.f_globals.get("__name__", ""))
    internal = file.startswith(("<frozen ", f"<{_PACKAGE}")) or (
        module.partition(".")[0] in _LIBRARIES
        # The benchmarks live inside the package and play the user.
        and not module.startswith(f"{_PACKAGE}.benchmarks.")
    )
    if not internal and file.startswith(_STANDARD_LIBRARY):
        internal = not any(name in file for name in _INSTALLED)
    # `<string>` is shared by everything that was made by exec, so it is decided each time.
    if not file.startswith("<"):
        _is_internal[file] = internal
    return internal


def find_user_frame(frame: types.FrameType | None = None) -> types.FrameType | None:
    """Return the innermost frame of the user's own code, from `frame` (or the caller) outwards."""
    if frame is None:
        frame = _getframe(1)
    known = _is_internal
    while frame is not None:
        internal = known.get(frame.f_code.co_filename)
        if internal is None:
            internal = _decide(frame)
        if not internal:
            return frame
        frame = frame.f_back
    return None


def current_location() -> Location | None:
    """Return where the user's code is now: its innermost frame; None outside of user code."""
    frame = find_user_frame(_getframe(1))
    return None if frame is None else Location.at(frame.f_code, frame.f_lasti)


def current_stack(entry: types.CodeType | None = None) -> tuple[Location, ...]:
    """Return the user's frames, innermost first.

    Parameters
    ----------
    entry
        The code of the function that started the trace: frames outside of the innermost frame
        that runs it are the caller's, not the traced program's, and are left out.
    """
    stack: list[Location] = []
    frame: types.FrameType | None = _getframe(1)
    known = _is_internal
    while frame is not None and frame.f_code is not entry:
        internal = known.get(frame.f_code.co_filename)
        if internal is None:
            internal = _decide(frame)
        if not internal:
            stack.append(Location.at(frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return tuple(stack)


# --- Syntax trees ---------------------------------------------------------------------------

# The bits of co_flags that `from __future__` imports set, as `compile` takes them.
_FUTURE_FLAGS = 0x1FE0000
_VARARGS_AND_KIND = 0x4 | 0x8 | 0x20 | 0x80 | 0x200
_OUTER = "__pb_outer__"
_INNER = "__pb_inner__"
_PREFIX_OF_CLASS = "_" * 16

FunctionNode = ast.FunctionDef | ast.Lambda

NO_SOURCE = "its source cannot be found"
DIFFERS = "its source on disk differs from the code that runs"

_parsed_files: dict[str, tuple[list[str], ast.Module]] = {}


def function_tree(function: types.FunctionType) -> FunctionNode | str:
    """Return a fresh syntax tree of `function`, or a sentence that says why there is none.

    Positions are those in the user's file. Decorators, defaults and annotations, which are
    evaluated outside of the function, are removed. The tree is known to be right: compiled as
    it is, it gives the code of the function.
    """
    code = function.__code__
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename, function.__globals__)
    if not 0 < code.co_firstlineno <= len(lines):
        return DIFFERS if lines else NO_SOURCE
    with warnings.catch_warnings():
        # The user has seen the warnings about this source when it was first compiled.
        warnings.simplefilter("ignore")
        is_lambda = code.co_name == "<lambda>"
        nodes = _lambdas(code, lines) if is_lambda else _definition(code, lines)
        # Python compiles method calls on imported names in its own way. The modules among the
        # globals are a quick guess; reading the whole file tells.
        guess = [name for name in code.co_names if _is_module(function.__globals__.get(name))]
        return (
            _right_one(nodes, code, guess)
            or _right_one(nodes, code, _imported(_file_tree(code, lines)))
            or DIFFERS
        )


def _is_module(value: object) -> bool:
    return isinstance(value, types.ModuleType)


def _right_one(
    nodes: Sequence[FunctionNode], code: types.CodeType, imported: Sequence[str]
) -> FunctionNode | None:
    """Return the node that compiles to `code`, in a module that imports the names `imported`."""
    found: FunctionNode | None = None
    for node in nodes:
        compiled = compile_function(node, code, code.co_freevars, imported)
        if same_code(compiled, code):
            # Equal lambdas on one line: only their columns tell them apart.
            if len(nodes) == 1 or list(compiled.co_positions()) == list(code.co_positions()):
                return node
            found = found or node
    return found


def _parse(text: str, code: types.CodeType) -> ast.Module | None:
    flags = ast.PyCF_ONLY_AST | (code.co_flags & _FUTURE_FLAGS)
    try:
        tree = compile(text, code.co_filename, "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    assert isinstance(tree, ast.Module)
    return tree


def _file_tree(code: types.CodeType, lines: list[str]) -> ast.Module:
    known = _parsed_files.get(code.co_filename)
    if known is None or known[0] is not lines:
        tree = _parse("".join(lines), code) or ast.Module([], [])
        _parsed_files.clear()  # one file is enough: its functions are usually traced together
        known = _parsed_files[code.co_filename] = (lines, tree)
    return known[1]


def _imported(node: ast.AST) -> list[str]:
    """Return the names that a module imports at its top level, at any depth of its blocks."""
    names: list[str] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            names += [alias.asname or alias.name.partition(".")[0] for alias in child.names]
        elif not isinstance(
            child, ast.expr | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ):
            names += _imported(child)
    return [name for name in names if name != "*"]


def _definition(code: types.CodeType, lines: list[str]) -> list[ast.FunctionDef]:
    """Parse the `def` that starts (with its decorators) on the first line of `code`."""
    first = code.co_firstlineno - 1
    indent = len(lines[first]) - len(lines[first].lstrip())
    # An indented block is put under an `if` on the line before: its columns stay the user's.
    blank = "\n" * (first - 1) + "if 1:\n" if indent else "\n" * first
    stop = first + 1
    while stop <= len(lines):
        # The block ends before the next line that is not indented more; if the text up to there
        # does not parse, that line was inside a string or brackets, or followed a decorator.
        while stop < len(lines):
            row = lines[stop].lstrip()
            if row and not row.startswith("#") and len(lines[stop]) - len(row) <= indent:
                break
            stop += 1
        tree = _parse(blank + "".join(lines[first:stop]), code)
        if tree is not None:
            body = tree.body[0].body if isinstance(tree.body[0], ast.If) else tree.body
            node = body[0]
            if len(body) != 1 or not isinstance(node, ast.FunctionDef):
                return []
            _strip(node)
            return [node]
        stop += 1
    return []


def _lambdas(code: types.CodeType, lines: list[str]) -> list[ast.Lambda]:
    """Parse every lambda that starts on the first line of `code`."""
    found: list[ast.Lambda] = []
    for where in _lambdas_on(code.co_firstlineno, _file_tree(code, lines)):
        fresh = _fresh_lambda(where, lines, code)
        if fresh is not None:
            _strip(fresh)
            found.append(fresh)
    return found


def _lambdas_on(line: int, node: ast.AST) -> list[ast.Lambda]:
    found: list[ast.Lambda] = []
    for child in ast.iter_child_nodes(node):
        # Decorators lie before the first line of the definition that they belong to.
        decorators: list[ast.expr] = getattr(child, "decorator_list", [])
        if isinstance(child, ast.Lambda) and child.lineno == line:
            found.append(child)
        start = min([decorator.lineno for decorator in decorators], default=0)
        start = start or getattr(child, "lineno", line)
        if start <= line <= getattr(child, "end_lineno", line):
            found.extend(_lambdas_on(line, child))
    return found


def _fresh_lambda(where: ast.Lambda, lines: list[str], code: types.CodeType) -> ast.Lambda | None:
    """Parse the text of `where` again, at its place in the file, to get a tree of our own."""
    assert where.end_lineno is not None
    rows = [row.encode() for row in lines[where.lineno - 1 : where.end_lineno]]
    rows[-1] = rows[-1][: where.end_col_offset]
    rows[0] = b" " * where.col_offset + rows[0][where.col_offset :]
    # The bracket needs a line of its own above the lambda, so all is one line too low at first.
    text = "\n" * (where.lineno - 1) + "(\n" + b"".join(rows).decode() + "\n)"
    tree = _parse(text, code)
    if tree is None:
        return None
    ast.increment_lineno(tree, -1)
    statement = tree.body[0]
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Lambda):
        return statement.value
    return None


def _strip(node: FunctionNode) -> None:
    """Remove what is evaluated where the function is defined, not where it runs."""
    arguments = node.args
    arguments.defaults = []
    arguments.kw_defaults = [None] * len(arguments.kwonlyargs)
    if isinstance(node, ast.FunctionDef):
        # The code starts on the line of the first decorator, so one stays, and is never run.
        node.decorator_list = [
            ast.copy_location(ast.Constant(None), decorator)
            for decorator in node.decorator_list[:1]
        ]
        node.returns = None
        # Its own name would be a variable of the function around it, when it calls itself.
        node.name = _INNER
        if sys.version_info >= (3, 12):
            node.type_params = []
        for group in (arguments.posonlyargs, arguments.args, arguments.kwonlyargs):
            for argument in group:
                argument.annotation = None
        for star in (arguments.vararg, arguments.kwarg):
            if star is not None:
                star.annotation = None


# --- Code objects ---------------------------------------------------------------------------


def private_class(code: types.CodeType) -> str | None:
    """Return the name of the class whose body mangles the private names of `code`."""
    parts = code.co_qualname.split(".")
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] != "<locals>" and parts[index + 1] != "<locals>":
            return parts[index]
    return None


def compile_function(
    node: FunctionNode,
    like: types.CodeType,
    free: Sequence[str],
    imported: Sequence[str] = (),
) -> types.CodeType:
    """Compile `node`, a stripped function, as if it stood where `like` did.

    Parameters
    ----------
    node
        The function, changed or not.
    like
        The code that gives file, qualified names and private names.
    free
        The names that functions around `node` define.
    imported
        The names that the module imports.
    """
    where: dict[str, Any] = {
        "lineno": node.lineno,
        "col_offset": node.col_offset,
        "end_lineno": node.lineno,
        "end_col_offset": node.col_offset,
    }
    inner: ast.stmt = node if isinstance(node, ast.FunctionDef) else ast.Expr(node, **where)
    private = private_class(like)
    prefix = f"{_OUTER}.<locals>."
    if private is not None:
        # More leading underscores mangle alike, and hide no name that the function uses.
        private = f"{_PREFIX_OF_CLASS}{private}"
        inner = ast.ClassDef(
            name=private, bases=[], keywords=[], body=[inner], decorator_list=[], **where
        )
        prefix += f"{private}."
    parameters = ast.arguments(
        posonlyargs=[],
        args=[ast.arg(name, **where) for name in free],
        kwonlyargs=[],
        kw_defaults=[],
        defaults=[],
    )
    outer = ast.FunctionDef(name=_OUTER, args=parameters, body=[inner], decorator_list=[], **where)
    if sys.version_info >= (3, 12):
        outer.type_params = []
        if isinstance(inner, ast.ClassDef):
            inner.type_params = []
    body: list[ast.stmt] = [outer]
    if imported:
        body.insert(0, ast.Import([ast.alias(name, **where) for name in imported], **where))
    module = compile(
        ast.Module(body, type_ignores=[]),
        like.co_filename,
        "exec",
        like.co_flags & _FUTURE_FLAGS,
        dont_inherit=True,
    )
    code = _nested(_nested(module))
    if private is not None:
        code = _nested(code)
    prefix += code.co_name
    return _requalified(code, prefix, like.co_qualname).replace(co_name=like.co_name)


def _nested(code: types.CodeType) -> types.CodeType:
    return next(value for value in code.co_consts if isinstance(value, types.CodeType))


def _requalified(code: types.CodeType, old: str, new: str) -> types.CodeType:
    """Replace the prefix `old` of the qualified names of `code` and all that it holds."""

    def renamed(name: str) -> str:
        return new + name[len(old) :] if name.startswith(old) else name

    constants: list[object] = []
    for value in code.co_consts:
        if isinstance(value, types.CodeType):
            value = _requalified(value, old, new)
        elif isinstance(value, str):
            value = renamed(value)  # the body of a class holds its qualified name
        constants.append(value)
    return code.replace(co_qualname=renamed(code.co_qualname), co_consts=tuple(constants))


def same_code(a: types.CodeType, b: types.CodeType) -> bool:
    """Say whether two code objects do the same, wherever they stand in a file."""
    return (
        a.co_code == b.co_code
        and a.co_name == b.co_name
        and a.co_names == b.co_names
        and a.co_varnames == b.co_varnames
        and a.co_cellvars == b.co_cellvars
        and a.co_freevars == b.co_freevars
        and a.co_argcount == b.co_argcount
        and a.co_posonlyargcount == b.co_posonlyargcount
        and a.co_kwonlyargcount == b.co_kwonlyargcount
        and not (a.co_flags ^ b.co_flags) & _VARARGS_AND_KIND
        and a.co_exceptiontable == b.co_exceptiontable
        and _same_constants(a.co_consts, b.co_consts)
    )


def _same_constants(a: tuple[object, ...], b: tuple[object, ...]) -> bool:
    return len(a) == len(b) and all(map(_same_constant, a, b))


def _same_constant(a: object, b: object) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, types.CodeType) and isinstance(b, types.CodeType):
        return same_code(a, b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return _same_constants(a, b)
    if isinstance(a, frozenset) and isinstance(b, frozenset):
        return {(type(x), repr(x)) for x in a} == {(type(x), repr(x)) for x in b}
    # By text: 0.0 and -0.0 are equal and not the same, nan is the same and not equal.
    return repr(a) == repr(b) if isinstance(a, float | complex) else a == b

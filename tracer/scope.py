"""Which names a scope of the user's function binds, and what a name that it reads refers to."""

from __future__ import annotations

import ast
import types
from collections.abc import Iterable, Iterator
from enum import Enum


class Kind(Enum):
    """What a name refers to, seen from the function that is traced."""

    LOCAL = "a variable of the function, or of a function nested in it"
    CLASS = "a name of the class body that is being executed"
    FREE = "a variable of a function around the traced one"
    GLOBAL = "a global, or a builtin"


ScopeNode = (
    ast.FunctionDef
    | ast.AsyncFunctionDef
    | ast.Lambda
    | ast.ClassDef
    | ast.ListComp
    | ast.SetComp
    | ast.DictComp
    | ast.GeneratorExp
)

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Bound by Python itself at the start of a class body.
_CLASS_NAMES = ("__module__", "__qualname__", "__annotations__", "__firstlineno__")


def mangled(name: str, private: str | None) -> str:
    """Return `name` as it is inside of the class `private`: `__x` is `_C__x`."""
    if private is None or not name.startswith("__") or name.endswith("__") or "." in name:
        return name
    stripped = private.lstrip("_")
    return f"_{stripped}{name}" if stripped else name


class Scope:
    """The names of one function, class body or comprehension, inside those of its parent.

    Parameters
    ----------
    node
        The syntax tree of the scope, before anything in it is rewritten.
    parent
        The scope around it; None for the function that is rewritten.
    free
        For that function, the names of the variables that it has from functions around it.
    private
        The class whose private names are mangled here, if any.
    code
        The code of the function that is rewritten, which tells whether a cheap look was enough.
    """

    def __init__(
        self,
        node: ScopeNode,
        parent: Scope | None,
        free: tuple[str, ...] = (),
        private: str | None = None,
        code: types.CodeType | None = None,
    ) -> None:
        self.is_class = isinstance(node, ast.ClassDef)
        self.is_comprehension = isinstance(node, _COMPREHENSIONS)
        self.parent = parent
        self.free = free
        self.private = private
        self.bound: set[str] = set()
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()
        self._bind(node, code)

    def kind(self, name: str) -> Kind:
        """Say what the name `name` (mangled), read in this scope, refers to."""
        scope: Scope = self
        while True:
            if scope is self or not scope.is_class:
                if name in scope.globals:
                    return Kind.GLOBAL
                if name in scope.bound and name not in scope.nonlocals:
                    return Kind.CLASS if scope.is_class else Kind.LOCAL
            if scope.parent is None:
                return Kind.FREE if name in scope.free else Kind.GLOBAL
            scope = scope.parent

    def _bind(self, node: ScopeNode, code: types.CodeType | None) -> None:
        if isinstance(node, _COMPREHENSIONS):
            for generator in node.generators:
                self._add(target_names(generator.target))
            return
        if isinstance(node, _FUNCTIONS):
            self._add(_argument_names(node.args))
            if self.parent is not None and self.parent.is_class:
                self.bound.add("__class__")
        else:
            self.bound.update(_CLASS_NAMES)
        self._add(parameter.name for parameter in getattr(node, "type_params", []))
        if not isinstance(node, ast.Lambda):
            self._statements(node.body)
        # A walk over every expression, for the rare `:=`: left out where no name is missing.
        if code is None or not self.bound.issuperset((*code.co_varnames, *code.co_cellvars)):
            body = [node.body] if isinstance(node, ast.Lambda) else node.body
            for child in body:
                self._add(_walrus_names(child))

    def _add(self, names: Iterable[str]) -> None:
        if self.private is None:
            self.bound.update(names)
        else:
            self.bound.update(mangled(name, self.private) for name in names)

    def _statements(self, body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.Global):
                self.globals.update(mangled(name, self.private) for name in node.names)
            elif isinstance(node, ast.Nonlocal):
                self.nonlocals.update(mangled(name, self.private) for name in node.names)
            else:
                self._add(bound_names(node))
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    self._blocks(node)

    def _blocks(self, node: ast.stmt) -> None:
        for field in ("body", "orelse", "finalbody"):
            self._statements(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            self._add([handler.name] if handler.name else [])
            self._statements(handler.body)
        for case in getattr(node, "cases", []):
            self._add(pattern_names(case.pattern))
            self._statements(case.body)


def target_names(target: ast.expr | None) -> Iterator[str]:
    """Yield the names that an assignment to `target` binds, from left to right."""
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, ast.Tuple | ast.List):
        for element in target.elts:
            yield from target_names(element)
    elif isinstance(target, ast.Starred):
        yield from target_names(target.value)


def _argument_names(arguments: ast.arguments) -> Iterator[str]:
    for group in (arguments.posonlyargs, arguments.args, arguments.kwonlyargs):
        for argument in group:
            yield argument.arg
    for star in (arguments.vararg, arguments.kwarg):
        if star is not None:
            yield star.arg


def bound_names(node: ast.stmt) -> Iterator[str]:
    """Yield the names that the statement itself binds, walrus targets and inner blocks aside."""
    if isinstance(node, ast.Assign | ast.Delete):
        for target in node.targets:
            yield from target_names(target)
    elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For | ast.AsyncFor):
        yield from target_names(node.target)
    elif isinstance(node, ast.With | ast.AsyncWith):
        for item in node.items:
            yield from target_names(item.optional_vars)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif node.__class__.__name__ == "TypeAlias":  # since Python 3.12
        yield from target_names(getattr(node, "name", None))


def pattern_names(pattern: ast.pattern) -> Iterator[str]:
    """Yield the names that `pattern` captures."""
    for node in ast.walk(pattern):
        name = getattr(node, "name", None) or getattr(node, "rest", None)
        if isinstance(name, str):
            yield name


def _walrus_names(node: ast.AST) -> Iterator[str]:
    """Yield the walrus targets in `node` that bind in the scope that holds it."""
    if isinstance(node, ast.NamedExpr):
        yield node.target.id
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.Lambda):
        children = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        children = [*node.decorator_list, *defaults]
    elif isinstance(node, ast.ClassDef):
        children = [*node.decorator_list, *node.bases, *node.keywords]
    for child in children:
        yield from _walrus_names(child)

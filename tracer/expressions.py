"""The visitor that puts hook calls into expressions, and what it shares with that of statements."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, TypeVar

from .nodes import (
    LOAD,
    binds_or_waits,
    deferred,
    has_arguments,
    hook_call,
    placed,
    start_at_attribute,
)
from .scope import Kind, Scope, ScopeNode, mangled

_Node = TypeVar("_Node", bound=ast.AST)

# Their meaning depends on the frame that calls them.
_FRAME_BUILTINS = frozenset({"locals", "globals", "vars", "dir", "eval", "exec", "breakpoint"})
_LOCAL_NAMES = frozenset({"locals", "vars", "dir"})

# Methods that put something into a container without a look at what is there.
_ADDING = frozenset({"append", "appendleft", "extend", "extendleft", "add"})

# Fields that hold no expression to visit: operators and contexts, texts, annotations, patterns.
_SKIPPED = frozenset(
    {"op", "ops", "ctx", "kind", "conversion", "annotation", "pattern", "type_comment"}
)

Methods = dict[type[ast.AST], Callable[[Any, Any], Any]]


class ExpressionHooking:
    """Rewrites expressions; each `_method` takes a node and returns what replaces it.

    New nodes get the position of the user's node that they stand for. Statements are replaced
    by lists of statements, expressions by expressions.

    Parameters
    ----------
    scope
        The names of the function.
    global_names, builtin_names
        Names in the function's globals and in the builtins, to tell the one from the other.
    """

    def __init__(
        self, scope: Scope, global_names: Collection[str], builtin_names: Collection[str]
    ) -> None:
        self._scope = scope
        self._globals = global_names
        self._builtins = builtin_names
        self.builtins: set[str] = set()

    # --- Machinery --------------------------------------------------------------------------

    def _visit(self, node: Any) -> Any:
        method = self._EXPRESSIONS.get(type(node))
        if method is not None:
            return method(self, node)
        self._children(node)
        return node

    def _children(self, node: ast.AST) -> None:
        for field in node._fields:
            if field in _SKIPPED:
                continue
            value = getattr(node, field, None)
            if isinstance(value, list):
                if value and isinstance(value[0], ast.stmt):
                    setattr(node, field, self._block(value))
                else:
                    value[:] = [self._visit(x) if isinstance(x, ast.AST) else x for x in value]
            elif isinstance(value, ast.AST):
                setattr(node, field, self._visit(value))

    def _block(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        result: list[ast.stmt] = []
        for statement in body:
            method = self._STATEMENTS.get(type(statement))
            if method is None:
                self._children(statement)
                result.append(statement)
            else:
                result.extend(method(self, statement))
        return result

    def _inside(self, node: ScopeNode, private: str | None) -> Scope:
        outer = self._scope
        self._scope = Scope(node, outer, private=private)
        return outer

    def _mangled(self, name: str) -> str:
        return mangled(name, self._scope.private)

    def _is_builtin(self, name: str) -> bool:
        builtin = (
            name in self._builtins
            and name not in self._globals
            and self._scope.kind(name) is Kind.GLOBAL
        )
        if builtin:
            self.builtins.add(name)
        return builtin

    # --- Expressions ------------------------------------------------------------------------

    def _leaf(self, node: _Node) -> _Node:
        return node

    def _name(self, node: ast.Name) -> ast.expr:
        if not isinstance(node.ctx, ast.Load):
            return node
        name = self._mangled(node.id)
        kind = self._scope.kind(name)
        if kind is Kind.FREE:
            return hook_call("__pb_free__", node, ast.Constant(name, **placed(node)), node)
        if kind is Kind.GLOBAL and not self._is_builtin(name):
            return hook_call("__pb_global__", node, ast.Constant(name, **placed(node)), node)
        return node

    def _call(self, node: ast.Call) -> ast.expr:
        function = node.func
        special = False
        if isinstance(function, ast.Name):
            name = function.id
            of_frame = name in _FRAME_BUILTINS and not (name == "vars" and has_arguments(node))
            if of_frame or (name == "super" and not has_arguments(node)):
                special = self._is_builtin(name)
        node.args[:] = [self._visit(argument) for argument in node.args]
        for keyword in node.keywords:
            keyword.value = self._visit(keyword.value)
        if special:
            assert isinstance(function, ast.Name)
            shows_hooks = function.id in _LOCAL_NAMES and not self._scope.is_class
            if shows_hooks and not has_arguments(node):
                return hook_call("__pb_visible__", node, node)
            return node
        # Python calls a method from its name on, and what takes `*` or `**` as a whole.
        if not any(isinstance(argument, ast.Starred) for argument in node.args) and all(
            keyword.arg is not None for keyword in node.keywords
        ):
            start_at_attribute(node, function)
        node.func = ast.Name("__pb_call__", LOAD, **placed(node))
        node.args.insert(0, self._method(function))
        return node

    def _method(self, node: ast.expr) -> ast.expr:
        """Visit a function that is called; what `append` and its like change is not read."""
        if not isinstance(node, ast.Attribute) or node.attr not in _ADDING:
            return self._expression(node)
        owner = node.value
        container: ast.expr
        if isinstance(owner, ast.Attribute):
            name = ast.Constant(self._mangled(owner.attr), **placed(owner))
            container = hook_call("__pb_container__", owner, self._expression(owner.value), name)
        else:
            container = self._expression(owner)
            if isinstance(container, ast.Call) and isinstance(owner, ast.Name):
                container.args.append(ast.Constant(True, **placed(owner)))
        start_at_attribute(node, node)
        return hook_call("__pb_attr__", node, container, ast.Constant(node.attr, **placed(node)))

    def _attribute(self, node: ast.Attribute) -> ast.expr:
        name = self._mangled(node.attr)
        value = self._visit(node.value)
        start_at_attribute(node, node)
        return hook_call("__pb_attr__", node, value, ast.Constant(name, **placed(node)))

    def _subscript(self, node: ast.Subscript) -> ast.expr:
        return hook_call("__pb_item__", node, self._visit(node.value), self._index(node.slice))

    def _index(self, node: ast.expr) -> ast.expr:
        """Visit an index, with slices made by a hook: they are no expression elsewhere."""
        if isinstance(node, ast.Slice):
            parts = (node.lower, node.upper, node.step)
            bounds = [
                ast.Constant(None, **placed(node)) if part is None else self._visit(part)
                for part in parts
            ]
            return hook_call("__pb_slice__", node, *bounds)
        if isinstance(node, ast.Tuple):
            node.elts[:] = [self._index(element) for element in node.elts]
            return node
        return self._expression(node)

    def _expression(self, node: ast.expr) -> ast.expr:
        result: ast.expr = self._visit(node)
        return result

    def _test(self, node: ast.expr) -> ast.expr:
        """Visit an expression of which the truth alone is used: each operand is asked once."""
        if isinstance(node, ast.Constant):
            return node
        return hook_call("__pb_test__", node, self._visit(node))

    def _unary(self, node: ast.UnaryOp) -> ast.expr:
        node.operand = self._expression(node.operand)
        return hook_call("__pb_not__", node, node.operand) if isinstance(node.op, ast.Not) else node

    def _f_string(self, node: ast.JoinedStr) -> ast.expr:
        """Give the parts to a hook: texts, and tuples of value, conversion and format."""
        parts: list[ast.expr] = []
        for part in node.values:
            if not isinstance(part, ast.FormattedValue):
                parts.append(part)
                continue
            value = self._expression(part.value)
            kind = "" if part.conversion < 0 else chr(part.conversion)
            spec = (
                ast.Constant("", **placed(part)) if part.format_spec is None else part.format_spec
            )
            elements = [value, ast.Constant(kind, **placed(part)), self._expression(spec)]
            parts.append(ast.Tuple(elements, LOAD, **placed(part)))
        return hook_call("__pb_text__", node, *parts)

    def _binary(self, node: ast.BinOp) -> ast.expr:
        """Let a hook format `"..." % values`; other operators are NumPy's to dispatch."""
        is_text = isinstance(node.left, ast.JoinedStr) or (
            isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)
        )
        left, right = self._expression(node.left), self._expression(node.right)
        if is_text and isinstance(node.op, ast.Mod):
            return hook_call("__pb_percent__", node, left, right)
        node.left, node.right = left, right
        return node

    def _compare(self, node: ast.Compare) -> ast.expr:
        """Let a hook say whether two values are one object; NumPy dispatches the rest."""
        left, *others = [self._expression(n) for n in (node.left, *node.comparators)]
        operator = node.ops[0]
        is_known = len(others) > 1 or any(isinstance(n, ast.Constant) for n in (left, *others))
        if isinstance(operator, ast.Is | ast.IsNot) and not is_known:
            same = hook_call("__pb_is__", node, left, others[0])
            is_one = isinstance(operator, ast.Is)
            return same if is_one else ast.UnaryOp(ast.Not(), same, **placed(node))
        if len(others) > 1 and not self._scope.is_class and not binds_or_waits(node):
            return self._chain(node, left, others)
        node.left, node.comparators = left, others
        return node

    def _chain(self, node: ast.Compare, left: ast.expr, others: list[ast.expr]) -> ast.expr:
        """Let a hook compare one after the other, as long as it holds."""
        at = placed(node)
        compared: list[ast.expr] = []
        for operator in node.ops:
            names = [ast.Name(n, LOAD, **at) for n in ("a", "b")]
            compared.append(deferred(ast.Compare(names[0], [operator], [names[1]], **at), "a", "b"))
        pairs = zip(compared, map(deferred, others), strict=True)
        return hook_call("__pb_chain__", node, left, *[part for pair in pairs for part in pair])

    def _ternary(self, node: ast.IfExp) -> ast.expr:
        if self._scope.is_class or binds_or_waits(node):
            node.test = self._test(node.test)
            node.body = self._visit(node.body)
            node.orelse = self._visit(node.orelse)
            return node
        condition = self._expression(node.test)
        parts = [deferred(self._expression(n)) for n in (node.body, node.orelse)]
        return hook_call("__pb_ifexp__", node, condition, *parts)

    def _bool_op(self, node: ast.BoolOp) -> ast.expr:
        if self._scope.is_class or binds_or_waits(node):
            node.values[:] = [self._expression(value) for value in node.values]
            return node
        first, *others = [self._expression(value) for value in node.values]
        name = "__pb_and__" if isinstance(node.op, ast.And) else "__pb_or__"
        return hook_call(name, node, first, *map(deferred, others))

    _EXPRESSIONS: ClassVar[Methods] = {
        ast.Constant: _leaf,
        ast.Name: _name,
        ast.Call: _call,
        ast.Attribute: _attribute,
        ast.Subscript: _subscript,
        ast.UnaryOp: _unary,
        ast.BoolOp: _bool_op,
        ast.BinOp: _binary,
        ast.Compare: _compare,
        ast.JoinedStr: _f_string,
        ast.IfExp: _ternary,
    }

    _STATEMENTS: ClassVar[Methods] = {}


__all__ = ["ExpressionHooking", "Methods"]

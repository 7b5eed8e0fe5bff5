"""The visitor that puts hook calls into a syntax tree, in place (see `rewrite`): statements."""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import Any, ClassVar

from .expressions import ExpressionHooking, Methods
from .nodes import LOAD, deferred, hook_call, pair_up, placed
from .scope import Kind, Scope, target_names
from .staging import Staging

_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+=",
    ast.Sub: "-=",
    ast.Mult: "*=",
    ast.MatMult: "@=",
    ast.Div: "/=",
    ast.FloorDiv: "//=",
    ast.Mod: "%=",
    ast.Pow: "**=",
    ast.LShift: "<<=",
    ast.RShift: ">>=",
    ast.BitOr: "|=",
    ast.BitXor: "^=",
    ast.BitAnd: "&=",
}

_STORE_HOOKS = {Kind.GLOBAL: "__pb_setglobal__", Kind.FREE: "__pb_setfree__"}


class Hooking(ExpressionHooking):
    """Rewrites one function: its statements are replaced by lists of statements."""

    def __init__(
        self, scope: Scope, global_names: Collection[str], builtin_names: Collection[str]
    ) -> None:
        super().__init__(scope, global_names, builtin_names)
        self._staging = Staging()

    def function_body(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        """Put hooks into the body of `node`, whose scope is the current one."""
        if isinstance(node, ast.Lambda):
            node.body = self._visit(node.body)
            return
        outer = self._staging
        self._staging = Staging.of(node, self._scope.private)
        node.body = self._block(node.body)
        self._staging = outer

    # --- Functions and names in expressions -----------------------------------------------------

    def _walrus(self, node: ast.NamedExpr) -> ast.expr:
        node.value = self._bound(node.target, node.value, [])
        return node

    def _lambda(self, node: ast.Lambda) -> ast.expr:
        self._defaults(node.args)
        outer = self._inside(node, self._scope.private)
        self.function_body(node)
        self._scope = outer
        return node

    def _comprehension(self, node: Any) -> ast.expr:
        generators: list[ast.comprehension] = node.generators
        # The first iterable is evaluated outside of the comprehension, the others inside.
        first = self._iterable(generators[0])
        outer = self._inside(node, self._scope.private)
        for generator in generators:
            generator.target = self._target(generator.target)
            generator.iter = first if generator is generators[0] else self._iterable(generator)
            generator.ifs[:] = [self._test(test) for test in generator.ifs]
        for field in ("elt", "key", "value"):
            if hasattr(node, field):
                setattr(node, field, self._visit(getattr(node, field)))
        self._scope = outer
        result: ast.expr = node
        return result

    def _iterable(self, node: ast.comprehension | ast.For) -> ast.expr:
        value = self._expression(node.iter)
        if isinstance(node, ast.comprehension) and node.is_async:
            return value
        return hook_call("__pb_iter__", node.iter, value)

    # --- Stores -----------------------------------------------------------------------------

    def _target(self, node: ast.expr) -> ast.expr:
        """Make the stores and deletions of a target go through hooks."""
        if isinstance(node, ast.Tuple | ast.List):
            node.elts[:] = [self._target(element) for element in node.elts]
        elif isinstance(node, ast.Starred):
            node.value = self._target(node.value)
        elif isinstance(node, ast.Subscript | ast.Attribute):
            node.value = hook_call("__pb_store__", node.value, self._visit(node.value))
            if isinstance(node, ast.Subscript):
                node.slice = self._visit(node.slice)
        return node

    def _bound(self, target: ast.expr, value: ast.expr, after: list[ast.stmt]) -> ast.expr:
        """Visit `value`, and tell a hook the names that it gets when assigned to `target`.

        What cannot be told in the expression is told by statements, appended to `after`.
        """
        if isinstance(target, ast.Name):
            has_name = isinstance(value, ast.Constant | ast.Lambda | ast.Name)
            return self._named(target.id, self._visit(value), is_new=not has_name)
        if isinstance(target, ast.Tuple | ast.List):
            if isinstance(value, ast.Tuple | ast.List) and pair_up(target, value):
                pairs = zip(target.elts, value.elts, strict=True)
                value.elts[:] = [self._bound(t, v, after) for t, v in pairs]
                return value
            after.extend(self._told(target, is_new=True))
        return self._expression(value)

    def _named(self, name: str, value: ast.expr, *, is_new: bool) -> ast.expr:
        if name.startswith("__pb_"):
            return value
        name = self._mangled(name)
        kind = self._scope.kind(name)
        hook = _STORE_HOOKS.get(kind)
        if hook is None and is_new and kind is Kind.LOCAL:
            hook = "__pb_name__"
        if hook is None:
            return value
        return hook_call(hook, value, ast.Constant(name, **placed(value)), value)

    def _told(self, target: ast.expr, *, is_new: bool) -> list[ast.stmt]:
        """Return the statements that tell hooks the names in `target` after it was assigned."""
        if not isinstance(target, ast.Name | ast.Tuple | ast.List):
            return []
        result: list[ast.stmt] = []
        for name in target_names(target):
            load = ast.Name(name, LOAD, **placed(target))
            told = self._named(name, load, is_new=is_new)
            if told is not load:
                result.append(ast.Expr(told, **placed(target)))
        return result

    def _assign(self, node: ast.Assign) -> list[ast.stmt]:
        after: list[ast.stmt] = []
        first = next((t for t in node.targets if isinstance(t, ast.Name)), node.targets[0])
        value = self._bound(first, node.value, after)
        for target in node.targets:
            if target is not first:
                if isinstance(target, ast.Name):
                    value = self._named(target.id, value, is_new=False)
                else:
                    after.extend(self._told(target, is_new=True))
        node.value = value
        node.targets[:] = [self._target(target) for target in node.targets]
        return [node, *after]

    def _annotated(self, node: ast.AnnAssign) -> list[ast.stmt]:
        if node.value is not None:
            node.value = self._bound(node.target, node.value, [])
            target: Any = self._target(node.target)
            node.target = target
        return [node]

    def _augmented(self, node: ast.AugAssign) -> list[ast.stmt]:
        target = node.target
        value = self._visit(node.value)
        op = ast.Constant(_OPERATORS[type(node.op)], **placed(node))
        if isinstance(target, ast.Name):
            old = self._name(ast.Name(target.id, LOAD, **placed(target)))
            new = self._named(target.id, hook_call("__pb_aug__", node, old, value, op), is_new=True)
            return [ast.Assign([target], new, **placed(node))]
        if isinstance(target, ast.Subscript):
            kind = "item"
            key = self._index(target.slice)
        else:
            kind = "attr"
            key = ast.Constant(self._mangled(target.attr), **placed(target))
        loaded = hook_call(f"__pb_load{kind}__", target, self._visit(target.value), key)
        place = ast.Starred(loaded, LOAD, **placed(target))
        return [ast.Expr(hook_call(f"__pb_aug{kind}__", node, place, value, op), **placed(node))]

    def _delete(self, node: ast.Delete) -> list[ast.stmt]:
        node.targets[:] = [self._target(target) for target in node.targets]
        return [node]

    # --- Other statements -------------------------------------------------------------------

    def _assert(self, node: ast.Assert) -> list[ast.stmt]:
        message = ast.Constant(None, **placed(node)) if node.msg is None else self._visit(node.msg)
        function = deferred(message)
        return [
            ast.Expr(
                hook_call("__pb_assert__", node, self._visit(node.test), function),
                **placed(node),
            )
        ]

    def _if(self, node: ast.If) -> list[ast.stmt]:
        driver = self._staging.driver(node)
        if driver is None:
            return self._tested(node)
        condition = self._expression(node.test)
        with self._staging.deeper():
            node.body = self._block(node.body)
            node.orelse = self._block(node.orelse)
        return driver.branch(node, condition)

    def _while(self, node: ast.While) -> list[ast.stmt]:
        driver = self._staging.driver(node)
        if driver is None:
            return self._tested(node)
        test = self._expression(node.test)
        with self._staging.deeper():
            node.body = self._block(node.body)
        return driver.loop(node, None, test)

    def _tested(self, node: ast.If | ast.While) -> list[ast.stmt]:
        node.test = self._test(node.test)
        node.body = self._block(node.body)
        node.orelse = self._block(node.orelse)
        return [node]

    def _for(self, node: ast.For) -> list[ast.stmt]:
        driver = self._staging.driver(node)
        told = self._told(node.target, is_new=False)
        node.iter = self._iterable(node)
        node.target = self._target(node.target)
        with self._staging.deeper():
            node.body = told + self._block(node.body)
        if driver is not None:
            return driver.loop(node, node.iter, None)
        node.orelse = self._block(node.orelse)
        return [node]

    def _with(self, node: ast.With | ast.AsyncWith) -> list[ast.stmt]:
        told: list[ast.stmt] = []
        for item in node.items:
            item.context_expr = self._visit(item.context_expr)
            if item.optional_vars is not None:
                told += self._told(item.optional_vars, is_new=False)
                item.optional_vars = self._target(item.optional_vars)
        node.body = told + self._block(node.body)
        return [node]

    def _try(self, node: ast.Try | ast.TryStar) -> list[ast.stmt]:
        """Let a hook look at what the body of a `try` emits, and at what its handlers catch."""
        self._children(node)
        if node.handlers:
            caught = [h.type for h in node.handlers]
            names = "" if None in caught else ", ".join(ast.unparse(t) for t in caught if t)
            first = node.body[0]
            guard = hook_call("__pb_try__", first, ast.Constant(names, **placed(first)))
            node.body[:] = [ast.With([ast.withitem(guard, None)], [*node.body], **placed(first))]
        for handler in node.handlers:
            first = handler.body[0]
            handler.body.insert(0, ast.Expr(hook_call("__pb_caught__", first), **placed(first)))
        return [node]

    def _match(self, node: ast.Match) -> list[ast.stmt]:
        node.subject = self._visit(node.subject)
        for case in node.cases:
            case.guard = None if case.guard is None else self._test(case.guard)
            case.body = self._block(case.body)
        return [node]

    def _unchanged(self, node: ast.stmt) -> list[ast.stmt]:
        return [node]

    def _defaults(self, arguments: ast.arguments) -> None:
        arguments.defaults[:] = [self._visit(default) for default in arguments.defaults]
        arguments.kw_defaults[:] = [
            None if default is None else self._visit(default) for default in arguments.kw_defaults
        ]

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
        node.decorator_list[:] = [self._visit(decorator) for decorator in node.decorator_list]
        self._defaults(node.args)
        outer = self._inside(node, self._scope.private)
        self.function_body(node)
        self._scope = outer
        return [node]

    def _class(self, node: ast.ClassDef) -> list[ast.stmt]:
        for expressions in (node.decorator_list, node.bases):
            expressions[:] = [self._visit(expression) for expression in expressions]
        for keyword in node.keywords:
            keyword.value = self._visit(keyword.value)
        outer = self._inside(node, node.name)
        node.body = self._block(node.body)
        self._scope = outer
        return [node]

    _EXPRESSIONS: ClassVar[Methods] = {
        **ExpressionHooking._EXPRESSIONS,
        ast.NamedExpr: _walrus,
        ast.Lambda: _lambda,
        ast.ListComp: _comprehension,
        ast.SetComp: _comprehension,
        ast.DictComp: _comprehension,
        ast.GeneratorExp: _comprehension,
    }

    _STATEMENTS: ClassVar[Methods] = {
        ast.Assign: _assign,
        ast.AnnAssign: _annotated,
        ast.AugAssign: _augmented,
        ast.Delete: _delete,
        ast.If: _if,
        ast.While: _while,
        ast.Assert: _assert,
        ast.For: _for,
        ast.With: _with,
        ast.AsyncWith: _with,
        ast.Match: _match,
        ast.Try: _try,
        ast.TryStar: _try,
        ast.FunctionDef: _function,
        ast.AsyncFunctionDef: _function,
        ast.ClassDef: _class,
        ast.Import: _unchanged,
        ast.ImportFrom: _unchanged,
        ast.Global: _unchanged,
        ast.Nonlocal: _unchanged,
    }


__all__ = ["Hooking"]

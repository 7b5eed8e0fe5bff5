"""The visitor that puts hook calls into a syntax tree, in place (see `rewrite`)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, TypeVar

from .scope import Kind, Scope, ScopeNode, mangled, target_names
from .staging import Staging

_Node = TypeVar("_Node", bound=ast.AST)

# Their meaning depends on the frame that calls them.
_FRAME_BUILTINS = frozenset({"locals", "globals", "vars", "dir", "eval", "exec", "breakpoint"})
_LOCAL_NAMES = frozenset({"locals", "vars", "dir"})

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

# Methods that put something into a container without a look at what is there.
_ADDING = frozenset({"append", "appendleft", "extend", "extendleft", "add"})

_STORE_HOOKS = {Kind.GLOBAL: "__pb_setglobal__", Kind.FREE: "__pb_setfree__"}

# Fields that hold no expression to visit: operators and contexts, texts, annotations, patterns.
_SKIPPED = frozenset(
    {"op", "ops", "ctx", "kind", "conversion", "annotation", "pattern", "type_comment"}
)
_LOAD = ast.Load()

_Methods = dict[type[ast.AST], Callable[["Hooking", Any], Any]]


class Hooking:
    """Rewrites one function; each `_method` takes a node and returns what replaces it.

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
        self._staging = Staging()
        self.builtins: set[str] = set()

    def function_body(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        """Put hooks into the body of `node`, whose scope is the current one."""
        if isinstance(node, ast.Lambda):
            node.body = self._visit(node.body)
            return
        outer = self._staging
        self._staging = Staging.of(node, self._scope.private)
        node.body = self._block(node.body)
        self._staging = outer

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
            return _hook("__pb_free__", node, ast.Constant(name, **_at(node)), node)
        if kind is Kind.GLOBAL and not self._is_builtin(name):
            return _hook("__pb_global__", node, ast.Constant(name, **_at(node)), node)
        return node

    def _call(self, node: ast.Call) -> ast.expr:
        function = node.func
        special = False
        if isinstance(function, ast.Name):
            name = function.id
            of_frame = name in _FRAME_BUILTINS and not (name == "vars" and _has_arguments(node))
            if of_frame or (name == "super" and not _has_arguments(node)):
                special = self._is_builtin(name)
        node.args[:] = [self._visit(argument) for argument in node.args]
        for keyword in node.keywords:
            keyword.value = self._visit(keyword.value)
        if special:
            assert isinstance(function, ast.Name)
            shows_hooks = function.id in _LOCAL_NAMES and not self._scope.is_class
            if shows_hooks and not _has_arguments(node):
                return _hook("__pb_visible__", node, node)
            return node
        # Python calls a method from its name on, and what takes `*` or `**` as a whole.
        if not any(isinstance(argument, ast.Starred) for argument in node.args) and all(
            keyword.arg is not None for keyword in node.keywords
        ):
            _start_at_attribute(node, function)
        node.func = ast.Name("__pb_call__", _LOAD, **_at(node))
        node.args.insert(0, self._method(function))
        return node

    def _method(self, node: ast.expr) -> ast.expr:
        """Visit a function that is called; what `append` and its like change is not read."""
        if not isinstance(node, ast.Attribute) or node.attr not in _ADDING:
            return self._expression(node)
        owner = node.value
        container: ast.expr
        if isinstance(owner, ast.Attribute):
            name = ast.Constant(self._mangled(owner.attr), **_at(owner))
            container = _hook("__pb_container__", owner, self._expression(owner.value), name)
        else:
            container = self._expression(owner)
            if isinstance(container, ast.Call) and isinstance(owner, ast.Name):
                container.args.append(ast.Constant(True, **_at(owner)))
        _start_at_attribute(node, node)
        return _hook("__pb_attr__", node, container, ast.Constant(node.attr, **_at(node)))

    def _attribute(self, node: ast.Attribute) -> ast.expr:
        name = self._mangled(node.attr)
        value = self._visit(node.value)
        _start_at_attribute(node, node)
        return _hook("__pb_attr__", node, value, ast.Constant(name, **_at(node)))

    def _subscript(self, node: ast.Subscript) -> ast.expr:
        return _hook("__pb_item__", node, self._visit(node.value), self._index(node.slice))

    def _index(self, node: ast.expr) -> ast.expr:
        """Visit an index, with slices made by a hook: they are no expression elsewhere."""
        if isinstance(node, ast.Slice):
            parts = (node.lower, node.upper, node.step)
            bounds = [
                ast.Constant(None, **_at(node)) if part is None else self._visit(part)
                for part in parts
            ]
            return _hook("__pb_slice__", node, *bounds)
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
        return _hook("__pb_test__", node, self._visit(node))

    def _unary(self, node: ast.UnaryOp) -> ast.expr:
        node.operand = self._expression(node.operand)
        return _hook("__pb_not__", node, node.operand) if isinstance(node.op, ast.Not) else node

    def _f_string(self, node: ast.JoinedStr) -> ast.expr:
        """Give the parts to a hook: texts, and tuples of value, conversion and format."""
        parts: list[ast.expr] = []
        for part in node.values:
            if not isinstance(part, ast.FormattedValue):
                parts.append(part)
                continue
            value = self._expression(part.value)
            kind = "" if part.conversion < 0 else chr(part.conversion)
            spec = ast.Constant("", **_at(part)) if part.format_spec is None else part.format_spec
            elements = [value, ast.Constant(kind, **_at(part)), self._expression(spec)]
            parts.append(ast.Tuple(elements, _LOAD, **_at(part)))
        return _hook("__pb_text__", node, *parts)

    def _binary(self, node: ast.BinOp) -> ast.expr:
        """Let a hook format `"..." % values`; other operators are NumPy's to dispatch."""
        is_text = isinstance(node.left, ast.JoinedStr) or (
            isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)
        )
        left, right = self._expression(node.left), self._expression(node.right)
        if is_text and isinstance(node.op, ast.Mod):
            return _hook("__pb_percent__", node, left, right)
        node.left, node.right = left, right
        return node

    def _compare(self, node: ast.Compare) -> ast.expr:
        """Let a hook say whether two values are one object; NumPy dispatches the rest."""
        left, *others = [self._expression(n) for n in (node.left, *node.comparators)]
        operator = node.ops[0]
        is_known = len(others) > 1 or any(isinstance(n, ast.Constant) for n in (left, *others))
        if isinstance(operator, ast.Is | ast.IsNot) and not is_known:
            same = _hook("__pb_is__", node, left, others[0])
            is_one = isinstance(operator, ast.Is)
            return same if is_one else ast.UnaryOp(ast.Not(), same, **_at(node))
        if len(others) > 1 and not self._scope.is_class and not _binds_or_waits(node):
            return self._chain(node, left, others)
        node.left, node.comparators = left, others
        return node

    def _chain(self, node: ast.Compare, left: ast.expr, others: list[ast.expr]) -> ast.expr:
        """Let a hook compare one after the other, as long as it holds."""
        at = _at(node)
        compared: list[ast.expr] = []
        for operator in node.ops:
            names = [ast.Name(n, _LOAD, **at) for n in ("a", "b")]
            compared.append(
                _deferred(ast.Compare(names[0], [operator], [names[1]], **at), "a", "b")
            )
        pairs = zip(compared, map(_deferred, others), strict=True)
        return _hook("__pb_chain__", node, left, *[part for pair in pairs for part in pair])

    def _ternary(self, node: ast.IfExp) -> ast.expr:
        if self._scope.is_class or _binds_or_waits(node):
            node.test = self._test(node.test)
            node.body = self._visit(node.body)
            node.orelse = self._visit(node.orelse)
            return node
        condition = self._expression(node.test)
        parts = [_deferred(self._expression(n)) for n in (node.body, node.orelse)]
        return _hook("__pb_ifexp__", node, condition, *parts)

    def _bool_op(self, node: ast.BoolOp) -> ast.expr:
        if self._scope.is_class or _binds_or_waits(node):
            node.values[:] = [self._expression(value) for value in node.values]
            return node
        first, *others = [self._expression(value) for value in node.values]
        name = "__pb_and__" if isinstance(node.op, ast.And) else "__pb_or__"
        return _hook(name, node, first, *map(_deferred, others))

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
        return _hook("__pb_iter__", node.iter, value)

    # --- Stores -----------------------------------------------------------------------------

    def _target(self, node: ast.expr) -> ast.expr:
        """Make the stores and deletions of a target go through hooks."""
        if isinstance(node, ast.Tuple | ast.List):
            node.elts[:] = [self._target(element) for element in node.elts]
        elif isinstance(node, ast.Starred):
            node.value = self._target(node.value)
        elif isinstance(node, ast.Subscript | ast.Attribute):
            node.value = _hook("__pb_store__", node.value, self._visit(node.value))
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
            if isinstance(value, ast.Tuple | ast.List) and _pair_up(target, value):
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
        return _hook(hook, value, ast.Constant(name, **_at(value)), value)

    def _told(self, target: ast.expr, *, is_new: bool) -> list[ast.stmt]:
        """Return the statements that tell hooks the names in `target` after it was assigned."""
        if not isinstance(target, ast.Name | ast.Tuple | ast.List):
            return []
        result: list[ast.stmt] = []
        for name in target_names(target):
            load = ast.Name(name, _LOAD, **_at(target))
            told = self._named(name, load, is_new=is_new)
            if told is not load:
                result.append(ast.Expr(told, **_at(target)))
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
        op = ast.Constant(_OPERATORS[type(node.op)], **_at(node))
        if isinstance(target, ast.Name):
            old = self._name(ast.Name(target.id, _LOAD, **_at(target)))
            new = self._named(target.id, _hook("__pb_aug__", node, old, value, op), is_new=True)
            return [ast.Assign([target], new, **_at(node))]
        if isinstance(target, ast.Subscript):
            kind = "item"
            key = self._index(target.slice)
        else:
            kind = "attr"
            key = ast.Constant(self._mangled(target.attr), **_at(target))
        loaded = _hook(f"__pb_load{kind}__", target, self._visit(target.value), key)
        place = ast.Starred(loaded, _LOAD, **_at(target))
        return [ast.Expr(_hook(f"__pb_aug{kind}__", node, place, value, op), **_at(node))]

    def _delete(self, node: ast.Delete) -> list[ast.stmt]:
        node.targets[:] = [self._target(target) for target in node.targets]
        return [node]

    # --- Other statements -------------------------------------------------------------------

    def _assert(self, node: ast.Assert) -> list[ast.stmt]:
        message = ast.Constant(None, **_at(node)) if node.msg is None else self._visit(node.msg)
        function = _deferred(message)
        return [
            ast.Expr(_hook("__pb_assert__", node, self._visit(node.test), function), **_at(node))
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
            guard = _hook("__pb_try__", first, ast.Constant(names, **_at(first)))
            node.body[:] = [ast.With([ast.withitem(guard, None)], [*node.body], **_at(first))]
        for handler in node.handlers:
            first = handler.body[0]
            handler.body.insert(0, ast.Expr(_hook("__pb_caught__", first), **_at(first)))
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

    _EXPRESSIONS: ClassVar[_Methods] = {
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
        ast.NamedExpr: _walrus,
        ast.Lambda: _lambda,
        ast.ListComp: _comprehension,
        ast.SetComp: _comprehension,
        ast.DictComp: _comprehension,
        ast.GeneratorExp: _comprehension,
    }

    _STATEMENTS: ClassVar[_Methods] = {
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


def _at(node: Any) -> dict[str, Any]:
    return {
        "lineno": node.lineno,
        "col_offset": node.col_offset,
        "end_lineno": node.end_lineno,
        "end_col_offset": node.end_col_offset,
    }


def _hook(name: str, where: ast.AST, *arguments: ast.expr) -> ast.Call:
    """Return a call of the hook `name`, at the position of the user's node `where`."""
    at = _at(where)
    return ast.Call(ast.Name(name, _LOAD, **at), list(arguments), [], **at)


def _deferred(node: ast.expr, *names: str) -> ast.expr:
    """Return a function of the names whose body is `node`: it is evaluated where it is needed."""
    at = _at(node)
    arguments = ast.arguments([], [ast.arg(n, **at) for n in names], None, [], [], None, [])
    return ast.Lambda(arguments, node, **at)


def _binds_or_waits(node: ast.AST) -> bool:
    """Whether an expression cannot be put into a function: it assigns, yields or awaits."""
    return any(
        isinstance(n, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom) for n in ast.walk(node)
    )


def _has_arguments(node: ast.Call) -> bool:
    return bool(node.args or node.keywords)


def _pair_up(target: ast.Tuple | ast.List, value: ast.Tuple | ast.List) -> bool:
    """Say whether each element of the value goes to the element of the target beside it."""
    return len(target.elts) == len(value.elts) and not any(
        isinstance(element, ast.Starred) for element in (*target.elts, *value.elts)
    )


def _start_at_attribute(node: ast.Call | ast.Attribute, function: ast.expr) -> None:
    """Let an attribute access over several lines start at its name, as it does in tracebacks."""
    if isinstance(function, ast.Attribute) and function.lineno != function.end_lineno:
        assert function.end_lineno is not None
        assert function.end_col_offset is not None
        start = function.end_col_offset - len(function.attr.encode())
        node.lineno, node.col_offset = function.end_lineno, start

"""Reads the statements of one function into a builder, for `parse`."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .attributes import AttributeReader
from .builder import Builder
from .core import Atom, Function, Literal, Value
from .dims import Dim, Symbol
from .errors import ParseError, PullbackError
from .forms import OPERATORS, infix_ops, matmul_for, parse_subscript, transpose_for
from .literals import parse_literal
from .op import Elementwise, Op
from .ops.cond import Cond
from .ops.control import INDEX, Call, Fused, Loop
from .ops.index import Index, Index_
from .ops.matmul import MatMul
from .ops.recursion import Recur, Recursion
from .ops.special import op_named
from .printer import static_range
from .signature import parse_binder, parse_boundary, parse_type, unreadable
from .types import ArrayType, Kind, Layout


class Reader:
    """Reads one function, or one block inside it, into a builder.

    A name is one symbol all over the text of a function, so that a loop's body and test share
    their index.
    """

    def __init__(self, objects: Mapping[str, Any], symbols: dict[str, Symbol]) -> None:
        self.objects = objects
        self.symbols = symbols
        self.scope: dict[str, Atom] = {}
        self.regions: dict[str, Function] = {}
        self.builder = Builder()
        self.infix = infix_ops()
        self.attributes = AttributeReader(symbols, objects)

    # ---- functions and statements --------------------------------------------------------------

    def function(self, node: ast.FunctionDef) -> Function:
        """Return the function that a definition says."""
        arguments = node.args
        dims = self._dims(arguments)
        kinds: list[Kind] = []
        for argument in arguments.args:
            if argument.annotation is None:
                raise unreadable(argument, f"`{argument.arg}` needs a type")
            type, kind, layout = parse_boundary(argument.annotation, self.symbols)
            self._bind(argument, argument.arg, self.builder.param(_value(type, layout)))
            kinds.append(kind)
        *body, last = node.body
        for statement in body:
            self.statement(statement)
        if not isinstance(last, ast.Return) or last.value is None:
            raise unreadable(last, "expected `return` with the results as the last line")
        results, result_kinds = self._results(node, last.value)
        return self.builder.finish(
            node.name, results, dims=dims, param_kinds=kinds, result_kinds=result_kinds
        )

    def _dims(self, arguments: ast.arguments) -> tuple[Symbol, ...]:
        if arguments.posonlyargs or arguments.defaults or arguments.vararg or arguments.kwarg:
            raise unreadable(
                (arguments.posonlyargs + arguments.args + arguments.kwonlyargs)[0],
                "expected parameters `name: type` and then `*, dims=(...)`",
            )
        match arguments.kwonlyargs, arguments.kw_defaults:
            case [], []:
                return ()
            case [ast.arg(arg="dims")], [ast.Tuple(elts=binders)]:
                return tuple(parse_binder(binder, self.symbols) for binder in binders)
            case _:
                raise unreadable(arguments.kwonlyargs[0], "expected `*, dims=(n, 0 <= i <= 9)`")

    def _results(
        self, node: ast.FunctionDef, value: ast.expr
    ) -> tuple[list[Atom], list[Kind] | None]:
        parts = value.elts if isinstance(value, ast.Tuple) else [value]
        if node.returns is None:
            return self._operands(parts), None
        tupled = isinstance(node.returns, ast.Tuple)
        declared = node.returns.elts if isinstance(node.returns, ast.Tuple) else [node.returns]
        if len(declared) != len(parts) or tupled != isinstance(value, ast.Tuple):
            raise unreadable(value, f"expected {len(declared)} results, found {len(parts)}")
        results: list[Atom] = []
        kinds: list[Kind] = []
        for part, annotation in zip(parts, declared, strict=True):
            type, kind, _ = parse_boundary(annotation, self.symbols)
            (atom,) = self._operands([part], [type.dtype])
            if atom.type != type:
                raise unreadable(part, f"this is {atom.type}, but the function returns {type}")
            results.append(atom)
            kinds.append(kind)
        return results, kinds

    def statement(self, node: ast.stmt) -> None:
        """Read one statement: an equation, a region's definition, or a fused block."""
        match node:
            case ast.AnnAssign(target=ast.Name() as target, annotation=note, value=value) if value:
                self._define([target], value, note)
            case ast.Assign(targets=[ast.Name() as target], value=value):
                self._define([target], value, None)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=value):
                self._define(targets, value, None)
            case ast.Expr(value=ast.Constant()):
                pass
            case ast.Expr(value=value):
                self._define([], value, None)
            case ast.FunctionDef():
                self._fresh(node, node.name)
                self.regions[node.name] = Reader(self.objects, self.symbols).function(node)
            case ast.With(items=[ast.withitem(context_expr=ast.Call() as call)]):
                self._block(call, node.body)
            case _:
                raise unreadable(
                    node, "expected `name : type = expression`, `with fused(...):` or `def`"
                )

    def _define(
        self, targets: Sequence[ast.expr], node: ast.expr, annotation: ast.expr | None
    ) -> None:
        results = self._expression(node, annotation)
        if results is None:
            raise unreadable(node, "expected an op: a name or number alone computes nothing")
        if len(results) != len(targets):
            raise unreadable(node, f"this has {len(results)} results, for {len(targets)} names")
        if annotation is not None:
            declared = parse_type(annotation, self.symbols)
            if declared != results[0].type:
                raise unreadable(annotation, f"expected {results[0].type}, the inferred type")
        for target, result in zip(targets, results, strict=True):
            if not isinstance(target, ast.Name):
                raise unreadable(target, "expected a name")
            self._bind(target, target.id, result)

    def _fresh(self, node: ast.AST, name: str) -> None:
        if name in self.scope or name in self.regions:
            raise unreadable(node, f"`{name}` is assigned twice")

    def _bind(self, node: ast.AST, name: str, value: Value) -> None:
        self._fresh(node, name)
        value.hint = name
        self.scope[name] = value

    # ---- expressions ---------------------------------------------------------------------------

    def _expression(
        self, node: ast.expr, annotation: ast.expr | None = None
    ) -> tuple[Value, ...] | None:
        """Emit the op that an expression is; None where it is an atom."""
        if parse_literal(node, ()) is not None:
            return None
        match node:
            case ast.BinOp(left=left, op=operator, right=right):
                return self._infix(node, operator, [left, right])
            case ast.Compare(left=left, ops=[operator], comparators=[right]):
                return self._infix(node, operator, [left, right])
            case ast.UnaryOp(op=operator, operand=operand):
                return self._infix(node, operator, [operand])
            case ast.Attribute(value=value, attr="T"):
                (array,) = self._operands([value])
                return self._emit(node, transpose_for(array.type), [array])
            case ast.Subscript(value=value):
                (base,) = self._operands([value])
                index, places = parse_subscript(node, base.type, self.symbols)
                positions = self._operands(places)
                gather = any(p.type.shape for p in positions)
                return self._emit(node, Index(index, gather), [base, *positions])
            case ast.Call(func=ast.Name(id="loop")):
                return self._loop(node)
            case ast.Call(func=ast.Name(id="cond")):
                return self._cond(node)
            case ast.Call(func=ast.Name(id="call")):
                return self._call(node, annotation, Call)
            case ast.Call(func=ast.Name(id="recur")):
                return self._call(node, annotation, Recur)
            case ast.Call(func=ast.Name(id="recursion")):
                return self._recursion(node)
            case ast.Call(func=ast.Name()):
                return self._generic(node)
            case ast.Name():
                return None
            case _:
                raise unreadable(node, "expected an op: `name(...)`, an operator or a subscript")

    def _emit(self, node: ast.expr, op: Op, operands: Sequence[Atom]) -> tuple[Value, ...]:
        try:
            types = op.infer(*[a.type for a in operands])
            return self.builder.append(op, tuple(operands), types)
        except (PullbackError, TypeError, ValueError, IndexError) as error:
            raise unreadable(node, f"{op.name}: {error}") from error

    def _infix(self, node: ast.expr, operator: ast.AST, parts: list[ast.expr]) -> tuple[Value, ...]:
        symbol = OPERATORS.get(type(operator), type(operator).__name__)
        entry = self.infix.get((symbol, len(parts)))
        if entry is None:
            raise unreadable(node, f"`{symbol}` is no op")
        operands = self._operands(parts)
        if entry is MatMul:
            return self._emit(node, matmul_for(*[a.type for a in operands]), operands)
        op = entry if isinstance(entry, Elementwise) else entry()
        return self._emit(node, op, operands)

    def _generic(self, node: ast.Call) -> tuple[Value, ...]:
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        entry = Op.REGISTRY.get(name)
        if entry is None:
            entry = self._special(node.func)
        if isinstance(entry, Elementwise):
            if node.keywords:
                raise unreadable(node.keywords[0], f"{name} has no attributes")
            return self._emit(node, entry, self._operands(node.args))
        keywords = self._keywords(node, entry)
        match node.args:
            case [ast.Subscript() as part, *rest] if "index" not in keywords:
                keywords["index"], operands = self._indexed(part, rest)
            case _:
                operands = self._operands(node.args)
        try:
            op = entry(**keywords)
        except TypeError as error:
            raise unreadable(node, f"{name}: {error}") from error
        return self._emit(node, op, operands)

    def _special(self, node: ast.Name) -> Any:
        """Return a function of SciPy, which is imported where no other op has the name."""
        known = [*Op.REGISTRY]
        try:
            entry = op_named(node.id)
        except ImportError as error:
            raise unreadable(node, str(error)) from error
        if entry is None:
            raise self._unknown(node, f"`{node.id}` is no op", known)
        return entry

    def _indexed(self, part: ast.Subscript, rest: list[ast.expr]) -> tuple[Index_, list[Atom]]:
        """Read the operands of `index_update(x[i], v)`: the index stands where it reads best."""
        (base,) = self._operands([part.value])
        index, nodes = parse_subscript(part, base.type, self.symbols)
        places = self._operands(nodes)
        values = self._operands(rest, [a.type.dtype for a in (base, *places)])
        return index, [base, *values, *places]

    def _keywords(self, node: ast.Call, home: type) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for keyword in node.keywords:
            value = keyword.value
            if keyword.arg is None:
                raise unreadable(value, "expected `name=value`")
            if isinstance(value, ast.Name) and value.id in self.regions:
                found[keyword.arg] = self.regions[value.id]
            else:
                found[keyword.arg] = self.attributes.read(value, home)
        return found

    # ---- atoms ---------------------------------------------------------------------------------

    def _operands(self, nodes: Sequence[ast.expr], context: Sequence[np.dtype] = ()) -> list[Atom]:
        """Return atoms; a bare number takes a dtype of `context` or of a value beside it."""
        atoms = [None if parse_literal(node, ()) else self._value(node) for node in nodes]
        around = [*context, *[a.type.dtype for a in atoms if isinstance(a, Value)]]
        found: list[Atom] = []
        for node, atom in zip(nodes, atoms, strict=True):
            literal = parse_literal(node, around) if atom is None else None
            operand = literal if atom is None else atom
            assert operand is not None
            found.append(operand)
        return found

    def _value(self, node: ast.expr) -> Atom:
        if not isinstance(node, ast.Name):
            results = self._expression(node)
            if results is None or len(results) != 1:
                raise unreadable(node, "expected one value")
            return results[0]
        if node.id in self.scope:
            return self.scope[node.id]
        known = self.objects.get(node.id)
        if isinstance(known, Literal):
            return known
        if isinstance(known, np.ndarray):
            return Literal(known)
        raise self._unknown(node, f"`{node.id}` is not defined here", [*self.scope])

    def _unknown(self, node: ast.Name, message: str, names: Sequence[str]) -> ParseError:
        lowered = {name.lower(): name for name in names}
        matches = difflib.get_close_matches(node.id.lower(), lowered, 3)
        near = [lowered[match] for match in matches]
        hint = f"; nearest: {', '.join(f'`{n}`' for n in near)}" if near else ""
        return unreadable(node, f"{message}{hint}")

    # ---- ops with regions ----------------------------------------------------------------------

    def _region(self, node: ast.expr) -> Function:
        if isinstance(node, ast.Name) and node.id in self.regions:
            return self.regions[node.id]
        known = ", ".join(self.regions) or "none"
        raise unreadable(node, f"expected a function defined above; there are: {known}")

    def _block(self, call: ast.Call, body: Sequence[ast.stmt]) -> None:
        """Read `with fused(reads=..., writes=...):`; what it writes is bound outside."""
        if not (isinstance(call.func, ast.Name) and call.func.id == "fused") or call.args:
            raise unreadable(call, 'expected `with fused(reads=(x, y), writes="z"):`')
        given = {k.arg: k.value for k in call.keywords}
        match given.pop("reads", None), given.pop("writes", None):
            case ast.Tuple(elts=reads), ast.Constant(value=str(writes)):
                operands = self._operands(reads)
            case _:
                raise unreadable(call, 'expected `reads=(x, y)` and `writes="z"`')
        rest = {str(k): self.attributes.read(v, Fused) for k, v in given.items()}
        inner = Reader(self.objects, self.symbols)
        for node, operand in zip(reads, operands, strict=True):
            if not isinstance(node, ast.Name):
                raise unreadable(node, "expected a name")
            value = inner.builder.param(_value(operand.type, operand.layout))
            inner._bind(node, node.id, value)
        for statement in body:
            inner.statement(statement)
        missing = [name for name in writes.split() if name not in inner.scope]
        if missing:
            raise unreadable(call, f"`{missing[0]}` is not computed in the block")
        dims = [_symbol(call, dim) for dim in rest.get("dims", ())]
        results = [inner.scope[name] for name in writes.split()]
        region = inner.builder.finish("fused", results, dims=dims)
        values = self._emit(call, Fused(region, **rest), operands)
        for name, value in zip(writes.split(), values, strict=True):
            self._bind(call, name, value)

    def _loop(self, node: ast.Call) -> tuple[Value, ...]:
        """Read `loop(body, range(lo, hi, step), carry=(...), captured=(...), ...)`."""
        if not node.args:
            raise unreadable(node, "expected `loop(body, range(n), carry=(x,), ...)`")
        body = self._region(node.args[0])
        head = self._range(node.args[1]) if len(node.args) > 1 else []
        groups, rest = _groups(node, "carry", "captured")
        inside = self._operands(
            [*groups["carry"], *groups["captured"]],
            [a.type.dtype for a in head if isinstance(a, Value)],
        )
        attributes = self._keywords(ast.Call(node.func, [], rest), Loop)
        if "trips" not in attributes:
            attributes["trips"] = static_range(head)
        if attributes["trips"] is None:
            raise unreadable(node, "expected `trips=`: the range is not literal")
        op = Loop(body, len(groups["carry"]), ranged=bool(head), **attributes)
        return self._emit(node, op, [*head, *inside])

    def _cond(self, node: ast.Call) -> tuple[Value, ...]:
        """Read `cond(predicate, branch, branch, captured=(...), ...)`."""
        if len(node.args) < 2:
            raise unreadable(node, "expected `cond(p, then, otherwise, captured=(x,))`")
        predicate, *branches = node.args
        groups, rest = _groups(node, "captured")
        attributes = self._keywords(ast.Call(node.func, [], rest), Cond)
        op = Cond(tuple(map(self._region, branches)), **attributes)
        return self._emit(node, op, self._operands([predicate, *groups["captured"]]))

    def _range(self, node: ast.expr) -> list[Atom]:
        match node:
            case ast.Call(func=ast.Name(id="range"), args=[_, *_] as parts) if len(parts) <= 3:
                bounds = [self._operands([part], [INDEX])[0] for part in parts]
            case _:
                raise unreadable(node, "expected `range(lo, hi, step)`")
        if len(bounds) == 1:
            bounds.insert(0, Literal(np.int64(0)))
        return [*bounds, Literal(np.int64(1))] if len(bounds) == 2 else bounds

    def _recursion(self, node: ast.Call) -> tuple[Value, ...]:
        """Read `recursion(function, x, ...)`."""
        match node.args:
            case [ast.Name(id=label) as first, *rest]:
                op = Recursion(self._region(first), label, **self._keywords(node, Recursion))
                return self._emit(node, op, self._operands(rest))
            case _:
                raise unreadable(node, "expected `recursion(function, ...)`")

    def _call(
        self, node: ast.Call, annotation: ast.expr | None, form: type[Call | Recur]
    ) -> tuple[Value, ...]:
        """Read `call(name, ...)`; the annotation, or `types=`, says what it returns."""
        match node.args[:1]:
            case [ast.Name(id=name) | ast.Constant(value=str(name))]:
                attributes = self._keywords(node, form)
            case _:
                raise unreadable(node, f"expected `{form.name}(function, ...)`")
        types = attributes.pop("types", None)
        if types is None:
            if annotation is None:
                raise unreadable(node, "a call needs its type: `y : f64[3] = call(f, x)`")
            types = (parse_type(annotation, self.symbols),)
        return self._emit(node, form(name, types, **attributes), self._operands(node.args[1:]))


def _groups(node: ast.Call, *names: str) -> tuple[dict[str, list[ast.expr]], list[ast.keyword]]:
    """Return the keywords that are tuples of operands, and the others."""
    groups: dict[str, list[ast.expr]] = {name: [] for name in names}
    rest: list[ast.keyword] = []
    for keyword in node.keywords:
        if keyword.arg not in groups:
            rest.append(keyword)
        elif isinstance(keyword.value, ast.Tuple):
            groups[keyword.arg] = keyword.value.elts
        else:
            raise unreadable(keyword.value, f"expected a tuple: `{keyword.arg}=(x,)`")
    return groups, rest


def _value(type: ArrayType, layout: Layout) -> Value:
    return Value(type, layout=layout)


def _symbol(node: ast.AST, dim: object) -> Symbol:
    if isinstance(dim, Dim) and len(dim.terms) == 1:
        ((atom, coefficient),) = dim.terms
        if isinstance(atom, Symbol) and coefficient == 1 and not dim.constant:
            return atom
    raise unreadable(node, "the dims of a block are the names of dims around it")

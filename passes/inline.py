"""Inlining: the calls of a module's functions are replaced by the functions' equations.

Recursive functions cannot be inlined; they are refused by name.

Before::

    def half(x: f64[3]) -> f64[3]:
        y : f64[3] = x * 0.5
        return y

    def f(a: f64[3]) -> f64[3]:
        b : f64[3] = call(half, a)
        return b

After::

    def f(a: f64[3]) -> f64[3]:
        y : f64[3] = a * 0.5
        return y
"""

from __future__ import annotations

from ..ir.builder import Builder, inherit
from ..ir.core import Atom, Eqn, Function, Module
from ..ir.errors import UnsupportedError, VerificationError
from ..ir.ops.control import Call


def inline_calls(module: Module) -> Function:
    """Return the entry of a module as one function without calls.

    Raises
    ------
    UnsupportedError
        Where a function calls itself, directly or through others.
    VerificationError
        Where the module lacks a function that is called.
    """
    return _inlined(module.main, module, (module.entry,))


def _inlined(function: Function, module: Module, path: tuple[str, ...]) -> Function:
    if not any(eqn.op.regions or isinstance(eqn.op, Call) for eqn in function.eqns):
        return function
    builder = Builder()
    scope: dict[Atom, Atom] = {p: builder.param(p) for p in function.params}
    for eqn in function.eqns:
        builder.provenance = eqn.provenance
        operands = tuple([scope.get(a, a) for a in eqn.operands])
        results: tuple[Atom, ...]
        if isinstance(eqn.op, Call):
            name = eqn.op.function
            if name in path:
                raise UnsupportedError(
                    f"{name} calls itself ({' -> '.join((*path, name))}); recursive functions "
                    "cannot be built yet.\n  Write the recursion as a loop."
                )
            if name not in module.functions:
                known = ", ".join(module.functions)
                raise VerificationError(f"call of {name}, but the module holds only {known}")
            callee = _inlined(module.functions[name], module, (*path, name))
            results = builder.inline(callee, operands)
        else:
            op = eqn.op
            if op.regions:
                op = op.with_regions([_inlined(r, module, path) for r in op.regions])
            fresh = tuple([r.fresh() for r in eqn.results])
            results = builder.add(Eqn(op, operands, fresh, eqn.provenance))
        for old, new in zip(eqn.results, results, strict=True):
            scope[old] = new
            inherit(old, new)
    return function.replace(
        params=builder.params,
        eqns=builder.eqns,
        results=[scope.get(r, r) for r in function.results],
        param_kinds=function.param_kinds,
        result_kinds=function.result_kinds,
    )

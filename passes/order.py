"""The memory order of values: which must keep it, and how a value is given one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..ir.builder import Builder, inherit
from ..ir.core import Atom, Eqn, Function, Literal, Value
from ..ir.op import Effect
from ..ir.ops.cond import Cond
from ..ir.ops.control import Fused, Loop
from ..ir.ops.shape import Copy, Reshape, Transpose, reshapes_in_place
from ..ir.types import Layout, is_dense

Replace = Callable[[Builder, Eqn, dict[Atom, Atom]], "tuple[Atom, ...] | None"]


def rebuilt(
    function: Function,
    step: Callable[[Function], Function],
    replace: Replace,
    layouts: Mapping[Value, Layout] | None = None,
) -> Function:
    """Return the function with equations replaced, and all layouts inferred anew.

    `replace(builder, eqn, scope)` emits what stands for an equation, None to keep it; `scope` holds
    what values are by now. `step` rewrites regions. Results and what regions read keep their order.
    Parameters in `layouts` get another one.
    """
    builder = Builder()
    scope: dict[Atom, Atom] = {}
    for p in function.params:
        own = p
        if layouts and p in layouts:
            own = Value(p.type, p.hint, p.cotangent_of, layouts[p])
        scope[p] = builder.param(own)
    for eqn in function.eqns:
        builder.provenance = eqn.provenance
        made = replace(builder, eqn, scope)
        if made is None:
            operands = [scope.get(a, a) for a in eqn.operands]
            op = eqn.op
            if op.regions or op.effect is Effect.ORDERED:
                pairs = zip(operands, eqn.operands, strict=True)
                known = tuple([laid_out(builder, new, old.layout) for new, old in pairs])
                op = op.with_regions([step(r) for r in op.regions]) if op.regions else op
                made = builder.add(Eqn(op, known, eqn.results, eqn.provenance))
            else:
                made = builder.emit(op, operands)
        for old, new in zip(eqn.results, made, strict=True):
            scope[old] = new
            inherit(old, new)
    return function.replace(
        params=builder.params,
        eqns=builder.eqns,
        results=[laid_out(builder, scope.get(r, r), r.layout) for r in function.results],
        param_kinds=function.param_kinds,
        result_kinds=function.result_kinds,
    )


def aligned(function: Function) -> Function:
    """Return the function with what branches and loops capture in the order of what they are given.

    A derivative may be given in another order than its primal. Of a parameter that is taken for one
    in C order, a reshape would be taken for a view.
    """
    eqns: list[Eqn] = []
    for eqn in function.eqns:
        op = eqn.op
        if op.regions and not isinstance(op, Fused):
            regions = [aligned(_given(eqn, region)) for region in op.regions]
            if any(new is not old for new, old in zip(regions, op.regions, strict=True)):
                eqn = Eqn(op.with_regions(regions), eqn.operands, eqn.results, eqn.provenance)
        eqns.append(eqn)
    same = all(new is old for new, old in zip(eqns, function.eqns, strict=True))
    return function if same else function.replace(eqns=eqns)


def _given(eqn: Eqn, region: Function) -> Function:
    """Return a region with its parameters in the order of what an equation captures for them."""
    op = eqn.op
    if isinstance(op, Loop):
        given = eqn.operands[op.head + op.carries :]
    elif isinstance(op, Cond):
        given = eqn.operands[1:]
    else:
        return region
    params = region.params[len(region.params) - len(given) :]
    layouts = {
        param: atom.layout
        for param, atom in zip(params, given, strict=True)
        if isinstance(atom, Value) and atom.layout != param.layout
    }
    if not layouts:
        return region
    return rebuilt(region, lambda inner: inner, lambda builder, eqn, scope: None, layouts)


def leaving(function: Function) -> set[Atom]:
    """Return the results and what they are views of: these keep their memory order."""
    found: set[Atom] = set(function.results)
    for eqn in reversed(function.eqns):
        if eqn.op.is_view and eqn.results[0] in found:
            whole = eqn.operands[0]
            if not isinstance(eqn.op, Reshape) or reshapes_in_place(
                eqn.op, whole.type, whole.layout
            ):
                found.add(whole)
    return found


def laid_out(builder: Builder, atom: Atom, layout: Layout) -> Atom:
    """Return a value in the memory order that is asked for, which may take a copy."""
    if atom.layout == layout or isinstance(atom, Literal) or not atom.type.is_static:
        return atom
    if layout is None:
        return builder.one(Copy("C"), atom)
    if not is_dense(layout, atom.type):
        return atom
    # The axes from the outermost in memory to the innermost.
    axes = sorted(range(-atom.type.ndim, 0), key=lambda a: -layout[a])
    move = Transpose(tuple(axes))
    return builder.one(move.inverse, builder.one(Copy("C"), builder.one(move, atom)))

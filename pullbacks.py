"""`vjp`: a function's value together with its pullback, which owns what it needs."""

from __future__ import annotations

import threading
import types
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .arguments import Arguments, Wanted
from .compiled import check_callable, gradient_structure, name_of, traced_nested
from .entries import Call, GuardedEntry, Programs
from .ir.binding import lone_symbol, mentioned, renewed, symbols_of
from .ir.core import Atom, Eqn, Function, Provenance, Value
from .ir.dims import Dim, Symbol
from .ir.errors import ShapeError, StructureError
from .ir.ops.dynamic import AsSize, Extent, Match
from .ir.types import ArrayType, may_equal
from .passes.memory import plan_memory
from .passes.pipeline import EXACT, STABLE, run
from .passes.reverse import reverse
from .runtime.program import Program
from .tracer.native import native
from .tracer.nested import inline_function
from .tracer.state import current, require
from .tracer.trace import Traced
from .tracer.tree import Structure, flatten, unflatten, unflattener


def split(joint: Function, primal: int, seeds: int) -> tuple[Function, Function]:
    """Cut a joint function into a forward that returns residuals and a backward that reads them.

    Parameters
    ----------
    primal
        The number of primal results.
    seeds
        The number of trailing parameters that are cotangents.
    """
    cut = len(joint.params) - seeds
    late: set[Value] = set(joint.params[cut:])
    early_eqns: list[Eqn] = []
    late_eqns: list[Eqn] = []
    # Sizes that the backward finds: nothing of such a size can be computed before.
    late_sizes: set[Symbol] = set()
    waits = _waiting(joint, primal)
    for eqn in joint.eqns:
        if (
            eqn in waits
            or any(isinstance(a, Value) and a in late for a in eqn.operands)
            or (late_sizes and not late_sizes.isdisjoint(mentioned(eqn)))
        ):
            late_eqns.append(eqn)
            late.update(eqn.results)
            late_sizes.update(eqn.op.binds)
        else:
            early_eqns.append(eqn)
    read: list[Atom] = [a for e in late_eqns for a in e.operands]
    read += joint.results[primal:]
    residuals = list(dict.fromkeys(a for a in read if isinstance(a, Value) and a not in late))
    missing = _missing_sizes(residuals, joint.params[cut:], late_eqns, joint.results[primal:])
    sizes = {s: Value(ArrayType(np.dtype(np.int64), ()), s.name) for s in missing}
    early_eqns += [Eqn(Extent(Dim.of(s)), (), (v,), _SIZES) for s, v in sizes.items()]
    forward = Function(
        joint.name.removesuffix("_grad"),
        joint.params[:cut],
        early_eqns,
        [*joint.results[:primal], *residuals, *sizes.values()],
        param_kinds=joint.param_kinds[:cut],
        result_kinds=None,
    )
    kinds = [*joint.result_kinds[:primal], *forward.result_kinds[primal:]]
    # The backward has parameters of its own: a value belongs to one function.
    fresh: dict[Atom, Atom] = {}
    params, first, dims = _parameters(residuals, sizes, fresh)
    moved = [
        Eqn(e.op, tuple([fresh.get(a, a) for a in e.operands]), e.results, e.provenance)
        for e in late_eqns
    ]
    backward = Function(
        f"{forward.name}_pullback",
        [*params, *joint.params[cut:]],
        [*first, *moved],
        [fresh.get(r, r) for r in joint.results[primal:]],
        dims=[*dims, *[d for d in joint.dims if d not in dims]],
        result_kinds=joint.result_kinds[primal:],
    )
    return forward.replace(result_kinds=kinds), backward


def _waiting(joint: Function, primal: int) -> set[Eqn]:
    """Return the equations that belong to the backward although they read no cotangent.

    What is computed again is not kept by the forward, nor what the adjoint of a checkpoint makes of
    it; unless the primal results need it, having derivatives in them.
    """
    found = {
        e
        for e in joint.eqns
        if e.provenance.derived == "recompute"
        or (e.provenance.is_adjoint and any(order for _, order in e.provenance.marks))
    }
    needed = set(joint.results[:primal])
    for eqn in reversed(joint.eqns if found else ()):
        if any(r in needed for r in eqn.results):
            needed.update(eqn.operands)
            found.discard(eqn)
    return found


_SIZES = Provenance((), "vjp")


def _missing_sizes(
    residuals: Sequence[Value],
    seeds: Sequence[Value],
    eqns: Sequence[Eqn],
    results: Sequence[Atom],
) -> list[Symbol]:
    """Return the sizes that the backward mentions and that no shape of its parameters tells."""
    wanted = {s for e in eqns for s in mentioned(e)}
    wanted |= {s for a in (*residuals, *results) for s in symbols_of(a.type)}
    told = {lone_symbol(d) for p in (*residuals, *seeds) for d in p.type.shape}
    told |= {s for e in eqns for s in e.op.binds}
    return sorted(wanted - told, key=lambda s: s.number)


def _parameters(
    residuals: Sequence[Value], sizes: Mapping[Symbol, Value], fresh: dict[Atom, Atom]
) -> tuple[list[Value], list[Eqn], list[Symbol]]:
    """Return the backward's parameters, the equations that bind sizes, and the dims that it binds.

    `fresh` gets what stands for each residual.
    """
    params: list[Value] = []
    checks: list[Eqn] = []
    dims: dict[Symbol, None] = {}
    for r in residuals:
        lone = {s for d in r.type.shape if (s := lone_symbol(d)) is not None and s not in sizes}
        type, made = renewed(r.type, lone)
        param = Value(type, r.hint, r.cotangent_of, r.layout)
        params.append(param)
        dims.update(dict.fromkeys([*sorted(lone, key=lambda s: s.number), *made]))
        fresh[r] = param
        if made:
            value = r.fresh()
            checks.append(Eqn(Match(r.type.shape), (param,), (value,), _SIZES))
            fresh[r] = value
    binds = []
    for symbol, size in sizes.items():
        param = Value(size.type, size.hint)
        params.append(param)
        binds.append(Eqn(AsSize(symbol), (param,), (Value(size.type),), _SIZES))
    return params, [*binds, *checks], list(dims)


class _Entry(GuardedEntry):
    """The two programs of one signature."""

    __slots__ = ("adjoint", "backward", "build", "forward")

    def __init__(self, owner: VjpFunction, call: Call) -> None:
        wanted = owner.wanted(call.args)
        super().__init__(
            owner.function,
            owner.arguments,
            call,
            name=owner.name,
            has_aux=owner.has_aux,
            wanted=wanted,
        )
        self.build = unflattener(gradient_structure(wanted))
        forward, backward = owner.derive(self.traced, wanted, call.exact)
        total = len(self.traced.function.results)
        fusion = (EXACT if call.exact else STABLE).fusion
        self.forward = Program(
            plan_memory(run(forward, fusion, [])),
            frozenset(range(total, len(forward.results))),
            {k: fresh for k, fresh in enumerate(self.traced.fresh) if fresh is not None},
            call.exact,
        )
        self.adjoint = backward
        self.backward = Program(
            plan_memory(run(backward, fusion, [])), frozenset(range(len(backward.results)))
        )

    def run(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        return self.forward(*inputs)


class LinearMap:
    """A derivative at a point, which holds what it needs of the point.

    `run` takes vectors to what the derivative makes of them.
    """

    __pullback_reads__ = True
    """Traced code reads what it holds again at every call."""

    def __init__(self, run: Callable[[list[Any]], Sequence[Any]]) -> None:
        self._run = run

    def products(self, vectors: list[Any]) -> Sequence[Any]:
        """Return what the derivative makes of vectors, in the trace under way if there is one."""
        run = self._run
        if current() is None or not isinstance(run, _Compiled):
            return run(vectors)
        inputs = require("a derivative").root.inputs
        path = f"{inputs.path_of(self) or inputs.constant(self)}._run"
        run.residuals = tuple([np.asarray(r) for r in run.residuals])
        inputs.load(f"{path}.entry", run.entry)
        read = inputs.load(f"{path}.residuals", run.residuals)
        return inline_function(run.entry.adjoint, [*read, *vectors])


class Pullback(LinearMap):
    """What `vjp` returns beside the output: it takes a cotangent back to the primals."""

    def __init__(
        self,
        run: Callable[[list[Any]], Sequence[Any]],
        build: Callable[[Sequence[Any]], Any],
        structure: Structure,
        types: Sequence[ArrayType],
    ) -> None:
        super().__init__(run)
        self._build = build
        self._structure = structure
        self._types = types

    def __call__(self, cotangent: Any) -> Any:
        """Return the cotangents of the primals for a cotangent of the output."""
        return self._build(self.products(_seeds(cotangent, self._structure, self._types)))


class _Compiled:
    """The backward program with the residuals of one call."""

    def __init__(self, entry: _Entry, residuals: tuple[Any, ...]) -> None:
        self.entry = entry
        self.residuals = residuals

    def __call__(self, seeds: list[Any]) -> Sequence[Any]:
        return self.entry.backward(*self.residuals, *seeds)


class VjpFunction:
    """What `vjp(f)` returns: `(*primals) -> (output, pullback)`."""

    def __init__(self, function: Callable[..., Any], has_aux: bool = False) -> None:
        check_callable("vjp", function)
        self.function = function
        self.has_aux = has_aux
        self.name = name_of(function)
        self.arguments = Arguments(function, (), ())
        self.arguments.takes_argnums = False
        self.programs = Programs(self.name, self.arguments, lambda call: _Entry(self, call))

    def wanted(self, args: tuple[Any, ...]) -> Wanted:
        """Return the leaves of all arguments."""
        return self.arguments.wanted(args, {}, tuple(range(len(args))), False)

    def derive(
        self, traced: Traced, wanted: Wanted, exact: bool = False, is_nested: bool = False
    ) -> tuple[Function, Function]:
        """Return the forward and backward functions of a traced function.

        Nested in another trace, it is the outermost that computes values again.
        """
        passes = EXACT if exact else STABLE
        function = run(traced.function, passes.before, [])
        seeds = list(range(traced.results))
        joint = reverse(function, wanted.positions, seeds=seeds)
        joint = run(joint, passes.early if is_nested else (*passes.early, *passes.again), [])
        return split(joint, len(function.results), traced.results)

    def __call__(self, *args: Any) -> Any:
        if current() is not None:
            return self._inline(args)
        entry, flat = self.programs.again(args, {})
        if entry is None:
            entry, flat = self.programs.run(args, {}, flat)
        total = len(entry.traced.function.results)
        residuals = flat[total:]
        if entry.traced.commit is not None:
            entry.traced.commit(flat[total - entry.traced.stored : total])
        return self._result(
            entry.traced, entry.build, flat[:total], _Compiled(entry, tuple(residuals))
        )

    def _inline(self, args: tuple[Any, ...]) -> Any:
        wanted = self.wanted(args)
        traced, operands = traced_nested(self.function, self.arguments, args, {}, self.has_aux)
        forward, backward = self.derive(traced, wanted, is_nested=True)
        flat = inline_function(forward, operands)
        total = len(traced.function.results)
        residuals = flat[total:]
        return self._result(
            traced,
            unflattener(gradient_structure(wanted)),
            flat[:total],
            lambda seeds: inline_function(backward, [*residuals, *seeds]),
        )

    def _result(
        self,
        traced: Traced,
        build: Callable[[Sequence[Any]], Any],
        flat: Sequence[Any],
        run_backward: Callable[[list[Any]], Sequence[Any]],
    ) -> Any:
        count = traced.results
        out = unflatten(traced.structure, iter(flat[:count]))
        types = [
            r.type.with_shape(np.shape(value))
            for r, value in zip(traced.function.results, flat[:count], strict=False)
        ]

        pullback = Pullback(run_backward, build, traced.structure, types)
        if traced.aux is None:
            return out, pullback
        return out, pullback, unflatten(traced.aux, iter(flat[count:]))


def _seeds(cotangent: Any, structure: Structure, types: Sequence[ArrayType]) -> list[Any]:
    """Return the leaves of a cotangent, checked against the output.

    Raises
    ------
    StructureError, ShapeError
        Where structure, shape or dtype differ from the output's.
    """
    leaves: list[Any] = []
    found = flatten(cotangent, leaves)
    if found != structure:  # it may have arrays of other libraries in it
        leaves = []
        found = flatten(native(cotangent, "cotangent"), leaves)
    if found != structure:
        raise StructureError(
            f"the cotangent has the structure {found}, the output {structure}; they must be the "
            "same."
        )
    seeds = []
    for leaf, type in zip(leaves, types, strict=True):
        check_like("the cotangent", leaf, type, "the output")
        seeds.append(np.asarray(leaf, type.dtype) if current() is None else leaf)
    return seeds


def check_like(name: str, value: Any, type: ArrayType, owner: str) -> None:
    """Raise unless a value has the shape of what it belongs to, and a dtype that casts to that's.

    Raises
    ------
    ShapeError, StructureError
    """
    shape, dtype = np.shape(value), np.result_type(value)
    if not may_equal(shape, type.shape):
        raise ShapeError(f"{name} has shape {list(shape)}, {owner} is {type}.")
    if not np.can_cast(dtype, type.dtype, "same_kind"):
        raise StructureError(f"{name} has dtype {dtype}, {owner} is {type}.")


KEPT = 64
"""Functions of which `vjp` keeps the programs: those that it was called with last."""
_known: OrderedDict[tuple[Any, ...], VjpFunction] = OrderedDict()
_lock = threading.Lock()


def _kept(function: Callable[..., Any], has_aux: bool) -> VjpFunction:
    """Return the `vjp` of a function, made where there is none.

    Functions are told apart by identity, methods by that of their objects: each access makes
    another one. What is kept holds the function, so that no other one can have its identity.
    """
    parts: tuple[Any, ...] = (function,)
    if isinstance(function, types.MethodType):
        parts = function.__func__, function.__self__
    key = (*map(id, parts), has_aux)
    with _lock:
        found = _known.pop(key, None) or VjpFunction(function, has_aux)
        _known[key] = found
        if len(_known) > KEPT:
            _known.popitem(last=False)
    return found


def vjp(function: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Return `(output, pullback)` at the primals; without primals, the function that does so.

    `pullback(cotangent)` takes a cotangent of the output's structure and returns a tuple with the
    cotangent of each primal. It owns its residuals: it can be called again, at any time.

    Parameters
    ----------
    primals
        The arguments, by position; all of them are differentiated.
    has_aux
        The function returns `(output, aux)`; the result is then `(output, pullback, aux)`.

    Raises
    ------
    DifferentiationError
        Where a primal is not floating point.
    StructureError, ShapeError
        At a call of the pullback, where the cotangent has another structure, shape or kind of dtype
        than the output.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> y, pull = pb.vjp(np.sin, np.array([0.0]))
    >>> pull(np.array([2.0]))
    (array([2.]),)
    """
    found = _kept(function, has_aux)
    return found(*primals) if primals else found

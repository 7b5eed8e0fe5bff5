"""`linearize`: a function's value together with its pushforward, which owns what it needs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arguments import Spec, Wanted
from ..compiled import check_callable
from ..ir.binding import symbols_of
from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.ops.dynamic import AsSize, Match
from ..ir.types import ArrayType
from ..passes.dce import Dce
from ..passes.forward import forward
from ..passes.keeping import nothing
from ..passes.pipeline import EXACT, STABLE, run
from ..passes.reverse import reverse
from ..pullbacks import LinearMap, VjpFunction, split
from ..tracer.functions.shape import cast
from ..tracer.nested import inline_call
from ..tracer.state import Trace, current
from ..tracer.trace import Traced
from ..tracer.tree import Structure, unflatten
from .apart import by_code, owned
from .tangents import check, given, in_structure, still


def _invoke(function: Callable[..., Any], *primals: Any) -> Any:
    return inline_call(function, primals, {})


class _Linear(VjpFunction):
    """`linearize` of the functions of one code object.

    It is called as `(function, *primals)`, and is split as `vjp` is: what depends on tangents is
    the second program.
    """

    def __init__(self, has_aux: bool) -> None:
        super().__init__(_invoke, has_aux)

    def wanted(self, args: tuple[Any, ...]) -> Wanted:
        """Return the leaves of the primals."""
        return self.arguments.wanted(args, {}, tuple(range(1, len(args))), True, True)

    def derive(
        self, traced: Traced, wanted: Wanted, exact: bool = False, is_nested: bool = False
    ) -> tuple[Function, Function]:
        """Return the function with residuals, and that of residuals and tangents."""
        passes = EXACT if exact else STABLE
        function = run(traced.function, passes.before, [])
        later = passes.early if is_nested else (*passes.early, *passes.again)
        wrt = [k for k in wanted.positions if function.params[k].type.is_inexact]
        of, count = list(range(traced.results)), len(function.results)
        joint = forward(function, wrt, of=of)
        if not _is_entangled(joint, joint.params[len(function.params) :]):
            return split(run(joint, later, []), count, len(wrt))
        # Where one loop computes primals and tangents, the transpose of the pullback reads what the
        # primal loop has kept. Rules of the user's within rules are exposed as long as no pass ran.
        first, pull = split(reverse(function, wrt, seeds=of), count, len(of))
        second = _transposed(pull, len(of)).replace(
            name=f"{joint.name}_linear", result_kinds=function.result_kinds[: traced.results]
        )
        return run(first, later, []), run(second, later, [])

    def _result(
        self,
        traced: Traced,
        build: Callable[[Sequence[Any]], Any],
        flat: Sequence[Any],
        run_backward: Callable[[list[Any]], Sequence[Any]],
    ) -> Any:
        types = [p.type for p in traced.function.params[: traced.inputs]]
        skeleton = build([Spec(t.shape, t.dtype) for t in types])  # type: ignore[arg-type]  # or dims
        count = traced.results
        out = unflatten(traced.structure, iter(flat[:count]))
        moved = Pushforward(run_backward, skeleton, types, traced.structure)
        if traced.aux is None:
            return out, moved
        return out, moved, unflatten(traced.aux, iter(flat[count:]))


class Pushforward(LinearMap):
    """What `linearize` returns beside the output: it takes tangents of the primals to its."""

    def __init__(
        self,
        run: Callable[[list[Any]], Sequence[Any]],
        skeleton: Any,
        types: Sequence[ArrayType],
        structure: Structure,
    ) -> None:
        super().__init__(run)
        self._skeleton = skeleton
        self._types = types
        self._structure = structure

    def __call__(self, *tangents: Any) -> Any:
        """Return the tangent of the output for tangents of the primals."""
        values: list[Any] = []
        is_plain = current() is None
        found = given(self._skeleton, tangents)
        for (path, leaf, tangent), type in zip(found, self._types, strict=True):
            if not type.is_inexact:
                still(path, tangent, type)
                continue
            if tangent is None:
                tangent = np.zeros(leaf.shape, leaf.dtype)
            check(path, tangent, type)
            values.append(
                np.asarray(tangent, type.dtype) if is_plain else cast(tangent, type.dtype)
            )
        made = self.products(values)
        return in_structure(self._structure, made if is_plain else [owned(v) for v in made])


def _is_entangled(joint: Function, tangents: Sequence[Value]) -> bool:
    """Whether an equation with regions computes primal values and tangents at once."""
    late = set(tangents)
    for eqn in joint.eqns:
        if not late.isdisjoint(eqn.operands):
            if eqn.op.regions:
                return True
            late.update(eqn.results)
    return False


def _transposed(pull: Function, seeds: int) -> Function:
    """Return the transpose of a pullback, from residuals and tangents to those of the output.

    It depends on no cotangents, the last `seeds` parameters, in which a pullback is linear: zeros
    stand for them where a region passes them on.
    """
    pull, cut = _sized(pull, seeds), len(pull.params) - seeds
    transpose = reverse(pull, range(cut, len(pull.params)), seeds=range(len(pull.results)), keep=())
    cts = transpose.params[cut : cut + seeds]
    # What tells sizes of outside comes first in a pullback.
    told = next(k for k, e in enumerate((*transpose.eqns, None)) if not _tells_a_size(e))
    builder = Builder()
    builder.eqns.extend(transpose.eqns[:told])
    with Trace(builder, None) as trace:
        scope: dict[Atom, Atom] = {ct: nothing(ct.type, trace) for ct in cts}
    for eqn in transpose.eqns[told:]:
        operands = tuple([scope.get(a, a) for a in eqn.operands])
        builder.add(Eqn(eqn.op, operands, eqn.results, eqn.provenance))
    builder.params.extend([p for p in transpose.params if p not in scope])
    results = [scope.get(r, r) for r in transpose.results]
    return Dce()(builder.finish(pull.name, results, dims=transpose.dims))


def _tells_a_size(eqn: Eqn | None) -> bool:
    return eqn is not None and isinstance(eqn.op, AsSize | Match)


def _sized(pull: Function, seeds: int) -> Function:
    """Return a pullback whose cotangents have the sizes that it checks them to have."""
    cts = pull.params[len(pull.params) - seeds :]
    checks = {e.operands[0]: e for e in pull.eqns if isinstance(e.op, Match)}
    checks = {ct: checks[ct] for ct in cts if ct in checks}
    own = {s for ct in checks for s in symbols_of(ct.type)}
    return pull.replace(
        params=[checks[p].results[0] if p in checks else p for p in pull.params],
        eqns=[e for e in pull.eqns if e not in checks.values()],
        dims=[s for s in pull.dims if s not in own],
    )


_known: weakref.WeakKeyDictionary[Any, dict[bool, _Linear]] = weakref.WeakKeyDictionary()


def linearize(function: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Return `(output, pushforward)` at the primals.

    `pushforward(*tangents)` returns the tangent of the output, for tangents as `jvp` takes them.
    It owns what it needs of the function's values, and nothing else is computed again: it can be
    called again, at any time, and costs what is linear alone.

    Parameters
    ----------
    has_aux
        The function returns `(output, aux)`; the result is then `(output, pushforward, aux)`.

    Raises
    ------
    StructureError, ShapeError
        At a call of the pushforward, where a tangent has another structure, shape or kind of dtype
        than its primal.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> y, push = pb.linearize(np.sin, np.array([0.0]))
    >>> push(np.array([2.0])), push(np.array([-1.0]))
    (array([2.]), array([-1.]))
    """
    check_callable("linearize", function)
    made = by_code(_known, function, dict)
    if has_aux not in made:
        made[has_aux] = _Linear(has_aux)
    return made[has_aux](function, *primals)


__all__ = ["linearize"]

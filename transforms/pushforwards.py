"""Forward mode for users: `jvp`, `linearize` and `hvp`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arguments import Spec, Wanted
from ..compiled import check_callable, check_scalar, gradient_structure
from ..ir.builder import Builder
from ..ir.core import Atom, Function, Value
from ..ir.errors import StructureError
from ..passes.dce import Dce
from ..passes.forward import forward
from ..passes.keeping import nothing
from ..passes.pipeline import EXACT, STABLE, run
from ..passes.reverse import reverse
from ..pullbacks import VjpFunction, split
from ..tracer.array import TracedArray
from ..tracer.functions.create import zeros
from ..tracer.functions.shape import cast, copy
from ..tracer.functions.shape import traced as traced_array
from ..tracer.nested import inline_call
from ..tracer.state import Trace, current
from ..tracer.trace import Traced
from ..tracer.tree import unflatten
from .apart import Apart, Transformation, by_code, traced_apart
from .tangents import check, given, in_structure, shown, still


class _Moving(NamedTuple):
    """The parameters of a traced function that move, and their tangents."""

    apart: Apart
    positions: list[int]
    tangents: list[Any]


def _moving(function: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool) -> _Moving:
    """Trace a function apart at the primals; return it with the tangents that are not zero."""
    if type(primals) not in (tuple, list):
        raise StructureError(
            f"the primals are {shown(primals)}.\n  Pass a tuple: (x,) for one primal."
        )
    each = given(primals, tangents)
    apart = traced_apart(function, tuple(primals), has_aux=has_aux, allow_int=True)
    positions: list[int] = []
    values: list[Any] = []
    params = apart.traced.function.params
    for k, (path, leaf, tangent) in enumerate(each):
        wanted = params[k].type
        if not wanted.is_inexact:
            apart.operands[k] = still(path, tangent, wanted, traced_array(leaf))._atom
            continue
        if tangent is None:
            continue
        check(path, tangent, wanted)
        positions.append(k)
        values.append(cast(tangent, wanted.dtype))
    return _Moving(apart, positions, values)


def _own(values: Sequence[TracedArray]) -> list[Any]:
    """Return derivatives that share no memory with what the caller has given."""
    return [
        copy(v) if v.shape and isinstance(v._atom, Value) and _is_given(v) else v for v in values
    ]


def _is_given(value: TracedArray) -> bool:
    return value._atom not in value._trace.builder.producers


def _jvp(
    function: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False
) -> tuple[Any, ...]:
    apart, positions, values = _moving(function, primals, tangents, has_aux)
    traced = apart.traced
    whole = run(traced.function, EXACT.before, [])
    count = traced.results
    flat = apart.inline(forward(whole, positions, of=range(count)), values)
    out = unflatten(traced.structure, iter(flat[:count]))
    moved = in_structure(traced.structure, _own(flat[len(whole.results) :]))
    if traced.aux is None:
        return out, moved
    return out, moved, unflatten(traced.aux, iter(flat[count : len(whole.results)]))


def _hvp(function: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    apart, positions, values = _moving(function, primals, tangents, has_aux)
    traced = apart.traced
    check_scalar(traced.function.name, traced)
    whole = run(traced.function, EXACT.before, [])
    aux = range(traced.results, len(whole.results))
    wrt = [k for k in apart.wanted.positions if whole.params[k].type.is_inexact]
    gradient = reverse(whole, wrt, keep=aux)
    product = forward(
        gradient, positions, keep=range(len(aux)), of=range(len(aux), len(gradient.results))
    )
    flat = apart.inline(product, values)
    moved = iter(_own(flat[len(aux) :]))
    leaves = [
        next(moved) if k in wrt else zeros(whole.params[k].type.shape, whole.params[k].type.dtype)
        for k in apart.wanted.positions
    ]
    made = in_structure(gradient_structure(apart.wanted), leaves)
    return made if traced.aux is None else (made, unflatten(traced.aux, iter(flat[: len(aux)])))


_JVP = Transformation("jvp", _jvp)
_HVP = Transformation("hvp", _hvp)


def jvp(
    function: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    has_aux: bool = False,
) -> tuple[Any, ...]:
    """Return `(output, tangent of the output)`, where the primals move along tangents.

    Parameters
    ----------
    primals
        The arguments, in a tuple.
    tangents
        A tuple of the same structure. None stands for zeros, of a leaf or of all that is in a
        container; integers do not move, and have the tangent 0 or None.
    has_aux
        The function returns `(output, aux)`; the result is then `(output, tangent, aux)`.

    Raises
    ------
    StructureError, ShapeError
        Where a tangent has another structure, shape or kind of dtype than its primal.

    Notes
    -----
    A tangent of a complex number is the direction it moves in, and that of the output is where the
    output moves: J t, without conjugation.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> pb.jvp(np.sin, (np.array([0.0, 1.0]),), (np.array([2.0, 0.0]),))
    (array([0.        , 0.84147098]), array([2., 0.]))
    """
    made: tuple[Any, ...] = _JVP(function, primals, tangents, has_aux)
    return made


def hvp(
    function: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    has_aux: bool = False,
) -> Any:
    """Return the product of the Hessian of a scalar function, at the primals, with tangents.

    It is the derivative of the gradient along the tangents, forward mode over reverse mode: a small
    multiple of the function's cost, and the Hessian is never formed.

    Parameters
    ----------
    primals
        The arguments, in a tuple.
    tangents
        A tuple of the same structure, as for `jvp`.
    has_aux
        The function returns `(output, aux)`; the result is then `(product, aux)`.

    Returns
    -------
    tuple
        A tuple of the structure of the primals: zeros for integers.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> x, v = np.array([1.0, 2.0]), np.array([1.0, 0.0])
    >>> pb.hvp(lambda x: np.sum(x**3), (x,), (v,))
    (array([6., 0.]),)
    """
    return _HVP(function, primals, tangents, has_aux)


# ---- linearize -----------------------------------------------------------------------------------


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
        return self.arguments.wanted(args, {}, tuple(range(1, len(args))), True)

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
        # primal loop has kept.
        first, pull = split(run(reverse(function, wrt, seeds=of), later, []), count, len(of))
        return first, _transposed(pull, len(of)).replace(name=f"{joint.name}_linear")

    def _result(
        self,
        traced: Traced,
        build: Callable[[Sequence[Any]], Any],
        flat: Sequence[Any],
        run_backward: Callable[[list[Any]], Sequence[Any]],
    ) -> Any:
        types = [p.type for p in traced.function.params[: traced.inputs]]
        skeleton = build([Spec(t.shape, t.dtype) for t in types])  # type: ignore[arg-type]
        count = traced.results
        out = unflatten(traced.structure, iter(flat[:count]))

        def moved(*tangents: Any) -> Any:
            """Return the tangent of the output for tangents of the primals."""
            values: list[Any] = []
            for (path, leaf, tangent), type in zip(given(skeleton, tangents), types, strict=True):
                if not type.is_inexact:
                    still(path, tangent, type)
                    continue
                if tangent is None:
                    tangent = np.zeros(leaf.shape, leaf.dtype)
                check(path, tangent, type)
                is_plain = current() is None
                values.append(
                    np.asarray(tangent, type.dtype) if is_plain else cast(tangent, type.dtype)
                )
            found = run_backward(values)
            return in_structure(traced.structure, found if current() is None else _own(found))

        if traced.aux is None:
            return out, moved
        return out, moved, unflatten(traced.aux, iter(flat[count:]))


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
    cut = len(pull.params) - seeds
    transpose = reverse(pull, range(cut, len(pull.params)), seeds=range(len(pull.results)), keep=())
    builder = Builder()
    params: list[Atom] = []
    with Trace(builder, None) as trace:
        for k, p in enumerate(transpose.params):
            if cut <= k < cut + seeds:
                params.append(nothing(p.type, trace))
            else:
                params.append(builder.param(Value(p.type, p.hint, p.cotangent_of, p.layout)))
        results = builder.inline(transpose, params)
    return Dce()(builder.finish(pull.name, results, dims=transpose.dims))


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


__all__ = ["hvp", "jvp", "linearize"]

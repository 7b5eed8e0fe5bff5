"""Forward mode for users: `jvp` and `hvp`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..compiled import gradient_structure
from ..ir.errors import StructureError
from ..losses import check_scalar
from ..passes.forward import forward
from ..passes.pipeline import EXACT, run
from ..passes.reverse import reverse
from ..tracer.functions.create import zeros
from ..tracer.functions.shape import cast
from ..tracer.functions.shape import traced as traced_array
from ..tracer.opaque import check_no_object
from ..tracer.tree import unflatten
from .apart import Apart, Transformation, owned, traced_apart
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


def _jvp(
    function: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False
) -> tuple[Any, ...]:
    apart, positions, values = _moving(function, primals, tangents, has_aux)
    traced = apart.traced
    whole = run(traced.function, EXACT.before, [])
    count = traced.results
    flat = apart.inline(forward(whole, positions, of=range(count)), values)
    out = unflatten(traced.structure, iter(flat[:count]))
    moved = in_structure(traced.structure, [owned(v) for v in flat[len(whole.results) :]])
    if traced.aux is None:
        return out, moved
    return out, moved, unflatten(traced.aux, iter(flat[count : len(whole.results)]))


def _hvp(function: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    apart, positions, values = _moving(function, primals, tangents, has_aux)
    traced = apart.traced
    check_scalar("hvp", traced)
    for k, structure in enumerate(apart.wanted.structures):
        check_no_object(structure, f"primals[{k}]")
    whole = run(traced.function, EXACT.before, [])
    aux = range(traced.results, len(whole.results))
    wrt = [k for k in apart.wanted.positions if whole.params[k].type.is_inexact]
    gradient = reverse(whole, wrt, keep=aux)
    product = forward(
        gradient, positions, keep=range(len(aux)), of=range(len(aux), len(gradient.results))
    )
    flat = apart.inline(product, values)
    moved = map(owned, flat[len(aux) :])
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

    Raises
    ------
    DifferentiationError
        Where the output is no real scalar, or a primal holds an object that is no container.
    StructureError, ShapeError
        Where a tangent has another structure, shape or kind of dtype than its primal.

    Notes
    -----
    This is the Hessian-vector product of Pearlmutter [1]_.

    .. [1] B. A. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6
       (1994) 147-160.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> x, v = np.array([1.0, 2.0]), np.array([1.0, 0.0])
    >>> pb.hvp(lambda x: np.sum(x**3), (x,), (v,))
    (array([6., 0.]),)
    """
    return _HVP(function, primals, tangents, has_aux)


__all__ = ["hvp", "jvp"]

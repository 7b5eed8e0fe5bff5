"""`jacobian`, `jacfwd`, `jacrev`, `hessian`: dense derivatives as arrays.

The primal runs once. Its derivative, a linear function, is applied to all rows of an identity
matrix at once (`linear`): cotangents of the output in reverse mode, tangents of the arguments in
forward mode. A Hessian is the forward mode of the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arguments import Argnums, Arguments, Wanted
from ..compiled import Compiled, check_callable, gradient_structure
from ..ir.core import Function
from ..ir.errors import ArgumentError, DifferentiationError
from ..ir.ops.custom import Custom
from ..ir.types import Kind
from ..losses import check_scalar
from ..passes.custom_rules import holds
from ..passes.pipeline import EXACT, run
from ..passes.reverse import reverse
from ..tracer.array import TracedArray, wrap
from ..tracer.functions.create import zeros
from ..tracer.state import require
from ..tracer.trace import Traced
from ..tracer.tree import Structure, unflatten
from .apart import Apart, owned, traced_apart, transformed
from .linear import Leaves, Linear, check_real, outputs_of, product_with_basis

_MODES = ("auto", "reverse", "forward")


def check_mode(mode: str) -> None:
    """Raise unless there is such a mode.

    Raises
    ------
    ArgumentError
    """
    if mode not in _MODES:
        raise ArgumentError(f"mode={mode!r} is none of {', '.join(map(repr, _MODES))}.")


def _in_mode(
    function: Function, wrt: Sequence[int], of: Sequence[int], mode: str, keep: Sequence[int] | None
) -> tuple[Linear, str]:
    """Return the derivative in a mode; reverse where forward would repeat what happens once."""
    if mode == "forward":
        linear = Linear.pushforward(function, wrt, of, keep)
        if not linear.has_effects:
            return linear, mode
    return Linear.pullback(function, wrt, of, keep), "reverse"


def _written(apart: Apart, mode: str, holomorphic: bool, exact: bool) -> Any:
    """Write the Jacobian into the trace under way; return the result of the user's call."""
    traced, wanted = apart.traced, apart.wanted
    function = run(traced.function, EXACT.before, [])
    name = function.name
    out = Leaves.of(outputs_of(traced), name)
    all_in = Leaves.of([function.params[p].type for p in wanted.positions], name)
    floating = [k for k, t in enumerate(all_in.types) if t.is_inexact]
    inside = Leaves.of([all_in.types[k] for k in floating], name)
    if mode == "auto":
        is_wide = inside.total > out.total and not any(t.dtype.kind == "c" for t in out.types)
        mode = "reverse" if is_wide or (holomorphic and inside.total > out.total) else "forward"
    of, wrt = range(traced.results), [wanted.positions[k] for k in floating]
    check_real([function.params[p] for p in wrt], out.types, mode, holomorphic)
    keep = range(traced.results, len(function.results))
    linear, mode = _in_mode(function, wrt, of, mode, keep)
    kept, made = product_with_basis(apart, linear, out if mode == "reverse" else inside, exact)
    place = {k: n for n, k in enumerate(floating)}
    blocks = [
        [
            _block(mode, made, out, k, inside, place[j])
            if j in place
            else zeros((*out.shapes[k], *all_in.shapes[j]), all_in.types[j].dtype)
            for j in range(len(all_in.types))
        ]
        for k in range(len(out.types))
    ]
    return _assembled(apart, traced.structure, blocks, kept)


def _block(mode: str, made: Sequence[Any], out: Leaves, k: int, inside: Leaves, j: int) -> Any:
    """Return the derivative of output k by argument j from the products with a basis."""
    if mode == "reverse":
        return out.rows(made[j], k)
    columns = inside.rows(made[k], j)
    count = len(inside.shapes[j])
    return np.transpose(columns, (*range(count, np.ndim(columns)), *range(count)))


def _assembled(
    apart: Apart, structure: Structure, blocks: Sequence[Sequence[Any]], kept: Sequence[Any]
) -> Any:
    """Return the result of the user's call: blocks for outputs and arguments, and aux."""
    traced, wanted = apart.traced, apart.wanted
    kinds = [traced.function.param_kinds[p] for p in wanted.positions]
    rows = [unflatten(gradient_structure(wanted), map(_finished, parts, kinds)) for parts in blocks]
    result = unflatten(structure, iter(rows))
    if traced.aux is None:
        return result
    return result, unflatten(traced.aux, iter(kept))


def _finished(value: TracedArray, kind: Kind) -> Any:
    """Return a derivative in memory of its own; without axes it is the number its argument is."""
    if not value.shape:
        return wrap(value._atom, kind, require("a derivative"))
    return owned(wrap(value._atom, Kind.ARRAY, value._trace))


def jacobian(
    function: Callable[..., Any] | None = None,
    argnums: Argnums = 0,
    *,
    mode: str = "auto",
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    exact: bool = False,
) -> Any:
    """Return the function that computes the Jacobian of a function of arrays.

    The result has the structure of the output, with the structure of the argument in place of each
    array (for several `argnums` a tuple of them). Its arrays have the shape of that output,
    followed by the shape of that argument.

    Parameters
    ----------
    argnums
        What to differentiate, as for `grad`.
    mode
        "reverse" computes a row for each entry of the output, "forward" a column for each entry of
        the arguments; "auto" takes the fewer. All are computed at once, and the function itself
        runs once; where it draws random numbers in a loop, that takes the reverse mode.
    has_aux
        The function returns `(output, aux)`; the result is then `(jacobian, aux)`.
    holomorphic
        Arguments and outputs are complex, and the function is holomorphic: the result is its
        complex derivative.
    allow_int
        Give zeros for integer leaves in place of an error.
    static_argnums, static_argnames, exact
        As for `compile`.

    Raises
    ------
    DifferentiationError
        At a call, where the output is not of floating point, an argument is not, or one is complex
        without `holomorphic`.
    UnsupportedError
        At a call, where the size of an output is only known when the program runs.

    See Also
    --------
    sparse_jacobian : For many entries of which each depends on few.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> @pb.jacobian
    ... def polar(p):
    ...     r, angle = p
    ...     return np.stack([r * np.cos(angle), r * np.sin(angle)])
    >>> polar(np.array([2.0, 0.0]))
    array([[1., 0.],
           [0., 2.]])
    """
    check_mode(mode)

    def transform(f: Callable[..., Any]) -> Compiled:
        check_callable("jacobian", f)
        arguments = Arguments(f, static_argnums, static_argnames)

        def jacobian_of(*args: Any, **kwargs: Any) -> Any:
            apart = traced_apart(
                f,
                args,
                kwargs,
                argnums=argnums,
                has_aux=has_aux,
                allow_int=allow_int,
                arguments=arguments,
            )
            return _written(apart, mode, holomorphic, exact)

        return transformed(f, jacobian_of, "jacobian", static_argnums, static_argnames, exact)

    return transform if function is None else transform(function)


def jacrev(function: Callable[..., Any] | None = None, argnums: Argnums = 0, **options: Any) -> Any:
    """Return `jacobian` in reverse mode: a row for each entry of the output.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> pb.jacrev(lambda x: x[:1] * x[1:])(np.array([2.0, 3.0]))
    array([[3., 2.]])
    """
    return jacobian(function, argnums, mode="reverse", **options)


def jacfwd(function: Callable[..., Any] | None = None, argnums: Argnums = 0, **options: Any) -> Any:
    """Return `jacobian` in forward mode: a column for each entry of the argument.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> pb.jacfwd(lambda t: np.stack([np.cos(t), np.sin(t)]))(0.0)
    array([-0.,  1.])
    """
    return jacobian(function, argnums, mode="forward", **options)


def hessian(
    function: Callable[..., Any] | None = None,
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    exact: bool = False,
) -> Any:
    """Return the function that computes the Hessian of a scalar function.

    The result has the structure of the argument twice, one in the other: for an array of shape s
    an array of shape (*s, *s), for a dict a dict of dicts, for several `argnums` a tuple of tuples.

    Parameters
    ----------
    argnums
        What to differentiate, as for `grad`.
    has_aux
        The function returns `(loss, aux)`; the result is then `(hessian, aux)`.
    static_argnums, static_argnames, exact
        As for `compile`.

    Raises
    ------
    DifferentiationError
        At a call, where the output is no real scalar, or an argument is not real floating point.

    Notes
    -----
    It is the forward mode of the gradient, for all directions at once [1]_. Of the two blocks for
    two arguments, which are each other's transposes, each is computed by itself.

    .. [1] A. Griewank, A. Walther, "Evaluating Derivatives", 2nd ed., SIAM 2008, section 5.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> pb.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """

    def transform(f: Callable[..., Any]) -> Compiled:
        check_callable("hessian", f)
        arguments = Arguments(f, static_argnums, static_argnames)

        def hessian_of(*args: Any, **kwargs: Any) -> Any:
            apart = traced_apart(
                f, args, kwargs, argnums=argnums, has_aux=has_aux, arguments=arguments
            )
            return _second_order(apart, exact)

        return transformed(f, hessian_of, "hessian", static_argnums, static_argnames, exact)

    return transform if function is None else transform(function)


def gradient_of(transformation: str, traced: Traced, wanted: Wanted) -> Function:
    """Return the function that computes aux, then the gradient, of a scalar function.

    Parameters
    ----------
    transformation
        What asks for it, as the user calls it.

    Raises
    ------
    DifferentiationError
        Where it is not scalar, or an argument is complex.
    """
    check_scalar(transformation, traced)
    function = run(traced.function, EXACT.before, [])
    for position in wanted.positions:
        if function.params[position].type.dtype.kind == "c":
            raise DifferentiationError(
                f"the Hessian of {function.name} is of real arguments, and "
                f"`{function.params[position].hint}` is {function.params[position].type}.\n"
                "  Pass real and imaginary parts as arguments of their own."
            )
    keep = range(traced.results, len(function.results))
    return reverse(function, wanted.positions, keep=keep)


def _second_order(apart: Apart, exact: bool) -> Any:
    """Write the Hessian into the trace under way; return the result of the user's call."""
    traced, wanted = apart.traced, apart.wanted
    gradient = gradient_of("hessian", traced, wanted)
    count = len(wanted.positions)
    side = Leaves.of([gradient.params[p].type for p in wanted.positions], gradient.name)
    extra = len(gradient.results) - count
    of = range(extra, len(gradient.results))
    linear, mode = _in_mode(gradient, wanted.positions, of, "forward", range(extra))
    kept, made = product_with_basis(apart, linear, side, exact)
    if not holds(traced.function, Custom):
        mode = "reverse"  # the same as it is symmetric; one that follows rules need not be
    blocks = [[_block(mode, made, side, i, side, j) for j in range(count)] for i in range(count)]
    return _assembled(apart, gradient_structure(wanted), blocks, kept)


__all__ = ["hessian", "jacfwd", "jacobian", "jacrev"]

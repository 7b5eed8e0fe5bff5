"""`jet`: the higher derivatives of a function along a path, in Taylor mode."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..ir.errors import StructureError
from ..ir.types import Kind
from ..passes.pipeline import EXACT, run
from ..passes.taylor import taylor
from ..tracer.functions.shape import as_array, cast
from ..tracer.functions.shape import traced as traced_array
from ..tracer.tree import unflatten
from .apart import Transformation, owned, traced_apart
from .tangents import check, given, in_structure, shown, still


def jet(
    function: Callable[..., Any], primals: Any, series: Sequence[Any], *, has_aux: bool = False
) -> tuple[Any, ...]:
    """Return a function's value and its derivatives along a path, to any order.

    The path of an argument is `x(t) = x + s[0] t + s[1] t² / 2! + ... + s[K-1] t^K / K!`: `series`
    holds its derivatives at 0, and what is returned holds those of `function(x(t))`. The cost grows
    as K², where that of nested derivatives doubles with each order.

    Parameters
    ----------
    primals
        The arguments, in a tuple. Anything else is the only argument.
    series
        For each argument a list of K derivatives, each of the structure of the argument; of an only
        argument that is in no tuple, the list itself. None stands for zeros, of a leaf or of all
        that is in a container; integers do not move, and have the derivative 0 or None.
    has_aux
        The function returns `(output, aux)`; the result is then `(output, derivatives, aux)`.

    Returns
    -------
    output, derivatives
        A list of K derivatives, each of the structure of the output.

    Raises
    ------
    StructureError, ShapeError
        Where a derivative has another structure, shape or kind of dtype than its argument.
    DifferentiationError
        Where something on the way has no gradient rule.

    Notes
    -----
    Coefficients of Taylor series follow from the operations [1]_. A power takes K³ operations, and
    a function of matrices (`expm`, `logm`, `sqrtm`) 2^K of them.

    Comparisons, rounding and choices of the largest have the derivative zero; `where`, `maximum`
    and sorting follow what they choose. At a tie that is as in `grad`.

    .. [1] A. Griewank, A. Walther, "Evaluating Derivatives", 2nd ed., SIAM 2008, section 13.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> value, derivatives = pb.jet(np.exp, 0.0, [1.0, 0.0, 0.0])
    >>> [float(d) for d in derivatives]
    [1.0, 1.0, 1.0]
    """
    made: tuple[Any, ...] = _JET(function, primals, series, has_aux=has_aux)
    return made


def _apply(
    function: Callable[..., Any], primals: Any, series: Any, has_aux: bool = False
) -> tuple[Any, ...]:
    args: tuple[Any, ...] = primals if type(primals) is tuple else (primals,)
    lists: Sequence[Any] = series if type(primals) is tuple else [series]
    order = _order(args, lists)
    apart = traced_apart(function, args, has_aux=has_aux, allow_int=True)
    traced = apart.traced
    whole = run(traced.function, EXACT.before, [])
    terms: dict[tuple[int, int], Any] = {}
    for n in range(1, order + 1):
        each = given(args, [part[n - 1] for part in lists], partial(_path, primals, n - 1))
        for k, (path, leaf, term) in enumerate(each):
            wanted = whole.params[k].type
            if term is None:
                continue
            if not wanted.is_inexact:
                apart.operands[k] = still(path, term, wanted, traced_array(leaf))._atom
                continue
            check(path, term, wanted)
            terms[k, n] = cast(term, wanted.dtype) / math.factorial(n)
    moving = sorted({k for k, _ in terms})
    zero = {(k, n) for k in moving for n in range(1, order + 1)} - terms.keys()
    expanded = taylor(whole, moving, order, zero=zero, of=range(traced.results))
    flat = apart.inline(expanded, [terms[key] for key in sorted(terms)])
    count, total = traced.results, len(whole.results)
    derivatives = [
        in_structure(
            traced.structure,
            [_derivative(flat[total + k * order + n], n + 1) for k in range(count)],
        )
        for n in range(order)
    ]
    out = unflatten(traced.structure, iter(flat[:count]))
    if traced.aux is None:
        return out, derivatives
    return out, derivatives, unflatten(traced.aux, iter(flat[count:total]))


def _path(primals: Any, number: int, argument: int) -> str:
    """Return the expression of a derivative of an argument in the series, as the user gave them."""
    place = f"[{argument}]" if type(primals) is tuple else ""
    return f"series{place}[{number}]"


def _order(args: tuple[Any, ...], lists: Any) -> int:
    """Return the number of derivatives, which is the same for each argument.

    Raises
    ------
    StructureError
    """
    if type(lists) not in (list, tuple) or len(lists) != len(args):
        found = f"{len(lists)}" if type(lists) in (list, tuple) else shown(lists)
        raise StructureError(
            f"there are {len(args)} primals, and the series are {found}.\n"
            "  Pass a list of derivatives for each primal: pb.jet(f, (x, y), ([x1, x2], [y1, y2]))."
        )
    for terms in lists:
        if type(terms) not in (list, tuple):
            raise StructureError(
                f"the series of a primal is {shown(terms)}.\n"
                "  Pass the list of its derivatives: [x1, x2] for the first two."
            )
    counts = {len(terms) for terms in lists}
    if len(counts) != 1 or 0 in counts:
        found = ", ".join([str(len(terms)) for terms in lists]) or "none"
        raise StructureError(
            f"each primal needs as many derivatives, one at least, and the series have {found}.\n"
            "  Fill up with None, which stands for zeros."
        )
    return counts.pop()


def _derivative(coefficient: Any, order: int) -> Any:
    """Return the derivative in memory of its own; it is the array or number the output is."""
    value = coefficient * math.factorial(order)
    return owned(as_array(value)) if coefficient._kind is Kind.ARRAY else value


_JET = Transformation("jet", _apply)


__all__ = ["jet"]

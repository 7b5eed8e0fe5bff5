"""The health of a gradient: a run that is observed, and what is found in it.

`check` runs, `recording` holds what was observed, `measures` what is measured of each array;
`chains` finds layers and time steps, `jacobians` by how much they can scale, `problems` what is
wrong and where; `report` prints and `plot` draws. They are imported at the first use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..arguments import Argnums
from ..ir.errors import ArgumentError

if TYPE_CHECKING:
    from .check import HealthCheck


def health(
    function: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    allow_int: bool = False,
    vanishing: float = 1e-4,
    exploding: float = 1e4,
    jacobians: int = 64,
) -> HealthCheck:
    """Return a function that runs a gradient and reports how it fares on its way back.

    Parameters
    ----------
    function
        A function with a scalar result, or what `grad`, `value_and_grad` or `compile` returned;
        what `argnums` and `has_aux` a gradient was made with is kept.
    argnums, has_aux, allow_int
        As for `grad`.
    vanishing, exploding
        By which factor the norm of a cotangent may fall and grow along layers or time steps.
    jacobians
        Of how many steps of each chain the norm of the Jacobian is estimated; 0: of none.

    Returns
    -------
    HealthCheck
        Takes the function's arguments and returns a `Health`.

    Raises
    ------
    ArgumentError
        Where a threshold, or the number of Jacobians, makes no sense.
    UnsupportedError
        At a call, where it stands in a function that is being traced.

    Notes
    -----
    The program runs once, equation by equation and without optimisation, forward and backward, and
    every value and cotangent is looked at. Floating-point warnings are not given. What the function
    prints, draws and stores happens once.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> found = pb.health(lambda x: np.sum(np.sqrt(x)))(np.array([0.0, 4.0]))
    >>> found.verdict
    'non-finite'
    >>> found.gradient
    array([ inf, 0.25])
    """
    from .check import HealthCheck
    from .problems import Thresholds

    if jacobians < 0:
        raise ArgumentError(f"jacobians is {jacobians} and must be at least 0")
    if not 0 <= vanishing < 1 < exploding:
        raise ArgumentError(
            f"vanishing={vanishing} and exploding={exploding}: they must be below 1 and above it"
        )
    thresholds = Thresholds(vanishing, exploding)
    return HealthCheck(function, argnums, has_aux, allow_int, thresholds, jacobians)


__all__ = ["health"]

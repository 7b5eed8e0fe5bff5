"""pullback: gradients of plain NumPy programs, compiled.

Decorate a function with `grad`, `value_and_grad` or `compile`; read the program with
`.inspect(...)`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .arguments import Argnums, Spec
from .budget import bytes_of
from .built import build
from .compiled import Compiled, Options
from .final import final, final_sum
from .health import health
from .ir.errors import (
    ArgumentError,
    BudgetError,
    ConcretizationError,
    ConvergenceError,
    DifferentiationError,
    DTypeError,
    EscapedError,
    GradientMismatch,
    ParseError,
    PullbackError,
    ShapeError,
    StructureError,
    UnsupportedError,
    VerificationError,
)
from .ir.parser import parse
from .pullbacks import vjp
from .runtime.keeper import release
from .runtime.pool import set_threads
from .tracer.branches import cond, switch
from .tracer.checkpoint import checkpoint
from .tracer.functions.control import stop_gradient
from .tracer.loops import fori_loop, scan
from .tracer.tree import register_container
from .tracer.while_loops import map, while_loop

if TYPE_CHECKING:
    from . import optim, tree
    from .gradcheck import check_grads
    from .minimizing.flattening import flatten
    from .minimizing.minimize import minimize
    from .optim.clipping import clip_by_global_norm, clip_by_value, global_norm
    from .profiling import profile
    from .transforms.callbacks import debug_print, pure_callback
    from .transforms.custom import custom_vjp
    from .transforms.custom_tangents import custom_jvp
    from .transforms.fixed_points import fixed_point
    from .transforms.implicit import custom_linear_solve, custom_root
    from .transforms.jacobians import hessian, jacfwd, jacobian, jacrev
    from .transforms.jets import jet
    from .transforms.linearization import linearize
    from .transforms.pushforwards import hvp, jvp
    from .transforms.sparse import sparse_hessian, sparse_jacobian, sparsity
    from .transforms.vectorized import vmap

__version__ = "0.1.0"

_LATER = {
    "check_grads": "gradcheck",
    "clip_by_global_norm": "optim.clipping",
    "clip_by_value": "optim.clipping",
    "custom_jvp": "transforms.custom_tangents",
    "custom_linear_solve": "transforms.implicit",
    "custom_root": "transforms.implicit",
    "custom_vjp": "transforms.custom",
    "debug_print": "transforms.callbacks",
    "fixed_point": "transforms.fixed_points",
    "flatten": "minimizing.flattening",
    "global_norm": "optim.clipping",
    "hessian": "transforms.jacobians",
    "hvp": "transforms.pushforwards",
    "jacfwd": "transforms.jacobians",
    "jacobian": "transforms.jacobians",
    "jacrev": "transforms.jacobians",
    "jet": "transforms.jets",
    "jvp": "transforms.pushforwards",
    "linearize": "transforms.linearization",
    "minimize": "minimizing.minimize",
    "profile": "profiling",
    "pure_callback": "transforms.callbacks",
    "sparse_hessian": "transforms.sparse",
    "sparse_jacobian": "transforms.sparse",
    "sparsity": "transforms.sparse",
    "vmap": "transforms.vectorized",
    "optim": "optim",
    "tree": "tree",
}
"""Where what is imported at its first use stands: it doubles the time that the package takes."""


def __getattr__(name: str) -> Any:
    """Import a public name at its first use.

    Raises
    ------
    AttributeError
        Where there is no such name.
    """
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f".{_LATER[name]}", __name__)
    found = module if _LATER[name] == name else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


Decorator = Callable[[Callable[..., Any]], Compiled]


def _transform(
    function: Callable[..., Any] | None,
    options: Options,
    static_argnums: int | Sequence[int],
    static_argnames: str | Sequence[str],
    of: str | None = None,
) -> Any:
    def transformed(f: Callable[..., Any]) -> Compiled:
        wanted = f if of is None else final_sum(f, of)
        return Compiled(wanted, options, static_argnums, static_argnames)

    return transformed if function is None else transformed(function)


def compile(
    function: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    donate_argnums: int | Sequence[int] = (),
    donate_argnames: str | Sequence[str] = (),
    exact: bool = False,
) -> Any:
    """Compile a NumPy function: the same results from one planned, fused program.

    Parameters
    ----------
    function
        Any function of arrays, numbers and containers of them. Left out, a decorator is returned.
    static_argnums, static_argnames
        Arguments that are known while tracing; each value of them has a program of its own.
    donate_argnums, donate_argnames
        Arguments that the caller gives away: a result of the shape and dtype of one of their arrays
        is given in its memory, and is that array. Their content is not to be used after the call.
        An array that is read-only, overlaps with another argument, or lies in memory otherwise than
        in C order stays as it is.
    exact
        Keep NumPy's bits: no rewrite that changes rounding.

    Raises
    ------
    UnsupportedError
        At the first call, where the function does what cannot be traced.

    Notes
    -----
    Arrays of other libraries (with `__array__` or `__dlpack__`, buffers) are read by NumPy, in
    their own memory where it can, here and in all transformations; results are NumPy's.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> @pb.compile
    ... def norm(x):
    ...     return np.sqrt(np.sum(x * x))
    >>> float(norm(np.array([3.0, 4.0])))
    5.0
    """
    options = Options("compile", exact=exact, donated=(donate_argnums, donate_argnames))
    return _transform(function, options, static_argnums, static_argnames)


def grad(
    function: Callable[..., Any] | None = None,
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    of: str | None = None,
    allow_int: bool = False,
    holomorphic: bool = False,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    exact: bool = False,
    memory: int | str | None = None,
) -> Any:
    """Return the function that computes the gradient of a scalar function.

    Parameters
    ----------
    argnums
        What to differentiate: a position, a name, or several of them. The gradient has the
        structure of that argument; for several, a tuple.
    has_aux
        The function returns `(loss, aux)`; the result is then `(gradient, aux)`.
    of
        The name of an argument that the function writes into: what is differentiated is the sum of
        its last content, and the result of the function is left aside. The arguments themselves
        stay as they are. See `final` for the content itself.
    allow_int
        Give zeros for integer leaves in place of an error.
    holomorphic
        The function is holomorphic, of complex arguments and with a complex output: what is
        returned is its complex derivative. Nobody checks that it is holomorphic.
    static_argnums, static_argnames, exact
        As for `compile`.
    memory
        How many bytes the program may need at its peak, results included, arguments not: an int, or
        text such as "64MB" (of 2²⁰ bytes). What does not fit is computed again when the gradient
        comes to it, the cheapest first; `inspect(...).kept` says what, and why. Where there are
        loops, it is for what they keep (they save their state now and then and run again in
        between), and the rest of the program fits in it where that can be. Nested in another
        derivative, it is for its own loops.

    Raises
    ------
    DifferentiationError
        At a call, where the output is no real scalar or an argument is not floating point.
    BudgetError
        At a call, where more than `memory` is needed; it names the least.

    Notes
    -----
    For complex arguments z = a + ib the gradient of a real function is df/da - i df/db, the
    convention of JAX and autograd.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> @pb.grad
    ... def loss(w):
    ...     return np.sum(w ** 2)
    >>> loss(np.array([1.0, 2.0]))
    array([2., 4.])
    """
    options = Options(
        "grad", argnums, has_aux, allow_int, exact, bytes_of(memory), holomorphic=holomorphic
    )
    return _transform(function, options, static_argnums, static_argnames, of)


def value_and_grad(
    function: Callable[..., Any] | None = None,
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    of: str | None = None,
    allow_int: bool = False,
    holomorphic: bool = False,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    exact: bool = False,
    memory: int | str | None = None,
) -> Any:
    """Return the function that computes a scalar function's value and its gradient together.

    As `grad`; the result is `(value, gradient)`, with `has_aux` `((value, aux), gradient)`.

    Examples
    --------
    >>> import pullback as pb
    >>> value, slope = pb.value_and_grad(lambda x: x ** 3)(2.0)
    >>> value, slope
    (8.0, 12.0)
    """
    options = Options(
        "value_and_grad",
        argnums,
        has_aux,
        allow_int,
        exact,
        bytes_of(memory),
        holomorphic=holomorphic,
    )
    return _transform(function, options, static_argnums, static_argnames, of)


__all__ = [
    "ArgumentError",
    "BudgetError",
    "Compiled",
    "ConcretizationError",
    "ConvergenceError",
    "DTypeError",
    "DifferentiationError",
    "EscapedError",
    "GradientMismatch",
    "ParseError",
    "PullbackError",
    "ShapeError",
    "Spec",
    "StructureError",
    "UnsupportedError",
    "VerificationError",
    "build",
    "check_grads",
    "checkpoint",
    "clip_by_global_norm",
    "clip_by_value",
    "compile",
    "cond",
    "custom_jvp",
    "custom_linear_solve",
    "custom_root",
    "custom_vjp",
    "debug_print",
    "final",
    "fixed_point",
    "flatten",
    "fori_loop",
    "global_norm",
    "grad",
    "health",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jet",
    "jvp",
    "linearize",
    "map",
    "minimize",
    "optim",
    "parse",
    "profile",
    "pure_callback",
    "register_container",
    "release",
    "scan",
    "set_threads",
    "sparse_hessian",
    "sparse_jacobian",
    "sparsity",
    "stop_gradient",
    "switch",
    "tree",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]

"""`pb.minimize`: SciPy's minimizers on containers, with the derivatives that each of them wants."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import tree as trees
from ..compiled import Compiled, Options, check_callable, name_of
from ..ir.errors import ArgumentError, DifferentiationError
from ..tracer.native import native
from ..tracer.nested import inline_call
from ..tracer.tree import LEAF
from ..transforms.apart import Transformation
from ..transforms.jacobians import hessian
from ..transforms.pushforwards import hvp
from .constraints import bounds_of, constraints_of
from .flattening import as_floating, flatten, flattened
from .progress import Progress

LARGE = 1000
"""Entries from which on BFGS, whose matrix has their square, is not the default."""
WITHOUT_GRADIENT = frozenset({"nelder-mead", "powell", "cobyla", "cobyqa"})
PRODUCTS = frozenset({"newton-cg", "trust-ncg", "trust-krylov", "trust-constr"})
"""Methods that take products of the Hessian with vectors."""
MATRICES = frozenset({"dogleg", "trust-exact"})
"""Methods that take the Hessian itself."""


def minimize(
    f: Callable[..., Any],
    x0: Any,
    args: Any = (),
    method: str | Callable[..., Any] | None = None,
    *,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    options: dict[str, Any] | None = None,
    callback: Callable[..., Any] | None = None,
    progress: bool = False,
) -> Any:
    """Minimize a scalar function of a container, by `scipy.optimize.minimize`.

    The value and its gradient are computed by one program; the Hessian, or its products with
    vectors, by another where the method wants them.

    Parameters
    ----------
    f
        `f(x, *args)` returns one real number. Its parameters `x` are float64 whatever `x0` is,
        because a search along a line sees the rounding of float32.
    x0
        Where to start: any container of real arrays and numbers.
    args
        A tuple of more arguments; anything else is the only one, as SciPy has it.
    method
        One of SciPy's, or a function as SciPy takes it. None: SLSQP with constraints, L-BFGS-B
        with bounds or for more than 1,000 numbers, else BFGS.
    bounds
        A container like `x0` that has `(low, high)` or None in the place of each array, or a pair
        of containers, of all lower and all upper bounds. None is no bound. Or a
        `scipy.optimize.Bounds` for the vector `pb.flatten(x0)`.
    constraints
        One or several of SciPy's: dicts with "type", "fun" and "args", or `NonlinearConstraint`s.
        Their functions take `x` as `f` does; their Jacobians are added.
    callback
        Is called after each iteration with `x`, or with what SciPy calls `intermediate_result` if
        it has a parameter of that name; "trust-constr" adds its state where there are two. It may
        raise StopIteration.
    progress
        Show iterations, value and norm of the gradient in a bar (needs rich).

    Returns
    -------
    OptimizeResult
        SciPy's, with `x` in the structure and dtypes of `x0`, integers as floats, and the gradient
        `jac` likewise. What is a matrix (`hess_inv`) is for the vector `pb.flatten(x)`.

    Raises
    ------
    DifferentiationError
        Where `f` does not return one real number.
    ArgumentError
        Where the value or the gradient at `x0` is infinite or no number, a lower bound is above an
        upper one, or what is given as a constraint is none.
    StructureError, ShapeError
        Where bounds or constraints do not fit `x0`.
    DTypeError
        Where `x0` holds something else than real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> def loss(p, x, y):
    ...     return np.mean((p["w"] * x + p["b"] - y) ** 2)
    >>> x = np.linspace(-1, 1, 50)
    >>> result = pb.minimize(loss, {"w": 0.0, "b": 0.0}, args=(x, 2 * x + 1))
    >>> {k: round(v, 4) for k, v in result.x.items()}
    {'w': 2.0, 'b': 1.0}
    """
    optimize = _scipy_optimize()
    check_callable("minimize", f)
    if callback is not None:
        check_callable("minimize, as callback,", callback)
    if method is not None and not isinstance(method, str):
        check_callable("minimize, as method other than a name,", method)
    problem = _Problem(f, x0, args if isinstance(args, tuple) else (args,))
    found = () if constraints is None else constraints_of(constraints, problem.build)
    if method is None:
        method = _default(bool(found), bounds is not None, problem.start.size)
    name = method.lower() if isinstance(method, str) else "given"
    given: dict[str, Any] = problem.derivatives(name)
    problem.check_start(name)
    shown = Progress(problem, options) if progress else None
    with shown or contextlib.nullcontext():
        result = optimize.minimize(
            fun=given.pop("fun"),
            x0=problem.start,
            method=method,
            bounds=bounds_of(bounds, problem.structure, problem.x0),
            constraints=found,
            tol=tol,
            options=options,
            callback=problem.watcher(callback, shown),
            **given,
        )
    return problem.finished(result)


def _scipy_optimize() -> Any:
    """Return `scipy.optimize`.

    Raises
    ------
    ImportError
        Where SciPy is not installed.
    """
    try:
        from scipy import optimize
    except ImportError as error:
        raise ImportError("pb.minimize needs SciPy:  pip install scipy") from error
    return optimize


def _default(is_constrained: bool, is_bounded: bool, size: int) -> str:
    if is_constrained:
        return "SLSQP"
    return "L-BFGS-B" if is_bounded or size > LARGE else "BFGS"


def _value_and_grad(function: Callable[..., Any], x: Any, args: tuple[Any, ...]) -> Any:
    return Compiled(function, Options("value_and_grad", called="minimize"))(x, *args)


def _value(function: Callable[..., Any], x: Any, args: tuple[Any, ...]) -> Any:
    return inline_call(function, (x, *args), {})


_VALUE_AND_GRAD = Transformation("minimize", _value_and_grad)
_VALUE = Transformation("minimize", _value)


class _Problem:
    """A function of a container as functions of a vector, and the way back."""

    def __init__(self, f: Callable[..., Any], x0: Any, args: tuple[Any, ...]) -> None:
        self.f = f
        self.name = name_of(f)
        self.args = args
        self.x0 = x0 = native(x0, "x0")
        self.start, self.rounded = flattened(x0, "x0")
        if not self.start.size:
            raise ArgumentError("x0 holds no number, so there is nothing to minimize over.")
        self.structure = trees.structure(x0)
        self.build = flatten(trees.map(_doubled, x0))[1]
        self.value = 0.0
        self.slope = np.zeros(0)
        self.at: np.ndarray | None = None
        """Where value and slope were computed last."""

    def derivatives(self, method: str) -> dict[str, Any]:
        """Return the functions that a method takes, by their names in SciPy."""
        if method in WITHOUT_GRADIENT:
            return {"fun": self.value_at}
        found: dict[str, Any] = {"fun": self.both, "jac": True}
        if method in PRODUCTS:
            found["hessp"] = self.product
        elif method in MATRICES:
            matrix = hessian(lambda v: inline_call(self.f, (self.build(v), *self.args), {}))
            found["hess"] = lambda v: np.asarray(matrix(np.array(v)))
        return found

    def _is_at(self, vector: np.ndarray) -> bool:
        """Whether a vector is where the function was computed last."""
        return self.at is not None and np.array_equal(self.at, vector)

    def both(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return value and gradient, of the last call where that was here."""
        if not self._is_at(vector):
            self.at = np.array(vector, np.float64)
            value, slope = _VALUE_AND_GRAD(self.f, self.build(self.at), self.args)
            self.value, self.slope = float(value), flatten(slope)[0]
        return self.value, self.slope.copy()

    def value_at(self, vector: np.ndarray) -> float:
        """Return the value alone.

        Raises
        ------
        DifferentiationError
            Where it is no real number.
        """
        if not self._is_at(vector):
            self.at = np.array(vector, np.float64)
            value = _VALUE(self.f, self.build(self.at), self.args)
            if trees.structure(value) != LEAF or np.ndim(value) or np.iscomplexobj(value):
                raise DifferentiationError(
                    f"minimize needs a function that returns one real number, and {self.name} "
                    f"returns {trees.described(value)}."
                )
            self.value = float(value)
        return self.value

    def product(self, vector: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Return the Hessian's product with a direction."""
        tangents = (self.build(np.array(direction, np.float64)), *[None] * len(self.args))
        made = hvp(self.f, (self.build(np.array(vector, np.float64)), *self.args), tangents)
        return np.asarray(flatten(made)[0])

    def check_start(self, method: str) -> None:
        """Raise where there is no way from the start.

        Raises
        ------
        ArgumentError
        """
        value = (
            self.value_at(self.start) if method in WITHOUT_GRADIENT else self.both(self.start)[0]
        )
        if not np.isfinite(value):
            raise ArgumentError(
                f"{self.name} is {value} at x0, so there is no way down from there."
            )
        if not np.all(np.isfinite(self.slope)):
            entry = int(np.flatnonzero(~np.isfinite(self.slope))[0])
            raise ArgumentError(
                f"the gradient of {self.name} at x0 is {self.slope[entry]} with respect to "
                f"`{_place(self.build, self.x0, entry)}`.\n"
                "  See where it comes from:  pb.grad, with np.errstate(all='raise')."
            )

    def watcher(self, callback: Callable[..., Any] | None, shown: Progress | None) -> Any:
        """Return what SciPy calls after each iteration, None where nothing is to be done."""
        if callback is None:
            return None if shown is None else lambda xk, *state: shown.step()
        names = _parameters(callback)
        wants_result = "intermediate_result" in names
        # Only here SciPy hands a state over, and older callbacks take the vector alone.
        with_state = len(names) > 1

        def watched(xk: np.ndarray, *state: Any) -> Any:
            if shown is not None:
                shown.step()
            if not wants_result:
                x = self.rounded(np.array(xk))
                return callback(x, *state) if with_state else callback(x)
            value = self.value
            if not self._is_at(xk):
                value = float(_VALUE(self.f, self.build(np.array(xk)), self.args))
            made = _scipy_optimize().OptimizeResult(x=self.rounded(np.array(xk)), fun=value)
            return callback(intermediate_result=made)

        return watched

    def finished(self, result: Any) -> Any:
        """Return SciPy's result with its vectors as containers."""
        result.x = self.rounded(np.array(result.x))
        for name in ("jac", "grad"):
            vector = result.get(name)
            if isinstance(vector, np.ndarray) and vector.shape == self.start.shape:
                result[name] = self.rounded(vector)
        return result


def _doubled(leaf: Any) -> Any:
    """Return a leaf as float64, of its kind."""
    leaf = as_floating(leaf, "x0")
    return leaf.astype(np.float64) if isinstance(leaf, np.ndarray | np.generic) else leaf


def _parameters(callback: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the parameters, none where they are not known."""
    try:
        return tuple(inspect.signature(callback).parameters)
    except (TypeError, ValueError):
        return ()


def _place(build: trees.Unravel, tree: Any, entry: int) -> str:
    """Return the expression of the entry of a vector in the container it stands for."""
    number = next(k for k, p in enumerate(build.parts) if p.start <= entry < p.start + p.size)
    part = build.parts[number]
    path = trees.paths(tree, "x0")[number]
    if not part.shape:
        return path
    index = np.unravel_index(entry - part.start, part.shape)
    return f"{path}[{', '.join(str(int(i)) for i in index)}]"


__all__ = ["minimize"]

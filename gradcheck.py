"""`check_grads`: derivatives against finite differences, with the entry at fault named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .compiled import Compiled, Options, name_of
from .ir.errors import DifferentiationError, GradientMismatch, StructureError, with_article
from .tracer.native import native
from .tracer.nested import inline_call
from .tracer.report import defined, definition
from .tracer.tree import flatten, map_leaves, paths, unflatten


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    *,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    seed: int = 0,
    directions: int = 3,
) -> None:
    """Compare the derivatives of `f` at `args` with central differences along random directions.

    The output may be any container of arrays: it is first contracted with fixed random weights.
    For each order the gradient of the previous one, contracted likewise, is compared. float32
    arguments are checked in float64, so the check is of the rules and not of the rounding.

    Parameters
    ----------
    args
        The positional arguments; every floating-point leaf is differentiated.
    order
        The highest derivative that is checked.
    atol, rtol
        Tolerances of the comparison.
    seed
        Of the weights and the directions.
    directions
        How many there are.

    Raises
    ------
    GradientMismatch
        Naming the order, the argument and the entry whose derivative is off the most.
    DifferentiationError
        Where no argument is floating point, or no output.
    StructureError
        Where the arguments are no tuple or list.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> pb.check_grads(lambda x, w: np.tanh(x @ w), (np.ones((2, 3)), np.ones(3) / 4))
    >>> @pb.custom_vjp
    ... def square(x):
    ...     return x**2
    >>> square.defvjp(lambda x: (x**2, x), lambda x, ct: (ct * x,))
    >>> pb.check_grads(square, (np.array([1.0, 2.0]),))  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    GradientMismatch: ...
    """
    if not isinstance(args, tuple | list):
        raise StructureError(
            f"check_grads takes the arguments of {name_of(f)} in a tuple, not "
            f"{with_article(type(args).__name__)}.\n  Write (x,) for one argument."
        )
    rng = np.random.default_rng(seed)
    args = tuple(map_leaves(_as_double, native(a, f"args[{k}]")) for k, a in enumerate(args))
    wanted = tuple(
        k for k, a in enumerate(args) if any(_is_inexact(leaf) for _, leaf in paths(a, ""))
    )
    if not wanted:
        raise DifferentiationError(
            f"check_grads: no argument of {name_of(f)} is floating point.\n"
            "  Convert one, for example x.astype(float)."
        )
    scalar = _contracted(f, f(*args), rng)
    for degree in range(1, order + 1):
        derivative = Compiled(scalar, Options("grad", wanted, allow_int=True))
        gradient = derivative(*args)
        _compare(scalar, gradient, args, wanted, degree, rng, atol, rtol, directions)
        scalar = _contracted(derivative, gradient, rng)


def _as_double(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "fc":
        return np.asarray(leaf, np.complex128 if leaf.dtype.kind == "c" else np.float64)
    return leaf


def _is_inexact(leaf: Any) -> bool:
    return np.result_type(leaf).kind in "fc"


def _contracted(f: Callable[..., Any], output: Any, rng: np.random.Generator) -> Any:
    """Return a real scalar function: the real part of the output contracted with fixed weights."""
    leaves: list[Any] = []
    flatten(output, leaves)
    weights = [_noise(leaf, rng) if _is_inexact(leaf) else None for leaf in leaves]
    name = name_of(f)
    if not any(weight is not None for weight in weights):
        text = (
            f"check_grads compares derivatives of floating-point outputs, and {name} returns none."
            "\n  Return what is to be checked."
        )
        raise DifferentiationError(defined(text, definition(f)))

    def contracted(*args: Any) -> Any:
        parts: list[Any] = []
        flatten(inline_call(f, args, {}), parts)  # rewritten, as this function is not
        total: Any = 0.0
        for weight, part in zip(weights, parts, strict=True):
            if weight is not None:
                total = total + np.sum(np.real(weight * part))
        return total

    contracted.__name__ = name
    return contracted


def _noise(leaf: Any, rng: np.random.Generator) -> Any:
    noise = rng.standard_normal(np.shape(leaf))
    if np.result_type(leaf).kind == "c":
        noise = noise + 1j * rng.standard_normal(np.shape(leaf))
    return np.asarray(noise)


def _compare(
    f: Callable[..., Any],
    gradient: Any,
    args: tuple[Any, ...],
    wanted: tuple[int, ...],
    degree: int,
    rng: np.random.Generator,
    atol: float,
    rtol: float,
    directions: int,
) -> None:
    for argument, ct in zip(wanted, gradient, strict=True):
        leaves: list[Any] = []
        flatten(args[argument], leaves)
        slopes: list[Any] = []
        flatten(ct, slopes)
        for k, (leaf, slope) in enumerate(zip(leaves, slopes, strict=True)):
            if not _is_inexact(leaf) or np.size(leaf) == 0:
                continue

            shifted = _along(f, args, argument, k)
            for _ in range(directions):
                direction = _noise(leaf, rng)
                found = float(np.sum(np.real(np.asarray(slope) * direction)))
                expected = _difference(shifted, leaf, direction)
                if not np.isclose(found, expected, atol=atol, rtol=rtol, equal_nan=False):
                    name = list(paths(args[argument], f"argument {argument}"))[k][0]
                    what = f"the derivative of order {degree} of {name_of(f)}"
                    raise _mismatch(shifted, f"{what} with respect to {name}", leaf, slope)


def _along(
    f: Callable[..., Any], args: tuple[Any, ...], argument: int, k: int
) -> Callable[[Any], float]:
    """Return f as a function of what is added to leaf k of an argument."""
    leaves: list[Any] = []
    structure = flatten(args[argument], leaves)

    def shifted(delta: Any) -> float:
        moved = [v + delta if j == k else v for j, v in enumerate(leaves)]
        arg = unflatten(structure, iter(moved))
        return float(f(*args[:argument], arg, *args[argument + 1 :]))

    return shifted


def _difference(shifted: Callable[[Any], float], leaf: Any, direction: Any) -> float:
    """Return the slope along a direction: central differences, extrapolated once (Richardson)."""
    scale = max(1.0, float(np.max(np.abs(leaf))))
    step = (
        float(np.finfo(np.float64).eps ** 0.2) * scale / max(1.0, float(np.max(np.abs(direction))))
    )
    wide = (shifted(step * direction) - shifted(-step * direction)) / (2 * step)
    half = step / 2
    narrow = (shifted(half * direction) - shifted(-half * direction)) / (2 * half)
    return (4 * narrow - wide) / 3


def _mismatch(
    shifted: Callable[[Any], float], what: str, leaf: Any, slope: Any
) -> GradientMismatch:
    """Return the error with the entry whose derivative is off the most."""
    worst, where, pair = -1.0, (), (0.0, 0.0)
    values = np.asarray(slope)
    for index in list(np.ndindex(np.shape(leaf)))[:200]:
        unit = np.zeros(np.shape(leaf))
        unit[index] = 1.0
        expected = _difference(shifted, leaf, unit)
        found = float(np.real(values[index]))
        gap = abs(found - expected)
        if not gap <= worst:
            worst, where, pair = gap, index, (found, expected)
    entry = f"[{', '.join(map(str, where))}]" if where else ""
    return GradientMismatch(
        f"{what}{entry} is {pair[0]:.8g}, and finite differences give {pair[1]:.8g}."
    )

"""Random draws at every run: NumPy's generators, their samplers, and the legacy functions.

A draw is an ordered op on the generator, so the numbers, their order and the state of the generator
afterwards are those of plain NumPy. Samplers that shift and scale a standard distribution draw from
that one and compute the rest, as NumPy does, so that derivatives flow to their parameters.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...ir.core import Literal
from ...ir.errors import UnsupportedError
from ...ir.ops.random import Draw, Seed
from ...ir.types import ArrayType, Kind
from ..array import FUNCTIONS, TracedArray, lift
from ..promotion import check_dtype
from ..report import expression_here
from ..state import Trace, locate, require
from .generators import (
    GENERATORS,
    RAND,
    atom_of,
    generator_class,
    refused,
    static_seed,
)
from .known import array_of
from .known import require as check
from .lazy import implements_lazily
from .shape import cast
from .write import put

_REFUSED = frozenset({"bytes", "spawn", "get_state", "set_state", "random_integers"})

_ALIASES = {"rand": "random_sample", "randn": "standard_normal"}


# ---- draws ---------------------------------------------------------------------------------------


def draw(owner: Any, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Call a method of a generator at every run of the program.

    Raises
    ------
    TypeError, ValueError
        As NumPy, for arguments that it does not take.
    UnsupportedError
        For what gives no array, or depends on the state of the generator.
    """
    cls = generator_class(owner)
    assert cls is not None
    if name in _REFUSED:
        raise refused(f"`{name}` of a generator")
    trace = require(name, args)
    trace.builder.provenance = locate(trace)
    if name == "seed":
        atom = atom_of(owner, trace)
        trace.builder.emit(Seed(static_seed(args[0] if args else kwargs.get("seed"))), [atom])
        return None
    if name in _ALIASES:
        size = tuple(args) or None
        return draw(owner, _ALIASES[name], (), {} if size is None else {"size": size})
    scratch = _scratch(cls)
    given = inspect.signature(getattr(scratch, name)).bind(*args, **kwargs).arguments
    if given.get("size", 0) is None:
        del given["size"]
    out = given.pop("out", None)
    if out is not None:
        given.setdefault("size", np.shape(out))
        if isinstance(out, np.ndarray) or given["size"] != np.shape(out):
            raise UnsupportedError(
                f"{expression_here()}: `out=` is traced for an array of the size that is drawn.\n"
                "  Assign the result instead."
            )
        put(out, draw(owner, name, (), given))
        return out
    special = _SPECIAL.get(name)
    if special is not None:
        return special(owner, name, given)
    form = _AFFINE.get(name)
    if form is not None and any(map(_is_computed, given.values())):
        return _affine(owner, name, given, form)
    return _drawn(owner, name, given)


def _scratch(cls: type) -> Any:
    return np.random.RandomState(0) if cls is np.random.RandomState else np.random.default_rng(0)


def _is_computed(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_is_computed, value))
    return isinstance(value, TracedArray) and not isinstance(value._atom, Literal)


def _split(given: dict[str, Any], trace: Trace) -> tuple[dict[str, TracedArray], dict[str, Any]]:
    """Return the arguments that are operands of the draw, and those known now."""
    operands: dict[str, TracedArray] = {}
    static: dict[str, Any] = {}
    for name, value in given.items():
        if name == "size":
            static[name] = _size(value)
        elif name == "dtype":
            static[name] = value
        elif isinstance(value, TracedArray | np.ndarray | list | tuple | np.generic):
            made = array_of(value) if isinstance(value, list | tuple) else value
            operands[name] = TracedArray(*lift(made, trace), trace)
        elif value is None or isinstance(value, bool | int | float | str):
            static[name] = value
        else:
            raise UnsupportedError(
                f"{expression_here()}: a draw with `{name}` of the class {type(value).__name__} is "
                "not traced.\n  Pass a number or an array."
            )
    return operands, static


def _size(size: Any) -> Any:
    if isinstance(size, list | tuple):
        return tuple([operator.index(s) for s in size])
    return operator.index(size)


def _trial(cls: type, name: str, operands: dict[str, TracedArray], static: dict[str, Any]) -> Any:
    """Return what a generator that nobody uses gives for arguments of the same shapes."""
    known: dict[str, Any] = {k: v for k, v in static.items() if isinstance(v, int | float)}
    values: dict[str, Any] = {}
    for key, value in operands.items():
        if isinstance(value._atom, Literal):
            values[key] = known[key] = np.asarray(value._atom.value)
    for key, value in operands.items():
        if key == "cov":
            values[key] = np.eye(value.shape[0], value.shape[1])
        elif key not in values:
            dtype = value.dtype if value.dtype.kind in "iu" else np.dtype(float)
            number = _dummy(name, key, known, value.shape)
            values[key] = np.full(value.shape, number if dtype.kind == "f" else int(max(number, 0)))
            values[key] = values[key].astype(dtype)
        if not value.shape:
            values[key] = values[key][()]
    return getattr(_scratch(cls), name)(**static, **values)


def _dummy(name: str, key: str, known: dict[str, Any], shape: Sequence[int]) -> float:
    """Return a value that a sampler takes for a parameter, beside those that are known."""
    if key == "pvals" or (key == "p" and name == "choice"):
        return 1.0 / max(shape[-1] if shape else 1, 1)
    below = [np.max(known[k]) for k in ("low", "left", "mode") if k in known and k != key]
    above = [np.min(known[k]) for k in ("high", "right", "mode") if k in known and k != key]
    if key in ("high", "right"):
        return float(max(below, default=0.0)) + 2
    if key in ("low", "left"):
        if key == "low" and name in ("integers", "randint") and "high" not in known:
            return 2.0
        return float(min(above)) - 1 if above else 0.0
    if key == "mode":
        return float((below or above or [1.0])[0])
    return {"ngood": 2.0, "nbad": 2.0, "nsample": 1.0, "n": 2.0, "a": 2.0}.get(key, 0.5)


def _typed(result: Any) -> tuple[ArrayType, Kind]:
    array = np.asarray(result)
    check_dtype(array.dtype)
    if isinstance(result, np.ndarray):
        return ArrayType(array.dtype, array.shape), Kind.ARRAY
    kind = Kind.SCALAR if isinstance(result, np.generic) else Kind.PYTHON
    return ArrayType(array.dtype, ()), kind


def _drawn(owner: Any, name: str, given: dict[str, Any]) -> TracedArray:
    """Emit the call of a sampler as it is."""
    trace = require(name)
    cls = generator_class(owner)
    assert cls is not None
    operands, static = _split(given, trace)
    type, kind = _typed(_trial(cls, name, operands, static))
    if "dtype" in static:
        static["dtype"] = np.dtype(static["dtype"])
    return _emit(owner, Draw(name, type, tuple(operands), tuple(static.items())), operands, kind)


def _emit(owner: Any, op: Draw, operands: dict[str, TracedArray], kind: Kind) -> TracedArray:
    trace = require(op.method)
    trace.builder.provenance = locate(trace)
    atoms = [atom_of(owner, trace), *[lift(v, trace)[0] for v in operands.values()]]
    return TracedArray(trace.builder.one(op, *atoms), kind, trace)


@implements_lazily("numpy.random.seed", always=True)
def _seed(seed: Any = None) -> None:
    draw(RAND, "seed", (seed,), {})


@implements_lazily("numpy.random.ranf", "numpy.random.sample", always=True)
def _ranf(*args: Any, **kwargs: Any) -> Any:
    return draw(RAND, "random_sample", args, kwargs)


@implements_lazily("numpy.random.get_state", "numpy.random.set_state", always=True)
def _state(*args: Any, **kwargs: Any) -> Any:
    raise refused("the state of a generator")


# ---- samplers that shift and scale a standard one ------------------------------------------------


class _Form:
    """How a sampler comes from a standard one: `shift + scale * standard`."""

    def __init__(
        self, standard: str, shift: str | None, scale: str | None, rest: Sequence[str] = ()
    ) -> None:
        self.standard = standard
        self.shift = shift
        self.scale = scale
        self.rest = rest


_AFFINE = {
    "normal": _Form("standard_normal", "loc", "scale"),
    "lognormal": _Form("standard_normal", "mean", "sigma"),
    "uniform": _Form("random", "low", "high"),
    "exponential": _Form("standard_exponential", None, "scale"),
    "rayleigh": _Form("rayleigh", None, "scale"),
    "gumbel": _Form("gumbel", "loc", "scale"),
    "laplace": _Form("laplace", "loc", "scale"),
    "logistic": _Form("logistic", "loc", "scale"),
    "gamma": _Form("standard_gamma", None, "scale", ("shape",)),
    "multivariate_normal": _Form(
        "multivariate_normal", "mean", None, ("cov", "check_valid", "tol", "method")
    ),
}

_DEFAULTS = {"loc": 0.0, "scale": 1.0, "mean": 0.0, "sigma": 1.0, "low": 0.0, "high": 1.0}


def _affine(owner: Any, name: str, given: dict[str, Any], form: _Form) -> TracedArray:
    """Emit a draw from the standard distribution, and what makes the wanted one of it."""
    trace = require(name)
    cls = generator_class(owner)
    assert cls is not None
    operands, static = _split(given, trace)
    type, kind = _typed(_trial(cls, name, operands, static))  # NumPy's errors for these shapes
    parameters: dict[str, Any] = {
        key: _wide(given.get(key, _DEFAULTS.get(key)))
        for key in (form.shift, form.scale)
        if key is not None
    }
    shift: Any = parameters.get(form.shift or "")
    scale: Any = parameters.get(form.scale or "")
    rest: dict[str, Any] = {k: given[k] for k in form.rest if k in given}
    if name == "multivariate_normal":
        rest["mean"] = np.zeros(np.shape(shift))
        size = static.get("size")
    else:
        size = type.shape if kind is Kind.ARRAY else None
    if name == "uniform":
        low, high = shift, scale
        scale = high - low
        error = "high - low range" if cls is GENERATORS[0] else "Range"
        finite = np.all(np.isfinite(scale))
        scale = check(scale, finite, OverflowError, f"{error} exceeds valid bounds")
        if cls is GENERATORS[0]:
            scale = _not_negative(scale, "high - low")
    elif scale is not None:
        scale = _not_negative(scale, form.scale or "")
    if size is not None:
        rest["size"] = size
    if name == "uniform" and cls is np.random.RandomState:
        standard = _drawn(owner, "random_sample", rest)
    else:
        standard = _drawn(owner, form.standard, rest)
    result = standard if scale is None else scale * standard
    result = result if shift is None else shift + result
    if name == "lognormal":
        result = np.exp(result)
    return TracedArray(lift(result, trace)[0], kind, trace)


def _wide(value: Any) -> Any:
    value = array_of(value) if isinstance(value, list | tuple) else value
    return cast(value, np.dtype(float)) if isinstance(value, TracedArray) else np.float64(value)


def _not_negative(value: Any, name: str) -> Any:
    """Return a parameter, checked when the program runs.

    Raises
    ------
    ValueError
        As NumPy, at the run.
    """
    holds = np.logical_or(np.isnan(value), np.logical_not(np.signbit(value)))
    return check(value, np.all(holds), ValueError, f"{name} < 0")


# ---- orders and choices --------------------------------------------------------------------------


def _array(value: Any) -> Any:
    """Return what is ordered or chosen from as an array; None for a number.

    Raises
    ------
    UnsupportedError
        For a container of anything but numbers: what is drawn would be known too late.
    """
    if isinstance(value, int | np.integer):
        return None
    if isinstance(value, TracedArray) and not value.shape and value.dtype.kind in "iu":
        return None
    if isinstance(value, list | tuple | range):
        if not _is_computed(list(value)) and np.asarray(value).dtype.kind not in "biufc":
            raise refused("a choice among values that are no numbers")
        if not _is_computed(list(value)) and np.asarray(value).dtype.kind not in "biufc":
            raise refused("a choice among values that are no numbers")
        value = array_of(list(value))
    if not isinstance(value, TracedArray | np.ndarray):
        raise refused(f"a choice among the elements of a {type(value).__name__}")
    return value


def _axis(array: Any, axis: Any) -> int:
    return range(array.ndim)[operator.index(axis)] if array.ndim else 0


def _choice(owner: Any, name: str, given: dict[str, Any]) -> Any:
    array = _array(given["a"])
    if array is None:
        return _drawn(owner, name, given)
    if generator_class(owner) is np.random.RandomState and array.ndim != 1:
        raise ValueError("a must be 1-dimensional")
    axis = _axis(array, given.pop("axis", 0))
    places = _drawn(owner, name, {**given, "a": array.shape[axis]})
    return FUNCTIONS[np.take](array, places, axis)


def _permutation(owner: Any, name: str, given: dict[str, Any]) -> Any:
    array = _array(given["x"])
    if array is None:
        return _drawn(owner, name, given)
    if not array.ndim:
        raise IndexError("x must be an integer or at least 1-dimensional")
    axis = _axis(array, given.get("axis", 0))
    return FUNCTIONS[np.take](array, _places(owner, "permutation", array, axis), axis)


def _shuffle(owner: Any, name: str, given: dict[str, Any]) -> None:
    array = given["x"]
    if not isinstance(array, TracedArray):
        raise UnsupportedError(
            f"{expression_here()}: shuffling a {type(array).__name__} is not traced, since its "
            "order is known only when the program runs.\n  Shuffle an array."
        )
    axis = _axis(array, given.get("axis", 0))
    put(array, FUNCTIONS[np.take](array, _places(owner, "shuffle", array, axis), axis))


def _permuted(owner: Any, name: str, given: dict[str, Any]) -> Any:
    array = _array(given["x"])
    axis = given.get("axis")
    type = ArrayType(np.dtype(np.int64), array.shape)
    static = (("of", array.shape), ("axis", None if axis is None else _axis(array, axis)))
    places = _emit(owner, Draw(name, type, (), static), {}, Kind.ARRAY)
    return FUNCTIONS[np.take](FUNCTIONS[np.ravel](array), places)


def _places(owner: Any, name: str, array: Any, axis: int) -> TracedArray:
    """Emit the draw of the position that each place along an axis gets its element from."""
    type = ArrayType(np.dtype(np.int64), (array.shape[axis],))
    static = (("of", tuple(array.shape)), ("axis", axis))
    return _emit(owner, Draw(name, type, (), static), {}, Kind.ARRAY)


_SPECIAL: dict[str, Callable[[Any, str, dict[str, Any]], Any]] = {
    "choice": _choice,
    "permutation": _permutation,
    "shuffle": _shuffle,
    "permuted": _permuted,
}

__all__ = ["draw"]

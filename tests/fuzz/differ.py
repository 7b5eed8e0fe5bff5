"""A random program run by plain NumPy and compiled: values, memory and derivatives must agree."""

from __future__ import annotations

import itertools
import linecache
import operator
import re
import warnings
from collections.abc import Callable, Generator, Sequence, Set
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from expressions import NAMESPACE

import pullback as pb
from pullback.ir.core import Literal
from pullback.ir.errors import UnsupportedError

ERRORS = (
    IndexError, ZeroDivisionError, OverflowError, ValueError, TypeError, AttributeError,
    RuntimeError,
)  # fmt: skip
NUDGE = 1e-11
LOSS = """
def loss({parameters}):
    total = 0.0
    for k, r in enumerate((*program({parameters}), {parameters})):
        if r.dtype.kind in "fc":
            total = total + np.sum(np.real(r * np.cos(np.arange(r.size) + k).reshape(r.shape)))
    return total
"""
_numbers = itertools.count()


class Outcome(NamedTuple):
    """What a call did: its results or its error, and the arguments afterwards."""

    results: tuple[Any, ...]
    error: Exception | None
    arguments: list[Any]


@contextmanager
def functions(program: Any) -> Generator[tuple[Callable[..., Any], Callable[..., Any]]]:
    """Give the function of a program and a scalar loss of it; the tracer finds their source."""
    filename = f"<fuzz {next(_numbers)}>"
    parameters = ", ".join(a.name for a in program.arguments)
    text = program.text + LOSS.format(parameters=parameters)
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    namespace = dict(NAMESPACE)
    exec(compile(text, filename, "exec"), namespace)
    try:
        yield namespace["program"], namespace["loss"]
    finally:
        del linecache.cache[filename]


def call(function: Callable[..., Any], arguments: list[Any]) -> Outcome:
    """Call a function quietly."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return Outcome(function(*arguments), None, arguments)
        except ERRORS as error:
            return Outcome((), error, arguments)


def family(error: Exception | None) -> list[type[Exception]]:
    return [k for k in ERRORS if isinstance(error, k)]


# -- values and memory -----------------------------------------------------------------------------


def same_bits(found: Any, wanted: Any) -> bool:
    """Whether two values agree in dtype, shape and bits; one nan is as good as another."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        return False
    if wanted.dtype.kind == "c":
        return same_bits(found.real, wanted.real) and same_bits(found.imag, wanted.imag)
    if wanted.dtype.kind != "f":
        return found.tobytes() == wanted.tobytes()
    both = np.isnan(found) & np.isnan(wanted)
    return bool(np.all(both | ((found == wanted) & (np.signbit(found) == np.signbit(wanted)))))


def close(found: Any, wanted: Any) -> bool:
    """Whether two values agree in dtype and shape, and up to rounding."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        return False
    if wanted.dtype.kind not in "fc":
        return bool(np.all(found == wanted))
    precision = 1e-9 if wanted.dtype.itemsize > 4 and wanted.dtype != np.complex64 else 1e-3
    scale = float(np.max(np.abs(wanted), initial=1.0))
    return np.allclose(found, wanted, precision, precision * scale, equal_nan=True)


def layout(value: Any) -> Any:
    """Return the strides of the axes that have some."""
    if not isinstance(value, np.ndarray):
        return None
    strides = zip(value.strides, value.shape, strict=True)
    return [s for s, n in strides if n > 1] if value.size else []


def pairs(
    outcome: Outcome, related: Callable[[Any, Any], bool], constant: Set[int]
) -> list[tuple[int, int]]:
    """Return which results and arguments share memory, or are the same object.

    Where they leave a compiled function, parts without axes and constants are copies.
    """
    every = [*outcome.results, *outcome.arguments]
    arrays = [
        k for k, v in enumerate(every) if isinstance(v, np.ndarray) and v.ndim and k not in constant
    ]
    return [(i, j) for i, j in itertools.combinations(arrays, 2) if related(every[i], every[j])]


def compare(
    found: Outcome,
    wanted: Outcome,
    before: Sequence[Any],
    same: Callable[[Any, Any], bool],
    memory: bool = True,
    constant: Set[int] = frozenset(),
) -> str:
    """Return what differs between two outcomes, or nothing."""
    if wanted.error is not None or found.error is not None:
        refused = isinstance(found.error, UnsupportedError)
        if family(found.error) != family(wanted.error) or (refused and wanted.error is None):
            return f"it raises {found.error!r}, NumPy {wanted.error!r}"
        kept = all(same_bits(x, y) for x, y in zip(found.arguments, before, strict=True))
        return "" if kept else "a call that raises changed its arguments"
    shared = two_overlap(before)  # written into, they are returned as copies
    if len(found.results) != len(wanted.results):
        return f"{len(found.results)} results, not {len(wanted.results)}"
    for k, (one, two) in enumerate(zip(found.results, wanted.results, strict=True)):
        if type(one) is not type(two):
            return f"result {k} is {type(one).__name__}, not {type(two).__name__}"
        if not same(one, two):
            return f"result {k} is {one!r}, not {two!r}"
        if memory and k not in constant and not shared and layout(one) != layout(two):
            return f"result {k} has the strides {layout(one)}, not {layout(two)}"
    for k, (one, two) in enumerate(zip(found.arguments, wanted.arguments, strict=True)):
        if not same(one, two):
            return f"argument {k} becomes {one!r}, not {two!r}"
    if not memory or shared:
        return ""
    one, two = [pairs(o, np.shares_memory, constant) for o in (found, wanted)]
    if one != two:
        return f"{one} share memory, not {two}"
    one, two = [pairs(o, operator.is_, constant) for o in (found, wanted)]
    missing = set(two) - set(one)
    return f"{missing} are not the same object" if missing else ""


def two_overlap(arguments: Sequence[Any]) -> bool:
    return any(np.shares_memory(x, y) for x, y in itertools.combinations(arguments, 2))


def constants(compiled: Any) -> set[int]:
    """Return the positions of results that are the same at every call."""
    (entry,) = next(iter(compiled.programs.entries.values()))
    results = entry.program.plan.function.results
    return {k for k, r in enumerate(results) if isinstance(r, Literal)}


def nudged(arguments: list[Any], size: float) -> list[Any]:
    """Return arguments moved by a little in memory of the same layout."""
    for x in arguments:
        if x.dtype.kind in "fc" and x.flags.writeable:
            x *= 1 + (size if x.dtype.itemsize > 4 and x.dtype != np.complex64 else 1e-6)
    return arguments


def is_steady(function: Callable[..., Any], program: Any, seed: int) -> bool:
    """Whether rounding moves no result of plain NumPy by much: no ties, no cancellation."""
    one = call(function, program.make(seed))
    two = call(function, nudged(program.make(seed), NUDGE))
    values = [*one.results, *one.arguments], [*two.results, *two.arguments]
    return all(close(x, y) for x, y in zip(*values, strict=True))


def has_numpys_bits(program: Any, wanted: Outcome, before: Sequence[Any]) -> bool:
    """Whether a program compiled exactly gives the same bits as plain NumPy.

    The new content of an argument with gaps or negative strides stands in C order, of which sums
    and products have other bits. NumPy's product of two complex arrays of one element depends on
    whether it is computed in place.
    """
    if "complex128" in repr(program) or re.search(r"\dj", program.text):
        return False
    return not any(
        argument.layout in ("strided", "reversed") and not same_bits(after, x)
        for argument, after, x in zip(program.arguments, wanted.arguments, before, strict=True)
    )


def shares_as_numpy(program: Any) -> bool:
    """Whether results of a compiled program share memory as NumPy's.

    A real or imaginary part is a copy where it leaves the program, and so is the diagonal of an
    array that does not lie in one stretch of memory.
    """
    if ".real" in program.text or ".imag" in program.text:
        return False
    dense = all(a.layout in ("C", "F", "read-only") for a in program.arguments)
    return dense or "diagonal" not in program.text


def check_values(program: Any, function: Callable[..., Any], exact: bool) -> None:
    """Compare a compiled function with NumPy, on two sets of numbers and the first again."""
    compiled = pb.compile(function, exact=exact)
    memory = shares_as_numpy(program)
    kept: list[tuple[Outcome, list[Any]]] = []
    for seed in (0, 1, 0):
        before = program.make(seed)
        wanted = call(function, program.make(seed))
        found = call(compiled, program.make(seed))
        same = same_bits if exact and has_numpys_bits(program, wanted, before) else close
        constant = set() if found.error is not None else constants(compiled)
        difference = compare(found, wanted, before, same, memory, constant)
        if difference and (same is same_bits or is_steady(function, program, seed)):
            how = "exact" if exact else "default"
            raise AssertionError(f"{how}, numbers {seed}: {difference}")
        kept.append((found, [np.array(r) for r in found.results]))
    for found, copies in kept:
        for k, (one, two) in enumerate(zip(found.results, copies, strict=True)):
            assert same_bits(one, two), f"a later call changed result {k} of an earlier one"


# -- derivatives -----------------------------------------------------------------------------------


def directions(arguments: Sequence[Any]) -> list[Any]:
    rng = np.random.default_rng(5)
    made = []
    for x in arguments:
        way = rng.normal(size=x.shape)
        if x.dtype.kind == "c":
            way = way + 1j * rng.normal(size=x.shape)
        if is_repeated(x):
            way = np.broadcast_to(way[:1], way.shape)
        made.append(way if x.dtype.kind in "fc" else np.zeros(x.shape, x.dtype))
    return made


def is_repeated(x: Any) -> bool:
    """Whether elements of an array share memory."""
    return 0 in [s for s, n in zip(x.strides, x.shape, strict=True) if n > 1]


def moved(program: Any, ways: Sequence[Any], step: float) -> list[Any]:
    """Return fresh arguments, moved along a direction, with the layouts that they had."""
    made = []
    for x, way in zip(program.make(0), ways, strict=True):
        if x.dtype.kind not in "fc":
            made.append(x)
            continue
        if is_repeated(x):
            made.append(np.broadcast_to(x[:1] + step * way[:1], x.shape))
            continue
        was, x.flags.writeable = x.flags.writeable, True
        x += step * way
        x.flags.writeable = was
        made.append(x)
    return made


def difference_quotient(
    loss: Callable[..., Any], program: Any, ways: Sequence[Any]
) -> float | None:
    """Return the slope of a loss along a direction, None near a kink or where it raises."""
    values = []
    steps = (1e-6, -1e-6, 1e-7, -1e-7, 0.0)
    for step in steps:
        outcome = call(lambda *a: (loss(*a),), moved(program, ways, step))
        if outcome.error is not None or not np.isfinite(outcome.results[0]):
            return None
        values.append(float(outcome.results[0]))
    wide, narrow = (values[0] - values[1]) / 2e-6, (values[2] - values[3]) / 2e-7
    ahead, behind = (values[0] - values[4]) / 1e-6, (values[4] - values[1]) / 1e-6
    near = 1e-4 * (1 + abs(wide)) + 1e-9 * abs(values[4])
    if abs(wide - narrow) > 10 * near or abs(ahead - behind) > 10 * near:
        return None
    return wide


def check_gradient(program: Any, loss: Callable[..., Any]) -> bool:
    """Compare a gradient with finite differences; say whether there is one to compare."""
    arguments = program.make(0)
    chosen = [k for k, x in enumerate(arguments) if x.dtype in (np.float64, np.complex128)]
    if not chosen or "float32" in repr(program) or any(a.of for a in program.arguments):
        return False
    ways = directions(arguments)
    wanted = difference_quotient(loss, program, ways)
    if wanted is None:
        return False
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        gradient = pb.grad(loss, argnums=tuple(chosen))
        for _ in range(2):
            given = program.make(0)
            try:
                cotangents = gradient(*given)
            except pb.DifferentiationError as error:
                if "has no gradient rule" in str(error):
                    return False
                raise
            for x, y in zip(given, program.make(0), strict=True):
                assert same_bits(x, y), "the gradient changed an argument"
            found = sum(
                float(np.sum(np.real(ct * ways[k])))
                for k, ct in zip(chosen, cotangents, strict=True)
            )
            for k, ct in zip(chosen, cotangents, strict=True):
                assert ct.shape == given[k].shape
                assert not any(np.shares_memory(ct, x) for x in given), "it shares memory"
            near = 1e-4 * (1 + abs(wanted))
            assert abs(found - wanted) < near, (
                f"the gradient is {found} along a direction, differences say {wanted}"
            )
    return True


def check(program: Any) -> None:
    """Hold a program against plain NumPy in every way."""
    with functions(program) as (function, loss):
        check_values(program, function, exact=True)
        check_values(program, function, exact=False)
        check_gradient(program, loss)

"""Holds a function with loops and branches against plain NumPy, at every call of one program."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import itertools
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import pullback as pb

# No package holds the tests: the cases, which are imported by path, find this module by its name.
sys.modules["staging_case"] = sys.modules[__name__]

CASES: list[Case] = []


class Case(NamedTuple):
    """A function, the arguments of several calls, and what is asked of it.

    Where `staged`, no loop is unrolled and no branch decided by the present arguments. `slopes`
    says whether derivatives are compared, `shares` whether results share memory as NumPy's.
    """

    function: Callable[..., Any]
    calls: tuple[tuple[Any, ...], ...]
    staged: bool
    slopes: bool
    shares: bool


class Outcome(NamedTuple):
    """What a call did."""

    result: Any
    error: Exception | None
    arguments: list[Any]
    printed: str


def case(
    *calls: tuple[Any, ...], staged: bool = False, slopes: bool = True, shares: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        CASES.append(Case(function, calls, staged, slopes, shares))
        return function

    return register


def cases_of(name: str) -> list[Case]:
    """Return the cases of the module `name` in this folder."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    before = len(CASES)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return CASES[before:]


def leaves_of(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in leaves_of(part)]
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves_of(part)]
    return [value]


def same(found: Any, expected: Any) -> bool:
    """Whether two values agree in type, shape and bits; a loop's numbers may be NumPy's."""
    kinds = {type(found), type(expected)}
    if len(kinds) > 1 and kinds not in ({float, np.float64}, {bool, np.bool_}):
        return False
    found, expected = np.asarray(found), np.asarray(expected)
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    return found.tobytes() == expected.tobytes() or bool(
        np.all((found == expected) | ((found != found) & (expected != expected)))
    )


def call(function: Callable[..., Any], arguments: Sequence[Any]) -> Outcome:
    """Call a function with copies of arguments."""
    given = copy.deepcopy(list(arguments))
    printed = io.StringIO()
    error: Exception | None = None
    result: Any = ()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            result = function(*given)
        except Exception as raised:
            error = raised
    return Outcome(result, error, given, printed.getvalue())


def sharing(outcome: Outcome) -> list[tuple[int, int, bool]]:
    """Return which arrays of the results and arguments share memory, or are the same object."""
    every = [*leaves_of(outcome.result), *leaves_of(outcome.arguments)]
    arrays = [a for a in every if isinstance(a, np.ndarray) and a.ndim]
    pairs = itertools.combinations(range(len(arrays)), 2)
    return [
        (i, j, arrays[i] is arrays[j]) for i, j in pairs if np.shares_memory(arrays[i], arrays[j])
    ]


def check_values(case: Case) -> None:
    """Compare all calls, twice over, in one compiled function."""
    compiled = pb.compile(case.function, exact=True)
    for arguments in case.calls * 2:
        expected, found = call(case.function, arguments), call(compiled, arguments)
        if expected.error is not None or found.error is not None:
            assert isinstance(found.error, type(expected.error)), found.error
            if not isinstance(found.error, IndexError | UnboundLocalError):
                assert str(found.error) == str(expected.error)
            continue
        pairs = zip(leaves_of(found.result), leaves_of(expected.result), strict=True)
        for k, (one, other) in enumerate(pairs):
            assert same(one, other), f"result {k} is {one!r}, not {other!r}"
        pairs = zip(leaves_of(found.arguments), leaves_of(expected.arguments), strict=True)
        for k, (one, other) in enumerate(pairs):
            assert same(one, other), f"argument {k} becomes {one!r}, not {other!r}"
        assert found.printed == expected.printed
        assert not case.shares or sharing(found) == sharing(expected)


def check_staged(case: Case) -> None:
    """Check that nothing is unrolled or decided by the present arguments."""
    explained = str(pb.compile(case.function).explain(*copy.deepcopy(case.calls[0])))
    assert "unrolled" not in explained, explained
    assert "specialised" not in explained, explained


def check_slopes(case: Case) -> None:
    """Compare derivatives along a direction with finite differences, at all calls."""

    def loss(*arguments: Any) -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            result = case.function(*arguments)
        total = 0.0
        for k, leaf in enumerate([*leaves_of(result), *leaves_of(arguments)]):
            if isinstance(leaf, float) or getattr(leaf, "dtype", np.dtype(int)).kind in "fc":
                flat = np.asarray(leaf).reshape(-1)
                total = total + np.sum(np.real(flat * np.cos(np.arange(flat.size) + k)))
        return total

    for arguments in case.calls:
        chosen = [k for k, x in enumerate(arguments) if np.asarray(x).dtype == np.float64]
        if chosen and call(case.function, arguments).error is None:
            _check_slope(loss, arguments, chosen)


def _check_slope(loss: Callable[..., Any], arguments: Sequence[Any], chosen: list[int]) -> None:
    rng = np.random.default_rng(3)
    ways = {k: rng.normal(size=np.shape(arguments[k])) for k in chosen}

    def at(step: float) -> float:
        moved = copy.deepcopy(list(arguments))
        for k, way in ways.items():
            moved[k] = moved[k] + step * way
            moved[k] = moved[k] if isinstance(moved[k], np.ndarray) else float(moved[k])
        return float(loss(*moved))

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        slope = (at(1e-6) - at(-1e-6)) / 2e-6
        narrow = (at(1e-7) - at(-1e-7)) / 2e-7
        gradient = pb.grad(loss, argnums=tuple(chosen))(*copy.deepcopy(list(arguments)))
    if not np.isfinite(slope) or abs(slope - narrow) > 1e-3 * (1 + abs(slope)):
        return  # a kink, or a call beside it that raises
    found = sum(float(np.sum(ct * ways[k])) for k, ct in zip(chosen, gradient, strict=True))
    assert abs(found - slope) < 1e-4 * (1 + abs(slope)), f"{found} is not {slope}"

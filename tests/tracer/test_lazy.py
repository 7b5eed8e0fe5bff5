"""Traced forms that wait for an import: functions, methods, bound methods, ufuncs."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.errors import UnsupportedError
from pullback.tracer.array import UFUNCS
from pullback.tracer.functions import lazy


class Scaled:
    """Stands for a class of a library, which turns what it is given into numbers."""

    __module__ = "scipy.made_up"

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, x: Any) -> Any:
        return np.asarray(x) * self.factor

    def times(self, x: Any) -> Any:
        return np.asarray(x) * self.factor


Scaled.times.__module__ = Scaled.__call__.__module__ = "scipy.made_up"


def doubled(x: Any) -> Any:
    return np.asarray(x) * 2


doubled.__module__ = "scipy.made_up"
halved = np.frompyfunc(lambda x: x / 2, 1, 1)
DOUBLE, SCALED = doubled, Scaled(3.0)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """Register traced forms, then let the module be imported."""
    monkeypatch.setattr(lazy, "_WAITING", {})
    monkeypatch.setattr(lazy, "_FOUND", dict(lazy._FOUND))
    monkeypatch.setattr(lazy, "_ALWAYS", set(lazy._ALWAYS))
    lazy.implements_lazily("scipy.made_up.doubled", "scipy.made_up.absent")(lambda x: x * 2)
    lazy.implements_lazily("scipy.made_up.Scaled.times")(lambda self, x: x * self.factor)
    lazy.implements_lazily("scipy.made_up.scaled")(lambda x: x * 3)
    lazy.implements_lazily("scipy.made_up.halved")(lambda x: x / 2)
    made: Any = types.ModuleType("scipy.made_up")
    made.doubled, made.Scaled, made.scaled, made.halved = DOUBLE, Scaled, SCALED, halved
    assert lazy.find(DOUBLE) is None
    monkeypatch.setitem(sys.modules, "scipy.made_up", made)
    yield made
    UFUNCS.pop(halved, None)


PROGRAMS: dict[str, tuple[Any, float]] = {
    "function": (lambda x: DOUBLE(x), 2.0),
    "object": (lambda x: SCALED(x), 3.0),
    "method": (lambda x: SCALED.times(x), 3.0),
    "ufunc": (lambda x: halved(x), 0.5),
    "keyword": (lambda x: DOUBLE(x=x), 2.0),
    "container": (lambda x: DOUBLE(x) + DOUBLE(np.ones(2)), 2.0),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_registered_is_traced(name: str, module: types.ModuleType) -> None:
    program, slope = PROGRAMS[name]
    gradient = pb.grad(lambda x: np.sum(program(x)))(np.ones(2))
    assert gradient.tolist() == [slope, slope]


def test_what_is_refused_is_so_without_traced_arguments(module: types.ModuleType) -> None:
    lazy.refuse("scipy.made_up.doubled", why="It cannot.", instead="Write x * 2.")
    with pytest.raises(UnsupportedError, match=r"doubled cannot be traced.(.|\n)*Write x \* 2"):
        pb.compile(lambda x: x + DOUBLE(1.0))(np.ones(2))


def test_a_setup_runs_once(module: types.ModuleType) -> None:
    seen: list[types.ModuleType] = []
    lazy.when_imported("scipy.made_up")(seen.append)
    lazy.register_loaded()
    lazy.register_loaded()
    assert seen == [module]

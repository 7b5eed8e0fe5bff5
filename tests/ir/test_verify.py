"""Each rule of the IR, broken once."""

from __future__ import annotations

import numpy as np
import pytest

from pullback.ir.core import Eqn, Function, Module, Provenance, Value
from pullback.ir.dims import Dim, Symbol
from pullback.ir.errors import VerificationError
from pullback.ir.location import Location
from pullback.ir.ops import elementwise as ew
from pullback.ir.ops.control import Call, Fused
from pullback.ir.ops.shape import Full
from pullback.ir.types import ArrayType, Kind
from pullback.ir.verify import verify

F64 = np.dtype("f8")
VECTOR = ArrayType(F64, (3,))


def values(*hints: str) -> list[Value]:
    return [Value(VECTOR, hint) for hint in hints]


def broken(item: Function | Module, *messages: str) -> None:
    with pytest.raises(VerificationError) as caught:
        verify(item)
    for message in messages:
        assert message in str(caught.value)


def test_a_good_function_passes() -> None:
    x, y = values("x", "y")
    verify(Function("f", [x], [Eqn(ew.tanh, (x,), (y,))], [y, x]))


def test_types_are_inferred_again() -> None:
    (x,) = values("x")
    y = Value(ArrayType(F64, (4,)), "y")
    place = Provenance((Location("/nowhere/model.py", 6),))
    f = Function("f", [x], [Eqn(ew.tanh, (x,), (y,), place)], [y])
    broken(
        f,
        "the op gives f64[3], the equation says f64[4].",
        "y : f64[4] = tanh(x)",
        "model.py:6",
    )


def test_operands_that_do_not_fit() -> None:
    x, y = values("x", "y")
    other = Value(ArrayType(F64, (4,)), "other")
    broken(Function("f", [x, other], [Eqn(ew.add, (x, other), (y,))], [y]), "do not broadcast")


def test_read_before_it_is_defined() -> None:
    x, y, z = values("x", "y", "z")
    eqns = [Eqn(ew.tanh, (y,), (z,)), Eqn(ew.tanh, (x,), (y,))]
    broken(Function("f", [x], eqns, [z]), "`y` is read but not defined before", "tanh(y)")


def test_results_are_defined() -> None:
    x, y = values("x", "y")
    broken(Function("f", [x], [], [y]), "`y` is read but not defined before", "in `f`")


def test_assigned_once() -> None:
    x, y = values("x", "y")
    eqn = Eqn(ew.tanh, (x,), (y,))
    broken(Function("f", [x], [eqn, eqn], [y]), "`y` is assigned twice")
    broken(Function("f", [x, x], [], [x]), "`x` is assigned twice")


def test_regions_are_closed() -> None:
    x, a, b, y = values("x", "a", "b", "y")
    body = Function("body", [a], [Eqn(ew.add, (a, x), (b,))], [b])
    broken(
        Function("f", [x], [Eqn(Fused(body), (x,), (y,))], [y]),
        "`x` is read but not defined before",
        "in `body`",
    )


def test_dims_are_bound() -> None:
    n = Symbol("n")
    x = Value(ArrayType(F64, (Dim.of(n),)), "x")
    broken(Function("f", [x], [], [x]), "the dim `n` is not bound")
    verify(Function("f", [x], [], [x], dims=(n,)))
    broken(Function("f", [x], [], [x], dims=(n, n)), "binds a dim twice")


def test_dims_of_attributes_are_bound() -> None:
    n = Symbol("n")
    s = Value(ArrayType(F64, ()), "s")
    y = Value(ArrayType(F64, (Dim.of(n),)), "y")
    eqn = Eqn(Full((Dim.of(n),)), (s,), (y,))
    broken(Function("f", [s], [eqn], [s]), "the dim `n` is not bound", "full(s, shape=(n,))")


def test_kinds_count_and_fit() -> None:
    (x,) = values("x")
    broken(Function("f", [x], [], [x], param_kinds=[]), "1 parameters have 0 kinds")
    broken(Function("f", [x], [], [x], result_kinds=[]), "1 results have 0 kinds")
    broken(Function("f", [x], [], [x], param_kinds=[Kind.SCALAR]), "kind scalar")


def test_layouts_have_a_stride_for_each_axis() -> None:
    x = Value(VECTOR, "x", layout=(8, 8))
    with pytest.raises(VerificationError, match="`x` has 2 strides"):
        verify(Function("f", [x], [], []))


def test_calls_fit_the_module() -> None:
    x, a, b, y = values("x", "a", "b", "y")
    helper = Function("helper", [a, b], [], [a])
    main = Function("main", [x], [Eqn(Call("helper", (VECTOR,)), (x,), (y,))], [y])
    broken(Module({"main": main}, "main"), "no function `helper`")
    broken(Module({"main": main, "helper": helper}, "main"), "takes f64[3], f64[3], not f64[3]")
    broken(Module({"main": main}, "start"), "no function `start`")
    wrong = Function("helper", [a], [], [a, a])
    broken(Module({"main": main, "helper": wrong}, "main"), "returns f64[3], f64[3], not f64[3]")
    verify(Module({"main": main, "helper": Function("helper", [a], [], [a])}, "main"))

"""One layer: the backward program that is printed is the four equations of the textbook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import Atom, Eqn, Function, Literal, Value
from pullback.ir.op import Elementwise
from pullback.ir.ops.matmul import MatMul
from pullback.ir.ops.shape import Reshape, Transpose
from pullback.ir.printer import print_function
from pullback.passes.memory import flatten

SHAPES = ((3, 4), 3, 4, 3)
Term = Any
"""A name, a number, or a tuple of an operation and its terms."""


def loss(W: Any, b: Any, x: Any, g: Any) -> Any:
    z = W @ x + b
    h = np.tanh(z)
    return np.sum(g * h)


def logistic_loss(W: Any, b: Any, x: Any, g: Any) -> Any:
    z = W @ x + b
    h = 1.0 / (1.0 + np.exp(-z))
    return np.sum(g * h)


def relu_loss(W: Any, b: Any, x: Any, g: Any) -> Any:
    z = W @ x + b
    h = np.maximum(z, 0.0)
    return np.sum(g * h)


def gradient(function: Callable[..., Any]) -> Any:
    return pb.grad(function, argnums=("W", "b", "x"))


def printed() -> str:
    inspection = gradient(loss).inspect(*[pb.Spec(s) for s in SHAPES])
    return print_function(inspection.optimized, margin=False)


def product(*factors: Term) -> Term:
    return ("multiply", *sorted(factors, key=repr))


def plus(*terms: Term) -> Term:
    return ("add", *sorted(terms, key=repr))


def term(function: Function, atom: Atom) -> Term:
    """Return what a value is, in terms of the parameters: order of factors and squares made one."""
    made = {r: e for e in function.eqns for r in e.results}

    def visit(atom: Atom) -> Term:
        if isinstance(atom, Literal):
            return float(atom.value)
        return equation(made[atom]) if atom in made else atom.hint

    def equation(eqn: Eqn) -> Term:
        terms = [visit(a) for a in eqn.operands]
        if isinstance(eqn.op, Elementwise):
            name = eqn.op.ufunc.__name__
            if name in ("add", "multiply"):
                return (name, *sorted(terms, key=repr))
            return product(terms[0], terms[0]) if name == "square" else (name, *terms)
        if isinstance(eqn.op, MatMul):
            return ("@", *terms)
        if isinstance(eqn.op, Transpose) and eqn.op.axes == (-1, -2):
            return ("T", *terms)
        if isinstance(eqn.op, Reshape) and eqn.op.shape == (*eqn.operands[0].type.shape, 1):
            return ("column", *terms)
        raise AssertionError(f"{eqn.op.name} is in no equation of the layer")

    return visit(atom)


@pytest.fixture
def example() -> tuple[Any, ...]:
    rng = np.random.default_rng(7)
    return tuple(rng.normal(size=s) for s in SHAPES)


def test_the_printed_program(golden: Callable[[str, str], None]) -> None:
    golden("layer_gradient.py", printed() + "\n")


def test_the_printed_equations_are_those_of_the_textbook() -> None:
    function = pb.parse(printed())
    assert isinstance(function, Function)
    function = flatten(function)
    dW, db, dx = (term(function, r) for r in function.results)
    h = ("tanh", plus(("@", "W", "x"), "b"))
    dz = product("g", ("subtract", 1.0, product(h, h)))
    assert db == dz
    assert dW == product(("column", dz), "x")  # an outer product: row i is dz[i] * x
    assert dx == ("@", ("T", "W"), dz)


def test_nothing_is_larger_than_what_it_belongs_to() -> None:
    function = gradient(loss).inspect(*[pb.Spec(s) for s in SHAPES]).optimized
    largest = max(p.type.size for p in function.params)
    values = [r for e in flatten(function).eqns for r in e.results]
    assert all(isinstance(v, Value) and v.type.size <= largest for v in values)


def test_the_printed_program_computes_the_equations(example: tuple[Any, ...]) -> None:
    W, b, x, g = example
    dz = g * (1 - np.tanh(W @ x + b) ** 2)
    function = pb.parse(printed())
    assert isinstance(function, Function)
    dW, db, dx = pb.build(function)(*example)
    np.testing.assert_allclose(dW, np.outer(dz, x), rtol=1e-14)
    np.testing.assert_allclose(db, dz, rtol=1e-14)
    np.testing.assert_allclose(dx, W.T @ dz, rtol=1e-14)


def logistic_slope(z: Any) -> Any:
    return np.exp(-z) / (1 + np.exp(-z)) ** 2


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (loss, lambda z: 1 - np.tanh(z) ** 2),
        (logistic_loss, logistic_slope),
        (relu_loss, lambda z: (z > 0) * 1.0),
    ],
)
def test_only_the_slope_depends_on_the_activation(
    function: Callable[..., Any], slope: Callable[[Any], Any], example: tuple[Any, ...]
) -> None:
    W, b, x, g = example
    dz = g * slope(W @ x + b)
    dW, db, dx = gradient(function)(*example)
    np.testing.assert_allclose(dW, np.outer(dz, x), rtol=1e-13)
    np.testing.assert_allclose(db, dz, rtol=1e-13)
    np.testing.assert_allclose(dx, W.T @ dz, rtol=1e-13)


def test_the_pullback_of_the_layer_computes_the_same(example: tuple[Any, ...]) -> None:
    W, b, x, g = example
    out, pull = pb.vjp(lambda W, b, x: np.tanh(W @ x + b), W, b, x)
    np.testing.assert_array_equal(out, np.tanh(W @ x + b))
    for found, expected in zip(pull(g), gradient(loss)(*example), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("function", [loss, logistic_loss, relu_loss])
def test_against_finite_differences(function: Callable[..., Any], example: tuple[Any, ...]) -> None:
    pb.check_grads(function, example)

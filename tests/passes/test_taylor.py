"""Taylor mode: coefficients against nested derivatives, and how their cost grows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from single_ops import STRUCTURAL, TAPES, function_of, has_rule

import pullback as pb
from pullback.ir.builder import Builder
from pullback.ir.core import Eqn, Function, Literal, Value, walk
from pullback.ir.errors import DifferentiationError
from pullback.ir.evaluate import evaluate
from pullback.ir.op import Elementwise, Op
from pullback.ir.ops.control import Call
from pullback.ir.samples import numbers
from pullback.ir.types import type_of
from pullback.ir.verify import verify
from pullback.passes.dce import Dce
from pullback.passes.forms import Form, form_of
from pullback.passes.forward import forward
from pullback.passes.taylor import taylor
from pullback.tracer.array import computed
from pullback.tracer.state import Trace

# As NumPy does, a conversion from complex to real warns.
pytestmark = pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")

OTHERS = {"observe", "callback", "with_rule"}
"""Ops that tell of cotangents, have no derivative, or take that of a rule."""
NAMES = sorted(filter(has_rule, set(Op.REGISTRY) - STRUCTURAL - TAPES - OTHERS))

Sample = tuple[Op, tuple[Any, ...]]


def samples_of(name: str) -> list[Sample]:
    """Return samples of an op in double precision whose results are differentiable."""
    op = Op.REGISTRY[name]
    found: list[Sample] = []
    if isinstance(op, Elementwise):
        for dtype in map(np.dtype, ("f8", "c16")):
            try:
                resolved = op.ufunc.resolve_dtypes((*[dtype] * op.ufunc.nin, None))
            except TypeError:
                continue
            if resolved[:-1] == (dtype,) * op.ufunc.nin:
                operands = [
                    numbers(2, *[3] * (k == 0), dtype=dtype, low=low, high=high, seed=k)
                    for k, (low, high) in enumerate(op.domain)
                ]
                found.append((op, tuple(x if x.ndim == 2 else x[:, None] for x in operands)))
    else:
        found = list(op.samples())
    return [(op, operands) for op, operands in found if _is_wide(op, operands)]


def _is_wide(op: Op, operands: Sequence[Any]) -> bool:
    types = list(map(type_of, operands))
    results = op.infer(*types)
    wide = all(t.dtype.kind in "biu" or t.dtype in ("f8", "c16") for t in (*types, *results))
    moving = any(t.is_inexact for t in types) and any(t.is_inexact for t in results)
    return wide and moving and op.has_gradient


def along(function: Function, operands: Sequence[Any], terms: dict[int, list[Any]]) -> Function:
    """Return the function of t that goes along the path of the coefficients."""
    builder = Builder()
    with Trace(builder, None) as trace:
        t = computed(builder.param(Value(type_of(0.5), "t")), trace)
        arguments: list[Any] = []
        for k, x in enumerate(operands):
            here: Any = x
            if k in terms:
                here = x + sum(np.asarray(c) * t ** (n + 1) for n, c in enumerate(terms[k]))
            arguments.append(here._atom if k in terms else Literal(np.asarray(x)[()]))
        results = builder.inline(function, arguments)
    return builder.finish("along", results)


def nested(function: Function, order: int) -> list[list[Any]]:
    """Return the derivatives at 0 of a function of t, of order 1 and more."""
    found = []
    inexact = [k for k, r in enumerate(function.results) if r.type.is_inexact]
    for n in range(order):
        of = inexact if n == 0 else range(len(inexact))
        function = forward(function, [0], keep=(), of=of)
        found.append(evaluate(function, np.float64(0.0), *[np.float64(1.0)] * (n + 1)))
    return [list(f) for f in found]


def random_terms(operands: Sequence[Any], order: int) -> dict[int, list[Any]]:
    types = list(map(type_of, operands))
    return {
        k: [
            numbers(*np.shape(x), dtype=type.dtype, low=-0.5, high=0.5, seed=10 * k + n)[()]
            for n in range(order)
        ]
        for k, (x, type) in enumerate(zip(operands, types, strict=True))
        if type.is_inexact
    }


@pytest.mark.parametrize("name", NAMES)
def test_coefficients_of_every_op_are_those_of_nested_derivatives(name: str) -> None:
    order = 3 if isinstance(Op.REGISTRY[name], Elementwise) else 2
    for op, operands in samples_of(name):
        function = function_of(op, operands)
        terms = random_terms(operands, order)
        made = taylor(function, list(terms), order)
        verify(made)
        with np.errstate(all="ignore"):  # samples may be at poles
            out = evaluate(made, *operands, *[c for part in terms.values() for c in part])
            expected = nested(along(function, operands, terms), order)
        inexact = [k for k, r in enumerate(function.results) if r.type.is_inexact]
        for n in range(order):
            for k, reference in zip(inexact, expected[n], strict=True):
                coefficient = out[len(function.results) + k * order + n]
                assert type_of(coefficient) == type_of(out[k])
                np.testing.assert_allclose(
                    coefficient,
                    np.asarray(reference) / math.factorial(n + 1),
                    rtol=1e-8,
                    atol=1e-8,
                    err_msg=f"{op}, order {n + 1}",
                )


def form(op: Op, *operands: Any, chosen: tuple[bool, ...] | None = None) -> Form:
    types = list(map(type_of, operands))
    eqn = Eqn(op, tuple(map(Value, types)), tuple(map(Value, op.infer(*types))))
    return form_of(eqn, chosen or (True,) * len(operands))


def test_the_form_of_an_op_is_read_off_its_gradient_rule() -> None:
    x, m = np.ones(3), np.ones((3, 3))
    registry = Op.REGISTRY
    assert form(registry["add"], x, x) is Form.LINEAR
    assert form(registry["multiply"], x, x) is Form.PRODUCT
    assert form(registry["multiply"], x, x, chosen=(True, False)) is Form.LINEAR
    assert form(registry["matmul"](), m, m) is Form.PRODUCT
    assert form(registry["exp"], x) is Form.CURVE
    assert form(registry["divide"], x, x) is Form.CURVE
    assert form(registry["floor"], x) is Form.CONSTANT
    assert form(registry["sign"], x) is Form.CONSTANT
    assert form(registry["heaviside"], x, x) is Form.CURVE


def equations(f: Callable[..., Any], order: int, *x: Any) -> int:
    function = pb.compile(f).inspect(*x).stages[0].function
    made = Dce()(taylor(function, range(len(x)), order))
    return sum(1 for _ in walk(made))


def looped(x: np.ndarray) -> Any:
    for _ in range(50):
        x = np.sin(x) / (1.0 + x * x)
    return x


@pytest.mark.parametrize(
    "f",
    [
        np.exp,
        np.tanh,
        np.sin,
        np.arcsin,
        np.sqrt,
        lambda x: np.sin(x) / np.log(1.5 + x),
        lambda x: np.linalg.solve(np.outer(x, x) + np.diag(x), x),
        looped,
    ],
    ids=["exp", "tanh", "sin", "arcsin", "sqrt", "divide", "solve", "loop"],
)
def test_the_number_of_equations_is_quadratic_in_the_order(f: Callable[..., Any]) -> None:
    counts = [equations(f, order, np.full(3, 0.3)) for order in range(3, 9)]
    second = np.diff(counts, 2)
    assert np.all(second > 0)
    assert second[-1] <= second[0] + 2, counts  # no third power, let alone 2^K


def test_powers_of_a_variable_are_cubic_at_most() -> None:
    counts = [equations(lambda x: x**2.5, order, np.ones(3)) for order in range(3, 11)]
    third = np.diff(counts, 3)
    assert third[-1] <= third[0] + 1, counts


def test_coefficients_that_are_zero_are_no_parameters() -> None:
    function = pb.compile(np.exp).inspect(np.ones(2)).stages[0].function
    made = taylor(function, [0], 3, zero={(0, 2), (0, 3)})
    assert len(made.params) == 2
    assert len(Dce()(made).eqns) < len(Dce()(taylor(function, [0], 3)).eqns)
    _, *terms = evaluate(made, np.zeros(2), np.ones(2))
    np.testing.assert_allclose(terms, [[1, 1], [1 / 2, 1 / 2], [1 / 6, 1 / 6]])


def test_a_recursion_is_called_with_coefficients_also_where_its_arguments_are_constant() -> None:
    def f(x: Any) -> Any:
        def g(x: Any) -> Any:
            if x > 3.0:
                return x * x
            return x * g(np.float64(5.0)) + np.sin(x) * g(x + 1.0)

        return g(x)

    x = np.float64(1.5)
    function = pb.compile(f).inspect(x).stages[0].function
    assert any(type(e.op).__name__ == "Recursion" for e in walk(function))
    made = taylor(function, [0], 2)
    verify(made)
    jvp = forward(function, [0])
    verify(jvp)
    one, nothing = np.float64(1.0), np.float64(0.0)
    value, slope, half = evaluate(made, x, one, nothing)

    def plain(x: float) -> float:
        return x * 25.0 + np.sin(x) * ((x + 1) * 25.0 + np.sin(x + 1) * (x + 2) ** 2)

    h = 1e-4
    assert value == pytest.approx(plain(1.5))
    assert slope == pytest.approx((plain(1.5 + h) - plain(1.5 - h)) / (2 * h), rel=1e-6)
    bent = (plain(1.5 + h) - 2 * plain(1.5) + plain(1.5 - h)) / h**2
    assert half == pytest.approx(bent / 2, rel=1e-5)
    assert evaluate(jvp, x, one)[1] == pytest.approx(slope)


def test_a_call_of_another_function_of_a_module_is_refused() -> None:
    builder = Builder()
    x = builder.param(Value(type_of(np.ones(2)), "x"))
    made = builder.emit(Call("g", (x.type,)), [x])
    with pytest.raises(DifferentiationError, match="call"):
        taylor(builder.finish("f", made), [0], 2)

"""Forward mode: every op against reverse mode, what a derivative comes to, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from differences import STEP, inexact
from pairings import check_pairing, ways_from
from single_ops import STRUCTURAL, TAPES, function_of, has_rule

from pullback.ir.builder import Builder
from pullback.ir.core import Eqn, Function, Provenance, Value
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.errors import DifferentiationError
from pullback.ir.evaluate import evaluate
from pullback.ir.location import Location
from pullback.ir.op import Array, Elementwise, Op
from pullback.ir.parser import parse_function
from pullback.ir.samples import numbers
from pullback.ir.types import ArrayType, type_of
from pullback.ir.verify import verify
from pullback.passes.forward import forward
from pullback.passes.reverse import reverse
from pullback.passes.simplify import Simplify
from pullback.passes.transposed import pushforward

# As NumPy does, a conversion from complex to real warns.
pytestmark = pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")

OPAQUE = {"callback", "with_rule"}
"""Ops whose gradient rules are no programs that could be transposed, or those of the user."""
DTYPES = tuple(map(np.dtype, ("f8", "c16", "f4")))
TOLERANCES = {2: 3e-2, 4: 3e-5, 8: 1e-9}

Sample = tuple[Op, tuple[Any, ...]]


def elementwise_samples(op: Elementwise) -> list[Sample]:
    shapes: dict[int, list[tuple[int, ...]]] = {
        1: [(2, 3)],
        2: [(2, 3), (3,)],
        3: [(2, 3), (), (3,)],
    }
    found: list[Sample] = []
    for dtype in DTYPES:
        operands = []
        for k, (shape, (low, high)) in enumerate(zip(shapes[op.ufunc.nin], op.domain, strict=True)):
            operands.append(numbers(*shape, dtype=dtype, low=low, high=high, seed=k)[()])
        try:
            op.infer(*map(type_of, operands))
        except TypeError:
            continue
        found.append((op, tuple(operands)))
    return found


def samples_of(name: str) -> list[Sample]:
    entry = Op.REGISTRY[name]
    samples = elementwise_samples(entry) if isinstance(entry, Elementwise) else entry.samples()
    return [s for s in samples if s[0].has_gradient and inexact([type_of(v) for v in s[1]])]


NAMES = sorted(filter(has_rule, set(Op.REGISTRY) - STRUCTURAL - TAPES - OPAQUE))


def precision(function: Function) -> int:
    """Return the bytes of the narrowest real number in a function."""
    types = [a.type for e in function.eqns for a in (*e.operands, *e.results) if a.type.is_inexact]
    return min(t.dtype.itemsize // (2 if t.dtype.kind == "c" else 1) for t in types)


@pytest.mark.parametrize("name", NAMES)
def test_forward_and_reverse_mode_agree_for_every_op(name: str) -> None:
    for op, operands in samples_of(name):
        function = function_of(op, operands)
        try:
            reverse(function, inexact([p.type for p in function.params]), seeds=[0])
        except DifferentiationError:  # an op that has a rule for some attributes alone
            with pytest.raises(DifferentiationError):
                forward(function, inexact([p.type for p in function.params]))
            continue
        check_pairing(function, operands, TOLERANCES[precision(function)])


@pytest.mark.parametrize("name", [n for n in NAMES if isinstance(Op.REGISTRY[n], Elementwise)])
def test_tangents_agree_with_differences(name: str) -> None:
    for op, operands in samples_of(name):
        function = function_of(op, operands)
        if precision(function) < 8 or any(v.dtype.kind == "c" for v in operands):
            continue
        for k in range(len(operands)):
            (way,) = ways_from([operands[k]])
            (found,) = evaluate(forward(function, [k], keep=()), *operands, way)
            ends = [
                evaluate(function, *operands[:k], operands[k] + s * way, *operands[k + 1 :])[0]
                for s in (STEP, -STEP)
            ]
            expected = (ends[0] - ends[1]) / (2 * STEP)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in NAMES if Op.REGISTRY[n].is_linear])
def test_ops_that_say_so_are_linear(name: str) -> None:
    for op, operands in samples_of(name):
        moving = inexact([type_of(v) for v in operands])
        ways = dict(zip(moving, ways_from([operands[k] for k in moving]), strict=True))
        sums = [v + ways[k] if k in ways else v for k, v in enumerate(operands)]
        parts = [
            op.evaluate(*operands),
            op.evaluate(*[ways.get(k, v) for k, v in enumerate(operands)]),
        ]
        tolerance = TOLERANCES[precision(function_of(op, operands))]
        np.testing.assert_allclose(
            op.evaluate(*sums), parts[0] + parts[1], rtol=tolerance, atol=tolerance
        )


SECOND = ("divide", "matmul", "tanh", "power", "cholesky", "index", "index_update", "max", "svd")


@pytest.mark.parametrize("name", SECOND)
def test_it_takes_gradients_and_reverse_mode_takes_it(name: str) -> None:
    for op, operands in samples_of(name):
        function = function_of(op, operands)
        if precision(function) < 8:
            continue
        seeds = inexact([r.type for r in function.results])
        gradient = reverse(function, inexact([p.type for p in function.params]), seeds=seeds)
        with np.errstate(all="ignore"):  # samples may be at poles
            cts = ways_from([evaluate(function, *operands)[k] for k in seeds])
        check_pairing(gradient, [*operands, *cts], 1e-7)
        joint, given = check_pairing(function, operands, 1e-7)
        check_pairing(joint, given, 1e-7)


# ---- what it comes to ----------------------------------------------------------------------------


def made_of(text: str, *wrt: int) -> list[str]:
    """Return the names of the ops that compute tangents, views aside."""
    joint = Simplify()(forward(parse_function(text), wrt or (0,), keep=()))
    verify(joint)
    tangents = [e for e in joint.eqns if e.provenance.derived == "jvp"]
    assert {e.provenance.derived for e in joint.eqns} <= {"primal", "jvp"}
    return [e.op.name for e in tangents if not e.op.is_view]


ONE = "def f(x: f64[3, 4], y: f64[4, 2]) -> {type}:\n    r : {type} = {text}\n    return r\n"


@pytest.mark.parametrize(
    ("text", "type", "wrt", "expected"),
    [
        ("tanh(x)", "f64[3, 4]", (0,), ["square", "subtract", "multiply"]),
        ("exp(x)", "f64[3, 4]", (0,), ["multiply"]),
        ("log(x)", "f64[3, 4]", (0,), ["divide"]),
        ("x @ y", "f64[3, 2]", (0, 1), ["matmul", "matmul", "add"]),
        ("x @ y", "f64[3, 2]", (1,), ["matmul"]),
        ("x[1:3, 0]", "f64[2]", (0,), []),
        ("x.T", "f64[4, 3]", (0,), []),
        ("sum(x, axes=(-1,))", "f64[3]", (0,), ["sum"]),
        ("cumsum(x, axis=-1)", "f64[3, 4]", (0,), ["cumsum"]),
        ("concatenate(x, x, axis=-1)", "f64[3, 8]", (0,), ["concatenate"]),
        ("maximum(x, 0.0)", "f64[3, 4]", (0,), ["share", "multiply"]),
        ("x * x", "f64[3, 4]", (0,), ["multiply", "multiply"]),
    ],
)
def test_tangents_are_as_short_as_by_hand(
    text: str, type: str, wrt: tuple[int, ...], expected: list[str]
) -> None:
    assert made_of(ONE.format(text=text, type=type), *wrt) == expected


def test_a_write_is_a_write_of_tangents() -> None:
    text = """
def f(x: f64[9], v: f64[4]) -> f64[9]:
    y : f64[9] = index_update(x[2:6], v)
    return y
"""
    assert made_of(text, 0, 1) == ["index_update"]
    assert made_of(text, 0) == ["index_update"]
    gathered = """
def f(x: f64[9], v: f64[4], i: i64[4]) -> f64[9]:
    y : f64[9] = index_update(x[i], v)
    return y
"""
    assert made_of(gathered, 0, 1) == ["index_update"]


def test_what_is_written_in_place_is_read_before() -> None:
    joint = forward(
        parse_function(
            """
def f(x: f64[9], v: f64[4]) -> f64[9]:
    y : f64[9] = index_update(x[2:6], v)
    return y
"""
        ),
        (0,),
    )
    assert [e.provenance.derived for e in joint.eqns] == ["jvp", "primal"]


def test_a_pushforward_is_made_once() -> None:
    builder = Builder()
    x = builder.param(Value(ArrayType(np.dtype(float), (3,))))
    eqns = []
    for _ in range(2):
        (result,) = builder.append(Op.REGISTRY["tanh"], (x,), [x.type])
        eqns.append(builder.producers[result])
    first, second = [pushforward(e, (True,)) for e in eqns]
    assert first is second


def test_the_text_of_a_pushforward_is_that_of_the_docstring() -> None:
    text = """
def tanh_jvp(x: f64[3], y: f64[3], x_dot: f64[3]) -> f64[3]:
    a     : f64[3] = square(y)
    b     : f64[3] = 1.0 - a
    y_dot : f64[3] = x_dot * b
    return y_dot
"""
    type = ArrayType(np.dtype(float), (3,))
    eqn = Eqn(Op.REGISTRY["tanh"], (Value(type),), (Value(type),))
    assert equal_up_to_renaming(pushforward(eqn, (True,)).function, parse_function(text))


# ---- the function --------------------------------------------------------------------------------

TWO = """
def f(x: f64[3], n: i64, y: f64[3]) -> (f64[3], f64, i64, bool[3]):
    a : f64[3]  = sin(x)
    b : f64[3]  = a * y
    s : f64     = sum(b, axes=(-1,))
    k : i64     = n + 1
    p : bool[3] = a < y
    return a, s, k, p
"""


def test_results_and_tangents_are_chosen() -> None:
    function = parse_function(TWO)
    joint = forward(function, (2,), keep=(1,), of=(0, 1))
    verify(joint)
    assert [p.hint for p in joint.params] == ["x", "n", "y", "y_dot"]
    x, y, way = np.arange(3.0), np.ones(3), np.array([1.0, 2.0, 4.0])
    s, a_dot, s_dot = evaluate(joint, x, np.int64(2), y, way)
    assert s == pytest.approx(np.sum(np.sin(x)))
    np.testing.assert_array_equal(a_dot, np.zeros(3))
    assert s_dot == pytest.approx(np.sum(np.sin(x) * way))


def test_what_does_not_move_has_zeros_of_its_type() -> None:
    joint = forward(parse_function(TWO), (0, 1, 2))
    verify(joint)
    values = evaluate(
        joint, np.ones(3), np.int64(2), np.ones(3), np.ones(3), np.int64(5), np.ones(3)
    )
    k_dot, p_dot = values[6:]
    assert (k_dot, k_dot.dtype) == (0, np.int64)
    assert not p_dot.any()
    assert p_dot.dtype == bool


def test_nothing_is_made_where_nothing_moves() -> None:
    function = parse_function(TWO)
    joint = forward(function, (1,), of=())
    assert len(joint.eqns) == len(function.eqns)


def test_a_parameter_that_is_a_result() -> None:
    function = parse_function("def f(x: f64[3]) -> f64[3]:\n    return x\n")
    joint = forward(function, (0,))
    assert joint.results == joint.params


def test_sizes_that_only_the_run_knows() -> None:
    function = parse_function(
        """
def f(x: f64[n], y: f64[n], *, dims=(n,)) -> f64:
    m : bool[n] = x > 0.0
    i : i64[k]  = nonzero(m, size=new(k))
    a : f64[k]  = x[i]
    b : f64[k]  = y[i]
    c : f64[k]  = a / b
    s : f64     = sum(c, axes=(-1,))
    return s
"""
    )
    x = np.array([0.5, -1.0, 2.0, 3.0])
    check_pairing(function, [x, np.cos(x)])


def test_names_of_tangents() -> None:
    joint = forward(parse_function(TWO), (0,))
    text = str(joint)
    assert "a_dot : f64[3]" in text
    assert "s_dot : f64" in text
    twice = str(forward(joint, (0, 3)))
    assert "a_dot_dot" in twice


def test_a_fused_region_is_taken_apart() -> None:
    function = parse_function(
        """
def f(x: f64[3], y: f64[3]) -> f64[3]:
    with fused(reads=(x, y), writes="b"):
        a = sin(x)
        b = a * y
    return b
"""
    )
    joint = forward(function, (0,), keep=())
    verify(joint)
    assert not any(e.op.regions for e in joint.eqns)
    x, y, way = np.arange(3.0), np.full(3, 2.0), np.ones(3)
    np.testing.assert_allclose(evaluate(joint, x, y, way)[0], np.cos(x) * y)


def test_sites_of_the_user_stay() -> None:
    function = parse_function(TWO)
    place = Provenance((Location("model.py", 7, "f"),))
    for eqn in function.eqns:
        eqn.provenance = place
    joint = forward(function, (0,))
    assert {e.provenance.location for e in joint.eqns if e.provenance.frames} == {place.location}


def test_what_the_primal_computes_too_is_the_primal_s() -> None:
    function = parse_function(
        """
def f(x: f64[3]) -> f64[3]:
    a : f64[3] = arcsin(x)
    b : f64[3] = square(x)
    c : f64[3] = 1.0 - b
    d : f64[3] = sqrt(c)
    e : f64[3] = a * d
    return e
"""
    )
    joint = forward(function, (0,))
    (root,) = [e for e in joint.eqns if e.op.name == "sqrt"]  # of the slope of arcsin, made first
    assert root.provenance.derived == "primal"
    assert {m.derived for m in root.provenance.merged} == {"jvp"}


# ---- what is refused -----------------------------------------------------------------------------


class Opaque(Op):
    """An op that says by itself that it has no rule."""

    @property
    def name(self) -> str:  # type: ignore[override]  # as a class attribute it registers
        """Not registered."""
        return "opaque"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | None]:
        raise NotImplementedError("it is opaque")


class Bent(Opaque):
    """An op whose rule is not linear in the cotangent."""

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | None]:
        return [cts[0] * cts[0]]


def test_an_op_without_a_rule_is_refused() -> None:
    function = function_of(Opaque(), (np.ones(3),))
    with pytest.raises(DifferentiationError, match="cannot differentiate opaque: it is opaque"):
        forward(function, (0,))
    call = parse_function("def f(x: f64) -> f64:\n    y : f64 = call(g, x)\n    return y\n")
    with pytest.raises(DifferentiationError, match="call has no gradient rule"):
        forward(call, (0,))


def test_a_rule_that_is_not_linear_is_refused() -> None:
    with pytest.raises(DifferentiationError, match="opaque: its gradient rule is not seen to be"):
        forward(function_of(Bent(), (np.ones(3),)), (0,))


def test_constants_are_part_of_a_rule() -> None:
    text = "def f(x: f64[3]) -> f64[3]:\n    y : f64[3] = x ** 3.0\n    return y\n"
    assert made_of(text) == ["multiply", "multiply"]

"""NumPy functions, traced, against NumPy itself: values, dtypes, shapes, kinds, errors, gradients.

Each case is a function of one array (or two) as a user writes it. It runs plainly and traced on
arrays of every shape, memory order and dtype; where NumPy raises, the traced function raises the
same class.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import differences
import function_cases as cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback.ir.builder import Builder
from pullback.ir.core import Function, Literal, Value
from pullback.ir.errors import ConcretizationError, UnsupportedError
from pullback.ir.evaluate import evaluate
from pullback.ir.op import ELEMENTWISE
from pullback.ir.samples import numbers
from pullback.ir.types import Kind, layout_of, type_of
from pullback.tracer import functions  # noqa: F401  (fills the tables)
from pullback.tracer.array import FUNCTIONS, TracedArray, lift
from pullback.tracer.state import Trace

HERE = Path(__file__).parent


ARRAYS, BINARY, CASES, ROUNDED = cases.ARRAYS, cases.BINARY, cases.CASES, cases.ROUNDED
OPERATORS, TRACED_INDICES = cases.OPERATORS, cases.TRACED_INDICES

Case = Callable[..., Any]


def kind_of(value: Any) -> Kind:
    if isinstance(value, np.ndarray):
        return Kind.ARRAY
    return Kind.SCALAR if isinstance(value, np.generic) else Kind.PYTHON


def listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


def trace(function: Case, arguments: Sequence[Any]) -> Function:
    builder = Builder()
    with Trace(builder, None) as state:
        traced = []
        for k, value in enumerate(arguments):
            layout = layout_of(value) if isinstance(value, np.ndarray) else None
            param = builder.param(Value(type_of(value), f"x{k}", layout=layout))
            traced.append(TracedArray(param, kind_of(value), state))
        results = [
            (Literal(np.asarray(v)[()]), kind_of(v))
            if isinstance(v, bool | int)
            else lift(v, state)
            for v in listed(function(*traced))
        ]
    return builder.finish(
        "f",
        [atom for atom, _ in results],
        param_kinds=[kind_of(v) for v in arguments],
        result_kinds=[kind for _, kind in results],
    )


def same_bits(found: Any, expected: Any) -> bool:
    found, expected = np.asarray(found), np.asarray(expected)
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    if found.tobytes() == expected.tobytes():
        return True
    if expected.dtype.kind == "c":
        return same_bits(found.real, expected.real) and same_bits(found.imag, expected.imag)
    if expected.dtype.kind != "f":
        return False
    both = np.isnan(found) & np.isnan(expected)
    equal = (found == expected) & (np.signbit(found) == np.signbit(expected))
    return bool(np.all(both | equal))


def close(found: Any, expected: Any) -> bool:
    found, expected = np.asarray(found), np.asarray(expected)
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    precision = np.finfo(found.dtype).eps if found.dtype.kind in "fc" else 0
    return np.allclose(found, expected, 8 * precision, 8 * precision, equal_nan=True)


ERRORS = (
    ValueError, TypeError, IndexError, OverflowError, ZeroDivisionError, AttributeError
)  # fmt: skip


def compare(
    function: Case, arguments: Sequence[Any], same: Callable[[Any, Any], bool] = same_bits
) -> None:
    """Run the function plainly and traced; results or the class of the error must be the same."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            expected = function(*arguments)
        except ERRORS as error:
            family = tuple(k for k in ERRORS if isinstance(error, k))
            with pytest.raises(family) as caught:
                evaluate(trace(function, arguments), *arguments)
            assert type(caught.value) is not UnsupportedError, caught.value
            return
        program = trace(function, arguments)
        found = evaluate(program, *arguments)
    for got, want in zip(found, listed(expected), strict=True):
        assert same(got, want), f"{got!r} is not {want!r}"
        assert kind_of(got) == kind_of(want), f"{type(got)} is not {type(want)}"


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_numpy(name: str) -> None:
    for label, x in ARRAYS.items():
        try:
            compare(CASES[name], [x], close if name in ROUNDED else same_bits)
        except BaseException as error:
            error.add_note(f"on {label}: {x!r}")
            raise


# SciPy's are ops too where another test has imported it; they have tests of their own.
UFUNCS = {u.__name__: u for u in ELEMENTWISE if getattr(np, u.__name__, None) is u}


@pytest.mark.parametrize("name", sorted(UFUNCS))
def test_ufuncs_are_those_of_numpy(name: str) -> None:
    ufunc = UFUNCS[name]
    if ufunc.nin == 1:
        for x in ARRAYS.values():
            compare(ufunc, [x])
        return
    for left, right in BINARY.values():
        compare(ufunc, [left, right])
        compare(ufunc, [right, left])
    for number in (2, 0.5, True, 2j):
        for x in ARRAYS.values():
            compare(lambda x, number=number: ufunc(x, number), [x])


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_are_those_of_numpy(name: str) -> None:
    for left, right in BINARY.values():
        compare(OPERATORS[name], [left, right])


@pytest.mark.parametrize("name", sorted(set(CASES) - cases.NARROWED))
def test_gradients_agree_with_finite_differences(name: str) -> None:
    for label in cases.DIFFERENTIATED:
        x = ARRAYS[label]
        if (name, label) in cases.KINKS:
            continue
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                CASES[name](x)
            except ERRORS:
                continue
            program = trace(CASES[name], [x])
            if any(r.type.is_inexact for r in program.results):
                differences.check_both_orders(program, [x])


def test_every_function_has_a_case() -> None:
    text = "".join(p.read_text("utf-8") for p in HERE.glob("*.py"))
    mine = (
        "create",
        "index",
        "join",
        "math",
        "query",
        "rearrange",
        "reduce",
        "shape",
        "statistics",
    )
    missing = [
        function.__name__
        for function, implementation in FUNCTIONS.items()
        if implementation.__module__.rsplit(".", 1)[-1] in mine
        and f".{function.__name__}" not in text
    ]
    assert not missing


# ---- indices ------------------------------------------------------------------------------------

SIZES = (3, 2, 4)


def items(axis: int) -> st.SearchStrategy[Any]:
    size = SIZES[axis]
    inside = st.integers(-size, size - 1)
    bound = st.none() | st.integers(-size - 1, size + 1)
    arrays = st.sampled_from([(2,), (1, 2), (2, 1), (0,)]).flatmap(
        lambda shape: st.lists(
            inside, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))
        ).map(lambda values: np.array(values, int).reshape(shape))
    )
    slices = st.builds(slice, bound, bound, st.sampled_from([None, 1, 2, -1, -2]))
    return inside | slices | arrays


@st.composite
def indices(draw: st.DrawFn) -> tuple[Any, ...]:
    """Draw an index of a (3, 2, 4) array: any mixture, with new axes, dots and masks between."""
    index: list[Any] = []
    axis, has_dots = 0, False
    used = draw(st.integers(0, 3))
    rest = draw(st.none() | st.integers(0, used))
    while axis < used:
        if rest == axis and not has_dots:
            index.append(...)
            has_dots = True
            used -= draw(st.integers(0, used - axis))
            axis_of = [axis + 3 - used] if axis < used else []
        else:
            axis_of = []
        if axis >= used:
            break
        real = axis_of[0] if axis_of else (axis + 3 - used if has_dots else axis)
        extra = draw(st.sampled_from(["none", "none", "none", "new", "true"]))
        if extra != "none":
            index.append(None if extra == "new" else True)
        if draw(st.integers(0, 5)) == 0:
            mask = draw(st.lists(st.booleans(), min_size=SIZES[real], max_size=SIZES[real]))
            index.append(np.array(mask))
        else:
            index.append(draw(items(real)))
        axis += 1
    return tuple(index)


@settings(max_examples=300, deadline=None)
@given(indices())
def test_any_index_reads_as_in_numpy(index: tuple[Any, ...]) -> None:
    compare(lambda x: x[index], [numbers(*SIZES)])


@settings(max_examples=40, deadline=None)
@given(indices())
def test_any_index_differentiates(index: tuple[Any, ...]) -> None:
    x = numbers(*SIZES)
    try:
        x[index]
    except IndexError:
        return
    differences.check_both_orders(trace(lambda x: np.sin(x[index]), [x]), [x])


@pytest.mark.parametrize("name", TRACED_INDICES)
def test_traced_indices_read_as_in_numpy(name: str) -> None:
    x, i = numbers(3, 2, 4), np.array([1, 0, 1])
    compare(TRACED_INDICES[name], [x, i])
    try:
        TRACED_INDICES[name](x, i)
    except IndexError:
        return
    differences.check_both_orders(trace(TRACED_INDICES[name], [x, i]), [x, i])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 3), max_size=3).map(tuple),
    st.sampled_from(["f8", "f4", "i4", "?"]),
    st.sampled_from(["C", "F"]),
)
def test_any_shape_moves_as_in_numpy(shape: tuple[int, ...], dtype: str, order: str) -> None:
    x = np.asarray(numbers(*shape).astype(dtype), order=order)  # type: ignore[call-overload]
    for name in ("ravel K", "reshape F", "flip", "tile 2", "repeat", "roll", "stack", "sum {}"):
        compare(CASES[name], [x])


# ---- what hooks call directly, and what is refused ----------------------------------------------


def call(function: Any, *arguments: Any, **options: Any) -> Any:
    """Call a function as a rewritten call does: its traced form where an argument is traced."""
    held = [v for a in arguments for v in (a if isinstance(a, list | tuple) else [a])]
    is_traced = any(isinstance(v, TracedArray) for v in held)
    return (FUNCTIONS[function] if is_traced else function)(*arguments, **options)


HOOKED: dict[str, Case] = {
    "array": lambda x: call(np.array, x),
    "array ndmin": lambda x: call(np.array, x, ndmin=2),
    "array dtype": lambda x: call(np.array, x, np.complex64),
    "array list": lambda x: call(np.array, [x, x]),
    "array numbers": lambda x: call(np.array, [x[0, 0], 1.0, True]),
    "array rows": lambda x: call(np.array, [x[0], [1, 2, 3]]),
    "array ragged": lambda x: call(np.array, [x[0], 1.0]),
    "asarray": lambda x: call(np.asarray, x),
    "asarray list": lambda x: call(np.asarray, [x[0], x[1]]),
    "asanyarray": lambda x: call(np.asanyarray, x),
    "ascontiguousarray": lambda x: call(np.ascontiguousarray, x),
    "full": lambda x: call(np.full, (2, 2), x[0, 0]),
    "full row": lambda x: call(np.full, (2, 3), x[0]),
}


@pytest.mark.parametrize("name", HOOKED)
@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "c16"])
def test_calls_with_values_that_do_not_dispatch(name: str, dtype: str) -> None:
    compare(HOOKED[name], [numbers(2, 3, dtype=dtype, low=1, high=9)])


def test_fresh_arrays_of_static_arguments() -> None:
    for function in (np.zeros, np.ones):
        compare(lambda x, f=function: f((2, 3)) + x, [np.float32(1)])
        assert FUNCTIONS[function] is not None
    with Trace(Builder(), None):
        zeros = FUNCTIONS[np.zeros]((2, 3), np.float32)
        ones = FUNCTIONS[np.ones](4)
    assert (zeros.dtype, zeros.shape, ones.dtype, ones.shape) == ("f4", (2, 3), "f8", (4,))


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: np.sum(x, out=np.zeros(())), UnsupportedError, "does not see into"),
        (lambda x: np.pad(x, 1, mode="mean"), UnsupportedError, "Traced modes"),
        (lambda x: np.min_scalar_type(x[0]), ConcretizationError, "scalar"),
        (lambda x: bool(x[0] > 0), ConcretizationError, "np.where"),
    ],
)
def test_refusals_say_what_to_write(function: Case, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        trace(function, [numbers(3)])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.result_type(x, 1.0, np.float32),
        lambda x: np.can_cast(x, np.float32),
        lambda x: np.common_type(x, np.zeros(2, np.float32)),
        lambda x: np.min_scalar_type(x),
        lambda x: np.shape(x),
        lambda x: np.size(x, 0),
    ],
)
@pytest.mark.parametrize("dtype", ["f8", "f4", "i4"])
def test_questions_about_types_are_answered_while_tracing(function: Case, dtype: str) -> None:
    x = numbers(2, 3, dtype=dtype, low=1, high=9)
    answers: list[Any] = []
    trace(lambda x: [answers.append(function(x)), x][1], [x])
    assert answers == [function(x)]


def test_round_of_scalars_is_a_python_number() -> None:
    compare(lambda x: (round(x), round(x, 1)), [np.float64(2.567)])
    compare(lambda x: round(x), [numbers(3)])


def test_ties_share_the_gradient_evenly() -> None:
    x = np.array([1.0, 1.0, 0.5])
    program = trace(lambda x: (np.max(x), np.maximum.accumulate(x)[-1], np.clip(x, 1, 3)[0]), [x])
    backward = differences.reverse(program, (0,), seeds=(0, 1, 2), keep=())
    first = evaluate(backward, x, 1.0, 0.0, 0.0)[0]
    last = evaluate(backward, x, 0.0, 1.0, 0.0)[0]
    clipped = evaluate(backward, x, 0.0, 0.0, 1.0)[0]
    assert first.tolist() == last.tolist() == [0.5, 0.5, 0.0]
    assert clipped.tolist() == [0.5, 0.0, 0.0]


@pytest.mark.parametrize("function", [np.prod, np.cumprod])
def test_products_differentiate_at_zeros(function: Case) -> None:
    for x in (np.array([2.0, 0.0, 3.0]), np.array([0.0, 0.0, 3.0]), np.zeros(3), np.zeros(1)):
        differences.check_both_orders(trace(function, [x]), [x])


def test_sinc_differentiates_at_zero() -> None:
    x = np.zeros(1)
    backward = differences.reverse(trace(np.sinc, [x]), (0,), seeds=(0,), keep=())
    second = differences.reverse(backward, (0,), seeds=(0,), keep=())
    curvature = evaluate(second, x, np.ones(1), np.ones(1))[0]
    assert curvature == pytest.approx(-(np.pi**2) / 3)


@pytest.mark.parametrize("function", [np.cumprod, np.prod, np.sort, lambda x: np.pad(x, 3, "wrap")])
def test_programs_do_not_grow_with_the_arrays(function: Case) -> None:
    counts = []
    for size in (8, 64):
        program = trace(function, [numbers(size)])
        counts.append(len(differences.reverse(program, (0,), seeds=(0,)).eqns))
    assert counts[0] == counts[1]

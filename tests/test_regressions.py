"""Programs that once gave a wrong result, shared memory or failed."""

from __future__ import annotations

import gc
import itertools
import linecache
import math
from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import pytest

import pullback as pb

X = np.arange(12.0).reshape(3, 4) + 1.0
Kept = TypeVar("Kept")


@pytest.mark.parametrize(
    "function",
    [
        lambda s: np.sum(s[..., None] ** 2),
        lambda s: s[()] ** 2,
        lambda s: np.sum(s[None, None] * s),
    ],
)
def test_new_axes_of_a_scalar_array_have_a_gradient(function: Callable[[Any], Any]) -> None:
    s = np.array(3.0)
    assert pb.grad(function)(s) == 6.0
    assert pb.grad(lambda x: pb.grad(function)(x) ** 2)(s) == 24.0


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.repeat(x[:1], 3, axis=0),
        lambda x: np.repeat(x[None], 2, axis=0),
        lambda x: np.repeat(np.broadcast_to(x, (2, 3, 4)), 2, axis=0),
        lambda x: np.tile(x[:, :1], (1, 3)),
        lambda x: np.broadcast_to(x[:, None, :], (3, 2, 4)) * 2.0,
    ],
)
def test_results_made_anew_own_their_memory(function: Callable[[Any], Any], exact: bool) -> None:
    x = X.copy()
    found = pb.compile(function, exact=exact)(x)
    wanted = function(x)
    np.testing.assert_array_equal(found, wanted)
    assert found.flags.writeable
    assert not np.shares_memory(found, x)
    assert found.strides == wanted.strides


def test_a_copy_and_a_view_of_its_source_share_nothing() -> None:
    def both(x: Any) -> tuple[Any, ...]:
        y = 2.0 * x
        return y[1:], y.copy(), y, y.T, y * 1.0

    view, copied, source, turned, scaled = pb.compile(both)(X)
    assert np.shares_memory(view, source)
    assert np.shares_memory(turned, source)
    for other in (view, source, turned):
        assert not np.shares_memory(copied, other)
        assert not np.shares_memory(scaled, other)
    assert not np.shares_memory(copied, scaled)


def test_half_precision_sums_keep_the_factor_that_bounds_them() -> None:
    x = np.full(4, 3e4, np.float16)
    factor = np.float16(1e-3)
    assert pb.compile(lambda x: np.sum(factor * x))(x) == np.sum(factor * x)


def test_other_defaults_are_seen() -> None:
    weights = np.ones(3)

    def scaled(x: Any, n: int = 2, a: Any = weights, *, k: float = 1.0) -> Any:
        return np.sum(x * n * k * a)

    compiled = pb.compile(scaled)
    x = np.ones(3)
    assert compiled(x) == 6.0
    scaled.__defaults__ = (5, weights)
    assert compiled(x) == 15.0
    weights[0] = 7.0
    assert compiled(x) == 45.0
    scaled.__kwdefaults__ = {"k": 2.0}
    assert compiled(x) == 90.0
    scaled.__defaults__ = (5, np.zeros(3))
    assert compiled(x) == 0.0


def test_the_gradient_of_an_extreme_that_is_nan_is_nan() -> None:
    with np.errstate(all="ignore"):
        for extreme in (np.max, np.min):
            gradient = pb.grad(extreme)(np.array([1.0, np.nan]))
            assert np.all(np.isnan(gradient))


# -- writes and memory -----------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [False, True])
def test_a_copy_of_an_argument_that_was_written_is_not_the_argument(exact: bool) -> None:
    def f(a: Any) -> Any:
        a[0:] = 0.5
        return a.copy()

    a = np.zeros(3)
    found = pb.compile(f, exact=exact)(a)
    assert not np.shares_memory(found, a)
    np.testing.assert_array_equal(found, 0.5)
    np.testing.assert_array_equal(a, 0.5)


def test_what_is_copied_between_two_writes_to_an_argument_keeps_its_values() -> None:
    """It was computed in the argument's memory, and written over with the last content."""

    def f(b: Any) -> Any:
        b[1] += b[0]
        kept = b.copy()
        first = np.sin(kept[:, 0])
        b += 0.5
        return kept, first

    b, expected = np.ones((2, 3)), np.ones((2, 3))
    for one, two in zip(pb.compile(f, exact=True)(b), f(expected), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(b, expected)


def test_an_axis_read_and_written_in_different_steps_is_read_first() -> None:
    """NumPy's own assignment of one axis does not look after such an overlap."""

    def f(x: Any) -> Any:
        y = 1.0 * x
        y += x
        y[::2] = y[:3].copy()
        y[3:] = y[:6:2].copy()
        return y

    x = np.arange(6.0)
    np.testing.assert_array_equal(pb.compile(f)(x), f(x))
    np.testing.assert_array_equal(pb.compile(f)(x[::-1]), f(x[::-1]))


def test_a_complex_numpy_scalar_can_be_written_into_a_real_array() -> None:
    def f(z: Any) -> Any:
        v = np.zeros(3)
        v[1:] = np.sum(z)
        return v

    with pytest.warns(np.exceptions.ComplexWarning):
        found = pb.compile(f)(np.array([1.0 + 2.0j]))
    np.testing.assert_array_equal(found, [0.0, 1.0, 1.0])


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_masks_of_no_elements_select_none(shape: tuple[int, ...]) -> None:
    def f(a: Any, b: Any) -> Any:
        a[b > 0] += 1
        return a, b[a > 2]

    a, part = pb.compile(f)(np.zeros(shape), np.zeros(shape))
    assert a.shape == shape
    assert part.shape == (0,)


def test_equal_arrays_and_views_of_each_share_what_numpys_share() -> None:
    def f(x: Any) -> tuple[Any, ...]:
        y, z = np.tanh(x), np.tanh(x)
        scaled = y * 1.0
        return y, y[1:], z, z[1:], scaled, scaled.reshape(1, -1), x

    x = np.ones(3)
    found, expected = (*pb.compile(f)(x), x), (*f(x), x)
    for i, j in np.ndindex(8, 8):
        assert np.shares_memory(found[i], found[j]) == np.shares_memory(expected[i], expected[j])


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_the_diagonal_of_an_array_in_fortran_order_is_a_view(offset: int) -> None:
    a = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    found = pb.compile(lambda a: np.diagonal(a, offset))(a)
    np.testing.assert_array_equal(found, np.diagonal(a, offset))
    assert np.shares_memory(found, a)


def test_an_array_without_axes_that_is_written_and_returned_is_the_argument() -> None:
    def f(a: Any) -> Any:
        a[...] *= 2.0
        return a

    a = np.array(1.5)
    assert pb.compile(f)(a) is a
    assert a == 3.0


def test_a_product_of_single_elements_has_the_sign_of_numpys_zero() -> None:
    def f(a: Any, b: Any) -> tuple[Any, ...]:
        return a @ b, a[None] @ b, a[None] @ b[:, None]

    a, b = np.array([0.0]), np.array([-1.0])
    for one, two in zip(pb.compile(f, exact=True)(a, b), f(a, b), strict=True):
        np.testing.assert_array_equal(np.signbit(one), np.signbit(two))


def test_one_array_without_axes_given_twice_is_written_once_for_both() -> None:
    def f(a: Any, b: Any) -> Any:
        b[...] = 0.5
        return a + b

    a = np.array(2.0)
    assert pb.compile(f)(a, a) == 1.0
    assert a == 0.5


def test_a_copy_of_a_written_argument_and_a_view_of_the_copy_share_memory() -> None:
    def f(a: Any) -> tuple[Any, ...]:
        a += 0.5
        kept = a.copy()
        return kept, kept[1:], a

    a = np.zeros(3)
    kept, part, same = pb.compile(f)(a)
    assert np.shares_memory(kept, part)
    assert not np.shares_memory(kept, a)
    assert same is a


@pytest.mark.parametrize("exact", [False, True])
def test_an_array_filled_with_an_argument_is_not_the_argument(exact: bool) -> None:
    def f(a: Any) -> tuple[Any, ...]:
        made = a + a
        made[...] = a
        return made, made[1:]

    a = np.ones(3)
    made, part = pb.compile(f, exact=exact)(a)
    assert not np.shares_memory(made, a)
    assert np.shares_memory(made, part)


def test_a_list_with_a_computed_position_is_an_index() -> None:
    def f(a: Any) -> tuple[Any, ...]:
        p = np.argmax(np.abs(a[:, 0]))
        a[[0, p]] = a[[p, 0]]
        a[[p], [0]] *= 2.0
        return a[[p, 0]], a[[[p], [0]], 1]

    a = np.array([[1.0, 2.0], [4.0, 3.0], [-9.0, 5.0]])
    b = a.copy()
    for one, two in zip(pb.compile(f)(b), f(a), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(a, b)
    pb.check_grads(lambda x: sum(np.sum(r**2) for r in f(x)), (np.cos(X),))


def test_a_view_made_by_einsum_is_written_through() -> None:
    def f(a: Any) -> None:
        np.einsum("ii->i", a)[:] += np.arange(3.0)
        np.einsum("ij->ji", a)[0, 1] = 7.0
        np.einsum("ijj->ji", a[None])[...] *= np.arange(1.0, 4.0)[:, None]

    a = np.cos(X[:, :3])
    b = a.copy()
    f(a)
    pb.compile(f, exact=True)(b)
    np.testing.assert_array_equal(b, a)
    pb.check_grads(lambda a: np.sum((f(a), a)[1] ** 2), (np.cos(X[:, :3]),))


def test_a_list_of_outside_that_was_added_to_is_returned() -> None:
    history: list[Any] = []

    def f(x: Any) -> list[Any]:
        history.append(2.0 * x)
        history.append(x)
        return history

    program = pb.compile(f)
    program(np.ones(2))
    found = program(np.zeros(2))
    np.testing.assert_array_equal(found, [[2.0, 2.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(history, found)


def test_a_dict_of_outside_takes_traced_values_by_keyword() -> None:
    def f(d: dict[str, Any], x: Any) -> None:
        d.update([("p", x)], q=2.0 * x)

    d: dict[str, Any] = {}
    pb.compile(f)(d, np.ones(2))
    assert list(d) == ["p", "q"]
    np.testing.assert_array_equal(d["q"], [2.0, 2.0])


def test_a_vandermonde_matrix_lies_in_memory_as_numpys() -> None:
    f = lambda x: np.vander(x, 4)  # noqa: E731
    x = np.arange(1.0, 4.0)
    assert pb.compile(f)(x).strides == f(x).strides


def test_programs_that_nobody_holds_are_freed() -> None:
    def freed_after_the_call(x: Any) -> Any:
        return np.sum(np.sqrt(x))

    def sources() -> list[str]:
        return [name for name in linecache.cache if "freed_after_the_call" in name]

    programs = [pb.compile(freed_after_the_call), pb.grad(freed_after_the_call)]
    assert [np.shape(program(np.ones(3))) for program in programs] == [(), (3,)]
    assert len(sources()) == 2
    del programs
    gc.collect()
    assert not sources()


def test_sequences_are_positions_and_values() -> None:
    def f(x: Any) -> Any:
        x[(0, 2), 1] -= 1.0
        x[range(3), [3, 2, 1]] *= 2.0
        x[:, 0] = range(3)
        return x[(2, 0), 1:] + range(3)

    a = X.copy()
    b = X.copy()
    np.testing.assert_array_equal(pb.compile(f)(b), f(a))
    np.testing.assert_array_equal(b, a)


def test_a_reshape_that_takes_a_copy_is_one_array_wherever_it_is_returned() -> None:
    def f(b: Any) -> tuple[Any, ...]:
        flat = np.reshape(b, (1, 8), order="F")
        return flat, flat, flat[0], b

    b = np.arange(8.0).reshape(2, 2, 2)
    one, two, part, same = pb.compile(f)(b)
    np.testing.assert_array_equal(one, f(b)[0])
    assert np.shares_memory(one, two)
    assert np.shares_memory(one, part)
    assert not np.shares_memory(one, b)
    assert same is b


def test_a_copy_of_a_broadcast_array_has_the_strides_of_numpys() -> None:
    def f(b: Any) -> Any:
        return np.copy(b) * 2.0

    b = np.broadcast_to(np.arange(3.0), (2, 3))
    assert pb.compile(f, exact=True)(b).strides == f(b).strides


NUMBERS = (0.0, 1.0, -1.0, 2.5, -0.5, math.nan, math.inf, 800.0)
RAISING: list[Callable[..., Any]] = [
    lambda x, y: x / y,
    lambda x, y: x // y,
    lambda x, y: x % y,
    lambda x, y: 1 / x + y,
    lambda x, y: abs(y) ** -min(abs(x), 9.0),
    lambda x, y: x**-1 + y,
    lambda x, y: math.sqrt(x) + y,
    lambda x, y: math.log(x) + math.log1p(y),
    lambda x, y: math.log(abs(y) + 2.0, x),
    lambda x, y: math.exp(x) + y,
    lambda x, y: math.sin(x) + math.cosh(y),
    lambda x, y: math.acos(x) + y,
    lambda x, y: math.acosh(x) + y,
    lambda x, y: math.atanh(x) + y,
    lambda x, y: math.fmod(x, y),
    lambda x, y: math.pow(x, 2.5) + y,
]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("function", RAISING)
def test_pythons_numbers_raise_where_numpys_warn(
    function: Callable[[Any, Any], Any], exact: bool
) -> None:
    def outcome(f: Callable[[Any, Any], Any], x: float, y: float) -> Any:
        try:
            with np.errstate(all="ignore"):
                return f(x, y)
        except (ValueError, ArithmeticError) as error:
            return type(error), str(error).split("\n")[0]

    program = pb.compile(function, exact=exact)
    for x, y in itertools.product(NUMBERS, NUMBERS):
        wanted, found = outcome(function, x, y), outcome(program, x, y)
        if isinstance(wanted, tuple):
            assert found == wanted, (x, y)
        else:
            np.testing.assert_allclose(found, wanted, 1e-12)


def test_checks_of_pythons_numbers_keep_derivatives() -> None:
    assert pb.grad(lambda x: math.sqrt(x))(0.0) == math.inf
    assert pb.grad(lambda x: 1 / x)(2.0) == -0.25
    assert pb.grad(lambda x: x**-1)(2.0) == -0.25
    pb.check_grads(lambda x, y: math.log(x) / y + x**y, (2.0, 3.0), order=2)


def test_a_contiguous_copy_of_an_array_that_overlaps_keeps_its_values() -> None:
    """The array in another order than its memory was taken to be contiguous itself."""

    def f(a: Any, b: Any) -> Any:
        kept = np.ascontiguousarray(b)
        a[1:] = a[:-1]
        return kept

    a, c = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(pb.compile(f)(a, a[::-1]), f(c, c[::-1]))
    np.testing.assert_array_equal(a, c)


class Held:
    def __init__(self, n: int) -> None:
        self.content = np.zeros(n)


class HeldAnew(Held):
    made: int

    def __new__(cls, n: int) -> HeldAnew:
        value = super().__new__(cls)
        value.made = n
        return value

    def __init__(self, n: int) -> None:
        super().__init__(n)


class HeldDict(dict[str, Any]):
    def __init__(self, n: int) -> None:
        super().__init__()
        self["content"] = np.zeros(n)


class HeldOf(Generic[Kept]):
    def __init__(self, n: int) -> None:
        self.content = np.zeros(n)


@dataclass(frozen=True)
class HeldFields:
    n: int
    given: InitVar[int] = 3
    content: Any = field(default_factory=lambda: np.zeros(2))
    more: Any = field(init=False, default=None)

    def __post_init__(self, given: int) -> None:
        object.__setattr__(self, "more", np.zeros(given))


def zeros_of(n: int) -> Any:
    return np.zeros(n)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Held(2).content,
        lambda: HeldAnew(n=2).content,
        lambda: HeldDict(2)["content"],
        lambda: HeldOf[int](2).content,
        lambda: HeldFields(1).content,
        lambda: HeldFields(1, given=2).more,
        lambda: next(iter(map(Held, [2]))).content,
        lambda: next(map(zeros_of, [2, 3])),
        lambda: next(map(np.zeros, [2])),
        lambda: next(itertools.starmap(zeros_of, [(2,)])),
    ],
)
def test_arrays_that_an_object_makes_are_made_at_each_run(make: Callable[[], Any]) -> None:
    def f(x: Any) -> Any:
        made = make()
        made += x
        made[0] *= 3.0
        return made

    program = pb.compile(f)
    for _ in range(3):
        np.testing.assert_array_equal(program(np.ones(2)), [3.0, 1.0])


class Makes:
    """Python itself calls these methods: nobody traces what they make."""

    @property
    def content(self) -> Any:
        return np.zeros(2)

    def __getitem__(self, key: int) -> Any:
        return np.zeros(2)

    def __neg__(self) -> Any:
        return np.zeros(2)

    def __add__(self, other: float) -> Any:
        return np.zeros(2)

    def __enter__(self) -> Any:
        return np.zeros(2)

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        yield np.zeros(2)


def entered(manager: Any) -> Any:
    with manager as made:
        return made


makes = Makes()


@pytest.mark.parametrize(
    "make",
    [
        lambda: makes.content,
        lambda: makes[0],
        lambda: -makes,
        lambda: makes + 1.0,
        lambda: entered(makes),
        lambda: next(iter(makes)),
        lambda: Makes().content,
        lambda: Makes()[0],
        lambda: -Makes(),
        lambda: next(iter(list(Makes()))),
    ],
)
def test_arrays_that_python_makes_while_tracing_are_made_at_each_run(
    make: Callable[[], Any],
) -> None:
    def f(x: Any) -> Any:
        made = make()
        made += x
        made[0] *= 3.0
        return made

    program = pb.compile(f)
    for _ in range(3):
        np.testing.assert_array_equal(program(np.ones(2)), [3.0, 1.0])
    np.testing.assert_array_equal(pb.grad(lambda x: np.sum(f(x)))(np.ones(2)), [3.0, 1.0])


def test_arrays_that_somebody_holds_are_written_into() -> None:
    class Holds(Makes):
        def __init__(self) -> None:
            self.held = np.zeros(2)

        def __neg__(self) -> Any:
            return self.held

    holds = Holds()

    def f(x: Any) -> Any:
        made = -holds
        made += x
        return made.sum()

    program = pb.compile(f)
    assert [program(np.ones(2)) for _ in range(3)] == [2.0, 4.0, 6.0]
    np.testing.assert_array_equal(holds.held, [3.0, 3.0])


def test_whether_two_arguments_are_one_array_is_refused() -> None:
    def f(x: Any, y: Any) -> Any:
        x[0] = 5.0
        return x if x is not y else 2.0 * x

    def g(x: Any, y: Any = None) -> Any:
        y = x if y is None else y
        return y is x, 2.0 * x is x, x[1:] is not x

    with pytest.raises(pb.UnsupportedError, match=r"`x is not y` asks .* are one"):
        pb.compile(f)(np.ones(2), np.ones(2))
    assert pb.compile(g)(np.ones(2)) == (True, False, True)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1), (0, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_have_the_memory_order_of_numpys(exact: bool, axis: Any, keepdims: bool) -> None:
    def f(x: Any) -> Any:
        def reduce(function: Any) -> Any:
            return function(x, axis=axis, keepdims=keepdims)

        mean = reduce(np.mean)
        return mean, reduce(np.sum), reduce(np.max) * 2.0, np.ravel(mean, "K"), reduce(np.any)

    base = np.arange(24.0).reshape(2, 3, 4)
    for x in (base, np.asfortranarray(base), base.transpose(1, 2, 0), base[:, ::-1], base[::-1].T):
        for found, expected in zip(pb.compile(f, exact=exact)(x), f(x), strict=True):
            np.testing.assert_array_equal(found, expected)
            assert found.flags.c_contiguous == expected.flags.c_contiguous
            assert found.flags.f_contiguous == expected.flags.f_contiguous


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_running_totals_have_the_memory_order_of_numpys(exact: bool, axis: int) -> None:
    def f(x: Any) -> Any:
        total = np.cumsum(x, axis=axis)
        return total / 2.0, np.multiply.accumulate(x, axis=axis) * 2.0, np.ravel(total * 1.5, "K")

    base = np.arange(24.0).reshape(2, 3, 4)
    for x in (base, np.asfortranarray(base), base.transpose(1, 2, 0), base[:, ::-1], base[::-1].T):
        for found, expected in zip(pb.compile(f, exact=exact)(x), f(x), strict=True):
            np.testing.assert_array_equal(found, expected)
            assert found.strides == expected.strides


def test_products_cast_into_the_memory_order_of_numpys() -> None:
    def f(a: Any, b: Any) -> Any:
        return np.sin(a) @ b, a @ np.stack([b, b + 1], 1)

    rng = np.random.default_rng(0)
    compiled = pb.compile(f, exact=True)
    for _ in range(30):
        a = np.asfortranarray(rng.normal(size=(4, 7)).astype(np.float32))
        b = rng.normal(size=7)
        for found, expected in zip(compiled(a, b), f(a, b), strict=True):
            assert found.tobytes() == expected.tobytes()
    pb.check_grads(lambda b: np.sum(f(a, b)[0]), (b,), order=2)


def test_powers_of_arrays_without_axes_are_as_of_others() -> None:
    def f(x: Any) -> Any:
        return x**2, x**0.5, x**1, x**-1.0

    for dtype in (bool, np.int8, np.float32, np.float64):
        x = np.array(2, dtype)
        for found, expected in zip(pb.compile(f, exact=True)(x), f(x), strict=True):
            assert type(found) is type(expected)
            assert found.dtype == expected.dtype
            assert found.tobytes() == expected.tobytes()

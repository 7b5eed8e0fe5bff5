"""Calls that generated code recognises behave as the general path does, and nothing else is."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import gc
import io
import threading
import warnings
import weakref
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback import pullbacks
from pullback.tracer.taking import taker

Pair = collections.namedtuple("Pair", ["left", "right"])


@dataclasses.dataclass
class Layer:
    w: Any
    b: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    w: Any


class Model:
    def __init__(self, scale: Any) -> None:
        self.scale = scale


def warm(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call until the signature is known by its code."""
    for _ in range(2):
        function(*args, **kwargs)
    result = function(*args, **kwargs)
    assert function.programs.known
    return result


def taken(args: tuple[Any, ...], *others: Any, static: tuple[bool, ...] = ()) -> list[bool]:
    """Return for each other argument tuple whether the code for the first one takes it."""
    take = taker(args, {}, static or (False,) * len(args))
    assert take is not None
    assert take(args, {}, None) is not None
    return [take(other, {}, None) is not None for other in others]


A = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    "other",
    [
        A.astype(np.float32),
        A.astype(">f8"),
        np.asfortranarray(A),
        np.arange(12.0).reshape(2, 6)[:, ::2],
        A.reshape(3, 2),
        A.view(np.matrix) if hasattr(np, "matrix") else A.T,
        np.ma.masked_array(A),
        np.broadcast_to(np.arange(3.0), (2, 3)),
        A.astype(int),
        A.astype(complex),
        A.tolist(),
        1.0,
        np.float64(1.0),
        None,
    ],
)
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_another_array_is_not_taken(other: Any) -> None:
    assert taken((A,), (other,), ([A],), (A, A), ()) == [False] * 4


@pytest.mark.parametrize(
    ("value", "others"),
    [
        (1.5, [1, True, np.float64(1.5), 1.5j, np.ones(())]),
        (np.float32(2), [2.0, np.float64(2), np.float16(2)]),
        (3, [3.0, 4, True, np.int64(3)]),
        (True, [1, False, np.True_]),
        ("a", ["b", b"a", None]),
        (None, [0, False]),
        (2j, [2.0, np.complex128(2j)]),
    ],
)
def test_numbers_and_static_values_are_told_apart(value: Any, others: list[Any]) -> None:
    assert taken((A, value), *[(A, o) for o in others]) == [False] * len(others)


def test_containers_are_told_apart() -> None:
    assert taken(({"a": A, "b": A},), ({"b": A, "a": A},), ({"a": A},), ([A, A],)) == [False] * 3
    ordered = collections.OrderedDict(a=A, b=A)
    assert taken(({"a": A, "b": A},), (ordered,), ({"a": A, "b": A, "c": A},)) == [False] * 2
    assert taken(({},), ({"a": A},)) == [False]
    assert taken(((A, A),), ([A, A],), ((A,),), (Pair(A, A),)) == [False] * 3
    assert taken((Pair(A, A),), ((A, A),)) == [False]
    assert taken((Layer(A, A),), (Frozen(A),), (Layer(A, None),)) == [False] * 2
    assert taken(([(A, 2)],), ([(A, 3)],), ([(A, 2)],)) == [False, True]


def test_functions_and_objects_among_the_arguments() -> None:
    def make(k: Any) -> Any:
        return lambda x: k * x

    def free(x: Any) -> Any:
        return x

    assert taker((make(2.0), A), {}, (False, False)) is None  # what it closes over may change
    assert taken((np.sin, free, Model), (np.cos, free, Model), (np.sin, free, Layer)) == [False] * 2
    objects: list[Any] = []
    model = Model(A)
    take = taker((model, A), {}, (False, False))
    assert take is not None
    again = take((model, A), {}, objects)
    assert again is not None
    assert again[0] is A
    assert objects == [model]
    assert take((Layer(A, A), A), {}, None) is None
    assert taker((np.ma.masked_array(A),), {}, (False,)) is None


def test_keywords_and_static_arguments() -> None:
    take = taker((A,), {"n": 2, "b": A}, (False, True, False))
    assert take is not None
    assert take((A,), {"n": 2, "b": A}, None) is not None
    for kwargs in ({"b": A, "n": 2}, {"n": 3, "b": A}, {"n": 2.0, "b": A}, {}):
        assert take((A,), kwargs, None) is None
    assert taker((A, (1, 2)), {}, (False, True)) is None


def test_structures_come_back_as_they_were() -> None:
    def loss(p: Any, x: Any) -> Any:
        layer, frozen, pair, rest = p
        first, second = layer.w * x, frozen.w * x
        return np.sum(first + second + layer.b + pair.left * pair.right + rest["k"][0])

    x = np.arange(3.0)
    params = (Layer(x + 1, x), Frozen(x + 2), Pair(x, x + 3), {"k": [x], 1: (), "n": None})
    step = pb.grad(loss)
    with pytest.raises(AttributeError):
        step(params, x)[1].w = 1  # frozen
    gradient = warm(step, params, x)
    assert type(gradient[0]) is Layer
    assert type(gradient[1]) is Frozen
    assert type(gradient[2]) is Pair
    assert list(gradient[3]) == ["k", 1, "n"]
    np.testing.assert_array_equal(gradient[0].w, x)
    np.testing.assert_array_equal(gradient[1].w, x)
    np.testing.assert_array_equal(gradient[2].left, x + 3)
    np.testing.assert_array_equal(gradient[3]["k"][0], np.ones(3))


def test_signatures_in_turn_each_give_their_own_result() -> None:
    step = pb.grad(lambda p: sum([np.sum(v * v) for v in p.values()]))
    rng = np.random.default_rng(0)
    for _ in range(4):
        for n in range(1, 8):
            p = {f"w{k}": rng.normal(size=n) for k in range(1 + n % 3)}
            for key, value in step(p).items():
                np.testing.assert_allclose(value, 2 * p[key])
    assert step.cache_info()[:2] == (21, 7)
    assert len(step.programs.known) <= 4
    step.cache_clear()
    assert step.programs.known == ()
    np.testing.assert_allclose(step({"a": A})["a"], 2 * A)


def test_the_key_order_of_a_dict_is_its_gradients() -> None:
    step = pb.grad(lambda p: np.sum(p["a"] * 2 + p["b"]))
    warm(step, {"a": A, "b": A})
    assert list(step({"b": A, "a": A})) == ["b", "a"]


def test_read_only_arrays_are_read_and_not_written() -> None:
    @pb.compile
    def double(x: Any) -> None:
        x *= 2

    x = np.ones(3)
    for n in range(1, 4):
        double(x)
        np.testing.assert_array_equal(x, 2.0**n)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        double(x)
    total = pb.compile(np.sum)
    warm(total, np.ones(3))
    assert total(x) == 24


def test_overlapping_arguments_of_a_program_that_writes() -> None:
    def shift(a: Any, b: Any) -> Any:
        a += b
        return a.sum()

    compiled = pb.compile(shift)
    for _ in range(4):
        warm(compiled, np.ones(4), np.ones(4))
        buffer, plain = np.arange(6.0), np.arange(6.0)
        assert compiled(buffer[1:5], buffer[:4]) == shift(plain[1:5], plain[:4])
        np.testing.assert_array_equal(buffer, plain)


def test_hidden_inputs_are_read_again_and_guards_hold() -> None:
    state = {"scale": np.array([2.0]), "negate": False}

    def loss(x: Any) -> Any:
        y = x * state["scale"]
        return -np.sum(y) if state["negate"] else np.sum(y)

    step = pb.grad(loss)
    for scale, negate in [(2.0, False), (3.0, False), (3.0, True), (2.0, False), (5.0, True)]:
        state["scale"], state["negate"] = np.array([scale]), negate
        expected = (-scale if negate else scale) * np.ones(3)
        np.testing.assert_array_equal(warm(step, np.ones(3)), expected)
    assert step.cache_info().misses == 2


def test_methods_read_the_object_that_they_are_called_on() -> None:
    class Scaled(Model):
        @pb.compile
        def __call__(self, x: Any) -> Any:
            return self.scale * x

    first, second = Scaled(np.array(2.0)), Scaled(np.array(3.0))
    for _ in range(4):
        np.testing.assert_array_equal(first(A), 2 * A)
        np.testing.assert_array_equal(second(A), 3 * A)


def test_a_value_that_decides_sends_the_call_to_another_program() -> None:
    def f(x: Any) -> Any:
        return np.sum(x) if float(x[0]) > 0 else -np.sum(x)

    step = pb.grad(f)
    for sign in (1, 1, 1, -1, -1, -1, 1, -1, 1):
        np.testing.assert_array_equal(step(sign * np.ones(3)), sign * np.ones(3))


def test_stores_outside_happen_at_every_call() -> None:
    log: list[Any] = []

    def f(x: Any) -> Any:
        log.append(np.sum(x))
        return x + 1

    compiled = pb.compile(f)
    for k in range(5):
        compiled(np.full(2, float(k)))
    assert [float(v) for v in log] == [0, 2, 4, 6, 8]


def test_error_modes_are_read_at_every_call() -> None:
    calls: list[str] = []
    divide = pb.compile(lambda x: 1.0 / x)
    x = np.zeros(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warm(divide, x)
    for _ in range(3):
        with pytest.warns(RuntimeWarning, match="divide"):
            divide(x)
        with np.errstate(divide="ignore"):
            divide(x)
        with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
            divide(x)
        with np.errstate(divide="call", call=lambda *args: calls.append("first")):
            divide(x)
        with np.errstate(divide="call", call=lambda *args: calls.append("second")):
            divide(x)
    assert calls == ["first", "second"] * 3
    for _ in range(2):
        log = io.StringIO()
        with np.errstate(divide="log", call=log):
            divide(x)
        assert log.getvalue() == "Warning: divide by zero encountered in divide\n"
        with np.errstate(divide="print"), contextlib.redirect_stderr(io.StringIO()) as printed:
            divide(x)
        assert printed.getvalue() == log.getvalue()
    old = np.seterr(divide="ignore")
    try:
        divide(x)
    finally:
        np.seterr(**old)
    with pytest.warns(RuntimeWarning, match="divide"):
        divide(x)


def test_each_of_two_errors_of_one_operation_has_its_own_mode() -> None:
    divide = pb.compile(lambda x, y: x / y)
    operands = np.array([1.0, 0.0]), np.zeros(2)
    calls: list[tuple[str, int]] = []
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with np.errstate(invalid="ignore"):
                divide(*operands)
            with np.errstate(invalid="call", call=lambda *args: calls.append(args)):
                divide(*operands)
            with (
                np.errstate(invalid="raise"),
                pytest.raises(FloatingPointError, match="invalid value"),
            ):
                divide(*operands)
        assert [str(w.message) for w in caught] == ["divide by zero encountered in divide"] * 3
    assert calls == [("invalid value", 9)] * 2


def test_threads_share_the_programs_of_several_signatures() -> None:
    step = pb.value_and_grad(lambda p: np.sum(p["a"] * p["a"]))
    failures: list[Any] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for k in range(60):
                a = rng.normal(size=2 + (k + seed) % 6)
                value, gradient = step({"a": a})
                np.testing.assert_allclose(value, np.sum(a * a))
                np.testing.assert_allclose(gradient["a"], 2 * a)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_pullback_is_made_for_a_known_signature() -> None:
    pulled = pb.vjp(lambda p: np.sin(p["a"]))
    for k in range(4):
        a = np.full(3, float(k))
        y, pull = pulled({"a": a})
        np.testing.assert_allclose(y, np.sin(a))
        np.testing.assert_allclose(pull(np.ones(3))[0]["a"], np.cos(a))
    assert pulled.programs.known


def test_a_pullback_of_a_method_is_made_for_its_object() -> None:
    class Model:
        def __init__(self, rate: float) -> None:
            self.rate = rate

        def scaled(self, x: Any) -> Any:
            return x * self.rate

    first, second = Model(2.0), Model(3.0)
    assert pb.vjp(first.scaled) is pb.vjp(first.scaled)
    assert pb.vjp(first.scaled) is not pb.vjp(second.scaled)
    for model in (first, second):
        np.testing.assert_array_equal(pb.vjp(model.scaled, A)[1](A)[0], A * model.rate)


def test_functions_whose_pullbacks_are_kept_are_the_last_ones() -> None:
    def made() -> Any:
        return lambda x: x * 2.0

    first = made()
    gone = weakref.ref(first)
    pb.vjp(first)
    del first
    for _ in range(pullbacks.KEPT):
        pb.vjp(made())
    gc.collect()
    assert gone() is None


def test_registered_containers_are_taken_apart() -> None:
    class Bag:
        def __init__(self, items: list[Any], tag: str) -> None:
            self.items, self.tag = items, tag

    pb.register_container(Bag, lambda b: (b.items, b.tag), lambda tag, items: Bag(list(items), tag))
    assert taken((Bag([A], "t"),), (Bag([A], "u"),), (Bag([A, A], "t"),), (Bag([A], "t"),)) == [
        False,
        False,
        True,
    ]
    gradient = warm(pb.grad(lambda b: np.sum(b.items[0] * 2)), Bag([A], "t"))
    assert gradient.tag == "t"
    np.testing.assert_array_equal(gradient.items[0], np.full_like(A, 2))


def test_names_in_the_static_part_of_a_registered_class_are_no_attributes() -> None:
    class Sized:
        def __init__(self, first: Any, second: Any, unit: str) -> None:
            self.first, self.second, self.unit = first, second, unit

    def parts(s: Sized) -> Any:
        return (s.first, s.second), (s.unit,)

    pb.register_container(Sized, parts, lambda static, found: Sized(*found, *static))
    product = pb.custom_vjp(lambda s: s.first * s.second)
    product.defvjp(
        lambda s: (product(s), s), lambda s, ct: (Sized(ct * s.second, ct * s.first, "m"),)
    )
    for function in (product, lambda s: s.first * s.second):
        found = pb.grad(lambda s, f=function: np.sum(f(s)))(Sized(A, 2 * A, "m"))
        np.testing.assert_array_equal(found.first, 2 * A)
        np.testing.assert_array_equal(found.second, A)
        assert found.unit == "m"
    with pytest.raises(pb.DifferentiationError, match=r"with respect to `s\[1\]`: it is int"):
        pb.grad(lambda s: np.sum(s.first))(Sized(A, 3, "m"))


def test_attributes_that_are_no_fields_are_refused() -> None:
    @dataclasses.dataclass
    class Model:
        a: Any
        b: Any = None

        @functools.cached_property
        def total(self) -> Any:
            return np.sum(self.a)

    def loss(model: Any) -> Any:
        return np.sum(model.a**2) * model.total + np.sum(getattr(model, "c", 0.0))

    model = Model(np.arange(3.0))
    gradient = pb.grad(loss)
    expected = pb.grad(lambda a: np.sum(a**2) * np.sum(a))(model.a)
    for _ in range(4):
        np.testing.assert_allclose(gradient(model).a, expected)
    assert model.total == 3.0
    np.testing.assert_allclose(gradient(model).a, expected)
    model.c = np.ones(3)  # type: ignore[attr-defined]
    for _ in range(2):
        with pytest.raises(pb.UnsupportedError, match="attribute `c`, which is no field"):
            gradient(model)

"""Callables as arguments: what methods are bound to and partial functions hold is read anew."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb


def apply(f: Any, *args: Any) -> Any:
    return f(*args)


class Model:
    def __init__(self, w: np.ndarray) -> None:
        self.w = w
        self.scale = 2
        self.parts = {"bias": np.ones(2)}

    def f(self, x: Any) -> Any:
        return self.w * x * self.scale + self.parts["bias"]

    def g(self, x: Any) -> Any:
        return self.f(x) + 1.0

    def __call__(self, x: Any) -> Any:
        return self.w - x


def through_default(model: Model) -> Callable[[Any], Any]:
    def inner(x: Any, f: Any = model.f) -> Any:
        return f(x)

    return inner


MADE: dict[str, Callable[[Model], Any]] = {
    "method": lambda m: m.f,
    "method that calls another": lambda m: m.g,
    "object": lambda m: m,
    "function of a closure": lambda m: lambda x: m.f(x),
    "default": through_default,
    "partial with an object": lambda m: functools.partial(Model.f, m),
    "partial of a method": lambda m: functools.partial(m.f),
    "partial with an array": lambda m: functools.partial(np.multiply, m.w),
    "partial with a list": lambda m: functools.partial(lambda ws, x: ws[0] * x, [m.w]),
    "partial with a keyword": lambda m: functools.partial(lambda x, h: h(x), h=m.f),
    "partial of a partial": lambda m: functools.partial(functools.partial(Model.f, m)),
}


def assign(m: Model) -> None:
    m.w = np.array([5.0, 6.0])


def write(m: Model) -> None:
    m.w[0] = 9.0


def assign_static(m: Model) -> None:
    m.scale = 3


def assign_item(m: Model) -> None:
    m.parts["bias"] = np.array([7.0, 8.0])


@pytest.mark.parametrize("change", [assign, write, assign_static, assign_item])
@pytest.mark.parametrize("name", MADE)
def test_what_a_callable_holds_is_read_at_every_call(
    name: str, change: Callable[[Model], None]
) -> None:
    make, compiled, x = MADE[name], pb.compile(apply), np.array([1.0, 2.0])
    model = Model(np.array([2.0, 3.0]))
    for _ in range(2):
        np.testing.assert_array_equal(compiled(make(model), x), make(model)(x))
        change(model)
        np.testing.assert_array_equal(compiled(make(model), x), make(model)(x))
    other = Model(np.array([-1.0, 4.0]))
    np.testing.assert_array_equal(compiled(make(other), x), make(other)(x))


def test_another_array_or_object_needs_no_new_program() -> None:
    compiled, x = pb.compile(apply), np.ones(2)
    for k in range(4):
        compiled(Model(np.full(2, float(k))).f, x)
        compiled(functools.partial(np.multiply, np.full(2, float(k))), x)
    assert compiled.cache_info().misses == 2


def test_partials_of_different_functions_and_numbers_are_different() -> None:
    compiled, x = pb.compile(apply), np.ones(2)
    for f in (np.add, np.multiply, np.subtract):
        for number in (2.0, 3.0):
            made = functools.partial(f, number)
            np.testing.assert_array_equal(compiled(made, x), made(x))


def test_in_containers_and_under_grad() -> None:
    model, x = Model(np.array([2.0, 3.0])), np.ones(2)
    compiled = pb.compile(lambda fs, x: fs["f"](x) + fs["more"][0](x))
    gradient = pb.grad(lambda f, x: np.sum(f(x)), argnums=1)
    for _ in range(2):
        found = compiled({"f": model.f, "more": [model]}, x)
        np.testing.assert_array_equal(found, model.f(x) + model(x))
        np.testing.assert_array_equal(gradient(model.f, x), model.w * 2)
        assign(model)


def test_one_object_at_one_call_and_two_at_another() -> None:
    one, two, x = Model(np.ones(2)), Model(np.array([3.0, 4.0])), np.ones(2)
    compiled = pb.compile(lambda a, b, x: a.w * x + 10.0 * b.w)
    for a, b in ((one, one), (one, two), (two, one), (two, two)):
        np.testing.assert_array_equal(compiled(a, b, x), a.w * x + 10.0 * b.w)
    mixed = pb.compile(lambda f, b, x: f(x) + 10.0 * b.w)
    for a, b in ((one, one), (one, two), (two, two)):
        np.testing.assert_array_equal(mixed(a.f, b, x), a.f(x) + 10.0 * b.w)


MODEL = Model(np.ones(2))


def helper(x: Any, model: Any = MODEL) -> Any:
    return x * model.w


def test_an_object_that_is_a_default_of_a_function_called_is_read_at_every_call() -> None:
    compiled, x = pb.compile(lambda x: helper(x)), np.ones(2)
    np.testing.assert_array_equal(compiled(x), helper(x))
    MODEL.w = np.array([8.0, 9.0])
    np.testing.assert_array_equal(compiled(x), helper(x))


def with_keyword_default(k: float) -> Callable[[Any], Any]:
    def f(x: Any, *, scale: float = k) -> Any:
        return np.sum(x * x) * scale

    return f


def of_other_globals(k: float) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        return np.sum(x * x) * SCALE  # noqa: F821 - of the globals that follow

    return types.FunctionType(f.__code__, {"np": np, "SCALE": k})


class Equal:
    """A callable that is equal to all others of its class."""

    def __init__(self, k: float) -> None:
        self.k = k

    def __call__(self, x: Any) -> Any:
        return np.sum(x * x) * self.k

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal)

    def __hash__(self) -> int:
        return 1


@pytest.mark.parametrize("make", [with_keyword_default, of_other_globals, Equal])
def test_functions_of_equal_code_are_told_apart(
    make: Callable[[float], Callable[..., Any]],
) -> None:
    x = np.array([1.0, 2.0])
    taken, slope = pb.compile(apply), pb.grad(apply, argnums=1)
    for k in (1.0, 2.0, -3.0):
        f = make(k)
        for _ in range(2):
            assert taken(f, x) == 5 * k
            np.testing.assert_array_equal(slope(f, x), 2 * k * x)
            np.testing.assert_array_equal(pb.vjp(f, x)[1](1.0)[0], 2 * k * x)
            np.testing.assert_array_equal(pb.hvp(f, (x,), (x,))[0], 2 * k * x)
            assert pb.jvp(f, (x,), (x,))[1] == pb.linearize(f, x)[1](x) == 10 * k


def test_defaults_by_name_may_be_assigned() -> None:
    f, taken = with_keyword_default(1.0), pb.compile(apply)
    for k in (1.0, 2.0, 3.0):
        f.__kwdefaults__ = {"scale": k}  # type: ignore[attr-defined]
        assert taken(f, np.ones(2)) == 2 * k

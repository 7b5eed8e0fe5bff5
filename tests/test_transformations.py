"""compile, grad, value_and_grad, vjp as callables: arguments, caches, nesting, threads, owners."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb

X = np.array([1.0, 2.0, 3.0])
Y = np.array([0.5, -1.0, 2.0])


def equal(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


# ---- arguments ---------------------------------------------------------------------------------


def loss(w: Any, x: Any, scale: Any = 2.0, *, shift: Any = 0.0) -> Any:
    """Return a loss."""
    return np.sum(w * w * x) * scale + np.sum(w) * shift


@pytest.mark.parametrize(
    ("argnums", "wanted"),
    [
        (0, 4 * X * Y),
        ("w", 4 * X * Y),
        (1, 2 * X * X),
        (-1, 2 * X * X),
        ((0, 1), (4 * X * Y, 2 * X * X)),
        ((1, 0), (2 * X * X, 4 * X * Y)),
        ([0], (4 * X * Y,)),
        (("x", 0), (2 * X * X, 4 * X * Y)),
        ((), ()),
    ],
)
def test_argnums(argnums: Any, wanted: Any) -> None:
    found = pb.grad(loss, argnums)(X, Y)
    assert type(found) is type(wanted)
    if isinstance(wanted, tuple):
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            equal(a, b)
    else:
        equal(found, wanted)
    value, again = pb.value_and_grad(loss, argnums)(X, Y)
    equal(value, loss(X, Y))
    assert type(again) is type(wanted)


@pytest.mark.parametrize("argnums", [(0, 0), (1, -1), ("x", 1)])
@pytest.mark.parametrize("transformation", [pb.grad, pb.jacobian, pb.hessian, pb.sparse_jacobian])
def test_an_argument_is_named_once(transformation: Any, argnums: Any) -> None:
    with pytest.raises(pb.ArgumentError, match=r"argnums=.* names `.` twice"):
        transformation(loss, argnums=argnums)(X, Y)


@pytest.mark.parametrize("transformation", [pb.compile, pb.grad, pb.hessian, pb.vjp, pb.vmap])
def test_a_call_takes_arrays_and_no_specs(transformation: Any) -> None:
    def total(p: Any) -> Any:
        return np.sum(p["x"])

    message = r"total is called with Spec\(\(3,\), 'float64'\) in the place of an array"
    for _ in range(2):
        with pytest.raises(pb.StructureError, match=message):
            transformation(total)({"x": pb.Spec(3)})


def test_the_shape_of_a_spec_is_integers() -> None:
    assert pb.Spec([np.int64(2), 3]).shape == (2, 3)
    for shape in ("a", 1.5, (2, 1.5), None):
        with pytest.raises(pb.ArgumentError, match="Spec takes a shape, an int or a tuple of ints"):
            pb.Spec(shape)


def test_argnums_of_keyword_arguments() -> None:
    equal(pb.grad(loss, "x")(X, x=Y), 2 * X * X)
    equal(pb.grad(loss, 1)(X, x=Y), 2 * X * X)
    equal(pb.grad(loss, ("scale", "shift"))(X, Y, scale=3.0, shift=1.0), (np.sum(X * X * Y), 6.0))
    equal(pb.grad(loss)(w=X, x=Y), 4 * X * Y)
    equal(pb.grad(loss)(x=Y, w=X), 4 * X * Y)
    with pytest.raises(pb.ArgumentError, match="argnums='scale' is no argument of this call"):
        pb.grad(loss, "scale")(X, Y)


def test_defaults_and_keywords() -> None:
    compiled = pb.compile(loss)
    equal(compiled(X, Y), loss(X, Y))
    equal(compiled(X, Y, 3.0), loss(X, Y, 3.0))
    equal(compiled(X, Y, shift=2.0), loss(X, Y, shift=2.0))
    equal(compiled(X, scale=1.0, x=Y), loss(X, Y, 1.0))


def test_variadic_arguments() -> None:
    def total(first: Any, *rest: Any, **named: Any) -> Any:
        return np.sum(first) * sum(np.sum(r) for r in rest) + np.sum(named["k"] ** 2)

    equal(pb.compile(total)(X, Y, 2.0, k=X), total(X, Y, 2.0, k=X))
    equal(pb.grad(total, (0, 2, "k"))(X, Y, 2.0, k=X)[0], np.full(3, 3.5))
    equal(pb.grad(total, (0, 2, "k"))(X, Y, 2.0, k=X)[1], 6.0)
    equal(pb.grad(total, "k")(X, Y, k=X), 2 * X)


def test_static_arguments() -> None:
    def power(x: Any, n: Any, mode: Any = "sum") -> Any:
        for _ in range(n):
            x = x * x
        return np.sum(x) if mode == "sum" else np.mean(x)

    for options in ({"static_argnums": (1, 2)}, {"static_argnames": ("n", "mode")}):
        compiled = pb.compile(power, **options)  # type: ignore[call-overload]
        for call in (((X, 2), {}), ((X, 3), {}), ((X, 2, "mean"), {}), ((X,), {"n": 2})):
            equal(compiled(*call[0], **call[1]), power(*call[0], **call[1]))
        equal(pb.grad(power, **options)(X, 1), 2 * X)  # type: ignore[call-overload]
    compiled = pb.compile(power, static_argnums=1)
    compiled(X, 2), compiled(X, np.int64(2)), compiled(X, 2), compiled(X, True)
    assert compiled.cache_info()[:2] == (1, 3)


def test_has_aux() -> None:
    def with_aux(x: Any) -> Any:
        y = np.sin(x)
        return np.sum(y), {"y": y, "x": x, "n": 3, "s": ("text", None)}

    gradient, aux = pb.grad(with_aux, has_aux=True)(X)
    equal(gradient, np.cos(X))
    (value, again), slope = pb.value_and_grad(with_aux, has_aux=True)(X)
    equal(value, np.sum(np.sin(X)))
    equal(slope, np.cos(X))
    for found in (aux, again):
        assert list(found) == ["y", "x", "n", "s"]
        equal(found["y"], np.sin(X))
        assert found["x"] is X
        assert (found["n"], found["s"]) == (3, ("text", None))
    output, pull, aux = pb.vjp(with_aux, X, has_aux=True)
    equal(output, value)
    equal(pull(2.0)[0], 2 * np.cos(X))
    equal(aux["y"], np.sin(X))


# ---- callables ---------------------------------------------------------------------------------


class Model:
    """Transformed methods; argnums counts `self`, as in JAX."""

    def __init__(self) -> None:
        self.W = np.array([1.0, 2.0, 3.0])

    @pb.grad(argnums=1)
    def gradient(self, x: Any) -> Any:
        """Return a gradient."""
        return np.sum(x * x * self.W)

    @pb.compile
    def forward(self, x: Any) -> Any:
        return x * self.W

    @staticmethod
    @pb.grad
    def static(x: Any) -> Any:
        return np.sum(x * x)

    @classmethod
    def made(cls) -> Any:
        return cls()

    def __call__(self, x: Any) -> Any:
        return np.sum(x * self.W)


def test_methods() -> None:
    first, second = Model(), Model.made()
    second.W = np.array([5.0, 5.0, 5.0])
    for model in (first, second, first):
        equal(model.gradient(X), 2 * X * model.W)
        equal(model.forward(X), X * model.W)
        equal(model.static(X), 2 * X)
        equal(pb.grad(model)(X), model.W)
        equal(pb.grad(model.__call__)(X), model.W)
    assert Model.gradient.cache_info()[:2] == (2, 1)
    assert Model.gradient.__doc__ == "Return a gradient."
    equal(Model.static(X), 2 * X)


def test_partials_lambdas_and_nested_functions() -> None:
    def scaled(a: Any, x: Any, b: Any = 1.0) -> Any:
        def inner(y: Any) -> Any:
            return np.sum(y * a) * b

        return inner(x * x)

    equal(pb.grad(functools.partial(scaled, Y))(X), 2 * X * Y)
    equal(pb.grad(functools.partial(scaled, Y, b=3.0))(X), 6 * X * Y)
    equal(pb.grad(functools.partial(scaled, b=3.0), argnums=1)(Y, X), 6 * X * Y)
    equal(pb.grad(lambda x: scaled(Y, x))(X), 2 * X * Y)
    equal(pb.compile(np.sin)(X), np.sin(X))
    equal(pb.grad(lambda x, f: np.sum(f(x)))(X, np.sin), np.cos(X))


def test_functions_as_arguments() -> None:
    def twice(f: Callable[[Any], Any], x: Any) -> Any:
        return f(f(x))

    compiled = pb.compile(twice)
    for k in (2.0, 3.0):
        equal(compiled(lambda x, k=k: x * k, X), X * k * k)
    equal(compiled(np.cos, X), np.cos(np.cos(X)))


def test_recursion() -> None:
    def power(n: int, x: Any) -> Any:
        return x if n == 0 else x * power(n - 1, x)

    equal(pb.compile(power)(3, X), X**4)
    equal(pb.compile(lambda f, x: f(2, x))(power, X), X**3)
    equal(pb.grad(lambda x: np.sum(power(3, x)))(X), 4 * X**3)


def test_metadata_and_signature_are_the_functions() -> None:
    def documented(w: Any, *, n: int = 3) -> float:
        """Say what it does."""
        return float(np.sum(w) * n)

    documented.marker = 5  # type: ignore[attr-defined]
    for transform in (pb.compile, pb.grad, pb.value_and_grad):
        made = transform(documented)
        assert made.__name__ == "documented"
        assert made.__doc__ == "Say what it does."
        assert made.__module__ == documented.__module__
        assert made.__wrapped__ is documented
        assert made.marker == 5
        assert inspect.signature(made) == inspect.signature(documented)
    assert repr(pb.grad(documented)) == "<pullback.grad of documented>"
    assert repr(pb.compile(pb.grad(documented))) == "<pullback.compile of documented>"


def test_a_decorator_with_options() -> None:
    @pb.value_and_grad(argnums=(0, 1), exact=True)
    def product(a: Any, b: Any) -> Any:
        return np.sum(a * b)

    value, (da, db) = product(X, Y)
    assert value == np.sum(X * Y)
    np.testing.assert_array_equal(da, Y)
    np.testing.assert_array_equal(db, X)


# ---- the cache ---------------------------------------------------------------------------------


def test_the_cache_counts_and_forgets() -> None:
    compiled = pb.compile(lambda x: x + 1)
    for n in (1, 2, 1, 2, 3):
        compiled(np.ones(n))
    assert compiled.cache_info() == (2, 3, 128, 3)
    compiled.cache_clear()
    assert compiled.cache_info() == (0, 0, 128, 0)
    equal(compiled(np.ones(2)), np.full(2, 2.0))
    assert compiled.cache_info() == (0, 1, 128, 1)


def test_the_signature_unused_for_longest_goes_first() -> None:
    compiled = pb.compile(lambda x: x + 1)
    for n in range(128):
        compiled(np.ones(n))
    compiled(np.ones(0))
    compiled(np.ones(500))
    assert compiled.cache_info() == (1, 129, 128, 128)
    compiled(np.ones(0))
    assert compiled.cache_info().misses == 129
    compiled(np.ones(1))
    assert compiled.cache_info().misses == 130


@pytest.mark.parametrize(
    "other",
    [X.astype(np.float32), X.astype(">f8"), X[::-1], X[:2], X[None], 1.0, np.float64(1.0), (X,)],
    ids=str,
)
def test_another_signature_is_another_program(other: Any) -> None:
    compiled = pb.compile(lambda x: np.sum(x[0] if isinstance(x, tuple) else x))
    compiled(X), compiled(other), compiled(X * 2), compiled(other)
    assert compiled.cache_info()[:2] == (2, 2)


# ---- nesting -----------------------------------------------------------------------------------


def test_derivatives_of_derivatives() -> None:
    f = pb.grad(pb.grad(pb.grad(lambda x: np.sin(x) * x)))
    x = 1.5
    equal(f(x), -3 * np.sin(x) - x * np.cos(x))
    equal(pb.grad(lambda x: np.sum(pb.grad(lambda y: np.sum(y**3))(x)))(X), 6 * X)
    value, slope = pb.value_and_grad(
        lambda x: np.sum(x * pb.value_and_grad(lambda y: np.sum(y * x * x))(x)[1])
    )(X)
    equal(value, np.sum(X**3))
    equal(slope, 3 * X * X)


def test_perturbations_are_not_confused() -> None:
    equal(pb.grad(lambda x: x * pb.grad(lambda y: x + y)(2.0))(1.0), 1.0)
    equal(pb.grad(lambda x: x * pb.grad(lambda y: x * y)(2.0))(3.0), 6.0)
    equal(pb.grad(lambda x: pb.grad(lambda y: x * x * y * y)(x))(2.0), 24.0)

    def outer(x: Any) -> Any:
        inner = pb.grad(lambda y: np.sum(y * y * x))
        return np.sum(inner(x * 2.0))  # 4 x²

    equal(pb.grad(outer)(X), 8 * X)


def test_transformations_inside_each_other() -> None:
    square = pb.compile(lambda z: z * z)
    equal(pb.grad(lambda x: np.sum(square(x)))(X), 2 * X)
    gradient = pb.grad(lambda z: np.sum(z**3))
    equal(pb.compile(lambda x: gradient(x) + 1)(X), 3 * X * X + 1)
    equal(pb.compile(lambda x: pb.vjp(np.sin, x)[1](np.ones(3))[0])(X), np.cos(X))
    equal(pb.grad(lambda x: np.sum(pb.vjp(lambda z: z**3, x)[1](Y)[0]))(X), 6 * X * Y)
    equal(pb.vjp(gradient, X)[1](Y)[0], 6 * X * Y)
    equal(pb.compile(pb.compile(lambda x: x + 1))(X), X + 1)
    equal(pb.compile(gradient)(X), 3 * X * X)
    value, slope = pb.value_and_grad(pb.compile(lambda x: np.sum(x * x)))(X)
    equal(value, np.sum(X * X))
    equal(slope, 2 * X)


def test_hidden_arrays_of_a_nested_transformation() -> None:
    class Holder:
        W = np.ones(3)

    held = Holder()
    inner = pb.grad(lambda x: np.sum(x * x * held.W))
    outer = pb.compile(lambda x: inner(x) * 2)
    for weights in (np.ones(3), np.full(3, 7.0)):
        held.W = weights
        equal(outer(X), 4 * X * weights)
        weights[0] = -1.0
        equal(outer(X), 4 * X * weights)


# ---- pullbacks ---------------------------------------------------------------------------------


def test_a_pullback_owns_its_residuals() -> None:
    x = X.copy()
    output, pull = pb.vjp(lambda a, b: a * b, x, Y)
    first = pull(np.ones(3))
    x[:] = 99.0
    output[:] = 99.0
    second = pull(2 * np.ones(3))
    equal(first[0], Y)
    equal(first[1], X)
    equal(second[1], 2 * X)
    first[1][:] = 0.0
    equal(pull(np.ones(3))[1], X)
    pb.vjp(lambda a, b: a * b, x, Y)[1](np.ones(3))
    equal(pull(np.ones(3))[1], X)


def test_a_pullback_of_containers() -> None:
    def function(p: Any) -> Any:
        return {"s": np.sum(p["w"]), "o": [p["w"] * p["b"]]}

    output, pull = pb.vjp(function, {"w": X, "b": Y})
    equal(output["o"][0], X * Y)
    (slope,) = pull({"s": 1.0, "o": [np.ones(3)]})
    assert list(slope) == ["w", "b"]
    equal(slope["w"], 1 + Y)
    equal(slope["b"], X)


def test_a_pullback_reads_hidden_inputs_anew() -> None:
    held = {"W": np.ones(3)}

    def function(x: Any) -> Any:
        return x * held["W"]

    for weights in (np.ones(3), np.full(3, 4.0), np.ones(3, np.float32)):
        held["W"] = weights
        output, pull = pb.vjp(function, X)
        equal(output, X * weights)
        equal(pull(Y)[0], Y * weights)


# ---- who owns what -----------------------------------------------------------------------------


OWNERS: dict[str, Callable[..., Any]] = {
    "product": lambda x, w: np.sum(x * w),
    "reshaped": lambda x, w: np.sum(x.reshape(3, 1) * w.reshape(3, 1)),
    "sum": lambda x, w: np.sum(x) + 0 * np.sum(w),
    "unused": lambda x, w: np.sum(x * 1.0),
    "same": lambda x, w: np.sum(x + w),
    "constant": lambda x, w: np.sum(x * np.arange(3.0) + w),
    "broadcast": lambda x, w: np.sum(np.broadcast_to(x, (4, 3)) * w),
}


@pytest.mark.parametrize("function", OWNERS.values(), ids=OWNERS)
def test_gradients_share_memory_with_nothing(function: Callable[..., Any]) -> None:
    gradient = pb.grad(function, argnums=(0, 1))
    for second in (Y, X):
        arguments = [X.copy(), second.copy()]
        shared = [arguments[0], arguments[0]] if second is X else arguments
        first = gradient(*shared)
        kept = [g.copy() for g in first]
        again = gradient(*shared)
        for g in (*first, *again):
            assert g.flags.writeable
            assert g.flags.owndata or g.base is not None
        for a in (*first, *shared):
            assert not any(np.shares_memory(a, b) for b in again)
        assert not np.shares_memory(*first)
        for g in again:
            g[...] = 77.0
        for g, k in zip(first, kept, strict=True):
            np.testing.assert_array_equal(g, k)
        for g, k in zip(gradient(*shared), kept, strict=True):
            np.testing.assert_array_equal(g, k)
        for argument, before in zip(shared, (X, second), strict=True):
            np.testing.assert_array_equal(argument, before)


# ---- threads -----------------------------------------------------------------------------------


def test_threads() -> None:
    def work(x: Any, k: Any) -> Any:
        return np.sum(np.sin(x * k) * np.exp(x / 9))

    gradient, value = pb.grad(work), pb.compile(work)
    inputs = [np.linspace(0, n, 40 + n % 3) for n in range(1, 9)]
    wanted = [(pb.grad(work)(x, 2.0), work(x, 2.0)) for x in inputs]
    failures: list[Any] = []
    barrier = threading.Barrier(len(inputs))

    def run(number: int) -> None:
        try:
            barrier.wait()
            for _ in range(50):
                slope, result = gradient(inputs[number], 2.0), value(inputs[number], 2.0)
                np.testing.assert_array_equal(slope, wanted[number][0])
                np.testing.assert_allclose(result, wanted[number][1], rtol=1e-13)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert gradient.cache_info()[1:] == (3, 128, 3)


def test_errors_in_one_thread_leave_the_others_alone() -> None:
    def function(x: Any) -> Any:
        return np.sum(x @ np.ones((3, 2)))

    gradient = pb.grad(function)
    failures: list[Any] = []

    def run(good: bool) -> None:
        for _ in range(20):
            try:
                equal(gradient(X if good else np.ones(4)), np.full(3, 2.0))
                if not good:
                    failures.append("no error")
            except pb.ShapeError as error:
                if good:
                    failures.append(error)

    threads = [threading.Thread(target=run, args=(n % 2 == 0,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures

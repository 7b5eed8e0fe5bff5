"""Arrays of other libraries as arguments: read by NumPy, in their own memory where it can."""

from __future__ import annotations

import array
from typing import Any, NamedTuple

import numpy as np
import pytest

import pullback as pb
from pullback.ir.errors import StructureError

X = np.array([1.0, 2.0, 3.0])


class Wrapped:
    """Has `__array__`, which gives the memory itself."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.data if dtype is None else self.data.astype(dtype)


class Copied(Wrapped):
    """Has `__array__`, which gives a copy."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(self.data, dtype)


class Sliced(Wrapped):
    """Has `__array__`, which gives a view of a copy."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array([self.data, self.data], dtype)[0]


class Exchanged:
    """Has `__dlpack__` alone."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.data.__dlpack_device__()


class Standard(Exchanged):
    """An array of the array API."""

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return np


class Unreadable:
    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return np


class Layer(NamedTuple):
    weights: Any


def torch_tensor(x: np.ndarray) -> Any:
    return pytest.importorskip("torch").from_numpy(x)


def jax_array(x: np.ndarray) -> Any:
    return pytest.importorskip("jax").numpy.asarray(x)


def series(x: np.ndarray) -> Any:
    return pytest.importorskip("pandas").Series(x)


SHARING = {
    "__array__": Wrapped,
    "__dlpack__": Exchanged,
    "array API": Standard,
    "memoryview": memoryview,
    "torch": torch_tensor,
}
MAKERS = {
    **SHARING,
    "copy": Copied,
    "view of a copy": Sliced,
    "array.array": lambda x: array.array("d", x),
    "jax": jax_array,
    "pandas": series,
}
every_maker = pytest.mark.parametrize("name", MAKERS)


def loss(x: Any) -> Any:
    return np.sum(x**2)


@every_maker
def test_gradients_and_values_are_numpy_s(name: str) -> None:
    x = MAKERS[name](X.copy())
    gradient = pb.value_and_grad(loss)
    for _ in range(3):
        value, found = gradient(x)
        assert type(found) is np.ndarray
        np.testing.assert_allclose(found, 2 * X)
        assert value == 14.0
    assert gradient.cache_info().misses == 1


@every_maker
def test_it_is_a_leaf_in_containers_and_any_transformation(name: str) -> None:
    make = MAKERS[name]
    params = {"w": make(X.copy()), "rest": [make(np.ones(3)), 2.0]}
    found = pb.grad(lambda p, y: np.sum(p["w"] * p["rest"][0] * y) * p["rest"][1])(
        params, make(X.copy())
    )
    np.testing.assert_allclose(found["w"], 2 * X)
    np.testing.assert_allclose(found["rest"][0], 2 * X * X)
    out, moved = pb.jvp(lambda x: x * x, (make(X.copy()),), (make(np.ones(3)),))
    np.testing.assert_allclose(moved, 2 * X)
    _, pull = pb.vjp(lambda x: x * x, make(X.copy()))
    np.testing.assert_allclose(pull(make(np.ones(3)))[0], 2 * X)
    np.testing.assert_allclose(pb.jacobian(lambda x: x * x)(make(X.copy())), np.diag(2 * X))
    _, linear = pb.linearize(lambda x: x * x, make(X.copy()))
    np.testing.assert_allclose(linear(make(np.ones(3))), 2 * X)
    pattern = pb.sparsity(lambda x: x * x, make(X.copy()))
    np.testing.assert_array_equal(pattern.toarray(), np.eye(3))
    pb.check_grads(loss, (make(X.copy()),))


def test_it_shares_a_program_with_ndarrays() -> None:
    gradient = pb.grad(loss)
    for _ in range(3):
        for x in (X, Wrapped(X), Exchanged(X), memoryview(X)):
            np.testing.assert_allclose(gradient(x), 2 * X)
    assert gradient.cache_info().misses == 1


def double(x: Any) -> Any:
    x *= 2.0
    return np.sum(x)


@pytest.mark.parametrize("name", [*SHARING, "array.array"])
def test_writes_go_through_to_shared_memory(name: str) -> None:
    x = MAKERS[name](X.copy())
    assert pb.compile(double)(x) == 12.0
    read = np.from_dlpack(x) if isinstance(x, Exchanged) else np.asarray(x)
    np.testing.assert_array_equal(read, 2 * X)


@pytest.mark.parametrize("name", ["copy", "view of a copy", "jax"])
def test_writes_into_a_copy_are_refused(name: str) -> None:
    x = MAKERS[name](X.copy())
    kind = type(x).__name__
    with pytest.raises(ValueError, match=rf"read-only: of .*{kind} NumPy reads a copy") as caught:
        pb.compile(double)(x)
    assert "Pass an ndarray" in str(caught.value)
    np.testing.assert_array_equal(np.asarray(x), X)


def test_read_only_buffers_are_read() -> None:
    x = memoryview(X.tobytes()).cast("d")
    np.testing.assert_allclose(pb.grad(loss)(x), 2 * X)
    with pytest.raises(ValueError, match="read-only"):
        pb.compile(double)(x)


def test_the_object_keeps_its_own_flags() -> None:
    inner = X.copy()
    pb.grad(loss)(Copied(inner))
    pb.grad(loss)(Wrapped(inner))
    assert inner.flags.writeable


def test_what_numpy_cannot_read_is_refused_by_its_name() -> None:
    with pytest.raises(StructureError, match=r"`x` is a .*Unreadable, which NumPy cannot read"):
        pb.grad(loss)(Unreadable())
    with pytest.raises(StructureError, match=r"`p\['w'\]\[1\]` is a .*Unreadable"):
        pb.grad(lambda p: np.sum(p["w"][0]))({"w": [X, Unreadable()]})
    with pytest.raises(StructureError, match=r"`p\.weights` is a .*Unreadable"):
        pb.grad(lambda p: np.sum(p.weights))(Layer(Unreadable()))


def test_a_tensor_that_requires_grad_is_refused_as_by_numpy() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(StructureError, match=r"torch\.Tensor, which .* requires grad"):
        pb.grad(loss)(torch.ones(3, requires_grad=True))


class Holder:
    value: Any = None


@pytest.mark.parametrize("make", [Wrapped, Exchanged, memoryview])
def test_read_from_outside_it_is_read_again_at_every_call(make: Any) -> None:
    holder, data = Holder(), X.copy()
    holder.value = make(data)
    gradient = pb.grad(lambda holder, x: np.sum(np.multiply(holder.value, x)), argnums=1)
    compiled = pb.compile(lambda x: x * holder.value)
    for _ in range(2):
        np.testing.assert_array_equal(compiled(X), X * data)
        np.testing.assert_array_equal(gradient(holder, X), data)
        data[0] += 7.0
    holder.value = make(-X)
    np.testing.assert_array_equal(compiled(X), -X * X)
    np.testing.assert_array_equal(gradient(holder, X), -X)
    # What may be more than an array is known by its identity.
    expected = 2 if make is Wrapped else 1
    assert compiled.cache_info().misses == gradient.cache_info().misses == expected


def test_what_has_more_to_say_than_an_array_may_be_asked_for_it() -> None:
    table = Wrapped(X.copy())
    compiled = pb.compile(lambda x: x * table.data + np.sum(table) + np.asarray(table)[0])
    np.testing.assert_array_equal(compiled(X), X * X + 7.0)
    table.data = -X
    np.testing.assert_array_equal(compiled(X), -X * X - 7.0)


@pytest.mark.parametrize("make", [Wrapped, Exchanged])
def test_functions_of_numpy_are_given_what_is_there_at_each_call(make: Any) -> None:
    data = X.copy()
    table = make(data)
    compiled = pb.compile(lambda x: np.exp(table) + np.stack([x, table])[1] + np.max(table) * x)
    for _ in range(2):
        np.testing.assert_allclose(compiled(X), np.exp(data) + data + np.max(data) * X)
        data += 0.5


def test_stores_reach_the_container_that_was_passed() -> None:
    def step(state: dict[str, Any], x: Any) -> Any:
        state["last"] = x * 2.0
        return state["w"] + x

    state = {"w": Wrapped(X.copy()), "last": None}
    np.testing.assert_array_equal(pb.compile(step)(state, Copied(X)), 2 * X)
    np.testing.assert_array_equal(state["last"], 2 * X)
    assert isinstance(state["w"], Wrapped)


def test_a_registered_class_stays_a_container() -> None:
    class Pair(Wrapped):
        pass

    pb.register_container(Pair, lambda p: ((p.data,), None), lambda _, children: Pair(children[0]))
    found = pb.grad(lambda p: np.sum(p.data**2))(Pair(X))
    assert type(found) is Pair
    np.testing.assert_allclose(found.data, 2 * X)


def test_zero_dimensional_and_integer_arrays() -> None:
    found = pb.grad(lambda a: a * a)(Wrapped(np.array(3.0)))
    assert found == 6.0
    assert found.shape == ()
    picked = pb.compile(lambda x, i: x[i])(X, Wrapped(np.array([2, 0])))
    np.testing.assert_array_equal(picked, [3.0, 1.0])


@pytest.mark.parametrize("make", [torch_tensor, Exchanged, Wrapped])
def test_functions_on_trees_and_optimizers_read_them(make: Any) -> None:
    tree, plain = {"a": make(X), "b": 2.0}, {"a": X, "b": 2.0}
    opt = pb.optim.chain(pb.optim.clip_by_value(-2.0, 2.0), pb.optim.adamw(0.1))

    def stepped(params: Any) -> Any:
        updates, state = opt.update(params, opt.init(params), params)
        return pb.optim.apply_updates(params, updates), state[1].mu

    for f in (
        lambda t: pb.clip_by_global_norm(t, 1.0),
        lambda t: pb.clip_by_value(t, -1.0, 1.0),
        pb.global_norm,
        stepped,
        lambda t: pb.flatten(t)[0],
        lambda t: pb.tree.ravel(t)[0],
        lambda t: pb.minimize(lambda p: np.sum(np.square(p["a"] - 2)) + p["b"] ** 2, t).x,
    ):
        found, expected = pb.tree.leaves(f(tree)), pb.tree.leaves(f(plain))
        assert [type(a) for a in found] == [type(b) for b in expected]
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)

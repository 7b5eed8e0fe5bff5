"""Stores outside of the function: after the run, in order, as plain Python would have done them."""
# ruff: noqa: PLW0603

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import pullback as pb

X = np.array([0.5, 1.5, 2.5])

total: Any = None
history: list[Any] = []
table: dict[str, Any] = {}


class Layer:
    scale = 2.0

    def __init__(self) -> None:
        self.h: Any = None
        self.calls = 0
        self.log: list[Any] = []
        self.cache: dict[str, Any] = {"old": np.ones(3)}
        self.inner = Inner()
        self.recent: deque[Any] = deque(maxlen=2)
        self.seen: set[int] = set()

    @property
    def state(self) -> Any:
        return self._state

    @state.setter
    def state(self, value: Any) -> None:
        self._state = value * 1.0
        self.calls += 1


class Inner:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Any = np.zeros(3)


@dataclass
class Record:
    a: Any
    n: int = 0
    items: list[Any] = field(default_factory=list)


def stores_an_attribute(self: Layer, x: Any) -> Any:
    self.h = np.sin(x)
    return np.sum(self.h * 2)


def reads_what_it_stored(self: Layer, x: Any) -> Any:
    self.h = x if self.h is None else self.h * 0.5 + x
    self.h = self.h + 1
    return np.sum(self.h**2)


def counts(self: Layer, x: Any) -> Any:
    self.calls += 1
    return np.sum(x) * self.calls


def stores_nested(self: Layer, x: Any) -> Any:
    self.inner.value = self.inner.value + x
    self.h = {"a": [x, (x[0], 3, None, "t")], "n": 2}
    return np.sum(self.h["a"][0] * self.inner.value)


def appends(self: Layer, x: Any) -> Any:
    self.log.append(np.sum(x))
    self.log.append({"x": x * 2})
    return np.sum(x)


def appends_and_reads(self: Layer, x: Any) -> Any:
    self.log.append(np.sum(x))
    self.log += [x[0], x[1]]
    self.log.insert(0, x)
    last = self.log.pop()
    return last + len(self.log) + self.log[-1]


def fills_a_dict(self: Layer, x: Any) -> Any:
    self.cache["new"] = x * 2
    self.cache.update(more=1, other="t")
    self.cache["old"] = self.cache["old"] + self.cache["new"]
    self.cache.setdefault("old", 1)
    if "new" in self.cache:
        self.cache["found"] = True
    return np.sum(self.cache["old"])


def drops(self: Layer, x: Any) -> Any:
    old = self.cache["old"]
    del self.cache["old"]
    self.cache["k"] = x
    self.cache.pop("k")
    self.h = x
    del self.h
    self.h = x * 3
    return np.sum(old * x) + len(self.cache)


def other_containers(self: Layer, x: Any) -> Any:
    self.recent.append(x)
    self.recent.append(x * 2)
    self.recent.append(x * 3)
    self.seen.add(4)
    self.seen |= {5, 6}
    return np.sum(self.recent[0]) + len(self.seen)


def through_a_property(self: Layer, x: Any) -> Any:
    self.state = x
    return np.sum(self.state)


def by_setattr(self: Layer, x: Any) -> Any:
    for k, v in enumerate(x):
        setattr(self, f"x{k}", v)
    return self.x0 * self.x1  # type: ignore[attr-defined]


def replaces_a_list(self: Layer, x: Any) -> Any:
    self.log = [x[0], x[1]]
    self.log.append(x[2])
    self.cache = {}
    self.cache["x"] = x
    return self.log[0] + self.log[-1]


def aliases(self: Layer, x: Any) -> Any:
    y = x * 1.0
    self.h = y
    self.log.append(y)
    y[0] = 9.0
    return np.sum(y * 2)


def keeps_a_generator(self: Layer, x: Any) -> Any:
    if self.h is None:
        self.h = np.random.default_rng(3)
    return np.sum(x * self.h.normal(size=3))


def stores_itself(self: Layer, x: Any) -> Any:
    self.me = self  # type: ignore[attr-defined]
    self.log2 = self.log  # type: ignore[attr-defined]
    return np.sum(x)


METHODS = [
    stores_an_attribute,
    reads_what_it_stored,
    counts,
    stores_nested,
    appends,
    appends_and_reads,
    fills_a_dict,
    drops,
    other_containers,
    through_a_property,
    by_setattr,
    replaces_a_list,
    aliases,
    keeps_a_generator,
    stores_itself,
]


def shown(value: Any, seen: tuple[int, ...] = ()) -> Any:
    """Return a value that compares by content, the shape and dtype of arrays among it."""
    if id(value) in seen:
        return "itself"
    seen = (*seen, id(value))
    if isinstance(value, np.ndarray):
        return ("array", str(value.dtype), value.tolist())
    if isinstance(value, np.generic | bool | int | float | str | None):
        return (type(value).__name__, value)
    if isinstance(value, dict):
        return {k: shown(v, seen) for k, v in value.items()}
    if isinstance(value, list | tuple | deque):
        return (type(value).__name__, [shown(v, seen) for v in value])
    if isinstance(value, set):
        return value
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, Inner):
        return shown(value.value)
    return shown(vars(value), seen)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("exact", [False, True])
def test_objects_hold_what_plain_python_stores(method: Any, exact: bool) -> None:
    plain, traced = Layer(), Layer()
    program = pb.compile(method, exact=exact)
    for k in range(4):
        if method is drops:
            plain.cache["old"] = traced.cache["old"] = np.ones(3) * k
        x = X * (k + 1)
        expected, found = method(plain, x), program(traced, x)
        assert type(found) is type(expected)
        np.testing.assert_allclose(found, expected, rtol=0.0 if exact else 1e-14)
        assert shown(traced) == shown(plain)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_store_too(method: Any) -> None:
    plain, traced, valued, pulled = Layer(), Layer(), Layer(), Layer()
    gradient = pb.grad(method, argnums=1)
    both = pb.value_and_grad(method, argnums=1)
    for k in range(3):
        x = X * (k + 1)
        if method is drops:
            for layer in (plain, traced, valued, pulled):
                layer.cache["old"] = np.ones(3) * k
        expected = method(plain, x)
        g = gradient(traced, x)
        value, h = both(valued, x)
        output, pull = pb.vjp(lambda x: method(pulled, x), x)
        np.testing.assert_allclose([value, output], [expected, expected])
        np.testing.assert_allclose(g, h)
        np.testing.assert_allclose(pull(1.0)[0], g)
        for layer in (traced, valued, pulled):
            np.testing.assert_equal(shown(layer), shown(plain))


def test_a_stored_array_is_the_callers() -> None:
    layer = Layer()
    program = pb.compile(stores_an_attribute)
    program(layer, X)
    first = layer.h
    program(layer, X * 2)
    np.testing.assert_array_equal(first, np.sin(X))
    first[0] = 7.0
    program(layer, X)
    np.testing.assert_array_equal(layer.h, np.sin(X))


def test_a_growing_list_is_no_reason_to_trace_anew() -> None:
    layer = Layer()
    program = pb.compile(appends)
    for _ in range(4):
        program(layer, X)
    assert len(layer.log) == 8
    assert program.cache_info().misses == 1

    def globally(x: Any) -> Any:
        history.append(x.sum())
        return x

    again = pb.compile(globally)
    history.clear()
    for k in range(4):
        again(X * k)
    assert history == [X.sum() * k for k in range(4)]
    assert again.cache_info().misses == 1
    history.clear()


# ---- variables -----------------------------------------------------------------------------------


def sets_a_global(x: Any) -> Any:
    global total, fresh_name
    total = x.sum() if total is None else total + x.sum()
    fresh_name = x
    table["x"] = fresh_name
    return x * total


def test_global_variables() -> None:
    global total
    program = pb.compile(sets_a_global)
    seen = []
    for f in (sets_a_global, program):
        total = None
        globals().pop("fresh_name", None)
        table.clear()
        results = [f(X), f(X * 2), f(X)]
        seen.append(
            ([r.tolist() for r in results], total, fresh_name.tolist(), table["x"].tolist())  # type: ignore[name-defined]
        )
    assert seen[0] == seen[1]


def counter() -> tuple[Callable[[Any], Any], Callable[[], Any]]:
    state = np.zeros(3)
    n = 0

    def step(x: Any) -> Any:
        nonlocal state, n

        def inner() -> None:
            nonlocal n
            n += 1

        inner()
        state = state + x
        state, twice = state * 1.0, state * 2.0
        return twice.sum() + n

    return step, lambda: (state.tolist(), n)


def test_variables_of_an_enclosing_function() -> None:
    plain, of_plain = counter()
    traced, of_traced = counter()
    program = pb.compile(traced)
    gradient = pb.grad(traced)
    for k in range(3):
        assert plain(X * k) == program(X * k)
        assert of_plain() == of_traced()
    plain(X)
    gradient(X)
    assert of_plain() == of_traced()


# ---- containers among the arguments --------------------------------------------------------------


def fills_arguments(params: Any, log: Any, x: Any) -> Any:
    params["h"] = x * params["w"]
    params["layers"][0] = params["h"] + 1
    params["layers"].append(x)
    log.append(np.sum(x))
    params["record"].n = 5
    params["record"].a = params["record"].a * 2
    params["record"].items.append(x)
    return np.sum(params["layers"][0]) + len(log)


def make_arguments() -> tuple[Any, Any]:
    return {"w": np.full(3, 2.0), "layers": [np.zeros(3)], "record": Record(np.ones(3))}, []


def plainly(value: Any) -> Any:
    return shown(value)


def test_containers_among_the_arguments() -> None:
    plain, traced = make_arguments(), make_arguments()
    before = traced[0]["layers"]
    program = pb.compile(fills_arguments)
    for _ in range(2):
        np.testing.assert_allclose(program(*traced, X), fills_arguments(*plain, X))
        assert shown(traced) == shown(plain)
    assert traced[0]["layers"] is before


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: pb.value_and_grad(f, argnums=2),
        lambda f: pb.grad(f, argnums=2),
    ],
)
def test_derivatives_leave_containers_among_the_arguments(transform: Any) -> None:
    untouched, arguments = make_arguments(), make_arguments()
    for _ in range(2):
        transform(fills_arguments)(*arguments, X)
        assert shown(arguments) == shown(untouched)


def test_keyword_arguments() -> None:
    def f(x: Any, *, out: Any) -> Any:
        out["y"] = x * 2
        return x

    out: dict[str, Any] = {}
    pb.compile(f)(X, out=out)
    np.testing.assert_array_equal(out["y"], X * 2)


# ---- all or nothing ------------------------------------------------------------------------------


def test_nothing_is_stored_where_the_program_raises() -> None:
    def f(self: Layer, x: Any) -> Any:
        self.h = x[0]
        self.log.append(x[1])
        self.h = np.linalg.inv(x)
        return self.h

    layer = Layer()
    program = pb.compile(f, exact=True)
    for _ in range(2):
        with pytest.raises(np.linalg.LinAlgError):
            program(layer, np.zeros((2, 2)))
        assert layer.h is None
        assert layer.log == []
    program(layer, np.eye(2))
    np.testing.assert_array_equal(layer.h, np.eye(2))


def test_nothing_is_stored_where_tracing_raises() -> None:
    def f(self: Layer, x: Any) -> Any:
        global total
        self.h = x
        self.log.append(x)
        self.log[0] = x * 2
        self.cache["old"] = x
        total = x
        del self.calls
        return x @ np.ones(7)

    global total
    total = "before"
    layer = Layer()
    before = copy.deepcopy(shown(layer))
    for transform in (pb.compile, lambda f: pb.grad(f, argnums=1)):
        with pytest.raises(ValueError):  # noqa: PT011
            transform(f)(layer, X)
        assert shown(layer) == before
        assert total == "before"
    pb.compile(stores_an_attribute).inspect(layer, X)
    assert shown(layer) == before


class Guarded:
    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


class Opaque:
    def __init__(self, value: Any) -> None:
        self.value = value


OWNER = Layer()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: setattr(OWNER, "h", Opaque(x)),
        lambda x: setattr(OWNER, "h", lambda: x),
        lambda x: setattr(OWNER, "h", f"{x}"),
        lambda x: history.append(iter([x])),
        lambda x: vars(OWNER).update(h=x),
        lambda x: OWNER.__dict__.__setitem__("h", x),
        lambda x: pb.scan(lambda c, r: (history.append(r), (c, c))[1], 0.0, x),
        lambda x: pb.grad(lambda y: (history.append(y), y.sum())[1])(x),
        lambda x: history.sort(key=lambda v: v + x[0]),
        lambda x: pb.grad(lambda y, d: (d.update(h=y), y.sum())[1])(x, {"k": x}),
        lambda x: pb.vjp(lambda d: (d["l"].append(x), d["k"])[1], {"k": x, "l": []}),
    ],
)
def test_what_could_not_be_stored_again_is_refused(function: Any) -> None:
    before = shown(OWNER)
    with pytest.raises(pb.UnsupportedError):
        pb.compile(function)(X)
    assert shown(OWNER) == before
    assert history == []


def test_an_own_setattr_is_refused() -> None:
    def f(self: Any, x: Any) -> Any:
        self.h = x
        return x

    with pytest.raises(pb.UnsupportedError, match="__setattr__"):
        pb.compile(f)(Guarded(), X)


def test_objects_of_the_functions_own_are_its_own() -> None:
    def f(x: Any) -> Any:
        layer = Layer()
        layer.h = x * 2
        layer.log.append(x)
        layer.cache["x"] = layer.h
        del layer.cache["old"]
        mine: list[Any] = []
        mine.append(layer.h)
        mine += [x]
        return mine[0] + layer.log[0] + layer.cache["x"] + len(mine)

    np.testing.assert_array_equal(pb.compile(f)(X), f(X))

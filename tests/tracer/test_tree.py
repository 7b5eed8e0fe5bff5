"""Containers: flattening, signatures, building again; as arguments, results and gradients."""

from __future__ import annotations

import collections
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

import pullback as pb
from pullback.tracer.tree import (
    LEAF,
    Node,
    Static,
    flatten,
    map_leaves,
    paths,
    scan,
    unflatten,
    unflattener,
)

A = np.array([1.0, 2.0, 3.0])
B = np.array([[1.0, 2.0], [3.0, 4.0]])


class Pair(NamedTuple):
    """A namedtuple."""

    w: Any
    b: Any = None


@dataclass
class Layer:
    """A dataclass."""

    w: Any
    b: Any


@dataclass(frozen=True)
class Frozen:
    """A frozen dataclass with static fields."""

    w: Any
    name: str = "dense"
    inner: Layer | None = None
    tags: list[Any] = field(default_factory=list)


class Registered:
    """A class that is registered as a container."""

    def __init__(self, w: Any, kind: str) -> None:
        self.w = w
        self.kind = kind

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registered) and (self.kind, self.w is other.w) == (
            other.kind,
            True,
        )

    __hash__ = None  # type: ignore[assignment]


pb.register_container(Registered, lambda r: ([r.w], r.kind), lambda kind, ws: Registered(*ws, kind))

VALUES: dict[str, Any] = {
    "array": A,
    "float": 1.5,
    "complex": 1.5j,
    "scalar": np.float32(2.0),
    "tuple": (A, B),
    "list": [A, B],
    "dict": {"w": A, "b": B},
    "dict of tuples": {"w": (A, [B]), 3: {"deep": (B,)}},
    "empty tuple": ((), A),
    "empty list": ([], A),
    "empty dict": ({}, A),
    "none": (None, A),
    "static": (A, 3, True, "relu", None),
    "namedtuple": Pair(A, B),
    "namedtuple in a list": [Pair(A), Pair((A, B), 2)],
    "dataclass": Layer(A, B),
    "frozen dataclass": Frozen(A, "conv", Layer(B, 1.0), [A, "x"]),
    "registered": Registered(A, "k"),
    "registered in a dict": {"r": [Registered(A, "k"), 1]},
}
each = pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)


def leaves_of(value: Any) -> list[Any]:
    leaves: list[Any] = []
    flatten(value, leaves)
    return leaves


def key_of(value: Any) -> tuple[Any, ...]:
    key: list[Any] = []
    scan(value, [], [], key)
    return tuple(key)


def equal(a: Any, b: Any) -> bool:
    """Whether two containers have one structure, types included, and equal leaves."""
    first: list[Any] = []
    second: list[Any] = []
    if flatten(a, first) != flatten(b, second):
        return False
    return all(
        type(x) is type(y) and np.array_equal(x, y) for x, y in zip(first, second, strict=True)
    )


@each
def test_unflatten_inverts_flatten(value: Any) -> None:
    leaves: list[Any] = []
    structure = flatten(value, leaves)
    for build in (lambda s, ls: unflatten(s, iter(ls)), lambda s, ls: unflattener(s)(ls)):
        made = build(structure, leaves)
        assert type(made) is type(value)
        assert equal(made, value)
        assert all(x is y for x, y in zip(leaves_of(made), leaves, strict=True))


@each
def test_scan_finds_the_leaves_of_flatten_and_paths(value: Any) -> None:
    leaves: list[Any] = []
    scan(value, leaves, [], [])
    assert all(x is y for x, y in zip(leaves, leaves_of(value), strict=True))
    assert all(x is y for x, (_, y) in zip(leaves, paths(value, "p"), strict=True))


@each
def test_keys_are_hashable_and_stable(value: Any) -> None:
    assert hash(key_of(value)) == hash(key_of(map_leaves(lambda leaf: leaf * 1, value)))
    assert key_of(value) == key_of(value)


def test_different_values_have_different_keys() -> None:
    others: list[Any] = [
        *VALUES.values(),
        (A, 2), (A, 2.0), (A, True), (A, 1), (A, "1"), (A, None), (A,), [A], {"w": A}, {"v": A},
        A.astype(np.float32), A.astype(">f8"), A[None], A[::-1], np.ones((3, 2)).T, ((), (), A),
        (((),), A), np.float64(1.0), np.int64(1), 1, True, Pair(A, None), Pair(None, A),
        (A, A),
        Layer(A, None), Frozen(A, "a"), Frozen(A, "b"), Registered(A, "a"), Registered(A, "b"),
    ]  # fmt: skip
    keys = [key_of(v) for v in others]
    for number, key in enumerate(keys):
        assert keys.index(key) == number, f"{others[number]!r} has the key of another"


def test_negative_zero_is_another_static_value() -> None:
    function = pb.compile(lambda x, s: np.copysign(x, s), static_argnums=1)
    np.testing.assert_array_equal(function(A, 0.0), A)
    np.testing.assert_array_equal(function(A, -0.0), -A)


def test_static_values_of_other_types_are_told_apart() -> None:
    function = pb.compile(lambda n, s: np.array(n)[()] * s[0], static_argnums=1)
    assert function(np.int64(2), (1,)).dtype == np.int64
    assert function(np.int64(2), (1.0,)).dtype == np.float64
    assert function.cache_info().misses == 2


def test_structures_show_their_shape() -> None:
    assert repr(flatten({"w": (A, [B]), "n": 3}, [])) == "{'w': (*, [*]), 'n': 3}"
    assert repr(flatten(Pair(A, "s"), [])) == "Pair(*, 's')"
    assert flatten(A, []) is LEAF
    assert flatten((), []) == Node(tuple, 0, ())
    assert flatten(3, []) == Static(3)
    assert Static(1) != Static(True)
    assert Static(1) != Static(1.0)


def test_paths_are_the_users_expressions() -> None:
    value = {"w": (A, [B]), 3: Pair(A, Layer(A, B)), "r": Registered(A, "k")}
    assert [p for p, _ in paths(value, "p")] == [
        "p['w'][0]",
        "p['w'][1][0]",
        "p[3].w",
        "p[3].b.w",
        "p[3].b.b",
        "p['r'][0]",
    ]


def test_a_class_is_registered_once() -> None:
    for cls in (Registered, tuple, dict):
        with pytest.raises(pb.ArgumentError, match="is a container already"):
            pb.register_container(cls, lambda x: ([], None), lambda static, children: None)


# ---- through a call ----------------------------------------------------------------------------


@each
def test_a_container_comes_back(value: Any) -> None:
    function = pb.compile(lambda v: v)
    for _ in range(2):
        made = function(value)
        assert type(made) is type(value)
        assert equal(made, value)
    assert function.cache_info()[:2] == (1, 1)


@each
def test_a_new_container_is_made(value: Any) -> None:
    def twice(v: Any) -> Any:
        return {"out": map_leaves(lambda leaf: leaf + leaf, v), "n": 3, "s": "text", "none": None}

    wanted = twice(value)
    made = pb.compile(twice)(value)
    assert equal(made, wanted)
    assert pb.compile(twice)(value)["out"] is not made["out"] or not leaves_of(made["out"])


GRADIENTS = {k: v for k, v in VALUES.items() if k not in ("static", "namedtuple in a list")}


@pytest.mark.parametrize("value", GRADIENTS.values(), ids=GRADIENTS)
def test_a_gradient_has_the_structure_of_its_argument(value: Any) -> None:
    if key_of(value) == key_of(VALUES["registered in a dict"]):
        value = {"r": [Registered(A, "k"), 1.0]}  # an int would be refused

    def loss(v: Any) -> Any:
        return sum([np.sum(np.real(leaf * leaf)) for leaf in leaves_of(v)])

    gradient = pb.grad(loss)(value)
    assert flatten(gradient, []) == flatten(value, [])
    for slope, leaf in zip(leaves_of(gradient), leaves_of(value), strict=True):
        np.testing.assert_allclose(slope, 2 * leaf)
        assert np.shape(slope) == np.shape(leaf)
        assert np.result_type(slope) == np.result_type(leaf)


def test_integers_in_a_gradient_are_zeros_on_request() -> None:
    value = {"w": A, "steps": np.arange(3), "flag": np.True_}
    loss = pb.grad(lambda v: np.sum(v["w"] * v["steps"]), allow_int=True)
    gradient = loss(value)
    np.testing.assert_array_equal(gradient["w"], [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(gradient["steps"], [0, 0, 0])
    assert gradient["flag"] == 0


def test_one_structure_is_one_program() -> None:
    function = pb.compile(lambda p: p["a"] + p["b"][0])
    calls: list[Callable[[], Any]] = [
        lambda: function({"a": A, "b": [A]}),
        lambda: function({"a": A * 2, "b": [A + 1]}),
        lambda: function({"a": A, "b": (A,)}),
        lambda: function({"b": [A], "a": A}),
        lambda: function({"a": A, "b": [A, A]}),
        lambda: function({"a": A, "b": [2.0]}),
        lambda: function({"a": A, "b": [3.0]}),
    ]
    for call in calls:
        call()
    assert function.cache_info()[:2] == (2, 5)


def test_a_subclass_of_dict_is_an_object() -> None:
    value = collections.OrderedDict(w=A)
    np.testing.assert_array_equal(pb.compile(lambda v: v["w"] * 2)(value), A * 2)


def test_dicts_of_other_classes_are_told_apart() -> None:
    def f(x: Any, v: Any) -> Any:
        return np.sum(x) * (2.0 if isinstance(v, collections.Counter) else 1.0) * v["w"]

    found = pb.grad(f)
    for make, slope in ((collections.OrderedDict, 3.0), (collections.Counter, 6.0), (dict, 3.0)):
        np.testing.assert_array_equal(found(A, make(w=3)), np.full(3, slope))

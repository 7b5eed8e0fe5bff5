"""Trees: what is a leaf, what fits, and vectors that become trees again."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pullback as pb
from pullback.ir.errors import ArgumentError, DTypeError, StructureError

Pair = namedtuple("Pair", "left right")


@dataclass
class Layer:
    w: Any
    b: Any = None


@dataclass
class Named:
    w: Any
    name: ClassVar[str] = "named"


class Bag:
    def __init__(self, *items: Any) -> None:
        self.items = items


pb.register_container(Bag, lambda bag: (bag.items, "bag"), lambda static, items: Bag(*items))

TREE = {
    "layers": [Layer(np.ones((2, 3), np.float32), np.zeros(3)), Layer(np.arange(2))],
    "pair": Pair((1.5, None), np.float32(2)),
}


def test_leaves_and_structure():
    leaves, structure = pb.tree.flatten(TREE)
    assert [np.shape(leaf) for leaf in leaves] == [(2, 3), (3,), (2,), (), ()]
    assert repr(structure) == (
        "{'layers': [Layer(*, *), Layer(*, None)], 'pair': Pair((*, None), *)}"
    )
    again = pb.tree.unflatten(structure, [1, 2, 3, 4, 5])
    assert again["layers"] == [Layer(1, 2), Layer(3, None)]
    assert again["pair"] == Pair((4, None), 5)
    assert pb.tree.structure(again) == structure
    assert pb.tree.structure([1]) != pb.tree.structure((1,))


def test_ints_and_strings_are_leaves_and_none_is_not():
    assert pb.tree.leaves([1, True, "a", None, ()]) == [1, True, "a"]
    assert pb.tree.leaves(None) == []
    assert pb.tree.leaves(3) == [3]


def test_registered_classes():
    bag = pb.tree.map(lambda x: 2 * x, Bag(1, [2, 3]))
    assert isinstance(bag, Bag)
    assert bag.items == (2, [4, 6])


def test_is_leaf():
    def is_pair(x: Any) -> bool:
        return isinstance(x, tuple)

    assert pb.tree.leaves([(1, 2), 3], is_leaf=is_pair) == [(1, 2), 3]
    assert pb.tree.map(lambda x: np.size(x), [(1, 2), 3], is_leaf=is_pair) == [2, 1]


def test_map_of_several_trees_matches_keys_and_hands_over_what_is_deeper():
    first, second = {"a": 1, "b": (2, 3)}, {"b": (20, 30), "a": 10}
    assert pb.tree.map(lambda x, y: x + y, first, second) == {"a": 11, "b": (22, 33)}
    assert pb.tree.map(lambda x, y: y, [0, 0], [{"deep": 1}, None]) == [{"deep": 1}, None]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"a": 1}, "`tree 2` lacks the key 'b', and the first tree has it"),
        ({"a": 1, "b": [1, 2], "c": 3}, "`tree 2` has the key 'c', and the first tree has not"),
        ({"a": 1, "b": [1]}, r"`tree 2\['b'\]` has the length 1, and the first tree has 2 there"),
        ({"a": 1, "b": (1, 2)}, r"`tree 2\['b'\]` is a tuple, and the first tree has a list"),
        ({"a": 1, "b": np.ones(2)}, r"`tree 2\['b'\]` is an array of shape \(2,\)"),
        (None, "`tree 2` is None, and the first tree has a dict there"),
        (3, "`tree 2` is an int"),
    ],
)
def test_what_does_not_fit_is_named(other, message):
    with pytest.raises(StructureError, match=message):
        pb.tree.map(lambda x, y: x, {"a": 1, "b": [2, 3]}, other)


def test_paths_go_through_fields():
    layers = [Layer(1, Pair(2, 3))]
    with pytest.raises(StructureError, match=r"`tree 2\[0\].b.right` is an int, .* None there"):
        pb.tree.map(lambda x, y: x, [Layer(1, Pair(2, None))], layers)
    with pytest.raises(StructureError, match=r"`tree 2\[0\].b` is a tuple, .* a Pair there"):
        pb.tree.map(lambda x, y: x, layers, [Layer(1, (2, 3))])


def test_unflatten_counts():
    structure = pb.tree.structure([1, (2, None)])
    with pytest.raises(StructureError, match="has 2 leaves, and it was given 3"):
        pb.tree.unflatten(structure, [1, 2, 3])


def test_reduce_and_all():
    assert pb.tree.reduce(lambda a, b: a - b, [10, (1, {"x": 2})]) == 7
    assert pb.tree.reduce(lambda a, b: a + b, None, 5) == 5
    assert pb.tree.all([True, np.ones(3)])
    assert not pb.tree.all([True, np.array([1, 0])])
    assert pb.tree.all(None) is True


def test_ravel_gives_each_leaf_its_shape_dtype_and_kind_back():
    vector, unravel = pb.tree.ravel(TREE)
    assert vector.dtype == np.float64
    assert vector.shape == (6 + 3 + 2 + 1 + 1,)
    again = unravel(vector)
    assert pb.tree.structure(again) == pb.tree.structure(TREE)
    for old, new in zip(pb.tree.leaves(TREE), pb.tree.leaves(again), strict=True):
        assert type(old) is type(new)
        assert np.asarray(old).dtype == np.asarray(new).dtype
        np.testing.assert_array_equal(old, new)
    with pytest.raises(StructureError, match=r"takes a vector of 13 entries, .* \(12,\)"):
        unravel(vector[1:])


def test_ravel_of_numbers_of_python():
    vector, unravel = pb.tree.ravel({"i": 3, "b": True, "z": 1j})
    again = unravel(vector)
    assert again == {"i": 3, "b": True, "z": 1j}
    assert [type(v) for v in again.values()] == [int, bool, complex]
    empty, build = pb.tree.ravel({"none": None})
    assert build(empty) == {"none": None}


def test_ravel_refuses_what_is_no_number():
    with pytest.raises(StructureError, match="leaf 1 is a str of no numbers"):
        pb.tree.ravel([1.0, "a"])


trees = st.recursive(
    st.none() | st.integers(-9, 9) | st.floats(-9, 9).map(np.float32),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(trees)
def test_ravel_round_trip(tree):
    vector, unravel = pb.tree.ravel(tree)
    again = unravel(vector)
    assert pb.tree.structure(again) == pb.tree.structure(tree)
    assert pb.tree.leaves(again) == pb.tree.leaves(tree)


# ---- inside a trace ------------------------------------------------------------------------------


def test_all_of_it_is_traced():
    def f(tree: Any) -> Any:
        vector, unravel = pb.tree.ravel(pb.tree.map(np.sin, tree))
        total = pb.tree.reduce(lambda a, b: a + np.sum(b), tree, 0.0)
        return unravel(total * vector), pb.tree.all(tree), len(pb.tree.leaves(tree))

    tree = {"w": np.linspace(0, 1, 6).reshape(2, 3), "b": Pair(0.5, np.float32(2))}
    expected, found = f(tree), pb.compile(f)(tree)
    assert pb.tree.structure(expected) == pb.tree.structure(found)
    for old, new in zip(pb.tree.leaves(expected), pb.tree.leaves(found), strict=True):
        assert type(old) is type(new)
        np.testing.assert_allclose(old, new, rtol=1e-6)


def test_gradient_through_a_vector():
    def f(tree: Any) -> Any:
        vector, unravel = pb.tree.ravel(tree)
        return np.sum(unravel(vector * vector)["w"]) + vector[-1]

    grads = pb.grad(f)({"w": np.array([[1.0, 2.0]], np.float32), "b": 3.0})
    np.testing.assert_array_equal(grads["w"], np.array([[2, 4]], np.float32))
    assert grads["w"].dtype == np.float32
    assert grads["b"] == 1.0


def test_map_calls_the_traced_form_of_a_function():
    shift = np.array([1.0, 2.0])

    def branching(x: Any) -> Any:
        if np.sum(x) > 0:
            return np.array([x[0], x[1]]) * shift
        return x

    f = pb.compile(lambda tree: pb.tree.map(branching, tree))
    tree = {"a": np.array([1.0, 1.0]), "b": np.array([-1.0, -1.0])}
    for _ in range(2):
        found = f(tree)
        np.testing.assert_array_equal(found["a"], [1, shift[1]])
        np.testing.assert_array_equal(found["b"], [-1, -1])
        shift[1] = 5.0  # read again at every call


def test_fields_of_an_object_outside_are_read_at_every_call():
    layer = Layer(np.ones(2), 1.0)
    f = pb.compile(lambda x: x + pb.tree.ravel(layer)[0])
    np.testing.assert_array_equal(f(0.0), [1, 1, 1])
    layer.w, layer.b = np.zeros(2), 5.0
    np.testing.assert_array_equal(f(0.0), [0, 0, 5])


@pytest.mark.parametrize("make", [Bag, Named, Layer])
def test_arrays_of_an_object_outside_are_inputs(make):
    held = make(np.ones(2))
    f = pb.compile(lambda x: x * sum(np.sum(a) for a in pb.tree.leaves(held)))
    assert f(2.0) == 4
    if isinstance(held, Bag):
        held.items = (np.zeros(2),)
    else:
        held.w = np.zeros(2)
    assert f(2.0) == 0
    assert f.cache_info().misses == 1


def test_map_in_a_loop():
    def f(tree: Any) -> Any:
        for _ in range(3):
            tree = pb.tree.map(lambda x: x * x, tree)
        return pb.global_norm(tree)

    tree = [np.array([0.9, 0.8]), np.array([1.1])]
    np.testing.assert_allclose(pb.compile(f)(tree), f(tree))
    pb.check_grads(f, (tree,), order=1)


# ---- norms and clips -----------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True])
def test_clip_by_global_norm(compiled):
    clip = pb.compile(pb.clip_by_global_norm) if compiled else pb.clip_by_global_norm
    tree = {"w": np.array([3.0, 0.0], np.float32), "b": -4.0}
    clipped = clip(tree, 2.0)
    np.testing.assert_allclose(clipped["w"], [1.2, 0], rtol=1e-6)
    assert clipped["w"].dtype == np.float32
    assert type(clipped["b"]) is float
    assert clipped["b"] == pytest.approx(-1.6)
    same = clip(tree, 10.0)
    np.testing.assert_array_equal(same["w"], tree["w"])
    assert same["b"] == -4.0


def test_norm_and_clip_at_zero():
    zeros = [np.zeros(3), np.zeros((2, 2), np.float32)]
    for function in (pb.global_norm, lambda t: np.sum(pb.clip_by_global_norm(t, 1.0)[0] ** 2)):
        value, grads = pb.value_and_grad(function)(zeros)
        assert value == 0
        for grad in grads:
            np.testing.assert_array_equal(grad, 0 * grad)
    assert pb.global_norm(zeros[1:]).dtype == np.float32
    assert pb.global_norm(None) == 0


def test_global_norm_is_the_norm_of_the_vector():
    tree = [np.array([1.0, -2.0]), (3, np.array([[1 + 2j]]))]
    assert pb.global_norm(tree) == pytest.approx(np.linalg.norm(pb.tree.ravel(tree)[0]))
    pb.check_grads(pb.global_norm, ([np.array([1.0, -2.0]), 3.0],))
    pb.check_grads(lambda t: pb.global_norm(pb.clip_by_value(t, -1.5, 1.5)), ([np.ones(3), 2.0],))


def test_clip_by_value():
    tree = [np.array([-2.0, 0.5], np.float32), 7]
    low, seven = pb.clip_by_value(tree, None, 1.0)
    np.testing.assert_array_equal(low, tree[0])
    assert low.dtype == np.float32
    assert seven == 1
    np.testing.assert_array_equal(pb.clip_by_value(tree, -1.0, 1.0)[0], [-1, 0.5])


def test_what_cannot_be_clipped():
    with pytest.raises(ArgumentError, match="a positive norm, not 0"):
        pb.clip_by_global_norm([1.0], 0)
    with pytest.raises(DTypeError, match=r"`tree\['w'\]` is a str"):
        pb.clip_by_value({"w": "a"}, 0, 1)
    with pytest.raises(DTypeError, match=r"`tree\[0\]` is a str"):
        pb.global_norm(["a"])

"""Objects whose arrays are no leaves are refused where a derivative would pass over them."""

from __future__ import annotations

import enum
from collections import OrderedDict, UserList, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb


class Holder:
    def __init__(self, w: Any) -> None:
        self.w = w


class Mode(enum.Enum):
    FAST = 1


def square(p: Any) -> Any:
    return np.sum(p["a"] ** 2) + np.sum(p["o"]["b"] ** 3)


MIXED = {"a": np.ones(2), "o": OrderedDict(b=np.ones(2))}
MOVES = {"a": np.ones(2), "o": OrderedDict(b=np.ones(2))}


@pytest.mark.parametrize(
    "derivative",
    [
        pb.grad(square),
        pb.grad(square, allow_int=True),
        pb.value_and_grad(square),
        pb.hessian(square),
        pb.jacobian(square),
        pb.sparse_jacobian(lambda p: p["a"] * p["o"]["b"]),
        lambda p: pb.vjp(square, p),
        lambda p: pb.hvp(square, (p,), ({"a": np.ones(2), "o": None},)),
        pb.compile(pb.grad(square)),
        pb.health(square),
        lambda p: pb.check_grads(lambda q: square(q), (p,)),
    ],
)
def test_no_derivative_passes_over_arrays(derivative: Callable[..., Any]) -> None:
    path = r"(p|q|args_0|primals\[0\])\['o'\]"
    message = (
        f"cannot differentiate with respect to `{path}`: it is an OrderedDict, which is no "
        rf"container of arrays\.\n  Pass dict\({path}\), or make OrderedDict a container: "
        r"pb\.register_container\(OrderedDict, flatten, unflatten\)"
    )
    with pytest.raises(pb.DifferentiationError, match=message):
        derivative(MIXED)


@pytest.mark.parametrize(
    ("value", "shown", "instead"),
    [
        (defaultdict(float, b=np.ones(2)), "a defaultdict", r"dict\(p\)"),
        (UserList([np.ones(2)]), "a UserList", r"list\(p\)"),
        (Holder(np.ones(2)), "a Holder", "its arrays in a dict"),
    ],
)
def test_each_kind_of_object_has_its_advice(value: Any, shown: str, instead: str) -> None:
    found = f"`p`: it is {shown}, which is no container of arrays"
    with pytest.raises(pb.DifferentiationError, match=f"(?s)respect to {found}.*Pass {instead}"):
        pb.grad(lambda p: np.sum(p["b"]))(value)
    error = pb.ArgumentError if isinstance(value, Holder) else pb.StructureError
    with pytest.raises(error, match=f"(?s)axis of {found}.*Pass {instead}"):
        pb.vmap(lambda p: p["b"])(value)


def test_examples_are_not_hidden_in_an_object() -> None:
    with pytest.raises(pb.StructureError, match=r"maps no axis of `p\['o'\]`: it is an Ordered"):
        pb.vmap(square)(MIXED)
    shared = pb.vmap(square, in_axes=({"a": 0, "o": None},))(MIXED)
    np.testing.assert_allclose(shared, [3.0, 3.0])


def test_a_tangent_moves_what_is_a_container_alone() -> None:
    with pytest.raises(pb.StructureError, match=r"(?s)an OrderedDict, which is static.*dict\(x\)"):
        pb.jvp(square, (MIXED,), (MOVES,))
    _, moved = pb.jvp(square, (MIXED,), ({"a": np.ones(2), "o": None},))
    assert moved == 4.0


def test_what_holds_no_arrays_may_lie_among_parameters() -> None:
    def loss(p: Any) -> Any:
        return np.sum(p["f"](p["w"])) if p["mode"] is Mode.FAST else 0.0

    p = {"w": np.zeros(2), "f": np.sin, "g": square, "mode": Mode.FAST, "tags": {"a"}, "n": None}
    found = pb.grad(loss)(p)
    np.testing.assert_array_equal(found["w"], [1.0, 1.0])
    assert found["mode"] is Mode.FAST


def test_an_object_that_is_not_differentiated_is_read() -> None:
    holder = Holder(np.array([2.0, 3.0]))
    energy = pb.grad(lambda model, x: np.sum(model.w * x), argnums=1)
    np.testing.assert_array_equal(energy(holder, np.ones(2)), [2.0, 3.0])
    each = pb.vmap(lambda model, x: np.sum(model.w * x))
    np.testing.assert_array_equal(each(holder, np.ones((2, 2))), [5.0, 5.0])

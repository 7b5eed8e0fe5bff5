"""`einsum` as products: equal values for every form, the same memory, and nothing in exact mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback as pb
from pullback.ir.core import Function, walk
from pullback.ir.ops.contract import contract
from pullback.ir.ops.einsum import Einsum
from pullback.ir.ops.pairing import cheapest_order
from pullback.ir.verify import verify

SIZES = dict(zip("abcdijklnhwoqs", (2, 3, 4, 2, 3, 4, 5, 2, 3, 4, 3, 2, 5, 3), strict=True))
FORMS = [
    "ij,jk->ik",
    "ij,jk->ki",
    "ij,kj",
    "aij,ajk->aik",
    "aij,jk->ika",
    "aqhk,ashk->ahqs",
    "ahqs,ashk->aqhk",
    "nchwij,ocij->nohw",
    "ij,ij->",
    "ij,ij->i",
    "ij,ij->j",
    "i,j->ji",
    "ij->j",
    "ij->",
    "iji->j",
    "ii->",
    "ii,ij->j",
    "ij,jk,kl->il",
    "ij,jk,kl->li",
    "i,ij,j->",
    "ij,ik,jl->kl",
    "ij,jk,kl,la,ab->ib",
    "...ij,...jk->...ik",
    "a...,a...->...",
]


def operand(labels: str, dtype: Any, rng: Any) -> np.ndarray:
    shape = [SIZES[c] for c in labels.replace("...", "bc")]
    found = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        found = found + 1j * rng.standard_normal(shape)
    if np.dtype(dtype).kind == "i":
        found = 10 * found
    # Not contiguous: the axes lie in memory in reverse.
    return found.astype(dtype).T.copy().T


def einsums(function: Function) -> int:
    return sum(isinstance(e.op, Einsum) and not e.op.is_view for e in walk(function))


def close(found: Any, expected: Any, dtype: Any) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    tolerance = 1e-4 if np.dtype(dtype).char in "fF" else 1e-12
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
@pytest.mark.parametrize("form", FORMS)
def test_products_compute_what_einsum_does(form: str, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    args = [operand(of, dtype, rng) for of in form.split("->")[0].split(",")]
    f = pb.compile(lambda *args: np.einsum(form, *args))
    expected = np.einsum(form, *args)
    close(f(*args), expected, dtype)
    assert np.shape(expected) == () or f(*args).strides == expected.strides
    optimized = f.inspect(*args).optimized
    verify(optimized)
    assert einsums(optimized) == 0
    exact = pb.compile(lambda *args: np.einsum(form, *args), exact=True)
    np.testing.assert_array_equal(exact(*args), expected)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_to_the_second_order(form: str) -> None:
    rng = np.random.default_rng(1)
    args = tuple(operand(of, "f8", rng) for of in form.split("->")[0].split(","))

    def f(*args: Any) -> Any:
        return np.sum(np.sin(np.einsum(form, *args)))

    pb.check_grads(f, args, order=2)


@pytest.mark.parametrize("dtype", ["i8", "i4", "?"])
def test_integers_stay(dtype: str) -> None:
    rng = np.random.default_rng(0)
    args = [operand(of, dtype, rng) for of in ("ij", "jk")]
    f = pb.compile(lambda a, b: np.einsum("ij,jk->ik", a, b))
    np.testing.assert_array_equal(f(*args), np.einsum("ij,jk->ik", *args))
    assert einsums(f.inspect(*args).optimized) == 1


@pytest.mark.parametrize("shapes", [((0, 3), (3, 2)), ((2, 0), (0, 2)), ((1, 3), (3, 1))])
def test_empty_and_single_axes(shapes: Any) -> None:
    args = [np.ones(shape) for shape in shapes]
    f = pb.compile(lambda a, b: np.einsum("ij,jk->ik", a, b))
    np.testing.assert_array_equal(f(*args), np.einsum("ij,jk->ik", *args))


def test_axes_of_size_one_broadcast_and_dtypes_mix() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((4, 1)), rng.standard_normal((4, 5)).astype("f4")
    for form in ("ij,ij->ij", "ij,ij->i", "ij,ij->j", "ij,kj->ik"):
        f = pb.compile(lambda a, b, form=form: np.einsum(form, a, b), static_argnames="form")
        close(f(a, b), np.einsum(form, a, b), "f4")


def test_results_that_share_memory_go_on_sharing_it() -> None:
    def f(a: Any, b: Any) -> Any:
        y = np.einsum("aqhk,ashk->ahqs", a, b)
        return y, y.reshape(-1), y[1], np.tanh(y), y.T

    rng = np.random.default_rng(0)
    args = [rng.standard_normal(s) for s in ((2, 5, 4, 3), (2, 6, 4, 3))]
    expected, found = f(*args), pb.compile(f)(*args)
    for a, b in zip(expected, found, strict=True):
        assert a.strides == b.strides
        np.testing.assert_allclose(a, b, rtol=1e-12)
    shared = [[np.shares_memory(x, y) for x in r] for r in (expected, found) for y in r]
    assert shared[:5] == shared[5:]


def test_einsums_in_loops_and_branches() -> None:
    def f(w: Any, xs: Any) -> Any:
        h = np.zeros((3, 4))
        for x in xs:
            h = np.tanh(np.einsum("ij,jk->ik", h, w) + x)
            if np.einsum("ij,ij->", h, h) > 4.0:
                h = np.einsum("ij,kj->ik", h, w)
        return np.einsum("ij,ij->", h, h)

    rng = np.random.default_rng(0)
    args = (rng.standard_normal((4, 4)), rng.standard_normal((6, 3, 4)))
    np.testing.assert_allclose(pb.compile(f)(*args), f(*args), rtol=1e-12)
    assert einsums(pb.grad(f).inspect(*args).optimized) == 0
    pb.check_grads(f, args, order=1)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_contraction_of_two_is_right_in_every_memory_order(data: st.DataObject) -> None:
    one = data.draw(st.permutations("abcd"))[: data.draw(st.integers(1, 4))]
    two = data.draw(st.permutations("abcd"))[: data.draw(st.integers(1, 4))]
    known = sorted({*one, *two})
    into = data.draw(st.permutations(known))[: data.draw(st.integers(0, len(known)))]
    rng = np.random.default_rng(0)

    def array(labels: Any) -> np.ndarray:
        order = data.draw(st.permutations(range(len(labels))))
        made = rng.standard_normal([SIZES[labels[k]] for k in order])
        return made.transpose(np.argsort(order))

    a, b = array(one), array(two)
    left, right, out = "".join(one), "".join(two), "".join(into)
    found = contract((a, left), (b, right), out)
    np.testing.assert_allclose(found, np.einsum(f"{left},{right}->{out}", a, b), atol=1e-12)


@given(st.lists(st.integers(1, 30), min_size=4, max_size=6))
def test_the_order_of_a_chain_is_the_cheapest(sizes: list[int]) -> None:
    names = "abcdef"[: len(sizes)]
    labels = [names[k : k + 2] for k in range(len(sizes) - 1)]
    known = dict(zip(names, sizes, strict=True))
    into = names[0] + names[-1]

    def flops(order: Any) -> tuple[int, str]:
        if isinstance(order, int):
            return 0, labels[order]
        (m, left), (n, right) = map(flops, order)
        if left[1] != right[0]:
            left, right = right, left
        cost = known[left[0]] * known[left[1]] * known[right[1]]
        return m + n + cost, left[0] + right[1]

    def cheapest(i: int, j: int) -> int:
        if i == j:
            return 0
        return min(
            cheapest(i, k)
            + cheapest(k + 1, j)
            + known[names[i]] * known[names[k + 1]] * known[names[j + 1]]
            for k in range(i, j)
        )

    order = cheapest_order(labels, into, known, 10**9)
    assert order is not None
    assert flops(order)[0] <= cheapest(0, len(labels) - 1)

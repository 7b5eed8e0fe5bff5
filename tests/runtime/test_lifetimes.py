"""Variables forget their arrays after the last mention, in the block that has them all."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest

import pullback as pb
from pullback.runtime.lifetimes import forgotten


def indented(text: str) -> list[str]:
    return textwrap.indent(textwrap.dedent(text).strip("\n"), "    ").rstrip().split("\n")


def check(before: str, after: str, *names: str) -> None:
    lines = [(text, None, "") for text in indented(before)]
    assert [text for text, _, _ in forgotten(lines, set(names))] == indented(after)


def test_after_the_last_mention():
    check(
        """
        a = sort(x)
        b = a[1:]
        exp(b, out)
        return (out,)
        """,
        """
        a = sort(x)
        b = a[1:]
        a = None
        exp(b, out)
        b = None
        return (out,)
        """,
        *("a", "b"),
    )


def test_not_what_is_returned_and_not_what_is_not_asked_for():
    text = """
        a = sort(x)
        b = sort(a)
        c = a + b
        return (c, b,)
        """
    check(text, text, "b", "c")


def test_together_where_several_end():
    check(
        """
        a = sort(x)
        b = sort(y)
        add(a, b, out)
        """,
        """
        a = sort(x)
        b = sort(y)
        add(a, b, out)
        a = b = None
        """,
        *("a", "b"),
    )


def test_within_an_iteration():
    check(
        """
        for i in range(3):
            t = sort(x)
            add(t, x, x)
            exp(x, x)
        return (x,)
        """,
        """
        for i in range(3):
            t = sort(x)
            add(t, x, x)
            t = None
            exp(x, x)
        return (x,)
        """,
        "t",
    )


def test_after_a_loop_that_reads_what_was_made_before_it():
    check(
        """
        t = sort(x)
        for i in range(3):
            add(t, x, x)
            exp(x, x)
        tanh(x, x)
        """,
        """
        t = sort(x)
        for i in range(3):
            add(t, x, x)
            exp(x, x)
        t = None
        tanh(x, x)
        """,
        "t",
    )


def test_after_all_branches():
    check(
        """
        if p:
            t = sort(x)
        elif q:
            t = sort(y)
        else:
            pass
        exp(x, x)
        """,
        """
        if p:
            t = sort(x)
        elif q:
            t = sort(y)
        else:
            pass
        t = None
        exp(x, x)
        """,
        "t",
    )
    check(
        """
        t = sort(x)
        if p:
            exp(t, x)
        else:
            exp(x, x)
        tanh(x, x)
        """,
        """
        t = sort(x)
        if p:
            exp(t, x)
        else:
            exp(x, x)
        t = None
        tanh(x, x)
        """,
        "t",
    )


def test_after_the_last_call_of_a_function_that_reads_it():
    check(
        """
        t = sort(x)
        def part(lo, hi):
            exp(t[lo:hi], x[lo:hi])
        def other(lo, hi):
            part(lo, hi)
        tiles(other)
        tanh(x, x)
        """,
        """
        t = sort(x)
        def part(lo, hi):
            exp(t[lo:hi], x[lo:hi])
        def other(lo, hi):
            part(lo, hi)
        tiles(other)
        t = None
        tanh(x, x)
        """,
        "t",
    )


def test_parameters_of_a_function_are_its_own():
    text = """
        def rec(t):
            exp(t, t)
        rec(x)
        """
    check(text, text, "t")


N = 40_000


def nested(x):
    for _ in range(3):
        y = np.sort(x)
        for _ in range(2):
            y = np.sort(y * 1.5)[::-1] + x[0]
        x = x + y
    return x


def branching(x):
    for _ in range(3):
        y = np.sort(x)
        if y[0] > -1.0:
            z = np.sort(y + 1.0)
        else:
            z = y * 2.0
        x = x * 0.5 + z
    return np.sum(x * x)


def factored(x):
    a = x[:40000].reshape(200, 200) + 20.0 * np.eye(200)
    q, r = np.linalg.qr(a)
    return np.sum(np.linalg.solve(r, q.T @ x[:200]))


@pytest.mark.parametrize("f", [nested, branching, factored])
def test_programs_compute_the_same_again_and_again(f):
    x = np.linspace(-2.0, 2.0, N)
    compiled = pb.compile(f)
    for scale in (1.0, 0.5, -1.0, 1.0):
        np.testing.assert_allclose(compiled(scale * x), f(scale * x), rtol=1e-9, atol=1e-9)
    assert "= None" in compiled.inspect(x).source


def test_gradients_with_large_arrays_of_numpy_agree_with_differences():
    x = np.linspace(0.1, 2.0, 20_000)
    g = pb.grad(branching)(x)
    d = np.cos(np.arange(x.size))
    h = 1e-6
    slope = (branching(x + h * d) - branching(x - h * d)) / (2 * h)
    np.testing.assert_allclose(np.sum(g * d), slope, rtol=1e-5)

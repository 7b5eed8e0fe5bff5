"""Branches that raise, and assertions: see test_staging."""

# ruff: noqa: B011, PT015, PT018

from __future__ import annotations

import numpy as np
from staging_case import case

V = np.arange(1.0, 8.0)
W = V - 4.2


class Own(Exception):
    def __init__(self, a, b=2):
        super().__init__(a)
        self.a = a
        self.b = b


def pos(v, what):
    if v < 0:
        raise ValueError(f"{what} is negative: {v:.2f}")
    return np.sqrt(v)


@case((V,), (W,), staged=True)
def in_helper(a):
    s = 0.0
    for i in range(len(a)):
        s += pos(a[i], f"a[{i}]")
    return s


@case((V,), (W,), staged=True)
def own_attr(a):
    for i in range(len(a)):
        if a[i] < 0:
            raise Own(a[i], i)
    return a * 2


@case((V,), (W,))
def both_raise(a):
    if a[0] > 0:
        raise ValueError("pos")
    raise KeyError("neg")


@case((V,), (W,), staged=True)
def elif_raise(a):
    if a[0] > 2:
        raise ValueError("pos")
    if a[0] < -1:
        raise KeyError("neg")
    if a[1] > 5:
        raise TypeError("x")
    return a * 3


@case((V,), (W,), staged=True)
def print_then_raise(a):
    s = 0.0
    for i in range(7):
        if a[i] < 0:
            print("bad", a[i])
            y = a[i] * 3
            raise ValueError(f"{y:.3f}")
        s += a[i]
    return s


@case((V,), (W,), staged=True)
def raise_cls(a):
    if a[0] < 0:
        raise ValueError
    return a * 2


@case((V,), (W,))
def raise_caught(a):
    try:
        if a[0] < 0:
            raise ValueError("x")
        r = a * 2
    except ValueError:
        r = a * 3
    return r


@case((V,), (W,))
def raise_caught_loop(a):
    s = 0.0
    for i in range(7):
        try:
            if a[i] < 0:
                raise ValueError("x")
            s += a[i]
        except ValueError:
            s -= 1.0
    return s


@case((V,), (W,))
def raise_other_caught(a):
    s = 0.0
    for i in range(7):
        try:
            if a[i] < 0:
                raise ValueError("x")
            s += a[i]
        except KeyError:
            s -= 1.0
    return s


def risky(v):
    if v < 0:
        raise ValueError("x")
    return v * 2


@case((V,), (W,))
def raise_caught_outer(a):
    s = 0.0
    for i in range(7):
        try:
            s += risky(a[i])
        except ValueError:
            s -= 1.0
    return s


@case((V,), (W,), staged=True)
def raise_from(a):
    if a[0] < 0:
        raise ValueError("x") from KeyError("y")
    return a


@case((V,), (W,), staged=True)
def assert_msg(a):
    for i in range(7):
        assert a[i] >= 0, (i, a[i])
    return a * 1


@case((V,), (W,), staged=True)
def assert_and(a):
    assert a[0] >= 0 and a[1] > 0, "both"
    return a * 1


@case((V,), (W,), staged=True)
def assert_in_branch(a):
    s = 0.0
    for i in range(7):
        if i > 3:
            assert a[i] > 3.5
            s += a[i]
        elif a[i] > 100:
            assert False, "large"
    return s


@case((V,), (W,))
def after_fails(a):
    if a[0] <= 0:
        raise ValueError("must be positive")
    k = int(np.sqrt(a[0]))
    return a[:k]


@case((V, 3), (W, 3), (V, 30), slopes=False, staged=True)
def index_check(a, k):
    if k >= len(a):
        raise IndexError(f"{k} of {len(a)}")
    if a[k] < 0:
        raise ValueError(f"{a[k]}")
    return a[k]


@case((V,), (W,), staged=True)
def mutate_then_raise(a):
    b = a * 2
    for i in range(7):
        b[i] = 5.0
        if a[i] < 0:
            raise ValueError(f"{b.sum()} at {i}")
    return b


@case((5.0,), (-1.0,), (100.0,), staged=True)
def while_raise(x):
    n = 0
    while x > 1.0:
        x = x * 0.7
        n += 1
        if n > 8:
            raise RuntimeError(f"no convergence after {n}: {x}")
    if x < 0:
        raise ArithmeticError(x)
    return (x, n)


@case((5.0,), (-1.0,), (100.0,), staged=True)
def while_else(x):
    n = 0
    while n < 10:
        n += 1
        x = x * 0.5
        if abs(x) < 1.0:
            break
    else:
        raise RuntimeError("no convergence")
    return (x, n)


@case((V,), (W,))
def raise_in_ternary(a):

    def fail():
        raise ValueError("t")

    s = 0.0
    for i in range(7):
        s += a[i] if a[i] >= 0 else fail()
    return s


@case((V,), (W,), staged=True)
def raise_array_value(a):
    if a.min() < 0:
        raise ValueError("bad", a)
    return a * 2


@case((V,), (W,), staged=True)
def not_implemented(a):
    if a.sum() > 20:
        raise NotImplementedError
    return a * 2


@case((V,), (W,))
def with_errstate_raise(a):
    for i in range(7):
        with np.errstate(all="ignore"):
            if a[i] < 0:
                raise ValueError(i)
    return a


@case((V,), (W,), staged=True)
def finally_raise(a):
    s = 0.0
    try:
        if a[0] < 0:
            raise ValueError("f")
        s = a.sum()
    finally:
        s = s * 2
    return s

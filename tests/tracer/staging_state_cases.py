"""State, closures, effects and errors in loops: see test_staging."""

# ruff: noqa: B007, B023, E731, F841

from __future__ import annotations

import numpy as np
from staging_case import case

R = np.random.default_rng(0)
V = R.random(7) + 0.5
W = R.random(7) - 0.4
A = R.random((6, 6))
B = R.random((6, 6)) - 0.5


class Own(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)
        self.a = a


@case((V,), (W,), staged=True)
def raise_own(a):
    s = 0.0
    for i in range(len(a)):
        if a[i] <= 0:
            raise Own("neg", 3)
        s += np.sqrt(a[i])
    return s


@case((V,), (W,))
def try_in_loop(a):
    s = 0.0
    for i in range(len(a)):
        try:
            s += np.sqrt(a[i])
        except ValueError:
            s = 0.0
    return s


@case((V,), (W,), staged=True)
def with_in_loop(a):
    s = 0.0
    for i in range(20):
        with np.errstate(all="ignore"):
            s += np.sqrt(abs(a[i % 7]))
    return s


@case((V,), (W,), staged=True)
def comp_in_body(a):
    s = 0.0
    for i in range(20):
        s += sum([a[j] * i for j in range(3)])
        s += sum(a[j] * i for j in range(3))
    return s


@case((V,), (W,), staged=True)
def lambda_in_body(a):
    s = 0.0
    fs = []
    for i in range(20):
        f = lambda x: x * i + s
        s = s * 0.1 + f(a[i % 7])
    return s


@case((V,), (W,), staged=True)
def closure_late(a):
    s = 0.0
    f = lambda: s * 2 + i
    for i in range(20):
        s = f() * 0.01 + a[i % 7]
    return (s, f())


@case((V,), staged=True)
def nonlocal_store(a):
    s = 0.0

    def add(v):
        nonlocal s
        s = s * 0.9 + v

    for i in range(20):
        add(a[i % 7])
    return s


@case((V,), (W,), staged=True)
def prints(a):
    s = 0.0
    for i in range(12):
        s += a[i % 7]
        print("s", s, i)
        if s > 1:
            print("big")
    return s


@case((V,), (W,), staged=True)
def print_static(a):
    s = 0.0
    for i in range(12):
        print("hello")
        s += a[i % 7]
        print("bye")
    return s


@case((V,), staged=True)
def random_draws(a):
    r = np.random.default_rng(3)
    s = 0.0
    for i in range(20):
        s = s + r.normal() * a[i % 7]
    return s


@case((V,), (W,))
def body_changes_shape(a):
    x = a
    for i in range(5):
        x = np.concatenate([x, x[:1] * 2])
    return x


@case((V, np.array([3])), (V, np.array([5])), slopes=False)
def body_changes_shape_traced(a, c):
    x = a
    for i in range(c[0]):
        x = np.concatenate([x, x[:1] * 2])
    return x


@case((V,), staged=True)
def index_error(a):
    s = 0.0
    for i in range(20):
        s = s + a[i]
    return s


@case((V, np.arange(20)), staged=True)
def index_error_traced(a, c):
    s = 0.0
    for i in range(20):
        s = s + a[c[i]]
    return s


@case((V,), staged=True)
def negative_wrap(a):
    for i in range(7):
        a[i] = a[i - 1] * 0.5 + a[i - 3]
    return a


@case((1.0,), staged=True)
def long_loop(x):
    for i in range(10000):
        x = x * 0.999 + 0.001 * i
    return x


class Obj:
    def __init__(self):
        self.x = 0.0
        self.n = 0
        self.h = []

    def add(self, v):
        self.__p = v
        self.x = self.x * 0.5 + self.__p
        self.n += 1


@case((V,))
def attr_state(a):
    o = Obj()
    for i in range(20):
        o.add(a[i % 7])
    return (o.x, o.n)


@case((V,), staged=True)
def dict_state(a):
    d = {"x": 0.0, "n": 0}
    for i in range(20):
        d["x"] = d["x"] * 0.5 + a[i % 7]
        d["n"] += 1
    return d


@case((V,))
def dict_grows(a):
    d = {}
    for i in range(5):
        d[i] = a * i
    return d


@case((V,), staged=True)
def tuple_state(a):
    st = (0.0, (a, 1))
    for i in range(20):
        x, (y, n) = st
        st = (x + y[0], (y * 0.9, n + 2))
    return st


@case((V,), staged=True)
def list_state(a):
    st = [0.0, a * 1]
    for i in range(20):
        st[0] = st[0] + st[1][i % 7]
        st[1] = st[1] * 0.9
    return st


@case((V,))
def swap_elems(x):
    for i in range(3):
        x[i], x[6 - i] = (x[6 - i], x[i])
        for j in range(10):
            x[j % 7] = x[j % 7] * 1.1
    return x


@case((A,), staged=True)
def swap_rows(A):
    for i in range(5):
        A[i], A[i + 1] = (A[i + 1], A[i])
        for j in range(10):
            A[i, j % 6] = A[i, j % 6] * 1.1
    return A


@case((A,), staged=True)
def swap_rows_fancy(A):
    for i in range(5):
        A[[i, i + 1]] = A[[i + 1, i]]
        for j in range(10):
            A[i, j % 6] = A[i, j % 6] * 1.1
    return A


@case((A,), staged=True)
def transpose_write(A):
    T = A.T
    for i in range(6):
        for j in range(i):
            T[i, j] = T[j, i] * 2 + A[i, j]
    return A


@case((A,))
def del_in_loop(A):
    s = 0.0
    for i in range(6):
        t = A[i] * 2
        s += t.sum()
        del t
    return s


@case((A,))
def first_bound_read_after(A):
    for i in range(6):
        t = A[i] * 2
        u = i * 2
    return (t, u, i)


@case((A,), (A - 0.5,), staged=True)
def bound_in_branch(A):
    for i in range(6):
        if A[i, 0] > 0.5:
            t = A[i] * 2
        else:
            t = A[i] * 3
    return t


@case((A,), (A - 0.5,), (-A,))
def maybe_bound(A):
    for i in range(6):
        if A[i, 0] > 0.5:
            t = A[i] * 2
    return t

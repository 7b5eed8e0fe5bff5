"""Loops and branches of every kind, against plain NumPy: see test_staging."""

# ruff: noqa: B007, F841

from __future__ import annotations

import numpy as np
from staging_case import case

R = np.random.default_rng(0)
V = R.random(7) + 0.5
W = R.random(7) - 0.4
A = R.random((6, 6))
B = R.random((6, 6)) - 0.5


@case((V, 3), (V, 0), (W, 5))
def zero_trip(a, n):
    y = 1.0
    for i in range(n):
        y = a[i] * y
        k = i
    return y


@case(
    (V, np.array([3, 0, 5])),
    (V, np.array([0, 0, 0])),
    (V, np.array([7, 0, 5])),
    slopes=False,
    staged=True,
)
def zero_trip_bound(a, c):
    y = 1.0
    for i in range(c[0]):
        y = a[i] * y
        z = y * 2
    return (y, z)


@case((V, np.array([3, 0, 5])), (V, np.array([0, 0, 0])), slopes=False, staged=True)
def zero_trip_index(a, c):
    y = 1.0
    for i in range(c[0]):
        y = a[i] * y
    return (y, i)


@case((V, np.array([3, 0, 5])), (V, np.array([0, 0, 0])), staged=True)
def zero_trip_index_bound(a, c):
    y = 1.0
    i = -1
    for i in range(c[0]):
        y = a[i] * y
    return (y, i)


@case((V,), (W,))
def int_then_float(a):
    s = 0
    for i in range(len(a)):
        s = s + a[i]
    return s


@case((V,), (W,), staged=True)
def int_then_float2(a):
    s = 0
    t = 0
    for i in range(30):
        t = t + s
        s = s + a[i % 7]
    return (s, t)


@case((V,), (W,), staged=True)
def none_then_array(a):
    prev = None
    for i in range(20):
        x = a * i if prev is None else prev * 0.9 + np.sin(a)
        prev = x
    return prev


@case((V.astype(np.float32),), staged=True)
def f32(a):
    s = 0.0
    for i in range(20):
        s = s * 0.5 + a[i % 7]
    return s


@case((V.astype(np.float32),), staged=True)
def f32_py(a):
    s = 1.0
    k = 2.0
    for i in range(20):
        s = s * 0.5
        k = a * s
    return (s, k)


@case((V,), staged=True)
def zero_d(a):
    s = np.array(0.0)
    for i in range(20):
        s = s + a[i % 7]
    return s


@case((V,), staged=True)
def zero_d_inplace(a):
    s = np.array(0.0)
    t = s
    for i in range(20):
        s += a[i % 7]
    return (s, t)


@case((V,), staged=True)
def scalar_iadd(a):
    s = np.float64(0.0)
    t = s
    for i in range(20):
        s += a[i % 7]
    return (s, t)


@case((V,), (-V,), (W,))
def bool_flag(a):
    found = False
    for i in range(len(a)):
        if a[i] < 0:
            found = True
    return found


@case((V,), (-V,), (W,), staged=True)
def bool_flag2(a):
    found = False
    n = 0
    for i in range(len(a)):
        if not found and a[i] < 0:
            found = True
            n = i
    return (found, n)


@case((V,))
def list_index(a):
    t = [1.0, 2.0, 3.0]
    s = 0.0
    for i in range(30):
        s = s + a[i % 7] * t[i % 3]
    return s


@case((V,))
def list_index2(a):
    t = [np.sin, np.cos, np.tanh]
    s = 0.5
    for i in range(30):
        s = t[i % 3](s + a[i % 7])
    return s


@case((V,))
def dict_index(a):
    t = {0: 1.5, 1: a}
    s = 0.5
    for i in range(30):
        s = np.sum(t[i % 2] * s * 0.3)
    return s


@case((5.0,), (100.0,), (0.5,), staged=True)
def while_int(x):
    n = 0
    while x > 1.0:
        x = x / 2
        n += 1
    return (x, n)


@case((5.0,), (100.0,), (0.5,), staged=True)
def while_int2(x):
    n = 0
    while n < 20 and x > 1.0:
        x = x / 2
        n += 1
    return (x, n)


@case((V,), (-V,), (W,), staged=True)
def break_first(a):
    s = 0.0
    for i in range(len(a)):
        if a[i] < 0:
            break
        s += a[i]
    return (s, i)


@case((V,), (-V,), (W,), staged=True)
def for_else(a):
    s = 0.0
    for i in range(len(a)):
        if a[i] < -0.3:
            break
        s += a[i]
    else:
        s = s * 100
    return s


@case((A,), (A - 0.5,), (-A,), (A - 0.05,))
def return_nested(A):
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            if A[i, j] < 0:
                return (A[i, j] * 3, i, j)
    return (A[0, 0], -1, -1)


@case((A,), (A - 0.5,), (-A,), (A - 0.05,), staged=True)
def return_nested_val(A):
    s = 0.0
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            if A[i, j] < 0:
                return A[i, j] * 3 + s
            s = s + A[i, j]
    return s


@case((V,), (W,), staged=True)
def raise_top(a):
    if a[0] < 0:
        raise ValueError("negative")
    return np.sqrt(a)


@case((V,), (W,), staged=True)
def raise_top_f(a):
    if np.any(a < 0):
        raise ValueError(f"negative: {a.min()}")
    return np.sqrt(a)


@case((V,), (W,), staged=True)
def raise_loop(a):
    s = 0.0
    for i in range(len(a)):
        if a[i] < 0:
            raise ValueError(f"negative at {i}: {a[i]:.3f}")
        s += np.sqrt(a[i])
    return s


@case((V,), (W,), staged=True)
def assert_loop(a):
    s = 0.0
    for i in range(len(a)):
        assert a[i] > 0, f"bad {i}"
        s += np.sqrt(a[i])
    return s


@case((V,), (W,), staged=True)
def assert_top(a):
    assert np.all(a > 0)
    return np.sqrt(a)


@case((V,), (W,), staged=True)
def raise_else(a):
    s = 0.0
    for i in range(len(a)):
        if a[i] > 0:
            s += np.sqrt(a[i])
        else:
            raise ArithmeticError("x", i)
    return s


@case((V,), (W,), staged=True)
def calls_of_numpy_without_traced_arguments(a):
    s = a[0]
    while s < 20.0:
        s = s + np.sum(np.exp(a) * np.arange(7.0)) + np.sum(np.asarray([1, 2])) + 1.0
        if s > 5.0:
            s = s + np.arange(3)[-1]
    return s

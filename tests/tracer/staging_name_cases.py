"""Variables of loops: without a value, of closures, of types that settle: see test_staging."""

# ruff: noqa: B023, B905, E731, F841, PERF401

from __future__ import annotations

import numpy as np
from staging_case import case

V = np.arange(5.0) - 1.2


@case(
    (V, np.array([2, 0, 3])),
    (V, np.array([4, 0, 0])),
    (V, np.array([0, 0, 0])),
    (-V, np.array([2, 0, 3])),
    staged=True,
)
def return_traced_range(a, c):
    for i in range(c[0], 4):
        if a[i] < 0.5:
            return (a[i], i)
    return (a[1], -1)


@case((V, np.array([2, 0, 3])), (V, np.array([4, 0, 0])), (V, np.array([0, 0, 0])), staged=True)
def return_at_once(a, c):
    for i in range(c[0], 4):
        return a[i]
    return a[1] * 2


@case((V, np.array([2, 0, 3])), (V, np.array([4, 0, 0])), (V, np.array([0, 0, 0])), staged=True)
def never_left(a, c):
    s = 0.0
    for i in range(c[0], 4):
        s += a[i]
        if 0.5 < 0.3:
            break
    return s


@case((V,))
def inner_index_kept(a):
    for i0 in range(15):
        for i1 in range(i0, 6):
            a[0] = a[0] + i1 * 0.1
    return (i1, a)


@case(
    (V, np.array([2, 0, 3])),
    (V, np.array([3, 0, 0])),
    (V, np.array([0, 0, 0])),
    slopes=False,
    staged=True,
)
def inner_bound_kept(a, c):
    for i0 in range(15):
        for i1 in range(c[i0 % 3]):
            t = a[i1] * 2
    return t


@case((V, np.array([2, 0, 3])), (V, np.array([3, 0, 0])), staged=True)
def inner_bound_kept2(a, c):
    s = 0.0
    for i0 in range(15):
        for i1 in range(c[i0 % 3]):
            t = a[i1] * 2
        s = s + t
    return s


@case((V, V * 2, np.array([2])), (V, V * 2, np.array([0])), slopes=False)
def zero_trip_write(a, b, c):
    for i in range(c[0]):
        b = np.roll(a, i)
    b[...] = 2.0
    return b


@case((V, np.array([2])), (V, np.array([0])), staged=True)
def zero_trip_write_local(a, c):
    b = a * 2
    for i in range(c[0]):
        b = np.roll(b, i)
    b[1] = 2.0
    return b


@case((V, np.array([2])), (V, np.array([0])), slopes=False)
def zero_trip_write_alias(a, c):
    b = a * 2
    k = b
    for i in range(c[0]):
        b = np.roll(b, i)
    b[1] = 2.0
    return k


@case((V, np.array([2, 0, 1])), (V, np.array([0, 1, 1])), slopes=False)
def zero_trip_outer(a, c):
    x = a
    for t in range(9):
        x[t % 5] = t + x[0]
        for i in range(c[t % 3]):
            x = np.roll(x, i)
    return x


@case((V,))
def lam_short(a):
    s = 0.0
    for i in range(2):
        f = lambda x: x * i + s
        s = s * 0.1 + f(a[i % 5])
    return s


@case((V,))
def lam_short2(a):
    s = 0.0
    f = lambda x: x + s
    for i in range(2):
        s = s * 0.1 + f(a[i % 5])
    return s


@case((V,))
def lam_noloop(a):
    s = 0.0
    f = lambda x: x + s
    s = s * 0.1 + f(a[1])
    s = s * 0.1 + f(a[2])
    return s


@case((V,))
def lam_noloop2(a):
    s = 2
    f = lambda x: x + s
    s = s + f(a[1])
    return s


def make():
    n = 0

    def bump():
        nonlocal n
        n += 1
        return n

    return bump


@case((V,))
def other_counter(a):
    bump = make()
    n = 0
    s = 0.0
    for i in range(30):
        n = n + 1
        s = s * 0.5 + a[i % 5] * bump()
    return (s, n, bump())


@case((V,), staged=True)
def own_counter(a):
    n = 0
    s = 0.0

    def bump():
        nonlocal n
        n += 1
        return n

    for i in range(30):
        s = s * 0.5 + a[i % 5] * bump()
    return (s, n, bump())


@case((V,), staged=True)
def own_counter_branch(a):
    n = 0
    s = 0.0

    def bump():
        nonlocal n
        n += 1
        return n

    for i in range(30):
        if a[i % 5] > 0:
            s = s * 0.5 + a[i % 5] * bump()
    return (s, n, bump())


@case((V,))
def list_of_closures(a):
    fs = []
    for i in range(20):
        fs.append(lambda x: x * i)
    return (fs[2](a), fs[-1](a))


@case((V,))
def default_arg_closure(a):
    fs = []
    for i in range(6):
        fs.append(lambda x, k=i: x * k)
    return (fs[2](a), fs[-1](a))


@case((V,))
def iter_mutated(a):
    for x in a:
        a[1:] += x
    return a


@case((V,))
def iter_mutated2(a):
    s = 0.0
    for x in a[:2]:
        a[1:] += x
    return a


@case((V, V * 2))
def zip_mutated2(a, b):
    s = 0.0
    for x, y in zip(a[:2], b):
        b[1:] += x * y
    return b


@case((V, V * 2), staged=True)
def zip_mutated(a, b):
    s = 0.0
    for x, y in zip(a, b):
        b[1:] += x * y
        s = s * 0.5 + np.sin(x) * np.cos(y) * np.tanh(s) * x * y * x
    return (b, s)


@case((V,))
def rev_mutated(a):
    for x in reversed(a[:2]):
        a[1:] += x
    return a


@case((V,))
def enum_mutated(a):
    for k, x in enumerate(a[:2]):
        a[k:] += x
    return a


@case((V,))
def unpack_loop(a):
    x, y = a[:2]
    a[0] = 9.0
    return x + y


@case((V.astype(np.float32), 0.3), (V.astype(np.float32), 0.1), staged=True)
def f32_settle(a, x):
    s = x
    h = 0.1
    for i in range(20):
        s = s * 0.3 + a[i % 5]
        h = h * 0.3 * 0.7 + s
    return (s, h)


@case((V.astype(np.float32), 0.3, np.array([3])), (V.astype(np.float32), 0.1, np.array([0])))
def f32_settle_traced(a, x, c):
    s = x
    for i in range(c[0]):
        s = s * 0.3 + a[i % 5]
    return s

"""Loops and branches that share, exchange and keep memory: see test_staging."""

# ruff: noqa: B007, B905, PERF401

from __future__ import annotations

import numpy as np
from staging_case import case

R = np.random.default_rng(0)
V = R.random(7) + 0.5
W = R.random(7) - 0.4
A = R.random((6, 6))
B = R.random((6, 6)) - 0.5


@case((V,), staged=True)
def x_is_A_other_name(A):
    x = A
    s = 0.0
    for i in range(12):
        A[i % 7] = 5.0 + s
        s += x.sum() * 0.01
        x = x * 0.5
    return (s, x)


@case((V, W, 11), (V, W, 12), staged=True)
def swap_no_write(u, v, n):
    s = 0.0
    for t in range(n):
        s = s * 0.9 + u[0] * v[1] + np.sin(u[2]) * np.exp(s * 0.001)
        u, v = (v, u)
    u[0] = 5.0
    return (s, u, v)


@case((V, W, np.array([11])), (V, W, np.array([12])), staged=True)
def swap_no_write_traced(u, v, n):
    s = 0.0
    for t in range(n[0]):
        s = s * 0.9 + u[0] * v[1] + np.sin(u[2]) * np.exp(s * 0.001)
        u, v = (v, u)
    return (s, u + v * 2)


@case((V, W, np.array([3])), (V, W, np.array([4])), slopes=False)
def swap_no_write_traced2(u, v, n):
    s = 0.0
    for t in range(n[0]):
        s = s * 0.9 + u[0] * v[1] + np.sin(u[2]) * np.exp(s * 0.001)
        u, v = (v, u)
    u[0] = 1.0
    return (s, u + v * 2)


@case((V,))
def two_names_after(a):
    for t in range(20):
        a = np.sin(a) * 1.1
        b = a
    a[0] = 5.0
    return (a, b)


@case((V,))
def two_names_after2(a):
    for t in range(20):
        a = np.sin(a) * 1.1
        b = a
    b[0] = 5.0
    return (a, b)


@case((V,))
def two_carried_one(a):
    b = a * 2
    c = b
    for t in range(20):
        a = c + np.sin(b) * 1.1
        b = a * 0.5
        c = b
    b[0] = 5.0
    return (a, b, c)


@case((A,))
def late_view_written(A):
    s = 0.0
    for i in range(6):
        row = A[i]
        s += np.sin(row).sum() * np.cos(s) + row[2] * row[3]
    row[0] = 100.0
    return (s, A)


@case((A,))
def late_view_source_written(A):
    s = 0.0
    for i in range(6):
        row = A[i]
        s += np.sin(row).sum() * np.cos(s) + row[2] * row[3]
    A[5, 0] = 100.0
    return (s, row)


@case((A,))
def append_outer(A):
    out = []
    for i in range(6):
        out.append(A)
    out[0][0, 0] = 7.0
    return out[3] + A


@case((A,))
def append_two_lists(A):
    out = []
    out2 = []
    for i in range(6):
        t = A[i] * 2
        out.append(t)
        out2.append(t[1:])
    out[2][1] = 7.0
    return (np.stack(out), np.stack(out2))


@case((A,), staged=True)
def append_written_before_end(A):
    out = []
    for i in range(6):
        t = np.zeros(3)
        out.append(t)
        t[0] = A[i, 0]
        t[1:] = A[i, :2]
    return np.stack(out)


@case((A,))
def append_x_then_write_next(A):
    out = []
    x = A[0] * 1.0
    for i in range(6):
        x[0] = i
        x = x * 1.1
        out.append(x)
    return np.stack(out)


@case((A,))
def append_given(A):
    out = []
    x = A[0]
    for i in range(6):
        out.append(x)
        x = x * 1.1 + A[i]
    out[0][0] = 5.0
    return (np.stack(out), A)


@case((V,), (W,))
def cond_two_names(a):
    if a[0] > 0:
        x = a * 2
        y = x
    else:
        x = a * 3
        y = x
    x[0] = 9.0
    return y


@case((V,), (W,))
def cond_view(a):
    if a[0] > 0:
        x = a
    else:
        x = a * 3
    x[0] = 9.0
    return a


@case((V,), (W,))
def cond_view2(a):
    if a[0] > 0:
        x = a
    else:
        x = a * 3
    a[1] = 9.0
    return x


@case((V,), (W,))
def cond_view3(a):
    x = a if a[0] > 0 else a[::-1]
    x[1] = 9.0
    return a


@case((V,), (W,), shares=False, staged=True)
def cond_return_arg(a):
    if a[0] > 0:
        return a
    return a * 2


@case((V,), (W,))
def cond_in_loop_alias(a):
    s = 0.0
    for i in range(10):
        if a[i % 7] > 0.5:
            x = a[1:3]
        else:
            x = a[2:4]
        s += x.sum()
    x[0] = 3.0
    return (s, a)


@case((V,), (W,))
def cond_in_loop_alias_w(a):
    s = 0.0
    for i in range(10):
        if a[i % 7] > 0.5:
            x = a[1:3]
        else:
            x = a[2:4]
        x[0] += 0.1
        s += x.sum()
    return (s, a)


@case((A,), shares=False, staged=True)
def nested_mutating_call(A):

    def bump(x, i):
        x[i] += x[i - 1] * 0.1
        return x

    for i in range(6):
        y = bump(A, i)
        y = bump(A[i], 2)
    return y


@case((A,), staged=True)
def carry_view_of_fresh(A):
    x = A[0]
    for i in range(6):
        t = np.outer(x, x) * 0.1
        t[0, 0] = 1.0
        x = t[0] + A[i] * 0 if False else t[0]
    return x


@case((A,))
def carry_view_of_fresh_then_write(A):
    x = A[0] * 1
    for i in range(8):
        x[1] += 2.0
        t = np.outer(x, x) * 0.1
        x = t[0]
    return x


@case((A,))
def double_buffer_rows(A):
    for t in range(9):
        for i in range(2):
            A[1 - i % 2] = A[i % 2] * 0.9 + 0.1 * t
    return A


@case((A,), staged=True)
def double_buffer_index(A):
    cur = 0
    for t in range(19):
        A[1 - cur] = A[cur] * 0.9 + 0.1 * t
        cur = 1 - cur
    return (A, cur)


@case((V, W), staged=True)
def fib_pair(u, v):
    for t in range(19):
        u, v = (v, u * 0.3 + v * 0.5)
        v[0] = 1.0
    return (u, v)


@case((V, W), staged=True)
def fib_pair2(u, v):
    for t in range(19):
        v[0] = 1.0
        u, v = (v, u * 0.3 + v * 0.5)
    return (u, v)


@case((V, W))
def fib_pair_args(u, v):
    for t in range(19):
        u[0] = 1.0 + t
        u, v = (v, u * 0.3 + v * 0.5)
    return (u, v)


@case((V, W))
def fib_pair_keep(u, v):
    k = v
    for t in range(19):
        u[0] = 1.0 + t
        u, v = (v, u * 0.3 + v * 0.5)
    return (u, v, k)


@case((V, W))
def fib_pair_keep_local(u, v):
    u = u + 1
    v = v + 1
    k = v
    for t in range(19):
        u[0] = 1.0 + t
        u, v = (v, u * 0.3 + v * 0.5)
    return (u, v, k)


@case((V, W))
def fib_pair_keep_inside(u, v):
    u = u + 1
    v = v + 1
    k = v
    s = 0.0
    for t in range(19):
        u[0] = 1.0 + t
        u, v = (v, u * 0.3 + v * 0.5)
        s += k.sum()
    return (u, v, s)


@case((V, W), staged=True)
def list_swap(u, v):
    p = [u, v]
    for t in range(19):
        p[1][1:] = p[0][:-1] * 0.5 + t
        p[0], p[1] = (p[1], p[0])
    return p[0]


@case((V, W))
def list_swap_keep(u, v):
    p = [u, v]
    s = 0.0
    for t in range(19):
        p[1][1:] = p[0][:-1] * 0.5 + t
        p[0], p[1] = (p[1], p[0])
        s += u[2]
    return (p[0], s)


@case((V, W), staged=True)
def dict_swap(u, v):
    p = {"a": u, "b": v}
    for t in range(19):
        p["b"][1:] = p["a"][:-1] * 0.5 + t
        p["a"], p["b"] = (p["b"], p["a"])
    return p["a"]


@case((A,), staged=True)
def iter_rows_write(A):
    s = 0.0
    for row in A:
        row[1:] += row[:-1]
        s += row.sum() * s + np.sin(s) * row[0] * row[1] * np.cos(row[2]) + s * s
    return s


@case((A,), staged=True)
def iter_rows_list(A):
    for k, row in enumerate(reversed(A)):
        row[1:] += row[:-1] * k + np.sin(row[0])
    return A


@case((A, B), staged=True)
def iter_zip_write(A, B):
    for r, q in zip(A, B):
        r += q * 2
        q *= r
        r[0] = q[1]
        q[2] = r[0] + r[1] + r[2]
    return A


@case((A,), staged=True)
def iter_while_written(A):
    s = 0.0
    for row in A:
        A[-1] += row * 0.1
        s += row.sum() + np.sin(s) * row[0] * row[1] * np.cos(row[2]) + s * s * 0.1
    return s


@case((V,), staged=True)
def iter_rebound(a):
    s = 0.0
    for x in a:
        a = a * 2
        s += x * s + np.sin(x) * np.cos(s) * x * x * x
    return (s, a)


@case((A,))
def column_into_row(A):
    for i in range(12):
        A[i % 6] = A[:, (i + 1) % 6] * 1.0
    return A


@case((A, np.array([2])), (A, np.array([5])))
def column_into_traced_row(A, c):
    for i in range(12):
        A[c[0]] = A[:, (i + 1) % 6] * 1.0
    return A


@case((V, W), (W, V))
def exchanged_within_an_exchange(a, b):
    for i in range(15):
        for _ in range(i % 5):
            b, a = a, b
            a[a > 0.5] = 0.25 + 0.01 * i
    return a, b

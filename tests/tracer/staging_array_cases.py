"""Loops that rebind, exchange, view and append arrays: see test_staging."""

# ruff: noqa: B007, PERF401

from __future__ import annotations

import numpy as np
from staging_case import case

R = np.random.default_rng(0)
V = R.random(7) + 0.5
W = R.random(7) - 0.4
A = R.random((6, 6))
B = R.random((6, 6)) - 0.5


@case((V.copy(),), (W.copy(),), staged=True)
def rebind_and_write(A):
    x = A
    for i in range(len(A)):
        x[i] = x[i] * 2 + 1
        x = x * 1.5
    return x


@case((V,), (W,), staged=True)
def write_then_rebind_result(A):
    x = A.copy()
    for i in range(len(A)):
        x = x * 1.5
        x[i] = x[i] * 2 + 1
    return x


@case((V, W, 20), (V, W, 21), (W, V, 20), (W, V, 21), staged=True)
def swap(u, v, n):
    for t in range(n):
        v[1:-1] = u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
        u, v = (v, u)
    return (u, v)


@case((V, W, A[0, :].repeat(2)[:7], 20), (V, W, A[0, :].repeat(2)[:7], 21), staged=True)
def rotate3(u, v, w, n):
    for t in range(n):
        w[1:-1] = u[1:-1] * 0.5 + v[2:] * 0.1
        u, v, w = (v, w, u)
    return (u, v, w)


@case((V, W, 20), (V, W, 21), staged=True)
def swap_local(u, v, n):
    u = u.copy()
    v = v * 2
    for t in range(n):
        v[1:-1] = u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
        u, v = (v, u)
    return (u + 0.0, v)


@case((V, 20), (V, 21), staged=True)
def swap_ro(u, n):
    v = np.zeros_like(u)
    for t in range(n):
        v[:] = 0.9 * u
        v[1:] += 0.1 * u[:-1]
        u, v = (v, u)
    return u


@case((V, W, 20), (V, W, 21), staged=True)
def swap_alias(u, v, n):
    keep = u
    for t in range(n):
        v[1:-1] = u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
        u, v = (v, u)
    return (keep, u)


@case((V, W, 20), (V, W, 21))
def swap_alias_inside(u, v, n):
    keep = u
    s = 0.0
    for t in range(n):
        v[1:-1] = u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
        s = s + keep[2]
        u, v = (v, u)
    return (s, u)


@case((V,), (W,))
def alias_b_before(a):
    b = a
    for i in range(len(a) - 1):
        a[i + 1] = a[i] * b[i] + 0.1
    return b


@case((V,), (W,), staged=True)
def alias_made_inside(a):
    s = 0.0
    for i in range(len(a)):
        b = a
        b[i] = b[i] * 2
        s += a[i]
    return (s, a)


@case((A,))
def prev_view(A):
    prev = A[0]
    s = 0.0
    for i in range(1, len(A)):
        A[i] = A[i] * prev + 0.1
        prev = A[i]
        s += prev.sum()
    return s


@case((A,))
def prev_view_copy(A):
    prev = A[0].copy()
    for i in range(1, len(A)):
        prev[0] = i
        A[i] = A[i] * prev + 0.1
        prev = A[i - 1]
    return A.sum()


@case((A,))
def row_kept(A):
    row = A[0]
    for i in range(1, len(A)):
        A[i - 1] *= 2.0
        A[i] += row
        row = A[i]
    row[0] = 7.0
    return A


@case((A, B), staged=True)
def list_of_arrays_written(A, B):
    xs = [A, B]
    for i in range(len(A)):
        xs[0][i] = xs[1][i] * 2
        xs[1][i] = xs[0][i] + 1
    return A + B


@case((V,))
def list_append_written_later(a):
    h = np.zeros(3)
    out = []
    for i in range(len(a)):
        h[i % 3] = a[i]
        out.append(h)
    return np.stack(out)


@case((V,))
def list_append_view(a):
    out = []
    for i in range(len(a) - 2):
        out.append(a[i : i + 2])
    a[0] = 9.0
    return np.stack(out)


@case((V,))
def list_append_row_then_write(a):
    out = []
    x = a
    for i in range(len(a)):
        x = np.tanh(x) * 1.1
        out.append(x)
    x[0] = 9.0
    return (np.stack(out), x)


@case((V,), staged=True)
def list_append_then_write_elem(a):
    out = []
    for i in range(len(a)):
        out.append(a * i)
    out[2][1] = 5.0
    out[0] *= 2
    return (np.stack(out), out[2])

"""Losses of parameters and one example, written once for NumPy and for its peers.

Each is `f(params, x)`: a float of nested tuples of parameters and of an example. A peer runs the
same lines with its namespace for `np`; where NumPy needs Python's branches, loops or writes, the
peer has a twin (`twins.py`). `PROGRAMS` has each with what makes its arguments from a generator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

PROGRAMS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {}


def program(make: Callable[[np.random.Generator], Any]) -> Any:
    """Keep a function with `make(rng)`, which gives its parameters and an example."""

    def kept(function: Callable[..., Any]) -> Callable[..., Any]:
        PROGRAMS[function.__name__] = function, make
        return function

    return kept


def normal(*shapes: Any, scale: float = 0.7) -> Any:
    """Draw the parameters, one array for each shape but the last, which is the example's."""

    def make(rng: np.random.Generator) -> Any:
        *params, x = (scale * rng.standard_normal(shape) for shape in shapes)
        return (tuple(params) if len(params) > 1 else params[0]), x

    return make


def positive(*shapes: Any) -> Any:
    """Draw as `normal`, between a half and two."""

    def make(rng: np.random.Generator) -> Any:
        *params, x = (rng.uniform(0.5, 2.0, shape) for shape in shapes)
        return (tuple(params) if len(params) > 1 else params[0]), x

    return make


# Networks


@program(normal((2, 3), 3, (3, 2), 2, 2))
def mlp(params, x):
    W1, b1, W2, b2 = params
    logits = np.tanh(x @ W1 + b1) @ W2 + b2
    shifted = logits - np.max(logits)
    return np.log(np.sum(np.exp(shifted))) - shifted[0]


@program(normal((3, 2, 2), 2, 2))
def residual_network(params, x):
    blocks, head = params
    h = x
    for k in range(3):
        h = h + 0.5 * np.logaddexp(0.0, blocks[k] @ h)
    return np.sum(head * h) ** 2


@program(normal((2, 2), (1, 2), 2, (4, 1)))
def rnn(params, xs):
    Wh, Wx, b = params
    h = np.zeros(2)
    total = 0.0
    for t in range(4):
        h = np.tanh(h @ Wh + xs[t] @ Wx + b)
        total = total + np.sum(h * h)
    return total


@program(normal((2, 4), (1, 4), (3, 2)))
def lstm(params, xs):
    U, W = params
    h, c = np.zeros(1), np.zeros(1)
    for t in range(3):
        z = xs[t] @ U + h @ W
        i, f, o = 1.0 / (1.0 + np.exp(-z[:3]))
        c = f * c + i * np.tanh(z[3:])
        h = o * np.tanh(c)
    return np.sum(h)


@program(normal((3, 4), 4))
def logsumexp_classifier(W, x):
    scores = W @ x
    m = np.max(scores)
    return m + np.log(np.sum(np.exp(scores - m))) - scores[1]


@program(normal((2, 2), (2, 2), (2, 2), (3, 2)))
def attention(params, x):
    Wq, Wk, Wv = params
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    scores = q @ k.T / np.sqrt(2.0)
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    weights = weights / np.sum(weights, axis=-1, keepdims=True)
    return np.sum((weights @ v) ** 2)


@program(normal(4, 4, 4))
def layer_norm(params, x):
    gain, bias = params
    centred = x - np.mean(x)
    y = gain * centred / np.sqrt(np.mean(centred**2) + 1e-3) + bias
    return np.sum(np.tanh(y))


@program(normal(3, 9))
def convolution(kernel, x):
    return np.sum(np.tanh(np.convolve(x, kernel, mode="valid")) ** 2)


@program(normal((2, 2, 2), (4, 4)))
def convolution_2d(kernels, image):
    maps = 0.0
    for i in range(2):
        for j in range(2):
            maps = maps + kernels[:, i, j][:, None, None] * image[i : i + 3, j : j + 3]
    pooled = np.max(np.reshape(maps[:, :2, :2], (2, -1)), axis=1)
    return np.sum(np.maximum(maps, 0.1 * maps)) + np.sum(pooled**2)


@program(normal((2, 4), 4))
def gelu_network(W, x):
    z = W @ x
    return np.sum(0.5 * z * (1.0 + np.tanh(0.7978845608 * (z + 0.044715 * z**3))))


def _tree(rng):
    def leaf():
        return rng.standard_normal(2)

    params = 0.5 * rng.standard_normal((2, 2)), 0.5 * rng.standard_normal((2, 2))
    return params, ((leaf(), (leaf(), leaf())), leaf())


def encode(params, tree):
    """Combine the codes of both sides of a tree of nested tuples."""
    if not isinstance(tree, tuple):
        return tree
    left, right = tree
    return np.tanh(params[0] @ encode(params, left) + params[1] @ encode(params, right))


@program(_tree)
def tree_network(params, tree):
    return np.sum(encode(params, tree) ** 2)


# Statistics


def _gp(rng):
    return np.array([0.3, -0.2, -1.0]), (np.sort(rng.uniform(0, 3, 5)), rng.standard_normal(5))


@program(_gp)
def gp_likelihood(theta, data):
    x, y = data
    distance = (x[:, None] - x[None, :]) ** 2
    K = np.exp(theta[0] - 0.5 * np.exp(theta[1]) * distance) + np.exp(theta[2]) * np.eye(5)
    L = np.linalg.cholesky(K)
    a = np.linalg.solve(L, y)
    return 0.5 * np.sum(a * a) + np.sum(np.log(np.diagonal(L)))


@program(normal((3, 3), 3))
def gaussian_slogdet(A, x):
    S = A @ A.T + np.eye(3)
    _, logdet = np.linalg.slogdet(S)
    return 0.5 * logdet + 0.5 * x @ np.linalg.inv(S) @ x


@program(lambda rng: ((np.array([[0.9, 0.2], [-0.1, 0.8]]), 0.4), rng.standard_normal(3)))
def kalman(params, ys):
    F, r = params
    m, P = np.zeros(2), np.eye(2)
    loss = 0.0
    for t in range(3):
        m, P = F @ m, F @ P @ F.T + 0.1 * np.eye(2)
        s = P[0, 0] + r
        gain, e = P[:, 0] / s, ys[t] - m[0]
        m, P = m + gain * e, P - np.outer(gain, P[0])
        loss = loss + 0.5 * (np.log(s) + e * e / s)
    return loss


@program(normal(3, (3, 2), 3, 2))
def gaussian_mixture(params, x):
    logits, means, log_scales = params
    z = (x - means) / np.exp(log_scales)[:, None]
    terms = logits - 0.5 * np.sum(z * z, axis=1) - 2.0 * log_scales
    m, n = np.max(terms), np.max(logits)
    norm = n + np.log(np.sum(np.exp(logits - n)))
    return norm - m - np.log(np.sum(np.exp(terms - m)))


@program(normal(3, (5, 3)))
def huber_regression(w, X):
    r = np.abs(X @ w - 1.0)
    return np.mean(np.where(r < 0.8, 0.5 * r**2, 0.8 * r - 0.32))


@program(normal(4, (4, 4)))
def poisson_regression(w, X):
    rate = X @ w
    return np.sum(np.exp(rate) - np.array([1.0, 0.0, 2.0, 1.0]) * rate)


@program(normal(6, 6))
def moments(w, x):
    y = w * x + w**2
    return np.std(y) + np.var(y, ddof=1) + np.mean(y**3) + np.prod(1.0 + 0.1 * y)


@program(normal(7, 7))
def order_statistics(w, x):
    y = np.sort(w + x)
    return np.sum(np.arange(7.0) * y**2) + np.median(w * x) + np.ptp(w * x)


@program(normal(6, 6))
def quantiles(w, x):
    y = w * np.exp(x)
    return np.quantile(y, 0.3) ** 2 + np.sum(np.percentile(y, np.array([10.0, 55.0])))


# Linear algebra


@program(normal((3, 3), 3))
def eigenvalues(A, x):
    values = np.linalg.eigvalsh(A + A.T + np.diag(np.array([0.0, 2.0, 5.0])))
    return np.sum(values * x) + values[0] ** 2


@program(normal((3, 3), 3))
def eigenvectors(A, x):
    _, vectors = np.linalg.eigh(A + A.T + np.diag(np.array([0.0, 3.0, 7.0])))
    return np.sum((vectors.T @ x) ** 4)


@program(normal((3, 2), 3))
def nuclear_norm(A, x):
    return np.sum(np.linalg.svd(A + np.outer(x, x[:2]), compute_uv=False))


@program(normal((3, 3), 3))
def linear_solve(A, b):
    M = A + 3.0 * np.eye(3)
    return np.sum(np.linalg.solve(M, b) ** 2) + np.log(np.abs(np.linalg.det(M)))


@program(normal((4, 2), 4))
def least_squares_by_qr(A, y):
    q, r = np.linalg.qr(A + np.eye(4)[:, :2])
    return np.sum(np.linalg.solve(r, q.T @ y) ** 2)


@program(normal((2, 3), (3, 2), 3))
def contractions(params, x):
    A, B = params
    first = np.einsum("ij,jk,j->ik", A, B, x)
    return np.sum(np.tensordot(first, A, axes=1) ** 2) + np.sum(np.kron(A[0], x)) ** 2


@program(normal((3, 3), 3))
def power_iteration(A, v):
    S = A @ A.T + np.diag(np.array([3.0, 1.0, 0.5]))
    for _ in range(5):
        v = S @ v
        v = v / np.linalg.norm(v)
    return v @ S @ v


@program(normal(5, 5))
def norms(w, x):
    y = w + 0.3 * x
    three = np.sum(np.abs(y) ** 3) ** (1.0 / 3.0)
    return np.linalg.norm(y) + np.linalg.norm(y, 1) + np.linalg.norm(y, np.inf) + three


# Dynamics


@program(positive(4, 2))
def lotka_volterra(rates, state):
    def slope(s):
        return np.stack([s[0] * (rates[0] - rates[1] * s[1]), s[1] * (rates[2] * s[0] - rates[3])])

    h = 0.1
    for _ in range(2):
        k1 = slope(state)
        k2 = slope(state + 0.5 * h * k1)
        k3 = slope(state + 0.5 * h * k2)
        k4 = slope(state + h * k3)
        state = state + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    return np.sum(state**2)


@program(positive(3, (3, 2)))
def n_body(masses, q):
    energy = 0.0
    for i in range(3):
        for j in range(i):
            d = q[i] - q[j]
            energy = energy - masses[i] * masses[j] / np.sqrt(d @ d + 0.05)
    return energy


@program(positive(2, 4))
def leapfrog(params, x):
    k, h = params[0], 0.1 * params[1]
    q, p = x[:2], x[2:]
    for _ in range(5):
        p = p - 0.5 * h * k * np.sin(q)
        q = q + h * p
        p = p - 0.5 * h * k * np.sin(q)
    return np.sum(p * p) / 2.0 - k * np.sum(np.cos(q))


@program(positive(1, 6))
def heat(alpha, u):
    for _ in range(4):
        u = u + 0.2 * alpha * (np.roll(u, 1) - 2.0 * u + np.roll(u, -1))
    return np.sum(u**3)


# Functions of numbers and of arrays


@program(positive(6, 6))
def special_functions(w, x):
    return np.sum(
        np.arctan2(w, x) + np.hypot(w, x) + np.expm1(0.1 * w) * np.log1p(x) + np.sinc(0.3 * w)
    ) + np.sum(np.arcsinh(w) * np.cbrt(x) + np.logaddexp2(w, x) + np.i0(0.5 * w))


@program(lambda rng: (rng.uniform(0.1, 0.8, 6), rng.uniform(0.1, 0.8, 6)))
def trigonometry(w, x):
    return np.sum(np.arcsin(w) * np.arccos(x) + np.arctanh(w * x) + np.tan(w) / np.cosh(x))


@program(positive(4, 4))
def powers(w, x):
    return np.sum(w**x + np.float_power(x, w) + np.reciprocal(w) + np.square(x) * np.exp2(w))


@program(normal(6, 6))
def kinks(w, x):
    y = np.clip(w, -0.4, 0.5) + np.maximum(w, x) * np.minimum(w, 2.0 * x)
    return np.sum(np.where(x > 0.0, y, np.abs(w) * np.sign(x))) + np.fmax(w[0], x[1])


@program(positive(4, 6))
def running(w, x):
    y = np.cumsum(w) * np.cumprod(0.5 + 0.5 * w)
    return np.sum(np.diff(y) ** 2) + np.polyval(w, x[0]) + np.trapezoid(w**2, x[:4])


@program(lambda rng: (rng.standard_normal(5), rng.uniform(0.2, 3.8, 4)))
def interpolation(values, x):
    return np.sum(np.interp(x, np.arange(5.0), values) ** 2)


@program(normal(5, 4))
def piecewise(values, x):
    k = np.searchsorted(np.array([-1.0, -0.2, 0.4, 1.0]), x)
    return np.sum(values[k] * x + np.take(values, k) ** 2)


@program(normal((3, 4), 4))
def indexing(A, x):
    rows = np.array([2, 0, 2])
    return (
        np.sum(A[rows, np.array([1, 3, 1])] ** 3)
        + np.sum(A[::-1, 1::2] @ x[:2])
        + A[-1, 0] * x[-1]
        + np.sum(np.take_along_axis(A, np.array([[0], [1], [3]]), axis=1) ** 2)
    )


@program(normal((2, 3), 3))
def shuffling(A, x):
    tiled = np.concatenate([np.tile(x, 2), np.ravel(np.transpose(A)), np.repeat(x, 2)])
    padded = np.pad(tiled, 2)
    folded = np.flip(np.roll(padded, 3))
    return np.sum(folded * np.arange(folded.size)) ** 2 + np.sum(np.stack([A[0], x]) ** 4)


@program(normal((3, 3), 3))
def triangles(A, x):
    low, high = np.tril(A), np.triu(A, 1)
    return np.sum((low @ high @ x) ** 2) + np.trace(A @ A) + np.sum(np.outer(x, x) * A)


# Fourier and complex numbers


@program(normal(8, 8))
def spectrum(w, x):
    F = np.fft.fft(w * x)
    return np.sum(np.abs(F) ** 2 * np.arange(8.0)) + np.sum(np.real(np.fft.ifft(F * F)))


@program(normal(4, 8))
def spectral_filter(gains, x):
    F = np.fft.rfft(x)
    low = np.concatenate([np.exp(gains), np.zeros(1)])
    return np.sum(np.fft.irfft(F * low, 8) ** 3)


@program(normal(2, 2))
def complex_numbers(w, x):
    z = w[0] + 1j * w[1]
    c = x[0] - 1j * x[1]
    y = np.exp(z) * np.conj(c) + z**2 / (c + 3.0)
    return np.abs(y) + np.real(y) * np.imag(np.sin(z)) + np.angle(z + 4.0)


@program(normal(2, 2, scale=0.4))
def julia(w, x):
    z, c = x[0] + 1j * x[1], w[0] + 1j * w[1]
    for _ in range(5):
        z = z * z + c
    return np.log(1.0 + np.abs(z) ** 2)


# Branches, loops with conditions, and writes: the peers have twins


@program(normal(2, 2))
def branch(w, x):
    if w[0] + x[0] > 0.0:
        y = np.exp(w[1]) * x[1]
    else:
        y = np.sin(w[1] * x[0]) + w[0] ** 2
    return y * y


@program(positive((), ()))
def newton_root(a, x):
    y = x
    steps = 0
    while np.abs(y * y - a) > 1e-13 and steps < 30:
        y = 0.5 * (y + a / y)
        steps += 1
    return y**3


@program(positive(5, ()))
def first_passage(w, level):
    total = 0.0
    for k in range(5):
        total = total + w[k] ** 2
        if total > 2.0 * level:
            break
        total = total * 1.1
    return total * level


@program(normal(6, 6))
def scatter(w, x):
    out = np.zeros(8)
    out[np.array([1, 3, 0, 6, 2, 5])] = w * x
    out[2:5] = out[2:5] ** 2 + w[:3]
    return np.sum(np.arange(8.0) * out**2)


@program(normal(6, 6))
def scatter_add(w, x):
    out = np.zeros(3)
    np.add.at(out, np.array([0, 2, 2, 1, 0, 2]), w * x)
    return np.sum(out**3)


@program(normal((3, 3), 3))
def cholesky_by_loops(B, x):
    A = B @ B.T + np.eye(3)
    L = np.zeros((3, 3))
    for j in range(3):
        L[j, j] = np.sqrt(A[j, j] - np.sum(L[j, :j] ** 2))
        for i in range(j + 1, 3):
            L[i, j] = (A[i, j] - L[i, :j] @ L[j, :j]) / L[j, j]
    return np.sum((L @ x) ** 2) + np.sum(np.log(np.diagonal(L)))


@program(normal((2, 5), 5))
def gauss_seidel(params, u):
    v = u.copy()
    for _ in range(2):
        for i in range(1, 4):
            v[i] = params[0, i] * v[i - 1] + params[1, i] * v[i + 1] + np.tanh(u[i])
    return np.sum(v**2)

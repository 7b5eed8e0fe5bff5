"""Programs as users write them in plain NumPy, each a real scalar of its arguments.

Nothing here knows a tracer: the file is run by NumPy, by pullback, and with `np` and `pb` replaced
by those of other libraries.
"""

import numpy as np

import pullback as pb

# -- networks
# ---------------------------------------------------------------------------------------


def mlp_tanh(params, x, t):
    h = x
    for W, b in params[:-1]:
        h = np.tanh(h @ W + b)
    W, b = params[-1]
    return np.mean((h @ W + b - t) ** 2)


def mlp_relu_cross_entropy(W1, b1, W2, b2, x, labels):
    h = np.maximum(x @ W1 + b1, 0.0)
    z = h @ W2 + b2
    z = z - np.max(z, axis=1, keepdims=True)
    logp = z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))
    return -np.mean(logp[np.arange(len(labels)), labels])


def sigmoid_autoencoder(W, b, c, x):
    def sigmoid(a):
        return 1.0 / (1.0 + np.exp(-a))

    h = sigmoid(x @ W + b)
    y = sigmoid(h @ W.T + c)
    return -np.mean(np.sum(x * np.log(y) + (1.0 - x) * np.log(1.0 - y), axis=1))


def logsumexp_classifier(W, x, labels):
    z = x @ W
    m = z.max(axis=1)
    lse = m + np.log(np.exp(z - m[:, None]).sum(axis=1))
    return (lse - z[np.arange(z.shape[0]), labels]).mean() + 0.01 * (W * W).sum()


def layer_norm(x, gain, bias):
    mu = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    y = (x - mu) / np.sqrt(var + 1e-5) * gain + bias
    return np.sum(y**3) / y.size


def batch_norm(x, gamma, beta, w):
    mu = np.mean(x, axis=0)
    centred = x - mu
    scale = np.sqrt(np.mean(centred**2, axis=0) + 1e-3)
    return np.sum(np.tanh((centred / scale * gamma + beta) @ w))


def attention(x, Wq, Wk, Wv):
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    weights = weights / np.sum(weights, axis=-1, keepdims=True)
    return np.mean((weights @ v) ** 2)


def multihead_attention(x, Wqkv, Wo):
    n, d = x.shape
    heads = 2
    qkv = (x @ Wqkv).reshape(n, 3, heads, d // heads).transpose(1, 2, 0, 3)
    q, k, v = qkv[0], qkv[1], qkv[2]
    s = np.einsum("hid,hjd->hij", q, k) / np.sqrt(d // heads)
    s = np.where(np.tril(np.ones((n, n), dtype=bool)), s, -1e9)
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    y = np.einsum("hij,hjd->hid", p, v).transpose(1, 0, 2).reshape(n, d)
    return np.sum((x + y @ Wo) ** 2)


def convolution(x, kernels, bias):
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    y = np.einsum("nijkl,okl->noij", windows, kernels) + bias[:, None, None]
    y = np.maximum(y, 0.0)
    return np.mean(y**2)


def dropout_network(W, V, x, mask):
    h = np.tanh(x @ W) * mask / 0.8
    return np.sum(np.abs(h @ V) ** 1.5)


def contrastive(a, b):
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    s = a @ b.T / 0.5
    rows = s - np.log(np.sum(np.exp(s), axis=1, keepdims=True))
    cols = s - np.log(np.sum(np.exp(s), axis=0, keepdims=True))
    return -(np.trace(rows) + np.trace(cols)) / (2 * len(a))


def softplus_elu(W, x):
    z = x @ W
    softplus = np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0.0)
    elu = np.where(z > 0, z, np.exp(np.minimum(z, 0.0)) - 1.0)
    return np.sum(softplus * elu)


# -- statistics
# -------------------------------------------------------------------------------------


def logistic_regression(w, b, X, y):
    margin = (2.0 * y - 1.0) * (X @ w + b)
    return np.mean(np.logaddexp(0.0, -margin)) + 0.05 * np.dot(w, w)


def poisson_regression(w, X, counts):
    rate = X @ w
    return np.sum(np.exp(rate) - counts * rate)


def student_regression(w, log_scale, X, y):
    nu = 4.0
    r = (y - X @ w) * np.exp(-log_scale)
    return np.sum(0.5 * (nu + 1.0) * np.log1p(r * r / nu)) + y.size * log_scale


def huber(w, X, y):
    r = X @ w - y
    a = np.abs(r)
    return np.sum(np.where(a < 0.7, 0.5 * r**2, 0.7 * (a - 0.35)))


def quantile(w, X, y):
    r = y - X @ w
    return np.mean(np.maximum(0.9 * r, -0.1 * r))


def squared_hinge(w, X, y):
    slack = np.maximum(0.0, 1.0 - y * (X @ w))
    return np.sum(slack * slack) + 0.5 * (w @ w)


def gaussian_mixture(logits, means, log_sigmas, x):
    log_weights = logits - np.logaddexp.reduce(logits)
    d = (x[:, None, :] - means[None]) * np.exp(-log_sigmas)[None, :, None]
    dim = x.shape[1]
    logp = -0.5 * np.sum(d**2, axis=2) - dim * log_sigmas - 0.5 * dim * np.log(2.0 * np.pi)
    return -np.sum(np.logaddexp.reduce(log_weights + logp, axis=1))


def gp_cholesky(theta, x, y):
    d = x[:, None] - x[None, :]
    K = np.exp(theta[0]) * np.exp(-0.5 * d**2 * np.exp(theta[1]))
    K = K + (0.3 + np.exp(theta[2])) * np.eye(len(x))
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(K, y)
    return 0.5 * y @ alpha + np.sum(np.log(np.diagonal(L)))


def gp_slogdet(theta, x, y):
    K = np.exp(-np.abs(x[:, None] - x[None, :]) * theta[0]) + theta[1] * np.eye(x.shape[0])
    _, logdet = np.linalg.slogdet(K)
    return 0.5 * np.dot(y, np.linalg.solve(K, y)) + 0.5 * logdet


def cox_partial_likelihood(beta, X, event):
    eta = X @ beta
    risk = np.log(np.cumsum(np.exp(eta)[::-1])[::-1])
    return -np.sum(event * (eta - risk))


def matrix_factorisation(U, V, R, observed):
    error = observed * (R - U @ V.T)
    return np.sum(error**2) + 0.1 * (np.sum(U**2) + np.sum(V**2))


def pca_reconstruction(W, X):
    centred = X - X.mean(0)
    codes = np.linalg.solve(W.T @ W, W.T @ centred.T)
    return np.sum((centred - (W @ codes).T) ** 2)


def soft_kmeans(centres, X):
    d2 = ((X[:, np.newaxis, :] - centres) ** 2).sum(-1)
    w = np.exp(-d2)
    w = w / w.sum(axis=1, keepdims=True)
    return (w * d2).sum()


def polynomial_regression(coefficients, x, y):
    p = np.zeros_like(x)
    for c in coefficients:
        p = p * x + c
    return np.sum((p - y) ** 2)


def cumulative_returns(w, R):
    growth = np.cumprod(1.0 + 0.1 * (R @ w))
    return -np.log(growth[-1]) + np.std(np.diff(growth))


# -- signals and physics
# ----------------------------------------------------------------------------


def total_variation(u, noisy):
    dx, dy = u[:, 1:] - u[:, :-1], u[1:, :] - u[:-1, :]
    smooth = np.sqrt(dx[:-1, :] ** 2 + dy[:, :-1] ** 2 + 1e-3)
    return 0.5 * np.sum((u - noisy) ** 2) + 0.2 * np.sum(smooth)


def interpolation(values, grid, x, k):
    left, right = np.take(values, k), np.take(values, k + 1)
    t = (x - grid[k]) / (grid[k + 1] - grid[k])
    return np.sum(((1.0 - t) * left + t * right) ** 2)


def power_spectrum(x):
    n = x.shape[0]
    k = np.arange(n)
    F = np.exp(-2j * np.pi * np.outer(k, k) / n)
    power = np.abs(F @ x) ** 2 / n
    return np.sum(np.log(power + 0.5))


def ising_energy(s, field):
    m = np.tanh(s)
    bonds = m * np.roll(m, 1, axis=0) + m * np.roll(m, -1, axis=1)
    return -np.sum(bonds) - np.sum(field * m)


def heat_by_rolls(u, alpha):
    def step(i, u):
        return u + alpha * (np.roll(u, 1) - 2.0 * u + np.roll(u, -1))

    return np.sum(pb.fori_loop(0, 4, step, u) ** 2)


def nbody_energy(q, p, mass):
    kinetic = np.sum(p**2 / mass[:, None]) / 2.0
    potential = 0.0
    n = len(mass)
    for i in range(n):
        for j in range(i):
            d = q[i] - q[j]
            potential = potential - mass[i] * mass[j] / np.sqrt(d @ d + 0.01)
    return kinetic + potential


def pendulum_rk4(state, length):
    def f(s):
        return np.stack([s[1], -9.81 / length * np.sin(s[0])])

    def step(i, s):
        h = 0.01
        k1 = f(s)
        k2 = f(s + 0.5 * h * k1)
        k3 = f(s + 0.5 * h * k2)
        k4 = f(s + h * k3)
        return s + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)

    end = pb.fori_loop(0, 5, step, state)
    return np.sum(end**2)


def leapfrog(q, p, k):
    def step(carry, _):
        q, p = carry
        p = p - 0.05 * k * q
        q = q + 0.1 * p
        p = p - 0.05 * k * q
        return (q, p), q

    (q, p), path = pb.scan(step, (q, p), None, length=6)
    return np.sum(p * q) + np.mean(path**2)


def sinkhorn(cost, a, b):
    K = np.exp(-cost)

    def step(i, uv):
        u, v = uv
        u = a / (K @ v)
        v = b / (K.T @ u)
        return u, v

    u, v = pb.fori_loop(0, 4, step, (np.ones_like(a), np.ones_like(b)))
    return np.sum(u[:, None] * K * v[None, :] * cost)


def power_iteration(A, v):
    def step(i, v):
        w = A @ v
        return w / np.sqrt(np.sum(w**2))

    v = pb.fori_loop(0, 5, step, v)
    return v @ A @ v


# -- sequences
# --------------------------------------------------------------------------------------


def rnn(Wh, Wx, b, h0, xs):
    def step(h, x):
        h = np.tanh(h @ Wh + x @ Wx + b)
        return h, np.sum(h**2)

    h, energies = pb.scan(step, h0, xs)
    return np.sum(h) + np.sum(energies * np.arange(xs.shape[0]))


def lstm(W, U, b, h0, c0, xs):
    def sigmoid(a):
        return 0.5 * (np.tanh(0.5 * a) + 1.0)

    def step(carry, x):
        h, c = carry
        n = h.shape[-1]
        z = x @ W + h @ U + b
        i, f = sigmoid(z[..., :n]), sigmoid(z[..., n : 2 * n])
        o, g = sigmoid(z[..., 2 * n : 3 * n]), np.tanh(z[..., 3 * n :])
        c = f * c + i * g
        h = o * np.tanh(c)
        return (h, c), h

    (h, c), hs = pb.scan(step, (h0, c0), xs)
    return np.mean(hs**2) + np.sum(h * c)


def gru(Wz, Wr, Wn, h0, xs):
    def sigmoid(a):
        return 1.0 / (1.0 + np.exp(-a))

    def step(h, x):
        hx = np.concatenate([h, x], axis=-1)
        z, r = sigmoid(hx @ Wz), sigmoid(hx @ Wr)
        n = np.tanh(np.concatenate([r * h, x], axis=-1) @ Wn)
        h = (1.0 - z) * h + z * n
        return h, h

    h, hs = pb.scan(step, h0, xs)
    return np.sum(hs[1:] * hs[:-1]) + np.sum(h)


def kalman(F, Q, r, m0, P0, ys):
    def step(carry, y):
        m, P = carry
        m, P = F @ m, F @ P @ F.T + Q
        s = P[0, 0] + r
        gain = P[:, 0] / s
        e = y - m[0]
        m = m + gain * e
        P = P - np.outer(gain, P[0])
        return (m, P), 0.5 * (np.log(s) + e * e / s)

    _, terms = pb.scan(step, (m0, P0), ys)
    return np.sum(terms)


def autoregression(a, y0, noise):
    def step(carry, e):
        y1, y2 = carry
        y = a[0] * y1 + a[1] * y2 + e
        return (y, y1), y

    _, ys = pb.scan(step, (y0[0], y0[1]), noise)
    return np.sum(ys**2)


def smoothing_backward(decay, xs):
    def step(level, x):
        level = decay * level + (1.0 - decay) * x
        return level, level

    _, forward = pb.scan(step, xs[0], xs)
    _, backward = pb.scan(step, xs[-1], xs, reverse=True)
    return np.sum((forward - backward) ** 2)


def learned_optimizer(w, rate, X, y):
    def loss(w):
        return np.mean((X @ w - y) ** 2)

    def step(i, w):
        return w - rate * pb.grad(loss)(w)

    return loss(pb.fori_loop(0, 3, step, w))

"""A transformer's block: layer norms, attention in several heads, a dense net with GELU."""

import math
from typing import Any

import numpy as np

from ..case import Arguments, Case, Size

EPSILON = 1e-5
GELU = math.sqrt(2 / math.pi)


def normalise(x: Any, scale: Any, shift: Any) -> Any:
    """Bring every position to mean zero and variance one, then scale and shift."""
    centred = x - np.mean(x, axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    return centred / np.sqrt(variance + EPSILON) * scale + shift


def attend(x: Any, qkv: Any, out: Any, heads: int) -> Any:
    """Softmax attention of every position to all, in `heads` heads."""
    batch, steps, width = x.shape
    w, b = qkv
    split = np.reshape(x @ w + b, (batch, steps, 3, heads, width // heads))
    q, k, v = np.transpose(split, (2, 0, 3, 1, 4))
    scores = q @ np.swapaxes(k, -1, -2) / math.sqrt(width // heads)
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    weights = weights / np.sum(weights, axis=-1, keepdims=True)
    joined = np.reshape(np.transpose(weights @ v, (0, 2, 1, 3)), (batch, steps, width))
    w, b = out
    return joined @ w + b


def gelu(a: Any) -> Any:
    """Return the Gaussian error linear unit, by its usual approximation with tanh."""
    return 0.5 * a * (1 + np.tanh(GELU * (a + 0.044715 * a * a * a)))


def loss(params: Any, x: Any, y: Any, heads: int = 4) -> Any:
    """Mean squared error of a block with residuals around both halves."""
    first, qkv, out, second, inner, outer = params
    x = x + attend(normalise(x, *first), qkv, out, heads)
    w, b = inner
    hidden = gelu(normalise(x, *second) @ w + b)
    w, b = outer
    return np.mean((x + hidden @ w + b - y) ** 2)


def make(rng: np.random.Generator, dtype: Any, batch: int, steps: int, width: int) -> Arguments:
    """Draw weights, a batch of sequences and targets."""

    def dense(m: int, n: int) -> tuple[Any, Any]:
        return (
            (rng.standard_normal((m, n)) / np.sqrt(m)).astype(dtype),
            (0.1 * rng.standard_normal(n)).astype(dtype),
        )

    def norm() -> tuple[Any, Any]:
        return (
            (1 + 0.1 * rng.standard_normal(width)).astype(dtype),
            (0.1 * rng.standard_normal(width)).astype(dtype),
        )

    params = (
        norm(),
        dense(width, 3 * width),
        dense(width, width),
        norm(),
        dense(width, 4 * width),
        dense(4 * width, width),
    )
    x, y = rng.standard_normal((2, batch, steps, width)).astype(dtype)
    return params, x, y


def by_hand(params: Any, x: Any, y: Any, heads: int = 4) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy, over the positions as rows."""
    first, (wqkv, bqkv), (wout, bout), second, (win, bin_), (wo, bo) = params
    batch, steps, width = x.shape
    size = width // heads
    x0 = x.reshape(-1, width)
    n1, z1, r1 = _normalised(x0, *first)
    split = (n1 @ wqkv + bqkv).reshape(batch, steps, 3, heads, size)
    q, k, v = split.transpose(2, 0, 3, 1, 4)
    scores = q @ k.swapaxes(-1, -2) * (1 / math.sqrt(size))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    joined = (weights @ v).transpose(0, 2, 1, 3).reshape(-1, width)
    x1 = x0 + joined @ wout + bout
    n2, z2, r2 = _normalised(x1, *second)
    a = n2 @ win + bin_
    square = a * a
    t = np.tanh(GELU * a * (1 + 0.044715 * square))
    half = 0.5 * (1 + t)
    hidden = a * half
    error = x1 + hidden @ wo + bo - y.reshape(-1, width)
    value = np.mean(error * error)

    dx2 = (2 / error.size) * error
    da = (dx2 @ wo.T) * (half + 0.5 * a * (1 - t * t) * GELU * (1 + 3 * 0.044715 * square))
    dnorm2, dsecond = _normalised_back(da @ win.T, z2, r2, second[0])
    dx1 = dx2 + dnorm2
    dv = (dx1 @ wout.T).reshape(batch, steps, heads, size).transpose(0, 2, 1, 3)
    dweights = dv @ v.swapaxes(-1, -2)
    dscores = weights * (dweights - (dweights * weights).sum(axis=-1, keepdims=True))
    dscores *= 1 / math.sqrt(size)
    dsplit = np.empty_like(split)
    dsplit[:, :, 0] = (dscores @ k).transpose(0, 2, 1, 3)
    dsplit[:, :, 1] = (dscores.swapaxes(-1, -2) @ q).transpose(0, 2, 1, 3)
    dsplit[:, :, 2] = (weights.swapaxes(-1, -2) @ dv).transpose(0, 2, 1, 3)
    dqkv = dsplit.reshape(-1, 3 * width)
    _, dfirst = _normalised_back(dqkv @ wqkv.T, z1, r1, None)
    return value, (
        dfirst,
        (n1.T @ dqkv, dqkv.sum(axis=0)),
        (joined.T @ dx1, dx1.sum(axis=0)),
        dsecond,
        (n2.T @ da, da.sum(axis=0)),
        (hidden.T @ dx2, dx2.sum(axis=0)),
    )


def _normalised(x: Any, scale: Any, shift: Any) -> tuple[Any, Any, Any]:
    """Normalise rows; also give them before scale and shift, and the reciprocal deviations."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    reciprocal = 1 / np.sqrt(variance + EPSILON)
    z = centred * reciprocal
    return z * scale + shift, z, reciprocal


def _normalised_back(d: Any, z: Any, reciprocal: Any, scale: Any) -> tuple[Any, Any]:
    """Give the cotangent of the rows (where there is a `scale`), and of scale and shift."""
    grads = ((d * z).sum(axis=0), d.sum(axis=0))
    if scale is None:
        return None, grads
    dz = d * scale
    dz = dz - dz.mean(axis=-1, keepdims=True) - z * (dz * z).mean(axis=-1, keepdims=True)
    return dz * reciprocal, grads


def in_jax(jax: Any, params: Any, x: Any, y: Any, heads: int = 4) -> Any:
    """Say `loss` in JAX, with its own softmax and GELU."""
    first, qkv, out, second, inner, outer = params
    batch, steps, width = x.shape

    def dense(x: Any, layer: Any) -> Any:
        return x @ layer[0] + layer[1]

    def normed(x: Any, scale: Any, shift: Any) -> Any:
        return jax.nn.standardize(x, axis=-1, epsilon=EPSILON) * scale + shift

    split = dense(normed(x, *first), qkv).reshape(batch, steps, 3, heads, width // heads)
    q, k, v = split[:, :, 0], split[:, :, 1], split[:, :, 2]
    scores = jax.numpy.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(width // heads)
    joined = jax.numpy.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v)
    x = x + dense(joined.reshape(batch, steps, width), out)
    hidden = jax.nn.gelu(dense(normed(x, *second), inner), approximate=True)
    return jax.numpy.mean((x + dense(hidden, outer) - y) ** 2)


def in_torch(torch: Any, params: Any, x: Any, y: Any, heads: int = 4) -> Any:
    """Say `loss` in PyTorch, with its own layer norm, attention and GELU."""
    call = torch.nn.functional
    first, (wqkv, bqkv), (wout, bout), second, (win, bin_), (wo, bo) = params
    batch, steps, width = x.shape
    normed = call.layer_norm(x, (width,), *first, eps=EPSILON)
    split = call.linear(normed, wqkv.t(), bqkv).view(batch, steps, 3, heads, width // heads)
    joined = call.scaled_dot_product_attention(*split.permute(2, 0, 3, 1, 4))
    x = x + call.linear(joined.transpose(1, 2).reshape(batch, steps, width), wout.t(), bout)
    normed = call.layer_norm(x, (width,), *second, eps=EPSILON)
    hidden = call.gelu(call.linear(normed, win.t(), bin_), approximate="tanh")
    return call.mse_loss(x + call.linear(hidden, wo.t(), bo), y)


CASE = Case(
    name="attention",
    title="attention block with layer norms, squared error",
    family="networks",
    sizes=(
        Size("4 x 16 x 32, 4 heads", {"batch": 4, "steps": 16, "width": 32}, quick=True),
        Size("8 x 64 x 128, 4 heads", {"batch": 8, "steps": 64, "width": 128}),
    ),
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
    jax={"jax.nn": in_jax},
)

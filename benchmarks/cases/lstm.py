"""A long short-term memory over a sequence, its loop written in plain Python."""

from typing import Any

import numpy as np

from ..case import Arguments, Case
from . import rnn


def sigmoid(a: Any) -> Any:
    """Return the logistic function."""
    return 1 / (1 + np.exp(-a))


def loss(params: Any, h: Any, c: Any, xs: Any, ys: Any) -> Any:
    """Mean squared error of the hidden states read out at every step."""
    wx, wh, b, readout = params
    n = h.shape[1]
    hs = np.empty((len(xs), *h.shape), h.dtype)
    for i, x in enumerate(xs):
        gates = x @ wx + h @ wh + b
        keep, take, give = [sigmoid(gates[:, k * n : (k + 1) * n]) for k in range(3)]
        c = keep * c + take * np.tanh(gates[:, 3 * n :])
        h = give * np.tanh(c)
        hs[i] = h
    return np.mean((hs @ readout - ys) ** 2)


def make(rng: np.random.Generator, dtype: Any, **dims: int) -> Arguments:
    """Draw weights, first states of zeros, a sequence and its targets."""
    params, h, xs, ys = rnn.make(rng, dtype, **dims, gates=4)
    return params, h, h.copy(), xs, ys


def by_hand(params: Any, h: Any, c: Any, xs: Any, ys: Any) -> tuple[Any, Any]:
    """Value and gradient in NumPy, with all that does not depend on the state out of the loops."""
    wx, wh, b, readout = params
    n = h.shape[1]
    driven = xs @ wx + b
    hs = np.empty((len(xs) + 1, *h.shape), h.dtype)
    hs[0] = h
    tape = []
    for i, drive in enumerate(driven):
        gates = drive + hs[i] @ wh
        on = 1 / (1 + np.exp(-gates[:, : 3 * n]))
        keep, take, give = on[:, :n], on[:, n : 2 * n], on[:, 2 * n :]
        new = np.tanh(gates[:, 3 * n :])
        before, c = c, keep * c + take * new
        out = np.tanh(c)
        hs[i + 1] = give * out
        tape.append((before, on, keep, take, give, new, out))
    states = hs[1:]
    error = states @ readout - ys
    value = np.mean(error**2)

    derror = 2 * error / error.size
    dreadout = states.reshape(-1, n).T @ derror.reshape(-1, error.shape[-1])
    dhs = derror @ readout.T
    dgates = np.empty_like(driven)
    dh, dc = np.zeros_like(h), np.zeros_like(h)
    for i in reversed(range(len(xs))):
        before, on, keep, take, give, new, out = tape[i]
        dh = dh + dhs[i]
        dc = dc + dh * give * (1 - out * out)
        da = dgates[i]
        da[:, :n] = dc * before
        da[:, n : 2 * n] = dc * new
        da[:, 2 * n : 3 * n] = dh * out
        da[:, : 3 * n] *= on * (1 - on)
        da[:, 3 * n :] = dc * take * (1 - new * new)
        dc = dc * keep
        dh = da @ wh.T
    flat = dgates.reshape(-1, 4 * n)
    dwx = xs.reshape(-1, xs.shape[-1]).T @ flat
    dwh = hs[:-1].reshape(-1, n).T @ flat
    return value, (dwx, dwh, flat.sum(axis=0), dreadout)


def unrolled(xp: Any, params: Any, h: Any, c: Any, xs: Any, ys: Any) -> Any:
    """Say `loss` over the namespace `xp`, the loop unrolled by Python."""
    wx, wh, b, readout = params
    n = h.shape[1]
    hs = []
    for x in xs:
        gates = x @ wx + h @ wh + b
        on = 1 / (1 + xp.exp(-gates[:, : 3 * n]))
        c = on[:, :n] * c + on[:, n : 2 * n] * xp.tanh(gates[:, 3 * n :])
        h = on[:, 2 * n :] * xp.tanh(c)
        hs.append(h)
    return xp.mean((xp.stack(hs) @ readout - ys) ** 2)


def by_jax_scan(jax: Any, params: Any, h: Any, c: Any, xs: Any, ys: Any) -> Any:
    """Say `loss` in JAX with ``lax.scan``, the input's product taken out of the loop."""
    wx, wh, b, readout = params

    def step(state: Any, drive: Any) -> tuple[Any, Any]:
        h, c = state
        *gates, new = jax.numpy.split(drive + h @ wh, 4, axis=1)
        keep, take, give = map(jax.nn.sigmoid, gates)
        c = keep * c + take * jax.numpy.tanh(new)
        h = give * jax.numpy.tanh(c)
        return (h, c), h

    _, hs = jax.lax.scan(step, (h, c), xs @ wx + b)
    return jax.numpy.mean((hs @ readout - ys) ** 2)


def in_torch(torch: Any, params: Any, h: Any, c: Any, xs: Any, ys: Any) -> Any:
    """Say `loss` in PyTorch, the input's product taken out of the loop."""
    wx, wh, b, readout = params
    n = h.shape[1]
    hs = []
    for drive in xs @ wx + b:
        gates = torch.addmm(drive, h, wh)
        keep, take, give = torch.sigmoid(gates[:, : 3 * n]).chunk(3, dim=1)
        c = keep * c + take * torch.tanh(gates[:, 3 * n :])
        h = give * torch.tanh(c)
        hs.append(h)
    return torch.nn.functional.mse_loss(torch.stack(hs) @ readout, ys)


CASE = Case(
    name="lstm",
    title="long short-term memory by a Python loop, squared error",
    family="sequences and dynamics",
    sizes=rnn.CASE.sizes,
    loss=loss,
    make=make,
    by_hand=by_hand,
    portable=unrolled,
    torch=in_torch,
    jax={"scan": by_jax_scan},
)

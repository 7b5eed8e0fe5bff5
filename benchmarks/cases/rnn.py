"""A recurrent network over a sequence, its loop written with `pullback.scan`."""

from typing import Any

import numpy as np

import pullback as pb

from ..case import Arguments, Case, Size


def loss(params: Any, h0: Any, xs: Any, ys: Any) -> Any:
    """Mean squared error of a tanh cell's states read out at every step."""
    wx, wh, b, readout = params

    def step(h: Any, x: Any) -> tuple[Any, Any]:
        h = np.tanh(x @ wx + h @ wh + b)
        return h, h

    _, hs = pb.scan(step, h0, xs)
    return np.mean((hs @ readout - ys) ** 2)


def make(
    rng: np.random.Generator,
    dtype: Any,
    steps: int,
    batch: int,
    inputs: int,
    hidden: int,
    outputs: int = 8,
    gates: int = 1,
) -> Arguments:
    """Draw weights of spectral radius near one, a first state, a sequence and its targets.

    The weights of a cell with several gates stand side by side.
    """
    params = (
        (rng.standard_normal((inputs, gates * hidden)) / np.sqrt(inputs)).astype(dtype),
        (rng.standard_normal((hidden, gates * hidden)) / np.sqrt(hidden)).astype(dtype),
        (0.1 * rng.standard_normal(gates * hidden)).astype(dtype),
        (rng.standard_normal((hidden, outputs)) / np.sqrt(hidden)).astype(dtype),
    )
    h0 = np.zeros((batch, hidden), dtype)
    xs = rng.standard_normal((steps, batch, inputs)).astype(dtype)
    ys = rng.standard_normal((steps, batch, outputs)).astype(dtype)
    return params, h0, xs, ys


def by_hand(params: Any, h0: Any, xs: Any, ys: Any) -> tuple[Any, Any]:
    """Value and gradient in NumPy, with all that does not depend on the state out of the loops."""
    wx, wh, b, readout = params
    driven = xs @ wx + b
    hs = np.empty((len(xs) + 1, *h0.shape), h0.dtype)
    hs[0] = h0
    for i, drive in enumerate(driven):
        hs[i + 1] = np.tanh(drive + hs[i] @ wh)
    states = hs[1:]
    error = states @ readout - ys
    value = np.mean(error**2)

    derror = 2 * error / error.size
    outputs = error.shape[-1]
    hidden = h0.shape[-1]
    dreadout = states.reshape(-1, hidden).T @ derror.reshape(-1, outputs)
    dhs = derror @ readout.T
    slopes = 1 - states * states
    das = np.empty_like(states)
    carried = np.zeros_like(h0)
    for i in reversed(range(len(xs))):
        das[i] = (dhs[i] + carried) * slopes[i]
        carried = das[i] @ wh.T
    flat = das.reshape(-1, hidden)
    dwx = xs.reshape(-1, xs.shape[-1]).T @ flat
    dwh = hs[:-1].reshape(-1, hidden).T @ flat
    return value, (dwx, dwh, flat.sum(axis=0), dreadout)


def unrolled(xp: Any, params: Any, h0: Any, xs: Any, ys: Any) -> Any:
    """Say `loss` over the namespace `xp`, the loop unrolled by Python."""
    wx, wh, b, readout = params
    h = h0
    hs = []
    for x in xs:
        h = xp.tanh(x @ wx + h @ wh + b)
        hs.append(h)
    return xp.mean((xp.stack(hs) @ readout - ys) ** 2)


def by_jax_scan(jax: Any, params: Any, h0: Any, xs: Any, ys: Any) -> Any:
    """Say `loss` in JAX with ``lax.scan``."""
    wx, wh, b, readout = params

    def step(h: Any, x: Any) -> tuple[Any, Any]:
        h = jax.numpy.tanh(x @ wx + h @ wh + b)
        return h, h

    _, hs = jax.lax.scan(step, h0, xs)
    return jax.numpy.mean((hs @ readout - ys) ** 2)


def in_torch(torch: Any, params: Any, h0: Any, xs: Any, ys: Any) -> Any:
    """Say `loss` in PyTorch, the input's product taken out of the loop."""
    wx, wh, b, readout = params
    h = h0
    hs = []
    for drive in xs @ wx + b:
        h = torch.tanh(torch.addmm(drive, h, wh))
        hs.append(h)
    return torch.nn.functional.mse_loss(torch.stack(hs) @ readout, ys)


CASE = Case(
    name="rnn",
    title="recurrent network by pb.scan, squared error",
    family="sequences and dynamics",
    sizes=(
        Size(
            "20 steps, 8 x 16-32",
            {"steps": 20, "batch": 8, "inputs": 16, "hidden": 32},
            quick=True,
        ),
        Size("100 steps, 16 x 64-128", {"steps": 100, "batch": 16, "inputs": 64, "hidden": 128}),
    ),
    loss=loss,
    make=make,
    by_hand=by_hand,
    portable=unrolled,
    torch=in_torch,
    jax={"scan": by_jax_scan},
)

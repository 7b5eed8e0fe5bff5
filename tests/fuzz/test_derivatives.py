"""Derivatives of random smooth programs: in every mode, for many examples, of higher order.

`python tests/fuzz/test_derivatives.py FIRST LAST` tries the seeds in between, and prints what
differs.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parents[1] / ".src"))
from smooth import Smooth  # noqa: E402

import pullback as pb  # noqa: E402

SHARDS = 6
EXAMPLES = 25
STEP = 1e-5
CLOSE, SAME = 2e-4, 1e-8
"""What differences of first derivatives may be off by, and two ways to compute the same number."""


def function_of(text: str, seed: int) -> Callable[..., Any]:
    filename = f"<smooth {seed}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    namespace: dict[str, Any] = {"np": np, "__name__": "smooth_program"}
    exec(compile(text, filename, "exec"), namespace)
    made: Callable[..., Any] = namespace["program"]
    return made


def differences(f: Callable[..., Any], x: Any, step: float = STEP) -> Any:
    """Return the Jacobian by central differences: the axes of the result, then those of x."""
    columns = []
    for k in range(x.size):
        e = np.zeros(x.size)
        e[k] = step
        e = e.reshape(x.shape)
        columns.append((np.asarray(f(x + e)) - np.asarray(f(x - e))) / (2 * step))
    found = np.array(columns)
    return np.moveaxis(found, 0, -1).reshape(found.shape[1:] + x.shape)


def is_smooth(f: Callable[..., Any], x: Any, jacobian: Any) -> bool:
    """Whether differences with another step say the same."""
    other = differences(f, x, STEP / 8)
    return bool(np.all(np.abs(jacobian - other) < 1e-3 * (1 + np.max(np.abs(jacobian)))))


def checks(f: Callable[..., Any], x: Any, seed: int) -> Iterator[tuple[str, Any, Any, float]]:
    """Give names of ways to a derivative, what they give and what it is, and how far it may be."""
    rng = np.random.default_rng(seed)
    v, u = rng.uniform(-1, 1, (2, *x.shape))
    xs = rng.uniform(-1, 1, (3, *x.shape))
    gradient = pb.grad(f)
    slope, expected = gradient(x), differences(f, x)
    if not is_smooth(f, x, expected):
        return
    yield "grad", slope, expected, CLOSE
    each = np.stack([gradient(z) for z in xs])
    yield "jvp", pb.jvp(f, (x,), (v,))[1], np.sum(slope * v), SAME
    yield "vmap of grad", pb.vmap(gradient)(xs), each, SAME
    hessian = differences(gradient, x)
    if not is_smooth(gradient, x, hessian):
        return
    along = np.tensordot(hessian, v, x.ndim)
    yield "hessian", pb.hessian(f)(x), hessian, CLOSE
    way = seed % 8
    if way == 0:
        yield "jacfwd of grad", pb.jacfwd(gradient)(x), hessian, CLOSE
        yield "exact jacrev of grad", pb.jacrev(gradient, exact=True)(x), hessian, CLOSE
    elif way == 1:
        weights = np.array([1.0, -2.0, 3.0])
        found = pb.grad(lambda z: np.sum(pb.vmap(f)(z) * weights))(xs)
        yield "grad of vmap", found, (each.T * weights).T, SAME
    elif way == 2:
        last = np.moveaxis(xs, 0, -1)
        found = pb.vmap(gradient, in_axes=-1, out_axes=-1)(last)
        yield "vmap along the last axis", found, np.moveaxis(each, 0, -1), SAME
        twice = np.stack([xs, xs * 0.5, xs - 0.1])
        found = pb.vmap(pb.vmap(gradient))(twice)
        yield "vmap of vmap", found, [[gradient(z) for z in zs] for zs in twice], SAME
    elif way == 3:
        found = pb.vmap(pb.hessian(f))(xs)
        yield "vmap of hessian", found, [pb.hessian(f)(z) for z in xs], SAME
    elif way == 4:
        yield "hvp", pb.hvp(f, (x,), (v,))[0], along, CLOSE
        found = pb.hessian(pb.checkpoint(f))(x)
        yield "hessian of checkpoint", found, hessian, CLOSE
    elif way == 5:
        found = pb.sparse_hessian(f)(x).toarray()
        yield "sparse_hessian", found, hessian.reshape(x.size, x.size), CLOSE
    elif way == 6:
        _, (first, second) = pb.jet(f, x, [v, np.zeros_like(v)])
        yield "first of jet", first, np.sum(slope * v), SAME
        yield "second of jet", second, np.sum(along * v), CLOSE
    else:

        def curved(z: Any) -> Any:
            return np.sum(pb.hvp(f, (z,), (v,))[0] * u)

        third = differences(curved, x)
        if is_smooth(curved, x, third):
            yield "grad of hvp", pb.grad(curved)(x), third, CLOSE


def difference(seed: int) -> str:
    """Return how a derivative differs; "" where none does."""
    program = Smooth(seed)
    f = function_of(program.text, seed)
    x = program.names["x"]
    for name, found, expected, most in checks(f, x, seed):
        found, expected = np.asarray(found), np.asarray(expected)
        if found.shape != expected.shape:
            return f"{name} has shape {found.shape}, not {expected.shape}"
        if not np.all(np.abs(found - expected) <= most * (1 + np.max(np.abs(expected)))):
            return f"{name} is\n{found}, not\n{expected}, at\n{x}"
    return ""


@pytest.mark.parametrize("shard", range(SHARDS))
def test_all_ways_to_a_derivative_agree(shard: int) -> None:
    for seed in range(shard * EXAMPLES, (shard + 1) * EXAMPLES):
        found = difference(seed)
        assert not found, f"{seed}: {found}\n{Smooth(seed).text}"


if __name__ == "__main__":
    for seed in range(int(sys.argv[1]), int(sys.argv[2])):
        try:
            found = difference(seed)
        except Exception as error:  # whatever the compiler does
            found = repr(error)
        if found:
            print(f"== {seed}: {found}\n{Smooth(seed).text}", flush=True)

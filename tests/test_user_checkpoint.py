"""`checkpoint`: the same bits with and without it, and less memory; what runs again, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import Function, walk

Array = Any
RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 24))
WS = [RNG.normal(size=(24, 24)) / 5 for _ in range(6)]
IDX = np.array([3, 1, 4, 1, 5])


def plain(f: Callable[..., Any]) -> Callable[..., Any]:
    return f


def layer(h: Array, w: Array) -> Array:
    a = np.tanh(h @ w)
    return h + a * np.exp(-h * h) * np.cos(a)


def deep(ck: Any) -> Any:
    step = ck(layer)

    def loss(ws: Any, x: Array) -> Any:
        for w in ws:
            x = step(x, w)
        return np.sum(x * x)

    return loss


def nested(ck: Any) -> Any:
    inner = ck(layer)

    def two(x: Array, w: Array, v: Array) -> Array:
        return np.sin(inner(inner(x, w), v))

    outer = ck(two)

    def loss(ws: Any, x: Array) -> Any:
        return np.sum(outer(outer(x, ws[0], ws[1]), ws[2], ws[3]) ** 2)

    return loss


def in_scan(ck: Any) -> Any:
    def loss(ws: Any, x: Array) -> Any:
        step = ck(layer)
        h, ys = pb.scan(lambda h, w: (step(h, w), np.sum(h)), x, np.stack(ws))
        return np.sum(h * h) + np.sum(ys**2)

    return loss


def in_python_loop(ck: Any) -> Any:
    step = ck(layer)

    def loss(ws: Any, x: Array) -> Any:
        w = ws[0]
        for _ in range(9):
            x = step(x, w) / 2
        return np.sum(x * x)

    return loss


def holding_a_loop(ck: Any) -> Any:
    def loop(x: Array, w: Array) -> Array:
        for _ in range(7):
            x = np.tanh(x @ w) + np.sin(x)
        return np.exp(-x * x)

    step = ck(loop)

    def loss(ws: Any, x: Array) -> Any:
        return np.sum(step(step(x, ws[0]), ws[1]) ** 2)

    return loss


def loops_in_loops(ck: Any) -> Any:
    def inner(x: Array, w: Array) -> Array:
        for _ in range(3):
            x = np.tanh(x @ w) + np.sin(x)
        return x * np.exp(-x)

    step = ck(inner)

    def loss(ws: Any, x: Array) -> Any:
        for _ in range(4):
            x = step(x, ws[0])
        return np.sum(x**2)

    return loss


def with_branches(ck: Any) -> Any:
    def branch(x: Array, w: Array) -> Array:
        if np.sum(x) > 0:
            return np.tanh(x @ w)
        return np.sin(x) * np.exp(x @ w)

    step = ck(branch)

    def loss(ws: Any, x: Array) -> Any:
        for _ in range(3):
            x = step(x, ws[0])
        return np.sum(step(x, ws[1]) ** 2) + np.sum(step(-x, ws[2]) ** 2)

    return loss


def in_a_branch(ck: Any) -> Any:
    step = ck(layer)

    def loss(ws: Any, x: Array) -> Any:
        y = step(step(x, ws[0]), ws[1]) if np.sum(x) > -1e9 else x
        return np.sum(y**2)

    return loss


def writing(ck: Any) -> Any:
    def fill(x: Array, w: Array) -> Array:
        y = np.zeros_like(x)
        y[1:] = np.sin(x[:-1] @ w)
        y[IDX[:2]] = np.exp(-x[:2])
        x[0] = 2 * x[1]
        return y * np.tanh(x)

    step = ck(fill)

    def loss(ws: Any, x: Array) -> Any:
        h = x * 1.5
        z = step(h, ws[0]) + h
        return np.sum(step(z, ws[1]) ** 2)

    return loss


def with_solve(ck: Any) -> Any:
    def solve(x: Array, w: Array) -> Array:
        return np.tanh(np.linalg.solve(w @ w.T + 10 * np.eye(24), x.T)).T * np.sin(x)

    step = ck(solve)

    def loss(ws: Any, x: Array) -> Any:
        return np.sum(step(step(x, ws[0]), ws[1])[IDX] ** 2)

    return loss


def with_masks(ck: Any) -> Any:
    def select(x: Array, w: Array) -> Array:
        y = np.exp(-(x[x > 0] ** 2))
        return x * np.sum(np.sin(y)) + np.maximum(x @ w, 0)

    step = ck(select)

    def loss(ws: Any, x: Array) -> Any:
        return np.sum(step(step(x, ws[0]), ws[1]) ** 2)

    return loss


def holding_a_gradient(ck: Any) -> Any:
    def descend(x: Array, w: Array) -> Array:
        g = pb.grad(lambda v: np.sum(np.tanh(v @ w) ** 2))(x)
        return np.sin(x - 0.1 * g)

    step = ck(descend)

    def loss(ws: Any, x: Array) -> Any:
        return np.sum(step(step(x, ws[0]), ws[1]) ** 2)

    return loss


PROGRAMS = [
    deep,
    nested,
    in_scan,
    in_python_loop,
    holding_a_loop,
    loops_in_loops,
    with_branches,
    in_a_branch,
    writing,
    with_solve,
    with_masks,
    holding_a_gradient,
]


def leaves(tree: Any) -> list[bytes]:
    if isinstance(tree, tuple | list):
        return [leaf for part in tree for leaf in leaves(part)]
    return [np.asarray(tree).tobytes()]


def recomputed(function: Function) -> int:
    return sum(e.provenance.derived == "recompute" for e in walk(function))


@pytest.mark.parametrize("program", PROGRAMS)
def test_gradients_are_the_same_bit_for_bit(program: Any) -> None:
    expected = pb.value_and_grad(program(plain), argnums=(0, 1), exact=True)(WS, X)
    found = pb.value_and_grad(program(pb.checkpoint), argnums=(0, 1), exact=True)(WS, X)
    assert leaves(found) == leaves(expected)


@pytest.mark.parametrize("program", PROGRAMS)
def test_second_derivatives_are_the_same(program: Any) -> None:
    def twice(ck: Any) -> Any:
        inner = pb.grad(program(ck), argnums=1)
        return pb.grad(lambda ws, x: np.sum(np.sin(inner(ws, x))), argnums=(0, 1))

    expected, found = twice(plain)(WS, X), twice(pb.checkpoint)(WS, X)
    for a, b in zip((*expected[0], expected[1]), (*found[0], found[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(a).max())


@pytest.mark.parametrize("program", PROGRAMS)
def test_pullbacks_are_the_same(program: Any) -> None:
    expected, pull = pb.vjp(program(plain), WS, X)
    value, again = pb.vjp(program(pb.checkpoint), WS, X)
    assert value == expected
    for _ in range(2):
        for a, b in zip(*[(*p(2.0)[0], p(2.0)[1]) for p in (pull, again)], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(a).max())


@pytest.mark.parametrize("program", [deep, nested, holding_a_loop])
def test_the_program_needs_less_memory(program: Any) -> None:
    def peak(ck: Any) -> int:
        plan = pb.grad(program(ck), argnums=1).inspect(WS, X).plan
        return plan.peak_bytes

    assert peak(pb.checkpoint) < 0.75 * peak(plain)


def test_a_pullback_owns_inputs_of_checkpoints_alone() -> None:
    from pullback.pullbacks import VjpFunction

    def residuals(ck: Any) -> int:
        f = VjpFunction(deep(ck))
        f(WS, X)
        (entry,) = [e for entries in f.programs.entries.values() for e in entries]
        kept = entry.forward.plan.function.results[1:]
        return sum(r.type.nbytes for r in kept if r not in entry.forward.plan.function.params)

    assert residuals(pb.checkpoint) <= len(WS) * X.nbytes < residuals(plain)


def test_in_a_loop_only_the_carry_is_kept() -> None:
    def kept(ck: Any) -> int:
        joint = pb.grad(in_scan(ck)).inspect(WS, X).optimized
        loops = [e for e in joint.eqns if e.op.name == "loop"]
        return sum(r.type.nbytes for r in loops[0].results if len(r.type.shape) == 3)

    assert kept(pb.checkpoint) == len(WS) * X.nbytes < kept(plain)


def test_outside_of_a_trace_it_calls_the_function() -> None:
    step = pb.checkpoint(layer)
    assert leaves(step(X, WS[0])) == leaves(layer(X, WS[0]))
    assert "layer" in repr(step)
    with pytest.raises(TypeError, match="takes a function"):
        pb.checkpoint(3)  # type: ignore[arg-type]


def test_compiled_it_runs_once() -> None:
    f = pb.compile(lambda x: pb.checkpoint(layer)(x, WS[0]))
    assert recomputed(f.inspect(X).optimized) == 0
    np.testing.assert_allclose(f(X), layer(X, WS[0]))
    training = pb.compile(lambda ws, x: pb.grad(deep(pb.checkpoint))(ws, x))
    assert recomputed(training.inspect(WS, X).optimized) > 5 * len(WS)


def test_methods_and_decorators() -> None:
    class Model:
        def __init__(self) -> None:
            self.w = WS[0]

        @pb.checkpoint
        def step(self, x: Array) -> Array:
            return np.tanh(x @ self.w) * np.sin(x)

        def loss(self, x: Array) -> Any:
            return np.sum(self.step(self.step(x)) ** 2)

    model = Model()
    gradient = pb.grad(model.loss)
    first = gradient(X)
    assert recomputed(gradient.inspect(X).optimized) > 0
    model.w = WS[1]
    assert np.abs(gradient(X) - first).max() > 1e-3
    w = WS[1]
    expected = pb.grad(lambda x: np.sum((np.tanh((s := np.tanh(x @ w) * np.sin(x)) @ w) * np.sin(s)) ** 2))(X)  # noqa: E501  # fmt: skip
    np.testing.assert_allclose(gradient(X), expected)


def test_draws_happen_once() -> None:
    def noisy(ck: Any) -> Any:
        def step(x: Array, rng: np.random.Generator) -> Array:
            return np.sin(x * np.exp(rng.normal(size=x.shape)))

        marked = ck(step)
        return lambda x, rng: np.sum(marked(marked(x, rng), rng) ** 2)

    found = [
        pb.grad(noisy(ck), exact=True)(X, np.random.default_rng(5)) for ck in (plain, pb.checkpoint)
    ]
    assert leaves(found[0]) == leaves(found[1])
    rngs = [np.random.default_rng(5) for _ in range(2)]
    pb.grad(noisy(pb.checkpoint))(X, rngs[0])
    noisy(plain)(X, rngs[1])
    assert rngs[0].random() == rngs[1].random()


def test_prints_happen_once(capsys: pytest.CaptureFixture[str]) -> None:
    def step(x: Array) -> Array:
        y = np.exp(np.sin(x))
        print("sum", float(np.sum(y)) > 0)
        return y * np.cos(y)

    f = pb.checkpoint(step)
    pb.grad(lambda x: np.sum(f(f(x))))(X)
    assert capsys.readouterr().out.count("sum") == 2


def test_what_runs_again_does_not_warn_again() -> None:
    step = pb.checkpoint(lambda x: np.exp(np.log(x) * 2) * np.sin(x))
    gradient = pb.grad(lambda x: np.sum(step(x) ** 2))
    with pytest.warns(RuntimeWarning, match="divide by zero") as found:
        gradient(np.array([0.0, 1.0, 2.0]))
    assert len([w for w in found if "divide" in str(w.message)]) == 1


def test_hidden_inputs_are_read_at_every_call() -> None:
    scale = np.array(2.0)
    step = pb.checkpoint(lambda x: np.exp(np.sin(x * scale)))
    gradient = pb.grad(lambda x: np.sum(step(step(x))))
    first = gradient(X)
    scale[...] = 3.0
    second = gradient(X)
    expected = pb.grad(lambda x: np.sum(np.exp(np.sin(np.exp(np.sin(x * 3.0)) * 3.0))))(X)
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_allclose(second, expected)

"""Products with the identity are left out: the same values, on the diagonal alone."""

import numpy as np
import pytest

import pullback as pb
from pullback.ir.evaluate import evaluate
from pullback.passes.batching import batched
from pullback.passes.diagonal import diagonal
from pullback.transforms.linear import Linear

W = np.random.default_rng(0).normal(size=(4, 4))
X = np.random.default_rng(1).uniform(0.5, 1, 4)


CASES = {
    "scaled": lambda x: -np.sin(x) * 3.0 / (1 + x[::-1]),
    "layer": lambda x: np.tanh(W @ x),
    "row": lambda x: np.tanh(x) @ W,
    "two layers": lambda x: W @ np.tanh(W @ np.exp(x)),
    "sum": lambda x: x * np.sum(x) + np.cumsum(x),
    "matrix": lambda x: np.sum(np.outer(x, x) * W, axis=0) * x,
    "identity": lambda x: x + 0.0,
    "masked": lambda x: W @ (np.where(x > 0.7, x**2, 0.0) + np.maximum(x, 0.8)),
    "summed": lambda x: np.sin(x) * x - np.exp(x) / x,
    "divided": lambda x: 1 / x + x / 7.0,
}


@pytest.mark.parametrize("make", [Linear.pushforward, Linear.pullback])
@pytest.mark.parametrize("name", CASES)
def test_the_values_are_the_same(name, make):
    function = pb.compile(CASES[name]).inspect(X).forward
    linear = make(function, [0], [0])
    hidden = [W] * (len(function.params) - 1)
    residuals = evaluate(linear.primal, X, *hidden)[linear.results :]
    whole, _ = batched(linear.linear, [False] * len(residuals) + [True], 4)
    short = diagonal(whole, [len(whole.params) - 1])
    expected = evaluate(whole, *residuals, np.eye(4))
    found = evaluate(short, *residuals, np.eye(4))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


def test_a_chain_of_elementwise_functions_is_computed_on_the_diagonal():
    program = pb.jacobian(lambda x: np.sin(np.where(x > 0.6, np.exp(x) * x, 0.0))).inspect(X)
    large = [e.op.name for e in program.optimized.eqns if e.results[0].type.size == 16]
    assert [name for name in large if name not in ("reshape", "transpose")] == [
        "full",
        "index_update",
    ]
    np.testing.assert_allclose(
        pb.jacobian(lambda x: np.sin(np.exp(x) * 2.0))(X),
        np.diag(np.cos(np.exp(X) * 2.0) * 2.0 * np.exp(X)),
    )


def test_an_infinite_slope_is_in_its_place_alone():
    with np.errstate(all="ignore"):  # dividing by zero is meant
        found = pb.jacobian(np.sqrt)(np.array([0.0, 4.0]))
    np.testing.assert_array_equal(found, [[np.inf, 0], [0, 0.25]])

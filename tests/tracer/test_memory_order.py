"""Results lie in memory as NumPy's do, which decides what a reshape of them shares."""

from __future__ import annotations

import linecache
from typing import Any

import numpy as np
import pytest

import pullback as pb

EXPRESSIONS = [
    "np.take(x, [2, 0, 1], axis=1)",
    "np.take(X, [2, 0], axis=-1)",
    "x[[0, 1]]",
    "x[:, [0, 1]]",
    "x[:, np.array([[0, 1], [1, 2]])]",
    "X[:, [0, 1]]",
    "X[..., [0, 1]]",
    "X[:, [0, 1], [1, 0]]",
    "X[[0, 1], :, [1, 0]]",
    "X[1:, ::-1, [1, 0]]",
    "X[:, None, [0, 1]]",
    "np.array(x[:, [0, 1]])",
    "np.sin(x[:, [0, 1]])",
    "np.pad(x, 1)",
    "np.pad(x, ((1, 0), (0, 2)), mode='edge')",
    "np.pad(x, 1, constant_values=((1.0, 2.0), (3.0, 4.0)))",
    "np.select([x > 0], [x], 0.0)",
    "np.choose((x > 0).astype(int), [x, y])",
    "np.sort(x, axis=0)",
    "np.sort(x, axis=1)",
    "np.partition(x, 1, axis=0)",
    "np.gradient(x, axis=0)",
    "np.gradient(x)[1]",
    "np.piecewise(x, [x > 0], [lambda v: v * v, np.sin])",
    "np.vectorize(lambda v: v * v)(x)",
    "np.vectorize(lambda v, w: v * w)(x, y)",
    "np.real(x + 1j * x) + 0.0",
    "np.imag(x + 1j * x) + 0.0",
    "np.vecdot(X, X)",
    "S @ np.ones((4, 2))",
    "S @ np.ones(4)",
    "np.vecdot(S, S)",
]
RNG = np.random.default_rng(7)
X, Y, CUBE = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3)), RNG.normal(size=(3, 4, 5))
STACK = RNG.normal(size=(2, 3, 2, 4))
ARGUMENTS = {
    "C": (X, Y, CUBE, STACK),
    "F": (X.T, Y.T, CUBE.transpose(2, 0, 1), STACK.transpose(1, 0, 2, 3)),
    "mixed": (X.T, Y, CUBE.transpose(0, 2, 1), STACK[::-1]),
    "reversed": (X[::-1], Y.T, CUBE.T, STACK[:, ::-1].transpose(1, 0, 2, 3)),
}
WRITE = """
def program(x, y, X, S):
    v = {}
    w = v.reshape(-1)
    w *= 2.0
    return v
"""


def function_of(text: str, name: str) -> Any:
    filename = f"<{name}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    namespace: dict[str, Any] = {"np": np}
    exec(compile(text, filename, "exec"), namespace)
    return namespace["program"]


@pytest.mark.parametrize("order", list(ARGUMENTS))
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_results_have_numpys_order_and_share_what_numpys_share(expression: str, order: str) -> None:
    read = f"def program(x, y, X, S):\n    return {expression}\n"
    for text in (read, WRITE.format(expression)):
        function = function_of(text, f"{order} {expression} {text is read}")
        expected = function(*ARGUMENTS[order])
        found = pb.compile(function)(*ARGUMENTS[order])
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        sizes = zip(found.strides, expected.strides, expected.shape, strict=True)
        assert all(a == b for a, b, n in sizes if n > 1), (found.strides, expected.strides)


@pytest.mark.parametrize("order", list(ARGUMENTS))
def test_what_is_written_through_a_reshape_of_picked_columns_has_a_gradient(order: str) -> None:
    x = ARGUMENTS[order][0]

    def loss(x: Any) -> Any:
        v = np.array(x[:, [1, 1, 0]])
        v.reshape(-1)[1:] *= v.reshape(-1)[:-1]
        return np.sum(v**3)

    slopes = []
    for k in range(x.size):
        e = np.zeros(x.size)
        e[k] = 1e-6
        e = e.reshape(x.shape)
        slopes.append((loss(x + e) - loss(x - e)) / 2e-6)
    wanted = np.reshape(slopes, x.shape)
    np.testing.assert_allclose(pb.grad(loss)(x), wanted, rtol=1e-5, atol=1e-6)

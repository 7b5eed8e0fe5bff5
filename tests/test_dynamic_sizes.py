"""Arrays whose size only the run knows, through every layer: values, kinds, derivatives, text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.parser import parse_function as parse
from pullback.ir.verify import verify
from pullback.pullbacks import VjpFunction

pytestmark = pytest.mark.usefixtures("checked")

Case = Callable[..., Any]

X = np.array([0.5, -1.2, 2.3, 0.7, -0.4, 1.1])
M = np.array([[0.5, -1.2, 2.3], [-0.7, 0.4, 1.1], [1.5, 0.2, -0.3], [0.9, -1.9, 0.1]])


VECTORS: dict[str, Case] = {
    "elementwise": lambda x: np.sin(x[x > 0]) * 2 + 1,
    "two reads by one mask": lambda x: x[x > 0] * np.cos(x)[x > 0],
    "sum": lambda x: np.sum(x[x > 0]),
    "prod": lambda x: np.prod(x[x > 0]),
    "mean": lambda x: np.mean(x[x > -9]),
    "mean of nothing": lambda x: np.mean(x[x > 9]),
    "var": lambda x: np.var(x[x > -9]),
    "std": lambda x: np.std(x[x > -9], ddof=1),
    "max": lambda x: np.max(x[x > -9]),
    "max of nothing": lambda x: np.max(x[x > 9]),
    "max with a start": lambda x: np.max(x[x > 9], initial=-1.0),
    "ptp": lambda x: np.ptp(x[x > -9]),
    "argmax": lambda x: np.argmax(x[x > -9]),
    "argmax of nothing": lambda x: np.argmax(x[x > 9]),
    "any and all": lambda x: (np.any(x[x > 0] > 1), np.all(x[x > 0] > 1)),
    "average": lambda x: np.average(x[x > -9]),
    "cov": lambda x: np.cov(x[x > -9]),
    "cumsum": lambda x: np.cumsum(x[x > 0]),
    "cumprod": lambda x: np.cumprod(x[x > 0]),
    "sort": lambda x: np.sort(x[x > 0]),
    "argsort": lambda x: np.argsort(x[x > 0]),
    "diff": lambda x: np.diff(x[x > 0]),
    "flip": lambda x: np.flip(x[x > 0]),
    "roll": lambda x: np.roll(x[x > 0], 2),
    "clip": lambda x: np.clip(x[x > 0], 0.6, 1),
    "where": lambda x: np.where(x[x > 0] > 1, x[x > 0], 0.0),
    "softmax": lambda x: np.exp(x[x > 0] - 1) / np.sum(np.exp(x[x > 0] - 1)),
    "norm": lambda x: np.linalg.norm(x[x > 0]),
    "concatenate": lambda x: np.concatenate([x[x > 0], [1.0], x[x < 0]]),
    "stack": lambda x: np.stack([x[x > 0], 2 * x[x > 0]]),
    "tile": lambda x: np.tile(x[x > 0], 2),
    "repeat": lambda x: np.repeat(x[x > 0], 2),
    "dot": lambda x: np.dot(x[x > 0], x[x > 0]),
    "matmul": lambda x: x[x > 0][:, None] @ x[x < 0][None, :],
    "outer": lambda x: np.outer(x[x > 0], x[x < 0]),
    "einsum": lambda x: np.einsum("i,j->ij", x[x > 0], x),
    "pairs": lambda x: x[x > 0][:, None] - x[x > 0],
    "reshape": lambda x: np.concatenate([x[x > 0], x[x > 0]]).reshape(2, -1),
    "reshape to a column": lambda x: x[x > 0].reshape(-1, 1),
    "reshape that does not fit": lambda x: x[x > 1].reshape(-1, 3),
    "broadcast_to": lambda x: np.broadcast_to(x[x > 0], (2, len(x[x > 0]))) * 1,
    "first": lambda x: x[x > 0][0],
    "last": lambda x: x[x > 0][-1],
    "far": lambda x: x[x > 1][4],
    "beyond all": lambda x: x[x > 1][7],
    "tail": lambda x: x[x > 0][1:],
    "head": lambda x: x[x > 0][:-1],
    "neighbours": lambda x: x[x > 0][1:] * x[x > 0][:-1],
    "two from the front": lambda x: x[x > 0][:2],
    "nine from the front": lambda x: x[x > 0][:9],
    "two from behind": lambda x: x[x > 0][-2:],
    "nine from behind": lambda x: x[x > 0][-9:],
    "between": lambda x: x[x > 0][1:3],
    "within": lambda x: x[x > 0][1:-1],
    "every second": lambda x: x[x > 0][1::2],
    "backward": lambda x: x[x > 0][::-1],
    "every second backward": lambda x: x[x > 0][::-2],
    "backward to the first": lambda x: x[x > 0][:0:-1],
    "backward to a far one": lambda x: x[x > 0][:5:-1],
    "a slice between computed places": lambda x: x[x > 0][np.sum(x > 1) : np.sum(x > 0.6)],
    "a mask of a masked array": lambda x: x[x > 0][x[x > 0] < 1.2],
    "size": lambda x: x[x > 0].size,
    "shape": lambda x: np.zeros(3 + x[x > 0].shape[0]),
    "len": lambda x: len(x[x > 0]) * 2 - 1,
    "np.size": lambda x: np.size(x[x > 0]) // 2,
    "np.shape": lambda x: np.shape(x[x > 0])[0] % 3,
    "nbytes": lambda x: x[x > 0].nbytes,
    "a quotient by the size": lambda x: np.sum(x[x > 0]) / len(x[x > 0]),
    "a power of the size": lambda x: len(x[x > 0]) ** 2 + 0.5,
    "max and min of the size": lambda x: max(len(x[x > 0]), 1) + min(len(x[x > 0]), 2, 7),
    "zeros": lambda x: np.zeros((2, x[x > 0].size)),
    "ones": lambda x: np.ones(x[x > 0].shape) * x[x > 0],
    "full": lambda x: np.full(len(x[x > 0]), x[0]),
    "zeros_like": lambda x: np.zeros_like(x[x > 0]),
    "astype": lambda x: x[x > 0].astype(np.float32),
    "sizes that agree": lambda x: x[x > 0] + x[x > 0.1],
    "sizes that do not agree": lambda x: x[x > 0] + x[x > 1],
    "a size that agrees with a known one": lambda x: x[x > 0.6] + np.ones(3),
    "a size that disagrees with a known one": lambda x: x[x > 0.6] + np.ones(4),
    "a comparison that the bounds decide": lambda x: x[x > 0] * (2 if x[x > 0].size > 99 else 3),
    "write where": lambda x: _written(x),
    "masks in a loop": lambda x: sum(np.sum(x[x > 0.3 * k]) for k in range(3)),
    "shrinking": lambda x: _shrunk(x),
    "loop that carries": lambda x: _carried(x),
    "loop over a masked array": lambda x: _scanned(x),
    "loop of masks": lambda x: _masked_in_loop(x),
    "loop up to a size": lambda x: pb.fori_loop(
        0, x[x > 0].size, lambda i, c: c + x[x > 0][i] * c, np.float64(1)
    ),
    "gradient inside": lambda x: pb.grad(lambda v: np.sum(np.sin(v) ** 2))(x[x > 0]),
    "gradient of a mask inside": lambda x: pb.grad(lambda v: np.sum(v[v > 0] ** 3))(x),
    "gradient that captures": lambda x: pb.grad(lambda v: np.sum(np.outer(v, x[x > 0])))(x),
    "a function written twice": lambda x: _half(x) * _half(2 * x - 0.7),
}


def _half(v: Any) -> Any:
    return np.sum(v[v > 0] ** 2)


def _written(x: Any) -> Any:
    out = np.zeros_like(x)
    out[x > 0] = np.sin(x[x > 0])
    return out * x


def _shrunk(x: Any) -> Any:
    for _ in range(3):
        x = x[x > -0.5] * 1.1
    return x


def _carried(x: Any) -> Any:
    y = x[x > 0]
    return pb.fori_loop(0, 3, lambda i, c: c * 0.5 + np.sin(y), y)


def _scanned(x: Any) -> Any:
    return pb.scan(lambda c, r: (c + r * r, c * r), 0.0, x[x > -2])


def _masked_in_loop(x: Any) -> Any:
    def step(i: Any, v: Any) -> Any:
        y = v[v > 0.1 * i]
        z = np.sin(y) * np.mean(y) * 0.1
        return v * 0.9 + np.sum(z[1:] * z[:-1])

    return pb.fori_loop(0, 3, step, x)


MATRICES: dict[str, Case] = {
    "rows": lambda x: x[x[:, 0] > 0] * 2,
    "sum of rows": lambda x: np.sum(x[x[:, 0] > 0], axis=0),
    "mean of rows": lambda x: np.mean(x[x[:, 0] > 0], axis=0),
    "mean within rows": lambda x: x[x[:, 0] > 0] - np.mean(x[x[:, 0] > 0], 1, keepdims=True),
    "gram": lambda x: x[x[:, 0] > 0].T @ x[x[:, 0] > 0],
    "product with a known one": lambda x: x[x[:, 0] > 0] @ x.T,
    "transposed and raveled": lambda x: x[x[:, 0] > 0].T.ravel(),
    "flattened": lambda x: (x[x[:, 0] > 0] + 1).flatten(),
    "sort": lambda x: np.sort(x[x[:, 0] > 0], axis=1),
    "cumsum": lambda x: np.cumsum(x[x[:, 0] > 0], axis=0),
    "distances": lambda x: np.sum((x[x[:, 0] > 0][:, None] - x[None]) ** 2, -1),
    "a column": lambda x: x[x[:, 0] > 0][:, 1],
    "columns": lambda x: x[:, x[0] > 0] + 1,
    "centred": lambda x: np.linalg.norm(x[x[:, 0] > 0], axis=1),
    "both axes unknown": lambda x: x[x[:, 0] > 0][:, x[0] > 0],
    "concatenate": lambda x: np.concatenate([x[x[:, 0] > 0], x], axis=0),
    "groups": lambda x: sum(np.var(x[np.argmin(x, axis=1) == k]) for k in (0, 1)),
}
ARGUMENTS: dict[str, tuple[dict[str, Case], Any]] = {
    "float64": (VECTORS, X),
    "float32": (VECTORS, X.astype(np.float32)),
    "none": (VECTORS, -np.abs(X)),
    "one": (VECTORS, np.array([-1.0, 2.0])),
    "C order": (MATRICES, M),
    "F order": (MATRICES, np.asfortranarray(M)),
    "no row": (MATRICES, -np.abs(M)),
}


def leaves(result: Any) -> list[Any]:
    if isinstance(result, tuple | list):
        return [leaf for part in result for leaf in leaves(part)]
    return [result]


def run(function: Case, x: Any) -> Any:
    """Return what a function gives, or its error."""
    with np.errstate(all="ignore"):
        try:
            return function(x)
        except (ValueError, IndexError, ZeroDivisionError) as error:
            return error


# Where one size is 1 and the other is not, NumPy broadcasts, and a program refuses.
BROADCASTS = {"sizes that do not agree", "a size that agrees with a known one"} | {
    "a size that disagrees with a known one"
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", ARGUMENTS)
def test_values_kinds_and_errors_are_numpys(kind: str) -> None:
    cases, x = ARGUMENTS[kind]
    for name, function in cases.items():
        if kind == "one" and name in BROADCASTS:
            continue
        expected = run(function, x)
        for exact in (True, False):
            found = run(pb.compile(function, exact=exact), x)
            if isinstance(expected, Exception):
                assert isinstance(found, type(expected)), (name, found)
                continue
            assert not isinstance(found, Exception), (name, found)
            for got, want in zip(leaves(found), leaves(expected), strict=True):
                assert type(got) is type(want), name
                assert np.shape(got) == np.shape(want), name
                assert np.result_type(got) == np.result_type(want), name
                if exact:
                    assert np.array_equal(got, want, equal_nan=True), (name, got, want)
                rough = 1e-5 if kind == "float32" else 1e-12
                assert np.allclose(got, want, rough, rough, equal_nan=True), (name, got, want)


def test_the_text_says_it_all() -> None:
    for cases, x in ((VECTORS, X), (MATRICES, M)):
        for name, function in cases.items():
            for transformed in (pb.compile(function), pb.compile(function, exact=True)):
                inspected = transformed.inspect(x)
                for stage in (inspected.forward, inspected.optimized):
                    verify(stage)
                    assert equal_up_to_renaming(parse(str(stage)), stage), name


WITHOUT = {
    "max of nothing", "argmax of nothing", "reshape that does not fit", "beyond all",
    "sizes that do not agree", "a size that disagrees with a known one", "mean of nothing", "far",
    "astype",
}  # fmt: skip


@pytest.mark.parametrize(("cases", "x"), [(VECTORS, X), (MATRICES, M)])
def test_derivatives_agree_with_differences(cases: dict[str, Case], x: Any) -> None:
    for name, function in cases.items():
        if name in WITHOUT:
            continue
        inexact = [np.asarray(r).dtype.kind == "f" for r in leaves(function(x))]
        if any(inexact):
            pb.check_grads(function, (x,), order=2, directions=1)


def test_one_gradient_serves_every_size() -> None:
    gradient = pb.grad(lambda x: np.sum(np.sin(x[x > 0]) ** 2) / x[x > 0].size)
    for x in (X, -X, np.abs(X), np.array([-1.0, -2, -3, -4, -5, 6.0])):
        inside = np.where(x > 0, np.sin(2 * x), 0) / np.count_nonzero(x > 0)
        assert np.allclose(gradient(x), inside)
    assert gradient.cache_info().misses == 1


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sin(x[x > 0]),
        lambda x: x[x > 0][1:] * x[x > 0][:-1],
        lambda x: np.concatenate([x[x > 0], x[x > 0]]) * 2,
        lambda x: np.outer(x[x > 0], x[x > 0])[1:],
        lambda x: np.zeros(x[x > 0].size + 1) + x[0] * len(x[x > 0]),
    ],
)
def test_a_pullback_takes_cotangents_of_the_size_that_came_out(function: Case) -> None:
    y, pull = pb.vjp(function, X)
    (found,) = pull(np.ones_like(y))
    assert np.allclose(found, pb.grad(lambda x: np.sum(function(x)))(X))
    with pytest.raises(ValueError, match="shape"):
        pull(np.ones(np.shape(y)[0] + 1))
    owner = VjpFunction(function)
    owner(X)
    ((entry,),) = owner.programs.entries.values()
    for program in (entry.forward, entry.backward):
        verify(program.plan.function)
        text = str(program.plan.function)
        assert equal_up_to_renaming(parse(text), program.plan.function)


def test_a_pullback_inside_of_a_function() -> None:
    def squared(x: Any) -> Any:
        y, pull = pb.vjp(lambda v: v[v > 0][1:] * v[v > 0][:-1], x)
        (gradient,) = pull(np.ones_like(y))
        return np.sum(gradient * gradient)

    assert np.allclose(pb.compile(squared)(X), squared(X))
    pb.check_grads(squared, (X,))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: [v * 2 for v in x[x > 0]], "needs the size n as a Python int"),
        (lambda x: np.squeeze(x[x > 0]), "np.squeeze"),
        (lambda x: np.array_equal(x[x > 0], x[x > 1]), "whether their shapes are equal"),
    ],
)
def test_what_needs_the_size_is_refused(function: Case, message: str) -> None:
    with pytest.raises(pb.UnsupportedError, match=message):
        pb.compile(function)(X)


def test_a_range_over_a_size_is_the_one_of_the_call() -> None:
    def f(x: Any) -> Any:
        return sum(x[i] for i in range(len(x[x > 0])))

    compiled = pb.compile(f)
    for x in (X, -X, X[::-1].copy()):
        assert compiled(x) == f(x)


def test_sizes_of_two_masks_are_two_in_what_checks_none() -> None:
    with pytest.raises(ValueError, match="the same only where they come from one mask"):
        pb.compile(lambda x: np.where(x[x > 0] > 1, x[x > 0], x[x > 1]))(X)


def test_a_size_that_is_1_is_not_broadcast() -> None:
    add = pb.compile(lambda x: x[x > 2] + x[x > 0])
    with pytest.raises(ValueError, match="one of them is never broadcast"):
        add(X)
    assert add(np.array([3.0, 4.0])).tolist() == [6.0, 8.0]


def test_code_without_source_sees_the_size_as_well() -> None:
    namespace: dict[str, Any] = {"np": np}
    exec("def f(x):\n    y = x[x > 0]\n    return np.sum(y) / y.shape[0] + y.size", namespace)
    assert np.isclose(pb.compile(namespace["f"])(X), namespace["f"](X))
    exec("def g(x):\n    return 1.0 if x[x > 0].size == 4 else 2.0", namespace)
    compiled = pb.compile(namespace["g"])
    for x in (X, -X, np.arange(5.0)):
        assert compiled(x) == namespace["g"](x)


def test_a_size_that_python_needs_is_that_of_the_call() -> None:
    for function in (
        lambda x: np.linspace(0, 1, x[x > 0].size),
        lambda x: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0][len(x[x > 0])] * x,
        lambda x: np.zeros([2] * len(x[x > 0])),
    ):
        compiled = pb.compile(function)
        for x in (X, -X, np.arange(5.0), X[:2]):
            np.testing.assert_array_equal(compiled(x), function(x))
